// Upstreams: endpoints, timeouts, breaker.
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
    if (item.is(kMap)) read(item, "weight", endpoint.weight);
    const auto [earlier, fresh] = seen.emplace(endpoint.address.to_text(), endpoint.at);
    if (!fresh)
      context.report.error(
          endpoint.at,
          "the endpoint " + shown(*url) + " is given twice: also at " + context.place(earlier->second),
          "write it once, with a `weight`");
    upstream.endpoints.push_back(std::move(endpoint));
  }
}

void read_breaker(const Value& map, Upstream& upstream) {
  const Value* value = sound(map, "circuit_breaker");
  if (value == nullptr) return;
  if (value->is(kOff)) {
    upstream.circuit_breaker.reset();
    return;
  }
  CircuitBreaker& breaker = *upstream.circuit_breaker;
  read(*value, "failures", breaker.failures);
  read(*value, "open_for", breaker.open_for);
  read(*value, "half_open_probes", breaker.half_open_probes);
  read(*value, "success_threshold", breaker.success_threshold);
  if (const Value* failure_on = sound(*value, "failure_on"))
    for (const Value& item : failure_on->items) breaker.failure_on.push_back(item.text);
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
  read_breaker(map, upstream);
  if (const Value* balance = sound(map, "balance"); balance != nullptr && balance->text == "round_robin")
    upstream.balance = Upstream::Balance::round_robin;
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
}

}  // namespace weir::config::internal
