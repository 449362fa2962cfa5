// From a salt and a unit to a bucket: the arithmetic on which every assignment stands.
//
//   fnv1a         fnv1a32(salt + unit) % 100, to the letter. Pairs of salts whose hash states agree in their
//   low
//                 seven bits give fully correlated experiments (analysis.h names them): for what must
//                 reproduce the formula elsewhere.
//   fnv1a_mix     the default: fmix32(fnv1a32(salt, 0x1F, unit)), spread over `total` buckets by a
//   multiplication.
//                 fmix32 is a bijection, so no two units meet that did not before; 0x1F cannot stand in a
//                 key, so ("a1", "23") and ("a", "123") are two things. Six lines of JavaScript reproduce it.
//   growthbook_1  fnv1a32(unit + salt) % 1000, and
//   growthbook_2  fnv1a32(decimal(fnv1a32(salt + unit))) % 10000: GrowthBook's hashVersion 1 and 2, which XOR
//                 UTF-16 code units where weir's own hashes take the bytes of UTF-8.
//
// The salt is absorbed once, at load; a decision costs one step a byte of the unit. All constexpr, no
// allocation; hash_test.cc holds the vectors as static_assert.
#ifndef WEIR_EXPERIMENT_HASH_H_
#define WEIR_EXPERIMENT_HASH_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/base/hash.h"

namespace weir::experiment {

enum class HashKind : std::uint8_t { fnv1a, fnv1a_mix };

constexpr std::uint32_t total_buckets(HashKind kind) noexcept {
  return kind == HashKind::fnv1a ? 100 : 10'000;
}

// Separates salt and unit in fnv1a_mix; a control character, and as such refused in keys.
inline constexpr char kSaltEnd = '\x1f';

// The hash state after the salt. Equal salts of one kind give equal states; nothing else is kept of it.
struct Salt {
  HashKind kind = HashKind::fnv1a_mix;
  std::uint32_t state = base::kFnv32Offset;
};

constexpr Salt make_salt(HashKind kind, std::string_view text) noexcept {
  std::uint32_t state = base::fnv1a32(text);
  if (kind == HashKind::fnv1a_mix) state = base::fnv1a32(std::string_view(&kSaltEnd, 1), state);
  return {kind, state};
}

// 32 bits to 0..total-1. fnv1a takes the remainder (its bias is 2.3e-8 of a bucket), the mixed hash its high
// bits.
constexpr std::uint32_t bucket_of_hash(HashKind kind, std::uint32_t hash, std::uint32_t total) noexcept {
  if (kind == HashKind::fnv1a) return hash % total;
  return static_cast<std::uint32_t>(std::uint64_t{base::fmix32(hash)} * total >> 32);
}

// The bucket of a unit, 0..total-1. `unit` is UTF-8 and may be empty.
constexpr std::uint32_t bucket(Salt salt, std::string_view unit, std::uint32_t total) noexcept {
  return bucket_of_hash(salt.kind, base::fnv1a32(unit, salt.state), total);
}
constexpr std::uint32_t bucket(Salt salt, std::string_view unit) noexcept {
  return bucket(salt, unit, total_buckets(salt.kind));
}

// FNV-1a as JavaScript programs write it: over UTF-16 code units. `text` is UTF-8; bytes that are not are
// taken one by one, so that the answer is stable for them, too.
constexpr std::uint32_t fnv1a32_utf16(std::string_view text,
                                      std::uint32_t state = base::kFnv32Offset) noexcept {
  const auto step = [&state](std::uint32_t unit) { state = (state ^ unit) * 0x01000193U; };
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t more = lead < 0xc2 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 0;
    std::uint32_t code = more == 0 ? lead : lead & (0x3fU >> more);
    bool whole = i + more < text.size();
    for (std::size_t k = 1; whole && k <= more; ++k) {
      const auto byte = static_cast<std::uint8_t>(text[i + k]);
      whole = (byte & 0xc0) == 0x80;
      code = code << 6 | (byte & 0x3fU);
    }
    if (!whole) {
      step(lead);
      ++i;
      continue;
    }
    if (code >= 0x10000) {
      step(0xd800 + ((code - 0x10000) >> 10));
      step(0xdc00 + ((code - 0x10000) & 0x3ff));
    } else {
      step(code);
    }
    i += more + 1;
  }
  return state;
}

// GrowthBook's hash as it counts: 0..999 for version 1, 0..9999 for version 2.
constexpr std::uint32_t growthbook_bucket_1(std::string_view seed, std::string_view value) noexcept {
  return fnv1a32_utf16(seed, fnv1a32_utf16(value)) % 1000;
}

constexpr std::uint32_t growthbook_bucket_2(std::string_view seed, std::string_view value) noexcept {
  std::uint32_t inner = fnv1a32_utf16(value, fnv1a32_utf16(seed));
  char digits[10] = {};
  std::size_t from = sizeof digits;
  do {
    digits[--from] = static_cast<char>('0' + inner % 10);
    inner /= 10;
  } while (inner != 0);
  return base::fnv1a32(std::string_view(digits + from, sizeof digits - from)) % 10'000;
}

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_HASH_H_
