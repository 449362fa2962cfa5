// The JSON Schema, generated from the descriptor table: draft 2020-12, only keys that weir acts on.
//
// A schema accepts what the loader accepts as far as one value goes, bounds of measures included; references between
// values, uniqueness and hidden routes are beyond it, and so are the inner rules of IPv6 addresses and paths. Patterns are
// ECMA-262, anchored. Any scalar may also be `env:NAME` or `file:PATH`. schema_property_test.cc holds both together.
#include "weir/config/schema.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "weir/base/strings.h"
#include "weir/config/internal/check.h"
#include "weir/config/internal/descriptors.h"
#include "weir/config/internal/json.h"
#include "weir/config/internal/scalars.h"

namespace weir::config {

using namespace internal;  // NOLINT: this file alone, to read easily

namespace {

struct Shape {
  Forms form;
  std::string_view pattern;
};

#define WEIR_OCTET "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define WEIR_IPV4 "(" WEIR_OCTET "\\.){3}" WEIR_OCTET
#define WEIR_IPV6 "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
// Labels of a name; the last is not of digits alone, which would be a mistyped address.
#define WEIR_HOST                                        \
  "([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\\.)*" \
  "([0-9]*[A-Za-z_]([A-Za-z0-9_-]*[A-Za-z0-9_])?|[0-9]+-[A-Za-z0-9_-]*[A-Za-z0-9_])"
#define WEIR_PORT "([0-9]{1,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
// Not zero, however it is written.
#define WEIR_PORT_FROM_1                                                                        \
  "([1-9][0-9]{0,3}|0[1-9][0-9]{0,3}|00[1-9][0-9]{0,2}|000[1-9][0-9]?|0000[1-9]|[1-5][0-9]{4}|" \
  "6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
#define WEIR_TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]"

constexpr std::array kShapes{
    Shape{
        kPercent,
        "^([0-9](\\.[0-9]{1,14})?|[0-9]{2}(\\.[0-9]{1,13})?|0[0-9]{2}(\\.[0-9]{1,12})?|100(\\.0{1,12})?)%$"},
    Shape{kListen, "^(" WEIR_IPV4 "|\\[" WEIR_IPV6 "\\])?:" WEIR_PORT "$"},
    Shape{kUrl, "^https?://(" WEIR_HOST "|" WEIR_IPV4 "|\\[" WEIR_IPV6 "\\])(:" WEIR_PORT_FROM_1 ")?$"},
    Shape{kCidr,
          "^(" WEIR_IPV4 "(/([0-9]|[12][0-9]|3[0-2]))?|" WEIR_IPV6 "(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$"},
    Shape{kPattern, "^/[!\"$->@-~]*$"},
    Shape{kRewrite, "^/[!\"$->@-~]*[*]$"},
    Shape{kMethod, "^[A-Z][A-Z0-9_-]{0,31}$"},
    Shape{kHost, "^(\\*\\.)?[A-Za-z0-9._-]+$|^\\[[0-9A-Fa-f:.]+\\]$"},
    Shape{kHeaderName, "^" WEIR_TOKEN "+$"},
    Shape{kHeaderValue, "^([!-~]([\t -~]*[!-~])?)?$"},
    Shape{kName, "^[A-Za-z0-9_.-]{1,64}$"},
    Shape{kLimitKey, "^(global|client_ip|path|method|host|route)$|^(header|cookie):" WEIR_TOKEN
                     "{1,255}$|^query:[!-~]{1,255}$|^(passport|jwt)\\.[!-~]+$"},
    Shape{kFailure, "^!?([1-5][0-9][0-9]|[1-5]xx|connect|timeout|reset|malformed)$"},
};

struct UnitOf {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array kMilliseconds{UnitOf{"ms", 1}, UnitOf{"s", 1'000}, UnitOf{"m", 60'000},
                                   UnitOf{"h", 3'600'000}, UnitOf{"d", 86'400'000}};
constexpr std::array kBytes{UnitOf{"KiB", 1ULL << 10}, UnitOf{"MiB", 1ULL << 20}, UnitOf{"GiB", 1ULL << 30}};

// Adds to `out` a pattern for the decimal numbers low..high, cut where a digit's place fills up: 7..123 is
// [7-9]|[1-9][0-9]|1[0-1][0-9]|12[0-3].
void append_numbers(std::uint64_t low, std::uint64_t high, std::string& out) {
  std::vector<std::uint64_t> ends{high};
  for (std::uint64_t ten = 10; low / ten * ten + ten - 1 < high; ten *= 10)
    ends.push_back(low / ten * ten + ten - 1);
  for (std::uint64_t ten = 10; (high + 1) / ten * ten > low; ten *= 10)
    ends.push_back((high + 1) / ten * ten - 1);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  for (const std::uint64_t end : ends) {
    const std::string from = std::to_string(low);
    const std::string to = std::to_string(end);
    out.append(out.ends_with('(') ? "" : "|");
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (from[i] == to[i])
        out += from[i];
      else
        out.append("[").append(1, from[i]).append("-").append(1, to[i]).append("]");
    }
    low = end + 1;
  }
}

// Digits and a unit, within the row's bounds whatever the unit. Zeros in front are taken.
template <class Units>
std::string measured(const Row& row, const Units& units) {
  std::string pattern = "^(";
  for (const UnitOf& unit : units) {
    const std::uint64_t low = (row.min + unit.factor - 1) / unit.factor;
    const std::uint64_t high = row.max / unit.factor;
    if (low > high) continue;
    pattern.append(pattern.ends_with('(') ? "0*(" : "|0*(");
    append_numbers(low, high, pattern);
    pattern.append(")").append(unit.name);
  }
  return pattern + ")$";
}

std::string rate(const Row& row) {
  std::string pattern = "^0*(";
  append_numbers(row.min, row.max, pattern);
  return pattern + ")/(s|min|h|d)$";
}

class SchemaWriter {
 public:
  std::string write() {
    json_.open('{');
    json_.member("$schema", "https://json-schema.org/draft/2020-12/schema");
    json_.member("title", "weir configuration");
    json_.key("$defs").open('{').key("outside").open('{');
    json_.member("description", "A value from an environment variable or a file.");
    json_.member("type", "string").member("pattern", "^(env|file):.+").close('}').close('}');
    map_members("", nullptr);
    json_.close('}');
    return json_.take();
  }

 private:
  void map_members(std::string_view path, const Row* row) {
    json_.member("type", "object");
    if (row != nullptr && row->least > 0) json_.member("minProperties", row->least);
    if (row != nullptr && row->most > 0) json_.member("maxProperties", row->most);
    if (const Row* named = named_row(path)) {
      const bool header = row != nullptr && row->names == "header";
      json_.key("propertyNames")
          .open('{')
          .member("pattern", shape_of(header ? kHeaderName : kName))
          .close('}');
      fixed_members(path);
      json_.key("additionalProperties");
      value(*named);
      return;
    }
    fixed_members(path);
    json_.member("additionalProperties", false);
    if (path == "routes[]") one_target();
  }

  void fixed_members(std::string_view path) {
    bool any = named_row(path) == nullptr;
    each_child(path, [&](std::string_view, const Row&) { any = true; });
    if (!any) return;
    std::vector<std::string_view> required;
    json_.key("properties").open('{');
    each_child(path, [&](std::string_view name, const Row& child) {
      if (child.later) return;
      json_.key(name);
      value(child);
      if (child.required && path != "") required.push_back(name);
    });
    json_.close('}');
    if (!required.empty()) {
      json_.key("required").open('[');
      for (std::string_view name : required) json_.text(name);
      json_.close(']');
    }
  }

  // Exactly one of the keys that say what answers.
  void one_target() {
    json_.key("oneOf").open('[');
    for (const char* name : {"upstream", "respond", "bff", "serve"})
      json_.open('{').key("required").open('[').text(name).close(']').close('}');
    json_.close(']');
  }

  static std::string_view shape_of(Forms form) {
    for (const Shape& shape : kShapes)
      if (shape.form == form) return shape.pattern;
    return {};
  }

  void value(const Row& row) {
    json_.open('{');
    json_.member("description", row.about);
    if (!row.fallback.empty()) default_value(row);
    json_.key("anyOf").open('[');
    bool scalar = false;
    for (Forms rest = row.forms; rest != 0; rest &= rest - 1) {
      const Forms form = rest & (~rest + 1);
      if (form == kMap && !has_map_form(row)) continue;
      scalar = scalar || (form != kMap && form != kList && form != kJson);
      json_.open('{');
      form_members(row, form);
      json_.close('}');
    }
    if (scalar) json_.open('{').member("$ref", "#/$defs/outside").close('}');
    json_.close(']').close('}');
  }

  void default_value(const Row& row) {
    json_.key("default");
    const bool plain = base::parse_u64(row.fallback) || row.fallback == "true" || row.fallback == "false" ||
                       row.fallback == "[]" || row.fallback == "\"\"";
    if (plain)
      json_.raw(row.fallback);
    else if (row.fallback.starts_with('['))
      list_default(row.fallback);
    else
      json_.text(row.fallback);
  }

  // "[5xx, \"!501\"]": the table's own flow lists, words with or without quotes.
  void list_default(std::string_view text) {
    json_.open('[');
    for (std::string_view item : base::split(text.substr(1, text.size() - 2), ',')) {
      item = base::trim(item);
      if (item.starts_with('"')) item = item.substr(1, item.size() - 2);
      json_.text(item);
    }
    json_.close(']');
  }

  void form_members(const Row& row, Forms form) {
    switch (form) {
      case kMap:
        return map_members(row.path, &row);
      case kList:
        json_.member("type", "array");
        if (row.least > 0) json_.member("minItems", row.least);
        if (row.most > 0) json_.member("maxItems", row.most);
        json_.key("items");
        return value(*item_row(row.path));
      case kOff:
        return constant("off");
      case kAuto:
        return constant("auto");
      case kTrue:
        json_.key("const").boolean(true);
        return;
      case kBool:
        json_.member("type", "boolean");
        return;
      case kWord:
        json_.key("enum").open('[');
        for (std::string_view word : base::split(row.words, ' ')) json_.text(word);
        json_.close(']');
        return;
      case kNumber:
        json_.member("type", "integer").member("minimum", row.min).member("maximum", row.max);
        return;
      case kJson:
        return;
      case kText:
      case kFilePath:
      case kHeaderValue:
        return text_members(row, form);
      default:
        break;
    }
    if (form == kFailure) {  // a status is a plain number
      json_.member("minimum", 100).member("maximum", 599);
      json_.key("type").open('[').text("integer").text("string").close(']').member("pattern", shape_of(form));
      return;
    }
    if ((form & (kName | kHost | kHeaderName)) != 0) {  // `1` and `true` are names, too
      text_types();
      json_.member("pattern", shape_of(form));
      return;
    }
    if (form == kSize) {
      json_.key("anyOf").open('[').open('{');
      json_.member("type", "integer").member("minimum", row.min).member("maximum", row.max).close('}');
      const std::string pattern = measured(row, kBytes);
      if (pattern != "^()$") json_.open('{').member("type", "string").member("pattern", pattern).close('}');
      json_.close(']');
      return;
    }
    json_.member("type", "string");
    if (form == kDuration)
      json_.member("pattern", measured(row, kMilliseconds));
    else if (form == kRate)
      json_.member("pattern", rate(row));
    else
      json_.member("pattern", shape_of(form));
  }

  void constant(std::string_view word) { json_.member("const", word); }

  // Plain numbers and booleans of YAML are text where text is due: `X-New: 1`.
  void text_types() { json_.key("type").open('[').text("string").text("number").text("boolean").close(']'); }

  void text_members(const Row& row, Forms form) {
    text_types();
    const bool path = form == kFilePath;
    if (row.min > 0 || path) json_.member("minLength", std::max<std::uint64_t>(row.min, 1));
    if (row.max > 0 || path) json_.member("maxLength", path ? 4095 : row.max);
    if (form == kHeaderValue) json_.member("pattern", shape_of(form));
  }

  JsonWriter json_;
};

}  // namespace

std::string json_schema() { return SchemaWriter().write(); }

}  // namespace weir::config
