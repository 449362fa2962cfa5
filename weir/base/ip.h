// IP addresses and CIDR blocks as values, without sockets: for limits' keys, allow lists and trusted proxies.
//
// An IPv4-mapped IPv6 address (::ffff:10.0.0.1) is the IPv4 address: a dual-stack listener must not let a client pass
// a list by the family it dials with. Trivially copyable, compared by value.
#ifndef WEIR_BASE_IP_H_
#define WEIR_BASE_IP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "weir/base/result.h"

namespace weir::base {

class IpAddress {
 public:
  constexpr IpAddress() noexcept = default;  // 0.0.0.0
  static constexpr IpAddress v4(std::uint32_t host_order) noexcept {
    IpAddress ip;
    for (unsigned i = 0; i < 4; ++i) ip.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return ip;
  }
  // 16 bytes in network order.
  static IpAddress v6(const std::array<std::uint8_t, 16>& bytes) noexcept;
  // Textual form without brackets, port or zone.
  static Result<IpAddress> parse(std::string_view text);

  bool is_v4() const noexcept { return !v6_; }
  bool is_loopback() const noexcept;
  unsigned bits() const noexcept { return v6_ ? 128 : 32; }
  const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }  // v4: the first four
  // The network part; host bits zero.
  IpAddress masked(unsigned prefix) const noexcept;
  std::string to_text() const;
  // The same into a caller's buffer, without allocating; returns the length. For logs and headers of every request.
  static constexpr std::size_t kTextMax = 46;
  std::size_t write_text(char* out) const noexcept;

  friend constexpr bool operator==(const IpAddress&, const IpAddress&) noexcept = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool v6_ = false;
};

struct Cidr {
  IpAddress network;
  unsigned prefix = 32;

  // "10.0.0.0/8", "::1" (a single address). Host bits must be zero: 10.1.0.0/8 is refused with the right spelling.
  static Result<Cidr> parse(std::string_view text);
  bool contains(const IpAddress& ip) const noexcept {
    return ip.is_v4() == network.is_v4() && ip.masked(prefix) == network;
  }
  std::string to_text() const;

  friend bool operator==(const Cidr&, const Cidr&) noexcept = default;
};

}  // namespace weir::base

#endif  // WEIR_BASE_IP_H_
