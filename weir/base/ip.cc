#include "weir/base/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "weir/base/strings.h"

namespace weir::base {

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) noexcept {
  static constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0,    0,
                                                        0, 0, 0, 0, 0xff, 0xff};  // RFC 4291 2.5.5.2
  IpAddress ip;
  if (std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) {
    std::copy(bytes.begin() + 12, bytes.end(), ip.bytes_.begin());
    return ip;
  }
  ip.bytes_ = bytes;
  ip.v6_ = true;
  return ip;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  // A NUL would end the text for inet_pton, and what stands behind it would go unread.
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != std::string_view::npos)
    return Error(ErrorCode::malformed, "not an IP address: " + std::string(text.substr(0, 64)));
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET, buffer, bytes.data()) == 1) {
    IpAddress ip;
    ip.bytes_ = bytes;
    return ip;
  }
  if (::inet_pton(AF_INET6, buffer, bytes.data()) == 1) return v6(bytes);
  return Error(ErrorCode::malformed, "not an IP address: " + std::string(text));
}

bool IpAddress::is_loopback() const noexcept {
  if (!v6_) return bytes_[0] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t b) { return b == 0; }) &&
         bytes_[15] == 1;
}

IpAddress IpAddress::masked(unsigned prefix) const noexcept {
  IpAddress ip = *this;
  const unsigned length = bits();
  if (prefix >= length) return ip;
  ip.bytes_[prefix / 8] &= static_cast<std::uint8_t>(0xff00U >> (prefix % 8));
  std::fill(ip.bytes_.begin() + prefix / 8 + 1, ip.bytes_.end(), std::uint8_t{0});
  return ip;
}

std::string IpAddress::to_text() const {
  char buffer[kTextMax];
  return {buffer, write_text(buffer)};
}

std::size_t IpAddress::write_text(char* out) const noexcept {
  if (v6_) {
    ::inet_ntop(AF_INET6, bytes_.data(), out, kTextMax);
    return std::strlen(out);
  }
  // inet_ntop goes through printf, which costs more than everything else about an ordinary request's address.
  char* at = out;
  for (std::size_t i = 0; i < 4; ++i) {
    const unsigned byte = bytes_[i];
    if (i > 0) *at++ = '.';
    if (byte >= 100) *at++ = static_cast<char>('0' + byte / 100);
    if (byte >= 10) *at++ = static_cast<char>('0' + byte / 10 % 10);
    *at++ = static_cast<char>('0' + byte % 10);
  }
  return static_cast<std::size_t>(at - out);
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  Result<IpAddress> ip = IpAddress::parse(text.substr(0, slash));
  if (!ip) return ip.error();
  Cidr cidr;
  cidr.prefix = ip->bits();
  if (slash != std::string_view::npos) {
    const auto prefix = parse_u64(text.substr(slash + 1));
    if (!prefix || *prefix > ip->bits())
      return Error(ErrorCode::malformed, "prefix must be a number from 0 to " + std::to_string(ip->bits()) +
                                             ": " + std::string(text));
    cidr.prefix = static_cast<unsigned>(*prefix);
  }
  cidr.network = ip->masked(cidr.prefix);
  if (!(cidr.network == *ip))
    return Error(ErrorCode::malformed,
                 "host bits are set in " + std::string(text) + "; write " + cidr.to_text());
  return cidr;
}

std::string Cidr::to_text() const { return network.to_text() + "/" + std::to_string(prefix); }

}  // namespace weir::base
