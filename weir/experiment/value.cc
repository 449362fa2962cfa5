// JSON in and out. Parsing is simdjson's DOM, whose own depth and our byte cap bound it; the tree is then
// copied, so that nothing of the parser lives on.
#include "weir/experiment/value.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <exception>

#include "weir/base/strings.h"

namespace weir::experiment {

Value Value::of(bool b) {
  Value value;
  value.kind = Kind::boolean;
  value.boolean = b;
  return value;
}

Value Value::of(double n) {
  Value value;
  value.kind = Kind::number;
  value.number = n;
  return value;
}

Value Value::of(std::string_view s) {
  Value value;
  value.kind = Kind::text;
  value.text = s;
  return value;
}

Value Value::list() {
  Value value;
  value.kind = Kind::list;
  return value;
}

Value Value::map() {
  Value value;
  value.kind = Kind::map;
  return value;
}

const Value* Value::find(std::string_view name) const noexcept {
  for (const Member& member : members)
    if (member.name == name) return &member.value;
  return nullptr;
}

Value& Value::set(std::string_view name, Value value) {
  for (Member& member : members)
    if (member.name == name) return member.value = std::move(value);
  members.push_back({std::string(name), std::move(value)});
  return members.back().value;
}

bool operator==(const Value& a, const Value& b) noexcept {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Value::Kind::null:
      return true;
    case Value::Kind::boolean:
      return a.boolean == b.boolean;
    case Value::Kind::number:
      return a.number == b.number;
    case Value::Kind::text:
      return a.text == b.text;
    case Value::Kind::list:
      return a.items == b.items;
    case Value::Kind::map:
      return a.members.size() == b.members.size() &&
             std::all_of(a.members.begin(), a.members.end(), [&](const Member& member) {
               const Value* other = b.find(member.name);
               return other != nullptr && *other == member.value;
             });
  }
  return false;
}

std::string_view to_string(Value::Kind kind) noexcept {
  static constexpr std::array<std::string_view, 6> kNames{"null", "boolean", "number", "text", "list", "map"};
  return kNames[static_cast<std::size_t>(kind)];
}

namespace {

// Members up to here are compared one by one when names repeat; beyond, an index would be needed and nobody
// sends it.
constexpr std::size_t kMaxMembers = 10'000;

bool copy(simdjson::dom::element from, Value& to, std::size_t depth) {
  if (depth == 0) return false;
  using Type = simdjson::dom::element_type;
  switch (from.type()) {
    case Type::NULL_VALUE:
      return true;
    case Type::BOOL:
      to = Value::of(bool(from));
      return true;
    case Type::INT64:
    case Type::UINT64:
    case Type::DOUBLE:
      to = Value::of(double(from));
      return true;
    case Type::STRING:
      to = Value::of(std::string_view(from));
      return true;
    case Type::ARRAY:
      to.kind = Value::Kind::list;
      for (simdjson::dom::element item : simdjson::dom::array(from))
        if (!copy(item, to.items.emplace_back(), depth - 1)) return false;
      return true;
    case Type::OBJECT:
      to.kind = Value::Kind::map;
      for (const simdjson::dom::key_value_pair pair : simdjson::dom::object(from)) {
        Value value;
        if (!copy(pair.value, value, depth - 1)) return false;
        to.members.push_back({std::string(pair.key), std::move(value)});
      }
      break;
  }
  // The last of a name counts: JavaScript's rule. Sorted once instead of searched for every member.
  std::vector<std::size_t> order(to.members.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return to.members[a].name < to.members[b].name; });
  std::vector<bool> dropped(order.size());
  bool any = false;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    const bool repeated = to.members[order[i]].name == to.members[order[i + 1]].name;
    dropped[order[i]] = repeated;
    any |= repeated;
  }
  if (any) {
    std::vector<Member> kept;
    for (std::size_t i = 0; i < dropped.size(); ++i)
      if (!dropped[i]) kept.push_back(std::move(to.members[i]));
    to.members = std::move(kept);
  }
  return to.members.size() <= kMaxMembers;
}

Result<Value> parse_guarded(std::string_view text, const JsonLimits& limits) {
  simdjson::dom::parser parser(text.size() + simdjson::SIMDJSON_PADDING);
  if (parser.allocate(std::max<std::size_t>(text.size(), 64), limits.depth + 1) != simdjson::SUCCESS)
    return Error(ErrorCode::out_of_memory, "no memory to read JSON");
  simdjson::dom::element root;
  const simdjson::error_code fault = parser.parse(text.data(), text.size()).get(root);
  if (fault == simdjson::DEPTH_ERROR)
    return Error(ErrorCode::too_large, "JSON nested deeper than " + std::to_string(limits.depth));
  if (fault != simdjson::SUCCESS) return Error(ErrorCode::malformed, simdjson::error_message(fault));
  Value value;
  if (!copy(root, value, limits.depth + 1))
    return Error(ErrorCode::too_large, "JSON nested deeper than " + std::to_string(limits.depth) +
                                           ", or a map of more than 10000 members");
  return value;
}

}  // namespace

Result<Value> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    return Error(ErrorCode::too_large, "JSON of more than " + std::to_string(limits.bytes) + " bytes");
  if (text.empty()) return Error(ErrorCode::malformed, "no JSON at all");
  try {
    return parse_guarded(text, limits);
  } catch (const std::exception& exception) {
    return Error(ErrorCode::malformed, exception.what());
  }
}

std::string number_text(double number) {
  if (number == 0) return "0";  // -0 as well, as in JavaScript
  if (!std::isfinite(number)) return "null";
  std::array<char, 32> text;
  const bool plain = std::fabs(number) < 1e21 && std::fabs(number) >= 1e-6;
  std::array<char, 400> wide;
  if (plain) {
    const auto end =
        std::to_chars(wide.data(), wide.data() + wide.size(), number, std::chars_format::fixed).ptr;
    return {wide.data(), end};
  }
  std::string out(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
  // "1e-07" is 1e-7 in JavaScript.
  const std::size_t e = out.find('e');
  if (e != std::string::npos && e + 2 < out.size() && out[e + 2] == '0') out.erase(e + 2, 1);
  return out;
}

void append_json(std::string& out, const Value& value) {
  const auto quoted = [&out](std::string_view text) {
    out += '"';
    base::append_json_escaped(out, text);
    out += '"';
  };
  bool first = true;
  const auto comma = [&] {
    if (!first) out += ',';
    first = false;
  };
  switch (value.kind) {
    case Value::Kind::null:
      out += "null";
      return;
    case Value::Kind::boolean:
      out += value.boolean ? "true" : "false";
      return;
    case Value::Kind::number:
      out += number_text(value.number);
      return;
    case Value::Kind::text:
      quoted(value.text);
      return;
    case Value::Kind::list:
      out += '[';
      for (const Value& item : value.items) comma(), append_json(out, item);
      out += ']';
      return;
    case Value::Kind::map:
      out += '{';
      for (const Member& member : value.members) {
        comma();
        quoted(member.name);
        out += ':';
        append_json(out, member.value);
      }
      out += '}';
      return;
  }
}

std::string to_json(const Value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

bool is_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p != end) {
    while (end - p >= 8) {
      std::uint64_t word;
      std::memcpy(&word, p, sizeof word);
      if ((word & 0x8080808080808080ULL) != 0) break;
      p += 8;
    }
    if (p == end) break;
    const unsigned char lead = *p;
    if (lead < 0x80) {
      ++p;
      continue;
    }
    const int more = lead >= 0xc2 && lead < 0xe0   ? 1
                     : lead >= 0xe0 && lead < 0xf0 ? 2
                     : lead >= 0xf0 && lead < 0xf5 ? 3
                                                   : 0;
    if (more == 0 || end - p <= more) return false;
    for (int k = 1; k <= more; ++k)
      if ((p[k] & 0xc0) != 0x80) return false;
    // RFC 3629 4: the second byte also tells overlong forms, surrogates and what lies above U+10FFFF.
    if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) || (lead == 0xf0 && p[1] < 0x90) ||
        (lead == 0xf4 && p[1] > 0x8f))
      return false;
    p += more + 1;
  }
  return true;
}

}  // namespace weir::experiment
