#include "weir/gateway/stages/access.h"

#include <algorithm>
#include <array>

#include "weir/gateway/exchange.h"

namespace weir::gateway {
namespace {

bool contains(const std::vector<base::Cidr>& list, const base::IpAddress& ip) {
  return std::any_of(list.begin(), list.end(), [&](const base::Cidr& block) { return block.contains(ip); });
}

}  // namespace

std::span<const Problem> AccessStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::forbidden};
  return kRefusals;
}

Verdict AccessStage::admit(Exchange& exchange) {
  const bool allowed =
      !contains(deny_, exchange.client) && (allow_.empty() || contains(allow_, exchange.client));
  if (allowed) return Verdict::proceed;
  exchange.refuse(name(), Problem::forbidden);
  return Verdict::refuse;
}

}  // namespace weir::gateway
