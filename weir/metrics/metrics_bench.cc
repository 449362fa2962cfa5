// What counting costs on the path of a request, and what a scrape costs beside it.
#include <benchmark/benchmark.h>

#include <string>

#include "weir/metrics/exposition.h"
#include "weir/metrics/registry.h"

namespace weir::metrics {
namespace {

void BM_Add(benchmark::State& state) {
  Registry registry(1);
  const CounterId id = registry.counter(registry.counter_family("c_total", "C."));
  Shard& shard = registry.shard(0);
  for (auto _ : state) {
    shard.add(id);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Add);

void BM_Observe(benchmark::State& state) {
  Registry registry(1);
  const HistogramId id = registry.histogram(registry.histogram_family("h_seconds", "H."));
  Shard& shard = registry.shard(0);
  Duration took{1};
  for (auto _ : state) {
    shard.observe(id, took);
    took = Duration{(took.count() * 5 + 7) & 0xfffffff};  // all buckets up to 0.27 s
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Observe);

// The alternative that shards avoid: one counter for all threads.
void BM_SharedAtomic(benchmark::State& state) {
  static std::atomic<std::uint64_t> counter{0};
  for (auto _ : state) counter.fetch_add(1, std::memory_order_relaxed);
}
BENCHMARK(BM_SharedAtomic)->Threads(1)->Threads(2);

void BM_AddTwoThreads(benchmark::State& state) {
  static Registry registry(2);
  static const CounterId id = registry.counter(registry.counter_family("c_total", "C."));
  Shard& shard = registry.shard(static_cast<std::size_t>(state.thread_index()));
  for (auto _ : state) {
    shard.add(id);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_AddTwoThreads)->Threads(2);

// Argument: series; one in ten a histogram.
void BM_Scrape(benchmark::State& state) {
  Registry registry(2);
  const FamilyId counters = registry.counter_family("c_total", "C.", {"route", "stage", "verdict", "reason"});
  const FamilyId histograms = registry.histogram_family("h_seconds", "H.", {"route", "code"});
  for (int i = 0; i < state.range(0); ++i) {
    const std::string route = "GET /route/" + std::to_string(i);
    if (i % 10 == 0) {
      registry.histogram(histograms, {route, "200"});
    } else {
      registry.counter(counters, {route, "ratelimit", "refuse", "rate-limited"});
    }
  }
  std::size_t bytes = 0;
  for (auto _ : state) bytes = format_text(registry.snapshot()).size();
  state.counters["page_bytes"] = static_cast<double>(bytes);
}
BENCHMARK(BM_Scrape)->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace weir::metrics

BENCHMARK_MAIN();
