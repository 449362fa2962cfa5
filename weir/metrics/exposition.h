// Prometheus' text format 0.0.4, which every scraper understands.
//
// One HELP and one TYPE line a family, families without series left out, histograms as cumulated buckets with
// _sum and _count in seconds. Help texts escape \ and line feed, label values also the double quote. Source:
// prometheus.io, "Exposition formats".
#ifndef WEIR_METRICS_EXPOSITION_H_
#define WEIR_METRICS_EXPOSITION_H_

#include <string>
#include <string_view>

#include "weir/metrics/snapshot.h"

namespace weir::metrics {

inline constexpr std::string_view kTextContentType = "text/plain; version=0.0.4; charset=utf-8";

std::string format_text(const Snapshot& snapshot);

}  // namespace weir::metrics

#endif  // WEIR_METRICS_EXPOSITION_H_
