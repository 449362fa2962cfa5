#include "weir/gateway/stages/limit_keys.h"

#include <string>

#include "weir/gateway/identity.h"
#include "weir/http/uri.h"
#include "weir/ratelimit/key.h"

namespace weir::gateway {
namespace {

// RFC 6265 4.2.1: "a=1; b=2". The first of that name.
std::string_view cookie(const http::Fields& fields, std::string_view name) {
  for (const http::Field& field : fields) {
    if (field.id != http::Name::cookie) continue;
    for (std::string_view pair : base::split(field.value, ';')) {
      pair = base::trim(pair);
      const std::size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return {};
}

}  // namespace

std::string_view client_key(Exchange& exchange) {
  const base::IpAddress& ip = exchange.client;
  const ratelimit::IpKey key({ip.bytes().data(), ip.is_v4() ? 4U : 16U});
  return exchange.arena.keep(key.view());
}

bool key_part(Exchange& exchange, const config::KeyPart& part, std::string_view route,
              std::string_view* text) {
  using Kind = config::KeyPart::Kind;
  switch (part.kind) {
    case Kind::global:
      *text = "*";
      break;
    case Kind::client_ip:
      *text = client_key(exchange);
      break;
    case Kind::header:
      if (const http::Field* field = exchange.request.fields.find(part.name)) *text = field->value;
      break;
    case Kind::cookie:
      *text = cookie(exchange.request.fields, part.name);
      break;
    case Kind::query:
      *text = http::query_parameter(exchange.request.query, part.name).value_or("");
      break;
    case Kind::path:
      *text = exchange.path;
      break;
    case Kind::method:
      *text = exchange.request.method_text;
      break;
    case Kind::host: {
      char* lower = exchange.arena.allocate(exchange.request.authority.size());
      for (std::size_t i = 0; i < exchange.request.authority.size(); ++i)
        lower[i] = base::ascii_lower(exchange.request.authority[i]);
      *text = {lower, exchange.request.authority.size()};
      break;
    }
    case Kind::passport:
      *text = passport_text(exchange, part.name);
      break;
    case Kind::jwt:
      *text = claim_text(exchange, part.name);
      break;
    case Kind::route:
      *text = route;
      break;
  }
  return !text->empty();
}

bool limit_key(Exchange& exchange, const std::vector<config::KeyPart>& parts, std::string_view route,
               std::string_view* key) {
  if (parts.size() == 1) return key_part(exchange, parts.front(), route, key);
  std::string joined;
  for (const config::KeyPart& part : parts) {
    std::string_view text;
    if (!key_part(exchange, part, route, &text)) return false;
    ratelimit::append_key_part(joined, text);
  }
  *key = exchange.arena.keep(joined);
  return true;
}

std::string_view keyless_key(Exchange& exchange) {
  return exchange.arena.concat({std::string_view("\0ip", 3), client_key(exchange)});
}

}  // namespace weir::gateway
