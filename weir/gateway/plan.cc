#include "weir/gateway/plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "weir/gateway/stages/access.h"
#include "weir/gateway/stages/cache.h"
#include "weir/gateway/stages/cors.h"
#include "weir/gateway/stages/experiment.h"
#include "weir/gateway/stages/fault.h"
#include "weir/gateway/stages/idempotency.h"
#include "weir/gateway/stages/load_shed.h"
#include "weir/gateway/stages/passport.h"
#include "weir/gateway/stages/ratelimit.h"
#include "weir/gateway/stages/read_body.h"
#include "weir/gateway/stages/sanitize.h"
#include "weir/gateway/stages/trace.h"
#include "weir/gateway/terminals/bff.h"
#include "weir/gateway/terminals/experiments.h"
#include "weir/gateway/terminals/keyed.h"
#include "weir/gateway/terminals/proxy.h"
#include "weir/gateway/terminals/respond.h"

namespace weir::gateway {
namespace {

constexpr std::string_view kProcessShedder = "process";
// Of a request with a key; a longer one is refused, since it could not be told from another.
constexpr std::uint64_t kKeyedBody = 1024 * 1024;

class Builder {
 public:
  Builder(config::Config config, State& state, metrics::Registry& metrics, const PlanOptions& options)
      : state_(state),
        metrics_(metrics),
        options_(options),
        decisions_(metrics.counter_family("weir_decisions_total", "What each stage decided, by route.",
                                          {"route", "stage", "verdict", "reason"})) {
    plan_->config = std::move(config);
  }

  Result<std::shared_ptr<const Plan>> build() {
    for (const config::Upstream& upstream : plan_->config.upstreams)
      if (Result<void> added = add_upstream(upstream); !added) return added.error();
    for (UpstreamPlan& upstream : plan_->upstreams) {
      const auto& breaker = plan_->config.upstreams[upstream.index].circuit_breaker;
      if (breaker && breaker->fallback_upstream)
        upstream.fallback = upstream_index_.at(*breaker->fallback_upstream);
    }
    if (Result<void> added = add_redis(); !added) return added.error();
    for (const config::RateLimit& limit : plan_->config.rate_limits)
      if (Result<void> added = add_limit(limit); !added) return added.error();
    std::vector<std::string> owned{plan_->config.passport.header, plan_->config.proxy_state.header};
    if (plan_->config.experiments) owned.emplace_back(kOverrideHeader);
    if (plan_->config.passport.signing) owned.push_back(plan_->config.passport.signing->header);
    plan_->owned_names = OwnedNames(owned);
    Result<std::shared_ptr<const AuthPlan>> auth = state_.auth.build(plan_->config);
    if (!auth) return auth.error();
    plan_->auth = *auth;
    add_experiments();
    process_shedder_ = state_.shedder(std::string(kProcessShedder), plan_->config.max_in_flight);
    if (plan_->config.tracing && plan_->config.tracing->otlp && plan_->config.tracing->otlp_tls) {
      Result<std::shared_ptr<io::TlsClient>> tls = tls_for("", config::Position{0, 1, 1});
      if (!tls) return tls.error();
      plan_->collector_tls = std::move(*tls);
    }
    set_limit_when_published(process_shedder_, plan_->config.max_in_flight, plan_->config.shed_shares);
    for (const config::Route& route : plan_->config.routes) {
      if (route.idempotency.require != config::Require::off && records_ == nullptr) {
        Result<std::shared_ptr<store::IdempotencyStore>> records = state_.records(plan_->config);
        if (!records) return Error(records.error().code, "idempotency: " + records.error().detail);
        records_ = std::move(*records);
      }
      add_route(route);
    }
    plan_->names = names_of(*plan_);
    return std::shared_ptr<const Plan>(std::move(plan_));
  }

 private:
  Result<void> add_upstream(const config::Upstream& from) {
    UpstreamPlan upstream;
    upstream.options.name = from.name;
    for (const config::Endpoint& endpoint : from.endpoints) {
      upstream::EndpointOptions options;
      options.url = endpoint.url;
      options.host = endpoint.address.host;
      options.port = endpoint.address.port;
      options.weight = endpoint.weight;
      if (endpoint.tls) {
        options.ca = endpoint.ca.empty() ? from.ca : endpoint.ca;
        Result<std::shared_ptr<io::TlsClient>> tls = tls_for(options.ca, endpoint.at);
        if (!tls) return tls.error();
        options.tls = std::move(*tls);
      }
      upstream.options.endpoints.push_back(std::move(options));
    }
    upstream.options.timeouts.connect = from.connect_timeout;
    upstream.options.timeouts.first_byte = from.first_byte_timeout;
    upstream.options.timeouts.idle = from.idle_timeout;
    upstream.options.total = from.timeout;
    upstream.options.balance = balance_of(from.balance);
    if (from.balance == config::Upstream::Balance::hash) upstream.hash_key.push_back(from.hash_key);
    upstream.options.slow_start = from.slow_start.value_or(Duration{});
    if (from.health_check) {
      upstream::HealthCheckOptions& check = upstream.options.health_check.emplace();
      check.path = from.health_check->path;
      check.every = from.health_check->every;
      check.timeout = from.health_check->timeout;
      check.rise = from.health_check->rise;
      check.fall = from.health_check->fall;
    }
    upstream.host = from.host;
    upstream.host_name = from.host_name;
    upstream.external = from.external;
    if (Result<void> added = add_retries(from, upstream); !added) return added;
    if (Result<void> added = add_hedge(from, upstream); !added) return added;
    if (Result<void> added = add_ejection(from, upstream); !added) return added;

    resilience::CircuitBreaker::Options breaker;
    if (from.circuit_breaker) {
      breaker = breaker_options(from);
      if (Result<void> valid = resilience::CircuitBreaker::validate(breaker); !valid)
        return Error(ErrorCode::invalid_argument, "upstream " + from.name + ": " + valid.error().detail);
      upstream.options.breaker = breaker;
      upstream.fallback_status = from.circuit_breaker->fallback_status;
      upstream.fallback_body = from.circuit_breaker->fallback_body;
      if (!from.circuit_breaker->failure_on.empty()) {
        const std::vector<std::string_view> items(from.circuit_breaker->failure_on.begin(),
                                                  from.circuit_breaker->failure_on.end());
        Result<resilience::FailureOn> parsed = resilience::FailureOn::parse(items);
        if (!parsed)
          return Error(ErrorCode::invalid_argument, "upstream " + from.name + ": " + parsed.error().detail);
        upstream.options.failure_on = *parsed;
      }
    }
    upstream.shared = state_.upstream(from.name, breaker);
    plan_->on_publish.push_back(
        [shared = upstream.shared, breaker, retries = upstream.options.retries](TimePoint now) {
          shared->breaker().update(breaker, now);
          // Also without retries: a later configuration may have some, and the budget begins once.
          shared->set_budget(retries ? retries->budget : resilience::RetryBudget::Options(), now);
        });
    plan_->on_publish.push_back([shared = upstream.shared, ejection = upstream.options.ejection,
                                 endpoints = upstream.options.endpoints](TimePoint now) {
      const std::size_t most = ejection ? ejection->most(endpoints.size()) : 0;
      for (const upstream::EndpointOptions& endpoint : endpoints)
        shared->set_ejection(endpoint.url, ejection, most, now);
    });
    upstream.index = static_cast<std::uint32_t>(plan_->upstreams.size());
    upstream_index_[from.name] = upstream.index;
    plan_->upstreams.push_back(std::move(upstream));
    return {};
  }

  // One context a file: endpoints with the same authorities share it.
  Result<std::shared_ptr<io::TlsClient>> tls_for(const std::string& ca, const config::Position& at) {
    std::shared_ptr<io::TlsClient>& known = tls_[ca];
    if (known != nullptr) return known;
    io::TlsClientOptions options;
    options.ca_file = ca;
    Result<std::shared_ptr<io::TlsClient>> made = io::TlsClient::create(options);
    if (!made)
      return Error(ErrorCode::invalid_argument, plan_->config.files[at.file] + ":" + std::to_string(at.line) +
                                                    ":" + std::to_string(at.column) + ": " +
                                                    made.error().detail);
    known = *made;
    return known;
  }

  static upstream::Balance balance_of(config::Upstream::Balance balance) {
    switch (balance) {
      case config::Upstream::Balance::round_robin:
        return upstream::Balance::round_robin;
      case config::Upstream::Balance::hash:
        return upstream::Balance::hash;
      case config::Upstream::Balance::least_requests:
        break;
    }
    return upstream::Balance::least_requests;
  }

  static resilience::CircuitBreaker::Options breaker_options(const config::Upstream& from) {
    const config::CircuitBreaker& said = *from.circuit_breaker;
    resilience::CircuitBreaker::Options breaker;
    breaker.failures_to_open = said.failures;
    breaker.failure_ratio = said.failure_ratio;
    breaker.slow_ratio = said.slow_ratio;
    breaker.slow_call = said.slow_call.value_or(Duration{});
    breaker.min_calls = said.min_calls;
    breaker.window = said.window;
    breaker.open_for = said.open_for;
    breaker.half_open_probes = said.half_open_probes;
    breaker.success_threshold = said.success_threshold;
    breaker.shadow = said.shadow;
    if (said.open_backoff) {
      resilience::CircuitBreaker::Backoff& backoff = breaker.open_backoff.emplace();
      backoff.factor = said.open_backoff->factor;
      backoff.max = said.open_backoff->max;
      backoff.jitter = said.open_backoff->jitter;
    }
    // A probe may take as long as a call may: its lease must not end before the call's own limits do.
    breaker.call_timeout = from.timeout.value_or(from.connect_timeout + from.first_byte_timeout);
    return breaker;
  }

  Result<void> add_retries(const config::Upstream& from, UpstreamPlan& upstream) {
    if (!from.retries) return {};
    upstream::RetryOptions& retries = upstream.options.retries.emplace();
    retries.policy.attempts = from.retries->attempts;
    retries.policy.backoff.base = from.retries->backoff;
    retries.policy.backoff.max = from.retries->backoff_max;
    retries.budget.ratio = from.retries->budget;
    retries.budget.min_per_second = from.retries->min_per_second;
    retries.per_try = from.retries->per_try;
    Result<void> valid = resilience::RetryPolicy::validate(retries.policy);
    if (valid) valid = resilience::RetryBudget::validate(retries.budget);
    if (!valid)
      return Error(ErrorCode::invalid_argument, "upstream " + from.name + ": " + valid.error().detail);
    upstream.retry.emplace(retries.policy);
    return {};
  }

  Result<void> add_hedge(const config::Upstream& from, UpstreamPlan& upstream) {
    if (!from.hedge) return {};
    upstream::HedgeOptions& hedge = upstream.options.hedge.emplace();
    hedge.policy.quantile = from.hedge->quantile;
    hedge.policy.after = from.hedge->after;
    hedge.policy.floor = from.hedge->floor;
    for (const std::string& method : from.hedge->methods)
      hedge.methods |= 1U << static_cast<unsigned>(http::parse_method(method));
    if (Result<void> valid = resilience::HedgePolicy::validate(hedge.policy); !valid)
      return Error(ErrorCode::invalid_argument, "upstream " + from.name + ": " + valid.error().detail);
    return {};
  }

  Result<void> add_ejection(const config::Upstream& from, UpstreamPlan& upstream) {
    if (!from.ejection) return {};
    upstream::EjectionOptions& ejection = upstream.options.ejection.emplace();
    ejection.breaker.failures_to_open = from.ejection->failures;
    ejection.breaker.failure_ratio = from.ejection->failure_ratio;
    ejection.breaker.min_calls = from.ejection->min_calls;
    ejection.breaker.open_for = from.ejection->eject_for;
    ejection.breaker.call_timeout = from.timeout.value_or(from.connect_timeout + from.first_byte_timeout);
    ejection.max_ejected = from.ejection->max_ejected;
    if (Result<void> valid = resilience::CircuitBreaker::validate(ejection.breaker); !valid)
      return Error(ErrorCode::invalid_argument, "upstream " + from.name + ": " + valid.error().detail);
    return {};
  }

  Result<void> add_redis() {
    if (!plan_->config.redis) return {};
    const config::Redis& from = *plan_->config.redis;
    Result<store::RedisUrl> url = store::RedisUrl::parse(from.url);
    if (!url) return Error(ErrorCode::invalid_argument, "redis: " + url.error().detail);
    plan_->redis.emplace();
    plan_->redis->url = std::move(*url);
    plan_->redis->timeout = from.timeout;
    plan_->sharing = state_.sharing();
    return {};
  }

  Result<void> add_limit(const config::RateLimit& from) {
    RateLimitStage::Limit limit;
    limit.options = from;
    for (config::KeyPart& part : limit.options.key) claim_unless_member(part);
    if (limit.options.tier_from) claim_unless_member(*limit.options.tier_from);
    limit.index = static_cast<std::uint16_t>(&from - plan_->config.rate_limits.data());
    ratelimit::Policy policy;
    policy.name = from.name;
    policy.algorithm = algorithm_of(from.algorithm);
    policy.count_rejected = from.count_rejected;
    policy.shadow = from.shadow;
    policy.burst = from.burst;
    if (Result<void> made = make_bucket(from, policy, from.name, from.limit, from.window, limit); !made)
      return made;
    for (const config::RateLimit::Tier& tier : from.tiers) {
      auto& [name, bucket] = limit.tiers.emplace_back();
      name = tier.name;
      // The same name in the answer's fields, a state of its own.
      const std::string state_name = from.name + "/" + tier.name;
      if (Result<void> made = make_bucket(from, policy, state_name, tier.limit, tier.window, bucket); !made)
        return made;
    }
    limits_[from.name] = std::move(limit);
    return {};
  }

  // `passport.plan` of a passport without such a member is the claim of that name: a limit may need what no upstream does.
  void claim_unless_member(config::KeyPart& part) const {
    const auto is_it = [&](const auto& member) { return member.first == part.name; };
    const auto& members = plan_->config.passport.claims;
    if (part.kind == config::KeyPart::Kind::passport && part.name != "user_id" && part.name != "anon" &&
        std::none_of(members.begin(), members.end(), is_it))
      part.kind = config::KeyPart::Kind::jwt;
  }

  static ratelimit::Algorithm algorithm_of(config::RateLimit::Algorithm algorithm) {
    switch (algorithm) {
      case config::RateLimit::Algorithm::exact_window:
        return ratelimit::Algorithm::exact_window;
      case config::RateLimit::Algorithm::segmented_window:
        return ratelimit::Algorithm::segmented_window;
      case config::RateLimit::Algorithm::gcra:
        return ratelimit::Algorithm::gcra;
      case config::RateLimit::Algorithm::token_bucket:
        return ratelimit::Algorithm::token_bucket;
      case config::RateLimit::Algorithm::fixed_window:
        return ratelimit::Algorithm::fixed_window;
      case config::RateLimit::Algorithm::concurrency:
        break;
    }
    return ratelimit::Algorithm::concurrency;
  }

  Result<void> make_bucket(const config::RateLimit& from, ratelimit::Policy policy,
                           const std::string& state_name, std::uint64_t limit, Duration window,
                           RateLimitStage::Bucket& bucket) {
    policy.limit = static_cast<std::uint32_t>(limit);
    policy.window = window;
    if (policy.algorithm == ratelimit::Algorithm::exact_window && limit > ratelimit::kExactLimitMax)
      policy.algorithm = ratelimit::Algorithm::segmented_window;  // of a tier
    if (Result<void> valid = ratelimit::validate(policy); !valid || limit > UINT32_MAX)
      return Error(
          ErrorCode::invalid_argument,
          "rate limit " + from.name + ": " + (valid ? "the limit is too large" : valid.error().detail));
    bucket.policy = policy;
    policy.name = state_name;
    if (from.store == config::RateLimit::Store::redis) {
      const std::uint32_t nodes = plan_->config.redis->nodes;
      bucket.shared = state_.shared_limit(policy, nodes);
      plan_->on_publish.push_back(
          [overrides = state_.limit_overrides(), shared = bucket.shared, policy, nodes](TimePoint now) {
            const std::weak_ptr<SharedLimit> weak =
                shared;  // the entry must not keep what no plan names any more
            overrides->publish(now, shared, policy,
                               [weak, nodes](TimePoint then, const ratelimit::Policy& in_force) {
                                 if (const auto alive = weak.lock()) alive->update(then, in_force, nodes);
                               });
          });
      return {};
    }
    bucket.limiter = state_.limiter(policy);
    plan_->on_publish.push_back(
        [overrides = state_.limit_overrides(), limiter = bucket.limiter, policy](TimePoint now) {
          const std::weak_ptr<ratelimit::KeyedRateLimiter> weak = limiter;
          overrides->publish(now, limiter, policy, [weak](TimePoint then, const ratelimit::Policy& in_force) {
            const auto alive = weak.lock();
            // Cannot fail: the policy is valid and the table has no bound in bytes.
            if (alive != nullptr && !(alive->policy() == in_force))
              static_cast<void>(alive->set_policy(then, in_force));
          });
        });
    return {};
  }

  // The snapshot and the log are the process's: they change with the plan, and the snapshot with its file as
  // well.
  void add_experiments() {
    if (!plan_->config.experiments) return;
    const config::Experiments& from = *plan_->config.experiments;
    plan_->on_publish.push_back(
        [state = state_.experiments(), snapshot = from.snapshot, target = from.exposures](TimePoint) {
          if (snapshot != nullptr) state->use(snapshot);
          state->log().set_target(target);
        });
  }

  std::unique_ptr<Stage> experiment_stage(const config::Route& from) {
    const config::Experiments& all = *plan_->config.experiments;
    ExperimentStage::Options options;
    options.state = state_.experiments();
    options.experiments = from.experiments;
    options.flags = from.flags;
    options.attributes = all.attributes;
    options.anonymous = all.anonymous;
    options.cookie = all.cookie;
    options.sticky_cookie = all.sticky_cookie;
    options.secret = all.secret.empty() ? options.state->random_secret() : all.secret;
    for (const config::VariantEffect& effect : from.variants) {
      ExperimentStage::Effect& made = options.effects.emplace_back();
      made.experiment = effect.experiment;
      made.variant = effect.variant;
      if (effect.upstream) made.upstream = upstream_index_.at(*effect.upstream);
      made.request = effect.request_headers;
      made.response = effect.response_headers;
    }
    return std::make_unique<ExperimentStage>(std::move(options), metrics_.shards(), slot<HeldDecisions>());
  }

  void set_limit_when_published(std::shared_ptr<resilience::LoadShedder> shedder, std::uint32_t limit,
                                const config::ShedShares& said) {
    resilience::LoadShedder::Shares shares;
    shares.critical = said.critical;
    shares.normal = said.normal;
    plan_->on_publish.push_back([shedder = std::move(shedder), limit, shares](TimePoint) {
      shedder->set_limit(limit);
      shedder->set_shares(shares);
    });
  }

  void add_route(const config::Route& from) {
    Route& route = plan_->routes.emplace_back();
    route.options = from;
    route.index = static_cast<std::uint32_t>(plan_->routes.size() - 1);
    base::append_json_escaped(route.json_name, std::string_view(from.name).substr(0, 128));
    plan_->table.add(route.index, from);
    next_slot_ = 0;
    keyed_ = {};
    for (const CustomStage& custom : options_.custom_stages)
      if (custom.after.empty()) add_custom(route, custom);
    add_stages(route);
    if (from.upstream)
      route.terminal = std::make_unique<ProxyTerminal>(
          upstream_index_.at(*from.upstream), counters(route, "breaker", std::array{Problem::circuit_open}),
          counters(route, "upstream",
                   std::array{Problem::no_endpoint, Problem::upstream_unreachable,
                              Problem::upstream_malformed, Problem::upstream_timeout,
                              Problem::deadline_exceeded, Problem::overloaded, Problem::bad_request}));
    else if (from.bff)
      route.terminal = bff_terminal(route);
    else if (from.serve == "passport_keys")
      route.terminal = std::make_unique<RespondTerminal>(passport_keys());
    else if (!from.serve.empty())
      route.terminal = std::make_unique<ExperimentsTerminal>(state_.experiments());
    else
      route.terminal = std::make_unique<RespondTerminal>(*from.respond);
    if (keyed_.index != 0xff)
      route.terminal =
          std::make_unique<KeyedTerminal>(std::move(route.terminal), upstream_index_.at(*from.upstream),
                                          keyed_, run_for(from), plan_->config.idempotency.max_response);
  }

  // RFC 7517 8.5.2. Readers may keep it for as long as half a passport lives; rotation is slower.
  config::Respond passport_keys() const {
    config::Respond keys;
    keys.headers = {{"Content-Type", "application/jwk-set+json"}, {"Cache-Control", "public, max-age=150"}};
    keys.body = plan_->auth == nullptr || plan_->auth->signer == nullptr ? std::string("{\"keys\":[]}")
                                                                         : plan_->auth->signer->public_keys();
    return keys;
  }

  std::unique_ptr<Terminal> bff_terminal(Route& route) {
    std::vector<bff::SpecProblem> problems;
    std::shared_ptr<const bff::Plan> page = bff::compile(*route.options.bff, problems);
    WEIR_CHECK(page != nullptr);  // the configuration has compiled it
    const metrics::FamilyId family = metrics_.counter_family(
        "weir_bff_sections_total", "What became of the sections of pages.", {"route", "section", "state"});
    BffTerminal::SectionCounters sections(page->nodes().size());
    for (std::size_t i = 0; i < sections.size(); ++i)
      for (std::size_t state = 0; state < sections[i].size(); ++state)
        sections[i][state] =
            metrics_.counter(family, {route.options.name, page->nodes()[i].spec.name,
                                      bff::to_string(static_cast<bff::SectionState>(state))});
    return std::make_unique<BffTerminal>(std::move(page), state_.section_cache(),
                                         counters(route, "bff", std::array{Problem::section_required}),
                                         std::move(sections));
  }

  // The order of the chain, outermost first. What a route does not use is not there, and costs nothing.
  void add_stages(Route& route) {
    const config::Route& from = route.options;
    add(route, std::make_unique<TraceStage>());  // first: even a refused request has an id
    const bool decides = plan_->config.experiments && (!from.experiments.empty() || !from.flags.empty());
    add(route, std::make_unique<SanitizeStage>(plan_->owned_names,
                                               decides));  // strangers may not speak in weir's name
    if (from.cors) add(route, std::make_unique<CorsStage>(*from.cors));  // a page may read refusals, too
    if (!from.allow.empty() || !from.deny.empty())
      add(route, std::make_unique<AccessStage>(from.allow, from.deny));  // who may not come at all
    RateLimitStage* first = nullptr;
    if (auto limits = limits_of(from, false); !limits.empty())  // cheapest refusal of those who may
      add(route, make_rate_limit(route, std::move(limits), &first, nullptr));
    if (from.cors) add(route, std::make_unique<PreflightStage>(*from.cors));  // nothing behind it counts
    if (from.auth.require != config::Require::off && plan_->auth != nullptr)
      add_passport(route);  // from here on it is known who asks
    if (auto limits = limits_of(from, true); !limits.empty()) {
      RateLimitStage* later = nullptr;
      add(route, make_rate_limit(route, std::move(limits), &later, first));
    }
    if (decides)
      add(route, experiment_stage(from));  // knows who asks; a cache varies on what it decides
    add_cache(route);  // a hit takes no place; what is kept depends on all that was decided so far
    if (from.serve == "experiments")
      add(route, std::make_unique<ReadBodyStage>(ExperimentsTerminal::kBodyMax));
    if (from.upstream || from.bff) {
      const bool keyed = from.idempotency.require != config::Require::off;
      // A slow upload must hold no place; and whether two bodies are the same is known at their end.
      add(route, std::make_unique<ReadBodyStage>(keyed ? std::max(from.request_buffer, kKeyedBody)
                                                       : from.request_buffer));
      const KeyedSlot slot_of_key = keyed ? slot<std::unique_ptr<KeyedRequest>>() : KeyedSlot{};
      if (keyed)
        add(route, std::make_unique<IdempotencyLookUpStage>(idempotency_options(route, slot_of_key)));
      if (auto shedder = shedder_of(from)) add_load_shed(route, std::move(shedder));
      if (from.faults) add(route, fault_stage(from));  // where the upstream's own faults would begin
      if (keyed) {
        add(route,
            std::make_unique<IdempotencyClaimStage>(slot_of_key));  // only accepted requests leave a record
        keyed_ = slot_of_key;
      }
    }  // last gate before work: one of few places; then breaker and upstream, in the terminal
  }

  void add_cache(Route& route) {
    const config::Route& from = route.options;
    if (!from.cache && from.vary.empty()) {
      if (!from.upstream || !changes_what_is_kept(from)) return;
      auto stage = std::make_unique<InvalidateStage>(state_.response_cache(plan_->config.cache_bytes));
      route.answer_watchers.push_back(stage.get());
      add(route, std::move(stage));
      return;
    }
    CacheOptions options;
    options.route = from.name;
    options.vary = from.vary;
    if (from.cache) {
      options.cache = state_.response_cache(plan_->config.cache_bytes);
      options.upstream = *from.upstream;
      options.body_max = from.cache->max_body;
      options.by_user = from.cache->by_user;
      options.held = slot<HeldCache>();
    }
    const CacheSlot held = options.held;
    auto stage = std::make_unique<CacheStage>(std::move(options));
    CacheStage& check = *stage;
    route.answer_watchers.push_back(stage.get());
    add(route, std::move(stage));
    if (from.cache) add(route, std::make_unique<CacheWaitStage>(check, held));
  }

  // It takes unsafe requests for paths that another route keeps answers of.
  bool changes_what_is_kept(const config::Route& from) const {
    const auto fixed = [](const std::string& path) {
      return std::string_view(path).substr(0, path.find_first_of("*{"));
    };
    const auto is_safe = [](const std::string& method) {
      return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE";
    };
    if (!from.methods.empty() && std::all_of(from.methods.begin(), from.methods.end(), is_safe)) return false;
    const std::string_view ours = fixed(from.path);
    return std::any_of(plan_->config.routes.begin(), plan_->config.routes.end(),
                       [&](const config::Route& other) {
                         const std::string_view theirs = fixed(other.path);
                         return other.cache && (theirs.starts_with(ours) || ours.starts_with(theirs));
                       });
  }

  std::unique_ptr<Stage> fault_stage(const config::Route& from) {
    const metrics::FamilyId family = metrics_.counter_family(
        "weir_faults_injected_total", "What routes did wrong on purpose.", {"route", "kind"});
    return std::make_unique<FaultStage>(*from.faults, metrics_.counter(family, {from.name, "delay"}),
                                        metrics_.counter(family, {from.name, "abort"}));
  }

  // How long a call may take; a lease is longer, so that it cannot die under a request that runs.
  Duration run_for(const config::Route& from) const {
    const UpstreamPlan& upstream = plan_->upstreams[upstream_index_.at(*from.upstream)];
    const upstream::Timeouts& timeouts = upstream.options.timeouts;
    return upstream.options.total.value_or(timeouts.connect + timeouts.first_byte + timeouts.idle);
  }

  IdempotencyOptions idempotency_options(const Route& route, KeyedSlot keyed) const {
    const auto milliseconds = [](Duration duration) {
      return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    };
    IdempotencyOptions options;
    options.rules = route.options.idempotency;
    options.route = route.options.name;
    options.times.ttl_ms = milliseconds(plan_->config.idempotency.ttl);
    options.times.lease_ms = milliseconds(std::max<Duration>(
        plan_->config.idempotency.lease, run_for(route.options) + std::chrono::seconds{5}));
    options.store = records_;
    options.keyed = keyed;
    return options;
  }

  void add_passport(Route& route) {
    const config::Route& from = route.options;
    const bool waits = plan_->auth->fetcher != nullptr;
    const Slot<AwaitedKey> awaited = waits ? slot<AwaitedKey>() : Slot<AwaitedKey>{};
    auto stage = std::make_unique<PassportStage>(plan_->auth, from.auth, from.forward_token, awaited);
    PassportStage& check = *stage;
    add(route, std::move(stage));
    if (waits) add(route, std::make_unique<KeyWaitStage>(check, awaited));
  }

  // `made` is told the stage itself; `earlier` is the phase before it, which gives back when this one refuses.
  std::unique_ptr<Stage> make_rate_limit(Route& route, std::vector<RateLimitStage::Limit> limits,
                                         RateLimitStage** raw, RateLimitStage* earlier) {
    RateLimitStage::Options options;
    options.later_phase = earlier == nullptr && !limits_of(route.options, true).empty();
    options.earlier = earlier;
    options.route = route.options.name;
    options.taken = slot<RateLimitStage::Taken>();
    options.style = style_of(plan_->config.rate_limit_headers.style);
    options.retry_jitter = plan_->config.rate_limit_headers.retry_jitter;
    options.sharing = state_.sharing();
    auto stage = std::make_unique<RateLimitStage>(std::move(limits), std::move(options));
    *raw = stage.get();
    const bool watches = stage->watches_answers();
    std::unique_ptr<Stage> made;
    if (stage->asks_redis())
      made = std::make_unique<SharedRateLimitStage>(std::move(stage));
    else
      made = std::move(stage);
    if (watches) route.answer_watchers.push_back(made.get());
    return made;
  }

  static ratelimit::HeaderStyle style_of(config::RateLimitHeaders::Style style) {
    switch (style) {
      case config::RateLimitHeaders::Style::draft10:
        return ratelimit::HeaderStyle::ietf10;
      case config::RateLimitHeaders::Style::draft7:
        return ratelimit::HeaderStyle::ietf7;
      case config::RateLimitHeaders::Style::draft6:
        return ratelimit::HeaderStyle::ietf6;
      case config::RateLimitHeaders::Style::x_ratelimit:
        return ratelimit::HeaderStyle::x_ratelimit;
      case config::RateLimitHeaders::Style::none:
        break;
    }
    return ratelimit::HeaderStyle::none;
  }

  static bool needs_identity(const config::RateLimit& limit) {
    const auto is_identity = [](const config::KeyPart& part) {
      return part.kind == config::KeyPart::Kind::passport || part.kind == config::KeyPart::Kind::jwt;
    };
    return std::any_of(limit.key.begin(), limit.key.end(), is_identity) ||
           (limit.tier_from && is_identity(*limit.tier_from));
  }

  // Of one of the two phases.
  std::vector<RateLimitStage::Limit> limits_of(const config::Route& from, bool identity) const {
    std::vector<RateLimitStage::Limit> limits;
    for (const std::string& name : from.rate_limit)
      if (const RateLimitStage::Limit& limit = limits_.at(name); needs_identity(limit.options) == identity)
        limits.push_back(limit);
    return limits;
  }

  std::shared_ptr<resilience::LoadShedder> shedder_of(const config::Route& from) {
    switch (from.load_shed) {
      case config::Route::LoadShed::off:
        return nullptr;
      case config::Route::LoadShed::process:
        return process_shedder_;
      case config::Route::LoadShed::own:
        break;
    }
    auto shedder = state_.shedder("route " + from.name, from.max_in_flight);
    set_limit_when_published(shedder, from.max_in_flight, from.shed_shares);
    return shedder;
  }

  void add_load_shed(Route& route, std::shared_ptr<resilience::LoadShedder> shedder) {
    const config::Config& config = plan_->config;
    const auto permit = slot<resilience::LoadShedder::Permit>();
    TieredLoadShedStage::Options options;
    options.header = config.priority_header;
    if (!config.priority_claim.empty())
      options.claim.push_back({config::KeyPart::Kind::jwt, config.priority_claim});
    options.priority =
        route.options.priority == config::Route::Priority::critical ? resilience::Priority::critical
        : route.options.priority == config::Route::Priority::low    ? resilience::Priority::low
                                                                    : resilience::Priority::normal;
    const bool tiered =
        !options.header.empty() || !options.claim.empty() || options.priority != resilience::Priority::normal;
    std::unique_ptr<Stage> stage;
    if (tiered)
      stage = std::make_unique<TieredLoadShedStage>(std::move(shedder), permit, std::move(options));
    else
      stage = std::make_unique<LoadShedStage>(std::move(shedder), permit);
    if (route.options.hold_headers) route.answer_watchers.push_back(stage.get());
    add(route, std::move(stage));
  }

  void add(Route& route, std::unique_ptr<Stage> stage) {
    const std::string_view name = stage->name();
    StageCounters made = counters(route, name, stage->refusals());
    // Two stages under one name are one decision to whoever reads the metrics: it passes once. And one place
    // for those who want to stand behind it: the first.
    const bool known = std::any_of(route.stages.begin(), route.stages.end(),
                                   [&](const auto& earlier) { return earlier->name() == name; });
    if (known) made.pass = {};
    route.counters.push_back(std::move(made));
    route.stages.push_back(std::move(stage));
    if (known) return;
    for (const CustomStage& custom : options_.custom_stages)
      if (custom.after == name) add_custom(route, custom);
  }

  void add_custom(Route& route, const CustomStage& custom) {
    std::unique_ptr<Stage> stage = custom.make(route.options);
    if (stage == nullptr) return;
    route.counters.push_back(counters(route, stage->name(), stage->refusals()));
    route.stages.push_back(std::move(stage));
  }

  StageCounters counters(const Route& route, std::string_view stage, std::span<const Problem> refusals) {
    StageCounters made;
    made.pass = metrics_.counter(decisions_, {route.options.name, stage, "pass", "-"});
    if (stage == "cors" || stage == "cache" || stage == "idempotency")
      made.answer = metrics_.counter(decisions_, {route.options.name, stage, "answer", "-"});
    for (const Problem problem : refusals)
      made.refusals.emplace_back(problem, metrics_.counter(decisions_, {route.options.name, stage, "refuse",
                                                                        describe(problem).name}));
    return made;
  }

  template <class T>
  Slot<T> slot() {
    WEIR_CHECK(next_slot_ < kSlots);
    return Slot<T>{next_slot_++};
  }

  State& state_;
  metrics::Registry& metrics_;
  const PlanOptions& options_;
  metrics::FamilyId decisions_;
  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::map<std::string, std::uint32_t> upstream_index_;
  std::map<std::string, std::shared_ptr<io::TlsClient>> tls_;  // by the file of authorities
  std::map<std::string, RateLimitStage::Limit> limits_;
  std::shared_ptr<resilience::LoadShedder> process_shedder_;
  std::uint8_t next_slot_ = 0;
  KeyedSlot keyed_;  // of the route that is being built
  std::shared_ptr<store::IdempotencyStore> records_;
};

}  // namespace

Result<std::shared_ptr<const Plan>> build_plan(config::Config config, State& state,
                                               metrics::Registry& metrics, const PlanOptions& options) {
  return Builder(std::move(config), state, metrics, options).build();
}

}  // namespace weir::gateway
