// access: who may use a route at all, by address. `deny` wins over `allow`; an empty `allow` lets everybody in.
//
// Looks at the client, not the peer: behind a trusted proxy that is whom the proxy names.
#ifndef WEIR_GATEWAY_STAGES_ACCESS_H_
#define WEIR_GATEWAY_STAGES_ACCESS_H_

#include <utility>
#include <vector>

#include "weir/base/ip.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

class AccessStage final : public Stage {
 public:
  AccessStage(std::vector<base::Cidr> allow, std::vector<base::Cidr> deny)
      : allow_(std::move(allow)), deny_(std::move(deny)) {}
  std::string_view name() const noexcept override { return "access"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;

 private:
  std::vector<base::Cidr> allow_;
  std::vector<base::Cidr> deny_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_ACCESS_H_
