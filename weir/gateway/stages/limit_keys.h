// The keys of limits: what of a request is counted apart.
//
// A key's bytes are views of the request or of the exchange's arena. Several parts are joined with their lengths, so
// that no choice of parts can spell another key. Pure but for the arena; O(length).
#ifndef WEIR_GATEWAY_STAGES_LIMIT_KEYS_H_
#define WEIR_GATEWAY_STAGES_LIMIT_KEYS_H_

#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

// The network of the client: /32 of IPv4, /64 of IPv6.
std::string_view client_key(Exchange& exchange);

// Into `text`; false when the request has nothing of that kind. `route` is the route's name.
bool key_part(Exchange& exchange, const config::KeyPart& part, std::string_view route,
              std::string_view* text);

// All parts joined; false when one is missing.
bool limit_key(Exchange& exchange, const std::vector<config::KeyPart>& parts, std::string_view route,
               std::string_view* key);

// For requests without the key: counted by address, apart from any key that looks like one.
std::string_view keyless_key(Exchange& exchange);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_LIMIT_KEYS_H_
