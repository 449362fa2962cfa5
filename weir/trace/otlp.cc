// A minimal protobuf writer (varints, fixed words, lengths) and its JSON twin.
//
//   (1) Fields are written in the order of their numbers and only when they are not the default, as proto3 does.
//   (2) Strings of protobuf are UTF-8: bytes that are not become U+FFFD, or a collector would refuse the whole batch.
//   (3) Lengths of nested messages are computed by writing them behind a gap of one byte and moving them when the
//       length needs two; spans are small, so the move is rare and short.
//
// otlp_test.cc decodes every output with protobuf's own parser and compares field by field, and reads both encodings
// of the same random spans.
#include "weir/trace/otlp.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "weir/base/strings.h"

namespace weir::trace {
namespace {

enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void put_tag(std::string& out, std::uint32_t field, Wire wire) {
  put_varint(out, field << 3 | static_cast<std::uint32_t>(wire));
}

template <class Word>
void put_fixed(std::string& out, Word value) {
  for (std::size_t i = 0; i < sizeof(Word); ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

bool is_ascii(std::string_view text) noexcept {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) < 0; });
}

// (2); the escaper of base knows UTF-8, so what is not ASCII takes the long way through it.
void put_text(std::string& out, std::uint32_t field, std::string_view text) {
  if (text.empty()) return;
  put_tag(out, field, Wire::bytes);
  if (is_ascii(text)) {
    put_varint(out, text.size());
    out.append(text);
    return;
  }
  std::string valid;
  std::string piece;
  for (std::size_t i = 0; i < text.size();) {
    // ASCII stands for itself; a run of other bytes is mended as a whole.
    std::size_t end = i;
    const bool ascii = static_cast<signed char>(text[i]) >= 0;
    while (end < text.size() && (static_cast<signed char>(text[end]) >= 0) == ascii) ++end;
    if (ascii) {
      valid.append(text.substr(i, end - i));
    } else {
      piece.clear();
      base::append_json_escaped(piece, text.substr(i, end - i));
      valid.append(piece);
    }
    i = end;
  }
  put_varint(out, valid.size());
  out.append(valid);
}

void put_id(std::string& out, std::uint32_t field, std::uint64_t high, std::uint64_t low, bool both) {
  put_tag(out, field, Wire::bytes);
  put_varint(out, both ? 16 : 8);
  for (int shift = 56; both && shift >= 0; shift -= 8) out.push_back(static_cast<char>(high >> shift & 0xff));
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(low >> shift & 0xff));
}

// (3)
class Nested {
 public:
  Nested(std::string& out, std::uint32_t field) : out_(out) {
    put_tag(out, field, Wire::bytes);
    out.push_back('\0');
    begin_ = out.size();
  }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  ~Nested() {
    const std::size_t size = out_.size() - begin_;
    if (size < 0x80) {
      out_[begin_ - 1] = static_cast<char>(size);
      return;
    }
    std::string length;
    put_varint(length, size);
    out_[begin_ - 1] = length.front();
    out_.insert(begin_, length, 1);
  }

 private:
  std::string& out_;
  std::size_t begin_ = 0;
};

void put_attribute(std::string& out, std::uint32_t field, const Attribute& attribute) {
  const Nested pair(out, field);
  put_text(out, 1, attribute.key);
  const Nested value(out, 2);
  switch (attribute.type) {
    case Attribute::Type::text:
      if (attribute.text.empty()) out.append({'\x0a', '\0'});  // an empty string is a value too
      put_text(out, 1, attribute.text);
      break;
    case Attribute::Type::flag:
      put_tag(out, 2, Wire::varint);
      put_varint(out, attribute.number != 0 ? 1 : 0);
      break;
    case Attribute::Type::number:
      put_tag(out, 3, Wire::varint);
      put_varint(out, static_cast<std::uint64_t>(attribute.number));
      break;
  }
}

std::uint64_t unix_nanos(WallTime time) noexcept {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.time_since_epoch().count()));
}

// Span.flags: the W3C flags, and whether the parent is another process (bits 8 and 9).
std::uint32_t span_flags(const Span& span) noexcept {
  return std::uint32_t{span.context.flags} | 0x100U | (span.parent_is_remote ? 0x200U : 0U);
}

void append_protobuf(const Span& span, std::string& out) {
  put_id(out, 1, span.context.trace_high, span.context.trace_low, true);
  put_id(out, 2, 0, span.context.span, false);
  put_text(out, 3, span.state);
  if (span.parent != 0) put_id(out, 4, 0, span.parent, false);
  put_text(out, 5, span.name);
  put_tag(out, 6, Wire::varint);
  put_varint(out, static_cast<std::uint64_t>(span.kind));
  put_tag(out, 7, Wire::fixed64);
  put_fixed(out, unix_nanos(span.start));
  put_tag(out, 8, Wire::fixed64);
  put_fixed(out, unix_nanos(span.end));
  for (const Attribute& attribute : span.attributes) put_attribute(out, 9, attribute);
  for (const SpanContext& context : span.links) {
    const Nested link(out, 13);
    put_id(out, 1, context.trace_high, context.trace_low, true);
    put_id(out, 2, 0, context.span, false);
    put_tag(out, 6, Wire::fixed32);
    put_fixed(out, std::uint32_t{context.flags} | 0x300U);
  }
  if (span.status != SpanStatus::unset) {
    const Nested status(out, 15);
    put_text(out, 2, span.status_message);
    put_tag(out, 3, Wire::varint);
    put_varint(out, static_cast<std::uint64_t>(span.status));
  }
  put_tag(out, 16, Wire::fixed32);
  put_fixed(out, span_flags(span));
}

void json_text(std::string& out, std::string_view key, std::string_view text) {
  out.append("\"").append(key).append("\":\"");
  base::append_json_escaped(out, text);
  out.append("\",");
}

void json_number(std::string& out, std::string_view key, std::uint64_t number, bool quoted) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append("\"").append(key).append(quoted ? "\":\"" : "\":");
  out.append(digits.data(), end).append(quoted ? "\"," : ",");
}

void json_ids(std::string& out, const SpanContext& context) {
  std::array<char, 32> hex;
  write_trace_id(context, hex.data());
  json_text(out, "traceId", {hex.data(), 32});
  write_span_id(context.span, hex.data());
  json_text(out, "spanId", {hex.data(), 16});
}

// A list or an object was written member by member, each with its comma behind it.
void close(std::string& out, char bracket) {
  if (out.back() == ',') out.pop_back();
  out.push_back(bracket);
}

void json_attribute(std::string& out, const Attribute& attribute) {
  out.push_back('{');
  json_text(out, "key", attribute.key);
  out.append("\"value\":{");
  switch (attribute.type) {
    case Attribute::Type::text:
      json_text(out, "stringValue", attribute.text);
      break;
    case Attribute::Type::flag:
      out.append("\"boolValue\":").append(attribute.number != 0 ? "true" : "false");
      break;
    case Attribute::Type::number:
      out.append("\"intValue\":\"").append(std::to_string(attribute.number)).append("\"");
      break;
  }
  close(out, '}');
  out.append("},");
}

void append_json(const Span& span, std::string& out) {
  out.push_back('{');
  json_ids(out, span.context);
  if (!span.state.empty()) json_text(out, "traceState", span.state);
  if (span.parent != 0) {
    std::array<char, 16> hex;
    write_span_id(span.parent, hex.data());
    json_text(out, "parentSpanId", {hex.data(), hex.size()});
  }
  json_number(out, "flags", span_flags(span), false);
  json_text(out, "name", span.name);
  json_number(out, "kind", static_cast<std::uint64_t>(span.kind), false);
  json_number(out, "startTimeUnixNano", unix_nanos(span.start), true);
  json_number(out, "endTimeUnixNano", unix_nanos(span.end), true);
  out.append("\"attributes\":[");
  for (const Attribute& attribute : span.attributes) json_attribute(out, attribute);
  close(out, ']');
  if (!span.links.empty()) {
    out.append(",\"links\":[");
    for (const SpanContext& context : span.links) {
      out.push_back('{');
      json_ids(out, context);
      json_number(out, "flags", std::uint32_t{context.flags} | 0x300U, false);
      close(out, '}');
      out.push_back(',');
    }
    close(out, ']');
  }
  if (span.status != SpanStatus::unset) {
    out.append(",\"status\":{");
    if (!span.status_message.empty()) json_text(out, "message", span.status_message);
    json_number(out, "code", static_cast<std::uint64_t>(span.status), false);
    close(out, '}');
  }
  out.push_back('}');
}

// Reads one varint off the front; false when there is none.
bool take_varint(std::string_view& bytes, std::uint64_t* value) noexcept {
  *value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    *value |= std::uint64_t{byte & 0x7fU} << (7 * i);
    if ((byte & 0x80) != 0) continue;
    bytes.remove_prefix(i + 1);
    return true;
  }
  return false;
}

}  // namespace

std::string_view content_type(Encoding encoding) noexcept {
  return encoding == Encoding::json ? "application/json" : "application/x-protobuf";
}

void append_span(Encoding encoding, const Span& span, std::string& out) {
  if (encoding == Encoding::json)
    append_json(span, out);
  else
    append_protobuf(span, out);
}

BatchWriter::BatchWriter(Encoding encoding, std::span<const std::pair<std::string, std::string>> resource,
                         std::string& out)
    : encoding_(encoding), resource_(resource), out_(out) {
  out_.clear();
  if (encoding_ == Encoding::protobuf) return;
  out_.append("{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
  for (const auto& [key, value] : resource_) json_attribute(out_, Attribute::of(key, value));
  close(out_, ']');
  out_.append("},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":[");
}

void BatchWriter::add(std::string_view encoded) {
  if (encoding_ == Encoding::json) {
    if (!first_) out_.push_back(',');
    out_.append(encoded);
  } else {
    put_tag(spans_, 2, Wire::bytes);
    put_varint(spans_, encoded.size());
    spans_.append(encoded);
  }
  first_ = false;
}

void BatchWriter::finish() {
  if (encoding_ == Encoding::json) {
    out_.append("]}]}]}");
    return;
  }
  std::string inner;
  {
    const Nested resource(inner, 1);
    for (const auto& [key, value] : resource_) put_attribute(inner, 1, Attribute::of(key, value));
  }
  std::string scope;
  {
    const Nested name(scope, 1);
    put_text(scope, 1, "weir");
  }
  put_tag(inner, 2, Wire::bytes);
  put_varint(inner, scope.size() + spans_.size());
  inner.append(scope).append(spans_);
  put_tag(out_, 1, Wire::bytes);
  put_varint(out_, inner.size());
  out_.append(inner);
}

std::int64_t rejected_spans(Encoding encoding, std::string_view answer) noexcept {
  if (encoding == Encoding::json) {
    constexpr std::string_view key = "\"rejectedSpans\"";
    const std::size_t at = answer.find(key);
    if (at == std::string_view::npos) return 0;
    const std::size_t digits = answer.find_first_of("0123456789", at + key.size());
    if (digits == std::string_view::npos) return 0;
    std::int64_t count = 0;
    std::from_chars(answer.data() + digits, answer.data() + answer.size(), count);
    return count;
  }
  // ExportTraceServiceResponse { partial_success = 1 { rejected_spans = 1 (varint) } }
  std::uint64_t word = 0;
  if (!take_varint(answer, &word) || word != (1U << 3 | 2U)) return 0;
  if (!take_varint(answer, &word) || word > answer.size()) return 0;
  if (!take_varint(answer, &word) || word != (1U << 3 | 0U)) return 0;
  if (!take_varint(answer, &word)) return 0;
  return static_cast<std::int64_t>(word);
}

}  // namespace weir::trace
