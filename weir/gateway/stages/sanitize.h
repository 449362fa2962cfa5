// sanitize: nobody outside may speak in weir's name.
//
// Drops every spelling of the identity headers that weir alone writes (letters' case, `_` or `.` for `-`), also where
// Connection would have had them removed later, and rebuilds X-Forwarded-For, -Host, -Proto and Forwarded: of a trusted
// peer they are continued, of anybody else thrown away. Finds out who the client is on the way.
#ifndef WEIR_GATEWAY_STAGES_SANITIZE_H_
#define WEIR_GATEWAY_STAGES_SANITIZE_H_

#include "weir/gateway/stage.h"

namespace weir::gateway {

class SanitizeStage final : public Stage {
 public:
  std::string_view name() const noexcept override { return "sanitize"; }
  Verdict admit(Exchange& exchange) override;
};

// Sets exchange.peer_trusted and exchange.client from the peer, X-Forwarded-For and trusted_proxies.
void find_client(Exchange& exchange);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_SANITIZE_H_
