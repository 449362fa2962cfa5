#include "weir/ratelimit/internal/all_or_nothing.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "weir/base/check.h"
#include "weir/ratelimit/internal/keyed_state.h"

namespace weir::ratelimit {
namespace internal {

bool AllOrNothing::run() noexcept {
  if (refused_unlocked()) return false;
  lock();
  place();
  const bool passed = ask();
  if (passed) {
    book();
  } else {
    withdraw();
  }
  unlock();
  for (std::size_t i = 0; i < charges_.size(); ++i)
    if (decisions_[i].reason != Reason::ok && charges_[i].cost != 0)
      charges_[i].limiter->state_->count_refused(charges_[i].key, parts_[i].key());
  return passed;
}

// Under attack nearly every call ends here, without a lock. The other limits are only asked for their
// headers.
bool AllOrNothing::refused_unlocked() noexcept {
  std::size_t refuser = charges_.size();
  Slot* unused = nullptr;
  for (std::size_t i = 0; i < charges_.size(); ++i) {
    KeyedRateLimiter::State& state = *charges_[i].limiter->state_;
    const base::Hash128 key = state.hash(charges_[i].key);
    parts_[i].low = key.low;
    parts_[i].high = key.high;
    parts_[i].shard = &state.shard(key);
    decisions_[i] = Decision{};
    if (refuser == charges_.size() &&
        state.refuse_unlocked(*parts_[i].shard, key, now_, charges_[i].cost, &unused, decisions_[i]))
      refuser = i;
  }
  if (refuser == charges_.size()) return false;
  for (std::size_t i = 0; i < charges_.size(); ++i) {
    if (i == refuser) {
      charges_[i].limiter->state_->count_refused(charges_[i].key, parts_[i].key());
    } else if (want_ == Want::headers) {
      decisions_[i] = charges_[i].limiter->peek_at(now_, charges_[i].key);
    } else {
      decisions_[i].allowed = true;
    }
  }
  return true;
}

void AllOrNothing::lock() noexcept {
  for (std::size_t i = 0; i < charges_.size(); ++i) locks_[lock_count_++] = parts_[i].shard;
  auto* end = locks_.data() + lock_count_;
  std::sort(locks_.data(), end, std::less<>());
  lock_count_ = static_cast<std::size_t>(std::unique(locks_.data(), end) - locks_.data());
  for (std::size_t i = 0; i < lock_count_; ++i) locks_[i]->lock.lock();
}

void AllOrNothing::unlock() noexcept {
  for (std::size_t i = lock_count_; i > 0; --i) locks_[i - 1]->lock.unlock();
}

void AllOrNothing::place() noexcept {
  std::array<Slot*, kChargesMax> pinned;
  for (std::size_t i = 0; i < charges_.size(); ++i) {
    Part& part = parts_[i];
    KeyedRateLimiter::State& state = *charges_[i].limiter->state_;
    Place place = state.find(*part.shard, part.key());
    part.added = false;
    if (place.cell == nullptr && charges_[i].cost != 0) {
      place = state.find_or_add(*part.shard, part.key(), now_, charges_[i].cost, {pinned.data(), i});
      part.added = place.cell != nullptr;
    }
    part.put(place);
    pinned[i] = place.slot;
  }
}

std::uint32_t AllOrNothing::earlier(std::size_t i) const noexcept {
  std::uint64_t units = 0;
  for (std::size_t j = 0; j < i; ++j)
    if (parts_[j].shard == parts_[i].shard && parts_[j].key() == parts_[i].key()) units += charges_[j].cost;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(units, std::numeric_limits<std::uint32_t>::max() / 2));
}

bool AllOrNothing::ask() noexcept {
  bool all = true;
  for (std::size_t i = 0; i < charges_.size(); ++i) {
    const Part& part = parts_[i];
    KeyedRateLimiter::State& state = *charges_[i].limiter->state_;
    const std::uint32_t before = earlier(i);
    const std::uint32_t cost = charges_[i].cost > std::numeric_limits<std::uint32_t>::max() - before
                                   ? std::numeric_limits<std::uint32_t>::max()
                                   : charges_[i].cost + before;
    if (cost == 0) {
      state.peek(*part.shard, part.place(), part.key(), now_, decisions_[i]);
    } else {
      state.decide(*part.shard, part.place(), part.key(), now_, cost, want_, Book::no, decisions_[i]);
    }
    all = all && decisions_[i].allowed;
  }
  return all;
}

void AllOrNothing::book() noexcept {
  for (std::size_t i = 0; i < charges_.size(); ++i) {
    if (charges_[i].cost == 0) continue;
    const Part& part = parts_[i];
    KeyedRateLimiter::State& state = *charges_[i].limiter->state_;
    decisions_[i] = Decision{};
    const std::int64_t at = now_.time_since_epoch().count();
    if (part.slot != nullptr && charges_[i].cost == 1 &&
        takes_one(part.shard->fast, *part.cell, *part.slab, at, decisions_[i])) {
      if (want_ == Want::headers) describe(*part.params, *part.cell, *part.slab, at, decisions_[i]);
    } else {
      state.decide(*part.shard, part.place(), part.key(), now_, charges_[i].cost, want_, Book::yes,
                   decisions_[i]);
    }
    if (decisions_[i].reason == Reason::ok) ++part.shard->allowed;
  }
}

void AllOrNothing::withdraw() noexcept {
  for (std::size_t i = 0; i < charges_.size(); ++i) {
    Part& part = parts_[i];
    KeyedRateLimiter::State& state = *charges_[i].limiter->state_;
    // A limit that counts refused calls counts this one, if it was the one to refuse.
    if (part.shard->params.count_rejected && decisions_[i].reason == Reason::over_limit) {
      decisions_[i] = Decision{};
      state.decide(*part.shard, part.place(), part.key(), now_, charges_[i].cost, want_, Book::yes,
                   decisions_[i]);
      continue;
    }
    const std::int64_t at = state.line(part.shard->params.algorithm, now_);
    if (part.added && fresh(part.shard->params, *part.cell, at)) part.shard->erase(part.slot, state.keys);
  }
}

}  // namespace internal

bool allow_all(TimePoint now, std::span<const Charge> charges, std::span<Decision> decisions,
               Want want) noexcept {
  WEIR_CHECK(charges.size() == decisions.size() && charges.size() <= kChargesMax);
  if (charges.empty()) return true;
  if (charges.size() == 1) {
    decisions[0] = charges[0].limiter->allow_at(now, charges[0].key, charges[0].cost, want);
    return decisions[0].allowed;
  }
  return internal::AllOrNothing(now, charges, decisions, want).run();
}

void refund_all(TimePoint now, std::span<const Charge> charges,
                std::span<const Decision> decisions) noexcept {
  WEIR_CHECK(charges.size() == decisions.size());
  for (std::size_t i = 0; i < charges.size(); ++i) {
    // A shadow limit that would have refused has booked nothing.
    if (decisions[i].reason == Reason::ok && charges[i].cost != 0)
      charges[i].limiter->refund_at(now, charges[i].key, charges[i].cost, decisions[i].charged_at);
  }
}

}  // namespace weir::ratelimit
