// Upstreams: endpoints, timeouts, breaker.
#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "weir/config/internal/readers.h"

namespace weir::config::internal {
namespace {

void read_endpoints(const Value& map, Upstream& upstream, const ReadContext& context) {
  const Value* list = sound(map, "endpoints");
  if (list == nullptr) return;
  std::unordered_map<std::string, Position> seen;
  for (const Value& item : list->items) {
    const Value* url = item.is(kMap) ? sound(item, "url") : &item;
    if (url == nullptr) continue;
    Endpoint endpoint;
    endpoint.url = url->text;
    endpoint.address = *parse_url(url->text).value;
    endpoint.at = url->at;
    endpoint.tls = url->text.starts_with("https://");
    if (item.is(kMap)) {
      read(item, "weight", endpoint.weight);
      if (const Value* ca = sound(item, "ca")) {
        endpoint.ca = relative_to(context.file_of(ca->at), ca->text);
        if (!endpoint.tls) context.report.error(ca->key_at, "`ca` is for https:// endpoints");
      }
    }
    const auto [earlier, fresh] = seen.emplace(endpoint.address.to_text(), endpoint.at);
    if (!fresh)
      context.report.error(
          endpoint.at,
          "the endpoint " + shown(*url) + " is given twice: also at " + context.place(earlier->second),
          "write it once, with a `weight`");
    upstream.endpoints.push_back(std::move(endpoint));
  }
}

void read_share(const Value& map, std::string_view key, double& target) {
  if (const Value* value = sound(map, key)) target = value->share;
}

void read_ratios(const Value& map, CircuitBreaker& breaker, const ReadContext& context) {
  read_share(map, "failure_ratio", breaker.failure_ratio);
  read_share(map, "slow_ratio", breaker.slow_ratio);
  if (const Value* slow = sound(map, "slow_call")) breaker.slow_call = slow->duration;
  read(map, "min_calls", breaker.min_calls);
  read(map, "window", breaker.window);
  if (breaker.slow_ratio > 0 && !breaker.slow_call)
    context.report.error(sound(map, "slow_ratio")->key_at, "`slow_ratio` needs to know what is slow",
                         "add `slow_call: 500ms`");
  if (breaker.failures == 0 && breaker.failure_ratio == 0 && breaker.slow_ratio == 0)
    context.report.error(sound(map, "failures")->at, "nothing would ever open this breaker",
                         "write `circuit_breaker: off`, or a `failure_ratio`");
}

void read_fallback(const Value& map, CircuitBreaker& breaker, const ReadContext& context) {
  const Value* fallback = sound(map, "fallback");
  if (fallback == nullptr) return;
  breaker.fallback_at = fallback->at;
  if (const Value* upstream = sound(*fallback, "upstream")) breaker.fallback_upstream = upstream->text;
  if (const Value* status = sound(*fallback, "status"))
    breaker.fallback_status = static_cast<int>(status->number);
  if (const Value* body = sound(*fallback, "body")) breaker.fallback_body = free_text(*body, context);
  if (breaker.fallback_upstream.has_value() == breaker.fallback_status.has_value())
    context.report.error(fallback->at,
                         "`fallback` is either another `upstream` or an answer with a `status`");
}

void read_breaker(const Value& map, Upstream& upstream, const ReadContext& context) {
  const Value* value = sound(map, "circuit_breaker");
  if (value == nullptr) return;
  if (value->is(kOff)) {
    upstream.circuit_breaker.reset();
    return;
  }
  CircuitBreaker& breaker = *upstream.circuit_breaker;
  if (const Value* failures = sound(*value, "failures"))
    breaker.failures = failures->is(kOff) ? 0 : static_cast<std::uint32_t>(failures->number);
  read_ratios(*value, breaker, context);
  read(*value, "open_for", breaker.open_for);
  if (const Value* growth = sound(*value, "open_backoff")) {
    CircuitBreaker::OpenBackoff& backoff = breaker.open_backoff.emplace();
    read(*growth, "factor", backoff.factor);
    read(*growth, "max", backoff.max);
    read_share(*growth, "jitter", backoff.jitter);
    if (backoff.max < breaker.open_for)
      context.report.error(growth->at, "`open_backoff` would end below `open_for`",
                           "write `max: " + duration_text(breaker.open_for) + "` or more");
  }
  read(*value, "half_open_probes", breaker.half_open_probes);
  read(*value, "success_threshold", breaker.success_threshold);
  read(*value, "shadow", breaker.shadow);
  read_fallback(*value, breaker, context);
  if (const Value* failure_on = sound(*value, "failure_on"))
    for (const Value& item : failure_on->items) breaker.failure_on.push_back(item.text);
}

void read_retries(const Value& map, Upstream& upstream, const ReadContext& context) {
  const Value* value = sound(map, "retries");
  if (value == nullptr || !value->is(kMap)) return;
  Retries& retries = upstream.retries.emplace();
  read(*value, "attempts", retries.attempts);
  if (const Value* per_try = sound(*value, "per_try")) retries.per_try = per_try->duration;
  read_share(*value, "budget", retries.budget);
  read(*value, "min_per_second", retries.min_per_second);
  read(*value, "backoff", retries.backoff);
  read(*value, "backoff_max", retries.backoff_max);
  if (retries.backoff_max < retries.backoff)
    context.report.error(value->at, "`backoff_max` is below `backoff`");
  if (retries.budget == 0 && retries.min_per_second == 0)
    context.report.error(value->at, "this budget grants no retry at all", "write `retries: off`");
  if (retries.per_try && upstream.timeout && *retries.per_try > *upstream.timeout)
    context.report.error(sound(*value, "per_try")->at,
                         "one try may take longer than the whole call (`timeout`)");
}

bool is_idempotent(std::string_view method) {  // RFC 9110 9.2.2
  constexpr std::string_view kAll[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  return std::find(std::begin(kAll), std::end(kAll), method) != std::end(kAll);
}

void read_hedge(const Value& map, Upstream& upstream, const ReadContext& context) {
  const Value* value = sound(map, "hedge");
  if (value == nullptr || !value->is(kMap)) return;
  Hedge& hedge = upstream.hedge.emplace();
  if (const Value* after = sound(*value, "after")) {
    if (after->is(kDuration))
      hedge.after = after->duration;
    else
      hedge.quantile = after->text == "p90" ? 0.90 : after->text == "p99" ? 0.99 : 0.95;
    if (hedge.after && upstream.timeout && *hedge.after >= *upstream.timeout)
      context.report.error(after->at, "the second call would begin when the whole call is over (`timeout`)");
  }
  read(*value, "floor", hedge.floor);
  if (const Value* methods = sound(*value, "methods")) {
    hedge.methods.clear();
    for (const Value& method : methods->items) {
      if (!is_idempotent(method.text))
        context.report.error(method.at, shown(method) + " is not idempotent: called twice, it happens twice",
                             "leave it out");
      hedge.methods.push_back(method.text);
    }
  }
  if (upstream.endpoints.size() == 1)
    context.report.warning(value->key_at,
                           "`hedge` does nothing with one endpoint: the second call goes to another one");
}

void read_ejection(const Value& map, Upstream& upstream, const ReadContext& context) {
  const Value* value = sound(map, "ejection");
  if (value == nullptr || !value->is(kMap)) return;
  Ejection& ejection = upstream.ejection.emplace();
  if (const Value* failures = sound(*value, "failures"))
    ejection.failures = failures->is(kOff) ? 0 : static_cast<std::uint32_t>(failures->number);
  read_share(*value, "failure_ratio", ejection.failure_ratio);
  read(*value, "min_calls", ejection.min_calls);
  read(*value, "eject_for", ejection.eject_for);
  read_share(*value, "max_ejected", ejection.max_ejected);
  if (ejection.failures == 0 && ejection.failure_ratio == 0)
    context.report.error(value->at, "nothing would ever eject an endpoint",
                         "write `ejection: off`, or a `failure_ratio`");
  if (upstream.endpoints.size() == 1)
    context.report.warning(value->key_at,
                           "`ejection` does nothing with one endpoint: the last is never taken out");
}

void read_health(const Value& map, Upstream& upstream, const ReadContext& context) {
  if (const Value* ca = sound(map, "ca")) upstream.ca = relative_to(context.file_of(ca->at), ca->text);
  if (const Value* slow_start = sound(map, "slow_start")) upstream.slow_start = slow_start->duration;
  const Value* value = sound(map, "health_check");
  if (value == nullptr || !value->is(kMap)) return;
  HealthCheck& check = upstream.health_check.emplace();
  if (const Value* path = sound(*value, "path")) check.path = path->text;
  if (check.path.find_first_of("*{") != std::string::npos)
    context.report.error(sound(*value, "path")->at, "`path` is one path, without `*` and `{}`");
  read(*value, "every", check.every);
  read(*value, "timeout", check.timeout);
  read(*value, "rise", check.rise);
  read(*value, "fall", check.fall);
}

void read_balance(const Value& map, Upstream& upstream) {
  const Value* balance = sound(map, "balance");
  if (balance == nullptr) return;
  if (balance->text == "round_robin") upstream.balance = Upstream::Balance::round_robin;
  if (!balance->is(kMap)) return;
  const Value* key = sound(*balance, "hash");
  if (key == nullptr) return;
  upstream.balance = Upstream::Balance::hash;
  upstream.hash_key = *parse_limit_key(key->text).value;
}

void read_upstream(const std::string& name, const Value& map, const ReadContext& context) {
  Upstream upstream;
  upstream.name = name;
  upstream.at = map.key_at;
  read_endpoints(map, upstream, context);
  if (const Value* timeouts = sound(map, "timeouts")) {
    read(*timeouts, "connect", upstream.connect_timeout);
    read(*timeouts, "first_byte", upstream.first_byte_timeout);
    read(*timeouts, "idle", upstream.idle_timeout);
  }
  if (const Value* timeout = sound(map, "timeout"); timeout != nullptr && timeout->is(kDuration))
    upstream.timeout = timeout->duration;
  read_breaker(map, upstream, context);
  read_retries(map, upstream, context);
  read_hedge(map, upstream, context);
  read_ejection(map, upstream, context);
  read_health(map, upstream, context);
  read_balance(map, upstream);
  read(map, "external", upstream.external);
  if (const Value* host = sound(map, "host")) {
    if (host->is(kHost)) {
      upstream.host = Upstream::Host::name;
      upstream.host_name = *parse_host(host->text, false).value;
      warn_near_word(*host, "a host name", {"preserve", "upstream"}, context.report);
    } else if (host->text == "upstream") {
      upstream.host = Upstream::Host::upstream;
    }
  }
  context.config.upstreams.push_back(std::move(upstream));
}

}  // namespace

void read_upstreams(const Value& root, const ReadContext& context) {
  const Value* upstreams = sound(root, "upstreams");
  if (upstreams == nullptr) return;
  for (const auto& [name, value] : upstreams->entries)
    if (value.is(kMap)) read_upstream(name, value, context);
  for (const Upstream& upstream : context.config.upstreams) {
    if (!upstream.circuit_breaker || !upstream.circuit_breaker->fallback_upstream) continue;
    const std::string& other = *upstream.circuit_breaker->fallback_upstream;
    const bool known = upstreams->find(other) != nullptr;
    if (!known || other == upstream.name)
      context.report.error(
          upstream.circuit_breaker->fallback_at,
          known ? "an upstream cannot be its own fallback" : "there is no upstream `" + other + "`");
  }
}

}  // namespace weir::config::internal
