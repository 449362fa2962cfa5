// load_shed: the last gate before work. One place of a semaphore per request, given back when the upstream's answer is
// complete or abandoned, whatever the client's speed.
#ifndef WEIR_GATEWAY_STAGES_LOAD_SHED_H_
#define WEIR_GATEWAY_STAGES_LOAD_SHED_H_

#include <memory>
#include <utility>

#include "weir/gateway/exchange.h"
#include "weir/gateway/stage.h"
#include "weir/resilience/load_shedder.h"

namespace weir::gateway {

class LoadShedStage final : public Stage {
 public:
  LoadShedStage(std::shared_ptr<resilience::LoadShedder> shedder,
                Slot<resilience::LoadShedder::Permit> permit)
      : shedder_(std::move(shedder)), permit_(permit) {}
  std::string_view name() const noexcept override { return "load_shed"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;
  void release(Exchange& exchange) noexcept override { exchange.drop(permit_); }

 private:
  std::shared_ptr<resilience::LoadShedder> shedder_;
  Slot<resilience::LoadShedder::Permit> permit_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_LOAD_SHED_H_
