#include "tests/simulation/observer.h"

#include <algorithm>

#include "tests/simulation/world.h"

namespace weir::simulation {

class Observer::Before final : public gateway::Stage {
 public:
  explicit Before(Observer& observer) : observer_(observer) {}
  std::string_view name() const noexcept override { return "sim_before"; }
  gateway::Verdict admit(gateway::Exchange& exchange) override {
    Ask* ask = observer_.ask_of(exchange);
    if (ask == nullptr) {
      ++observer_.malformed_;
      return gateway::Verdict::proceed;
    }
    observer_.world_.trace("weir takes in " + std::to_string(ask->number));
    if (++ask->entered != 1) observer_.fail(*ask, "became two exchanges");
    observer_.may_pass_[ask->number] = observer_.charge(exchange);
    return gateway::Verdict::proceed;
  }
  void release(gateway::Exchange& exchange) noexcept override { observer_.before_released(exchange); }
  void settle(gateway::Exchange& exchange) noexcept override {
    Ask* ask = observer_.ask_of(exchange);
    if (ask == nullptr) return;
    if (++ask->settled != 1) observer_.fail(*ask, "settled twice");
    ask->problem = gateway::describe(exchange.record.problem).name;
    ask->stage = exchange.record.stage;
    observer_.world_.trace("weir is done with " + std::to_string(ask->number) + ": " + ask->stage + " " +
                           ask->problem + (exchange.record.client_gone ? ", client gone" : ""));
  }

 private:
  Observer& observer_;
};

class Observer::Limit final : public gateway::Stage {
 public:
  explicit Limit(Observer& observer) : observer_(observer) {}
  std::string_view name() const noexcept override { return "sim_limit"; }
  gateway::Verdict admit(gateway::Exchange& exchange) override {
    Ask* ask = observer_.ask_of(exchange);
    if (ask != nullptr && !observer_.may_pass_[ask->number]) observer_.fail(*ask, "admitted over its limit");
    return gateway::Verdict::proceed;
  }

 private:
  Observer& observer_;
};

class Observer::Shed final : public gateway::Stage {
 public:
  explicit Shed(Observer& observer) : observer_(observer) {}
  std::string_view name() const noexcept override { return "sim_shed"; }
  gateway::Verdict admit(gateway::Exchange& exchange) override {
    Ask* ask = observer_.ask_of(exchange);
    if (ask == nullptr) return gateway::Verdict::proceed;
    ShedTwin& twin = observer_.shedder_of(exchange);
    if (++twin.in_flight > twin.limit) observer_.fail(*ask, "in flight beyond the limit");
    ++ask->permits;
    ask->permit_out = true;
    const std::string& upstream = *exchange.route->options.upstream;
    for (const gateway::UpstreamPlan& plan : exchange.plan->plan->upstreams) {
      if (plan.options.name != upstream || !plan.options.breaker) continue;
      const TimePoint now = exchange.worker.reactor.now();
      plan.shared->breaker().tick(now);  // what is due by now happens before the question
      ask->breaker_refuses = plan.shared->breaker().would_refuse(now);
      const BreakerTwin& breaker = observer_.breakers_[upstream];
      if (breaker.open && now < breaker.until && !ask->breaker_refuses)
        observer_.fail(*ask, "an open breaker lets it through");
    }
    return gateway::Verdict::proceed;
  }
  void release(gateway::Exchange& exchange) noexcept override {
    Ask* ask = observer_.ask_of(exchange);
    if (ask == nullptr) return;
    --observer_.shedder_of(exchange).in_flight;
    if (!ask->permit_out) observer_.fail(*ask, "released twice");
    ask->permit_out = false;
  }

 private:
  Observer& observer_;
};

gateway::PlanOptions Observer::stages() {
  gateway::PlanOptions options;
  options.custom_stages.push_back(
      {"trace", [this](const config::Route&) { return std::make_unique<Before>(*this); }});
  options.custom_stages.push_back(
      {"ratelimit", [this](const config::Route&) { return std::make_unique<Limit>(*this); }});
  options.custom_stages.push_back(
      {"load_shed", [this](const config::Route&) { return std::make_unique<Shed>(*this); }});
  return options;
}

void Observer::published(const config::Config& config) {
  for (const config::RateLimit& limit : config.rate_limits) {
    LimitTwin& twin = limits_[limit.name];
    // A lower limit keeps the newest bookings of each key, as many as it has: what KeyedRateLimiter
    // documents.
    for (auto& [key, admitted] : twin.admitted)
      while (admitted.size() > limit.limit) admitted.pop_front();
    twin.limit = limit.limit;
    twin.window = limit.window;
    twin.by_client = limit.key.front().kind == config::KeyPart::Kind::client_ip;
  }
  const auto set_limit = [this](const std::string& name, std::uint32_t limit) {
    ShedTwin& twin = shedders_[name];
    twin.limit = limit;
    twin.most = std::max(twin.most, limit);
  };
  set_limit("process", config.max_in_flight);
  for (const config::Route& route : config.routes)
    if (route.load_shed == config::Route::LoadShed::own) set_limit(route.name, route.max_in_flight);
}

void Observer::breaker_moved(const std::string& upstream,
                             const resilience::CircuitBreaker::Transition& change) {
  using State = resilience::CircuitBreaker::State;
  BreakerTwin& twin = breakers_[upstream];
  twin.open = change.to == State::open;
  twin.until = change.next_probe_at;
  if (twin.open) ++openings_;
}

Ask* Observer::ask_of(gateway::Exchange& exchange) const {
  const http::Field* field = exchange.request.fields.find("X-Sim");
  return field == nullptr ? nullptr : world_.find(field->value);
}

// All limits of the route or none, as the deques see it.
bool Observer::charge(gateway::Exchange& exchange) {
  std::vector<std::deque<TimePoint>*> windows;
  for (const std::string& name : exchange.route->options.rate_limit) {
    LimitTwin& twin = limits_.at(name);
    auto& admitted = twin.admitted[twin.by_client ? exchange.client.to_text() : "*"];
    while (!admitted.empty() && admitted.front() + twin.window <= exchange.now) admitted.pop_front();
    if (admitted.size() >= twin.limit) return false;
    windows.push_back(&admitted);
  }
  for (auto* window : windows) window->push_back(exchange.now);
  return true;
}

Observer::ShedTwin& Observer::shedder_of(const gateway::Exchange& exchange) {
  const config::Route& route = exchange.route->options;
  return shedders_[route.load_shed == config::Route::LoadShed::own ? route.name : "process"];
}

// In the turn of the decision, or when the upstream's part is over.
void Observer::before_released(gateway::Exchange& exchange) {
  Ask* ask = ask_of(exchange);
  if (ask == nullptr) return;
  const gateway::Problem problem = exchange.record.problem;
  if (problem == gateway::Problem::rate_limited) {
    ++limited_;
    if (may_pass_[ask->number]) fail(*ask, "refused although there was room in its window");
  }
  if (problem == gateway::Problem::load_shed) {
    ++shed_;
    const ShedTwin& twin = shedder_of(exchange);
    if (twin.in_flight < twin.limit) fail(*ask, "shed although there was a place");
  }
  if (problem == gateway::Problem::circuit_open) ++broken_;
  if ((problem == gateway::Problem::circuit_open) != ask->breaker_refuses)
    fail(*ask, "the breaker said otherwise");
}

void Observer::fail(const Ask& ask, const std::string& what) {
  world_.fail("request " + std::to_string(ask.number) + ": " + what);
}

std::uint32_t Observer::most_places(const std::string& shedder) const { return shedders_.at(shedder).most; }

void Observer::check_empty() {
  for (const auto& [name, twin] : shedders_)
    if (twin.in_flight != 0) world_.fail("places of " + name + " are still out");
}

}  // namespace weir::simulation
