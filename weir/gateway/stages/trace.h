// trace: gives every request an id and a place in a trace. First, so that even a refused request has both.
//
// X-Request-Id is kept when it is 1 to 128 of [A-Za-z0-9._~-], else a UUIDv7 (RFC 9562 5.7). traceparent (W3C Trace
// Context, level 2) is continued when it is valid, else a new root begins; what the upstream gets names a new parent.
#ifndef WEIR_GATEWAY_STAGES_TRACE_H_
#define WEIR_GATEWAY_STAGES_TRACE_H_

#include "weir/gateway/stage.h"

namespace weir::gateway {

class TraceStage final : public Stage {
 public:
  std::string_view name() const noexcept override { return "trace"; }
  Verdict admit(Exchange& exchange) override;
  void settle(Exchange& exchange) noexcept override;
};

// A span id of its own for the next call of a proxied request, and the traceparent that says so.
void begin_call(Exchange& exchange);

// The id of a request by the rule above; also for requests that never reach a route.
void assign_request_id(Exchange& exchange);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_TRACE_H_
