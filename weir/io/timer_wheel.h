// TimerWheel: the timers of one worker, O(1) to arm and to disarm, never early.
//
// Six levels of 64 slots over ticks of 2^20 ns (1.05 ms). Level 0 holds one tick a slot; a slot of level k
// spans 64^k ticks. A timer stands at the level of the highest base-64 digit in which its tick differs from
// the wheel's position, so it is always ahead of the position in its level, and no slot is ever shared by two
// turns of the wheel. When the position reaches the start of a slot of a higher level, the timers in it move
// down (at most five times in a timer's life, and hardly ever in practice: timers are armed lazily and most
// are disarmed before).
//
// Why 1 ms and not coarser: a limit of 5 ms (Redis) should not come 13 ms late, and with one bit a slot an
// empty tick costs nothing. The levels reach 2^36 ticks, two years; what lies beyond waits in one more list.
//
//   (1) A timer fires in the first advance(now) with now >= its due time rounded up to a tick: never early,
//       and less than one tick late plus what the caller's loop adds.
//   (2) Timers fire in order of ticks; within one tick in the order in which they were armed.
//   (3) A timer that is armed for a moment already past fires in the next advance(), never inside arm().
//   (4) next_due() is never later than the earliest timer. It may be earlier (a timer was disarmed, or a slot
//       of a higher level must be moved down): then advance() fires nothing and the next answer is better.
//
// arm: one count of leading zeros and a list insertion, a few ns. disarm is ListNode::unlink, which the wheel
// does not notice. Memory: 6.2 KiB, whatever the number of timers. Not thread-safe. Checked against a sorted
// list in timer_wheel_test.cc. After Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987),
// scheme 7.
#ifndef WEIR_IO_TIMER_WHEEL_H_
#define WEIR_IO_TIMER_WHEEL_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "weir/async/timer.h"
#include "weir/base/clock.h"

namespace weir::io {

class TimerWheel {
 public:
  static constexpr unsigned kTickBits = 20;
  static constexpr Duration kTick{std::int64_t{1} << kTickBits};

  explicit TimerWheel(TimePoint now) noexcept : now_(now), position_(floor_tick(now)) {}

  // Inserts `timer`, which stands in no list, at timer.due().
  void schedule(async::Timer& timer) noexcept;
  // Fires everything that is due at `now`, which must not lie before an earlier `now`. Timers may arm, disarm
  // and destroy timers, themselves included.
  void advance(TimePoint now) noexcept;
  // When to call advance() next; TimePoint::max() when no timer waits.
  TimePoint next_due() const noexcept {
    if (!overdue_.empty()) return now_;
    return next_ == kNever ? TimePoint::max()
                           : TimePoint{Duration{static_cast<std::int64_t>(next_ << kTickBits)}};
  }

 private:
  using Tick = std::uint64_t;
  using List = base::IntrusiveList<async::Timer, async::Timer>;

  static constexpr unsigned kDigitBits = 6;
  static constexpr unsigned kSlots = 1U << kDigitBits;
  static constexpr unsigned kLevels = 6;
  static constexpr Tick kNever = ~Tick{0};

  static Tick floor_tick(TimePoint at) noexcept {
    return static_cast<Tick>(at.time_since_epoch().count()) >> kTickBits;
  }
  static Tick ceil_tick(TimePoint at) noexcept {
    const auto ns = static_cast<Tick>(at.time_since_epoch().count());
    return (ns >> kTickBits) + ((ns & ((Tick{1} << kTickBits) - 1)) != 0 ? 1 : 0);
  }

  void place(async::Timer& timer) noexcept;
  void move_down(List& slot) noexcept;
  void step_to(Tick tick) noexcept;
  void fire_all() noexcept;
  Tick find_next() noexcept;

  TimePoint now_;
  Tick position_;       // every timer of an earlier or this tick has fired
  Tick next_ = kNever;  // the next tick at which something is to be done; a lower bound
  std::array<std::uint64_t, kLevels>
      occupied_{};  // a bit a slot; may be set for a slot that has emptied meanwhile
  std::array<std::array<List, kSlots>, kLevels> slots_;
  List far_;      // beyond the last level
  List overdue_;  // armed for a moment that had passed
  List firing_;   // being fired; a member, so that a timer that is destroyed meanwhile leaves it
};

}  // namespace weir::io

#endif  // WEIR_IO_TIMER_WHEEL_H_
