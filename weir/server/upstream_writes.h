// What an operator may do to upstreams at run time: force a breaker, drain an endpoint.
//
// Both belong to the upstream's shared state, which a reload keeps as long as the file still has an upstream of that
// name (for a drain: with an endpoint of that URL). They do not outlive the process.
#ifndef WEIR_SERVER_UPSTREAM_WRITES_H_
#define WEIR_SERVER_UPSTREAM_WRITES_H_

#include <string>
#include <string_view>

#include "weir/base/clock.h"
#include "weir/gateway/plan.h"

namespace weir::server {

struct WriteAnswer {
  int status = 200;
  std::string body;  // JSON
  std::string done;  // a line for the log; "" when nothing was changed
};

// {"state": "forced_open" | "forced_closed" | "disabled" | "auto", "for": "15m"}. `auto` is closed with empty counters;
// without `for` a force has no end. 404 no such upstream, 409 it has no breaker, 400 the body with its place.
WriteAnswer write_breaker(const gateway::Plan& plan, std::string_view upstream, std::string_view body,
                          TimePoint now);
// {"drain": true | false}: no new requests for the endpoint at that place of the list; what runs there finishes.
WriteAnswer write_endpoint(const gateway::Plan& plan, std::string_view upstream, std::string_view endpoint,
                           std::string_view body);

}  // namespace weir::server

#endif  // WEIR_SERVER_UPSTREAM_WRITES_H_
