#include "weir/gateway/identity.h"

#include <optional>
#include <string>

namespace weir::gateway {
namespace {

std::string_view text_of(Exchange& exchange, const passport::Json* value) {
  if (value == nullptr) return {};
  if (value->is_string()) return value->text();
  const std::optional<std::string> text = value->scalar_text();
  return text ? exchange.arena.keep(*text) : std::string_view{};
}

}  // namespace

std::string_view passport_text(Exchange& exchange, std::string_view member) {
  if (exchange.identity == nullptr) return {};
  return text_of(exchange, exchange.identity->passport.members.find(member));
}

std::string_view claim_text(Exchange& exchange, std::string_view claim) {
  if (exchange.identity == nullptr) return {};
  const passport::Json* here = &exchange.identity->claims;
  if (const passport::Json* whole = here->find(claim)) return text_of(exchange, whole);
  for (std::string_view rest = claim; here != nullptr;) {
    const std::size_t dot = rest.find('.');
    here = here->find(rest.substr(0, dot));
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return text_of(exchange, here);
}

}  // namespace weir::gateway
