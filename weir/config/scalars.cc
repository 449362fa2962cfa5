// From the text of a scalar to its value, and from a misspelt one to the spelling that would do.
//
//   (1) One spelling for a value: no signs, no leading zeros, no spaces, no decimals, units as the
//       contract writes them.
//   (2) A suggestion fits: what it says is accepted by the same function.
//   (3) Paths of patterns are in the canonical form that requests are brought into before routing, since
//       a pattern in any other would never match.
#include "weir/config/internal/scalars.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "weir/base/ip.h"
#include "weir/base/strings.h"

namespace weir::config::internal {
namespace {

using base::ascii_lower;
using base::is_alpha;
using base::is_digit;
using base::parse_u64;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kDurationUnits{Unit{"ms", 1'000'000ULL}, Unit{"s", 1'000'000'000ULL},
                                    Unit{"m", 60'000'000'000ULL}, Unit{"h", 3'600'000'000'000ULL},
                                    Unit{"d", 86'400'000'000'000ULL}};
constexpr std::array kSizeUnits{Unit{"", 1}, Unit{"KiB", 1ULL << 10}, Unit{"MiB", 1ULL << 20},
                                Unit{"GiB", 1ULL << 30}};
constexpr std::array kRateUnits{Unit{"s", 1'000'000'000ULL}, Unit{"min", 60'000'000'000ULL},
                                Unit{"h", 3'600'000'000'000ULL}, Unit{"d", 86'400'000'000'000ULL}};

struct Spelling {
  std::string_view theirs;  // lower case
  std::string_view ours;
};

constexpr std::array kDurationSpellings{
    Spelling{"msec", "ms"},  Spelling{"millis", "ms"}, Spelling{"milliseconds", "ms"},
    Spelling{"", "s"},       Spelling{"sec", "s"},     Spelling{"secs", "s"},
    Spelling{"second", "s"}, Spelling{"seconds", "s"}, Spelling{"min", "m"},
    Spelling{"mins", "m"},   Spelling{"minute", "m"},  Spelling{"minutes", "m"},
    Spelling{"hour", "h"},   Spelling{"hours", "h"},   Spelling{"hr", "h"},
    Spelling{"day", "d"},    Spelling{"days", "d"},    Spelling{"ms", "ms"},
    Spelling{"s", "s"},      Spelling{"m", "m"},       Spelling{"h", "h"},
    Spelling{"d", "d"}};
constexpr std::array kSizeSpellings{Spelling{"b", ""},     Spelling{"bytes", ""},  Spelling{"k", "KiB"},
                                    Spelling{"kb", "KiB"}, Spelling{"kib", "KiB"}, Spelling{"m", "MiB"},
                                    Spelling{"mb", "MiB"}, Spelling{"mib", "MiB"}, Spelling{"g", "GiB"},
                                    Spelling{"gb", "GiB"}, Spelling{"gib", "GiB"}};
constexpr std::array kRateSpellings{
    Spelling{"sec", "s"},   Spelling{"second", "s"}, Spelling{"m", "min"}, Spelling{"minute", "min"},
    Spelling{"hour", "h"},  Spelling{"hr", "h"},     Spelling{"day", "d"}, Spelling{"s", "s"},
    Spelling{"min", "min"}, Spelling{"h", "h"},      Spelling{"d", "d"}};

template <class Table>
std::optional<std::string_view> respell(const Table& table, std::string_view unit) {
  const std::string lower = base::to_lower(unit);
  for (const Spelling& spelling : table)
    if (spelling.theirs == lower) return spelling.ours;
  return std::nullopt;
}

std::size_t digits_at_front(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n])) ++n;
  return n;
}

// Digits and a unit of the table, nothing between. Nothing on overflow.
template <class Table>
std::optional<std::uint64_t> with_unit(const Table& units, std::string_view text) {
  const std::size_t digits = digits_at_front(text);
  const auto count = parse_u64(text.substr(0, digits));
  if (!count) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.name != text.substr(digits)) continue;
    if (*count > std::numeric_limits<std::int64_t>::max() / unit.factor) return std::nullopt;
    return *count * unit.factor;
  }
  return std::nullopt;
}

// "30 seconds" -> "30s", when the unit is a known misspelling.
template <class Table>
std::string respelled(const Table& table, std::string_view text) {
  const std::size_t digits = digits_at_front(text);
  if (digits == 0) return {};
  const auto unit = respell(table, base::trim(text.substr(digits)));
  return unit ? std::string(text.substr(0, digits)).append(*unit) : std::string{};
}

template <class Table>
std::string shortest(const Table& units, std::uint64_t value) {
  const Unit* best = &units.front();
  for (const Unit& unit : units)
    if (value % unit.factor == 0) best = &unit;
  if (value == 0) best = &units[0];
  return std::to_string(value / best->factor).append(best->name);
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;  // RFC 1035 2.3.4
  for (std::string_view label : base::split(text, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    for (char c : label)
      if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '_') return false;  // `_`: names of containers
  }
  // A last label of digits alone is a mistyped IPv4 address (WHATWG URL, "ends in a number").
  const std::string_view last = base::split(text, '.').back();
  return digits_at_front(last) != last.size();
}

// "host:port" or "[v6]:port" cut in two; `port` without its colon, absent when there is none.
struct Cut {
  std::string_view host;
  std::optional<std::string_view> port;
  bool bracketed = false;
};

std::optional<Cut> cut_address(std::string_view text) {
  Cut cut;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    cut.host = text.substr(1, end - 1);
    cut.bracketed = true;
    text.remove_prefix(end + 1);
    if (text.empty()) return cut;
    if (text.front() != ':') return std::nullopt;
    cut.port = text.substr(1);
    return cut;
  }
  const std::size_t colon = text.find(':');
  cut.host = text.substr(0, colon);
  if (colon != std::string_view::npos) cut.port = text.substr(colon + 1);
  return cut;
}

std::optional<std::uint16_t> parse_port(std::string_view text, std::uint64_t min) {
  if (text.size() > 5) return std::nullopt;
  const auto port = parse_u64(text);
  if (!port || *port < min || *port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*port);
}

bool is_ip(std::string_view host, bool v6) {
  const auto ip = base::IpAddress::parse(host);
  // By spelling, not by value: a mapped address is written with colons and parses as IPv4.
  return ip.has_value() && v6 == (host.find(':') != std::string_view::npos);
}

}  // namespace

Parsed<std::uint64_t> parse_number(std::string_view text) {
  if (const auto number = parse_u64(text)) {
    if (text.size() == 1 || text.front() != '0') return {number, {}, {}};
    return {std::nullopt, std::to_string(*number), {}};  // YAML 1.1 reads 010 as eight
  }
  std::string digits;
  for (char c : text) {
    if (c == '_' || c == ',' || c == '\'' || c == ' ') continue;
    digits += c;
  }
  return {std::nullopt, parse_u64(digits) && digits != text ? digits : std::string{}, {}};
}

Parsed<double> parse_percent(std::string_view text) {
  const bool marked = text.ends_with('%');
  const std::string_view number = marked ? text.substr(0, text.size() - 1) : text;
  const std::size_t dot = number.find('.');
  const bool plain = number.size() <= 16 && digits_at_front(number) == std::min(dot, number.size()) &&
                     digits_at_front(number) > 0 &&
                     (dot == std::string_view::npos || parse_u64(number.substr(dot + 1)).has_value());
  double percent = 0;
  if (!plain || std::from_chars(number.data(), number.data() + number.size(), percent).ec != std::errc{})
    return {};
  if (!marked) return {};  // 0.5 may mean a half or half a percent
  if (percent > 100) return {};
  return {percent / 100, {}, {}};
}

Parsed<Duration> parse_duration(std::string_view text) {
  if (const auto ns = with_unit(kDurationUnits, text))
    return {Duration{static_cast<std::int64_t>(*ns)}, {}, {}};
  std::string suggestion = respelled(kDurationSpellings, text);
  // "1.5s": whole numbers only, so a smaller unit is what is meant.
  const std::size_t whole = digits_at_front(text);
  if (suggestion.empty() && whole > 0 && whole < 10 && text.substr(whole).starts_with('.')) {
    const std::size_t part = digits_at_front(text.substr(whole + 1));
    const auto unit = with_unit(kDurationUnits, "1" + std::string(text.substr(whole + 1 + part)));
    if (unit && part > 0 && part <= 3 && *unit % 1000 == 0) {
      std::uint64_t thousandths = *parse_u64(text.substr(0, whole)) * 1000;
      const std::string padded = std::string(text.substr(whole + 1, part)) + std::string(3 - part, '0');
      thousandths += *parse_u64(padded);
      const std::uint64_t step = *unit / 1000;
      if (step % 1'000'000 == 0 && thousandths < std::numeric_limits<std::int64_t>::max() / step)
        suggestion = duration_text(Duration{static_cast<std::int64_t>(thousandths * step)});
    }
  }
  return {std::nullopt, std::move(suggestion), {}};
}

Parsed<std::uint64_t> parse_size(std::string_view text) {
  if (const auto bytes = with_unit(kSizeUnits, text)) return {bytes, {}, {}};
  return {std::nullopt, respelled(kSizeSpellings, text), {}};
}

Parsed<Rate> parse_rate(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const auto count = parse_u64(text.substr(0, slash));
  const std::string_view unit = text.substr(slash + 1);
  if (count) {
    for (const Unit& known : kRateUnits)
      if (known.name == unit)
        return {Rate{*count, Duration{static_cast<std::int64_t>(known.factor)}}, {}, {}};
  }
  const std::string_view digits = base::trim(text.substr(0, slash));
  const auto ours = respell(kRateSpellings, base::trim(unit));
  if (!parse_u64(digits) || !ours) return {};
  return {std::nullopt, std::string(digits).append("/").append(*ours), {}};
}

Parsed<HostPort> parse_listen(std::string_view text) {
  if (parse_port(text, 0)) return {std::nullopt, "127.0.0.1:" + std::string(text), {}};
  const auto cut = cut_address(text);
  if (!cut) return {};
  const auto port = cut->port ? parse_port(*cut->port, 0) : std::nullopt;
  const bool any = cut->host.empty() && !cut->bracketed;
  if (port && (any || is_ip(cut->host, cut->bracketed))) {
    HostPort address;
    address.host = cut->host;
    address.port = *port;
    return {address, {}, {}};
  }
  if (port && cut->host == "localhost") return {std::nullopt, "127.0.0.1:" + std::to_string(*port), {}};
  if (port && cut->host == "*") return {std::nullopt, ":" + std::to_string(*port), {}};
  return {};
}

Parsed<HostPort> parse_url(std::string_view text) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  const std::string_view kScheme = text.starts_with(kTls) ? kTls : kPlain;
  if (!text.starts_with(kScheme)) {
    if (text.find("://") != std::string_view::npos) return {};
    const std::string with_scheme = std::string(kPlain).append(text);
    return {std::nullopt, parse_url(with_scheme) ? with_scheme : std::string{}, {}};
  }
  const std::string_view rest = text.substr(kScheme.size());
  const std::size_t end = rest.find_first_of("/?#@");
  if (end != std::string_view::npos) {
    // A path, a query or a user has no place here; without it the rest may be what was meant.
    const std::string alone(text.substr(0, kScheme.size() + end));
    return {std::nullopt, rest[end] != '@' && parse_url(alone) ? alone : std::string{}, {}};
  }
  const auto cut = cut_address(rest);
  if (!cut) return {};
  const auto port =
      cut->port ? parse_port(*cut->port, 1) : std::optional<std::uint16_t>(kScheme == kTls ? 443 : 80);
  if (!port || !(is_ip(cut->host, cut->bracketed) || (!cut->bracketed && is_host_name(cut->host)))) return {};
  HostPort address;
  address.host = base::to_lower(cut->host);
  address.port = *port;
  return {address, {}, {}};
}

namespace {

constexpr bool is_unreserved(char c) {  // RFC 3986 2.3
  return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}
constexpr bool is_path_char(char c) {  // pchar without `%` and `*` (RFC 3986 3.3)
  return is_unreserved(c) || std::string_view("!$&'()+,;=:@").find(c) != std::string_view::npos;
}
constexpr int hex_value(char c) {
  return is_digit(c)                                      ? c - '0'
         : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10
                                                          : -1;
}

// Literal text of one segment in its canonical form; nothing when a byte cannot stand in a path at all.
std::optional<std::string> canonical_segment(std::string_view segment) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    auto byte = static_cast<unsigned char>(segment[i]);
    const bool escaped = byte == '%';
    if (escaped) {
      if (i + 2 >= segment.size() || hex_value(segment[i + 1]) < 0 || hex_value(segment[i + 2]) < 0)
        return std::nullopt;
      byte = static_cast<unsigned char>(hex_value(segment[i + 1]) * 16 + hex_value(segment[i + 2]));
      i += 2;
    }
    const char c = static_cast<char>(byte);
    if (byte < 0x20 || byte == 0x7f || c == '\\') return std::nullopt;
    if (escaped ? is_unreserved(c) : is_path_char(c)) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

bool is_capture(std::string_view segment) {
  if (segment.size() < 3 || !segment.starts_with('{') || !segment.ends_with('}')) return false;
  const std::string_view name = segment.substr(1, segment.size() - 2);
  return !is_digit(name.front()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '_'; });
}

// The pattern in canonical form; nothing when it cannot be one.
std::optional<std::string> canonical_pattern(std::string_view text, bool captures) {
  std::string out;
  std::vector<std::string_view> names;
  const std::vector<std::string_view> segments = base::split(text.substr(1), '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::string_view segment = segments[i];
    const bool last = i + 1 == segments.size();
    if (segment.empty() && !last)
      continue;  // "//" is merged before routing, so such a pattern could never match
    out += '/';
    if (segment == "*" && last) {
      out += '*';
    } else if (captures && is_capture(segment)) {
      if (std::find(names.begin(), names.end(), segment) != names.end()) return std::nullopt;
      names.push_back(segment);
      out += segment;
    } else {
      const auto literal = canonical_segment(segment);
      if (!literal || *literal == "." || *literal == ".." || literal->find("%2A") != std::string::npos ||
          literal->find("%7B") != std::string::npos)
        return std::nullopt;
      out += *literal;
    }
  }
  return out;
}

constexpr std::size_t kPatternMax = 1024;

}  // namespace

Parsed<std::string> parse_pattern(std::string_view text) {
  if (text.empty() || text.size() > kPatternMax) return {};
  if (text.front() != '/') {
    if (text.find("://") != std::string_view::npos) return {};
    Parsed<std::string> with_slash = parse_pattern("/" + std::string(text));
    return {std::nullopt, with_slash ? *with_slash.value : with_slash.suggestion, {}};
  }
  if (text.find_first_of("?#") != std::string_view::npos) return {};  // a query is no part of a path
  const auto canonical = canonical_pattern(text, true);
  if (!canonical) return {};
  if (*canonical != text) return {std::nullopt, *canonical, {}};
  return {std::string(text), {}, {}};
}

Parsed<std::string> parse_rewrite(std::string_view text) {
  if (text.empty() || text.size() > kPatternMax || text.front() != '/') return {};
  const auto canonical = canonical_pattern(text, false);
  if (!canonical) return {};
  if (!canonical->ends_with("/*"))
    return {std::nullopt, *canonical + (canonical->ends_with('/') ? "*" : "/*"), {}};
  if (*canonical != text) return {std::nullopt, *canonical, {}};
  return {std::string(text), {}, {}};
}

Parsed<std::string> parse_method(std::string_view text) {
  if (text == "CONNECT") return {std::nullopt, {}, "method CONNECT"};
  // Methods are case-sensitive tokens (RFC 9110 9.1); the registered ones are capitals, `-` and `_`.
  std::string upper(text);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  const bool fits = !upper.empty() && upper.size() <= 32 && is_alpha(upper.front()) &&
                    std::all_of(upper.begin(), upper.end(),
                                [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_'; });
  if (!fits) return {};
  if (upper != text) return {std::nullopt, std::move(upper), {}};
  return {std::move(upper), {}, {}};
}

Parsed<std::string> parse_host(std::string_view text, bool wildcard) {
  std::string_view name = text;
  if (wildcard && name.starts_with("*.")) name.remove_prefix(2);
  if (is_host_name(name) || is_ip(text, false)) return {base::to_lower(text), {}, {}};
  if (text.starts_with('[') && text.ends_with(']') && is_ip(text.substr(1, text.size() - 2), true))
    return {base::to_lower(text), {}, {}};
  const std::size_t colon = name.find(':');
  if (colon != std::string_view::npos && is_host_name(name.substr(0, colon)) &&
      parse_u64(name.substr(colon + 1)))
    return {std::nullopt, std::string(text.substr(0, text.find(':'))), {}};
  return {};
}

namespace {

struct KeyWord {
  std::string_view word;
  KeyPart::Kind kind;
};
constexpr std::array kPlainKeys{
    KeyWord{"global", KeyPart::Kind::global}, KeyWord{"client_ip", KeyPart::Kind::client_ip},
    KeyWord{"path", KeyPart::Kind::path},     KeyWord{"method", KeyPart::Kind::method},
    KeyWord{"host", KeyPart::Kind::host},     KeyWord{"route", KeyPart::Kind::route}};
constexpr std::array kNamedKeys{KeyWord{"header:", KeyPart::Kind::header},
                                KeyWord{"cookie:", KeyPart::Kind::cookie},
                                KeyWord{"query:", KeyPart::Kind::query}};

bool is_key_name(KeyPart::Kind kind, std::string_view name) {
  if (kind != KeyPart::Kind::query) return is_token(name) && name.size() <= 256;
  return !name.empty() && name.size() <= 256 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// "headr:X-Key" -> "header:X-Key", "cookie" -> "cookie:NAME", "ip" -> "client_ip".
std::string suggested_key(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    static constexpr std::array<std::string_view, 10> kWords{
        "global", "client_ip", "path", "method", "host", "route", "ip", "header", "cookie", "query"};
    const std::string_view near = base::closest(text, kWords);
    if (near == "ip") return "client_ip";
    const bool named = near == "header" || near == "cookie" || near == "query";
    return std::string(near).append(named ? ":NAME" : "");
  }
  static constexpr std::array<std::string_view, 3> kNamed{"header", "cookie", "query"};
  const std::string_view near = base::closest(text.substr(0, colon), kNamed);
  if (near.empty()) return {};
  const std::string_view name = text.substr(colon + 1);
  const auto kind =
      near == "query" ? KeyPart::Kind::query : KeyPart::Kind::header;  // a cookie's name is a token, too
  return std::string(near) + ":" + std::string(is_key_name(kind, name) ? name : "NAME");
}

}  // namespace

Parsed<KeyPart> parse_limit_key(std::string_view text) {
  KeyPart part;
  for (const KeyWord& key : kPlainKeys) {
    if (key.word != text) continue;
    part.kind = key.kind;
    return {part, {}, {}};
  }
  for (const KeyWord& key : kNamedKeys) {
    if (!text.starts_with(key.word) || !is_key_name(key.kind, text.substr(key.word.size()))) continue;
    part.kind = key.kind;
    part.name = text.substr(key.word.size());
    return {part, {}, {}};
  }
  for (const auto& [word, kind] : {std::pair{std::string_view("passport."), KeyPart::Kind::passport},
                                   std::pair{std::string_view("jwt."), KeyPart::Kind::jwt}}) {
    if (!text.starts_with(word)) continue;
    const std::string_view name = text.substr(word.size());
    if (name.empty() || !std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f; }))
      break;
    part.kind = kind;
    part.name = name;
    return {part, {}, {}};
  }
  return {std::nullopt, suggested_key(text), {}};
}

Parsed<std::string> parse_failure(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kKinds{"connect", "timeout", "reset", "malformed"};
  const std::string_view item = text.starts_with('!') ? text.substr(1) : text;
  const auto kind = std::find(kKinds.begin(), kKinds.end(), item) != kKinds.end();
  const bool first = item.size() == 3 && item[0] >= '1' && item[0] <= '5';
  const bool status = first && is_digit(item[1]) && is_digit(item[2]);
  const bool group = first && item.ends_with("xx");
  if (kind || status || group) return {std::string(text), {}, {}};
  const std::string_view near = base::closest(item, kKinds);
  if (first && base::to_lower(item).ends_with("xx")) return {std::nullopt, base::to_lower(text), {}};
  return {std::nullopt, std::string(near), {}};
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alpha(c) || is_digit(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_header_value(std::string_view text) noexcept {
  if (text != base::trim(text)) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || (c >= 0x20 && c < 0x7f); });
}

bool is_name(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alpha(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_own_header(std::string_view name) noexcept {
  static constexpr std::array<std::string_view, 11> kOwn{"connection",
                                                         "keep-alive",
                                                         "proxy-connection",
                                                         "te",
                                                         "trailer",
                                                         "transfer-encoding",
                                                         "upgrade",  // RFC 9110 7.6.1
                                                         "content-length",
                                                         "host",
                                                         "via",
                                                         "x-request-id"};
  return std::any_of(kOwn.begin(), kOwn.end(),
                     [&](std::string_view own) { return base::iequals(own, name); });
}

std::string duration_text(Duration duration) {
  return shortest(kDurationUnits, static_cast<std::uint64_t>(duration.count()));
}
std::string size_text(std::uint64_t bytes) { return shortest(kSizeUnits, bytes); }

}  // namespace weir::config::internal
