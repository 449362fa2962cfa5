#include "weir/ratelimit/internal/shard.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weir::ratelimit::internal {

void Shard::use(Slot* slots, std::uint64_t* tags, std::uint32_t buckets,
                std::span<std::uint32_t> sketch_cells, std::uint32_t sketch_width) noexcept {
  slots_ = slots;
  tags_ = tags;
  buckets_ = buckets;
  sketch.use(sketch_cells, sketch_width);
}

void Shard::set_params(const Params& next, std::uint32_t* blocks) {
  params = next;
  fast.store(next);
  slab.use(blocks, next.block_words);
  sketch.set_window(next.algorithm == Algorithm::concurrency ? 0 : next.window_ns,
                    next.algorithm == Algorithm::fixed_window);
}

void Shard::set_flags(const Params& next) {
  params = next;
  fast.store(next);
}

std::uint8_t Shard::tag(std::uint32_t i) const noexcept {
  return static_cast<std::uint8_t>(tags_[i / 8] >> (i % 8 * 8));
}

void Shard::set_tag(std::uint32_t i, std::uint8_t tag) noexcept {
  const unsigned at = i % 8 * 8;
  const std::uint64_t word = (tags_[i / 8] & ~(std::uint64_t{0xff} << at)) | std::uint64_t{tag} << at;
  std::atomic_ref<std::uint64_t>(tags_[i / 8]).store(word, std::memory_order_release);
}

std::uint32_t Shard::free_in(std::uint32_t bucket) const noexcept {
  std::uint32_t free = 0;
  for (std::uint32_t i = 0; i < kWays; ++i) free += tag(bucket * kWays + i) == 0 ? 1 : 0;
  return free;
}

void Shard::erase(Slot* slot, Keys& keys) noexcept {
  slab.give(slot->cell.block.mine());
  slot->low.store(0);  // who found it without the lock asks holds() again
  slot->high.store(0);
  set_tag(static_cast<std::uint32_t>(slot - slots_), 0);
  keys.release();
}

bool Shard::forget_if_idle(std::uint32_t i, std::int64_t now, Keys& keys,
                           std::span<Slot* const> pinned) noexcept {
  Slot* slot = &slots_[i];
  if (tag(i) == 0 || !fresh(params, slot->cell, now)) return false;
  if (std::find(pinned.begin(), pinned.end(), slot) != pinned.end()) return false;
  erase(slot, keys);
  horizon = std::max(horizon, now);
  ++evicted;
  return true;
}

std::uint32_t Shard::evict_idle(std::int64_t now, std::uint32_t budget, Keys& keys,
                                std::span<Slot* const> pinned) noexcept {
  std::uint32_t gone = 0;
  for (budget = std::min(budget, slot_count()); budget > 0; --budget) {
    gone += forget_if_idle(hand_, now, keys, pinned) ? 1 : 0;
    hand_ = hand_ + 1 == slot_count() ? 0 : hand_ + 1;
  }
  return gone;
}

bool Shard::relieve(std::uint32_t bucket, std::span<Slot* const> pinned) noexcept {
  for (std::uint32_t i = bucket * kWays; i < (bucket + 1) * kWays; ++i) {
    Slot* from = &slots_[i];
    const Home home = home_of({from->low.mine(), from->high.mine()});
    const std::uint32_t other = home.first == bucket ? home.second : home.first;
    if (free_in(other) == 0 || std::find(pinned.begin(), pinned.end(), from) != pinned.end()) continue;
    std::uint32_t free = other * kWays;
    while (tag(free) != 0) ++free;
    Slot* to = &slots_[free];
    to->cell.newest.store(from->cell.newest.mine());
    to->cell.meta.store(from->cell.meta.mine());
    to->cell.block.store(from->cell.block.mine());
    std::copy(std::begin(from->cell.inline_), std::end(from->cell.inline_), to->cell.inline_);
    to->low.store(from->low.mine());
    to->high.store(from->high.mine());
    set_tag(free, home.tag);
    from->low.store(0);
    from->high.store(0);
    set_tag(i, 0);
    return true;
  }
  return false;
}

Slot* Shard::add(base::Hash128 key, std::int64_t now, Keys& keys, std::span<Slot* const> pinned) noexcept {
  const Home home = home_of(key);
  std::uint32_t first = free_in(home.first);
  std::uint32_t second = free_in(home.second);
  if (first + second == 0) {
    // Both buckets are full: a key of theirs moves, or an idle one goes.
    if (relieve(home.first, pinned)) {
      first = 1;
    } else if (relieve(home.second, pinned)) {
      second = 1;
    }
    for (std::uint32_t i = 0; i < kLooks && first + second == 0; ++i) {
      const std::uint32_t way = (hand_ + i / 2) % kWays;
      const std::uint32_t in = i % 2 == 0 ? home.first : home.second;
      if (forget_if_idle(in * kWays + way, now, keys, pinned)) ++(in == home.first ? first : second);
    }
    hand_ = hand_ + kLooks / 2 < slot_count() ? hand_ + kLooks / 2 : 0;
    if (first + second == 0) return nullptr;
  }
  if (!keys.reserve()) {
    if (evict_idle(now, kLooks, keys, pinned) == 0 || !keys.reserve()) return nullptr;
  }
  const std::uint32_t bucket = first >= second ? home.first : home.second;
  std::uint32_t i = bucket * kWays;
  while (tag(i) != 0) ++i;
  Slot* slot = &slots_[i];
  reset(slot->cell);
  if (horizon > now) charge(params, slot->cell, slab, horizon, 0);  // (3)
  slot->low.store(key.low);
  slot->high.store(key.high);
  set_tag(i, home.tag);
  return slot;
}

std::uint32_t Shard::in_sketch(base::Hash128 key, std::int64_t now, std::int64_t* present) noexcept {
  if (sketch.empty()) return 0;
  *present = sketch.advance(std::max(now, horizon));
  return sketch.empty() ? 0 : sketch.estimate(key);
}

Decision Shard::decide_in_sketch(base::Hash128 key, std::int64_t now, std::uint32_t cost, Want want,
                                 Book book) noexcept {
  const bool concurrency = params.algorithm == Algorithm::concurrency;
  const std::int64_t present = sketch.advance(std::max(now, horizon));
  const std::uint32_t room = std::min(params.limit, params.shown_limit);
  if (cost == 0) cost = 1, book = Book::no;
  std::uint32_t used = sketch.estimate(key);
  Decision d;
  d.limit = params.shown_limit;
  d.charged_at = TimePoint{Duration{present}};
  d.allowed = !params.deny_when_full && used <= room && cost <= room - used;
  if (book == Book::yes) {
    ++overflowed;
    if (d.allowed || params.count_rejected) {
      sketch.add(key, cost, concurrency);
      used = sketch.estimate(key);
    }
  }
  const Duration clear{concurrency ? 0 : params.deny_when_full ? params.window_ns : sketch.clear_at() - now};
  if (!d.allowed) {
    d.reason = params.shadow ? Reason::shadow : Reason::table_full;
    d.allowed = params.shadow;
    d.retry_after = clear;
  }
  if (want == Want::headers) {
    d.remaining = params.deny_when_full || used > room ? 0 : room - used;
    d.next_after = d.reset_after = clear;
  }
  return d;
}

}  // namespace weir::ratelimit::internal
