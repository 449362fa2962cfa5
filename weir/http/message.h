// The parsed model of an HTTP message: what the parsers fill, the stages read and the serializer writes.
//
// Everything is a view. The bytes belong to the buffer that was parsed (or, for fields that weir adds, to
// whoever added them) and must stay where they are for as long as the head is used. Nothing here allocates
// per message: `Fields` keeps its capacity between messages.
#ifndef WEIR_HTTP_MESSAGE_H_
#define WEIR_HTTP_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace weir::http {

enum class Method : std::uint8_t { get, head, post, put, delete_, options, trace, patch, connect, other };

// Case-sensitive (RFC 9110 9.1); an unknown method is `other` and keeps its text.
Method parse_method(std::string_view text) noexcept;
// Upper-case name; "" for other.
std::string_view to_string(Method method) noexcept;
// Repeating the request has no further effect (RFC 9110 9.2.2).
constexpr bool is_idempotent(Method method) noexcept {
  return method != Method::post && method != Method::patch && method != Method::connect &&
         method != Method::other;
}

// Field names that weir treats by meaning. Everything else is `other`. Fewer than 64, for NameSet.
// clang-format off
enum class Name : std::uint8_t {
  other,
  accept, accept_encoding, age, allow, authorization, cache_control, connection, content_encoding,
  content_length, content_type, cookie, date, expect, forwarded, host, idempotency_key, keep_alive, location,
  max_forwards, origin, proxy_authenticate, proxy_authorization, proxy_connection, proxy_status, ratelimit,
  ratelimit_policy, retry_after, server, set_cookie, te, traceparent, tracestate, trailer, transfer_encoding,
  upgrade, user_agent, vary, via, www_authenticate, x_forwarded_for, x_forwarded_host, x_forwarded_proto,
  x_forwarded_port, x_forwarded_prefix, x_real_ip, x_request_id,
};
// clang-format on

// A set of names; made by the compiler where it is constant, so that asking is one instruction or two.
class NameSet {
 public:
  constexpr NameSet() = default;
  constexpr NameSet(std::initializer_list<Name> names) {
    for (const Name name : names) add(name);
  }
  constexpr void add(Name name) noexcept { bits_ |= std::uint64_t{1} << static_cast<unsigned>(name); }
  constexpr bool contains(Name name) const noexcept {
    return (bits_ >> static_cast<unsigned>(name) & 1) != 0;
  }
  constexpr bool shares_with(NameSet other) const noexcept { return (bits_ & other.bits_) != 0; }

 private:
  std::uint64_t bits_ = 0;
};

// Any case. `other` when it is none of the above.
Name parse_name(std::string_view text) noexcept;

struct Field {
  std::string_view name;   // as received
  std::string_view value;  // without surrounding white space
  Name id = Name::other;
  // Set by the parsers: not to be forwarded. The fields of RFC 9110 7.6.1 (Connection, Keep-Alive, TE,
  // Trailer, Transfer-Encoding, Upgrade, Proxy-Connection), Proxy-Authorization/-Authenticate, and every
  // field that the message's own Connection nominates, except those a sender may not take away: Host,
  // Content-Length, Authorization, Cookie, Content-Type, Cache-Control and Via stay (Connection must not name
  // end-to-end fields). Also names that CGI-like servers would read as Content-Length or Transfer-Encoding
  // ("Content_Length").
  bool hop_by_hop = false;
};

// The header section, in order of arrival. Lookups by Name are O(1) when absent, else O(fields).
class Fields {
 public:
  Fields() = default;
  Fields(const Fields& other) : seen_(other.seen_) {
    for (const Field& field : other) add(field);
  }
  Fields(Fields&& other) noexcept { swap(other); }
  Fields& operator=(Fields other) noexcept { return swap(other), *this; }
  void swap(Fields& other) noexcept {
    fields_.swap(other.fields_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(seen_, other.seen_);
  }

  void clear() noexcept { size_ = 0, seen_ = {}; }
  void add(Field field) {
    if (size_ == capacity_) [[unlikely]]
      grow();
    fields_[size_++] = field;
    seen_.add(field.id);
  }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const Field* begin() const noexcept { return fields_.get(); }
  const Field* end() const noexcept { return fields_.get() + size_; }
  Field* begin() noexcept { return fields_.get(); }
  Field* end() noexcept { return fields_.get() + size_; }
  const Field& operator[](std::size_t i) const noexcept { return fields_[i]; }

  bool has(Name name) const noexcept { return seen_.contains(name); }
  bool has_any(NameSet names) const noexcept { return seen_.shares_with(names); }
  // The first of that name, or null.
  const Field* find(Name name) const noexcept;
  // The first of that name in any case, known or unknown.
  const Field* find(std::string_view name) const noexcept;
  // Value of the first, or "".
  std::string_view value(Name name) const noexcept {
    const Field* field = find(name);
    return field == nullptr ? std::string_view{} : field->value;
  }
  std::size_t count(Name name) const noexcept;
  // Removes every field for which `drop(field)` holds, keeping the order of the rest.
  template <class Drop>
  void remove_if(Drop&& drop) {
    Field* to = begin();
    NameSet seen;
    for (Field* field = begin(); field != end(); ++field) {
      if (drop(std::as_const(*field))) continue;
      if (to != field) *to = *field;
      seen.add(field->id);
      ++to;
    }
    size_ = static_cast<std::size_t>(to - begin());
    seen_ = seen;
  }

 private:
  void grow();

  // An array that is only ever added to at its end: the compiler puts add() where it is called, which a vector's
  // push_back is too large for, and a request adds some twenty fields.
  std::unique_ptr<Field[]> fields_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  NameSet seen_;
};

enum class BodyKind : std::uint8_t {
  none,         // no body at all (no framing, or a status that forbids one)
  length,       // Content-Length, may be 0
  chunked,      // Transfer-Encoding: chunked
  until_close,  // responses only: ends with the connection
};

struct RequestHead {
  Method method = Method::other;
  std::string_view method_text;
  std::string_view target;     // as received
  std::string_view path;       // raw path: starts with '/', or is "*" for OPTIONS *
  std::string_view query;      // after '?', without it
  bool has_query = false;      // "/a?" has an empty query, "/a" none
  std::string_view authority;  // Host, or the authority of an absolute-form target (they must agree)
  std::uint8_t version_minor = 1;
  Fields fields;
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;  // when body == length
  bool keep_alive = true;            // what the version and Connection ask for
  bool expect_continue = false;      // Expect: 100-continue on HTTP/1.1 with a body to come

  void clear() noexcept;
};

struct ResponseHead {
  int status = 0;
  std::string_view reason;
  std::uint8_t version_minor = 1;
  Fields fields;
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;          // when body == length
  std::optional<std::uint64_t> said_length;  // Content-Length as received, also without a body (HEAD, 304)
  bool keep_alive = true;                    // the connection may be used again after this message

  void clear() noexcept;
};

// "Not Found" for 404; "" for a status without a registered phrase.
std::string_view reason_phrase(int status) noexcept;

}  // namespace weir::http

#endif  // WEIR_HTTP_MESSAGE_H_
