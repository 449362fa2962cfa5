// What of a request goes to its upstream: the path after rewrite or strip_prefix, and the fields after the route's
// edits. One place for everybody who calls an upstream with a client's request, whether he renders it (Relay) or
// orders it (KeyedTerminal). Host, framing and Via are the caller's.
//
// No allocation beyond the exchange's arena. One thread, the exchange's.
#ifndef WEIR_GATEWAY_TO_UPSTREAM_H_
#define WEIR_GATEWAY_TO_UPSTREAM_H_

#include <string_view>

#include "weir/gateway/exchange.h"
#include "weir/gateway/plan.h"

namespace weir::gateway {

// The path that the upstream is asked for, without the query; good as long as the exchange.
std::string_view upstream_path(Exchange& exchange);

// Fields of the request that whoever renders it writes by himself.
constexpr bool is_rendered(http::Name name) noexcept {
  constexpr http::NameSet kRendered{http::Name::host, http::Name::content_length,
                                    http::Name::transfer_encoding, http::Name::expect};
  return kRendered.contains(name);
}
// The route removes or replaces this field.
bool is_edited(const config::HeaderEdit& edit, std::string_view name) noexcept;

// Calls write(name, value, id) for every field of the request that the upstream shall see, in order: the client's,
// what weir says about the caller (not to an `external` upstream), then what the route sets.
template <class Write>
void each_upstream_field(Exchange& exchange, const UpstreamPlan& upstream, Write&& write) {
  const config::HeaderEdit& edit = exchange.route->options.request_headers;
  const bool edits = !edit.remove.empty() || !edit.set.empty();
  const auto pass = [&](const http::Field& field) {
    if (!edits || !is_edited(edit, field.name)) write(field.name, field.value, field.id);
  };
  for (const http::Field& field : exchange.request.fields)
    if (!field.hop_by_hop && !is_rendered(field.id)) pass(field);
  if (!upstream.external)
    for (const http::Field& field : exchange.identity_fields()) pass(field);
  for (const auto& [name, value] : edit.set)
    write(std::string_view(name), std::string_view(value), http::Name::other);
}

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TO_UPSTREAM_H_
