#include "weir/base/base64.h"

#include <array>
#include <cstdint>

namespace weir::base {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint8_t kBad = 0xff;

constexpr std::array<std::uint8_t, 256> reverse(std::string_view alphabet) {
  std::array<std::uint8_t, 256> table{};
  table.fill(kBad);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<std::uint8_t>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return table;
}

constexpr auto kStandardReverse = reverse(kStandard);
constexpr auto kUrlReverse = reverse(kUrl);

std::uint32_t byte_at(std::string_view bytes, std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); }

std::string encode(std::string_view bytes, std::string_view alphabet, bool pad) {
  std::string text;
  text.reserve(base64_encoded_size(bytes.size()));
  std::size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const std::uint32_t group = byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 | byte_at(bytes, i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) text.push_back(alphabet[group >> shift & 63]);
  }
  const std::size_t rest = bytes.size() - i;
  if (rest != 0) {
    std::uint32_t group = byte_at(bytes, i) << 16;
    if (rest == 2) group |= byte_at(bytes, i + 1) << 8;
    text.push_back(alphabet[group >> 18 & 63]);
    text.push_back(alphabet[group >> 12 & 63]);
    if (rest == 2) text.push_back(alphabet[group >> 6 & 63]);
    if (pad) text.append(3 - rest, '=');
  }
  return text;
}

Error bad_at(std::size_t offset, std::string_view why) {
  return Error(ErrorCode::malformed, "base64: " + std::string(why) + " at offset " + std::to_string(offset));
}

// `text` without padding.
Result<std::string> decode(std::string_view text, const std::array<std::uint8_t, 256>& table) {
  if (text.size() % 4 == 1) return bad_at(text.size() - 1, "a single character is left over");
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint8_t value = table[static_cast<std::uint8_t>(text[i])];
    if (value == kBad) return bad_at(i, "a character outside the alphabet");
    group = group << 6 | value;
    if (i % 4 == 3) {
      bytes.push_back(static_cast<char>(group >> 16));
      bytes.push_back(static_cast<char>(group >> 8));
      bytes.push_back(static_cast<char>(group));
      group = 0;
    }
  }
  switch (text.size() % 4) {
    case 2:  // 12 bits, of which 8 count; RFC 4648 3.5: the others must be zero
      if ((group & 0x0f) != 0) return bad_at(text.size() - 1, "trailing bits that are not zero");
      bytes.push_back(static_cast<char>(group >> 4));
      break;
    case 3:  // 18 bits, of which 16 count
      if ((group & 0x03) != 0) return bad_at(text.size() - 1, "trailing bits that are not zero");
      bytes.push_back(static_cast<char>(group >> 10));
      bytes.push_back(static_cast<char>(group >> 2));
      break;
    default:
      break;
  }
  return bytes;
}

}  // namespace

std::string base64_encode(std::string_view bytes) { return encode(bytes, kStandard, true); }
std::string base64url_encode(std::string_view bytes) { return encode(bytes, kUrl, false); }

Result<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return bad_at(text.size(), "padding is missing");
  std::size_t pad = 0;
  while (pad < 2 && pad < text.size() && text[text.size() - 1 - pad] == '=') ++pad;
  return decode(text.substr(0, text.size() - pad), kStandardReverse);
}

Result<std::string> base64url_decode(std::string_view text) { return decode(text, kUrlReverse); }

}  // namespace weir::base
