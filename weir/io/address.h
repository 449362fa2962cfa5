// Where a socket listens or connects: an IP address and a port.
#ifndef WEIR_IO_ADDRESS_H_
#define WEIR_IO_ADDRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/base/ip.h"
#include "weir/base/result.h"

namespace weir::io {

struct Address {
  base::IpAddress ip;
  std::uint16_t port = 0;

  // "127.0.0.1:8080", "[::1]:8080", ":8080" (every IPv4 address). Names are not resolved here: see Resolver.
  static Result<Address> parse(std::string_view text);
  // "127.0.0.1:8080", "[::1]:8080"
  std::string to_text() const;

  friend bool operator==(const Address&, const Address&) noexcept = default;
};

}  // namespace weir::io

#endif  // WEIR_IO_ADDRESS_H_
