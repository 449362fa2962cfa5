// What threads do to a registry at the same time; meant for ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "weir/metrics/registry.h"

namespace weir::metrics {
namespace {

constexpr std::size_t kWriters = 4;
constexpr std::uint64_t kRounds = 20'000;

// Each worker counts into its own shard while one thread makes new series and another scrapes: at the end
// nothing is lost, and no scrape ever saw a count go back.
TEST(Threads, CountWhileSeriesAreMadeAndScraped) {
  Registry registry(kWriters);
  const FamilyId counters = registry.counter_family("c_total", "C.", {"l"});
  const FamilyId histograms = registry.histogram_family("h_seconds", "H.", {"l"});
  const CounterId shared = registry.counter(counters, {"shared"});
  const HistogramId timing = registry.histogram(histograms, {"shared"});
  std::atomic<std::size_t> running{kWriters};

  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      Shard& shard = registry.shard(w);
      for (std::uint64_t i = 0; i < kRounds; ++i) {
        shard.add(shared);
        shard.observe(timing, std::chrono::microseconds{i});
        if (i % 1000 == 0) shard.add(registry.counter(counters, {"late" + std::to_string(i)}));
      }
      running.fetch_sub(1);
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; running.load() > 0; i = (i + 1) % 3000) {
      registry.histogram(histograms, {"extra" + std::to_string(i)});
      std::this_thread::yield();
    }
  });
  threads.emplace_back([&] {
    double before = 0;
    while (running.load() > 0) {
      const Collector level = registry.collect(registry.gauge_family("level", "Level."), [] { return 1.0; });
      const Snapshot snapshot = registry.snapshot();
      for (const Series& series : snapshot.at(1).series) {
        if (series.labels[0] != "shared") continue;
        EXPECT_GE(series.value, before);
        before = series.value;
      }
      std::this_thread::yield();
    }
  });
  threads.clear();

  std::map<std::string, double> values;
  const Snapshot snapshot = registry.snapshot();
  for (const Series& series : snapshot.at(1).series) values[series.labels[0]] = series.value;
  EXPECT_EQ(values["shared"], static_cast<double>(kWriters * kRounds));
  EXPECT_EQ(values["late1000"], static_cast<double>(kWriters));
}

// Once remove() has returned, the collector does not run any more: what it reads may be destroyed.
TEST(Threads, RemovingACollectorWaitsForTheScrape) {
  Registry registry(1);
  const FamilyId family = registry.gauge_family("level", "Level.");
  std::atomic<bool> stop{false};
  std::jthread scraper([&] {
    while (!stop.load()) {
      registry.snapshot();
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 500; ++i) {
    auto value = std::make_unique<double>(1);
    Collector collector = registry.collect(family, [raw = value.get()] { return *raw; });
    std::this_thread::yield();
    collector.remove();
    value.reset();
  }
  stop.store(true);
}

}  // namespace
}  // namespace weir::metrics
