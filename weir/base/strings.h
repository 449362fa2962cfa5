// Small text functions that the whole house shares. ASCII only: HTTP names and configuration keys are ASCII, and
// locale-aware functions would make the same bytes mean different things on different machines.
#ifndef WEIR_BASE_STRINGS_H_
#define WEIR_BASE_STRINGS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::base {

constexpr char ascii_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) noexcept { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

constexpr bool iequals(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (ascii_lower(a[i]) != ascii_lower(b[i])) return false;
  return true;
}

// Compares in a time that depends on the lengths alone: for secrets.
constexpr bool equal_secrets(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  return difference == 0;
}

std::string to_lower(std::string_view text);

// Without the spaces and tabs (RFC 9110 OWS) at both ends.
constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Decimal digits only: no sign, no space, no overflow. Nothing when it is not exactly that.
std::optional<std::uint64_t> parse_u64(std::string_view text) noexcept;

// "a,b,,c" at ',' gives four pieces, the third empty; "" gives one empty piece.
std::vector<std::string_view> split(std::string_view text, char at);

// The candidate with the smallest edit distance (Damerau, adjacent swaps count one), if it is near enough to be
// a typing mistake: at most a third of the word's length, at least one. Empty when nothing is near.
// Cost: words are cut at 64 characters, so at most 64 * 64 steps a candidate.
std::string_view closest(std::string_view word, std::span<const std::string_view> candidates);

// For messages and JSON logs: `text` with ", \ and control characters escaped as JSON does, without the quotes.
// Bytes that are not UTF-8 come out as U+FFFD, so the result always parses.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace weir::base

#endif  // WEIR_BASE_STRINGS_H_
