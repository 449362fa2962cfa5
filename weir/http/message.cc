// Names and phrases: the small dictionaries of HTTP.
//
// parse_name() is a perfect hash found by the compiler: 256 slots, one candidate, one exact comparison. Names
// of up to 24 bytes are compared as two or three overlapping words, with the case bit masked out only where
// the name has a letter, so that '\r' never passes for '-'. About 3 ns a name (BM_ParseName).
#include "weir/http/message.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "weir/base/check.h"
#include "weir/base/strings.h"

namespace weir::http {

Method parse_method(std::string_view text) noexcept {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      if (text == "PUT") return Method::put;
      break;
    case 4:
      if (text == "POST") return Method::post;
      if (text == "HEAD") return Method::head;
      break;
    case 5:
      if (text == "PATCH") return Method::patch;
      if (text == "TRACE") return Method::trace;
      break;
    case 6:
      if (text == "DELETE") return Method::delete_;
      break;
    case 7:
      if (text == "OPTIONS") return Method::options;
      if (text == "CONNECT") return Method::connect;
      break;
    default:
      break;
  }
  return Method::other;
}

std::string_view to_string(Method method) noexcept {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::head:
      return "HEAD";
    case Method::post:
      return "POST";
    case Method::put:
      return "PUT";
    case Method::delete_:
      return "DELETE";
    case Method::options:
      return "OPTIONS";
    case Method::trace:
      return "TRACE";
    case Method::patch:
      return "PATCH";
    case Method::connect:
      return "CONNECT";
    case Method::other:
      break;
  }
  return {};
}

namespace {

struct Entry {
  std::string_view text;
  Name name;
};

constexpr Entry kNames[] = {
    {"accept", Name::accept},
    {"accept-encoding", Name::accept_encoding},
    {"age", Name::age},
    {"allow", Name::allow},
    {"authorization", Name::authorization},
    {"cache-control", Name::cache_control},
    {"connection", Name::connection},
    {"content-encoding", Name::content_encoding},
    {"content-length", Name::content_length},
    {"content-type", Name::content_type},
    {"cookie", Name::cookie},
    {"date", Name::date},
    {"expect", Name::expect},
    {"forwarded", Name::forwarded},
    {"host", Name::host},
    {"idempotency-key", Name::idempotency_key},
    {"keep-alive", Name::keep_alive},
    {"location", Name::location},
    {"max-forwards", Name::max_forwards},
    {"origin", Name::origin},
    {"proxy-authenticate", Name::proxy_authenticate},
    {"proxy-authorization", Name::proxy_authorization},
    {"proxy-connection", Name::proxy_connection},
    {"proxy-status", Name::proxy_status},
    {"ratelimit", Name::ratelimit},
    {"ratelimit-policy", Name::ratelimit_policy},
    {"retry-after", Name::retry_after},
    {"server", Name::server},
    {"set-cookie", Name::set_cookie},
    {"te", Name::te},
    {"traceparent", Name::traceparent},
    {"tracestate", Name::tracestate},
    {"trailer", Name::trailer},
    {"transfer-encoding", Name::transfer_encoding},
    {"upgrade", Name::upgrade},
    {"user-agent", Name::user_agent},
    {"vary", Name::vary},
    {"via", Name::via},
    {"www-authenticate", Name::www_authenticate},
    {"x-forwarded-for", Name::x_forwarded_for},
    {"x-forwarded-host", Name::x_forwarded_host},
    {"x-forwarded-proto", Name::x_forwarded_proto},
    {"x-forwarded-port", Name::x_forwarded_port},
    {"x-forwarded-prefix", Name::x_forwarded_prefix},
    {"x-real-ip", Name::x_real_ip},
    {"x-request-id", Name::x_request_id},
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Name::x_request_id), "every Name but other");
static_assert(static_cast<unsigned>(Name::x_request_id) < 64, "NameSet has one bit a name");

constexpr std::size_t kShortest = 2;  // "te"
constexpr std::size_t kLongest = 24;  // three words; the longest name has 19

// First and last bytes of a text, overlapping when it is short, and those between when it is longer than 16.
struct Words {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t middle = 0;
};

// Little-endian on every machine: only equality matters, and both sides are made by this function.
template <std::size_t N>
constexpr std::uint64_t load(const char* at) noexcept {
  if (std::is_constant_evaluated() || std::endian::native != std::endian::little) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < N; ++i)
      word |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(at[i])) << (8 * i);
    return word;
  }
  std::uint64_t word = 0;
  std::memcpy(&word, at, N);
  return word;
}

// Only for kShortest <= size <= kLongest.
constexpr Words words_of(std::string_view text) noexcept {
  const char* at = text.data();
  const std::size_t size = text.size();
  if (size >= 8) return {load<8>(at), load<8>(at + size - 8), size > 16 ? load<8>(at + 8) : 0};
  if (size >= 4) return {load<4>(at), load<4>(at + size - 4), 0};
  return {load<2>(at), load<2>(at + size - 2), 0};
}

constexpr std::uint64_t kCaseBits = 0x2020202020202020ULL;

constexpr std::size_t slot_of(const Words& words, std::size_t size, std::uint64_t factor) noexcept {
  const std::uint64_t key = (words.first | kCaseBits) + ((words.last | kCaseBits) << 7) + size;
  return static_cast<std::size_t>((key * factor) >> 56);
}

struct Slot {
  Words words;
  Words mask;  // 0x20 where the name has a letter
  std::size_t size = 0;
  Name name = Name::other;
};

struct Table {
  std::array<Slot, std::size(kNames) + 1> slots{};  // slots[0]: no such name
  std::array<std::uint8_t, 256> index{};
  std::uint64_t factor = 0;
};

constexpr std::uint64_t letter_bits(std::uint64_t word) noexcept {
  std::uint64_t mask = 0;
  for (unsigned i = 0; i < 64; i += 8) {
    const auto c = static_cast<char>((word >> i) & 0xff);
    if (c >= 'a' && c <= 'z') mask |= std::uint64_t{0x20} << i;
  }
  return mask;
}

constexpr bool places_all(Table& table, std::uint64_t factor) {
  table.index.fill(0);
  for (std::size_t i = 1; i < table.slots.size(); ++i) {
    std::uint8_t& place = table.index[slot_of(table.slots[i].words, table.slots[i].size, factor)];
    if (place != 0) return false;
    place = static_cast<std::uint8_t>(i);
  }
  return true;
}

constexpr Table make_table() {
  Table table;
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    const Words words = words_of(kNames[i].text);
    const Words mask{letter_bits(words.first), letter_bits(words.last), letter_bits(words.middle)};
    table.slots[i + 1] = {words, mask, kNames[i].text.size(), kNames[i].name};
  }
  std::uint64_t factor = 0x9e3779b97f4a7c15ULL;  // any odd number; stepped until no two names share a slot
  for (int tries = 0; tries < 4000;
       ++tries, factor = factor * 6364136223846793005ULL + 1442695040888963406ULL) {
    if (places_all(table, factor | 1)) {
      table.factor = factor | 1;
      return table;
    }
  }
  return table;  // factor 0: the static_assert below stops the build
}

constexpr Table kTable = make_table();
static_assert(kTable.factor != 0, "no multiplier separates the names: widen the index");

}  // namespace

Name parse_name(std::string_view text) noexcept {
  if (text.size() < kShortest || text.size() > kLongest) return Name::other;
  const Words words = words_of(text);
  const Slot& slot = kTable.slots[kTable.index[slot_of(words, text.size(), kTable.factor)]];
  const bool same = slot.size == text.size() && (words.first | slot.mask.first) == slot.words.first &&
                    (words.last | slot.mask.last) == slot.words.last &&
                    (words.middle | slot.mask.middle) == slot.words.middle;
  return same ? slot.name : Name::other;
}

// Doubling, from what most heads need.
void Fields::grow() {
  constexpr std::size_t kFirst = 16;
  const std::size_t capacity = std::max(kFirst, 2 * capacity_);
  auto larger = std::make_unique<Field[]>(capacity);
  std::copy(begin(), end(), larger.get());
  fields_ = std::move(larger);
  capacity_ = capacity;
}

const Field* Fields::find(Name name) const noexcept {
  if (!has(name)) return nullptr;
  for (const Field& field : *this)
    if (field.id == name) return &field;
  return nullptr;
}

const Field* Fields::find(std::string_view name) const noexcept {
  const Name id = parse_name(name);
  if (id != Name::other) return find(id);
  if (!has(Name::other)) return nullptr;
  for (const Field& field : *this)
    if (field.id == Name::other && base::iequals(field.name, name)) return &field;
  return nullptr;
}

std::size_t Fields::count(Name name) const noexcept {
  if (!has(name)) return 0;
  std::size_t n = 0;
  for (const Field& field : *this) n += field.id == name ? 1 : 0;
  return n;
}

void RequestHead::clear() noexcept {
  method = Method::other;
  method_text = target = path = query = authority = {};
  has_query = false;
  version_minor = 1;
  fields.clear();
  body = BodyKind::none;
  content_length = 0;
  keep_alive = true;
  expect_continue = false;
}

void ResponseHead::clear() noexcept {
  status = 0;
  reason = {};
  version_minor = 1;
  fields.clear();
  body = BodyKind::none;
  content_length = 0;
  said_length.reset();
  keep_alive = true;
}

// The IANA registry of status codes, as of RFC 9110.
// clang-format off
std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return {};
  }
}
// clang-format on

}  // namespace weir::http
