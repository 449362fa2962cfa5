#include "weir/gateway/stages/load_shed.h"

#include <array>

namespace weir::gateway {
namespace {

// A place comes free when some request ends, which nobody can foretell: the shortest wait that the field can say.
constexpr Duration kRetryAfter = std::chrono::seconds{1};

}  // namespace

std::span<const Problem> LoadShedStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::load_shed};
  return kRefusals;
}

Verdict LoadShedStage::admit(Exchange& exchange) {
  std::optional<resilience::LoadShedder::Permit> permit = shedder_->try_acquire();
  if (permit) {
    exchange.keep(permit_, std::move(*permit));
    return Verdict::proceed;
  }
  exchange.set_retry_after(kRetryAfter);
  exchange.refuse(name(), Problem::load_shed);
  return Verdict::refuse;
}

}  // namespace weir::gateway
