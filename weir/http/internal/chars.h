// Character classes of HTTP and the scans over them.
//
// One 256-entry table answers for single bytes. The two long scans (field values, request targets) look at 16
// bytes at a time with SSE2, which every x86-64 has; other machines take the table loop below them. All scans
// stay inside [at, end): nothing is read past the end of the input. message_test.cc compares the wide scans
// with the table for every byte value at every offset.
#ifndef WEIR_HTTP_INTERNAL_CHARS_H_
#define WEIR_HTTP_INTERNAL_CHARS_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weir::http::internal {

enum CharClass : std::uint8_t {
  kTokenChar = 1,       // RFC 9110 5.6.2 tchar
  kValueChar = 2,       // field-content, RFC 9110 5.5: HTAB, SP, VCHAR, obs-text
  kTargetChar = 4,      // VCHAR without '#': a fragment is never sent (RFC 9112 3.2)
  kUnreservedChar = 8,  // RFC 3986 2.3
  kHexChar = 16,
};

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool digit = c >= '0' && c <= '9';
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool visible = c > 0x20 && c < 0x7f;
    constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
    const bool mark = visible && kTokenMarks.find(static_cast<char>(c)) != std::string_view::npos;
    unsigned bits = 0;
    if (digit || alpha || mark) bits |= kTokenChar;
    if (visible || c == ' ' || c == '\t' || c >= 0x80) bits |= kValueChar;
    if (visible && c != '#') bits |= kTargetChar;
    if (digit || alpha || c == '-' || c == '.' || c == '_' || c == '~') bits |= kUnreservedChar;
    if (digit || (alpha && (c | 0x20) <= 'f')) bits |= kHexChar;
    table[c] = static_cast<std::uint8_t>(bits);
  }
  return table;
}

inline constexpr std::array<std::uint8_t, 256> kClasses = make_classes();

constexpr bool is(char c, CharClass which) noexcept {
  return (kClasses[static_cast<std::uint8_t>(c)] & which) != 0;
}

// Value of a hexadecimal digit; only for characters of kHexChar.
constexpr unsigned hex_value(char c) noexcept {
  return c <= '9' ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 0x20) - 'a' + 10);
}

// The first byte outside the class, or `end`.
inline const char* skip(const char* at, const char* end, CharClass which) noexcept {
  while (at != end && is(*at, which)) ++at;
  return at;
}

#if defined(__SSE2__)

inline const char* skip_value(const char* at, const char* end) noexcept {
  const __m128i space = _mm_set1_epi8(0x20);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i from_space = _mm_cmpeq_epi8(_mm_max_epu8(bytes, space), bytes);  // unsigned >= 0x20
    const __m128i good =
        _mm_andnot_si128(_mm_cmpeq_epi8(bytes, del), _mm_or_si128(from_space, _mm_cmpeq_epi8(bytes, tab)));
    const auto bad = static_cast<unsigned>(_mm_movemask_epi8(good)) ^ 0xffffU;
    if (bad != 0) return at + std::countr_zero(bad);
    at += 16;
  }
  return skip(at, end, kValueChar);
}

inline const char* skip_target(const char* at, const char* end) noexcept {
  const __m128i space = _mm_set1_epi8(0x20);
  const __m128i hash = _mm_set1_epi8('#');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // Signed: bytes from 0x80 on are negative and fail.
    const __m128i visible = _mm_cmpgt_epi8(bytes, space);
    const __m128i never = _mm_or_si128(_mm_cmpeq_epi8(bytes, hash), _mm_cmpeq_epi8(bytes, del));
    const auto bad = static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(never, visible))) ^ 0xffffU;
    if (bad != 0) return at + std::countr_zero(bad);
    at += 16;
  }
  return skip(at, end, kTargetChar);
}

// Nearly every name is of letters and hyphens: those go 16 at a time, the table sees to the rest.
inline const char* skip_name(const char* at, const char* end) noexcept {
  const __m128i letters = _mm_set1_epi8('z' - 'a');
  const __m128i hyphen = _mm_set1_epi8('-');
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i small = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    const __m128i from_a = _mm_sub_epi8(small, _mm_set1_epi8('a'));
    const __m128i letter = _mm_cmpeq_epi8(_mm_min_epu8(from_a, letters), from_a);  // unsigned <= 25
    const __m128i good = _mm_or_si128(letter, _mm_cmpeq_epi8(bytes, hyphen));
    const auto other = static_cast<unsigned>(_mm_movemask_epi8(good)) ^ 0xffffU;
    if (other != 0) return skip(at + std::countr_zero(other), end, kTokenChar);
    at += 16;
  }
  return skip(at, end, kTokenChar);
}

#else

inline const char* skip_name(const char* at, const char* end) noexcept { return skip(at, end, kTokenChar); }
inline const char* skip_value(const char* at, const char* end) noexcept { return skip(at, end, kValueChar); }
inline const char* skip_target(const char* at, const char* end) noexcept {
  return skip(at, end, kTargetChar);
}

#endif

}  // namespace weir::http::internal

#endif  // WEIR_HTTP_INTERNAL_CHARS_H_
