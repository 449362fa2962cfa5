// Json: one JSON text (RFC 8259), read strictly, as a tree of values.
//
// For what strangers sign: token headers, claims, key sets, passports. Strict means: UTF-8, one value and nothing
// behind it, a bounded depth, and no name twice in an object, because two readers that pick different ones of two
// equal names see two different users. Integers keep all 64 bits and never pass through a double.
//
//   Result<Json> claims = Json::parse(payload, limits);
//   const Json* sub = claims->find("sub");
//   if (sub != nullptr && sub->is_string()) greet(sub->text());
//
// A value type; const access from any thread. Parsing allocates the tree; looking up is linear in the members.
#ifndef WEIR_PASSPORT_JSON_H_
#define WEIR_PASSPORT_JSON_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "weir/base/result.h"

namespace weir::passport {

class Json {
 public:
  struct Limits {
    std::size_t bytes = 16 * 1024;  // two tokens of 8 KiB would fit; key sets raise it
    std::size_t depth = 8;          // deeper nesting than any claim in use
  };
  struct Member;
  using Array = std::vector<Json>;
  using Object = std::vector<Member>;  // in the order of the text

  Json() noexcept = default;  // null
  explicit Json(bool value) : value_(value) {}
  explicit Json(std::int64_t value) : value_(value) {}
  explicit Json(std::uint64_t value) : value_(value) {}
  explicit Json(double value) : value_(value) {}
  explicit Json(std::string value) : value_(std::move(value)) {}
  explicit Json(std::string_view value) : value_(std::string(value)) {}
  explicit Json(const char* value) : value_(std::string(value)) {}
  explicit Json(Array value) : value_(std::move(value)) {}
  explicit Json(Object value);

  // Errors: malformed (grammar, UTF-8, a name twice, an integer beyond 64 bits), too_large (bytes, depth).
  static Result<Json> parse(std::string_view text, Limits limits);
  static Result<Json> parse(std::string_view text) { return parse(text, Limits()); }

  bool is_null() const noexcept { return value_.index() == 0; }
  bool is_bool() const noexcept { return std::holds_alternative<bool>(value_); }
  bool is_string() const noexcept { return std::holds_alternative<std::string>(value_); }
  bool is_array() const noexcept { return std::holds_alternative<Array>(value_); }
  bool is_object() const noexcept { return std::holds_alternative<Object>(value_); }
  bool is_number() const noexcept { return value_.index() >= 2 && value_.index() <= 4; }

  // The value as that type; empty for another type.
  std::string_view text() const noexcept;
  bool boolean() const noexcept;
  std::span<const Json> items() const noexcept;
  std::span<const Member> members() const noexcept;
  // The number as a double; nothing for another type.
  std::optional<double> number() const noexcept;
  // The number when it is an integer that fits.
  std::optional<std::int64_t> integer() const noexcept;

  // The member of that name; null when absent or when this is no object.
  const Json* find(std::string_view name) const noexcept;
  // Down a path of names.
  const Json* at(std::span<const std::string> path) const noexcept;
  // Adds or replaces a member; this must be an object or null, which becomes one.
  void set(std::string_view name, Json value);

  // Compact JSON, members in order.
  void append_to(std::string& out) const;
  std::string to_text() const;
  // A scalar as a bare text ("abc", "12", "true"); nothing for null, arrays and objects. What limits, templates and
  // attributes see of a member.
  std::optional<std::string> scalar_text() const;
  // About what the tree takes in memory, for caches with a bound.
  std::size_t footprint() const noexcept;

  friend bool operator==(const Json& a, const Json& b);

 private:
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> value_;
};

struct Json::Member {
  std::string name;
  Json value;
  friend bool operator==(const Member& a, const Member& b) { return a.name == b.name && a.value == b.value; }
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_JSON_H_
