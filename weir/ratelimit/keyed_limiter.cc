// The keyed table: fingerprint -> shard -> slot -> cell.
//
// A call first looks without the lock: a known key that is over its limit is refused there, and only a
// counter that belongs to the calling thread's stripe is written. Everything else takes the lock of one
// shard.
//
// Sizes. Slots for max_keys at a load of 0.85 (two-choice buckets of 16 hold more: keys.max is the true cap),
// spread over shards of at least 512 keys, so that chance loads no shard beyond its slots: 4.4 standard
// deviations at the smallest. One zeroed allocation for slots, one for tags, one for sketches; pages are real
// once touched.
#include "weir/ratelimit/keyed_limiter.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "weir/base/check.h"
#include "weir/ratelimit/internal/keyed_state.h"

namespace weir::ratelimit {

using base::Hash128;
using internal::Book;
using internal::Held;
using internal::Layout;
using internal::Shard;
using internal::Slot;

namespace {

constexpr std::uint32_t kKeysPerShard = 512;
constexpr std::uint32_t kShardsMax = 1024;
constexpr std::uint32_t kInlineUnits =
    7;  // so much from the sketch still fits a new key's cell with one more

Layout layout_for(std::uint32_t max_keys, std::uint32_t shards) {
  Layout l{};
  l.max_keys = std::max(max_keys, 1U);
  l.shards = shards != 0 ? std::min(std::bit_ceil(shards), kShardsMax)
                         : std::clamp(std::bit_floor(l.max_keys / kKeysPerShard), 1U, kShardsMax);
  const std::uint64_t keys = (std::uint64_t{l.max_keys} + l.shards - 1) / l.shards;
  const std::uint64_t slots = keys * 20 / 17 + 1;  // load 0.85
  l.buckets = static_cast<std::uint32_t>((slots + Shard::kWays - 1) / Shard::kWays);
  l.sketch_width = std::clamp(std::bit_ceil(static_cast<std::uint32_t>(keys)) / 2, 64U, 4096U);
  return l;
}

std::uint64_t sketch_bytes(const Layout& l) { return 4 * internal::Sketch::words(l.sketch_width); }

std::uint64_t bytes_max(const Layout& l, std::uint32_t block_words) {
  const std::uint64_t slots = std::uint64_t{l.buckets} * Shard::kWays;
  const std::uint64_t blocks = std::min<std::uint64_t>(slots, l.max_keys);
  return l.shards * (sizeof(Shard) + slots * (sizeof(Slot) + 1) + sketch_bytes(l) +
                     internal::Slab::bytes_for(block_words, blocks));
}

// The largest table of at most max_keys keys that stays within max_bytes.
Layout fitted(const KeyedRateLimiter::Options& options, std::uint32_t block_words) {
  const Layout whole = layout_for(options.max_keys, options.shards);
  if (options.max_bytes == 0 || bytes_max(whole, block_words) <= options.max_bytes) return whole;
  std::uint32_t low = 1;
  std::uint32_t high = whole.max_keys;
  while (low < high) {
    const std::uint32_t middle = low + (high - low + 1) / 2;
    if (bytes_max(layout_for(middle, options.shards), block_words) <= options.max_bytes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return layout_for(low, options.shards);
}

// Threads lie far apart in memory, so the address of a thread's own variable tells them apart well enough to
// keep them off each other's line. Two threads on one stripe are slower, not wrong.
std::uint32_t stripe_of_thread() noexcept {
  static thread_local char here;
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(&here) * 0x9e3779b97f4a7c15ULL >> 60);
}

}  // namespace

KeyedRateLimiter::State::State(const Policy& first, const Options& o, const internal::Params& params)
    : options(o),
      layout(fitted(o, params.block_words)),
      slots(std::size_t{layout.shards} * layout.buckets * Shard::kWays),
      tags(std::size_t{layout.shards} * layout.buckets * 2),
      sketch_cells(layout.shards * internal::Sketch::words(layout.sketch_width)),
      shards(new Shard[layout.shards]),
      policy(first) {
  keys.max = layout.max_keys;
  for (std::uint32_t i = 0; i < layout.shards; ++i) {
    const std::size_t words = internal::Sketch::words(layout.sketch_width);
    shards[i].use(slots.data() + std::size_t{i} * layout.buckets * Shard::kWays,
                  tags.data() + std::size_t{i} * layout.buckets * 2, layout.buckets,
                  {sketch_cells.data() + i * words, words}, layout.sketch_width);
    shards[i].set_params(params);
  }
}

void KeyedRateLimiter::State::count_refused() noexcept {
  stripes[stripe_of_thread()].refused.fetch_add(1, std::memory_order_relaxed);
}

bool KeyedRateLimiter::State::refuse_unlocked(const Shard& s, const Hash128& key, TimePoint now,
                                              std::uint32_t cost, Slot** seen_slot,
                                              Decision& d) const noexcept {
  const std::uint64_t seen = s.lock.read_begin();
  if (internal::SeqLock::held(seen)) [[unlikely]]
    return false;
  *seen_slot = s.find(key);
  if (*seen_slot == nullptr) return false;
  const std::uint64_t head = s.fast.head.load();
  if (!internal::refuses(s.fast, head, (*seen_slot)->cell, line(internal::algorithm_of(head), now), cost, d))
    return false;
  if (s.lock.unchanged(seen)) [[likely]]
    return true;
  d = Decision{};
  return false;
}

Slot* KeyedRateLimiter::State::place(Shard& s, const Hash128& key, std::int64_t now, std::uint32_t cost,
                                     std::span<Slot* const> pinned) noexcept {
  if (cost > s.params.max_cost) return nullptr;  // never admitted: leaves no trace
  std::int64_t present = now;
  const std::uint32_t before = s.in_sketch(key, now, &present);
  if (before != 0) {
    // Units out of a concurrency limit will be given back where they were taken.
    if (s.params.algorithm == Algorithm::concurrency || before > kInlineUnits) return nullptr;
    if (before >= s.params.limit || cost > s.params.limit - before) return nullptr;
  }
  Slot* slot = s.add(key, now, keys, pinned);
  if (slot != nullptr && before != 0) internal::charge(s.params, slot->cell, s.slab, present, before);
  return slot;
}

void KeyedRateLimiter::State::decide(Shard& s, Slot* slot, const Hash128& key, TimePoint now,
                                     std::uint32_t cost, Want want, Book book, Decision& d) noexcept {
  const std::int64_t at = line(s.params.algorithm, now);
  if (slot != nullptr) [[likely]] {
    internal::decide(s.params, slot->cell, s.slab, at, cost, want, book, d);
  } else if (cost > s.params.max_cost) {
    internal::impossible(s.params, d);
  } else {
    d = s.decide_in_sketch(key, at, cost, want, book);
  }
  d.charged_at -= Duration{at - now.time_since_epoch().count()};
}

KeyedRateLimiter::KeyedRateLimiter(const Policy& policy, const Options& options)
    : state_(std::make_unique<State>(policy, options, internal::make_params(policy))) {}

KeyedRateLimiter::~KeyedRateLimiter() = default;

Decision KeyedRateLimiter::allow_at(TimePoint now, std::string_view key, std::uint32_t cost,
                                    Want want) noexcept {
  if (cost == 0) [[unlikely]]
    return peek_at(now, key);
  Decision d;
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Slot* slot = nullptr;
  if (state.refuse_unlocked(s, hash, now, cost, &slot, d)) {
    state.count_refused();
    return d;
  }
  {
    Held held(s.lock);
    // What was seen without the lock may have been forgotten meanwhile.
    if (slot == nullptr || !slot->holds(hash)) [[unlikely]] {
      slot = s.find(hash);
      if (slot == nullptr) slot = state.place(s, hash, state.line(s.params.algorithm, now), cost, {});
    }
    if (slot == nullptr || cost != 1 || want != Want::verdict ||
        !internal::exact_takes_one(s.fast, slot->cell, s.slab, now.time_since_epoch().count(), d))
      state.decide(s, slot, hash, now, cost, want, Book::yes, d);
    if (d.reason == Reason::ok) [[likely]] {
      ++s.allowed;
      return d;
    }
  }
  state.count_refused();
  return d;
}

Decision KeyedRateLimiter::peek_at(TimePoint now, std::string_view key) const noexcept {
  Decision d;
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Held held(s.lock);
  if (Slot* slot = s.find(hash)) {
    state.decide(s, slot, hash, now, 1, Want::headers, Book::no, d);
  } else {
    state.peek_unlisted(s, hash, now, d);
  }
  return d;
}

void KeyedRateLimiter::State::peek_unlisted(Shard& s, const Hash128& key, TimePoint now,
                                            Decision& d) noexcept {
  std::int64_t present = 0;
  Slot unknown{};
  const bool counted = s.in_sketch(key, line(s.params.algorithm, now), &present) != 0;
  decide(s, counted ? nullptr : &unknown, key, now, 1, Want::headers, Book::no, d);
}

void KeyedRateLimiter::charge_at(TimePoint now, std::string_view key, std::uint32_t cost) noexcept {
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Held held(s.lock);
  const std::int64_t at = state.line(s.params.algorithm, now);
  cost = std::min(cost, s.params.shown_limit);
  if (cost == 0) return;
  Slot* slot = s.find(hash);
  if (slot == nullptr) slot = state.place(s, hash, at, std::min(cost, s.params.max_cost), {});
  if (slot != nullptr) {
    internal::charge(s.params, slot->cell, s.slab, at, cost);
  } else {
    const bool concurrency = s.params.algorithm == Algorithm::concurrency;
    s.sketch.advance(std::max(at, s.horizon));
    s.sketch.add(hash, cost, concurrency);
    ++s.overflowed;
  }
}

void KeyedRateLimiter::refund_at(TimePoint now, std::string_view key, std::uint32_t cost,
                                 TimePoint charged_at) noexcept {
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Held held(s.lock);
  state.refund(s, s.find(hash), hash, now, cost, charged_at);
}

void KeyedRateLimiter::State::refund(Shard& s, Slot* slot, const Hash128& key, TimePoint now,
                                     std::uint32_t cost, TimePoint charged_at) noexcept {
  const std::int64_t at = line(s.params.algorithm, now);
  if (s.params.algorithm != Algorithm::concurrency) {
    if (slot != nullptr)
      internal::refund(s.params, slot->cell, s.slab, at, cost, line(s.params.algorithm, charged_at));
    return;
  }
  // What the slot does not hold was taken through the sketch.
  const auto held_here = slot == nullptr ? 0U : static_cast<std::uint32_t>(slot->cell.meta.mine());
  const std::uint32_t here = std::min(cost, held_here);
  if (here != 0) internal::refund(s.params, slot->cell, s.slab, at, here, at);
  if (cost > here && !s.sketch.empty()) s.sketch.remove(key, cost - here);
}

void KeyedRateLimiter::State::migrate(Shard& s, TimePoint now, const internal::Params& next) {
  // Everything is taken out first: blocks of the old size go, blocks of the new size come.
  std::vector<std::pair<Slot*, internal::Events>> all;
  Held held(s.lock);
  const std::int64_t from = line(s.params.algorithm, now);
  const std::int64_t to = line(next.algorithm, now);
  internal::Events events;
  for (std::uint32_t i = 0; i < s.slot_count(); ++i) {
    if (!s.taken(i)) continue;
    internal::export_events(s.params, s.slot(i)->cell, s.slab, from, events);
    for (internal::Event& event : events) event.at_ns += to - from;
    all.emplace_back(s.slot(i), events);
  }
  s.set_params(next);
  for (auto& [slot, saved] : all) {
    slot->cell.newest.store(0);
    slot->cell.meta.store(0);
    slot->cell.block = internal::kNoBlock;
    std::fill(std::begin(slot->cell.inline_), std::end(slot->cell.inline_), 0);
    internal::import_events(s.params, slot->cell, s.slab, to, saved);
  }
  if (s.horizon != INT64_MIN) s.horizon += to - from;
}

Result<void> KeyedRateLimiter::set_policy(TimePoint now, const Policy& policy) {
  if (Result<void> ok = validate(policy); !ok) return ok;
  State& state = *state_;
  std::lock_guard guard(state.policy_lock);
  const internal::Params next = internal::make_params(policy);
  std::uint32_t capacity = state.layout.max_keys;
  if (state.options.max_bytes != 0) {
    capacity = std::min(capacity, fitted(state.options, next.block_words).max_keys);
    if (state.keys.used.load(std::memory_order_relaxed) > capacity)
      return Error(ErrorCode::too_large, "limit: the known keys would not fit max_bytes");
  }
  state.keys.max.store(capacity, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < state.layout.shards; ++i) state.migrate(state.shards[i], now, next);
  state.policy = policy;
  return {};
}

Policy KeyedRateLimiter::policy() const {
  std::lock_guard guard(state_->policy_lock);
  return state_->policy;
}

void KeyedRateLimiter::sync_wall(TimePoint now, WallTime wall) noexcept {
  state_->wall_offset.store(wall.time_since_epoch().count() - now.time_since_epoch().count());
}

std::size_t KeyedRateLimiter::evict_idle(TimePoint now, std::size_t budget) noexcept {
  State& state = *state_;
  std::size_t gone = 0;
  for (std::uint32_t i = 0; i < state.layout.shards && budget > 0; ++i) {
    Shard& s = state.shards[state.evict_cursor.fetch_add(1, std::memory_order_relaxed) % state.layout.shards];
    // A shard's lock is held for one share of the budget at a time.
    const auto share = static_cast<std::uint32_t>(std::min<std::size_t>(budget, s.slot_count()));
    for (std::uint32_t done = 0; done < share; done += 64) {
      Held held(s.lock);
      gone += s.evict_idle(state.line(s.params.algorithm, now), std::min(64U, share - done), state.keys, {});
    }
    budget -= share;
  }
  return gone;
}

KeyedRateLimiter::Stats KeyedRateLimiter::stats() const noexcept {
  State& state = *state_;
  Stats sum;
  sum.keys = state.keys.used.load(std::memory_order_relaxed);
  sum.capacity = state.keys.max.load(std::memory_order_relaxed);
  const std::uint64_t slots = std::uint64_t{state.layout.buckets} * Shard::kWays;
  std::uint32_t block_words = 0;
  for (std::uint32_t i = 0; i < state.layout.shards; ++i) {
    Shard& s = state.shards[i];
    Held held(s.lock);
    sum.bytes += sizeof(Shard) + slots * (sizeof(Slot) + 1) + s.slab.bytes();
    if (s.overflowed != 0) sum.bytes += sketch_bytes(state.layout);
    sum.allowed += s.allowed;
    sum.evicted += s.evicted;
    sum.overflowed += s.overflowed;
    block_words = s.params.block_words;
  }
  for (const internal::Stripe& stripe : state.stripes)
    sum.refused += stripe.refused.load(std::memory_order_relaxed);
  sum.bytes_max = bytes_max(state.layout, block_words);
  return sum;
}

}  // namespace weir::ratelimit
