// Paths, queries and authorities, each read in one pass.
//
//   (1) A path that is canonical already (the usual case) is returned as it came: one table look-up a byte.
//   (2) Otherwise the segments are rebuilt into `scratch`, left to right. A ".." takes away exactly what one
//       earlier segment added, so the work is linear in the input.
//   (3) Escapes are decoded once. What stays escaped ("%25", "%2F", "%3F") stays escaped in the result, hence
//       canonical_path(canonical_path(x)) == canonical_path(x).
//
// uri_test.cc compares with a plain decode-split-resolve on every short path over a small alphabet.
#include "weir/http/uri.h"

#include <algorithm>

#include "weir/base/strings.h"
#include "weir/http/internal/chars.h"

namespace weir::http {

using internal::hex_value;
using internal::is;

std::string_view to_string(PathFault fault) noexcept {
  switch (fault) {
    case PathFault::none:
      return "none";
    case PathFault::bad_escape:
      return "bad_escape";
    case PathFault::encoded_backslash:
      return "encoded_backslash";
    case PathFault::encoded_nul:
      return "encoded_nul";
    case PathFault::encoded_dot_segment:
      return "encoded_dot_segment";
    case PathFault::above_root:
      return "above_root";
  }
  return "none";
}

namespace {

constexpr char kUpperHex[] = "0123456789ABCDEF";

void append_escape(std::string& out, unsigned byte) {
  const char escape[3] = {'%', kUpperHex[byte >> 4], kUpperHex[byte & 15]};
  out.append(escape, 3);
}

// Value of the escape at text[at] ('%'), or -1 when two hexadecimal digits do not follow.
int escape_value(std::string_view text, std::size_t at) noexcept {
  if (text.size() - at < 3 || !is(text[at + 1], internal::kHexChar) || !is(text[at + 2], internal::kHexChar))
    return -1;
  return static_cast<int>(hex_value(text[at + 1]) << 4 | hex_value(text[at + 2]));
}

// No escape, no backslash, no empty segment but the last, no segment that begins with a dot.
bool looks_canonical(std::string_view raw) noexcept {
  char before = 0;
  for (const char c : raw) {
    if (c == '%' || c == '\\') return false;
    if (before == '/' && (c == '/' || c == '.')) return false;
    before = c;
  }
  return true;
}

// What a segment is made of, counted while it is copied: is it (or a part of it between encoded slashes) "."
// or ".." for a server that decodes more, or cuts at ';' (path parameters), before it resolves?
class DotWatch {
 public:
  void see(char decoded) noexcept {
    if (decoded == '/') {
      end_part();
      dots_ = others_ = 0;
      cut_ = false;
    } else if (decoded == ';') {
      cut_ = true;
    } else if (!cut_) {
      decoded == '.' ? ++dots_ : ++others_;
    }
    if (decoded == '/' || decoded == ';') plain_ = false;
  }
  void see_escape() noexcept { plain_ = false; }
  void end_part() noexcept {
    if (others_ == 0 && (dots_ == 1 || dots_ == 2)) dotted_ = true;
  }
  bool dotted() const noexcept { return dotted_; }
  bool plain() const noexcept { return plain_; }
  std::size_t dots() const noexcept { return dots_; }

 private:
  std::size_t dots_ = 0;
  std::size_t others_ = 0;
  bool cut_ = false;
  bool plain_ = true;
  bool dotted_ = false;
};

// Appends the canonical form of one segment and tells what it was.
PathFault append_segment(std::string_view segment, std::string& out, DotWatch& watch, bool& encoded_slash) {
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const char c = segment[i];
    // A raw backslash is not URI syntax (RFC 3986 appendix A), and some servers take it for a slash.
    if (c == '\\') return PathFault::encoded_backslash;
    if (c != '%') {
      watch.see(c);
      out.push_back(c);
      continue;
    }
    const int value = escape_value(segment, i);
    if (value < 0) return PathFault::bad_escape;
    if (value == 0) return PathFault::encoded_nul;
    if (value == '\\') return PathFault::encoded_backslash;
    if (value == '/') encoded_slash = true;
    const auto decoded = static_cast<char>(value);
    watch.see(decoded);
    watch.see_escape();
    if (is(decoded, internal::kUnreservedChar))
      out.push_back(decoded);
    else
      append_escape(out, static_cast<unsigned>(value));
    i += 2;
  }
  watch.end_part();
  return watch.dotted() && !watch.plain() ? PathFault::encoded_dot_segment : PathFault::none;
}

CanonicalPath rebuild(std::string_view raw, std::string& scratch) {
  CanonicalPath result;
  scratch.clear();
  bool open = true;  // the path ends in '/': after an empty, "." or ".." last segment
  std::string_view rest = raw.substr(1);
  for (;;) {
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    open = segment.empty();
    if (!segment.empty()) {
      const std::size_t before = scratch.size();
      scratch.push_back('/');
      DotWatch watch;
      result.fault = append_segment(segment, scratch, watch, result.encoded_slash);
      if (result.fault != PathFault::none) return result;
      if (watch.dotted()) {
        scratch.resize(before);
        open = true;
        if (watch.dots() == 2) {
          if (before == 0) return result.fault = PathFault::above_root, result;
          scratch.resize(scratch.rfind('/'));
        }
      }
    }
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (open) scratch.push_back('/');
  result.path = scratch;
  return result;
}

}  // namespace

CanonicalPath canonical_path(std::string_view raw, std::string& scratch) {
  if (raw.empty() || raw.front() != '/' || looks_canonical(raw)) return {.path = raw};
  return rebuild(raw, scratch);
}

bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int value = escape_value(text, i);
    if (value < 0) return false;
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return true;
}

void append_percent_encoded(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (is(c, internal::kUnreservedChar))
      out.push_back(c);
    else
      append_escape(out, static_cast<std::uint8_t>(c));
  }
}

namespace {

// Is `raw`, decoded, `name`? A broken escape equals nothing.
bool decodes_to(std::string_view raw, std::string_view name) noexcept {
  std::size_t n = 0;
  for (std::size_t i = 0; i < raw.size(); ++i, ++n) {
    char c = raw[i];
    if (c == '%') {
      const int value = escape_value(raw, i);
      if (value < 0) return false;
      c = static_cast<char>(value);
      i += 2;
    }
    if (n == name.size() || name[n] != c) return false;
  }
  return n == name.size();
}

}  // namespace

std::optional<std::string_view> query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    const std::size_t equals = pair.find('=');
    if (!pair.empty() && decodes_to(pair.substr(0, equals), name))
      return equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
  }
  return std::nullopt;
}

namespace {

// Four decimal numbers up to 255 without leading zeros (RFC 3986 3.2.2 dec-octet).
bool is_ipv4(std::string_view text) noexcept {
  for (int part = 0; part < 4; ++part) {
    std::size_t digits = 0;
    unsigned value = 0;
    while (digits < text.size() && digits < 3 && base::is_digit(text[digits]))
      value = value * 10 + static_cast<unsigned>(text[digits++] - '0');
    if (digits == 0 || value > 255 || (digits > 1 && text[0] == '0')) return false;
    text.remove_prefix(digits);
    if (part == 3) return text.empty();
    if (text.empty() || text.front() != '.') return false;
    text.remove_prefix(1);
  }
  return false;
}

// RFC 3986 3.2.2 IPv6address: eight groups, "::" at most once and for at least one of them, IPv4 as the last
// two.
bool is_ipv6(std::string_view text) noexcept {
  int groups = 0;
  bool gap = false;
  if (text.substr(0, 2) == "::") gap = true, text.remove_prefix(2);
  while (!text.empty()) {
    if (groups <= 6 && text.find(':') == std::string_view::npos && is_ipv4(text)) {
      groups += 2;
      text = {};
      break;
    }
    std::size_t digits = 0;
    while (digits < text.size() && is(text[digits], internal::kHexChar)) ++digits;
    if (digits == 0 || digits > 4 || ++groups > 8) return false;
    text.remove_prefix(digits);
    if (text.empty()) break;
    if (text.front() != ':') return false;
    text.remove_prefix(1);
    if (text.empty()) return false;  // a single ':' at the end
    if (text.front() == ':') {
      if (gap) return false;
      gap = true;
      text.remove_prefix(1);
    }
  }
  return gap ? groups <= 7 : groups == 8;
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) noexcept {
  Authority authority;
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const std::size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    authority.host = text.substr(1, bracket - 1);
    if (!is_ipv6(authority.host)) return std::nullopt;
    rest = text.substr(bracket + 1);
  } else {
    const char* end = internal::skip(text.data(), text.data() + text.size(), internal::kUnreservedChar);
    const auto size = static_cast<std::size_t>(end - text.data());
    if (size == 0) return std::nullopt;  // an http URI with an empty host is invalid (RFC 9110 4.2.1)
    authority.host = text.substr(0, size);
    rest = text.substr(size);
  }
  if (rest.empty()) return authority;
  if (rest.front() != ':' || rest.size() > 6) return std::nullopt;
  const std::optional<std::uint64_t> port = base::parse_u64(rest.substr(1));
  if (!port || *port > 65535) return std::nullopt;
  authority.port = static_cast<std::uint16_t>(*port);
  return authority;
}

}  // namespace weir::http
