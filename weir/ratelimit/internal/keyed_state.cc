// Sizes. Slots for max_keys at a load of 0.85 (the buckets would hold more: keys.max is the true cap), spread
// over shards of at least 512 keys, so that chance loads no shard beyond its slots: 4.4 standard deviations
// at the smallest. One zeroed allocation for slots, one for tags, one for sketches; pages are real once
// touched.
#include "weir/ratelimit/internal/keyed_state.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace weir::ratelimit {

using base::Hash128;
using internal::Book;
using internal::Held;
using internal::Layout;
using internal::Place;
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

// Threads lie far apart in memory, so the address of a thread's own variable tells them apart well enough to
// keep them off each other's line. Two threads on one stripe are slower, not wrong.
std::uint32_t stripe_of_thread() noexcept {
  static thread_local char here;
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(&here) * 0x9e3779b97f4a7c15ULL >> 60);
}

}  // namespace

namespace internal {

std::uint64_t sketch_bytes(const Layout& l) noexcept { return 4 * Sketch::words(l.sketch_width); }

std::size_t blocks_bytes(const Layout& l, std::uint32_t block_words) noexcept {
  return std::size_t{l.shards} * l.buckets * Shard::kWays * 4 * block_words;
}

std::uint64_t bytes_max(const Layout& l, std::uint32_t block_words) noexcept {
  const std::uint64_t slots = std::uint64_t{l.buckets} * Shard::kWays;
  // Each shard hands its own blocks out again, so all shards together may hold more blocks than there are
  // keys.
  const std::uint64_t blocks = l.shards == 1 ? std::min<std::uint64_t>(slots, l.max_keys) : slots;
  return l.shards * (sizeof(Shard) + slots * (sizeof(Slot) + 1) + sketch_bytes(l) + 4 * blocks * block_words);
}

Pages::Pages(std::size_t bytes, bool dense) {
  constexpr std::size_t kLargePage = std::size_t{2} << 20;
  if (bytes == 0) return;
  const bool large = dense && bytes >= 4 * kLargePage;
  bytes_ = large ? bytes + kLargePage : bytes;
  void* at =
      ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  mapping_ = data_ = at;
  if (!large) return;
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  data_ = reinterpret_cast<void*>((address + kLargePage - 1) / kLargePage * kLargePage);
  ::madvise(data_, bytes, MADV_HUGEPAGE);  // a wish: nothing depends on it
}

Pages::~Pages() {
  if (mapping_ != nullptr) ::munmap(mapping_, bytes_);
}

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

}  // namespace internal

KeyedRateLimiter::State::State(const Policy& first, const Options& o, const internal::Params& params)
    : options(o),
      layout(internal::fitted(o, params.block_words)),
      slots(std::size_t{layout.shards} * slots_per_shard() * sizeof(Slot), true),
      tags(std::size_t{layout.shards} * slots_per_shard()),
      sketch_cells(layout.shards * internal::sketch_bytes(layout)),
      blocks(internal::blocks_bytes(layout, params.block_words)),
      shards(new Shard[layout.shards]),
      overridden(layout.shards),
      top_denied(std::min(o.top_denied, kTopDeniedMax)),
      policy(first) {
  keys.max = layout.max_keys;
  for (std::uint32_t i = 0; i < layout.shards; ++i) {
    const std::size_t words = internal::Sketch::words(layout.sketch_width);
    shards[i].use(slots.as<Slot>() + std::size_t{i} * slots_per_shard(),
                  tags.as<std::uint64_t>() + std::size_t{i} * layout.buckets * 2, layout.buckets,
                  {sketch_cells.as<std::uint32_t>() + i * words, words}, layout.sketch_width);
    shards[i].set_params(params, blocks_of(blocks, i, params.block_words));
  }
}

void KeyedRateLimiter::State::count_refused(std::string_view key, Hash128 hash) noexcept {
  stripes[stripe_of_thread()].refused.fetch_add(1, std::memory_order_relaxed);
  if (top_denied.on()) top_denied.add(key, hash);
}

Place KeyedRateLimiter::State::find(Shard& s, Hash128 key) const noexcept {
  if (Slot* slot = s.find(key)) return at(s, slot);
  for (const auto& o : overridden[shard_index(key)])
    if (o->key == key) return {&o->params, &o->cell, &o->slab, nullptr};
  return {&s.params, nullptr, &s.slab, nullptr};
}

Place KeyedRateLimiter::State::find_or_add(Shard& s, Hash128 key, TimePoint when, std::uint32_t cost,
                                           std::span<Slot* const> pinned) noexcept {
  Place place = find(s, key);
  if (place.cell != nullptr || cost > s.params.max_cost) return place;  // what can never pass leaves no trace
  const std::int64_t now = line(s.params.algorithm, when);
  std::int64_t present = now;
  const std::uint32_t before = s.in_sketch(key, now, &present);
  if (before != 0) {
    // Units out of a concurrency limit will be given back where they were taken.
    if (s.params.algorithm == Algorithm::concurrency || before > kInlineUnits) return place;
    if (before >= s.params.limit || cost > s.params.limit - before) return place;
  }
  Slot* slot = s.add(key, now, keys, pinned);
  if (slot == nullptr) return place;
  if (before != 0) internal::charge(s.params, slot->cell, s.slab, present, before);
  return at(s, slot);
}

void KeyedRateLimiter::State::decide(Shard& s, const Place& place, Hash128 key, TimePoint now,
                                     std::uint32_t cost, Want want, Book book, Decision& d) noexcept {
  const std::int64_t at = line(place.params->algorithm, now);
  if (place.cell != nullptr) [[likely]] {
    internal::decide(*place.params, *place.cell, *place.slab, at, cost, want, book, d);
  } else if (cost > place.params->max_cost) {
    internal::impossible(*place.params, d);
  } else {
    d = s.decide_in_sketch(key, at, cost, want, book);
  }
  d.charged_at -= Duration{at - now.time_since_epoch().count()};
}

void KeyedRateLimiter::State::allow(Shard& s, Slot* seen, Hash128 hash, std::string_view key, TimePoint now,
                                    std::uint32_t cost, Want want, Decision& d) noexcept {
  {
    Held held(s.lock);
    if (cost == 0) return peek(s, find(s, hash), hash, now, d);
    const Place place =
        seen != nullptr && seen->holds(hash) ? at(s, seen) : find_or_add(s, hash, now, cost, {});
    decide(s, place, hash, now, cost, want, Book::yes, d);
    if (d.reason == Reason::ok) {
      ++s.allowed;
      return;
    }
  }
  count_refused(key, hash);
}

void KeyedRateLimiter::State::peek(Shard& s, const Place& place, Hash128 key, TimePoint now,
                                   Decision& d) noexcept {
  std::int64_t present = 0;
  Slot unknown{};
  Place looked_at = place;
  if (place.cell == nullptr && s.in_sketch(key, line(s.params.algorithm, now), &present) == 0)
    looked_at = at(s, &unknown);
  decide(s, looked_at, key, now, 1, Want::headers, Book::no, d);
}

void KeyedRateLimiter::State::charge(Shard& s, const Place& place, Hash128 key, std::int64_t at,
                                     std::uint32_t cost) noexcept {
  if (place.cell != nullptr) {
    internal::charge(*place.params, *place.cell, *place.slab, at, cost);
    return;
  }
  s.sketch.advance(std::max(at, s.horizon));
  s.sketch.add(key, std::min(cost, s.params.shown_limit), s.params.algorithm == Algorithm::concurrency);
  ++s.overflowed;
}

void KeyedRateLimiter::State::refund(Shard& s, const Place& place, Hash128 key, TimePoint now,
                                     std::uint32_t cost, TimePoint charged_at) noexcept {
  const Algorithm algorithm = s.params.algorithm;
  const std::int64_t at = line(algorithm, now);
  if (algorithm != Algorithm::concurrency) {
    if (place.cell != nullptr)
      internal::refund(*place.params, *place.cell, *place.slab, at, cost, line(algorithm, charged_at));
    return;
  }
  // What the cell does not hold was taken through the sketch.
  const auto held_here = place.cell == nullptr ? 0U : static_cast<std::uint32_t>(place.cell->meta.mine());
  const std::uint32_t here = std::min(cost, held_here);
  if (here != 0) internal::refund(*place.params, *place.cell, *place.slab, at, here, at);
  if (cost > here && !s.sketch.empty()) s.sketch.remove(key, cost - here);
}

void KeyedRateLimiter::State::import(Shard& s, Hash128 key, TimePoint now,
                                     const internal::Events& events) noexcept {
  if (events.empty() || s.params.shown_limit == 0) return;
  const std::int64_t at = line(s.params.algorithm, now);
  const Place place = find_or_add(s, key, now, 1, {});
  if (place.cell != nullptr) {
    internal::import_events(*place.params, *place.cell, *place.slab, at, events);
    return;
  }
  for (const internal::Event& event : events)
    if (internal::counts(s.params, at - event.at_ns)) charge(s, place, key, at, event.units);
}

void KeyedRateLimiter::State::migrate(std::uint32_t shard_at, TimePoint now, const Policy& next_policy,
                                      const internal::Params& next, const internal::Pages* fresh) {
  Shard& s = shards[shard_at];
  Held held(s.lock);
  const std::int64_t from = line(s.params.algorithm, now);
  const std::int64_t to = line(next.algorithm, now);
  internal::Events events;
  const auto take = [&](const internal::Params& p, internal::Cell& cell, internal::Slab& slab) {
    internal::export_events(p, cell, slab, from, events);
    for (internal::Event& event : events) event.at_ns += to - from;
  };
  for (auto& o : overridden[shard_at]) {
    take(o->params, o->cell, o->slab);
    const std::uint32_t limit = o->params.limit;
    Policy own = next_policy;
    own.algorithm = next.algorithm;
    own.limit = limit;
    o->use(validate(own) ? internal::make_params(own) : next);  // the new algorithm may not have this limit
    internal::import_events(o->params, o->cell, o->slab, to, events);
  }
  if (fresh == nullptr) {
    s.set_flags(next);
    return;
  }
  // Everything is taken out before anything goes in: blocks of the old size go, blocks of the new size come.
  std::vector<std::pair<Slot*, internal::Events>> all;
  for (std::uint32_t i = 0; i < s.slot_count(); ++i) {
    if (!s.taken(i)) continue;
    take(s.params, s.slot(i)->cell, s.slab);
    all.emplace_back(s.slot(i), events);
  }
  s.set_params(next, blocks_of(*fresh, shard_at, next.block_words));
  for (auto& [slot, saved] : all) {
    internal::reset(slot->cell);
    internal::import_events(s.params, slot->cell, s.slab, to, saved);
  }
  if (s.horizon != INT64_MIN) s.horizon += to - from;
}

}  // namespace weir::ratelimit
