// Length of UTF-8 sequences, for checking files and for printing what stands in them.
#ifndef WEIR_CONFIG_INTERNAL_UTF8_H_
#define WEIR_CONFIG_INTERNAL_UTF8_H_

#include <cstddef>
#include <string_view>

namespace weir::config::internal {

// Bytes of the sequence at the front of `text`; 0 when it is none (RFC 3629: no overlong forms, no
// surrogates).
inline std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f))
    return 0;  // overlong, surrogate
  if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;  // overlong, too high
  return length;
}

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_UTF8_H_
