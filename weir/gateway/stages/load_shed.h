// load_shed: the last gate before work. One place of a semaphore per request, given back when the upstream's answer is
// complete or abandoned, whatever the client's speed.
#ifndef WEIR_GATEWAY_STAGES_LOAD_SHED_H_
#define WEIR_GATEWAY_STAGES_LOAD_SHED_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/stage.h"
#include "weir/resilience/load_shedder.h"

namespace weir::gateway {

class LoadShedStage : public Stage {
 public:
  LoadShedStage(std::shared_ptr<resilience::LoadShedder> shedder,
                Slot<resilience::LoadShedder::Permit> permit)
      : shedder_(std::move(shedder)), permit_(permit) {}
  std::string_view name() const noexcept override { return "load_shed"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;
  void release(Exchange& exchange) noexcept override { exchange.drop(permit_); }
  // Asked only where the route says `hold: headers` (Route::answer_watchers): the place comes free with the head.
  void answered(Exchange& exchange, const AnswerHead&) noexcept override { exchange.drop(permit_); }

 protected:
  Verdict admit_as(Exchange& exchange, resilience::Priority priority);

 private:
  std::shared_ptr<resilience::LoadShedder> shedder_;
  Slot<resilience::LoadShedder::Permit> permit_;
};

// The same where requests matter differently: a header of trusted peers, a claim or the route says how much.
class TieredLoadShedStage final : public LoadShedStage {
 public:
  struct Options {
    std::string header;                                            // "": none is read
    std::vector<config::KeyPart> claim;                            // one part, or none
    resilience::Priority priority = resilience::Priority::normal;  // the route's
  };
  TieredLoadShedStage(std::shared_ptr<resilience::LoadShedder> shedder,
                      Slot<resilience::LoadShedder::Permit> permit, Options options)
      : LoadShedStage(std::move(shedder), permit), options_(std::move(options)) {}
  Verdict admit(Exchange& exchange) override { return admit_as(exchange, priority_of(exchange)); }
  resilience::Priority priority_of(Exchange& exchange) const;

 private:
  Options options_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_LOAD_SHED_H_
