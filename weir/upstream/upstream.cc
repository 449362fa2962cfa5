#include "weir/upstream/upstream.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "weir/base/hash.h"

namespace weir::upstream {
namespace {

// Each endpoint's points on the ring: enough that shares are even to about a tenth.
constexpr std::uint32_t kPointsPerWeight = 64;
constexpr std::uint32_t kPointsMax = 65'536;

}  // namespace

SharedUpstream::SharedUpstream(std::string name, const resilience::CircuitBreaker::Options& breaker,
                               OnTransition on_transition)
    : name_(std::move(name)),
      on_transition_(std::move(on_transition)),
      breaker_(breaker, [this](const resilience::CircuitBreaker::Transition& change) {
        this->on_transition(change);
      }) {}

std::string_view to_string(HedgeEnd end) noexcept {
  static constexpr std::array<std::string_view, kHedgeEnds> kWords{"won", "lost", "failed", "abandoned",
                                                                   "no_budget"};
  return kWords[static_cast<std::size_t>(end)];
}

void SharedUpstream::set_budget(const resilience::RetryBudget::Options& options, TimePoint now) {
  if (std::exchange(budget_begun_, true))
    budget_->update(options, now);
  else
    budget_.emplace(options, now - std::chrono::seconds{1});
}

std::shared_ptr<resilience::HedgePolicy> SharedUpstream::hedge(
    const resilience::HedgePolicy::Options& options) {
  const std::lock_guard lock(mutex_);
  if (hedge_ == nullptr || !(hedge_options_ == options)) {
    hedge_ = std::make_shared<resilience::HedgePolicy>(options);
    hedge_options_ = options;
  }
  return hedge_;
}

void SharedUpstream::note_failure(std::string_view request_id, std::string_view why) {
  const std::lock_guard lock(mutex_);
  if (trail_.size() == kTrail) trail_.erase(trail_.begin());
  trail_.push_back(std::string(request_id).append(" (").append(why).append(")"));
}

EndpointState& SharedUpstream::endpoint(const std::string& url) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<EndpointState>& state = endpoints_[url];
  if (state == nullptr) state = std::make_unique<EndpointState>();
  return *state;
}

void SharedUpstream::set_ejection(const std::string& url, const std::optional<EjectionOptions>& options,
                                  std::size_t most, TimePoint now) {
  EndpointState& state = endpoint(url);
  std::unique_lock lock(mutex_);
  ejected_most_ = options ? most : 0;
  if (!options) {  // whoever is out comes back
    if (state.ejected_until.exchange(0, std::memory_order_relaxed) != 0) --ejected_;
    return;
  }
  const bool known = state.breaker != nullptr;
  if (!known)
    state.breaker = std::make_unique<resilience::CircuitBreaker>(
        options->breaker, [this, &state](const resilience::CircuitBreaker::Transition& change) {
          this->on_endpoint(state, change);
        });
  lock.unlock();  // an update may change its state, and on_endpoint() locks
  if (known && now != TimePoint{}) state.breaker->update(options->breaker, now);
}

// Out when its breaker opens and not too many are out, in when it closes; while it is tried it counts as out.
void SharedUpstream::on_endpoint(EndpointState& state, const resilience::CircuitBreaker::Transition& change) {
  using State = resilience::CircuitBreaker::State;
  const std::lock_guard lock(mutex_);
  const bool out = state.ejected_until.load(std::memory_order_relaxed) != 0;
  if (change.to == State::open && (out || ejected_ < ejected_most_)) {
    if (!out) ++ejected_;
    state.ejections.fetch_add(1, std::memory_order_relaxed);
    state.ejected_until.store(change.next_probe_at.time_since_epoch().count(), std::memory_order_relaxed);
  } else if (change.to == State::closed && out) {
    --ejected_;
    state.well_since.store(change.at.time_since_epoch().count(), std::memory_order_relaxed);
    state.ejected_until.store(0, std::memory_order_relaxed);
  }
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
  if (options_.retries) retry_.emplace(options_.retries->policy);
  if (options_.hedge && pools.size() > 1) hedge_ = shared_->hedge(options_.hedge->policy);
  std::uint32_t divisor = 0;
  for (const EndpointOptions& endpoint : options_.endpoints) divisor = std::gcd(divisor, endpoint.weight);
  for (std::size_t i = 0; i < pools.size(); ++i) {
    Endpoint endpoint;
    endpoint.options = options_.endpoints[i];
    endpoint.index = static_cast<std::uint32_t>(i);
    endpoint.pool = pools[i];
    endpoint.state = &shared_->endpoint(options_.endpoints[i].url);
    endpoint.ejects = options_.ejection && pools.size() > 1;
    if (endpoint.ejects)  // a configuration that was published has done so already
      shared_->set_ejection(options_.endpoints[i].url, options_.ejection,
                            options_.ejection->most(pools.size()), TimePoint{});
    if (!options_.health_check) endpoint.state->failing.store(false, std::memory_order_relaxed);
    endpoints_.push_back(std::move(endpoint));
    by_weight_.insert(by_weight_.end(), options_.endpoints[i].weight / divisor,
                      static_cast<std::uint32_t>(i));
  }
  if (options_.balance != Balance::hash) return;
  // The same points for the same endpoints in every process: gateways agree where a key belongs.
  const base::SipKey fixed{0x77656972, 0x72696e67};
  const std::uint64_t points =
      std::max<std::uint64_t>(1, std::min<std::uint64_t>(kPointsPerWeight, kPointsMax / by_weight_.size()));
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    const std::uint64_t own = points * (endpoints_[i].options.weight / divisor);
    for (std::uint64_t n = 0; n < own; ++n)
      ring_.emplace_back(base::siphash13(fixed, endpoints_[i].options.url + "#" + std::to_string(n)),
                         static_cast<std::uint32_t>(i));
  }
  std::sort(ring_.begin(), ring_.end());
}

WorkerUpstream::Endpoint* WorkerUpstream::pick(base::Random& random, const Choice& choice) noexcept {
  if (endpoints_.size() == 1) {
    Endpoint& only = endpoints_.front();
    return only.state->drained.load(std::memory_order_relaxed) ? nullptr : &only;
  }
  if (options_.balance == Balance::least_requests && choice.tried.empty()) {
    Endpoint* chosen = pick_of_two(random);
    if (usable(*chosen, false, choice.now) && !warming_up(*chosen, random, choice.now)) return chosen;
  }
  std::size_t well = 0, there = 0;
  for (const Endpoint& endpoint : endpoints_) {
    if (endpoint.state->drained.load(std::memory_order_relaxed)) continue;
    ++there;
    if (usable(endpoint, false, choice.now)) ++well;
  }
  if (there == 0) return nullptr;
  const bool panic = well * 2 < there;
  switch (options_.balance) {
    case Balance::round_robin:
      if (Endpoint* next = pick_in_turn(choice, panic)) return next;
      break;
    case Balance::hash:
      if (Endpoint* own = pick_by_hash(choice, panic)) return own;
      break;
    case Balance::least_requests:
      break;
  }
  return pick_any(random, choice, panic);
}

bool WorkerUpstream::usable(const Endpoint& endpoint, bool panic, TimePoint now) noexcept {
  const EndpointState& state = *endpoint.state;
  if (state.drained.load(std::memory_order_relaxed)) return false;
  if (panic) return true;
  if (state.failing.load(std::memory_order_relaxed)) return false;
  const Duration::rep until = state.ejected_until.load(std::memory_order_relaxed);
  if (until == 0 || !endpoint.ejects) return true;
  // Its time is over: as many calls as its breaker takes as probes.
  return now.time_since_epoch().count() >= until && !state.breaker->would_refuse(now);
}

// True for a share of the draws that falls from nearly all to none over slow_start.
bool WorkerUpstream::warming_up(const Endpoint& endpoint, base::Random& random,
                                TimePoint now) const noexcept {
  if (options_.slow_start <= Duration::zero()) return false;
  const Duration::rep since = endpoint.state->well_since.load(std::memory_order_relaxed);
  if (since == 0) return false;
  const Duration age = now.time_since_epoch() - Duration{since};
  if (age >= options_.slow_start) return false;
  const auto whole = static_cast<std::uint64_t>(options_.slow_start.count());
  return random.below(whole) >=
         static_cast<std::uint64_t>(std::max<Duration::rep>(age.count(), 0)) + whole / 20;
}

WorkerUpstream::Endpoint* WorkerUpstream::pick_of_two(base::Random& random) noexcept {
  Endpoint& one = endpoints_[by_weight_[random.below(by_weight_.size())]];
  Endpoint& two = endpoints_[by_weight_[random.below(by_weight_.size())]];
  // Compares load per weight without dividing.
  const std::uint64_t load_one = std::uint64_t{one.in_flight} * two.options.weight;
  const std::uint64_t load_two = std::uint64_t{two.in_flight} * one.options.weight;
  return load_one <= load_two ? &one : &two;
}

// Smooth weighted round robin: each gains its weight, the richest is chosen and pays the total.
WorkerUpstream::Endpoint* WorkerUpstream::pick_in_turn(const Choice& choice, bool panic) noexcept {
  Endpoint* best = nullptr;
  std::int64_t total = 0;
  for (Endpoint& endpoint : endpoints_) {
    if (!usable(endpoint, panic, choice.now)) continue;
    endpoint.turn += endpoint.options.weight;
    total += endpoint.options.weight;
    const bool tried = std::find(choice.tried.begin(), choice.tried.end(), &endpoint) != choice.tried.end();
    if (!tried && (best == nullptr || endpoint.turn > best->turn)) best = &endpoint;
  }
  if (best != nullptr) best->turn -= total;
  return best;
}

// The first point at or behind the key's whose endpoint is well and holds at most a quarter more than its fair part
// (Mirrokni, Thorup, Zadimoghaddam 2018: consistent hashing with bounded loads).
WorkerUpstream::Endpoint* WorkerUpstream::pick_by_hash(const Choice& choice, bool panic) noexcept {
  std::uint64_t in_flight = 1;
  std::uint64_t weight = 0;
  for (const Endpoint& endpoint : endpoints_) {
    in_flight += endpoint.in_flight;
    if (usable(endpoint, panic, choice.now)) weight += endpoint.options.weight;
  }
  if (weight == 0 || ring_.empty()) return nullptr;
  const auto from = std::lower_bound(ring_.begin(), ring_.end(), std::pair{choice.hash, std::uint32_t{0}});
  for (std::size_t i = 0, at = static_cast<std::size_t>(from - ring_.begin()); i < ring_.size(); ++i, ++at) {
    Endpoint& endpoint = endpoints_[ring_[at % ring_.size()].second];
    if (!usable(endpoint, panic, choice.now)) continue;
    if (std::find(choice.tried.begin(), choice.tried.end(), &endpoint) != choice.tried.end()) continue;
    const std::uint64_t fair = (in_flight * endpoint.options.weight * 5 + weight * 4 - 1) / (weight * 4);
    if (endpoint.in_flight < fair) return &endpoint;
  }
  return nullptr;
}

// In trouble: the least loaded of those that may be used and were not tried, from a random start; then of those that
// were.
WorkerUpstream::Endpoint* WorkerUpstream::pick_any(base::Random& random, const Choice& choice,
                                                   bool panic) noexcept {
  const std::size_t start = random.below(endpoints_.size());
  for (const bool again : {false, true}) {
    Endpoint* best = nullptr;
    for (std::size_t i = 0; i < endpoints_.size(); ++i) {
      Endpoint& endpoint = endpoints_[(start + i) % endpoints_.size()];
      const bool tried = std::find(choice.tried.begin(), choice.tried.end(), &endpoint) != choice.tried.end();
      if (!usable(endpoint, panic, choice.now) || (tried && !again)) continue;
      const bool lighter = best == nullptr || std::uint64_t{endpoint.in_flight} * best->options.weight <
                                                  std::uint64_t{best->in_flight} * endpoint.options.weight;
      if (lighter) best = &endpoint;
    }
    if (best != nullptr) return best;
  }
  return nullptr;
}

}  // namespace weir::upstream
