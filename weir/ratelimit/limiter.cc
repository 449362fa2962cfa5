// One cell, one lock. A refusal reads the cell under the lock's sequence and is done; everything else takes
// the lock.
#include "weir/ratelimit/limiter.h"

#include <mutex>
#include <utility>

#include "weir/ratelimit/internal/core.h"

namespace weir::ratelimit {

using internal::Book;

struct alignas(internal::kCacheLine) RateLimiter::State {
  internal::SeqLock lock;
  internal::FastParams fast{};
  internal::Shared<std::int64_t> wall_offset{};  // wall minus monotonic, for fixed_window
  alignas(internal::kCacheLine) internal::Cell cell{};
  internal::Params params;
  internal::Slab slab;  // of one block
  std::unique_ptr<std::uint32_t[]> block;
  std::mutex policy_lock;
  Policy policy;

  std::int64_t line(Algorithm algorithm, TimePoint now) const noexcept {
    const std::int64_t ns = now.time_since_epoch().count();
    return algorithm == Algorithm::fixed_window ? ns + wall_offset.load() : ns;
  }
  void decide(TimePoint now, std::uint32_t cost, Want want, Book book, Decision& d) noexcept {
    const std::int64_t at = line(params.algorithm, now);
    internal::decide(params, cell, slab, at, cost, want, book, d);
    d.charged_at -= Duration{at - now.time_since_epoch().count()};
  }
};

RateLimiter::RateLimiter(const Policy& policy) : state_(std::make_unique<State>()) {
  state_->policy = policy;
  state_->params = internal::make_params(policy);
  state_->fast.store(state_->params);
  state_->block = std::make_unique<std::uint32_t[]>(state_->params.block_words);
  state_->slab.use(state_->block.get(), state_->params.block_words);
}

RateLimiter::~RateLimiter() = default;

Decision RateLimiter::allow_at(TimePoint now, std::uint32_t cost, Want want) noexcept {
  Decision d;
  State& s = *state_;
  const std::uint64_t seen = s.lock.read_begin();
  if (!internal::SeqLock::held(seen)) [[likely]] {
    const std::uint64_t head = s.fast.head.load();
    if (internal::refuses(s.fast, head, s.cell, s.line(internal::algorithm_of(head), now), cost, d)) {
      if (s.lock.unchanged(seen)) [[likely]]
        return d;
      d = Decision{};
    }
  }
  internal::Held held(s.lock);
  const std::int64_t at = now.time_since_epoch().count();
  if (cost == 1 && internal::takes_one(s.fast, s.cell, s.slab, at, d)) [[likely]] {
    if (want == Want::headers) internal::describe(s.params, s.cell, s.slab, at, d);
    return d;
  }
  s.decide(now, cost, want, Book::yes, d);
  return d;
}

Decision RateLimiter::peek_at(TimePoint now) const noexcept {
  Decision d;
  internal::Held held(state_->lock);
  state_->decide(now, 1, Want::headers, Book::no, d);
  return d;
}

void RateLimiter::charge_at(TimePoint now, std::uint32_t cost) noexcept {
  State& s = *state_;
  internal::Held held(s.lock);
  internal::charge(s.params, s.cell, s.slab, s.line(s.params.algorithm, now), cost);
}

void RateLimiter::refund_at(TimePoint now, std::uint32_t cost, TimePoint charged_at) noexcept {
  State& s = *state_;
  internal::Held held(s.lock);
  internal::refund(s.params, s.cell, s.slab, s.line(s.params.algorithm, now), cost,
                   s.line(s.params.algorithm, charged_at));
}

Result<void> RateLimiter::set_policy(TimePoint now, const Policy& policy) {
  if (Result<void> ok = validate(policy); !ok) return ok;
  State& s = *state_;
  std::lock_guard guard(s.policy_lock);
  const internal::Params next = internal::make_params(policy);
  internal::Events events;
  auto block = std::make_unique<std::uint32_t[]>(next.block_words);
  {
    internal::Held held(s.lock);
    const std::int64_t from = s.line(s.params.algorithm, now);
    const std::int64_t to = s.line(next.algorithm, now);
    internal::export_events(s.params, s.cell, s.slab, from, events);
    for (internal::Event& event : events) event.at_ns += to - from;
    internal::reset(s.cell);
    s.block.swap(block);
    s.slab.use(s.block.get(), next.block_words);
    s.params = next;
    s.fast.store(next);
    internal::import_events(s.params, s.cell, s.slab, to, events);
  }
  s.policy = policy;
  return {};
}

Policy RateLimiter::policy() const {
  std::lock_guard guard(state_->policy_lock);
  return state_->policy;
}

void RateLimiter::sync_wall(TimePoint now, WallTime wall) noexcept {
  state_->wall_offset.store(wall.time_since_epoch().count() - now.time_since_epoch().count());
}

}  // namespace weir::ratelimit
