#include "weir/io/address.h"

#include "weir/base/strings.h"

namespace weir::io {
namespace {

Error not_an_address(std::string_view text, std::string_view why) {
  std::string what = "not an address: \"";
  base::append_json_escaped(what, text.substr(0, 64));
  what.append("\": ").append(why);
  return Error(ErrorCode::malformed, what);
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return not_an_address(text, "the port is missing, as in 127.0.0.1:8080");
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);

  const auto port = base::parse_u64(port_text);
  if (!port || *port > 65535 || port_text.size() > 5)
    return not_an_address(text, "the port must be a number from 0 to 65535");

  Address address;
  address.port = static_cast<std::uint16_t>(*port);
  if (host.empty()) return address;  // every IPv4 address
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != (host.find(':') != std::string_view::npos))
    return not_an_address(text, "an IPv6 address, and nothing else, stands in brackets, as in [::1]:8080");
  Result<base::IpAddress> ip = base::IpAddress::parse(host);
  if (!ip) return not_an_address(text, "the host must be an IP address");
  address.ip = *ip;
  return address;
}

std::string Address::to_text() const {
  const std::string host = ip.to_text();
  return (ip.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

}  // namespace weir::io
