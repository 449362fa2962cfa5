#include "weir/gateway/stages/trace.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "weir/gateway/exchange.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kIdMax = 128;

bool is_request_id(std::string_view text) {
  if (text.empty() || text.size() > kIdMax) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return base::is_alpha(c) || base::is_digit(c) || c == '.' || c == '_' || c == '~' || c == '-';
  });
}

// "00" to "ff", two characters a byte.
constexpr std::array<char, 512> kHexPairs = [] {
  std::array<char, 512> pairs{};
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < 256; ++i) pairs[2 * i] = digits[i >> 4], pairs[2 * i + 1] = digits[i & 15];
  return pairs;
}();

// The low `digits` (an even number) hexadecimal digits of `value`.
void put_hex(char* to, std::uint64_t value, int digits) {
  for (int i = digits - 2; i >= 0; i -= 2, value >>= 8) std::memcpy(to + i, &kHexPairs[2 * (value & 255)], 2);
}

// RFC 9562 5.7: 48 bits of Unix milliseconds, version 7, 74 random bits with the variant between them.
std::string_view new_uuid7(Exchange& exchange) {
  const auto ms = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(exchange.worker.wall_now().time_since_epoch()).count());
  const std::uint64_t a = exchange.worker.random();
  const std::uint64_t b = exchange.worker.random();
  char* text = exchange.arena.allocate(36);
  put_hex(text, ms >> 16, 8);
  text[8] = '-';
  put_hex(text + 9, ms & 0xffff, 4);
  text[13] = '-';
  put_hex(text + 14, 0x7000 | (a & 0xfff), 4);
  text[18] = '-';
  put_hex(text + 19, 0x8000 | (b >> 50 & 0x3fff), 4);
  text[23] = '-';
  put_hex(text + 24, b & 0xffffffffffffULL, 12);
  return {text, 36};
}

constexpr std::size_t kTraceparentSize = 55;  // "00-" 32 "-" 16 "-" 2

bool all_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return base::is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

// Trace Context 3.2: version ff is invalid; a later version may be longer, but begins like this one.
bool is_traceparent(std::string_view text) {
  if (text.size() < kTraceparentSize || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  const std::string_view version = text.substr(0, 2);
  if (!all_lower_hex(version) || version == "ff") return false;
  if (text.size() > kTraceparentSize && (version == "00" || text[kTraceparentSize] != '-')) return false;
  const std::string_view trace = text.substr(3, 32);
  const std::string_view parent = text.substr(36, 16);
  return all_lower_hex(trace) && !all_zero(trace) && all_lower_hex(parent) && !all_zero(parent) &&
         all_lower_hex(text.substr(53, 2));
}

std::string_view next_traceparent(Exchange& exchange, std::string_view inbound) {
  char* text = exchange.arena.allocate(kTraceparentSize);
  base::Random& random = exchange.worker.random;
  if (inbound.empty()) {
    put_hex(text + 3, random() | 1, 16);  // never all zero
    put_hex(text + 19, random(), 16);
    text[53] = '0', text[54] = '1';
  } else {
    std::copy_n(inbound.data() + 3, 32, text + 3);
    std::copy_n(inbound.data() + 53, 2, text + 53);
  }
  put_hex(text + 36, random() | 1, 16);
  text[0] = text[1] = '0';
  text[2] = text[35] = text[52] = '-';
  return {text, kTraceparentSize};
}

}  // namespace

void assign_request_id(Exchange& exchange) {
  const std::string_view inbound = exchange.request.fields.value(http::Name::x_request_id);
  const bool keep = exchange.request.fields.count(http::Name::x_request_id) == 1 && is_request_id(inbound);
  exchange.id = keep ? inbound : new_uuid7(exchange);
  exchange.add_answer_field("X-Request-Id", exchange.id, http::Name::x_request_id);
}

Verdict TraceStage::admit(Exchange& exchange) {
  http::Fields& fields = exchange.request.fields;
  if (fields.value(http::Name::x_request_id) != exchange.id)
    exchange.set_request_field(http::Name::x_request_id, "X-Request-Id", exchange.id);
  std::string_view inbound;
  if (fields.has(http::Name::traceparent)) {
    if (fields.count(http::Name::traceparent) == 1) inbound = fields.value(http::Name::traceparent);
    if (!is_traceparent(inbound)) inbound = {};
    // 3.3: without a valid traceparent, tracestate means nothing and must go.
    const bool keep_state = !inbound.empty();
    fields.remove_if([&](const http::Field& field) {
      return field.id == http::Name::traceparent || (field.id == http::Name::tracestate && !keep_state);
    });
  }
  exchange.traceparent = next_traceparent(exchange, inbound);
  fields.add({"traceparent", exchange.traceparent, http::Name::traceparent, false});
  return Verdict::proceed;
}

}  // namespace weir::gateway
