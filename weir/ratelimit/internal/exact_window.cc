#include "weir/ratelimit/internal/exact_window.h"

#include <algorithm>

#include <array>

namespace weir::ratelimit::internal {

// From the inline ring to the block: straighten the ring, then let it go on behind its old end.
void ExactWindow::grow() noexcept {
  const std::uint32_t block = slab_.take();
  std::array<std::uint32_t, kInlineRing> straight{};
  for (std::uint32_t i = 1; i < count_; ++i) straight[i - 1] = element(i);
  std::copy(straight.begin(), straight.end(), cell_.inline_);
  head_ = 0;
  cell_.block.store(block);
  block_ = slab_.at(block);
  ring_ = p_.limit - 1;
}

void ExactWindow::refund(std::uint32_t cost, std::int64_t when) noexcept {
  const auto tick = static_cast<std::uint32_t>(instant(when, p_.shift).ceil);
  const std::uint32_t dead = expired();
  std::uint32_t end = count_;  // one behind the youngest booking of that tick
  while (end > dead && age(element(end - 1)) < age(tick)) --end;
  std::uint32_t begin = end;
  while (begin > dead && end - begin < cost && element(begin - 1) == tick) --begin;
  const std::uint32_t gone = end - begin;
  if (gone == 0) return;
  // The younger ones move down over the gap.
  for (std::uint32_t i = end; i < count_; ++i) {
    if (i - gone == 0) {
      oldest_ = element(i);
    } else {
      slot(wrap(head_ + i - gone - 1)) = element(i);
    }
  }
  count_ -= gone;
  save();
}

void ExactWindow::describe(Decision& d) const noexcept {
  const std::uint32_t dead = expired();
  const std::uint32_t live = count_ - dead;
  d.remaining = p_.limit > live ? p_.limit - live : 0;
  if (live == 0) return;
  // A booking was rounded up to a tick: for whoever is told, the room of this moment comes back in one window, not in
  // one window and a tick (which a field of whole seconds would round to a second more).
  d.next_after = Duration{std::min(leaves_at(element(dead)) - now_, p_.window_ns)};
  d.reset_after = Duration{leaves_at(element(count_ - 1)) - now_};
}

void ExactWindow::export_events(Events& out) const {
  for (std::uint32_t i = 0; i < count_; ++i) out.push_back({tick_start(element(i)), 1});
}

}  // namespace weir::ratelimit::internal
