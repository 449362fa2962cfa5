#include "weir/ratelimit/internal/segmented_window.h"

#include <limits>

namespace weir::ratelimit::internal {
namespace {

constexpr std::uint32_t kPairs = 3;

}  // namespace

SegmentedWindow::SegmentedWindow(const Params& params, Cell& cell, Slab& slab, std::int64_t now) noexcept
    : p_(params), cell_(cell), slab_(slab), now_(now), newest_(cell.newest.mine()) {
  const std::uint64_t meta = cell.meta.mine();
  sum_ = static_cast<std::uint32_t>(meta >> 32);
  oldest_ = static_cast<std::uint32_t>(meta);
  const std::int64_t segment = divide_down(now, p_.segment_ns);
  present_ = std::max(segment, newest_);
  live_ = sum_;
  if (sum_ == 0) return;
  if (present_ - newest_ > p_.segments) {
    live_ = 0;
  } else if (age(oldest_) > p_.segments) {
    for (std::uint32_t a = age(oldest_); a > p_.segments; --a) live_ -= count_at(a);
  }
}

std::uint32_t* SegmentedWindow::place(std::uint32_t age) const noexcept {
  const std::uint32_t here = cell_.inline_[0];
  return slab_.at(cell_.block.mine()) + (here >= age ? here - age : here + p_.segments + 1 - age);
}

// Looks at counters that have left, too: those between the present and what advance() has yet to clear.
std::uint32_t SegmentedWindow::count_at(std::uint32_t a) const noexcept {
  if (dense()) {
    const auto behind = static_cast<std::uint32_t>(present_ - newest_);
    if (a < behind || a - behind > p_.segments) return 0;
    return *place(a - behind);
  }
  for (std::uint32_t i = 0; i < cell_.inline_[6]; ++i) {
    if (age(cell_.inline_[2 * i]) == a) return cell_.inline_[2 * i + 1];
  }
  return 0;
}

bool SegmentedWindow::fits(std::uint32_t cost, std::int64_t* wait) const noexcept {
  std::uint32_t left = live_;
  if (left <= p_.limit && cost <= p_.limit - left) return true;
  for (std::uint32_t a = std::min(age(oldest_), p_.segments);; --a) {
    left -= count_at(a);
    if (a == 0 || (left <= p_.limit && cost <= p_.limit - left)) {
      *wait = leaves_at(a) - now_;
      return false;
    }
  }
}

void SegmentedWindow::find_oldest() noexcept {
  for (std::uint32_t a = p_.segments;; --a) {
    if (a == 0 || count_at(a) != 0) {
      oldest_ = static_cast<std::uint32_t>(present_) - a;
      return;
    }
  }
}

void SegmentedWindow::advance() noexcept {
  const std::int64_t behind = present_ - newest_;
  if (dense()) {
    const std::uint32_t ring = p_.segments + 1;
    std::uint32_t* counters = slab_.at(cell_.block.mine());
    if (behind > p_.segments) {
      std::fill(counters, counters + ring, 0);
      cell_.inline_[0] = 0;
    } else {
      for (std::int64_t i = 0; i < behind; ++i) {
        cell_.inline_[0] = cell_.inline_[0] + 1 == ring ? 0 : cell_.inline_[0] + 1;
        counters[cell_.inline_[0]] = 0;
      }
    }
  } else {
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; live_ != 0 && i < cell_.inline_[6]; ++i) {
      if (age(cell_.inline_[2 * i]) > p_.segments || cell_.inline_[2 * i + 1] == 0) continue;
      cell_.inline_[2 * kept] = cell_.inline_[2 * i];
      cell_.inline_[2 * kept + 1] = cell_.inline_[2 * i + 1];
      ++kept;
    }
    cell_.inline_[6] = kept;
  }
  newest_ = present_;
  const bool gone = sum_ == 0 || age(oldest_) > p_.segments || live_ == 0;
  sum_ = live_;
  if (gone && sum_ != 0) find_oldest();
  cell_.newest.store(newest_);
}

void SegmentedWindow::make_dense_if_full() noexcept {
  if (dense() || cell_.inline_[6] < kPairs) return;
  for (std::uint32_t i = 0; i < kPairs; ++i)
    if (age(cell_.inline_[2 * i]) == 0) return;
  const std::uint32_t block = slab_.take();
  std::uint32_t* counters = slab_.at(block);
  std::fill(counters, counters + p_.segments + 1, 0);
  for (std::uint32_t i = 0; i < kPairs; ++i)
    counters[p_.segments - age(cell_.inline_[2 * i])] = cell_.inline_[2 * i + 1];
  cell_.inline_[0] = p_.segments;  // the place of the present
  cell_.block.store(block);
}

void SegmentedWindow::book(std::uint32_t cost) noexcept {
  advance();
  // charge() may book beyond the limit; the sum stays the sum of the counters.
  cost = std::min(cost, std::numeric_limits<std::uint32_t>::max() - sum_);
  if (cost != 0) {
    make_dense_if_full();
    if (sum_ == 0) oldest_ = static_cast<std::uint32_t>(present_);
    sum_ += cost;
    if (dense()) {
      *place(0) += cost;
    } else {
      std::uint32_t i = 0;
      while (i < cell_.inline_[6] && age(cell_.inline_[2 * i]) != 0) ++i;
      if (i == cell_.inline_[6]) {
        cell_.inline_[6] = i + 1;
        cell_.inline_[2 * i] = static_cast<std::uint32_t>(present_);
        cell_.inline_[2 * i + 1] = 0;
      }
      cell_.inline_[2 * i + 1] += cost;
    }
    live_ = sum_;
  }
  save();
}

void SegmentedWindow::refund(std::uint32_t cost, std::int64_t when) noexcept {
  advance();
  const std::int64_t back = present_ - divide_down(when, p_.segment_ns);
  if (back >= 0 && back <= p_.segments && sum_ != 0) {
    const auto a = static_cast<std::uint32_t>(back);
    const std::uint32_t gone = std::min({cost, count_at(a), sum_});
    if (gone != 0) {
      if (dense()) {
        *place(a) -= gone;
      } else {
        for (std::uint32_t i = 0; i < cell_.inline_[6]; ++i) {
          if (age(cell_.inline_[2 * i]) == a) cell_.inline_[2 * i + 1] -= gone;
        }
      }
      sum_ -= gone;
      if (sum_ != 0) find_oldest();
    }
  }
  live_ = sum_;
  save();
}

void SegmentedWindow::describe(Decision& d) const noexcept {
  d.remaining = p_.limit > live_ ? p_.limit - live_ : 0;
  if (live_ == 0) return;
  std::uint32_t a = std::min(age(oldest_), p_.segments);
  while (a != 0 && count_at(a) == 0) --a;
  d.next_after = Duration{leaves_at(a) - now_};
  std::uint32_t youngest = 0;
  while (youngest < a && count_at(youngest) == 0) ++youngest;
  d.reset_after = Duration{leaves_at(youngest) - now_};
}

void SegmentedWindow::export_events(Events& out) const {
  if (live_ == 0) return;
  for (std::uint32_t a = p_.segments + 1; a-- > 0;) {
    const std::uint32_t units = count_at(a);
    if (units != 0) out.push_back({std::min((present_ - a + 1) * p_.segment_ns - 1, effective()), units});
  }
}

}  // namespace weir::ratelimit::internal
