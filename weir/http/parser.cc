// Start lines and framing of HTTP/1 messages.
//
//   (1) Strictly left to right, as the field section (internal/head_fields.h): the verdict on a prefix is
//       final and independent of how it was cut. What concerns several lines (Host, target, framing) is
//       judged at the blank line.
//   (2) Each byte is scanned once: HeadState remembers the phase and the position inside the line.
//   (3) Framing has exactly four outcomes, none, length, chunked, until_close, and one function for each side
//       that chooses (finish), following RFC 9112 6.3 in its order.
//
// Cost: about 20 ns a field (BM_ParseTenHeaders), nothing allocated once `fields` has its capacity.
#include "weir/http/parser.h"

#include <algorithm>
#include <cstring>

#include "weir/base/strings.h"
#include "weir/http/internal/chars.h"
#include "weir/http/internal/head_fields.h"
#include "weir/http/uri.h"

namespace weir::http {

using internal::add_capped;
using Phase = internal::HeadState::Phase;

namespace {

constexpr std::size_t kMethodMax = 32;  // the longest registered one has 17 (UPDATEREDIRECTREF)

constexpr std::size_t kVersionSize = 8;
constexpr std::size_t kStatusEnd = 12;  // "HTTP/1.1 200"

enum class Version : std::uint8_t { need_more, one_0, one_1, malformed, unsupported, bare_lf };

// "HTTP/1.x" at the front of `bytes` and what must follow it: '\r' in requests, ' ' in answers. The name is
// case-sensitive (RFC 9112 2.3). Unsupported is only what is well-formed with its follower.
Version version_of(std::string_view bytes, char follows) noexcept {
  constexpr std::string_view kShape = "HTTP/0.0";
  static_assert(kShape.size() == kVersionSize);
  if (bytes.size() > kVersionSize && bytes[kVersionSize] == follows && bytes.starts_with("HTTP/1.")) {
    if (bytes[7] == '1') return Version::one_1;
    if (bytes[7] == '0') return Version::one_0;
  }
  for (std::size_t i = 0; i <= kVersionSize; ++i) {
    if (i == bytes.size()) return Version::need_more;
    const char c = bytes[i];
    if (c == '\n') return Version::bare_lf;
    if (i == kVersionSize) {
      if (c != follows) return Version::malformed;
    } else if (kShape[i] == '0' ? !base::is_digit(c) : c != kShape[i]) {
      return Version::malformed;
    }
  }
  if (bytes[5] != '1' || bytes[7] > '1') return Version::unsupported;
  return bytes[7] == '1' ? Version::one_1 : Version::one_0;
}

std::size_t skip_from(std::string_view bytes, std::size_t at, internal::CharClass which) noexcept {
  const char* base = bytes.data();
  return static_cast<std::size_t>(internal::skip(base + at, base + bytes.size(), which) - base);
}

// "http://" or "https://" in any case at the front of `text`: its length, else 0.
std::size_t scheme_size(std::string_view text) noexcept {
  if (text.size() >= 7 && base::iequals(text.substr(0, 7), "http://")) return 7;
  if (text.size() >= 8 && base::iequals(text.substr(0, 8), "https://")) return 8;
  return 0;
}

void split_query(std::string_view text, RequestHead& head) noexcept {
  const std::size_t mark = text.find('?');
  head.path = text.substr(0, mark);
  head.has_query = mark != std::string_view::npos;
  head.query = head.has_query ? text.substr(mark + 1) : std::string_view{};
}

}  // namespace

void RequestParser::reset() noexcept {
  state_ = {};
  consumed_ = 0;
  fault_ = {};
}

Parse RequestParser::fail(int status, std::string_view what, std::string_view section) noexcept {
  fault_ = {.status = status, .what = what, .section = section};
  state_.phase = Phase::failed;
  return Parse::error;
}

// All bytes so far fit: more are needed, if more may come.
Parse RequestParser::wait(std::string_view bytes) noexcept {
  if (bytes.size() < limits_.header_bytes) return Parse::need_more;
  return fail(431, "head_too_large", "RFC 6585 5");
}

Parse RequestParser::parse(std::string_view bytes, RequestHead& head) {
  if (state_.phase == Phase::done) return Parse::done;
  if (state_.phase == Phase::failed) return Parse::error;
  if (state_.phase < Phase::field_start) {
    if (state_.at == 0) head.clear();
    const Parse line = start_line(bytes.substr(0, limits_.header_bytes));
    if (line != Parse::done) return line;
  }
  const Parse fields =
      internal::read_fields(state_, bytes, limits_, internal::Side::request, head.fields, fault_);
  if (fields == Parse::need_more) return fields;
  // Also of a refused request the line is known: the log shall say what was asked.
  const std::size_t start = state_.empty_line ? 2 : 0;
  head.method_text = bytes.substr(start, state_.method_end - start);
  head.method = parse_method(head.method_text);
  head.target = bytes.substr(state_.method_end + 1, state_.text_end - state_.method_end - 1);
  head.version_minor = state_.version_minor;
  if (fields == Parse::done) return finish(head);
  state_.phase = Phase::failed;
  return fields;
}

// RFC 9112 3: method SP request-target SP HTTP-version CRLF.
Parse RequestParser::start_line(std::string_view bytes) {
  Parse step = Parse::done;
  if (state_.phase <= Phase::empty_line_lf) step = skip_empty_line(bytes);
  if (step == Parse::done && state_.phase == Phase::method) step = read_method(bytes);
  if (step == Parse::done && state_.phase == Phase::target) step = read_target(bytes);
  if (step == Parse::done && state_.phase == Phase::version) step = read_version(bytes);
  return step;
}

// At most one empty line before the request line (RFC 9112 2.2).
Parse RequestParser::skip_empty_line(std::string_view bytes) noexcept {
  internal::HeadState& s = state_;
  while (s.at < bytes.size()) {
    const char c = bytes[s.at];
    if (s.phase == Phase::empty_line_lf) {
      if (c != '\n') return fail(400, "bare_cr", "RFC 9112 2.2");
      s.empty_line = true;
      s.phase = Phase::start;
    } else if (c == '\r') {
      if (s.empty_line) return fail(400, "empty_lines", "RFC 9112 2.2");
      s.phase = Phase::empty_line_lf;
    } else {
      s.phase = Phase::method;
      s.line_start = s.at;
      return Parse::done;
    }
    ++s.at;
  }
  return wait(bytes);
}

Parse RequestParser::read_method(std::string_view bytes) noexcept {
  internal::HeadState& s = state_;
  const std::size_t stop = std::min(bytes.size(), s.line_start + kMethodMax + 1);
  s.at = skip_from(bytes.substr(0, stop), s.at, internal::kTokenChar);
  if (s.at - s.line_start > kMethodMax) return fail(400, "method_too_long", "RFC 9110 9.1");
  if (s.at == stop) return wait(bytes);
  const char c = bytes[s.at];
  if (c == '\n') return fail(400, "bare_lf", "RFC 9112 2.2");
  if (c == '\r') return fail(400, "bad_request_line", "RFC 9112 3");
  if (c != ' ' || s.at == s.line_start) return fail(400, "bad_method", "RFC 9112 3.1");
  s.method_end = s.at++;
  s.phase = Phase::target;
  return Parse::done;
}

Parse RequestParser::read_target(std::string_view bytes) noexcept {
  internal::HeadState& s = state_;
  const std::size_t start = s.method_end + 1;
  const std::size_t stop = std::min(bytes.size(), add_capped(add_capped(start, limits_.target_bytes), 1));
  const char* base = bytes.data();
  s.at = static_cast<std::size_t>(internal::skip_target(base + s.at, base + stop) - base);
  if (s.at - start > limits_.target_bytes || (s.at == stop && stop == limits_.header_bytes))
    return fail(414, "target_too_long", "RFC 9110 15.5.15");
  if (s.at == stop) return Parse::need_more;
  const char c = bytes[s.at];
  if (c == '\n') return fail(400, "bare_lf", "RFC 9112 2.2");
  if (c == '#') return fail(400, "fragment_in_target", "RFC 9112 3.2");
  if (c == '\r' || s.at == start) return fail(400, "bad_request_line", "RFC 9112 3");
  if (c != ' ') return fail(400, "bad_target", "RFC 9112 3.2");
  s.text_end = s.at++;
  s.phase = Phase::version;
  return Parse::done;
}

Parse RequestParser::read_version(std::string_view bytes) noexcept {
  internal::HeadState& s = state_;
  switch (version_of(bytes.substr(s.at), '\r')) {
    case Version::need_more:
      return wait(bytes);
    case Version::malformed:
      return fail(400, "bad_version", "RFC 9112 2.3");
    case Version::bare_lf:
      return fail(400, "bare_lf", "RFC 9112 2.2");
    case Version::unsupported:
      return fail(505, "unsupported_version", "RFC 9110 15.6.6");
    case Version::one_0:
      s.version_minor = 0;
      break;
    case Version::one_1:
      s.version_minor = 1;
      break;
  }
  const std::size_t lf = s.at + kVersionSize + 1;
  if (lf == bytes.size()) return wait(bytes);
  if (bytes[lf] != '\n') return fail(400, "bare_cr", "RFC 9112 2.2");
  s.at = lf + 1;
  s.phase = Phase::field_start;
  return Parse::done;
}

// RFC 9112 3.2: the four forms. Sets path and query and, for absolute-form, authority.
Parse RequestParser::judge_target(RequestHead& head) noexcept {
  if (head.method == Method::connect) {  // authority-form, and only here
    const std::optional<Authority> to = parse_authority(head.target);
    return to && to->port ? Parse::done : fail(400, "bad_connect_target", "RFC 9112 3.2.3");
  }
  if (head.target.front() == '/') return split_query(head.target, head), Parse::done;
  if (head.target == "*") {
    head.path = head.target;
    return head.method == Method::options ? Parse::done
                                          : fail(400, "asterisk_without_options", "RFC 9112 3.2.4");
  }
  const std::size_t scheme = scheme_size(head.target);
  if (scheme == 0) return fail(400, "bad_target_form", "RFC 9112 3.2");
  const std::string_view rest = head.target.substr(scheme);
  const std::size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  head.authority = rest.substr(0, authority_end);
  if (!parse_authority(head.authority)) return fail(400, "bad_target_authority", "RFC 9112 3.2.2");
  split_query(rest.substr(authority_end), head);
  // An empty path is "/", and for OPTIONS without a query it is "*" (RFC 9112 3.2.1, 3.2.4).
  if (head.path.empty()) head.path = head.method == Method::options && !head.has_query ? "*" : "/";
  return Parse::done;
}

// Exactly one on 1.1, valid where present, and of one mind with an absolute target (RFC 9112 3.2, 3.2.2).
Parse RequestParser::judge_host(RequestHead& head) noexcept {
  if (!state_.has_host) return state_.version_minor == 0 ? Parse::done : fail(400, "no_host", "RFC 9112 3.2");
  const std::string_view host = head.fields.value(Name::host);
  if (host.empty()) return fail(400, "empty_host", "RFC 9110 4.2.1");
  if (!parse_authority(host)) return fail(400, "bad_host", "RFC 9112 3.2");
  if (!head.authority.empty() && !base::iequals(host, head.authority))
    return fail(400, "host_mismatch", "RFC 9112 3.2.2");
  head.authority = host;
  return Parse::done;
}

Parse RequestParser::finish(RequestHead& head) {
  const internal::HeadState& s = state_;
  if (judge_target(head) == Parse::error || judge_host(head) == Parse::error) return Parse::error;

  // RFC 9112 6.3 for requests: chunked, length, or nothing. Both at once was refused where the second one
  // stood.
  if (s.chunked) {
    head.body = BodyKind::chunked;
  } else if (s.has_length) {
    head.body = BodyKind::length;
    head.content_length = s.length;
  }
  // A client must not send content with TRACE (RFC 9110 9.3.8), and an echo of it serves only an attacker.
  if (head.method == Method::trace && (s.chunked || s.length > 0))
    return fail(400, "trace_content", "RFC 9110 9.3.8");
  // Of a 1.0 client, or with no content to come, the expectation is ignored (RFC 9110 10.1.1).
  head.expect_continue = s.expects && s.version_minor == 1 && (s.chunked || s.length > 0);
  head.keep_alive = !s.close && (s.version_minor == 1 || s.keep_alive);
  if (s.nominates) internal::mark_nominated(head.fields);
  consumed_ = s.at;
  state_.phase = Phase::done;
  return Parse::done;
}

void ResponseParser::reset(Method request) noexcept {
  state_ = {};
  request_ = request;
  consumed_ = 0;
  fault_ = {};
}

Parse ResponseParser::fail(std::string_view what, std::string_view section) noexcept {
  fault_ = {.status = 502, .what = what, .section = section};
  state_.phase = Phase::failed;
  return Parse::error;
}

Parse ResponseParser::wait(std::string_view bytes) noexcept {
  if (bytes.size() < limits_.header_bytes) return Parse::need_more;
  return fail("head_too_large", "RFC 9110 5.4");
}

Parse ResponseParser::parse(std::string_view bytes, ResponseHead& head) {
  if (state_.phase == Phase::done) return Parse::done;
  if (state_.phase == Phase::failed) return Parse::error;
  if (state_.phase < Phase::field_start) {
    if (state_.at == 0) head.clear();
    const Parse line = status_line(bytes.substr(0, limits_.header_bytes));
    if (line != Parse::done) return line;
  }
  const Parse fields =
      internal::read_fields(state_, bytes, limits_, internal::Side::response, head.fields, fault_);
  if (fields == Parse::done) return finish(bytes, head);
  if (fields == Parse::error) {
    state_.phase = Phase::failed;
    fault_.status = 502;
  }
  return fields;
}

// RFC 9112 4: HTTP-version SP 3DIGIT SP [ reason ] CRLF. A line that ends behind the digits is accepted, too:
// servers that leave the reason out often leave its space out, and there is only one way to read it.
Parse ResponseParser::status_line(std::string_view bytes) noexcept {
  internal::HeadState& s = state_;
  if (s.phase >= Phase::reason) return read_reason(bytes);
  switch (version_of(bytes, ' ')) {
    case Version::need_more:
      return wait(bytes);
    case Version::malformed:
      return fail("bad_version", "RFC 9112 2.3");
    case Version::bare_lf:
      return fail("bare_lf", "RFC 9112 2.2");
    case Version::unsupported:
      return fail("unsupported_version", "RFC 9112 2.3");
    case Version::one_0:
      s.version_minor = 0;
      break;
    case Version::one_1:
      s.version_minor = 1;
      break;
  }
  for (std::size_t i = kVersionSize + 1; i < kStatusEnd; ++i) {
    if (i == bytes.size()) return wait(bytes);
    // The first digit is the class: 1 to 5 (RFC 9110 15).
    const bool good = i == kVersionSize + 1 ? bytes[i] >= '1' && bytes[i] <= '5' : base::is_digit(bytes[i]);
    if (!good) return fail("bad_status", "RFC 9112 4");
  }
  if (bytes.size() == kStatusEnd) return wait(bytes);
  const char c = bytes[kStatusEnd];
  if (c == '\n') return fail("bare_lf", "RFC 9112 2.2");
  if (c != ' ' && c != '\r') return fail("bad_status", "RFC 9112 4");
  s.phase = Phase::reason;
  s.at = kStatusEnd + (c == ' ' ? 1 : 0);
  s.method_end = s.at;  // where the reason starts
  return read_reason(bytes);
}

Parse ResponseParser::read_reason(std::string_view bytes) noexcept {
  internal::HeadState& s = state_;
  if (s.phase == Phase::reason) {
    const std::size_t bound = add_capped(limits_.line_bytes, 1);  // where CR must stand at the latest
    const std::size_t stop = std::min(bytes.size(), bound);
    const char* base = bytes.data();
    if (s.at < stop) s.at = static_cast<std::size_t>(internal::skip_value(base + s.at, base + stop) - base);
    if (s.at >= stop) return bytes.size() >= bound ? fail("line_too_long", "RFC 9110 5.4") : wait(bytes);
    if (bytes[s.at] == '\n') return fail("bare_lf", "RFC 9112 2.2");
    if (bytes[s.at] != '\r') return fail("control_in_reason", "RFC 9112 4");
    s.text_end = s.at++;
    s.phase = Phase::status_lf;
  }
  if (s.at == bytes.size()) return wait(bytes);
  if (bytes[s.at] != '\n') return fail("bare_cr", "RFC 9112 2.2");
  ++s.at;
  s.phase = Phase::field_start;
  return Parse::done;
}

// RFC 9112 6.3 for responses, in its order. Where the rules leave the end of the message in doubt, the
// message is refused; where they fix it but the sender seems to think otherwise (204 with a length), the
// connection is not used again.
Parse ResponseParser::finish(std::string_view bytes, ResponseHead& head) noexcept {
  const internal::HeadState& s = state_;
  const char* digits = bytes.data() + kVersionSize + 1;
  head.status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  head.reason = bytes.substr(s.method_end, s.text_end - s.method_end);
  head.version_minor = s.version_minor;
  if (s.has_length) head.said_length = s.length;
  head.keep_alive = !s.close && (s.version_minor == 1 || s.keep_alive);

  // weir never asks for an upgrade, so this peer speaks of another request (RFC 9110 15.2.2).
  if (head.status == 101) return fail("unasked_upgrade", "RFC 9110 15.2.2");
  const bool informational = head.status < 200;
  if (informational && s.chunked) return fail("te_in_1xx", "RFC 9112 6.1");
  if (informational && s.has_length) return fail("cl_in_1xx", "RFC 9110 8.6");
  if (informational || head.status == 204 || head.status == 304 || request_ == Method::head) {
    head.body = BodyKind::none;
    if (head.status == 204 && (s.chunked || s.length > 0)) head.keep_alive = false;
  } else if (s.chunked) {
    head.body = BodyKind::chunked;
  } else if (s.has_length) {
    head.body = BodyKind::length;
    head.content_length = s.length;
  } else {
    head.body = BodyKind::until_close;
    head.keep_alive = false;
  }
  if (s.nominates) internal::mark_nominated(head.fields);
  consumed_ = s.at;
  state_.phase = Phase::done;
  return Parse::done;
}

}  // namespace weir::http
