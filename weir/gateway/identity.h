// What an exchange's identity says, as texts: for limits' keys, templates, attributes.
//
// A text lives as long as the exchange. "" when nobody was asked who it is, the member is absent, or it is null, a list
// or an object. Numbers and booleans are texts as JSON writes them.
#ifndef WEIR_GATEWAY_IDENTITY_H_
#define WEIR_GATEWAY_IDENTITY_H_

#include <string_view>

#include "weir/gateway/exchange.h"

namespace weir::gateway {

// A member of the passport: what upstreams see. No allocation for texts.
std::string_view passport_text(Exchange& exchange, std::string_view member);
// A claim of the token (or of an API key's entry): its name as a whole, else a path of names with dots between.
std::string_view claim_text(Exchange& exchange, std::string_view claim);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_IDENTITY_H_
