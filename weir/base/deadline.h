// Deadline: the moment by which something must have ended. It can only come closer.
//
// A deadline is a point in time, not a duration, so it can be handed from the page to the call to the attempt
// without anybody subtracting. Work done on behalf of a request takes the earliest of all deadlines above it.
//
//   Deadline page = Deadline::after(now, 500ms);
//   Deadline call = page.shrunk_to(now + 200ms);
//   if (call.expired(now)) return Error{ErrorCode::deadline_exceeded};
#ifndef WEIR_BASE_DEADLINE_H_
#define WEIR_BASE_DEADLINE_H_

#include <algorithm>

#include "weir/base/clock.h"

namespace weir {

class Deadline {
 public:
  // Never ends. Shrink it, or use it where something else bounds the wait.
  constexpr Deadline() noexcept = default;

  static constexpr Deadline never() noexcept { return Deadline{}; }
  static constexpr Deadline at(TimePoint when) noexcept { return Deadline{when}; }
  // Saturates: a duration that would leave the time line means never.
  static constexpr Deadline after(TimePoint now, Duration in) noexcept {
    if (in > TimePoint::max() - now) return Deadline{};
    return Deadline{now + in};
  }

  constexpr bool is_never() const noexcept { return when_ == TimePoint::max(); }
  constexpr TimePoint when() const noexcept { return when_; }
  constexpr bool expired(TimePoint now) const noexcept { return now >= when_; }
  // Zero once expired; Duration::max() when it never ends.
  constexpr Duration remaining(TimePoint now) const noexcept {
    if (is_never()) return Duration::max();
    return std::max(Duration::zero(), when_ - now);
  }

  constexpr Deadline shrunk_to(TimePoint when) const noexcept { return Deadline{std::min(when_, when)}; }
  constexpr Deadline shrunk_to(Deadline other) const noexcept { return shrunk_to(other.when_); }

  friend constexpr auto operator<=>(const Deadline&, const Deadline&) noexcept = default;

 private:
  constexpr explicit Deadline(TimePoint when) noexcept : when_(when) {}
  TimePoint when_ = TimePoint::max();
};

}  // namespace weir

#endif  // WEIR_BASE_DEADLINE_H_
