// Span: one piece of work in a trace, as it is handed to an encoder.
//
// A view: names, texts and attributes are the caller's and need to live only until the encoder has returned. Attribute
// names are OpenTelemetry's stable ones for HTTP; the constants are here so that nobody spells them twice.
#ifndef WEIR_TRACE_SPAN_H_
#define WEIR_TRACE_SPAN_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "weir/base/clock.h"
#include "weir/trace/span_context.h"

namespace weir::trace {

struct Attribute {
  enum class Type : std::uint8_t { text, number, flag };

  std::string_view key;
  std::string_view text;
  std::int64_t number = 0;  // also of a flag: 0 or 1
  Type type = Type::text;

  static Attribute of(std::string_view key, std::string_view text) noexcept {
    return {key, text, 0, Type::text};
  }
  static Attribute of_number(std::string_view key, std::int64_t number) noexcept {
    return {key, {}, number, Type::number};
  }
  static Attribute of_flag(std::string_view key, bool flag) noexcept {
    return {key, {}, flag ? 1 : 0, Type::flag};
  }
};

enum class SpanKind : std::uint8_t { internal = 1, server = 2, client = 3 };  // numbers of OTLP
enum class SpanStatus : std::uint8_t { unset = 0, ok = 1, error = 2 };

struct Span {
  SpanContext context;
  std::uint64_t parent = 0;  // span id; 0: a root
  bool parent_is_remote = false;
  std::string_view state;  // tracestate; may be empty
  std::string_view name;   // "{method} {route}", "GET"
  SpanKind kind = SpanKind::internal;
  WallTime start{};
  WallTime end{};
  std::span<const Attribute> attributes;
  std::span<const SpanContext> links;  // contexts that led here without being parents
  SpanStatus status = SpanStatus::unset;
  std::string_view status_message;
};

// OpenTelemetry semantic conventions, HTTP, stable.
inline constexpr std::string_view kHttpMethod = "http.request.method";
inline constexpr std::string_view kHttpMethodOriginal = "http.request.method_original";
inline constexpr std::string_view kHttpStatus = "http.response.status_code";
inline constexpr std::string_view kHttpRoute = "http.route";
inline constexpr std::string_view kHttpResendCount = "http.request.resend_count";
inline constexpr std::string_view kUrlPath = "url.path";
inline constexpr std::string_view kUrlQuery = "url.query";
inline constexpr std::string_view kUrlScheme = "url.scheme";
inline constexpr std::string_view kUrlFull = "url.full";
inline constexpr std::string_view kServerAddress = "server.address";
inline constexpr std::string_view kServerPort = "server.port";
inline constexpr std::string_view kClientAddress = "client.address";
inline constexpr std::string_view kPeerAddress = "network.peer.address";
inline constexpr std::string_view kProtocolVersion = "network.protocol.version";
inline constexpr std::string_view kUserAgent = "user_agent.original";
inline constexpr std::string_view kErrorType = "error.type";

}  // namespace weir::trace

#endif  // WEIR_TRACE_SPAN_H_
