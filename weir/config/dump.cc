// Config to JSON: the file that would have the same effect, every default written out.
//
// Names and forms are the file's own, so that what /v1/config shows can be loaded again (but for the
// secrets). Proved by Dump.LoadsAgain in schema_test.cc.
#include <algorithm>
#include <array>
#include <charconv>

#include "weir/config/internal/json.h"
#include "weir/config/internal/scalars.h"
#include "weir/config/schema.h"

namespace weir::config {

using namespace internal;  // NOLINT: this file alone, to read easily

namespace {

constexpr const char* kOffWord = "off";

// Six digits after the point, none of them idle: "100%", "0.5%".
std::string percent_text(double share) {
  std::array<char, 64> buffer{};
  const auto written =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), share * 100, std::chars_format::fixed, 6);
  std::string text(buffer.data(), written.ptr);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text + "%";
}

void strings(JsonWriter& json, std::string_view name, const std::vector<std::string>& list) {
  json.key(name).open('[');
  for (const std::string& item : list) json.text(item);
  json.close(']');
}

void cidrs(JsonWriter& json, std::string_view name, const std::vector<base::Cidr>& list) {
  json.key(name).open('[');
  for (const base::Cidr& cidr : list) json.text(cidr.to_text());
  json.close(']');
}

void size(JsonWriter& json, std::string_view name, std::uint64_t bytes) {
  if (bytes == kUnbounded)
    json.member(name, kOffWord);
  else if (bytes % 1024 != 0 || bytes == 0)
    json.member(name, bytes);  // a size without a unit is a plain number
  else
    json.member(name, size_text(bytes));
}

template <class T>
void count_or_off(JsonWriter& json, std::string_view name, const std::optional<T>& count) {
  if (count)
    json.member(name, *count);
  else
    json.member(name, kOffWord);
}

void duration(JsonWriter& json, std::string_view name, const std::optional<Duration>& value) {
  json.member(name, value ? duration_text(*value) : std::string(kOffWord));
}

void limits(JsonWriter& json, const Limits& limits) {
  json.key("limits").open('{');
  size(json, "header_bytes", limits.header_bytes);
  size(json, "line_bytes", limits.line_bytes);
  size(json, "target_bytes", limits.target_bytes);
  if (limits.header_count == kUnbounded)
    json.member("header_count", kOffWord);
  else
    json.member("header_count", limits.header_count);
  duration(json, "header_timeout", limits.header_timeout);
  duration(json, "body_timeout", limits.body_timeout);
  count_or_off(json, "body_rate_min", limits.body_rate_min);
  duration(json, "idle_timeout", limits.idle_timeout);
  size(json, "max_body", limits.max_body.value_or(kUnbounded));
  count_or_off(json, "connections_per_address", limits.connections_per_address);
  json.close('}');
}

std::string key_part_text(const KeyPart& part) {
  switch (part.kind) {
    case KeyPart::Kind::global:
      return "global";
    case KeyPart::Kind::client_ip:
      return "client_ip";
    case KeyPart::Kind::header:
      return "header:" + part.name;
    case KeyPart::Kind::cookie:
      return "cookie:" + part.name;
    case KeyPart::Kind::query:
      return "query:" + part.name;
    case KeyPart::Kind::path:
      return "path";
    case KeyPart::Kind::method:
      return "method";
    case KeyPart::Kind::host:
      return "host";
    case KeyPart::Kind::route:
      return "route";
    case KeyPart::Kind::passport:
      return "passport." + part.name;
    case KeyPart::Kind::jwt:
      return "jwt." + part.name;
  }
  return {};
}

void breaker(JsonWriter& json, const std::optional<CircuitBreaker>& breaker) {
  if (!breaker) {
    json.member("circuit_breaker", kOffWord);
    return;
  }
  json.key("circuit_breaker").open('{');
  if (breaker->failures == 0)
    json.member("failures", kOffWord);
  else
    json.member("failures", breaker->failures);
  if (breaker->failure_ratio > 0) json.member("failure_ratio", percent_text(breaker->failure_ratio));
  if (breaker->slow_call) duration(json, "slow_call", *breaker->slow_call);
  if (breaker->slow_ratio > 0) json.member("slow_ratio", percent_text(breaker->slow_ratio));
  json.member("min_calls", breaker->min_calls);
  duration(json, "window", breaker->window);
  if (breaker->open_backoff) {
    json.key("open_backoff").open('{').member("factor", breaker->open_backoff->factor);
    duration(json, "max", breaker->open_backoff->max);
    json.member("jitter", percent_text(breaker->open_backoff->jitter)).close('}');
  }
  json.member("shadow", breaker->shadow);
  if (breaker->fallback_upstream)
    json.key("fallback").open('{').member("upstream", *breaker->fallback_upstream).close('}');
  if (breaker->fallback_status)
    json.key("fallback")
        .open('{')
        .member("status", static_cast<std::uint64_t>(*breaker->fallback_status))
        .member("body", breaker->fallback_body)
        .close('}');
  duration(json, "open_for", breaker->open_for);
  json.member("half_open_probes", breaker->half_open_probes);
  json.member("success_threshold", breaker->success_threshold);
  if (!breaker->failure_on.empty())
    strings(json, "failure_on", breaker->failure_on);
  else
    strings(json, "failure_on", {"5xx", "!501", "!505", "connect", "timeout", "reset", "malformed"});
  json.close('}');
}

void retries(JsonWriter& json, const std::optional<Retries>& retries) {
  if (!retries) {
    json.member("retries", kOffWord);
    return;
  }
  json.key("retries").open('{').member("attempts", retries->attempts);
  if (retries->per_try) duration(json, "per_try", *retries->per_try);
  json.member("budget", percent_text(retries->budget)).member("min_per_second", retries->min_per_second);
  duration(json, "backoff", retries->backoff);
  duration(json, "backoff_max", retries->backoff_max);
  json.close('}');
}

void hedge(JsonWriter& json, const std::optional<Hedge>& hedge) {
  if (!hedge) {
    json.member("hedge", kOffWord);
    return;
  }
  json.key("hedge").open('{');
  if (hedge->after)
    duration(json, "after", *hedge->after);
  else
    json.member("after", hedge->quantile == 0.90 ? "p90" : hedge->quantile == 0.99 ? "p99" : "p95");
  duration(json, "floor", hedge->floor);
  strings(json, "methods", hedge->methods);
  json.close('}');
}

void ejection(JsonWriter& json, const std::optional<Ejection>& ejection) {
  if (!ejection) {
    json.member("ejection", kOffWord);
    return;
  }
  json.key("ejection").open('{');
  if (ejection->failures == 0)
    json.member("failures", kOffWord);
  else
    json.member("failures", ejection->failures);
  if (ejection->failure_ratio > 0) json.member("failure_ratio", percent_text(ejection->failure_ratio));
  json.member("min_calls", ejection->min_calls);
  duration(json, "eject_for", ejection->eject_for);
  json.member("max_ejected", percent_text(ejection->max_ejected)).close('}');
}

void health(JsonWriter& json, const Upstream& upstream) {
  if (upstream.slow_start) duration(json, "slow_start", *upstream.slow_start);
  if (!upstream.health_check) {
    json.member("health_check", kOffWord);
    return;
  }
  const HealthCheck& check = *upstream.health_check;
  json.key("health_check").open('{');
  if (!check.path.empty()) json.member("path", check.path);
  duration(json, "every", check.every);
  duration(json, "timeout", check.timeout);
  json.member("rise", check.rise).member("fall", check.fall).close('}');
}

void endpoint_members(JsonWriter& json, const Endpoint& endpoint) {
  json.open('{').member("url", endpoint.url).member("weight", endpoint.weight);
  if (!endpoint.ca.empty()) json.member("ca", endpoint.ca);
  json.close('}');
}

void upstream(JsonWriter& json, const Upstream& upstream) {
  json.key(upstream.name).open('{');
  json.key("endpoints").open('[');
  for (const Endpoint& endpoint : upstream.endpoints) endpoint_members(json, endpoint);
  json.close(']');
  json.key("timeouts").open('{');
  duration(json, "connect", upstream.connect_timeout);
  duration(json, "first_byte", upstream.first_byte_timeout);
  duration(json, "idle", upstream.idle_timeout);
  json.close('}');
  duration(json, "timeout", upstream.timeout);
  breaker(json, upstream.circuit_breaker);
  if (!upstream.ca.empty()) json.member("ca", upstream.ca);
  retries(json, upstream.retries);
  hedge(json, upstream.hedge);
  ejection(json, upstream.ejection);
  health(json, upstream);
  if (upstream.balance == Upstream::Balance::hash)
    json.key("balance").open('{').member("hash", key_part_text(upstream.hash_key)).close('}');
  else
    json.member("balance",
                upstream.balance == Upstream::Balance::round_robin ? "round_robin" : "least_requests");
  json.member("external", upstream.external);
  json.member("host", upstream.host == Upstream::Host::name       ? std::string_view(upstream.host_name)
                      : upstream.host == Upstream::Host::upstream ? std::string_view("upstream")
                                                                  : std::string_view("preserve"));
  json.close('}');
}

// The reader admits these four windows only.
std::string rate_text(std::uint64_t count, Duration window) {
  const char* unit = window == std::chrono::seconds{1}   ? "/s"
                     : window == std::chrono::minutes{1} ? "/min"
                     : window == std::chrono::hours{1}   ? "/h"
                                                         : "/d";
  return std::to_string(count) + unit;
}

// Without user and password.
std::string redis_text(const std::string& url) {
  const std::size_t begin = url.find("://") + 3;
  const std::size_t at = url.rfind('@');
  return at == std::string::npos ? url : url.substr(0, begin) + "***" + url.substr(at);
}

void sharing(JsonWriter& json, const Config& config) {
  static constexpr std::array<const char*, 5> kStyles{"draft10", "draft7", "draft6", "x_ratelimit", "none"};
  json.key("rate_limit_headers").open('{');
  json.member("style", kStyles[static_cast<std::size_t>(config.rate_limit_headers.style)]);
  duration(json, "retry_jitter", config.rate_limit_headers.retry_jitter);
  json.close('}');
  if (!config.redis) return;
  json.key("redis")
      .open('{')
      .member("url", redis_text(config.redis->url))
      .member("nodes", config.redis->nodes);
  duration(json, "timeout", config.redis->timeout);
  json.close('}');
}

void rate_limit(JsonWriter& json, const RateLimit& limit) {
  json.key(limit.name).open('{').key("key").open('[');
  for (const KeyPart& part : limit.key) json.text(key_part_text(part));
  json.close(']');
  json.member("limit", limit.limit);
  if (limit.window > Duration::zero()) duration(json, "window", limit.window);
  static constexpr std::array<const char*, 6> kAlgorithms{"exact_window", "segmented_window", "gcra",
                                                          "token_bucket", "fixed_window",     "concurrency"};
  json.member("algorithm", kAlgorithms[static_cast<std::size_t>(limit.algorithm)]);
  if (limit.burst != 0) json.member("burst", limit.burst);
  json.member("count_rejected", limit.count_rejected);
  json.member("store", limit.store == RateLimit::Store::redis ? "redis" : "local");
  static constexpr std::array<const char*, 3> kModes{"local", "allow", "deny"};
  if (limit.store == RateLimit::Store::redis)
    json.member("on_backend_error", kModes[static_cast<std::size_t>(limit.on_backend_error)]);
  if (!limit.cost_header.empty()) json.member("cost_header", limit.cost_header);
  if (limit.tier_from) {
    json.key("tiers").open('{').member("from", key_part_text(*limit.tier_from));
    for (const RateLimit::Tier& tier : limit.tiers)
      json.member(tier.name, rate_text(tier.limit, tier.window));
    json.close('}');
  }
  json.member("shadow", limit.shadow);
  json.member("on_missing_key", limit.on_missing_key == RateLimit::Missing::skip   ? "skip"
                                : limit.on_missing_key == RateLimit::Missing::deny ? "deny"
                                                                                   : "use:client_ip");
  json.close('}');
}

// Free text, or *** when it came from outside the file.
using Secrets = std::vector<std::string>;
std::string_view unless_secret(const std::string& text, const Secrets& secrets) {
  return std::find(secrets.begin(), secrets.end(), text) != secrets.end() ? std::string_view("***") : text;
}

void fields(JsonWriter& json, const Secrets& secrets, std::string_view name,
            const std::vector<std::pair<std::string, std::string>>& list) {
  json.key(name).open('{');
  for (const auto& [field, value] : list) json.member(field, unless_secret(value, secrets));
  json.close('}');
}

void edit(JsonWriter& json, const Secrets& secrets, std::string_view name, const HeaderEdit& edit) {
  json.key(name).open('{');
  fields(json, secrets, "set", edit.set);
  strings(json, "remove", edit.remove);
  json.close('}');
}

std::string_view need_word(bff::Need need) {
  return need == bff::Need::required ? "required" : need == bff::Need::primary ? "primary" : "optional";
}

std::string condition_key(const bff::Reference& value) {
  const std::string_view source = value.source == bff::Source::header    ? "header."
                                  : value.source == bff::Source::variant ? "variant."
                                  : value.source == bff::Source::flag    ? "flag."
                                                                         : "passport.";
  return std::string(source) + value.name;
}

void conditions(JsonWriter& json, const std::vector<bff::Condition>& list) {
  constexpr const char* kWords[] = {"eq", "ne", "in", "not_in", "exists"};
  json.key("when").open('{');
  for (std::size_t i = 0; i < list.size(); ++i) {
    // Conditions on one value stand together, as they were read.
    const std::string key = condition_key(list[i].value);
    if (i == 0 || condition_key(list[i - 1].value) != key) json.key(key).open('{');
    const auto op = static_cast<std::size_t>(list[i].op);
    if (list[i].op == bff::Condition::Operator::in || list[i].op == bff::Condition::Operator::not_in)
      strings(json, kWords[op], list[i].operands);
    else if (list[i].op == bff::Condition::Operator::exists)
      json.member(kWords[op], list[i].operands.front() == "true");
    else
      json.member(kWords[op], list[i].operands.front());
    if (i + 1 == list.size() || condition_key(list[i + 1].value) != key) json.close('}');
  }
  json.close('}');
}

void shape(JsonWriter& json, const bff::Shape& shape) {
  json.key("shape").open('{');
  if (!shape.pick.empty()) {
    std::string path;
    for (const std::string& step : shape.pick) path.append(path.empty() ? "" : ".").append(step);
    json.member("pick", path);
  }
  strings(json, "allow", shape.allow);
  strings(json, "deny", shape.deny);
  json.key("rename").open('{');
  for (const auto& [from, to] : shape.rename) json.member(from, to);
  json.close('}');
  if (!shape.wrap.empty()) json.member("wrap", shape.wrap);
  json.member("flatten", shape.flatten).close('}');
}

void section(JsonWriter& json, const bff::SectionSpec& section) {
  json.key(section.name).open('{').member("upstream", section.upstream).member("path", section.target);
  json.member("method", http::to_string(section.method));
  if (section.body) json.key("body").open('{').key("json").raw(*section.body).close('}');
  if (section.timeout) duration(json, "timeout", section.timeout);
  json.member("need", need_word(section.need)).key("on_error").raw(section.on_error);
  json.member("omit_on_error", section.omit_on_error);
  if (section.fallback) json.key("fallback").raw(*section.fallback);
  if (!section.when.empty()) conditions(json, section.when);
  if (section.for_each) {
    json.key("for_each").open('{').member("in", section.for_each->in).member("max", section.for_each->max);
    json.member("concurrency", section.for_each->concurrency).member("distinct", section.for_each->distinct);
    json.close('}');
  }
  if (!section.shape.empty()) shape(json, section.shape);
  json.key("cache").open('{');
  duration(json, "ttl", section.cache_for);
  duration(json, "stale_if_error", section.stale_if_error);
  json.member("scope", section.shared ? "public" : "user").close('}');
  json.member("text", section.text);
  size(json, "max_body", section.body_max);
  strings(json, "headers", section.headers);
  json.close('}');
}

void page(JsonWriter& json, const bff::PageSpec& page) {
  json.key("bff").open('{');
  duration(json, "deadline", page.deadline);
  json.member("reply", page.envelope ? "envelope" : "flat").member("server_timing", page.server_timing);
  size(json, "max_body", page.body_max);
  json.member("max_calls", page.calls_max).key("sections").open('{');
  for (const bff::SectionSpec& each : page.sections) section(json, each);
  json.close('}').close('}');
}

void tracing(JsonWriter& json, const Secrets& secrets, const Tracing& tracing) {
  json.key("tracing").open('{');
  if (tracing.otlp) json.member("otlp", tracing.otlp_url);
  json.member("sample", percent_text(tracing.sample));
  duration(json, "slow", tracing.slow);
  duration(json, "delay", tracing.delay);
  json.member("encoding", tracing.json ? "json" : "protobuf").member("service", tracing.service);
  fields(json, secrets, "headers", tracing.headers);
  fields(json, secrets, "resource", tracing.resource);
  duration(json, "timeout", tracing.timeout);
  cidrs(json, "trust", tracing.trust);
  json.close('}');
}

std::string_view source_prefix(AttributeSource::Kind kind) {
  using Kind = AttributeSource::Kind;
  switch (kind) {
    case Kind::passport:
      return "passport.";
    case Kind::header:
      return "header:";
    case Kind::cookie:
      return "cookie:";
    case Kind::query:
      return "query:";
    case Kind::client_ip:
      return "client_ip";
    case Kind::method:
      return "method";
    case Kind::path:
      return "path";
    case Kind::host:
      return "host";
  }
  return {};
}

void experiments(JsonWriter& json, const Experiments& from) {
  static constexpr std::string_view kAnonymous[] = {"cookie", "address", "off"};
  json.key("experiments").open('{').member("file", from.file);
  json.key("attributes").open('{');
  for (const AttributeSource& source : from.attributes)
    json.member(source.attribute, std::string(source_prefix(source.kind)) + source.name);
  json.close('}');
  json.member("anonymous", kAnonymous[static_cast<std::size_t>(from.anonymous)]);
  json.member("cookie", from.cookie);
  json.member("sticky_cookie", from.sticky_cookie);
  if (!from.secret.empty()) json.member("secret", "***");
  json.member("exposures", from.exposures).close('}');
}

void variants(JsonWriter& json, const Secrets& secrets, const Route& route) {
  json.key("variants").open('{');
  for (const VariantEffect& first : route.variants) {
    // Grouped by experiment: the first of each opens its map.
    if (&first != &route.variants.front() && (&first - 1)->experiment == first.experiment) continue;
    json.key(first.experiment).open('{');
    for (const VariantEffect& effect : route.variants) {
      if (effect.experiment != first.experiment) continue;
      json.key(effect.variant).open('{');
      if (effect.upstream) json.member("upstream", *effect.upstream);
      json.key("headers").open('{');
      edit(json, secrets, "request", effect.request_headers);
      json.key("response").open('{');
      fields(json, secrets, "set", effect.response_headers.set);
      json.close('}').close('}').close('}');
    }
    json.close('}');
  }
  json.close('}');
}

void faults(JsonWriter& json, const Faults& from) {
  json.key("faults").open('{');
  if (from.delay) {
    json.key("delay").open('{').member("for", duration_text(from.delay->lasts));
    json.member("percent", percent_text(from.delay->share)).close('}');
  }
  if (from.abort) {
    json.key("abort").open('{').member("status", from.abort->status);
    json.member("percent", percent_text(from.abort->share)).close('}');
  }
  if (!from.header.empty()) json.member("header", from.header);
  json.member("max_active", from.max_active).close('}');
}

void cors(JsonWriter& json, const Cors& from) {
  json.key("cors").open('{');
  strings(json, "origins", from.origins);
  strings(json, "methods", from.methods);
  if (from.headers) strings(json, "headers", *from.headers);
  strings(json, "expose", from.expose);
  json.member("credentials", from.credentials);
  duration(json, "max_age", from.max_age);
  json.close('}');
}

void target(JsonWriter& json, const Secrets& secrets, const Route& route) {
  if (route.bff) page(json, *route.bff);
  if (!route.serve.empty()) json.member("serve", route.serve);
  if (route.upstream) json.member("upstream", *route.upstream);
  if (!route.respond) return;
  json.key("respond").open('{').member("status", route.respond->status);
  fields(json, secrets, "headers", route.respond->headers);
  json.member("body", unless_secret(route.respond->body, secrets)).close('}');
}

void path(JsonWriter& json, std::string_view name, const ClaimPath& path) {
  if (path.size() == 1)
    json.member(name, path.front());
  else
    strings(json, name, path);
}

void keys(JsonWriter& json, const AuthProvider& provider) {
  if (provider.keys == AuthProvider::Keys::secret) {
    json.member("secret", std::string(64, '*'));  // as long as every algorithm wants it
    return;
  }
  json.key("jwks").open('{');
  if (provider.keys == AuthProvider::Keys::file) json.member("file", provider.key_file);
  if (provider.keys == AuthProvider::Keys::url) json.member("url", provider.url);
  if (provider.keys == AuthProvider::Keys::discover) json.member("discover", true);
  duration(json, "ttl", provider.ttl);
  duration(json, "stale_if_error", provider.stale_if_error);
  duration(json, "cooldown", provider.cooldown);
  json.member("persist", provider.persist.empty() ? std::string_view(kOffWord) : provider.persist);
  json.close('}');
}

void provider(JsonWriter& json, const AuthProvider& provider) {
  json.open('{').member("name", provider.name);
  path(json, "roles", provider.roles);
  if (provider.type == AuthProvider::Type::api_key) {
    json.member("type", "api_key").member("header", provider.header);
    json.member("file", provider.api_key_file).close('}');
    return;
  }
  json.member("type", "jwt").member("issuer", provider.issuer);
  if (provider.any_audience)
    json.member("audiences", "any");
  else
    strings(json, "audiences", provider.audiences);
  strings(json, "algorithms", provider.algorithms);
  json.member("profile", provider.profile == AuthProvider::Profile::rfc9068    ? "rfc9068"
                         : provider.profile == AuthProvider::Profile::id_token ? "id_token"
                                                                               : "generic");
  duration(json, "leeway", provider.leeway);
  json.member("require_exp", provider.require_exp);
  if (provider.max_token_age) duration(json, "max_token_age", provider.max_token_age);
  keys(json, provider);
  json.close('}');
}

void auth(JsonWriter& json, const Config& config) {
  if (!config.auth.providers.empty()) {
    json.key("auth").open('{').key("providers").open('[');
    for (const AuthProvider& each : config.auth.providers) provider(json, each);
    json.close(']').key("cache").open('{');
    size(json, "memory", config.auth.cache_bytes);
    json.close('}');
    if (config.auth.failures_per_second == 0)
      json.member("failures_per_second", kOffWord);
    else
      json.member("failures_per_second", config.auth.failures_per_second);
    if (!config.auth.revocations.empty()) json.member("revocations", config.auth.revocations);
    json.close('}');
  }
  json.key("passport").open('{').member("header", config.passport.header).key("claims").open('{');
  for (const auto& [member, claim] : config.passport.claims) path(json, member, claim);
  json.close('}');
  strings(json, "optional", config.passport.optional);
  size(json, "max_size", config.passport.max_size);
  json.member("encoding", config.passport.url_alphabet ? "base64url" : "base64");
  duration(json, "ttl", config.passport.ttl);
  if (const auto& signing = config.passport.signing) {
    json.key("signing").open('{').member("key", signing->key_file);
    json.member("header", signing->header).member("issuer", signing->issuer).close('}');
  }
  json.close('}');
  const ProxyState& state = config.proxy_state;
  json.key("proxy_state").open('{').member("header", state.header);
  json.key("status").open('{');
  path(json, "from", state.status);
  json.close('}').key("sub").open('{').key("from").open('[');
  for (const ClaimPath& claim : state.sub) {
    if (claim.size() == 1) {
      json.text(claim.front());
      continue;
    }
    json.open('[');
    for (const std::string& name : claim) json.text(name);
    json.close(']');
  }
  json.close(']').close('}').key("country").open('{');
  path(json, "from", state.country);
  if (!state.country_edge.empty()) json.member("edge", state.country_edge);
  json.close('}').key("platform").open('{');
  path(json, "from", state.platform);
  json.close('}').close('}');
  json.key("idempotency").open('{');
  static constexpr std::string_view kStores[] = {"sqlite", "redis", "memory"};
  json.member("store", kStores[static_cast<std::size_t>(config.idempotency.store)]);
  json.member("path", config.idempotency.path);
  duration(json, "ttl", config.idempotency.ttl);
  duration(json, "lease", config.idempotency.lease);
  size(json, "max_response", config.idempotency.max_response);
  json.close('}');
}

std::string_view require_text(Require require) {
  if (require == Require::off) return kOffWord;
  return require == Require::optional ? "optional" : "required";
}

void route_auth(JsonWriter& json, const Route& route) {
  json.key("auth").open('{').member("require", require_text(route.auth.require));
  strings(json, "providers", route.auth.providers);
  strings(json, "scopes", route.auth.scopes);
  strings(json, "roles", route.auth.roles);
  json.close('}').member("forward_token", route.forward_token);
  if (route.idempotency.require == Require::off) {
    json.member("idempotency", kOffWord);
    return;
  }
  json.key("idempotency").open('{').member("require", require_text(route.idempotency.require));
  strings(json, "methods", route.idempotency.methods);
  json.member("anonymous", route.idempotency.anonymous);
  duration(json, "wait", route.idempotency.wait);
  json.close('}');
}

void shares(JsonWriter& json, const ShedShares& shares) {
  json.member("critical_share", percent_text(shares.critical));
  json.member("normal_share", percent_text(shares.normal));
}

void load_shed(JsonWriter& json, const Route& route) {
  if (route.load_shed == Route::LoadShed::off) {
    json.member("load_shed", kOffWord);
    return;
  }
  const bool own = route.load_shed == Route::LoadShed::own;
  if (!own && route.priority == Route::Priority::normal && !route.hold_headers) {
    json.member("load_shed", true);
    return;
  }
  json.key("load_shed").open('{');
  if (own) {
    json.member("max_in_flight", route.max_in_flight);
    shares(json, route.shed_shares);
  }
  json.member("priority", route.priority == Route::Priority::critical ? "critical"
                          : route.priority == Route::Priority::low    ? "low"
                                                                      : "normal");
  json.member("hold", route.hold_headers ? "headers" : "end").close('}');
}

void route(JsonWriter& json, const Secrets& secrets, const Route& route) {
  json.open('{').member("name", route.name).member("path", route.path);
  if (!route.methods.empty()) strings(json, "methods", route.methods);
  if (!route.host.empty()) json.member("host", route.host);
  strings(json, "rate_limit", route.rate_limit);
  if (route.upstream || route.bff) {
    load_shed(json, route);
    size(json, "request_buffer", route.request_buffer);
  }
  cidrs(json, "allow", route.allow);
  cidrs(json, "deny", route.deny);
  json.key("headers").open('{');
  edit(json, secrets, "request", route.request_headers);
  edit(json, secrets, "response", route.response_headers);
  json.close('}');
  if (route.strip_prefix) json.member("strip_prefix", true);
  if (!route.rewrite.empty()) json.member("rewrite", route.rewrite);
  json.member("allow_encoded_slash", route.allow_encoded_slash);
  route_auth(json, route);
  strings(json, "experiments", route.experiments);
  if (!route.variants.empty()) variants(json, secrets, route);
  strings(json, "flags", route.flags);
  if (route.cors) cors(json, *route.cors);
  if (route.cache) {
    json.key("cache").open('{');
    size(json, "max_body", route.cache->max_body);
    json.member("scope", route.cache->by_user ? "user" : "segment").close('}');
  }
  strings(json, "vary", route.vary);
  if (route.faults) faults(json, *route.faults);
  target(json, secrets, route);
  json.close('}');
}

void server(JsonWriter& json, const Config& config) {
  json.key("listen").open('[');
  for (const Listen& listen : config.listen)
    json.open('{').member("address", listen.address.to_text()).close('}');
  json.close(']');
  if (config.admin) {
    json.key("admin").open('{').member("listen", config.admin->address.to_text());
    if (!config.admin->token.empty()) json.member("token", "***");
    json.close('}');
  }
  if (config.health) json.member("health", config.health->to_text());
  if (config.workers)
    json.member("workers", *config.workers);
  else
    json.member("workers", "auto");
  json.key("access_log").open('{').member("to", config.access_log.to);
  json.member("sample", percent_text(config.access_log.sample));
  strings(json, "redact", config.access_log.redact);
  json.close('}');
  json.key("log").open('{').member("level", config.log_level).close('}');
  json.key("trusted_proxies").open('{');
  cidrs(json, "cidrs", config.trusted_proxies.cidrs);
  json.member("hops", config.trusted_proxies.hops).close('}');
}

}  // namespace

std::string HostPort::to_text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string to_json(const Config& config) {
  JsonWriter json;
  json.open('{');
  server(json, config);
  limits(json, config.limits);
  if (config.explain.recent == 0 && config.explain.kept == 0) {
    json.member("explain", "off");
  } else {
    json.key("explain").open('{').member("recent", config.explain.recent).member("kept", config.explain.kept);
    duration(json, "slow", config.explain.slow);
    json.close('}');
  }
  if (config.tracing) tracing(json, config.secrets, *config.tracing);
  json.key("upstreams").open('{');
  for (const Upstream& each : config.upstreams) upstream(json, each);
  json.close('}');
  json.key("rate_limits").open('{');
  for (const RateLimit& each : config.rate_limits) rate_limit(json, each);
  json.close('}');
  sharing(json, config);
  json.key("load_shed").open('{').member("max_in_flight", config.max_in_flight);
  shares(json, config.shed_shares);
  if (!config.priority_header.empty() || !config.priority_claim.empty()) {
    json.key("priority").open('{');
    if (!config.priority_header.empty()) json.member("header", config.priority_header);
    if (!config.priority_claim.empty()) json.member("claim", config.priority_claim);
    json.close('}');
  }
  json.close('}');
  json.key("cache").open('{');
  size(json, "memory", config.cache_bytes);
  json.close('}');
  auth(json, config);
  if (config.experiments) experiments(json, *config.experiments);
  json.key("routes").open('[');
  for (const Route& each : config.routes) route(json, config.secrets, each);
  json.close(']').close('}');
  return json.take();
}

}  // namespace weir::config
