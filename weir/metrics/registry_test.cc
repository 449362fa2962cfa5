#include "weir/metrics/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "weir/base/random.h"

namespace weir::metrics {
namespace {

using std::chrono::milliseconds;

const Family& family_named(const Snapshot& snapshot, std::string_view name) {
  const auto found =
      std::find_if(snapshot.begin(), snapshot.end(), [&](const Family& f) { return f.name == name; });
  WEIR_CHECK(found != snapshot.end());
  return *found;
}

double value_of(const Registry& registry, std::string_view name,
                const std::vector<std::string>& labels = {}) {
  const Snapshot snapshot = registry.snapshot();
  for (const Series& series : family_named(snapshot, name).series)
    if (series.labels == labels) return series.value;
  return -1;
}

// What the shards counted is added up, and a series that nobody counted yet reads zero.
TEST(Registry, AddsUpItsShards) {
  Registry registry(3);
  const FamilyId family = registry.counter_family("requests_total", "Requests.", {"route"});
  const CounterId home = registry.counter(family, {"home"});
  registry.counter(family, {"idle"});
  registry.shard(0).add(home);
  registry.shard(1).add(home, 20);
  registry.shard(2).add(home, 300);
  EXPECT_EQ(value_of(registry, "requests_total", {"home"}), 321);
  EXPECT_EQ(value_of(registry, "requests_total", {"idle"}), 0);
}

// The same labels give the same series, however often it is asked for: a reload continues its counts.
TEST(Registry, TheSameLabelsAreTheSameSeries) {
  Registry registry(1);
  const FamilyId family = registry.counter_family("requests_total", "Requests.", {"route", "code"});
  const CounterId first = registry.counter(family, {"a", "b"});
  const CounterId second =
      registry.counter(registry.counter_family("requests_total", "Requests.", {"route", "code"}), {"a", "b"});
  EXPECT_EQ(first.cell, second.cell);
  EXPECT_NE(first.cell, registry.counter(family, {"b", "a"}).cell);
}

// A default id counts nothing: code without metrics needs no branch of its own.
TEST(Registry, ADefaultIdCountsNothing) {
  Registry registry(1);
  registry.shard(0).add(CounterId{});
  registry.shard(0).observe(HistogramId{}, milliseconds{1});
  for (const Family& family : registry.snapshot())
    for (const Series& series : family.series) EXPECT_EQ(series.value, 0) << family.name;
}

// A bound is inclusive, as `le` says: 5 ms lies in the bucket of 5 ms, one nanosecond more in the next.
TEST(Registry, HistogramBoundsAreInclusive) {
  Registry registry(1);
  const HistogramId id = registry.histogram(registry.histogram_family("took_seconds", "Time."));
  for (std::size_t i = 0; i < kDurationBounds.size(); ++i) {
    Registry fresh(1);
    const HistogramId h = fresh.histogram(fresh.histogram_family("took_seconds", "Time."));
    fresh.shard(0).observe(h, kDurationBounds[i]);
    fresh.shard(0).observe(h, kDurationBounds[i] + Duration{1});
    const Snapshot snapshot = fresh.snapshot();
    const HistogramValue& value = family_named(snapshot, "took_seconds").series.at(0).histogram;
    for (std::size_t b = 0; b < kBuckets; ++b)
      EXPECT_EQ(value.buckets[b], b == i || b == i + 1 ? 1U : 0U) << i;
    EXPECT_EQ(value.sum_ns, static_cast<std::uint64_t>(2 * kDurationBounds[i].count() + 1));
  }
  registry.shard(0).observe(id, Duration{0});
  registry.shard(0).observe(id, Duration{-5});  // counts as zero
  const Snapshot snapshot = registry.snapshot();
  EXPECT_EQ(family_named(snapshot, "took_seconds").series.at(0).histogram.buckets[0], 2U);
  EXPECT_EQ(family_named(snapshot, "took_seconds").series.at(0).histogram.sum_ns, 0U);
}

// Against the obvious twin, a map of counts: any mix of series made early and late, of counters and
// histograms.
TEST(Registry, AgreesWithAMapOfCounts) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::Random random(seed);
    Registry registry(1 + random.below(4));
    const FamilyId counters = registry.counter_family("c_total", "C.", {"l"});
    const FamilyId histograms = registry.histogram_family("h_seconds", "H.", {"l"});
    std::map<std::string, std::uint64_t> counted, observed, sums;
    for (int step = 0; step < 3000; ++step) {
      Shard& shard = registry.shard(random.below(registry.shards()));
      const std::string label = std::to_string(random.below(200));
      const std::uint64_t n = random.below(1000);
      if (random.chance(1, 2)) {
        shard.add(registry.counter(counters, {label}), n);
        counted[label] += n;
      } else {
        shard.observe(registry.histogram(histograms, {label}), milliseconds{n});
        observed[label] += 1;
        sums[label] += n * 1'000'000;
      }
    }
    const Snapshot snapshot = registry.snapshot();
    ASSERT_EQ(family_named(snapshot, "c_total").series.size(), counted.size());
    for (const Series& series : family_named(snapshot, "c_total").series)
      EXPECT_EQ(series.value, static_cast<double>(counted[series.labels[0]]));
    ASSERT_EQ(family_named(snapshot, "h_seconds").series.size(), observed.size());
    for (const Series& series : family_named(snapshot, "h_seconds").series) {
      std::uint64_t total = 0;
      for (const std::uint64_t bucket : series.histogram.buckets) total += bucket;
      EXPECT_EQ(total, observed[series.labels[0]]);
      EXPECT_EQ(series.histogram.sum_ns, sums[series.labels[0]]);
    }
  }
}

// A collector is read at each snapshot, until it is destroyed; values with equal labels add up.
TEST(Registry, ReadsCollectorsAtEachSnapshot) {
  Registry registry(1);
  const FamilyId family = registry.gauge_family("in_flight", "Requests in flight.", {"route"});
  double level = 3;
  Collector first = registry.collect(family, [&](Sink& sink) { sink.add({"a"}, level); });
  {
    const Collector second = registry.collect(family, [](Sink& sink) {
      sink.add({"a"}, 10);
      sink.add({"b"}, 1);
    });
    EXPECT_EQ(value_of(registry, "in_flight", {"a"}), 13);
    EXPECT_EQ(value_of(registry, "in_flight", {"b"}), 1);
  }
  level = 4;
  EXPECT_EQ(value_of(registry, "in_flight", {"a"}), 4);
  EXPECT_EQ(value_of(registry, "in_flight", {"b"}), -1);
  Collector moved = std::move(first);
  EXPECT_EQ(value_of(registry, "in_flight", {"a"}), 4);
  moved.remove();
  moved.remove();  // a second time changes nothing
  EXPECT_EQ(value_of(registry, "in_flight", {"a"}), -1);
}

// A collector may outlive its registry: objects that end together need no order among them.
TEST(Registry, ACollectorMayOutliveIt) {
  Collector collector;
  {
    Registry registry(1);
    collector = registry.collect(registry.gauge_family("level", "Level."), [] { return 1.0; });
  }
  collector.remove();
}

// Above the cap every new series of a family counts as "other", nothing is lost, and the folding itself is
// counted.
TEST(Registry, FoldsWhatIsAboveTheCap) {
  Registry registry(2, 3);
  const FamilyId a = registry.counter_family("a_total", "A.", {"x", "y"});
  const FamilyId h = registry.histogram_family("h_seconds", "H.", {"x"});
  const CounterId kept = registry.counter(a, {"1", "1"});
  registry.counter(a, {"2", "1"});
  registry.histogram(h, {"1"});
  for (int i = 0; i < 5; ++i) registry.shard(1).add(registry.counter(a, {"new", std::to_string(i)}));
  registry.shard(0).observe(registry.histogram(h, {"2"}), milliseconds{1});
  registry.shard(0).add(registry.counter(a, {"1", "1"}));  // a known series is not folded
  EXPECT_EQ(registry.counter(a, {"1", "1"}).cell, kept.cell);
  EXPECT_EQ(value_of(registry, "a_total", {"other", "other"}), 5);
  EXPECT_EQ(value_of(registry, "a_total", {"1", "1"}), 1);
  EXPECT_EQ(value_of(registry, "weir_metrics_series_folded_total"), 6);
  const Snapshot snapshot = registry.snapshot();
  EXPECT_EQ(family_named(snapshot, "h_seconds").series.size(), 2U);
}

// A collector cannot pass the cap either.
TEST(Registry, BoundsCollectorsToo) {
  Registry registry(1, 10);
  const FamilyId family = registry.gauge_family("level", "Level.", {"key"});
  const Collector collector = registry.collect(family, [](Sink& sink) {
    for (int i = 0; i < 25; ++i) sink.add({std::to_string(i)}, i);
  });
  const Snapshot snapshot = registry.snapshot();
  EXPECT_EQ(family_named(snapshot, "level").series.size(), 10U);
  EXPECT_EQ(family_named(snapshot, "weir_metrics_series_folded_total").series.at(0).value, 15);
}

// The largest set of series that the cap allows fits, all of them histograms.
TEST(Registry, HoldsTheCapInHistograms) {
  Registry registry(1, 2000);
  const FamilyId first = registry.counter_family("c_total", "C.", {"l"});
  const FamilyId family = registry.histogram_family("h_seconds", "H.", {"l"});
  registry.counter(first, {"0"});
  for (int i = 0; i < 2500; ++i) {
    registry.shard(0).observe(registry.histogram(family, {std::to_string(i)}), milliseconds{i});
    if (i % 3 == 0) registry.counter(first, {std::to_string(i)});
  }
  std::uint64_t total = 0;
  const Snapshot snapshot = registry.snapshot();
  for (const Series& series : family_named(snapshot, "h_seconds").series)
    for (const std::uint64_t bucket : series.histogram.buckets) total += bucket;
  EXPECT_EQ(total, 2500U);
}

// Label values are cut at a whole character and hold only well-formed UTF-8, so one odd value cannot spoil a
// scrape.
TEST(Registry, CleansLabelValues) {
  Registry registry(1);
  const FamilyId family = registry.counter_family("c_total", "C.", {"l"});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain", "plain"},
      {"\xC3\xA9", "\xC3\xA9"},
      {"a\xFF", "a\xEF\xBF\xBD"},
      {"\xC3", "\xEF\xBF\xBD"},                                                  // cut in the middle
      {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},                                  // overlong
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                  // surrogate
      {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // above U+10FFFF
      {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
  };
  for (const auto& [raw, clean] : cases) {
    registry.counter(family, {raw});
    EXPECT_EQ(value_of(registry, "c_total", {clean}), 0) << clean;
  }
  std::string longer(Registry::kLabelBytesMax - 1, 'x');
  registry.counter(family, {longer + "\xC3\xA9"});
  EXPECT_EQ(value_of(registry, "c_total", {longer}), 0);
}

// A wrong declaration is a bug of the program and stops it.
TEST(RegistryDeathTest, RefusesWrongDeclarations) {
  Registry registry(1);
  const FamilyId counter = registry.counter_family("ok_total", "Ok.", {"l"});
  EXPECT_DEATH(registry.counter_family("no_suffix", "X."), "ends_with");
  EXPECT_DEATH(registry.gauge_family("level_total", "X."), "ends_with");
  EXPECT_DEATH(registry.gauge_family("9level", "X."), "is_name");
  EXPECT_DEATH(registry.gauge_family("level", "X.", {"le"}), "le");
  EXPECT_DEATH(registry.gauge_family("level", "X.", {"__a"}), "__");
  EXPECT_DEATH(registry.gauge_family("level", ""), "help");
  EXPECT_DEATH(registry.counter_family("ok_total", "Other text.", {"l"}), "help");
  EXPECT_DEATH(registry.counter(counter, {"a", "b"}), "size");
  EXPECT_DEATH(registry.histogram(counter, {"a"}), "type");
}

}  // namespace
}  // namespace weir::metrics
