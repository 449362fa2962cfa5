// W3C Trace Context, level 2: who called whom, in two headers.
//
// parse_traceparent() and read() decide what of a peer's headers is taken over; write_traceparent() says it to the next
// one. Malformed input is never an error to anybody: the trace begins anew, as the specification wants.
//
//   std::string state;
//   SpanContext parent = trace::read(traceparents, tracestates, state);      // invalid: begin a new trace
//   SpanContext mine = parent.valid() ? trace::child_of(parent, random) : trace::new_root(random, true);
//   char text[trace::kTraceparentSize];
//   trace::write_traceparent(mine, text);
//
// Plain values; every function is pure but for the generator handed in. Reading and writing take some ten nanoseconds.
// Source: https://www.w3.org/TR/trace-context-2/ (sections named at the lines that implement them).
#ifndef WEIR_TRACE_SPAN_CONTEXT_H_
#define WEIR_TRACE_SPAN_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "weir/base/random.h"

namespace weir::trace {

inline constexpr std::size_t kTraceparentSize = 55;    // "00-" 32 "-" 16 "-" 2
inline constexpr std::size_t kTracestateMembers = 32;  // 3.3.1.1: more make the whole list invalid
inline constexpr std::size_t kTracestateKept = 512;    // 3.3.1.5: at least so many characters are passed on

inline constexpr std::uint8_t kFlagSampled = 0x01;
inline constexpr std::uint8_t kFlagRandom =
    0x02;  // level 2: the right-most 7 bytes of the trace id are random

struct SpanContext {
  std::uint64_t trace_high = 0;
  std::uint64_t trace_low = 0;
  std::uint64_t span = 0;  // the span's own id; of what a peer sent: the parent's
  std::uint8_t flags = 0;  // only kFlagSampled and kFlagRandom; other bits are dropped

  bool valid() const noexcept { return (trace_high | trace_low) != 0 && span != 0; }
  bool sampled() const noexcept { return (flags & kFlagSampled) != 0; }
  friend bool operator==(const SpanContext&, const SpanContext&) noexcept = default;
};

// One traceparent value, surrounding white space removed by the caller. Nothing when it must be ignored.
std::optional<SpanContext> parse_traceparent(std::string_view text) noexcept;

// Always kTraceparentSize characters, version 00.
void write_traceparent(const SpanContext& context, char* to) noexcept;
// 32 and 16 lower-case hexadecimal digits.
void write_trace_id(const SpanContext& context, char* to) noexcept;
void write_span_id(std::uint64_t span, char* to) noexcept;

// Joins the values of all tracestate fields, in their order, into `out`, without empty members. False, and `out` empty,
// when the list is malformed or too long: then none of it may be passed on (4.3).
bool join_tracestate(std::span<const std::string_view> values, std::string& out);
// Cuts whole members until `state` has at most `size_max` characters: first those longer than 128, then from the end
// (3.3.1.5).
void limit_tracestate(std::string& state, std::size_t size_max = kTracestateKept);

// Everything a peer sent: the values of its traceparent and its tracestate fields. An invalid context when there is no
// usable traceparent (none, more than one, malformed); `state` is then empty too.
SpanContext read(std::span<const std::string_view> traceparents,
                 std::span<const std::string_view> tracestates, std::string& state);

// A new trace: both ids random, the random flag set.
SpanContext new_root(base::Random& random, bool sampled) noexcept;
// The same trace and flags, a span id of its own.
SpanContext child_of(const SpanContext& parent, base::Random& random) noexcept;

}  // namespace weir::trace

#endif  // WEIR_TRACE_SPAN_CONTEXT_H_
