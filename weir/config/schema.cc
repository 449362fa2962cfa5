// The JSON Schema, generated from the descriptor table: draft 2020-12, only keys that weir acts on.
//
// A schema accepts what the loader accepts as far as one value goes; references between values, uniqueness
// and hidden routes are beyond it. Patterns are ECMA-262, anchored. Any scalar may also be `env:NAME` or
// `file:PATH`.
#include "weir/config/schema.h"

#include <array>
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

constexpr std::array kShapes{
    Shape{kPercent, "^[0-9]{1,3}(\\.[0-9]{1,12})?%$"},
    Shape{kDuration, "^[0-9]{1,19}(ms|s|m|h|d)$"},
    Shape{kSize, "^[0-9]{1,19}(KiB|MiB|GiB)$"},
    Shape{kRate, "^[0-9]{1,10}/(s|min|h|d)$"},
    Shape{kListen, "^([0-9.]*|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$"},
    Shape{kUrl, "^https?://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$"},
    Shape{kCidr, "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"},
    Shape{kPattern, "^/[!\"$->@-~]*$"},
    Shape{kRewrite, "^/[!\"$->@-~]*[*]$"},
    Shape{kMethod, "^[A-Z][A-Z0-9_-]{0,31}$"},
    Shape{kHost, "^(\\*\\.)?[A-Za-z0-9._-]+$|^\\[[0-9A-Fa-f:.]+\\]$"},
    Shape{kHeaderName, "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"},
    Shape{kName, "^[A-Za-z0-9_.-]{1,64}$"},
    Shape{kLimitKey,
          "^(global|client_ip|path|method|host|route)$|^(header|cookie|query):[!-~]+$|^(passport|jwt)\\.[!-~]"
          "+$"},
    Shape{kFailure, "^!?([1-5][0-9][0-9]|[1-5]xx|connect|timeout|reset|malformed)$"},
};

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
        return text_members(row);
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
      json_.open('{').member("type", "string").member("pattern", shape_of(form)).close('}').close(']');
      return;
    }
    json_.member("type", "string").member("pattern", shape_of(form));
  }

  void constant(std::string_view word) { json_.member("const", word); }

  // Plain numbers and booleans of YAML are text where text is due: `X-New: 1`.
  void text_types() { json_.key("type").open('[').text("string").text("number").text("boolean").close(']'); }

  void text_members(const Row& row) {
    text_types();
    if (row.min > 0) json_.member("minLength", row.min);
    if (row.max > 0) json_.member("maxLength", row.max);
  }

  JsonWriter json_;
};

}  // namespace

std::string json_schema() { return SchemaWriter().write(); }

}  // namespace weir::config
