// The field section: what request and response heads have in common.
//
// read_fields() goes on from state.at, line by line, strictly left to right: the verdict on a prefix never
// depends on how the bytes were cut, because no rule looks ahead. Field values with a meaning for framing
// (Host, Content-Length, Transfer-Encoding, Connection, Expect) are judged when their line is complete.
// Private to the parsers.
#ifndef WEIR_HTTP_INTERNAL_HEAD_FIELDS_H_
#define WEIR_HTTP_INTERNAL_HEAD_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "weir/http/message.h"
#include "weir/http/parser.h"

namespace weir::http::internal {

// Connection options (RFC 9110 7.6.1) in one message. Real messages have up to four; each unknown one costs a
// search through the fields, so without a bound 32 KiB of them would cost milliseconds.
inline constexpr std::uint16_t kConnectionOptionsMax = 32;

// Lengths end here, as in nearly every peer's signed arithmetic: a larger one means something else to
// somebody.
inline constexpr std::uint64_t kLengthMax = INT64_MAX;

// 1*DIGIT up to kLengthMax (RFC 9110 8.6); nothing otherwise. Narrower than the grammar in one point: "010"
// is refused, since some readers take it for octal.
std::optional<std::uint64_t> parse_length(std::string_view text) noexcept;

constexpr std::size_t add_capped(std::size_t a, std::size_t b) noexcept {
  return a + b < a ? SIZE_MAX : a + b;
}

enum class Side : std::uint8_t { request, response };

// need_more, error (fault is set), or done: the blank line has been read and state.at stands behind it.
// Views that `fields` holds from earlier calls are moved to where the bytes are now.
Parse read_fields(HeadState& state, std::string_view bytes, const ParserLimits& limits, Side side,
                  Fields& fields, Fault& fault);

// Marks what the message's own Connection nominates. Call once, after the last field.
void mark_nominated(Fields& fields) noexcept;

}  // namespace weir::http::internal

#endif  // WEIR_HTTP_INTERNAL_HEAD_FIELDS_H_
