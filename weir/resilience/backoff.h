// How long to wait before trying again: growth, a cap, full jitter.
//
// wait(n) is uniform in (0, min(max, base * factor^n)]. Full jitter, because many callers that failed
// together must not come back together (Brooker, "Exponential Backoff and Jitter", 2015: least work for the
// server of the variants).
//
//   Backoff backoff({.base = 25ms, .max = 250ms});
//   Duration wait = backoff.wait(0, random);              // before the first retry
//   if (deadline.remaining(now) <= wait) give_up();
//
// Pure: randomness is handed in. O(1).
#ifndef WEIR_RESILIENCE_BACKOFF_H_
#define WEIR_RESILIENCE_BACKOFF_H_

#include <chrono>
#include <cstdint>

#include "weir/base/clock.h"
#include "weir/base/random.h"
#include "weir/base/result.h"

namespace weir::resilience {

class Backoff {
 public:
  struct Options {
    Duration base = std::chrono::milliseconds{25};
    Duration max = std::chrono::milliseconds{250};
    double factor = 2.0;
  };

  // Error invalid_argument: base or max not above zero, max below base, factor below 1.
  static Result<void> validate(const Options& options);

  Backoff() noexcept : Backoff(Options()) {}
  explicit Backoff(const Options& options) noexcept;  // options that validate() refuses stop the program

  // The most that wait() can return for the n-th retry, counted from 0. Saturates at max.
  Duration ceiling(std::uint32_t retry) const noexcept;
  Duration wait(std::uint32_t retry, base::Random& random) const noexcept;
  // The same after what the upstream asked for in Retry-After; the caller compares with its deadline.
  Duration wait(std::uint32_t retry, Duration retry_after, base::Random& random) const noexcept;

 private:
  Options options_;
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_BACKOFF_H_
