// Reading traceparent and tracestate by their grammars, to the letter.
//
//   (1) A traceparent is taken over only when every character is what section 3.2 says it is. Version 00 has exactly
//       55 characters; a later version may go on behind a '-', and is read as if it were 00 (section 4.3).
//   (2) A tracestate is passed on whole or not at all: a malformed member, a 33rd member or a key or value that is
//       too long drops the list, never the traceparent.
//   (3) What weir writes is version 00 with no flags but sampled and random.
//
// One pass over the text, no allocation but for the joined list. The verdicts of the public test suite are a table in
// span_context_test.cc.
#include "weir/trace/span_context.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "weir/base/strings.h"

namespace weir::trace {
namespace {

constexpr std::size_t kKeyMax = 256;    // 3.3.1.3.1
constexpr std::size_t kValueMax = 256;  // 3.3.1.3.2
constexpr std::size_t kLongMember = 128;

constexpr std::array<std::int8_t, 256> kHexValue = [] {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (int i = 0; i < 10; ++i) values[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
  // Lower case only: 3.2.2.3, upper-case digits are invalid.
  for (int i = 0; i < 6; ++i) values[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
  return values;
}();

// `digits` (up to 16) at `text` as a number; false when one of them is none.
bool read_hex(const char* text, std::size_t digits, std::uint64_t* value) noexcept {
  std::uint64_t result = 0;
  int all = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const int digit = kHexValue[static_cast<unsigned char>(text[i])];
    all |= digit;
    result = result << 4 | static_cast<std::uint64_t>(digit & 15);
  }
  *value = result;
  return all >= 0;
}

// "00" to "ff", two characters a byte.
constexpr std::array<char, 512> kHexPairs = [] {
  std::array<char, 512> pairs{};
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < 256; ++i) pairs[2 * i] = digits[i >> 4], pairs[2 * i + 1] = digits[i & 15];
  return pairs;
}();

void put_hex(char* to, std::uint64_t value) noexcept {
  for (int i = 14; i >= 0; i -= 2, value >>= 8) std::memcpy(to + i, &kHexPairs[2 * (value & 255)], 2);
}

bool is_key_start(char c) noexcept { return (c >= 'a' && c <= 'z') || base::is_digit(c); }
bool is_key_char(char c) noexcept {
  return is_key_start(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
}
// Any printable but ',' and '='; a space may stand inside.
bool is_value_char(char c) noexcept { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; }

bool is_member(std::string_view member) noexcept {
  const std::size_t equals = member.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals > kKeyMax) return false;
  const std::string_view key = member.substr(0, equals);
  const std::string_view value = member.substr(equals + 1);
  if (value.empty() || value.size() > kValueMax) return false;
  return is_key_start(key.front()) && std::all_of(key.begin(), key.end(), is_key_char) &&
         std::all_of(value.begin(), value.end(), is_value_char);
}

}  // namespace

std::optional<SpanContext> parse_traceparent(std::string_view text) noexcept {
  if (text.size() < kTraceparentSize || text[2] != '-' || text[35] != '-' || text[52] != '-')
    return std::nullopt;
  std::uint64_t version = 0, flags = 0;
  SpanContext context;
  if (!read_hex(text.data(), 2, &version) || version == 0xff) return std::nullopt;
  if (text.size() > kTraceparentSize && (version == 0 || text[kTraceparentSize] != '-')) return std::nullopt;
  if (!read_hex(text.data() + 3, 16, &context.trace_high) ||
      !read_hex(text.data() + 19, 16, &context.trace_low) || !read_hex(text.data() + 36, 16, &context.span) ||
      !read_hex(text.data() + 53, 2, &flags))
    return std::nullopt;
  context.flags = static_cast<std::uint8_t>(flags & (kFlagSampled | kFlagRandom));
  if (!context.valid()) return std::nullopt;  // 3.2.2.3, 3.2.2.4: all zero
  return context;
}

void write_trace_id(const SpanContext& context, char* to) noexcept {
  put_hex(to, context.trace_high);
  put_hex(to + 16, context.trace_low);
}

void write_span_id(std::uint64_t span, char* to) noexcept { put_hex(to, span); }

void write_traceparent(const SpanContext& context, char* to) noexcept {
  to[0] = to[1] = '0';
  to[2] = to[35] = to[52] = '-';
  write_trace_id(context, to + 3);
  write_span_id(context.span, to + 36);
  std::memcpy(to + 53, &kHexPairs[std::size_t{2} * context.flags], 2);
}

bool join_tracestate(std::span<const std::string_view> values, std::string& out) {
  out.clear();
  std::size_t members = 0;
  for (std::string_view rest : values) {
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      std::string_view member = rest.substr(0, comma);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      member = base::trim(member);
      if (member.empty()) continue;
      if (++members > kTracestateMembers || !is_member(member)) {
        out.clear();
        return false;
      }
      if (!out.empty()) out.push_back(',');
      out.append(member);
    }
  }
  return true;
}

void limit_tracestate(std::string& state, std::size_t size_max) {
  if (state.size() <= size_max) return;
  std::vector<std::string_view> members = base::split(state, ',');
  std::size_t size = state.size();
  const auto drop_if_too_large = [&](std::size_t i) {
    size -= std::min(size, members[i].size() + 1);
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(i));
  };
  for (std::size_t i = members.size(); i-- > 0 && size > size_max;)
    if (members[i].size() > kLongMember) drop_if_too_large(i);
  while (size > size_max && !members.empty()) drop_if_too_large(members.size() - 1);
  std::string cut;
  for (const std::string_view member : members) cut.append(cut.empty() ? "" : ",").append(member);
  state = std::move(cut);
}

SpanContext read(std::span<const std::string_view> traceparents,
                 std::span<const std::string_view> tracestates, std::string& state) {
  state.clear();
  if (traceparents.size() != 1) return {};
  const std::optional<SpanContext> parent = parse_traceparent(base::trim(traceparents.front()));
  if (!parent) return {};  // 3.3: without a valid traceparent, tracestate means nothing
  join_tracestate(tracestates, state);
  return *parent;
}

SpanContext new_root(base::Random& random, bool sampled) noexcept {
  SpanContext context;
  context.trace_high = random() | 1;  // never all zero; the bit is outside the 7 bytes that must be random
  context.trace_low = random();
  context.span = random() | 1;
  context.flags = static_cast<std::uint8_t>(kFlagRandom | (sampled ? kFlagSampled : 0));
  return context;
}

SpanContext child_of(const SpanContext& parent, base::Random& random) noexcept {
  SpanContext context = parent;
  do {
    context.span = random();
  } while (context.span == 0 || context.span == parent.span);
  return context;
}

}  // namespace weir::trace
