#include "weir/experiment/internal/mongrule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "weir/base/strings.h"
#include "weir/experiment/internal/scalars.h"

namespace weir::experiment::internal {
namespace {

using Kind = Value::Kind;

constexpr int kMaxNesting = 64;  // the JSON reader lets less through; a program's own tree may be anything
const Value kNull;

// "a.b.c" through maps, and through lists by index; null where the path ends early.
const Value& at_path(const Value& root, std::string_view path) {
  const Value* at = &root;
  for (std::string_view part : base::split(path, '.')) {
    const Value* next = nullptr;
    if (at->is(Kind::map)) next = at->find(part);
    if (at->is(Kind::list)) {
      const auto index = base::parse_u64(part);
      if (index && *index < at->items.size()) next = &at->items[*index];
    }
    if (next == nullptr) return kNull;
    at = next;
  }
  return *at;
}

double js_number(const Value& value) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  switch (value.kind) {
    case Kind::null:
      return 0;
    case Kind::boolean:
      return value.boolean ? 1 : 0;
    case Kind::number:
      return value.number;
    case Kind::map:
      return kNan;
    case Kind::text:
    case Kind::list: {
      const std::string text = js_text(value);
      std::string_view view = text;
      while (!view.empty() && static_cast<unsigned char>(view.front()) <= ' ') view.remove_prefix(1);
      while (!view.empty() && static_cast<unsigned char>(view.back()) <= ' ') view.remove_suffix(1);
      if (view.empty()) return 0;
      return parse_number(view).value_or(kNan);
    }
  }
  return kNan;
}

// JavaScript's ===: of maps and lists never true, since they are two objects.
bool identical(const Value& a, const Value& b) {
  return a.kind == b.kind && !a.is(Kind::list) && !a.is(Kind::map) && a == b;
}

bool identical(const Value& a, const Value& b, bool insensitive) {
  if (insensitive && a.is(Kind::text) && b.is(Kind::text))
    return base::to_lower(a.text) == base::to_lower(b.text);
  return identical(a, b);
}

// Order of two values as < and > see it: strings by their characters, anything else as numbers.
bool less(const Value& a, const Value& b) {
  if (a.is(Kind::text) && b.is(Kind::text)) return a.text < b.text;
  return js_number(a) < js_number(b);
}
bool less_or_equal(const Value& a, const Value& b) {
  if (a.is(Kind::text) && b.is(Kind::text)) return a.text <= b.text;
  return js_number(a) <= js_number(b);
}

bool is_in(const Value& actual, const Value& expected, bool insensitive) {
  const auto listed = [&](const Value& one) {
    return std::any_of(expected.items.begin(), expected.items.end(),
                       [&](const Value& item) { return identical(one, item, insensitive); });
  };
  if (actual.is(Kind::list)) return std::any_of(actual.items.begin(), actual.items.end(), listed);
  return listed(actual);
}

bool is_operators(const Value& value) {
  return value.is(Kind::map) && !value.members.empty() &&
         std::all_of(value.members.begin(), value.members.end(),
                     [](const Member& member) { return member.name.starts_with('$'); });
}

std::string_view js_type(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return "boolean";
    case Kind::number:
      return "number";
    case Kind::text:
      return "string";
    case Kind::list:
      return "array";
    case Kind::map:
      return "object";
  }
  return "unknown";
}

}  // namespace

std::string js_text(const Value& value) {
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::number:
      return number_text(value.number);
    case Kind::text:
      return value.text;
    case Kind::map:
      return "[object Object]";
    case Kind::list: {
      std::string out;
      for (const Value& item : value.items) {
        if (&item != &value.items.front()) out += ',';
        if (!item.is(Kind::null)) out += js_text(item);
      }
      return out;
    }
  }
  return {};
}

bool js_truthy(const Value& value) noexcept {
  switch (value.kind) {
    case Kind::null:
      return false;
    case Kind::boolean:
      return value.boolean;
    case Kind::number:
      return value.number != 0 && !std::isnan(value.number);
    case Kind::text:
      return !value.text.empty();
    case Kind::list:
    case Kind::map:
      return true;
  }
  return false;
}

std::string padded_version(const Value& value) {
  std::string text = value.is(Kind::number) || value.is(Kind::text) ? js_text(value) : "";
  if (text.empty()) text = "0";
  std::string_view rest = text;
  if (rest.starts_with('v')) rest.remove_prefix(1);
  rest = rest.substr(0, rest.find('+'));
  std::vector<std::string> parts(1);
  for (char c : rest) {
    if (c == '-' || c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  if (parts.size() == 3) parts.emplace_back("~");  // a release sorts behind its pre-releases
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    const bool numeric = !part.empty() && std::all_of(part.begin(), part.end(), base::is_digit);
    if (i > 0) out += '-';
    if (numeric && part.size() < 5) out.append(5 - part.size(), ' ');
    out += part;
  }
  return out;
}

bool Mongrule::any_group(const Value& actual, const Value& name) const {
  const Value* group = saved_groups != nullptr ? saved_groups->find(js_text(name)) : nullptr;
  return group != nullptr && is_in(actual, *group, false);
}

bool Mongrule::holds(const Value& attributes, const Value& condition, int depth) const {
  if (depth > kMaxNesting) return false;
  for (const auto& [name, inner] : condition.members) {
    const auto each = [&](const Value& one) { return holds(attributes, one, depth + 1); };
    bool held = false;
    if (name == "$or" || name == "$nor") {
      held = inner.items.empty() || std::any_of(inner.items.begin(), inner.items.end(), each);
      if (name == "$nor") held = !held;
    } else if (name == "$and") {
      held = std::all_of(inner.items.begin(), inner.items.end(), each);
    } else if (name == "$not") {
      held = !holds(attributes, inner, depth + 1);
    } else {
      held = value_holds(inner, at_path(attributes, name), false, depth + 1);
    }
    if (!held) return false;
  }
  return true;
}

bool Mongrule::value_holds(const Value& condition, const Value& actual, bool insensitive, int depth) const {
  if (depth > kMaxNesting) return false;
  switch (condition.kind) {
    case Kind::text:
      return insensitive ? base::to_lower(js_text(actual)) == base::to_lower(condition.text)
                         : js_text(actual) == condition.text;
    case Kind::number:
      return js_number(actual) == condition.number;
    case Kind::boolean:
      return !actual.is(Kind::null) && js_truthy(actual) == condition.boolean;
    case Kind::null:
      return actual.is(Kind::null);
    case Kind::list:
      return to_json(actual) == to_json(condition);
    case Kind::map:
      break;
  }
  if (!is_operators(condition)) return to_json(actual) == to_json(condition);
  return std::all_of(condition.members.begin(), condition.members.end(), [&](const Member& member) {
    return operator_holds(member.name, actual, member.value, depth + 1);
  });
}

bool Mongrule::operator_holds(std::string_view op, const Value& actual, const Value& expected,
                              int depth) const {
  if (op == "$eq") return identical(actual, expected);
  if (op == "$ne") return !identical(actual, expected);
  if (op == "$lt") return less(actual, expected);
  if (op == "$lte") return less_or_equal(actual, expected);
  if (op == "$gt") return less(expected, actual);
  if (op == "$gte") return less_or_equal(expected, actual);
  if (op.starts_with("$v")) {
    const std::string a = padded_version(actual);
    const std::string b = padded_version(expected);
    return op == "$veq"    ? a == b
           : op == "$vne"  ? a != b
           : op == "$vlt"  ? a < b
           : op == "$vlte" ? a <= b
           : op == "$vgt"  ? a > b
                           : op == "$vgte" && a >= b;
  }
  if (op == "$exists") return js_truthy(expected) != actual.is(Kind::null);
  if (op == "$in" || op == "$ini") return expected.is(Kind::list) && is_in(actual, expected, op == "$ini");
  if (op == "$nin" || op == "$nini")
    return expected.is(Kind::list) && !is_in(actual, expected, op == "$nini");
  if (op == "$inGroup") return any_group(actual, expected);
  if (op == "$notInGroup") return !any_group(actual, expected);
  if (op == "$not") return !value_holds(expected, actual, false, depth);
  if (op == "$size")
    return actual.is(Kind::list) &&
           value_holds(expected, Value::of(static_cast<double>(actual.items.size())), false, depth);
  if (op == "$elemMatch")
    return actual.is(Kind::list) &&
           std::any_of(actual.items.begin(), actual.items.end(), [&](const Value& item) {
             return is_operators(expected) ? value_holds(expected, item, false, depth)
                                           : holds(item, expected, depth);
           });
  if (op == "$all" || op == "$alli")
    return actual.is(Kind::list) && expected.is(Kind::list) &&
           std::all_of(expected.items.begin(), expected.items.end(), [&](const Value& wanted) {
             return std::any_of(actual.items.begin(), actual.items.end(), [&](const Value& item) {
               return value_holds(wanted, item, op == "$alli", depth);
             });
           });
  if (op == "$regex" || op == "$regexi")
    return expected.is(Kind::text) && find_pattern &&
           find_pattern(expected.text, op == "$regexi", js_text(actual));
  if (op == "$type") return expected.is(Kind::text) && js_type(actual) == expected.text;
  return false;
}

}  // namespace weir::experiment::internal
