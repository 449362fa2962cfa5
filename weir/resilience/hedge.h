// When to send a second copy of a call that takes too long.
//
// After as long as 95 % of the calls take, so that about one call in twenty is hedged, and never before a
// floor. The winner's answer is used and the loser cancelled; that, and asking for safe methods only, is the
// caller's part.
//
//   HedgePolicy hedge;
//   std::optional<Duration> after = hedge.delay(now);       // nothing: do not hedge (too few calls known)
//   if (after && budget.try_spend(now)) ... start the second call at now + *after ...
//   hedge.record(time_to_the_answer_that_was_used, now);
//
// The delay is the quantile of the digest less two standard errors. A tail of exactly 5 % would otherwise be
// the p95 half of the time, and a hedge that waits as long as the tail helps nobody.
//
// Thread-safe. delay() is two relaxed loads, and once in `refresh` a question to the digest (about 1 us).
#ifndef WEIR_RESILIENCE_HEDGE_H_
#define WEIR_RESILIENCE_HEDGE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/resilience/latency_digest.h"

namespace weir::resilience {

class HedgePolicy {
 public:
  struct Options {
    double quantile = 0.95;                         // above 0.5, below 1
    std::optional<Duration> after = std::nullopt;   // instead of the quantile: always this long
    Duration floor = std::chrono::milliseconds{5};  // never sooner
    Duration refresh = std::chrono::seconds{1};     // how old the quantile may be
    LatencyDigest::Options digest = {};
    friend bool operator==(const Options&, const Options&) = default;
  };

  // Error invalid_argument: which option is out of its range.
  static Result<void> validate(const Options& options);

  HedgePolicy() noexcept : HedgePolicy(Options()) {}
  explicit HedgePolicy(const Options& options) noexcept;  // options that validate() refuses stop the program

  void record(Duration latency, TimePoint now) noexcept { digest_.record(latency, now); }
  // Nothing while fewer than digest.min_samples calls are known (unless `after` is set).
  std::optional<Duration> delay(TimePoint now) noexcept;

 private:
  void refresh(TimePoint now) noexcept;

  Options options_;
  LatencyDigest digest_;
  std::atomic<Duration::rep> delay_{-1};  // negative: unknown
  std::atomic<Duration::rep> stale_at_{0};
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_HEDGE_H_
