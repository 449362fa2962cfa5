// Reading by simdjson's DOM, which checks the whole text (grammar, UTF-8, numbers) before it shows any of it; what it
// does not check is done here: names that occur twice, and a depth of our own.
//
// Names are compared after unescaping, so "a" and "\u0061" are the same name. An object's names are sorted once, so n
// names cost n log n also when a stranger sends eight thousand. Writing is the inverse: compact, members in order.
#include "weir/passport/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include <simdjson.h>

#include "weir/base/check.h"
#include "weir/base/strings.h"

namespace weir::passport {
namespace {

bool has_duplicates(const Json::Object& members) {
  if (members.size() < 2) return false;
  std::vector<std::string_view> names;
  names.reserve(members.size());
  for (const Json::Member& member : members) names.push_back(member.name);
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) != names.end();
}

Error malformed(std::string_view what) { return Error(ErrorCode::malformed, what); }

Result<Json> convert(const simdjson::dom::element& from);

Result<Json> convert_array(const simdjson::dom::array& from) {
  Json::Array items;
  items.reserve(from.size());
  for (const simdjson::dom::element item : from) {
    Result<Json> value = convert(item);
    if (!value) return value;
    items.push_back(std::move(*value));
  }
  return Json(std::move(items));
}

Result<Json> convert_object(const simdjson::dom::object& from) {
  Json::Object members;
  members.reserve(from.size());
  for (const simdjson::dom::key_value_pair field : from) {
    Result<Json> value = convert(field.value);
    if (!value) return value;
    members.push_back(Json::Member{std::string(field.key), std::move(*value)});
  }
  if (has_duplicates(members)) return malformed("a name occurs twice in an object");
  return Json(std::move(members));
}

Result<Json> convert(const simdjson::dom::element& from) {
  using simdjson::dom::element_type;
  switch (from.type()) {
    case element_type::NULL_VALUE:
      return Json();
    case element_type::BOOL:
      return Json(bool(from));
    case element_type::INT64:
      return Json(std::int64_t(from));
    case element_type::UINT64:
      return Json(std::uint64_t(from));
    case element_type::DOUBLE:
      return Json(double(from));
    case element_type::STRING:
      return Json(std::string_view(from));
    case element_type::ARRAY:
      return convert_array(simdjson::dom::array(from));
    case element_type::OBJECT:
      return convert_object(simdjson::dom::object(from));
  }
  return malformed("no JSON value");
}

template <class Number>
void append_number(std::string& out, Number value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
  out.append(text.data(), end.ptr);
}

}  // namespace

Json::Json(Object value) : value_(std::move(value)) {}

Result<Json> Json::parse(std::string_view text, Limits limits) {
  if (text.size() > limits.bytes) return Error(ErrorCode::too_large, "JSON text over its bound");
  simdjson::dom::parser parser(std::max<std::size_t>(limits.bytes, 64));
  // One level more than allowed, so that nesting too deep ends here and not in a deep recursion of ours.
  if (parser.allocate(std::max<std::size_t>(text.size(), 64), limits.depth + 1) != simdjson::SUCCESS)
    return Error(ErrorCode::out_of_memory, "JSON parser");
  const simdjson::padded_string padded(text);
  simdjson::dom::element root;
  const simdjson::error_code failed = parser.parse(padded).get(root);
  if (failed == simdjson::DEPTH_ERROR) return Error(ErrorCode::too_large, "JSON nested too deep");
  if (failed != simdjson::SUCCESS) return malformed(simdjson::error_message(failed));
  return convert(root);
}

std::string_view Json::text() const noexcept {
  const auto* value = std::get_if<std::string>(&value_);
  return value == nullptr ? std::string_view{} : std::string_view(*value);
}

bool Json::boolean() const noexcept {
  const auto* value = std::get_if<bool>(&value_);
  return value != nullptr && *value;
}

std::span<const Json> Json::items() const noexcept {
  const auto* value = std::get_if<Array>(&value_);
  return value == nullptr ? std::span<const Json>{} : std::span<const Json>(*value);
}

std::span<const Json::Member> Json::members() const noexcept {
  const auto* value = std::get_if<Object>(&value_);
  return value == nullptr ? std::span<const Member>{} : std::span<const Member>(*value);
}

std::optional<double> Json::number() const noexcept {
  if (const auto* i = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*i);
  if (const auto* u = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*u);
  if (const auto* d = std::get_if<double>(&value_)) return *d;
  return std::nullopt;
}

std::optional<std::int64_t> Json::integer() const noexcept {
  if (const auto* i = std::get_if<std::int64_t>(&value_)) return *i;
  return std::nullopt;  // unsigned_ holds only what int64 cannot
}

const Json* Json::find(std::string_view name) const noexcept {
  for (const Member& member : members())
    if (member.name == name) return &member.value;
  return nullptr;
}

const Json* Json::at(std::span<const std::string> path) const noexcept {
  const Json* here = this;
  for (const std::string& name : path) {
    here = here->find(name);
    if (here == nullptr) return nullptr;
  }
  return here;
}

void Json::set(std::string_view name, Json value) {
  if (is_null()) value_ = Object{};
  WEIR_CHECK(is_object());
  auto& object = std::get<Object>(value_);
  for (Member& member : object)
    if (member.name == name) {
      member.value = std::move(value);
      return;
    }
  object.push_back(Member{std::string(name), std::move(value)});
}

void Json::append_to(std::string& out) const {
  if (is_null()) {
    out += "null";
  } else if (const auto* b = std::get_if<bool>(&value_)) {
    out += *b ? "true" : "false";
  } else if (const auto* i = std::get_if<std::int64_t>(&value_)) {
    append_number(out, *i);
  } else if (const auto* u = std::get_if<std::uint64_t>(&value_)) {
    append_number(out, *u);
  } else if (const auto* d = std::get_if<double>(&value_)) {
    append_number(out, *d);
  } else if (is_string()) {
    out += '"';
    base::append_json_escaped(out, text());
    out += '"';
  } else if (is_array()) {
    char before = '[';
    for (const Json& item : items()) {
      out += before;
      item.append_to(out);
      before = ',';
    }
    out += items().empty() ? "[]" : "]";
  } else {
    char before = '{';
    for (const Member& member : members()) {
      out += before;
      out += '"';
      base::append_json_escaped(out, member.name);
      out += "\":";
      member.value.append_to(out);
      before = ',';
    }
    out += members().empty() ? "{}" : "}";
  }
}

std::string Json::to_text() const {
  std::string out;
  append_to(out);
  return out;
}

std::optional<std::string> Json::scalar_text() const {
  if (is_null() || is_array() || is_object()) return std::nullopt;
  if (is_string()) return std::string(text());
  return to_text();
}

std::size_t Json::footprint() const noexcept {
  std::size_t bytes = sizeof(Json);
  if (is_string()) bytes += text().size() < 16 ? 0 : text().size() + 17;
  for (const Json& item : items()) bytes += item.footprint();
  for (const Member& member : members())
    bytes += member.value.footprint() + sizeof(std::string) + member.name.size();
  return bytes;
}

bool operator==(const Json& a, const Json& b) { return a.value_ == b.value_; }

}  // namespace weir::passport
