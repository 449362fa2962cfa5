// Sliding window over exact bookings, kept as a ring of ticks.
//
//   (1) The cell holds the ticks of the last bookings, at most `limit` of them, oldest first: the oldest in a
//       word of its own, the others in a ring (seven inline, the rest in the block).
//   (2) A call of cost n is admitted iff, with those that have left the window taken away, n more fit the
//       limit. Ticks are sorted, so that is one comparison: has the (count + n - limit)-th oldest left? Hence
//       never more than `limit` bookings in any (t - window, t], and never a refusal while fewer are in it.
//   (3) A booking of exactly window ago has left: who waits retry_after is admitted.
//   (4) A booking leaves nothing older than two windows behind, so 32-bit ticks never wrap (params.h).
//   (5) The oldest tick and the count share one word: a refusal of cost 1 reads that word and `newest`, and
//       writes nothing. It reads `newest` second: the present it judges by is then at least that of the
//       count, so the oldest was in the window at the moment the count was read.
//
// meta = oldest tick:32 | count:16 | head of the ring:16. `newest` = time of the newest booking, ns: the
// cell's clock, which never steps back. Cost: O(1) for cost 1, O(n) for cost n, O(log limit) at most once a
// window for (4) and for what headers show. Compared with a deque of bookings in exact_window_test.cc.
#ifndef WEIR_RATELIMIT_INTERNAL_EXACT_WINDOW_H_
#define WEIR_RATELIMIT_INTERNAL_EXACT_WINDOW_H_

#include <algorithm>
#include <cstdint>

#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/internal/cell.h"
#include "weir/ratelimit/internal/events.h"
#include "weir/ratelimit/internal/params.h"

namespace weir::ratelimit::internal {

// A cell opened for work: words unpacked, to be written back by save().
class ExactWindow {
 public:
  ExactWindow(const Params& params, Cell& cell, Slab& slab, std::int64_t now) noexcept
      : p_(params), cell_(cell), slab_(slab), now_(now) {
    const std::int64_t newest = cell.newest.mine();
    const std::uint64_t meta = cell.meta.mine();
    oldest_ = static_cast<std::uint32_t>(meta >> 32);
    count_ = static_cast<std::uint32_t>(meta >> 16 & 0xffff);
    head_ = static_cast<std::uint32_t>(meta & 0xffff);
    ring_ = std::min(p_.limit == 0 ? 0 : p_.limit - 1, kInlineRing);
    block_ = nullptr;
    if (cell.block.mine() != kNoBlock) {
      block_ = slab.at(cell.block.mine());
      ring_ = p_.limit - 1;
    }
    effective_ = std::max(now, newest);
    at_ = instant(effective_, p_.shift);
    due_ = p_.window_ticks + static_cast<std::uint32_t>(at_.ceil - at_.floor);
    if (at_.floor - instant(newest, p_.shift).ceil >= p_.window_ticks) count_ = 0;  // all have left
  }

  std::int64_t effective() const noexcept { return effective_; }

  // Would `cost` (1 to limit) more fit? If not, *wait is the time until they do.
  bool fits(std::uint32_t cost, std::int64_t* wait) const noexcept {
    if (count_ + cost <= p_.limit) return true;
    const std::uint32_t tick = element(count_ + cost - p_.limit - 1);
    if (left(tick)) return true;
    *wait = leaves_at(tick) - now_;
    return false;
  }

  // Books `cost` (at most limit) units now. What no longer fits the ring is the oldest, and goes.
  void book(std::uint32_t cost) noexcept {
    const auto tick = static_cast<std::uint32_t>(at_.ceil);
    if (count_ + cost > ring_ + 1 && block_ == nullptr && p_.block_words != 0) {
      drop(expired());  // the inline ring goes on while what is live fits it
      if (count_ + cost > ring_ + 1) grow();
    }
    for (std::uint32_t i = 0; i < cost; ++i) {
      if (count_ == ring_ + 1) drop(1);
      push(tick);
    }
    if (age(oldest_) >= 2 * p_.window_ticks) drop(expired());  // (4)
    cell_.newest.store(effective_);
    save();
  }

  // Takes up to `cost` units booked at `when` out again, wherever they stand; fewer if they have left.
  void refund(std::uint32_t cost, std::int64_t when) noexcept;

  void describe(Decision& d) const noexcept;
  void export_events(Events& out) const;

 private:
  static constexpr std::uint32_t kInlineRing = kInlineTicks - 1;

  std::uint32_t age(std::uint32_t tick) const noexcept { return static_cast<std::uint32_t>(at_.ceil) - tick; }
  bool left(std::uint32_t tick) const noexcept { return age(tick) >= due_; }
  std::int64_t tick_start(std::uint32_t tick) const noexcept { return (at_.ceil - age(tick)) << p_.shift; }
  std::int64_t leaves_at(std::uint32_t tick) const noexcept {
    return (at_.ceil - age(tick) + p_.window_ticks) << p_.shift;
  }

  std::uint32_t& slot(std::uint32_t i) const noexcept {
    return i < kInlineRing ? cell_.inline_[i] : block_[i - kInlineRing];
  }
  std::uint32_t wrap(std::uint32_t i) const noexcept { return i >= ring_ ? i - ring_ : i; }
  // The i-th oldest booking.
  std::uint32_t element(std::uint32_t i) const noexcept {
    return i == 0 ? oldest_ : slot(wrap(head_ + i - 1));
  }

  void push(std::uint32_t tick) noexcept {
    if (count_ == 0) {
      oldest_ = tick;
      head_ = 0;
    } else {
      slot(wrap(head_ + count_ - 1)) = tick;
    }
    ++count_;
  }
  void drop(std::uint32_t n) noexcept {
    if (n == 0) return;
    if (n >= count_) {
      count_ = 0;
      return;
    }
    oldest_ = element(n);
    head_ = wrap(head_ + n);
    count_ -= n;
  }

  // How many have left. The ticks are sorted by age; usually few have left, so the search gallops from the
  // oldest and touches few lines: O(log of the answer).
  std::uint32_t expired() const noexcept {
    std::uint32_t low = 0;  // so many have left
    std::uint32_t step = 1;
    while (low + step <= count_ && left(element(low + step - 1))) {
      low += step;
      step *= 2;
    }
    std::uint32_t high = std::min(low + step - 1, count_);
    while (low < high) {
      const std::uint32_t middle = (low + high) / 2;
      if (left(element(middle))) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  void grow() noexcept;
  void save() noexcept {
    cell_.meta.store(std::uint64_t{oldest_} << 32 | std::uint64_t{count_} << 16 | head_);
  }

  const Params& p_;
  Cell& cell_;
  Slab& slab_;
  std::int64_t now_;
  std::int64_t effective_;  // max(now, newest): the present of this cell
  Instant at_;              // the same in ticks
  std::uint32_t due_;       // an age, counted from at_.ceil, at which a booking has left
  std::uint32_t oldest_;
  std::uint32_t count_;
  std::uint32_t head_;
  std::uint32_t ring_;  // cells in the ring now
  std::uint32_t* block_;
};

// (5): refused for sure, without the lock. Fills retry_after, next_after, reset_after. The oldest tick is
// widened from `newest`, which is at most two windows younger (4).
inline bool exact_refuses(const FastParams& fast, std::uint64_t head, const Cell& cell, std::int64_t now,
                          Decision& d) noexcept {
  const std::uint64_t meta = cell.meta.load();
  if ((meta >> 16 & 0xffff) != head >> 32) return false;
  const auto shift = static_cast<unsigned>(head >> 8 & 0x3f);
  const std::int64_t window = static_cast<std::uint32_t>(fast.window.load());
  const std::int64_t newest = cell.newest.load();
  const std::int64_t last = instant(newest, shift).ceil;
  const std::uint32_t age = static_cast<std::uint32_t>(last) - static_cast<std::uint32_t>(meta >> 32);
  if ((std::max(now, newest) >> shift) - last + age >= window) return false;
  d.retry_after = Duration{((last - age + window) << shift) - now};
  d.next_after = d.retry_after;
  d.reset_after = Duration{((last + window) << shift) - now};
  return true;
}

// Nearly every admission: cost 1, and either a free place in the ring or a full ring whose oldest has left.
// False = any other case, nothing written; ExactWindow knows them all. (As a class in registers the compiler
// would not keep it, and this is the path that the figures of README.md are about.) Under the lock.
inline bool exact_takes_one(const FastParams& fast, Cell& cell, Slab& slab, std::int64_t now,
                            Decision& d) noexcept {
  const std::uint64_t params = fast.head.mine();
  const auto limit = static_cast<std::uint32_t>(params >> 32);
  const auto shift = static_cast<unsigned>(params >> 8 & 0x3f);
  const std::int64_t window = static_cast<std::uint32_t>(fast.window.mine());
  const std::int64_t newest = cell.newest.mine();
  const std::uint64_t meta = cell.meta.mine();
  auto oldest = static_cast<std::uint32_t>(meta >> 32);
  auto count = static_cast<std::uint32_t>(meta >> 16 & 0xffff);
  auto head = static_cast<std::uint32_t>(meta & 0xffff);

  const std::int64_t effective = std::max(now, newest);
  const Instant at = instant(effective, shift);
  const std::int64_t last = instant(newest, shift).ceil;
  const std::int64_t idle = at.floor - last;  // ticks since the newest booking
  const auto tick = static_cast<std::uint32_t>(at.ceil);
  if (count == 0 || idle >= window) {
    oldest = tick, count = 1, head = 0;
  } else {
    std::uint32_t* block = cell.block.mine() == kNoBlock ? nullptr : slab.at(cell.block.mine());
    const std::uint32_t ring = block != nullptr ? limit - 1 : std::min(limit - 1, kInlineTicks - 1);
    const auto slot = [&](std::uint32_t i) -> std::uint32_t& {
      return i < kInlineTicks - 1 ? cell.inline_[i] : block[i - (kInlineTicks - 1)];
    };
    const std::uint32_t age = static_cast<std::uint32_t>(last) - oldest;
    std::uint32_t eldest = oldest;  // after this booking
    if (count <= ring) {
      const std::uint32_t end = head + count - 1;
      if (tick - oldest >= 2 * static_cast<std::uint32_t>(window)) return false;  // (4)
      slot(end >= ring ? end - ring : end) = tick;
      ++count;
    } else {
      if (idle + age < window) return false;  // refused, or wants a block
      eldest = tick;
      if (ring != 0) {
        std::uint32_t& place = slot(head);
        eldest = place;
        if (tick - eldest >= 2 * static_cast<std::uint32_t>(window)) return false;  // (4)
        place = tick;
        head = head + 1 == ring ? 0 : head + 1;
      }
    }
    oldest = eldest;
  }
  cell.newest.store(effective);
  cell.meta.store(std::uint64_t{oldest} << 32 | std::uint64_t{count} << 16 | head);
  d.allowed = true;
  d.limit = limit;
  d.charged_at = TimePoint{Duration{effective}};
  return true;
}

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_EXACT_WINDOW_H_
