#include "weir/ratelimit/key.h"

#include <algorithm>

namespace weir::ratelimit {

void append_key_part(std::string& out, std::string_view part) {
  std::size_t size = part.size();
  for (; size >= 0x80; size >>= 7) out.push_back(static_cast<char>((size & 0x7f) | 0x80));
  out.push_back(static_cast<char>(size));
  out.append(part);
}

void join_key(std::string& out, std::span<const std::string_view> parts) {
  out.clear();
  for (std::string_view part : parts) append_key_part(out, part);
}

IpKey::IpKey(std::span<const std::uint8_t> address, unsigned v4_prefix, unsigned v6_prefix) noexcept {
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (address.size() == 16 && std::equal(kMapped.begin(), kMapped.end(), address.begin()))
    address = address.subspan(12);
  if (address.size() != 4 && address.size() != 16) return;
  const bool v4 = address.size() == 4;
  const unsigned prefix = std::min<unsigned>(v4 ? v4_prefix : v6_prefix, v4 ? 32 : 128);
  bytes_[0] = v4 ? '4' : '6';
  for (unsigned i = 0; i < (prefix + 7) / 8; ++i) {
    const unsigned bits = std::min(8U, prefix - 8 * i);
    bytes_[1 + i] = static_cast<char>(address[i] & (0xff00U >> bits & 0xff));
  }
  size_ = 1 + (prefix + 7) / 8;
}

}  // namespace weir::ratelimit
