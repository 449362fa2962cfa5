// Reservation: units taken for work that may still be called off.
//
//   Reservation held = limiter.reserve_at(now, user, price);
//   if (!held) return refuse(held.decision());
//   if (!work()) return fail();      // not committed: the units go back
//   held.commit();                   // spent
//
// Destroying one that was not committed cancels it. Under Algorithm::concurrency a reservation is the place
// itself: keep it as long as the work runs, and let it go.
//
// Move-only; not thread-safe by itself. The limiter must outlive it.
#ifndef WEIR_RATELIMIT_RESERVATION_H_
#define WEIR_RATELIMIT_RESERVATION_H_

#include <cstdint>
#include <utility>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/ratelimit/decision.h"

namespace weir::ratelimit {

class KeyedRateLimiter;

class [[nodiscard]] Reservation {
 public:
  Reservation(Reservation&& other) noexcept
      : limiter_(std::exchange(other.limiter_, nullptr)),
        low_(other.low_),
        high_(other.high_),
        cost_(other.cost_),
        decision_(other.decision_) {}
  Reservation& operator=(Reservation&& other) noexcept {
    if (this == &other) return *this;
    cancel(decision_.charged_at);
    limiter_ = std::exchange(other.limiter_, nullptr);
    low_ = other.low_, high_ = other.high_, cost_ = other.cost_, decision_ = other.decision_;
    return *this;
  }
  ~Reservation() { cancel(decision_.charged_at); }

  explicit operator bool() const noexcept { return decision_.allowed; }
  const Decision& decision() const noexcept { return decision_; }

  // Spent: nothing goes back any more.
  void commit() noexcept { limiter_ = nullptr; }

  // Gives the units back, once; nothing after commit() or where nothing was taken.
  void cancel(TimePoint now) noexcept {
    if (limiter_ != nullptr) give_back(now);
  }

 private:
  friend class KeyedRateLimiter;

  Reservation(KeyedRateLimiter& limiter, const base::Hash128& key, std::uint32_t cost,
              const Decision& decision) noexcept
      : limiter_(decision.reason == Reason::ok && cost != 0 ? &limiter : nullptr),
        low_(key.low),
        high_(key.high),
        cost_(cost),
        decision_(decision) {}

  void give_back(TimePoint now) noexcept;

  KeyedRateLimiter* limiter_;
  std::uint64_t low_;  // the key's fingerprint
  std::uint64_t high_;
  std::uint32_t cost_;
  Decision decision_;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_RESERVATION_H_
