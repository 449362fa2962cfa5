// What an operator does with a limiter: new policies, limits for single keys, sweeping, figures.
#include <algorithm>
#include <utility>

#include "weir/ratelimit/internal/keyed_state.h"

namespace weir::ratelimit {

using base::Hash128;
using internal::Held;
using internal::Override;
using internal::Place;
using internal::Shard;
using internal::Slot;

Result<void> KeyedRateLimiter::set_policy(TimePoint now, const Policy& policy) {
  if (Result<void> ok = validate(policy); !ok) return ok;
  State& state = *state_;
  std::lock_guard guard(state.policy_lock);
  const internal::Params next = internal::make_params(policy);
  std::uint32_t capacity = state.layout.max_keys;
  if (state.options.max_bytes != 0) {
    capacity = std::min(capacity, internal::fitted(state.options, next.block_words).max_keys);
    if (state.keys.used.load(std::memory_order_relaxed) > capacity)
      return Error(ErrorCode::too_large, "limit: the known keys would not fit max_bytes");
  }
  state.keys.max.store(capacity, std::memory_order_relaxed);
  if (internal::same_shape(internal::make_params(state.policy), next)) {
    for (std::uint32_t i = 0; i < state.layout.shards; ++i) state.migrate(i, now, policy, next, nullptr);
  } else {
    internal::Pages fresh(internal::blocks_bytes(state.layout, next.block_words));
    for (std::uint32_t i = 0; i < state.layout.shards; ++i) state.migrate(i, now, policy, next, &fresh);
    state.blocks.swap(fresh);
  }
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
    for (const auto& o : state.overridden[i]) sum.bytes += sizeof(Override) + o->slab.bytes();
    if (s.overflowed != 0) sum.bytes += internal::sketch_bytes(state.layout);
    sum.allowed += s.allowed;
    sum.evicted += s.evicted;
    sum.overflowed += s.overflowed;
    block_words = s.params.block_words;
  }
  for (const internal::Stripe& stripe : state.stripes)
    sum.refused += stripe.refused.load(std::memory_order_relaxed);
  sum.bytes_max = internal::bytes_max(state.layout, block_words);
  return sum;
}

Result<void> KeyedRateLimiter::set_override(TimePoint now, std::string_view key, std::uint32_t limit) {
  State& state = *state_;
  std::lock_guard guard(state.policy_lock);
  Policy own = state.policy;
  own.algorithm = effective_algorithm(own);  // of the policy, whatever the key's own limit
  own.limit = limit;
  if (Result<void> ok = validate(own); !ok) return ok;
  const internal::Params params = internal::make_params(own);
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  auto& list = state.overridden[state.shard_index(hash)];
  Held held(s.lock);
  const std::int64_t at = state.line(s.params.algorithm, now);
  const Place place = state.find(s, hash);
  internal::Events events;
  if (place.cell != nullptr) internal::export_events(*place.params, *place.cell, *place.slab, at, events);
  if (place.cell == nullptr) {
    std::int64_t present = at;
    if (const std::uint32_t units = s.in_sketch(hash, at, &present); units != 0) events = {{present, units}};
  }
  if (place.cell == nullptr || place.slot != nullptr) {
    if (state.overrides == kOverridesMax)
      return Error(ErrorCode::too_large, "override: there are 1024 already");
    auto added = std::make_unique<Override>();
    added->key = hash;
    list.push_back(std::move(added));
    ++state.overrides;
    if (place.slot != nullptr) s.erase(place.slot, state.keys);
  }
  Override& mine = **std::find_if(list.begin(), list.end(), [&](const auto& o) { return o->key == hash; });
  mine.use(params);
  internal::import_events(mine.params, mine.cell, mine.slab, at, events);
  return {};
}

bool KeyedRateLimiter::clear_override(TimePoint now, std::string_view key) {
  State& state = *state_;
  std::lock_guard guard(state.policy_lock);
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  auto& list = state.overridden[state.shard_index(hash)];
  Held held(s.lock);
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& o) { return o->key == hash; });
  if (found == list.end()) return false;
  const std::int64_t at = state.line(s.params.algorithm, now);
  internal::Events events;
  internal::export_events((*found)->params, (*found)->cell, (*found)->slab, at, events);
  list.erase(found);
  --state.overrides;
  state.import(s, hash, now, events);
  return true;
}

std::vector<KeyedRateLimiter::DeniedKey> KeyedRateLimiter::top_denied() const {
  return state_->top_denied.list();
}

}  // namespace weir::ratelimit
