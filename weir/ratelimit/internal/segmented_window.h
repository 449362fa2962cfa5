// Sliding window that counts by segments of window/K, and errs on the safe side only.
//
//   (1) Time is cut into segments; a booking at t belongs to segment floor(t / segment).
//   (2) The segment of the present and the K before it are counted whole. They cover (t - window, t], so
//       there are never more than `limit` units in any trailing window; and a unit leaves at most one segment
//       late.
//   (3) retry_after is the moment at which enough of the oldest segments have left: exact.
//   (4) Sum and oldest counted segment share one word: a refusal of cost 1 reads that word and writes
//       nothing.
//
// meta = sum:32 | low bits of the oldest counted segment:32. `newest` = the segment of the newest booking,
// the cell's clock. Up to three segments are kept inline as pairs (low bits, count), with their number in
// inline_[6]; the fourth moves the cell to a block of K + 1 counters, where inline_[0] is the place of
// segment `newest`.
//
// Cost: O(1) amortised (each segment is cleared once), O(K) at worst. Compared with a list of bookings in
// segmented_window_test.cc.
#ifndef WEIR_RATELIMIT_INTERNAL_SEGMENTED_WINDOW_H_
#define WEIR_RATELIMIT_INTERNAL_SEGMENTED_WINDOW_H_

#include <algorithm>
#include <cstdint>

#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/internal/cell.h"
#include "weir/ratelimit/internal/events.h"
#include "weir/ratelimit/internal/params.h"

namespace weir::ratelimit::internal {

class SegmentedWindow {
 public:
  SegmentedWindow(const Params& params, Cell& cell, Slab& slab, std::int64_t now) noexcept;

  std::int64_t effective() const noexcept { return std::max(now_, present_ * p_.segment_ns); }
  bool fits(std::uint32_t cost, std::int64_t* wait) const noexcept;
  void book(std::uint32_t cost) noexcept;
  void refund(std::uint32_t cost, std::int64_t when) noexcept;
  void describe(Decision& d) const noexcept;
  void export_events(Events& out) const;

 private:
  std::uint32_t age(std::uint32_t segment) const noexcept {
    return static_cast<std::uint32_t>(present_) - segment;
  }
  std::int64_t leaves_at(std::uint32_t age) const noexcept {
    return (present_ - age + p_.segments + 1) * p_.segment_ns;
  }
  // Count of the segment `age` before the present; 0 beyond K.
  std::uint32_t count_at(std::uint32_t age) const noexcept;
  std::uint32_t* place(std::uint32_t age) const noexcept;  // dense only; age from newest_
  void advance() noexcept;                                 // brings the cell to the present
  void make_dense_if_full() noexcept;                      // when the present needs a fourth pair
  void find_oldest() noexcept;
  bool dense() const noexcept { return cell_.block.mine() != kNoBlock; }
  void save() noexcept { cell_.meta.store(std::uint64_t{sum_} << 32 | oldest_); }

  const Params& p_;
  Cell& cell_;
  Slab& slab_;
  std::int64_t now_;
  std::int64_t newest_;   // segment the counters stand at
  std::int64_t present_;  // max(segment of now, newest)
  std::uint32_t sum_;     // of all counters of the cell, those that have left included
  std::uint32_t oldest_;  // low bits of the oldest segment with a count; meaningless when sum_ is 0
  std::uint32_t live_;    // sum_ without those that have left
};

inline bool segmented_refuses(const FastParams& fast, std::uint64_t head, const Cell& cell, std::int64_t now,
                              Decision& d) noexcept {
  const auto limit = static_cast<std::uint32_t>(head >> 32);
  const std::uint64_t meta = cell.meta.load();
  if (static_cast<std::uint32_t>(meta >> 32) != limit) return false;
  const std::int64_t segment = fast.a.load();
  const std::int64_t segments = fast.b.load();
  if (segment <= 0) return false;  // torn by a change of policy; the sequence will say so
  const std::int64_t newest = cell.newest.load();
  const std::int64_t present = std::max(divide_down(now, segment), newest);
  const std::uint32_t age = static_cast<std::uint32_t>(present) - static_cast<std::uint32_t>(meta);
  if (present - newest > segments || age > segments) return false;
  d.retry_after = Duration{(present - age + segments + 1) * segment - now};
  d.next_after = d.retry_after;
  d.reset_after = Duration{(newest + segments + 1) * segment - now};
  return true;
}

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_SEGMENTED_WINDOW_H_
