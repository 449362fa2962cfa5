// sanitize: nobody outside may speak in weir's name.
//
// Drops every spelling of the identity headers that weir alone writes (letters' case, anything for `-`), also where
// Connection would have had them removed later, and rebuilds X-Forwarded-For, -Host, -Proto and Forwarded: of a trusted
// peer they are continued, of anybody else thrown away. Finds out who the client is on the way.
#ifndef WEIR_GATEWAY_STAGES_SANITIZE_H_
#define WEIR_GATEWAY_STAGES_SANITIZE_H_

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/gateway/stage.h"
#include "weir/http/message.h"

namespace weir::gateway {

// Header names that weir alone writes, in whatever spelling: compared in lower case with `-` for every character that
// is neither letter nor digit. Immutable.
class OwnedNames {
 public:
  // X-Passport, X-Proxy-State, X-Experiments, X-Flags, X-Weir-Explain, and these.
  explicit OwnedNames(std::span<const std::string> configured = {});
  bool owns(std::string_view name) const noexcept {
    return (sizes_ >> (name.size() & 63) & 1) != 0 && is_one_of_them(name);
  }

 private:
  bool is_one_of_them(std::string_view name) const noexcept;

  std::vector<std::string> folded_;
  std::uint64_t sizes_ = 0;  // a bit for each length that occurs, modulo 64: most names have none of them
};

class SanitizeStage final : public Stage {
 public:
  SanitizeStage() = default;
  // `keeps_override`: what stands in X-Experiment-Override, which nobody behind weir may see, goes to
  // exchange.override_text.
  SanitizeStage(OwnedNames owned, bool keeps_override)
      : owned_(std::move(owned)), keeps_override_(keeps_override) {}
  std::string_view name() const noexcept override { return "sanitize"; }
  Verdict admit(Exchange& exchange) override;

 private:
  OwnedNames owned_;
  bool keeps_override_ = false;
};

// Sets exchange.peer_trusted and exchange.client from the peer, X-Forwarded-For and trusted_proxies.
void find_client(Exchange& exchange);

// Who sends the admin's token in this field is told why (field Weir-Explain of the answer). A wrong token changes
// nothing, and the field goes no further in any spelling.
inline constexpr std::string_view kExplainHeader = "X-Weir-Explain";
// Sets exchange.explain; for a request that no stage sees.
void find_explain(Exchange& exchange) noexcept;

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_SANITIZE_H_
