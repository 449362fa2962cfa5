// Value: JSON in memory. What flags hold, what contexts bring, and the tree from which definitions are read.
//
// Every value knows where it was written, when its reader does (line and column from 1, else 0), so that a
// mistake in a file can be shown in its place. Plain data; members keep the order of the text.
#ifndef WEIR_EXPERIMENT_VALUE_H_
#define WEIR_EXPERIMENT_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/result.h"

namespace weir::experiment {

struct Place {
  std::uint32_t line = 0;  // 0: not known
  std::uint32_t column = 0;
};

struct Member;

struct Value {
  enum class Kind : std::uint8_t { null, boolean, number, text, list, map };

  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<Value> items;     // list
  std::vector<Member> members;  // map
  Place at;
  Place key_at;  // of its key, when it is a member

  static Value of(bool b);
  static Value of(double n);
  static Value of(std::string_view s);
  static Value of(const char* s) { return of(std::string_view(s)); }
  static Value list();
  static Value map();

  bool is(Kind k) const noexcept { return kind == k; }
  // The member of that name; null when there is none, or this is no map. Linear.
  const Value* find(std::string_view name) const noexcept;
  Value& set(std::string_view name, Value value);  // a map's member, replaced when there
};

struct Member {
  std::string name;
  Value value;
};

// Deep, by kind and content; places do not count, nor the order of members.
bool operator==(const Value& a, const Value& b) noexcept;

// "null" "boolean" "number" "text" "list" "map"
std::string_view to_string(Value::Kind kind) noexcept;

struct JsonLimits {
  std::size_t bytes = 1024 * 1024;  // a context of a thousand attributes is about 64 KiB
  std::size_t depth = 32;           // deeper data is nobody's attribute
};

// Strict JSON (RFC 8259), UTF-8. Of members with one name the last counts, as in JavaScript. Fails with
// malformed or too_large; nothing is thrown. Places stay unknown.
Result<Value> parse_json(std::string_view text, const JsonLimits& limits = {});

// Compact; numbers as JavaScript prints them (1, 0.1, 1e+21).
void append_json(std::string& out, const Value& value);
std::string to_json(const Value& value);
// A number alone, as JavaScript prints it.
std::string number_text(double number);

// Whether the bytes are UTF-8 (no overlong forms, no surrogates: RFC 3629). Eight bytes a step while ASCII.
bool is_utf8(std::string_view text) noexcept;

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_VALUE_H_
