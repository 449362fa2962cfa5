// Baggage read and written: key "=" value *( ";" property ), separated by commas (section 3.3.1).
//
//   (1) Keys are tokens, values and property values baggage-octets with percent escapes; anything else drops the member.
//   (2) Values are decoded on reading and encoded on writing, so get() sees what the sender meant. A '=' in a value
//       stands for itself.
//   (3) Decoded bytes that are not UTF-8 become U+FFFD (3.3.1.2).
#include "weir/trace/baggage.h"

#include <algorithm>
#include <array>

#include "weir/base/strings.h"

namespace weir::trace {
namespace {

bool is_token_char(char c) noexcept {
  return base::is_alpha(c) || base::is_digit(c) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}
// baggage-octet: printable ASCII but for space, '"', ',', ';' and '\'.
bool is_octet(char c) noexcept {
  return c > 0x20 && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

int hex_digit(char c) noexcept {
  if (base::is_digit(c)) return c - '0';
  const char lower = base::ascii_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The length of the well-formed UTF-8 sequence at the front of `text`; 0 when there is none (RFC 3629 4).
std::size_t utf8_length(std::string_view text) noexcept {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  if (first == 0xe0 && at(1) < 0xa0) return 0;  // overlong
  if (first == 0xed && at(1) > 0x9f) return 0;  // surrogates
  if (first == 0xf0 && at(1) < 0x90) return 0;
  if (first == 0xf4 && at(1) > 0x8f) return 0;
  return size;
}

std::string with_replacements(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t size = utf8_length(text);
    if (size == 0)
      out.append("\xef\xbf\xbd");
    else
      out.append(text.substr(0, size));
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return with_replacements(out);
}

void append_encoded(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char c : text) {
    if (is_octet(c) && c != '%') {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
}

bool is_property(std::string_view text) noexcept {
  const std::size_t equals = text.find('=');
  const std::string_view key = base::trim(text.substr(0, equals));
  if (!is_token(key)) return false;
  if (equals == std::string_view::npos) return true;
  const std::string_view value = base::trim(text.substr(equals + 1));
  return std::all_of(value.begin(), value.end(), is_octet);
}

bool read_member(std::string_view text, Baggage::Member& member) {
  const std::size_t semicolon = text.find(';');
  const std::string_view pair = text.substr(0, semicolon);
  const std::size_t equals = pair.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view key = base::trim(pair.substr(0, equals));
  const std::string_view value = base::trim(pair.substr(equals + 1));
  if (!is_token(key) || !std::all_of(value.begin(), value.end(), is_octet)) return false;
  member.key = key;
  member.value = decoded(value);
  member.properties.clear();
  if (semicolon == std::string_view::npos) return true;
  for (const std::string_view piece : base::split(text.substr(semicolon + 1), ';')) {
    const std::string_view property = base::trim(piece);
    if (!is_property(property)) return false;
    member.properties.append(member.properties.empty() ? "" : ";").append(property);
  }
  return true;
}

}  // namespace

Baggage Baggage::parse(std::span<const std::string_view> values) {
  Baggage baggage;
  for (const std::string_view value : values) {
    for (const std::string_view piece : base::split(value, ',')) {
      const std::string_view text = base::trim(piece);
      Member member;
      // The sender's own bound: what lies beyond it nobody has to carry.
      if (text.empty() || baggage.members_.size() == kMembersMax || !read_member(text, member)) continue;
      baggage.members_.push_back(std::move(member));
    }
  }
  return baggage;
}

const std::string* Baggage::get(std::string_view key) const noexcept {
  for (const Member& member : members_)
    if (member.key == key) return &member.value;
  return nullptr;
}

bool Baggage::set(std::string_view key, std::string_view value) {
  if (!is_token(key)) return false;
  for (Member& member : members_) {
    if (member.key != key) continue;
    member.value = with_replacements(value);
    member.properties.clear();
    return true;
  }
  members_.push_back({std::string(key), with_replacements(value), {}});
  return true;
}

std::string Baggage::to_header() const {
  std::string out;
  std::string one;
  std::size_t count = 0;
  for (const Member& member : members_) {
    one.clear();
    if (!out.empty()) one.push_back(',');
    one.append(member.key).push_back('=');
    append_encoded(one, member.value);
    if (!member.properties.empty()) one.append(";").append(member.properties);
    if (count == kMembersMax || out.size() + one.size() > kBytesMax) break;
    out.append(one);
    ++count;
  }
  return out;
}

}  // namespace weir::trace
