// Pipeline: takes an exchange through its route's stages, to the terminal, and back.
//
// The only place that knows about order. Whatever happens (a refusal, a client that goes, the coroutine destroyed in
// mid-flight), every stage that was entered is released once and settled once, in reverse order.
#ifndef WEIR_GATEWAY_PIPELINE_H_
#define WEIR_GATEWAY_PIPELINE_H_

#include "weir/async/task.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

// Serves the exchange, whose route is set, to the end of its answer.
async::Task<void> run_pipeline(Exchange& exchange);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_PIPELINE_H_
