#include "weir/io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace weir::io {

void TimerWheel::schedule(async::Timer& timer) noexcept {
  if (timer.due() <= now_) {
    overdue_.push_back(timer);
    return;
  }
  place(timer);
}

// The tick lies after position_, or at it while a slot is moved down.
void TimerWheel::place(async::Timer& timer) noexcept {
  const Tick tick = ceil_tick(timer.due());
  const Tick differs = tick ^ position_;
  if (differs >> (kLevels * kDigitBits) != 0) {
    far_.push_back(timer);
    // The moment at which the digits beyond the last level change.
    next_ = std::min(next_, (position_ | ((Tick{1} << (kLevels * kDigitBits)) - 1)) + 1);
    return;
  }
  const unsigned level = differs == 0 ? 0 : (static_cast<unsigned>(std::bit_width(differs)) - 1) / kDigitBits;
  const unsigned shift = level * kDigitBits;
  const unsigned slot = static_cast<unsigned>(tick >> shift) & (kSlots - 1);
  slots_[level][slot].push_back(timer);
  occupied_[level] |= std::uint64_t{1} << slot;
  next_ = std::min(next_, tick >> shift << shift);
}

void TimerWheel::advance(TimePoint now) noexcept {
  now_ = std::max(now_, now);
  const Tick target = floor_tick(now_);
  if (overdue_.empty() && target < next_) return;
  firing_.splice_back(overdue_);
  fire_all();
  while (next_ <= target) step_to(next_);
  // No occupied slot begins between position_ and target, so every timer keeps its place.
  position_ = std::max(position_, target);
}

void TimerWheel::step_to(Tick tick) noexcept {
  position_ = tick;
  if ((tick & ((Tick{1} << (kLevels * kDigitBits)) - 1)) == 0) move_down(far_);
  for (unsigned level = kLevels - 1; level > 0; --level) {
    const unsigned shift = level * kDigitBits;
    if ((tick & ((Tick{1} << shift) - 1)) != 0) continue;  // not the start of a slot of this level
    const unsigned slot = static_cast<unsigned>(tick >> shift) & (kSlots - 1);
    occupied_[level] &= ~(std::uint64_t{1} << slot);
    move_down(slots_[level][slot]);
  }
  const unsigned slot = static_cast<unsigned>(tick) & (kSlots - 1);
  occupied_[0] &= ~(std::uint64_t{1} << slot);
  firing_.splice_back(slots_[0][slot]);
  next_ = kNever;  // what fires may arm: place() lowers it
  fire_all();
  next_ = std::min(next_, find_next());
}

void TimerWheel::move_down(List& slot) noexcept {
  List moving;
  moving.splice_back(slot);
  while (!moving.empty()) place(moving.pop_front());
}

void TimerWheel::fire_all() noexcept {
  while (!firing_.empty()) firing_.pop_front().on_timer();
}

// The lowest level with a timer holds the earliest one: its timers share all higher digits with the position.
TimerWheel::Tick TimerWheel::find_next() noexcept {
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned shift = level * kDigitBits;
    while (occupied_[level] != 0) {
      const auto slot = static_cast<unsigned>(std::countr_zero(occupied_[level]));
      if (!slots_[level][slot].empty()) {
        const Tick above = position_ >> (shift + kDigitBits) << (shift + kDigitBits);
        return above | Tick{slot} << shift;
      }
      occupied_[level] &= occupied_[level] - 1;  // all its timers were disarmed
    }
  }
  if (far_.empty()) return kNever;
  return (position_ | ((Tick{1} << (kLevels * kDigitBits)) - 1)) + 1;
}

}  // namespace weir::io
