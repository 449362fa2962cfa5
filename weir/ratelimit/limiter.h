// RateLimiter: one limit for one key, for example everything that goes to one upstream.
//
//   RateLimiter limiter({.name = "mails", .limit = 100, .window = 1min});
//   if (Decision d = limiter.allow_at(clock.now()); !d) return refuse(d.retry_after);
//
// For a limit per client use KeyedRateLimiter. To cap requests in flight without keys,
// resilience::LoadShedder.
//
// Time is handed in. A time point older than the newest one that the limiter has booked counts as that newest
// one: late threads and stepping clocks never give anything back. (One before the origin of the time line
// counts as the origin.) Time is counted in ticks of 2^n ns, chosen so that a window has about 10^9 of them
// (1 ns up to one second, 64 ns for a minute); bookings round up, the present rounds down, so the limit holds
// in nanoseconds too and room comes back at most two ticks late.
//
// Thread-safe. allow_at() is O(1) for cost 1: one compare-exchange and a few stores when admitted, two loads
// and no store when refused. No allocation after construction, except in set_policy().
#ifndef WEIR_RATELIMIT_LIMITER_H_
#define WEIR_RATELIMIT_LIMITER_H_

#include <cstdint>
#include <memory>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/policy.h"

namespace weir::ratelimit {

class RateLimiter {
 public:
  // `policy` must pass validate().
  explicit RateLimiter(const Policy& policy);
  ~RateLimiter();
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // Takes `cost` units or refuses and takes nothing. Cost 0 takes nothing and says whether one unit is free.
  Decision allow_at(TimePoint now, std::uint32_t cost = 1, Want want = Want::verdict) noexcept;

  // What allow_at(now, 1, Want::headers) would answer (remaining before, not after), without a write.
  Decision peek_at(TimePoint now) const noexcept;

  // Takes `cost` without asking: a price known only afterwards. Above the limit it counts as the limit; a bucket
  // goes below empty by one full bucket at most.
  void charge_at(TimePoint now, std::uint32_t cost) noexcept;

  // Gives `cost` units back that were booked at `charged_at` (Decision::charged_at). What has left the window
  // by itself is not given back twice. concurrency: this is the release.
  void refund_at(TimePoint now, std::uint32_t cost, TimePoint charged_at) noexcept;

  // Takes effect with the next call; what is booked stays booked. A lower limit keeps the newest bookings.
  Result<void> set_policy(TimePoint now, const Policy& policy);
  Policy policy() const;

  // fixed_window only: what the wall clock says at `now`. Until told, windows start at multiples of the
  // window on the monotonic line. Call it at start and now and then, as the wall clock is slewed.
  void sync_wall(TimePoint now, WallTime wall) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_LIMITER_H_
