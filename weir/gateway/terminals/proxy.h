// proxy: breaker, endpoint, call, and the answer back to the client.
//
// One loop moves bytes both ways: it pushes the request, pulls the answer, passes it on, and waits only when nothing of
// that can move (relay in proxy.cc). So an early answer, an upload that stalls, a client that reads slowly and one that
// leaves are the same loop with different things standing still.
//
//   (1) The breaker is asked before an endpoint is touched; its ticket is settled when the answer's body is complete,
//       or dropped (neutral) when the client leaves first.
//   (2) Places are given back when the answer is complete or abandoned, before its last byte goes to the client; up to
//       the buffer's bound the answer is taken off the upstream whatever the client's speed.
//   (3) A request is repeated only when a reused connection died before a byte of the answer came, and repeating it is
//       safe: idempotent with its body at hand, or no byte of it had left.
//   (4) An answer that breaks off after its head has gone out is cut off towards the client too, never completed.
#ifndef WEIR_GATEWAY_TERMINALS_PROXY_H_
#define WEIR_GATEWAY_TERMINALS_PROXY_H_

#include <cstdint>

#include "weir/gateway/plan.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

class ProxyTerminal final : public Terminal {
 public:
  // `upstream`: index in the plan.
  ProxyTerminal(std::uint32_t upstream, StageCounters breaker, StageCounters calls)
      : upstream_(upstream), breaker_counters_(std::move(breaker)), call_counters_(std::move(calls)) {}

  async::Task<void> serve(Exchange& exchange) override;

 private:
  std::uint32_t upstream_;
  StageCounters breaker_counters_;
  StageCounters call_counters_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TERMINALS_PROXY_H_
