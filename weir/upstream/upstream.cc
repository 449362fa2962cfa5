#include "weir/upstream/upstream.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace weir::upstream {

SharedUpstream::SharedUpstream(std::string name, const resilience::CircuitBreaker::Options& breaker,
                               OnTransition on_transition)
    : name_(std::move(name)),
      on_transition_(std::move(on_transition)),
      breaker_(breaker, [this](const resilience::CircuitBreaker::Transition& change) {
        this->on_transition(change);
      }) {}

void SharedUpstream::note_failure(std::string_view request_id, std::string_view why) {
  const std::lock_guard lock(mutex_);
  if (trail_.size() == kTrail) trail_.erase(trail_.begin());
  trail_.push_back(std::string(request_id).append(" (").append(why).append(")"));
}

void SharedUpstream::on_transition(const resilience::CircuitBreaker::Transition& change) {
  if (!on_transition_) return;
  std::vector<std::string> failed;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t count = std::min(trail_.size(), change.tag_count);
    failed.assign(trail_.end() - static_cast<std::ptrdiff_t>(count), trail_.end());
  }
  on_transition_(*this, change, failed);
}

WorkerUpstream::WorkerUpstream(UpstreamOptions options, std::shared_ptr<SharedUpstream> shared,
                               std::vector<EndpointPool*> pools)
    : options_(std::move(options)), shared_(std::move(shared)) {
  WEIR_CHECK(pools.size() == options_.endpoints.size() && !pools.empty());
  std::uint32_t divisor = 0;
  for (const EndpointOptions& endpoint : options_.endpoints) divisor = std::gcd(divisor, endpoint.weight);
  for (std::size_t i = 0; i < pools.size(); ++i) {
    Endpoint endpoint;
    endpoint.options = options_.endpoints[i];
    endpoint.pool = pools[i];
    endpoints_.push_back(std::move(endpoint));
    by_weight_.insert(by_weight_.end(), options_.endpoints[i].weight / divisor,
                      static_cast<std::uint32_t>(i));
  }
}

WorkerUpstream::Endpoint& WorkerUpstream::pick(base::Random& random) noexcept {
  if (endpoints_.size() == 1) return endpoints_.front();
  if (options_.balance == Balance::least_requests) {
    Endpoint& one = endpoints_[by_weight_[random.below(by_weight_.size())]];
    Endpoint& two = endpoints_[by_weight_[random.below(by_weight_.size())]];
    // Compares load per weight without dividing.
    const std::uint64_t load_one = std::uint64_t{one.in_flight} * two.options.weight;
    const std::uint64_t load_two = std::uint64_t{two.in_flight} * one.options.weight;
    return load_one <= load_two ? one : two;
  }
  // Smooth weighted round robin: each gains its weight, the richest is chosen and pays the total.
  Endpoint* best = nullptr;
  std::int64_t total = 0;
  for (Endpoint& endpoint : endpoints_) {
    endpoint.turn += endpoint.options.weight;
    total += endpoint.options.weight;
    if (best == nullptr || endpoint.turn > best->turn) best = &endpoint;
  }
  best->turn -= total;
  return *best;
}

}  // namespace weir::upstream
