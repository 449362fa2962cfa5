// Sampler: which traces are recorded.
//
// A trace that a trusted caller began keeps the caller's decision (parent-based). A new one is kept by its own random
// bits, so every service with the same or a higher share keeps it too (OpenTelemetry's consistent probability:
// R >= T, R the low 56 bits of the trace id). And whatever was decided at the start, a request that failed, was degraded
// or took too long is worth keeping: keep_anyway() says so at its end.
//
//   Sampler sampler({.ratio = 0.01, .slow = 1s});
//   bool sampled = sampler.sample(context.trace_low);
//   if (sampled || sampler.keep_anyway(status, degraded, took)) queue.add(...);
//
// Immutable; thread-safe. A comparison.
#ifndef WEIR_TRACE_SAMPLER_H_
#define WEIR_TRACE_SAMPLER_H_

#include <cstdint>

#include "weir/base/clock.h"

namespace weir::trace {

class Sampler {
 public:
  struct Options {
    double ratio = 1.0;                       // of new traces, 0 to 1
    Duration slow = std::chrono::seconds{1};  // requests that took as long are kept
    bool keep_failed = true;                  // 5xx and degraded pages too
  };

  explicit Sampler(const Options& options) noexcept
      : options_(options), threshold_(threshold_of(options.ratio)) {}

  bool sample(std::uint64_t trace_low) const noexcept { return (trace_low & kMask) >= threshold_; }
  bool keep_anyway(int status, bool degraded, Duration took) const noexcept {
    return (options_.keep_failed && (status >= 500 || degraded)) || took >= options_.slow;
  }
  double ratio() const noexcept { return options_.ratio; }

 private:
  static constexpr std::uint64_t kMask = (1ULL << 56) - 1;
  static constexpr std::uint64_t threshold_of(double ratio) noexcept {
    if (!(ratio > 0)) return kMask + 1;  // also for a ratio that is no number
    if (ratio >= 1) return 0;
    return static_cast<std::uint64_t>((1 - ratio) * static_cast<double>(1ULL << 56));
  }

  Options options_;
  std::uint64_t threshold_;
};

}  // namespace weir::trace

#endif  // WEIR_TRACE_SAMPLER_H_
