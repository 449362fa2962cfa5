// Plan: a configuration, compiled. Immutable, shared by all workers, replaced as a whole.
//
// A plan refers to state that outlives it (limiters, shedders, breakers: see State), found by name, so that a reload
// keeps half-used windows and open breakers. An exchange finishes on the plan it started with.
#ifndef WEIR_GATEWAY_PLAN_H_
#define WEIR_GATEWAY_PLAN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/route_table.h"
#include "weir/gateway/stage.h"
#include "weir/gateway/stages/sanitize.h"
#include "weir/gateway/state.h"
#include "weir/metrics/registry.h"
#include "weir/store/redis_client.h"

namespace weir::gateway {

// Counters of one stage of one route, made when the plan is built.
struct StageCounters {
  metrics::CounterId pass;
  metrics::CounterId answer;
  std::vector<std::pair<Problem, metrics::CounterId>> refusals;
};

struct Route {
  config::Route options;
  std::string json_name;  // options.name, escaped and cut for the access log
  std::uint32_t index = 0;
  std::vector<std::unique_ptr<Stage>> stages;  // outermost first
  std::vector<StageCounters> counters;         // one a stage
  std::vector<Stage*> answer_watchers;         // those of the stages that look at the answer's head
  std::unique_ptr<Terminal> terminal;
};

struct UpstreamPlan {
  std::uint32_t index = 0;
  upstream::UpstreamOptions options;
  std::shared_ptr<upstream::SharedUpstream> shared;
  config::Upstream::Host host = config::Upstream::Host::preserve;
  std::string host_name;
  bool external = false;
  std::vector<config::KeyPart> hash_key;  // for Balance::hash
  std::optional<resilience::RetryPolicy> retry;
  std::optional<std::uint32_t> fallback;  // another upstream, by index, while the breaker is open
  std::optional<int> fallback_status;     // or a fixed answer
  std::string fallback_body;
};

struct Plan {
  config::Config config;
  std::vector<UpstreamPlan> upstreams;
  std::optional<store::RedisOptions> redis;
  std::shared_ptr<Sharing> sharing;  // with redis
  std::vector<Route> routes;
  std::shared_ptr<const PlanNames> names;  // what decision records refer to
  RouteTable table;
  OwnedNames owned_names;                        // that nobody but weir writes
  std::shared_ptr<const AuthPlan> auth;          // null without a provider
  std::shared_ptr<io::TlsClient> collector_tls;  // of traces; null: plain, or none
  // Applies what changes shared state (limits, semaphores, breaker options). Called once, when the plan is published;
  // a plan that is thrown away has changed nothing.
  std::vector<std::function<void(TimePoint now)>> on_publish;
  void publish(TimePoint now) const {
    for (const auto& apply : on_publish) apply(now);
  }
};

// Puts a stage of one's own into every route's chain, behind the stage called `after` ("trace", "sanitize", "access",
// "ratelimit", "load_shed"); "" puts it first. `make` may return null for routes that do not want it.
struct CustomStage {
  std::string after;
  std::function<std::unique_ptr<Stage>(const config::Route& route)> make;
};

struct PlanOptions {
  std::vector<CustomStage> custom_stages;
};

// Compiles `config`. Nothing of `state` changes until Plan::publish(). Fails with invalid_argument for what the
// configuration's own checks cannot know (a limit too large for its algorithm).
Result<std::shared_ptr<const Plan>> build_plan(config::Config config, State& state,
                                               metrics::Registry& metrics, const PlanOptions& options = {});

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_PLAN_H_
