// Keys of limits, from parts, without ambiguity.
//
// A key of several parts is joined with the length before each part: ("a", "bc") and ("ab", "c") differ
// whatever the parts hold. (Joining with a separator lets a stranger choose whose counter he uses: a_b + c =
// a + b_c.)
//
//   std::string key;                       // reused: no allocation once it has grown
//   append_key_part(key, method), append_key_part(key, user_id);
//   limiter.allow_at(now, key);
//
// A key of one part needs no length. Pure functions; nothing is kept.
#ifndef WEIR_RATELIMIT_KEY_H_
#define WEIR_RATELIMIT_KEY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weir::ratelimit {

// Appends the length (LEB128) and the bytes.
void append_key_part(std::string& out, std::string_view part);

// All parts in order, into `out` (cleared first).
void join_key(std::string& out, std::span<const std::string_view> parts);

// The key of an address: its network, since one IPv6 customer owns at least a /64.
class IpKey {
 public:
  // `address` in network order: 4 bytes or 16. An IPv4-mapped one (::ffff:a.b.c.d) is its IPv4 address.
  // Prefixes beyond the address's length count as its length; any other size of `address` gives the empty
  // key.
  explicit IpKey(std::span<const std::uint8_t> address, unsigned v4_prefix = 32,
                 unsigned v6_prefix = 64) noexcept;

  std::string_view view() const noexcept { return {bytes_.data(), size_}; }

 private:
  std::array<char, 17> bytes_{};  // '4' or '6', then the network's bytes
  std::size_t size_ = 0;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_KEY_H_
