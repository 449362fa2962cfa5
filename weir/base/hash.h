// Hashes, each for one purpose.
//
//   fnv1a32 / fnv1a64   stable across versions and machines: experiment buckets. Not for tables with foreign keys.
//   fmix32              MurmurHash3's finaliser: spreads a weak 32-bit hash over all its bits.
//   siphash13           keyed: for every table whose keys a stranger chooses (a seed per process stops hash floods).
//   siphash13_128       the same with 128 bits of output: a fingerprint in place of the key itself.
//
// All constexpr where the source is: FNV parameters from the FNV reference (Noll, 1991), fmix32 from MurmurHash3
// (Appleby, public domain), SipHash from Aumasson and Bernstein 2012 with c = 1, d = 3.
#ifndef WEIR_BASE_HASH_H_
#define WEIR_BASE_HASH_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace weir::base {

inline constexpr std::uint32_t kFnv32Offset = 0x811c9dc5U;
inline constexpr std::uint64_t kFnv64Offset = 0xcbf29ce484222325ULL;

// `state` continues an earlier hash: fnv1a32("ab") == fnv1a32("b", fnv1a32("a")).
constexpr std::uint32_t fnv1a32(std::string_view bytes, std::uint32_t state = kFnv32Offset) noexcept {
  for (char c : bytes) state = (state ^ static_cast<std::uint8_t>(c)) * 0x01000193U;
  return state;
}

constexpr std::uint64_t fnv1a64(std::string_view bytes, std::uint64_t state = kFnv64Offset) noexcept {
  for (char c : bytes) state = (state ^ static_cast<std::uint8_t>(c)) * 0x00000100000001b3ULL;
  return state;
}

constexpr std::uint32_t fmix32(std::uint32_t h) noexcept {
  h ^= h >> 16;
  h *= 0x85ebca6bU;
  h ^= h >> 13;
  h *= 0xc2b2ae35U;
  h ^= h >> 16;
  return h;
}

struct SipKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend constexpr bool operator==(const Hash128&, const Hash128&) noexcept = default;
};

namespace internal {

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  constexpr void round() noexcept {
    v0 += v1, v1 = std::rotl(v1, 13), v1 ^= v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16), v3 ^= v2;
    v0 += v3, v3 = std::rotl(v3, 21), v3 ^= v0;
    v2 += v1, v1 = std::rotl(v1, 17), v1 ^= v2, v2 = std::rotl(v2, 32);
  }
};

inline std::uint64_t load64(const char* p) noexcept {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

inline std::uint64_t load32(const char* p) noexcept {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  return word;
}

// The last `left` bytes (0 to 7), the first lowest. Reads that overlap carry the same bytes to the same
// place: no loop, which would cost as much as a round of the hash.
inline std::uint64_t load_tail(const char* p, std::size_t left) noexcept {
  if (left >= 4) return load32(p) | load32(p + left - 4) << (8 * (left - 4));
  if (left == 0) return 0;
  const auto byte = [p](std::size_t i) { return std::uint64_t{static_cast<std::uint8_t>(p[i])} << (8 * i); };
  return byte(0) | byte(left / 2) | byte(left - 1);
}

inline SipState sip_absorb(SipKey key, std::string_view bytes, std::uint64_t v1_tweak) noexcept {
  SipState s{key.k0 ^ 0x736f6d6570736575ULL, key.k1 ^ 0x646f72616e646f6dULL ^ v1_tweak,
             key.k0 ^ 0x6c7967656e657261ULL, key.k1 ^ 0x7465646279746573ULL};
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; p += 8, left -= 8) {
    const std::uint64_t word = load64(p);
    s.v3 ^= word;
    s.round();
    s.v0 ^= word;
  }
  const std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56 | load_tail(p, left);
  s.v3 ^= last;
  s.round();
  s.v0 ^= last;
  return s;
}

}  // namespace internal

inline std::uint64_t siphash13(SipKey key, std::string_view bytes) noexcept {
  internal::SipState s = internal::sip_absorb(key, bytes, 0);
  s.v2 ^= 0xff;
  s.round(), s.round(), s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

inline Hash128 siphash13_128(SipKey key, std::string_view bytes) noexcept {
  internal::SipState s = internal::sip_absorb(key, bytes, 0xee);
  s.v2 ^= 0xee;
  s.round(), s.round(), s.round();
  Hash128 hash;
  hash.low = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  s.v1 ^= 0xdd;
  s.round(), s.round(), s.round();
  hash.high = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  return hash;
}

}  // namespace weir::base

#endif  // WEIR_BASE_HASH_H_
