// The calls on one key: fingerprint -> shard -> place -> cell.
//
// A call first looks without the lock: a known key that is over its limit is refused there, and only a
// counter that belongs to the calling thread's stripe is written. Everything else takes the lock of one
// shard.
#include "weir/ratelimit/keyed_limiter.h"

#include <algorithm>
#include <utility>

#include "weir/ratelimit/internal/keyed_state.h"

namespace weir::ratelimit {

using base::Hash128;
using internal::Book;
using internal::Held;
using internal::Place;
using internal::Shard;
using internal::Slot;

KeyedRateLimiter::KeyedRateLimiter(const Policy& policy, const Options& options)
    : state_(std::make_unique<State>(policy, options, internal::make_params(policy))) {}

KeyedRateLimiter::~KeyedRateLimiter() = default;

// One variable is returned everywhere, and the hash is passed as two words: so neither is copied through the
// stack.
Decision KeyedRateLimiter::allow_at(TimePoint now, std::string_view key, std::uint32_t cost,
                                    Want want) noexcept {
  Decision d;
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Slot* slot = nullptr;
  if (state.refuse_unlocked(s, hash, now, cost, &slot, d)) {
    state.count_refused(key, hash);
    return d;
  }
  if (slot != nullptr && cost == 1 && internal::has_short_way(s.fast.head.load())) [[likely]] {
    Held held(s.lock);
    // What was seen without the lock may have been forgotten meanwhile.
    const std::int64_t at = now.time_since_epoch().count();
    if (slot->holds(hash) && internal::takes_one(s.fast, slot->cell, s.slab, at, d)) [[likely]] {
      if (want == Want::headers) internal::describe(s.params, slot->cell, s.slab, at, d);
      ++s.allowed;
      return d;
    }
  }
  state.allow(s, slot, hash, key, now, cost, want, d);
  return d;
}

Decision KeyedRateLimiter::peek_at(TimePoint now, std::string_view key) const noexcept {
  Decision d;
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Held held(s.lock);
  state.peek(s, state.find(s, hash), hash, now, d);
  return d;
}

void KeyedRateLimiter::charge_at(TimePoint now, std::string_view key, std::uint32_t cost) noexcept {
  if (cost == 0) return;
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Held held(s.lock);
  if (s.params.shown_limit == 0) return;
  const Place place = state.find_or_add(s, hash, now, std::min(cost, s.params.max_cost), {});
  state.charge(s, place, hash, state.line(s.params.algorithm, now), cost);
}

void KeyedRateLimiter::refund_at(TimePoint now, std::string_view key, std::uint32_t cost,
                                 TimePoint charged_at) noexcept {
  State& state = *state_;
  const Hash128 hash = state.hash(key);
  Shard& s = state.shard(hash);
  Held held(s.lock);
  state.refund(s, state.find(s, hash), hash, now, cost, charged_at);
}

Reservation KeyedRateLimiter::reserve_at(TimePoint now, std::string_view key, std::uint32_t cost,
                                         Want want) noexcept {
  const Decision decision = allow_at(now, key, cost, want);
  return Reservation(*this, state_->hash(key), cost, decision);
}

void Reservation::give_back(TimePoint now) noexcept {
  KeyedRateLimiter::State& state = *std::exchange(limiter_, nullptr)->state_;
  const Hash128 hash{low_, high_};
  Shard& s = state.shard(hash);
  Held held(s.lock);
  state.refund(s, state.find(s, hash), hash, now, cost_, decision_.charged_at);
}

}  // namespace weir::ratelimit
