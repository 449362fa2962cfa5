// A validator for the part of JSON Schema that json_schema() uses, for the tests. Unknown keywords are an
// error, so that a schema cannot say something that nobody checks.
#ifndef WEIR_CONFIG_SCHEMA_VALIDATOR_H_
#define WEIR_CONFIG_SCHEMA_VALIDATOR_H_

#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "weir/base/check.h"
#include "weir/base/strings.h"
#include "weir/config/internal/document.h"
#include "weir/config/schema.h"
#include "weir/config/testing.h"

namespace weir::config::testing {

// Text that is known to be YAML (JSON included).
inline internal::Document parse(std::string_view text) {
  internal::Budget budget;
  internal::Report report;
  return internal::parse_document(text, 0, budget, report);
}

class Schema {
 public:
  Schema() : schema_(parse(json_schema())) { WEIR_CHECK(schema_.root != nullptr); }

  // Where and why the text does not fit; "" when it does. Text that is not YAML does not fit.
  std::string why_not(std::string_view text) const {
    const internal::Document document = parse(text);
    if (!document.readable) return "not YAML";
    if (document.root == nullptr) return "empty";
    return check(*schema_.root, *document.root, "");
  }
  bool accepts(std::string_view text) const { return why_not(text).empty(); }

 private:
  using Node = internal::Node;

  static const Node* member(const Node& map, std::string_view name) {
    for (const auto& [key, at, value] : map.entries)
      if (key == name) return value;
    return nullptr;
  }

  // YAML 1.2's core schema, as far as it matters.
  static std::string_view type_of(const Node& node) {
    if (node.kind == Node::Kind::map) return "object";
    if (node.kind == Node::Kind::list) return "array";
    if (node.kind == Node::Kind::null) return "null";
    if (node.quoted) return "string";
    if (node.text == "true" || node.text == "false") return "boolean";
    static const Regex integer("^-?(0|[1-9][0-9]*)$");
    static const Regex number("^[-+]?([.][0-9]+|[0-9]+([.][0-9]*)?)([eE][-+]?[0-9]+)?$");
    if (integer.matches(node.text)) return "integer";
    return number.matches(node.text) ? "number" : "string";
  }

  static bool has_type(const Node& node, std::string_view type) {
    const std::string_view own = type_of(node);
    return own == type || (type == "number" && own == "integer");
  }

  static bool is_number(const Node& node) { return has_type(node, "number"); }

  // Equal to a scalar of the schema, which is JSON: quotes make text.
  static bool same(const Node& constant, const Node& node) {
    return node.kind == Node::Kind::scalar && constant.text == node.text &&
           type_of(constant) == type_of(node);
  }

  bool matches(const std::string& pattern, const std::string& text) const {
    return patterns_.try_emplace(pattern, pattern).first->second.matches(text);
  }

  std::string check(const Node& schema, const Node& node, const std::string& at) const {
    for (const auto& [keyword, where, value] : schema.entries) {
      const std::string fault = apply(keyword, *value, schema, node, at);
      if (!fault.empty()) return fault;
    }
    return {};
  }

  std::string apply(const std::string& keyword, const Node& value, const Node& schema, const Node& node,
                    const std::string& at) const {
    const auto unless = [&](bool ok) { return ok ? std::string{} : at + ": " + keyword; };
    if (keyword == "$schema" || keyword == "title" || keyword == "$defs" || keyword == "description" ||
        keyword == "default")
      return {};
    if (keyword == "$ref") return check(*member(*member(*schema_.root, "$defs"), "outside"), node, at);
    if (keyword == "type") {
      if (value.kind == Node::Kind::scalar) return unless(has_type(node, value.text));
      return unless(std::any_of(value.items.begin(), value.items.end(),
                                [&](const Node* type) { return has_type(node, type->text); }));
    }
    if (keyword == "const") return unless(same(value, node));
    if (keyword == "enum")
      return unless(std::any_of(value.items.begin(), value.items.end(),
                                [&](const Node* item) { return same(*item, node); }));
    if (keyword == "pattern") return unless(type_of(node) != "string" || matches(value.text, node.text));
    if (keyword == "minLength")
      return unless(type_of(node) != "string" || node.text.size() >= std::stoul(value.text));
    if (keyword == "maxLength")
      return unless(type_of(node) != "string" || node.text.size() <= std::stoul(value.text));
    if (keyword == "minimum")
      return unless(!is_number(node) || std::strtod(node.text.c_str(), nullptr) >= std::stod(value.text));
    if (keyword == "maximum")
      return unless(!is_number(node) || std::strtod(node.text.c_str(), nullptr) <= std::stod(value.text));
    if (keyword == "minItems")
      return unless(node.kind != Node::Kind::list || node.items.size() >= std::stoul(value.text));
    if (keyword == "maxItems")
      return unless(node.kind != Node::Kind::list || node.items.size() <= std::stoul(value.text));
    if (keyword == "minProperties")
      return unless(node.kind != Node::Kind::map || node.entries.size() >= std::stoul(value.text));
    if (keyword == "maxProperties")
      return unless(node.kind != Node::Kind::map || node.entries.size() <= std::stoul(value.text));
    return apply_nested(keyword, value, schema, node, at);
  }

  std::string apply_nested(const std::string& keyword, const Node& value, const Node& schema,
                           const Node& node, const std::string& at) const {
    if (keyword == "anyOf" || keyword == "oneOf") {
      std::size_t fits = 0;
      std::string faults;
      for (const Node* option : value.items) {
        const std::string fault = check(*option, node, at);
        fits += fault.empty() ? 1 : 0;
        faults += fault + " ";
      }
      return fits == 1 || (fits > 1 && keyword == "anyOf") ? std::string{}
                                                           : at + ": " + keyword + " (" + faults + ")";
    }
    if (keyword == "items") {
      for (std::size_t i = 0; i < node.items.size(); ++i)
        if (auto fault = check(value, *node.items[i], at + "[" + std::to_string(i) + "]"); !fault.empty())
          return fault;
      return {};
    }
    if (keyword == "required") {
      for (const Node* name : value.items)
        if (node.kind == Node::Kind::map && member(node, name->text) == nullptr)
          return at + ": " + name->text + " is missing";
      return {};
    }
    if (keyword == "properties") {
      for (const auto& [key, where, item] : node.entries)
        if (const Node* property = member(value, key))
          if (auto fault = check(*property, *item, at + "." + key); !fault.empty()) return fault;
      return {};
    }
    if (keyword == "propertyNames") {
      for (const auto& [key, where, item] : node.entries)
        if (!matches(member(value, "pattern")->text, key)) return at + "." + key + ": propertyNames";
      return {};
    }
    if (keyword == "additionalProperties") {
      const Node* properties = member(schema, "properties");
      for (const auto& [key, where, item] : node.entries) {
        if (properties != nullptr && member(*properties, key) != nullptr) continue;
        if (value.kind == Node::Kind::scalar) return at + "." + key + ": unknown";
        if (auto fault = check(value, *item, at + "." + key); !fault.empty()) return fault;
      }
      return {};
    }
    return at + ": the validator does not know " + keyword;
  }

  internal::Document schema_;
  mutable std::map<std::string, Regex> patterns_;
};

}  // namespace weir::config::testing

#endif  // WEIR_CONFIG_SCHEMA_VALIDATOR_H_
