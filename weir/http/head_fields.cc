// Field lines of heads: grammar, bounds, and the fields that decide framing.
//
//   (1) state.at only grows, and every byte before it has been judged: total work is linear however input
//       arrives.
//   (2) A fault is raised at the first byte that makes the line wrong, or at the LF of a line whose value is
//       wrong.
//   (3) At most header_count fields, line_bytes a line, header_bytes in all; each is checked before a byte
//       beyond it is looked at.
//
// Proved by request_parser_test.cc: every case also cut at every byte, with the buffer moved between calls.
#include "weir/http/internal/head_fields.h"

#include <algorithm>
#include <array>

#include "weir/base/strings.h"
#include "weir/http/internal/chars.h"

namespace weir::http::internal {

using Phase = HeadState::Phase;

std::optional<std::uint64_t> parse_length(std::string_view text) noexcept {
  if (text.empty() || (text.front() == '0' && text.size() > 1)) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (!base::is_digit(c)) return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (kLengthMax - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

namespace {

bool set_fault(Fault& fault, int status, std::string_view what, std::string_view section) noexcept {
  fault = {.status = status, .what = what, .section = section};
  return false;
}

// Calls visit(option) for every element of a Connection value; empty elements are skipped (RFC 9110 5.6.1.2).
// False as soon as visit says so.
template <class Visit>
bool each_option(std::string_view value, Visit&& visit) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = base::trim(value.substr(0, comma));
    if (!option.empty() && !visit(option)) return false;
    value.remove_prefix(std::min(value.size(), comma + 1));
  }
  return true;
}

// Never taken off because a sender nominates it: these mean something to the final recipient, and an attacker
// in front of an honest proxy could otherwise remove them (RFC 9110 7.6.1 forbids to nominate end-to-end
// fields).
bool is_protected(Name name) noexcept {
  switch (name) {
    case Name::host:
    case Name::content_length:
    case Name::authorization:
    case Name::cookie:
    case Name::content_type:
    case Name::cache_control:
    case Name::via:
      return true;
    default:
      return false;
  }
}

bool read_connection(HeadState& state, std::string_view value, Fault& fault) noexcept {
  return each_option(value, [&](std::string_view option) {
    if (skip(option.data(), option.data() + option.size(), kTokenChar) != option.data() + option.size())
      return set_fault(fault, 400, "bad_connection_option", "RFC 9110 7.6.1");
    if (++state.options > kConnectionOptionsMax)
      return set_fault(fault, 400, "too_many_connection_options", "RFC 9110 7.6.1");
    if (base::iequals(option, "close"))
      state.close = true;
    else if (base::iequals(option, "keep-alive"))
      state.keep_alive = true;
    else
      state.nominates = true;
    return true;
  });
}

bool read_transfer_encoding(HeadState& state, std::string_view value, Fault& fault) noexcept {
  if (state.version_minor == 0) return set_fault(fault, 400, "te_on_1_0", "RFC 9112 6.1");
  if (state.chunked) return set_fault(fault, 400, "two_te", "RFC 9112 6.1");
  if (!base::iequals(value, "chunked")) return set_fault(fault, 400, "te_not_chunked", "RFC 9112 6.1");
  if (state.has_length) return set_fault(fault, 400, "cl_and_te", "RFC 9112 6.3");
  state.chunked = true;
  return true;
}

bool read_content_length(HeadState& state, std::string_view value, Fault& fault) noexcept {
  if (state.has_length) return set_fault(fault, 400, "two_cl", "RFC 9110 8.6");
  const std::optional<std::uint64_t> length = parse_length(value);
  if (!length) return set_fault(fault, 400, "bad_cl", "RFC 9110 8.6");
  if (state.chunked) return set_fault(fault, 400, "cl_and_te", "RFC 9112 6.3");
  state.has_length = true;
  state.length = *length;
  return true;
}

// Unknown names that are not forwarded all the same. HTTP2-Settings belongs to the connection (RFC 7540
// 3.2.1). Content_Length, Transfer.Encoding and the like are no framing for us, but gateways to CGI and its
// heirs read '_' and '.' as '-': what they would take for framing must not come from a stranger.
bool stays_here(std::string_view name) noexcept {
  if (name.size() != 14 && name.size() != 17) return false;
  if (base::iequals(name, "http2-settings")) return true;
  std::array<char, 17> plain{};
  for (std::size_t i = 0; i < name.size(); ++i) plain[i] = name[i] == '_' || name[i] == '.' ? '-' : name[i];
  const Name id = parse_name(std::string_view(plain.data(), name.size()));
  return id == Name::content_length || id == Name::transfer_encoding;
}

// Names with a meaning for the connection or the framing; `other` because of stays_here().
constexpr NameSet kJudged{Name::other,
                          Name::keep_alive,
                          Name::te,
                          Name::trailer,
                          Name::upgrade,
                          Name::proxy_connection,
                          Name::proxy_authenticate,
                          Name::proxy_authorization,
                          Name::connection,
                          Name::transfer_encoding,
                          Name::content_length,
                          Name::host,
                          Name::expect};

// A complete field that is one of kJudged: its meaning for the connection and the framing.
bool judge(HeadState& state, Field& field, Side side, Fault& fault) noexcept {
  switch (field.id) {
    case Name::other:
      field.hop_by_hop = stays_here(field.name);
      return true;
    case Name::keep_alive:
    case Name::te:
    case Name::trailer:
    case Name::upgrade:
    case Name::proxy_connection:
    case Name::proxy_authenticate:
    case Name::proxy_authorization:
      field.hop_by_hop = true;
      return true;
    case Name::connection:
      field.hop_by_hop = true;
      return read_connection(state, field.value, fault);
    case Name::transfer_encoding:
      field.hop_by_hop = true;
      return read_transfer_encoding(state, field.value, fault);
    case Name::content_length:
      return read_content_length(state, field.value, fault);
    case Name::host:
      if (side == Side::response) return true;
      if (state.has_host) return set_fault(fault, 400, "two_hosts", "RFC 9112 3.2");
      state.has_host = true;
      return true;
    case Name::expect:
      if (side == Side::response) return true;
      if (!base::iequals(field.value, "100-continue"))
        return set_fault(fault, 417, "bad_expect", "RFC 9110 10.1.1");
      state.expects = true;
      return true;
    default:
      return true;
  }
}

// The views of earlier calls follow the bytes to their new place.
void rebase(Fields& fields, const char* from, const char* to) noexcept {
  const auto moved = [&](std::string_view view) {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(view.data()) - reinterpret_cast<std::uintptr_t>(from);
    return std::string_view(to + offset, view.size());
  };
  for (Field& field : fields) {
    field.name = moved(field.name);
    field.value = moved(field.value);
  }
}

bool bad_name_fault(char c, bool empty, Fault& fault) noexcept {
  switch (c) {
    case ':':
      return set_fault(fault, 400, "empty_name", "RFC 9112 5");
    case '\n':
      return set_fault(fault, 400, "bare_lf", "RFC 9112 2.2");
    case '\r':
      return set_fault(fault, 400, "no_colon", "RFC 9112 5");
    case ' ':
    case '\t':
      if (empty) return set_fault(fault, 400, "obs_fold", "RFC 9112 5.2");
      return set_fault(fault, 400, "space_in_name", "RFC 9112 5.1");
    default:
      return set_fault(fault, 400, "bad_name", "RFC 9110 5.1");
  }
}

bool bad_value_fault(char c, Fault& fault) noexcept {
  if (c == '\n') return set_fault(fault, 400, "bare_lf", "RFC 9112 2.2");
  return set_fault(fault, 400, "control_in_value", "RFC 9110 5.5");
}

// Where the line that starts at line_start must end; its bound does not count its CRLF.
std::size_t line_bound(std::size_t line_start, const ParserLimits& limits) noexcept {
  return add_capped(add_capped(line_start, limits.line_bytes), 2);
}

// Without the white space around it (RFC 9110 5.5).
std::string_view trimmed(const char* from, const char* to) noexcept {
  while (from != to && (*from == ' ' || *from == '\t')) ++from;
  while (from != to && (to[-1] == ' ' || to[-1] == '\t')) --to;
  return {from, static_cast<std::size_t>(to - from)};
}

// All bytes have been used up: more are needed, unless a bound says that no more may come.
Parse used_up(std::size_t size, std::size_t line_start, const ParserLimits& limits, Fault& fault) noexcept {
  const std::size_t line_end = line_bound(line_start, limits);
  if (line_end < limits.header_bytes && size >= line_end)
    return set_fault(fault, 431, "line_too_long", "RFC 6585 5"), Parse::error;
  if (size >= limits.header_bytes) return set_fault(fault, 431, "head_too_large", "RFC 6585 5"), Parse::error;
  return Parse::need_more;
}

}  // namespace

Parse read_fields(HeadState& state, std::string_view bytes, const ParserLimits& limits, Side side,
                  Fields& fields, Fault& fault) {
  if (state.base != bytes.data()) {
    if (!fields.empty()) rebase(fields, state.base, bytes.data());
    state.base = bytes.data();
  }
  const char* const base = bytes.data();
  const char* at = base + state.at;
  const auto pause = [&](Phase where) {
    state.phase = where;
    state.at = static_cast<std::size_t>(at - base);
    return used_up(bytes.size(), state.line_start, limits, fault);
  };
  const std::size_t visible = std::min(bytes.size(), limits.header_bytes);
  Phase phase = state.phase;
  for (;;) {
    if (phase == Phase::field_start) state.line_start = static_cast<std::size_t>(at - base);
    const char* const end = base + std::min(visible, line_bound(state.line_start, limits));
    switch (phase) {
      default:
      case Phase::field_start:
        if (at == end) return pause(Phase::field_start);
        if (*at == '\r') {
          ++at;
          phase = Phase::end_lf;
          continue;
        }
        if (fields.size() == limits.header_count && *at != '\n')
          return set_fault(fault, 431, "too_many_fields", "RFC 6585 5"), Parse::error;
        [[fallthrough]];
      case Phase::field_name: {
        at = skip_name(at, end);
        if (at == end) return pause(Phase::field_name);
        const auto size = static_cast<std::size_t>(at - base) - state.line_start;
        if (*at != ':' || size == 0) return bad_name_fault(*at, size == 0, fault), Parse::error;
        state.colon = static_cast<std::size_t>(at - base);
        ++at;
      }
        [[fallthrough]];
      case Phase::field_value:
        at = skip_value(at, end);
        if (at == end) return pause(Phase::field_value);
        if (*at != '\r') return bad_value_fault(*at, fault), Parse::error;
        ++at;
        [[fallthrough]];
      case Phase::field_value_lf: {
        if (at == end) return pause(Phase::field_value_lf);
        if (*at != '\n') return set_fault(fault, 400, "bare_cr", "RFC 9112 2.2"), Parse::error;
        Field field;
        field.name = {base + state.line_start, state.colon - state.line_start};
        field.value = trimmed(base + state.colon + 1, at - 1);
        field.id = parse_name(field.name);
        if (kJudged.contains(field.id) && !judge(state, field, side, fault)) return Parse::error;
        fields.add(field);
        ++at;
        phase = Phase::field_start;
        continue;
      }
      case Phase::end_lf:
        if (at == end) return pause(Phase::end_lf);
        if (*at != '\n') return set_fault(fault, 400, "bare_cr", "RFC 9112 2.2"), Parse::error;
        ++at;
        state.at = static_cast<std::size_t>(at - base);
        return Parse::done;
    }
  }
}

void mark_nominated(Fields& fields) noexcept {
  for (const Field& connection : fields) {
    if (connection.id != Name::connection) continue;
    each_option(connection.value, [&](std::string_view option) {
      for (Field& field : fields)
        if (!field.hop_by_hop && base::iequals(field.name, option) && !is_protected(field.id))
          field.hop_by_hop = true;
      return true;
    });
  }
}

}  // namespace weir::http::internal
