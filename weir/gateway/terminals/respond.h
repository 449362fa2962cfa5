// respond: a fixed answer from the configuration.
#ifndef WEIR_GATEWAY_TERMINALS_RESPOND_H_
#define WEIR_GATEWAY_TERMINALS_RESPOND_H_

#include <utility>

#include "weir/config/config.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

class RespondTerminal final : public Terminal {
 public:
  explicit RespondTerminal(config::Respond respond) : respond_(std::move(respond)) {}
  async::Task<void> serve(Exchange& exchange) override;

 private:
  config::Respond respond_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TERMINALS_RESPOND_H_
