// What a registry held at one moment: plain values, for whoever writes them out.
//
// Families stand in the order of their declaration, series in the order of their label values, so that two
// snapshots of the same state are equal text. A snapshot owns everything in it and may outlive its registry.
#ifndef WEIR_METRICS_SNAPSHOT_H_
#define WEIR_METRICS_SNAPSHOT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "weir/base/clock.h"

namespace weir::metrics {

enum class Type : std::uint8_t { counter, gauge, histogram };

// Upper bounds of the duration buckets: those that OpenTelemetry's HTTP semantic conventions advise for
// http.server.request.duration, 5 ms to 10 s.
inline constexpr std::array<Duration, 14> kDurationBounds = {
    std::chrono::milliseconds{5},    std::chrono::milliseconds{10},   std::chrono::milliseconds{25},
    std::chrono::milliseconds{50},   std::chrono::milliseconds{75},   std::chrono::milliseconds{100},
    std::chrono::milliseconds{250},  std::chrono::milliseconds{500},  std::chrono::milliseconds{750},
    std::chrono::milliseconds{1000}, std::chrono::milliseconds{2500}, std::chrono::milliseconds{5000},
    std::chrono::milliseconds{7500}, std::chrono::milliseconds{10000}};
inline constexpr std::size_t kBuckets = kDurationBounds.size() + 1;  // the last one has no upper bound

struct HistogramValue {
  std::array<std::uint64_t, kBuckets> buckets{};  // each observation counted once, not cumulated
  std::uint64_t sum_ns = 0;                       // wraps after 584 years of added-up durations
};

struct Series {
  std::vector<std::string> labels;  // values, in the order of the family's label names
  double value = 0;                 // counters and gauges
  HistogramValue histogram;         // histograms
};

struct Family {
  std::string name;
  std::string help;
  Type type = Type::counter;
  std::vector<std::string> label_names;
  std::vector<Series> series;
};

using Snapshot = std::vector<Family>;

}  // namespace weir::metrics

#endif  // WEIR_METRICS_SNAPSHOT_H_
