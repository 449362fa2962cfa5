// fault: what a route does wrong on purpose, so that those who call it can be seen to bear it.
//
// Behind load_shed, where the upstream's own faults would begin: a delayed request holds its place as one of a slow
// upstream would, and an aborted one has been limited, identified and admitted like any other. Neither breaker nor
// upstream hears of an abort, no idempotency record is left by one, and a delay is over before the breaker is asked.
//
//   (1) First the delay, then the abort, drawn apart: a request may meet both (the order of Envoy's fault filter).
//   (2) Only requests with the named field, where one is named; so a person can have a fault that users have not.
//   (3) At most max_active requests are delayed at a time, of all workers; the others pass.
//   (4) Chance comes from the worker's generator: same seed, same faults.
//
// A route without `faults:` has no such stage. A delayed request costs a coroutine frame and nothing else.
#ifndef WEIR_GATEWAY_STAGES_FAULT_H_
#define WEIR_GATEWAY_STAGES_FAULT_H_

#include <atomic>
#include <cstdint>

#include "weir/config/config.h"
#include "weir/gateway/stage.h"
#include "weir/metrics/registry.h"

namespace weir::gateway {

class FaultStage final : public AsyncStage {
 public:
  FaultStage(config::Faults faults, metrics::CounterId delays, metrics::CounterId aborts)
      : faults_(std::move(faults)), delays_(delays), aborts_(aborts) {}
  std::string_view name() const noexcept override { return "fault"; }
  std::span<const Problem> refusals() const noexcept override;
  bool needs_waiting(const Exchange& exchange) const noexcept override;
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  async::Task<Verdict> admit_async(Exchange& exchange) override;

 private:
  bool draw(Exchange& exchange, double share) const;

  config::Faults faults_;
  metrics::CounterId delays_;
  metrics::CounterId aborts_;
  std::atomic<std::uint32_t> active_{0};
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_FAULT_H_
