// Evaluation in the first half, compilation in internal/condition_compiler.cc.
#include "weir/experiment/internal/condition.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

namespace weir::experiment::internal {

Node::Node() = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(Node&&) noexcept = default;
Node::~Node() = default;

std::string_view to_string(Op op) noexcept {
  static constexpr std::array<std::string_view, 27> kNames{
      "all",         "any",       "not",        "segment", "eq",        "ne",        "in",
      "not_in",      "gt",        "gte",        "lt",      "lte",       "between",   "exists",
      "starts_with", "ends_with", "contains",   "matches", "semver_eq", "semver_ne", "semver_gt",
      "semver_gte",  "semver_lt", "semver_lte", "cidr",    "before",    "after"};
  return kNames[static_cast<std::size_t>(op)];
}

namespace {

// One scalar, whether it is the attribute itself or an element of its list.
struct Element {
  Attribute::Kind kind = Attribute::Kind::missing;  // boolean, number, text; missing: nothing comparable
  bool boolean = false;
  double number = 0;
  std::string_view text;
};

Element element_of(const Attribute& attribute) noexcept {
  Element element;
  element.kind = attribute.kind;
  element.boolean = attribute.boolean;
  element.number = attribute.number;
  if (attribute.kind == Attribute::Kind::text) element.text = attribute.text();
  return element;
}

Element element_of(const Value& value) noexcept {
  Element element;
  switch (value.kind) {
    case Value::Kind::boolean:
      element.kind = Attribute::Kind::boolean;
      break;
    case Value::Kind::number:
      element.kind = Attribute::Kind::number;
      break;
    case Value::Kind::text:
      element.kind = Attribute::Kind::text;
      break;
    default:
      break;
  }
  element.boolean = value.boolean;
  element.number = value.number;
  element.text = value.text;
  return element;
}

constexpr Truth truth(bool holds) noexcept { return holds ? Truth::yes : Truth::no; }

// Few literals are compared one by one, many by halving.
constexpr std::size_t kLinear = 8;

bool holds_text(const std::vector<std::string>& sorted, std::string_view text) noexcept {
  if (sorted.size() <= kLinear)
    return std::any_of(sorted.begin(), sorted.end(), [text](const std::string& s) { return s == text; });
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), text,
                                   [](const std::string& s, std::string_view t) { return s < t; });
  return at != sorted.end() && *at == text;
}

Truth is_among(const Node& node, const Element& element) noexcept {
  switch (element.kind) {
    case Attribute::Kind::boolean:
      return truth(element.boolean ? node.has_true : node.has_false);
    case Attribute::Kind::number:
      return truth(std::binary_search(node.numbers.begin(), node.numbers.end(), element.number));
    case Attribute::Kind::text:
      return truth(holds_text(node.texts, element.text));
    default:
      return Truth::unknown;
  }
}

Truth compare_number(const Node& node, const Element& element) noexcept {
  if (element.kind != Attribute::Kind::number) return Truth::unknown;
  const double a = element.number;
  switch (node.op) {
    case Op::gt:
      return truth(a > node.numbers[0]);
    case Op::gte:
      return truth(a >= node.numbers[0]);
    case Op::lt:
      return truth(a < node.numbers[0]);
    case Op::lte:
      return truth(a <= node.numbers[0]);
    default:
      return truth(a >= node.numbers[0] && a <= node.numbers[1]);  // between: both ends belong to it
  }
}

Truth compare_version(const Node& node, const Element& element) noexcept {
  if (element.kind != Attribute::Kind::text) return Truth::unknown;
  const std::optional<Version> version = parse_version(element.text);
  if (!version) return Truth::unknown;
  const int order = compare(*version, node.version);
  switch (node.op) {
    case Op::semver_eq:
      return truth(order == 0);
    case Op::semver_ne:
      return truth(order != 0);
    case Op::semver_gt:
      return truth(order > 0);
    case Op::semver_gte:
      return truth(order >= 0);
    case Op::semver_lt:
      return truth(order < 0);
    default:
      return truth(order <= 0);
  }
}

Truth compare_time(const Node& node, const Element& element) noexcept {
  double ms = element.number;  // a number: milliseconds since 1970
  if (element.kind == Attribute::Kind::text) {
    const auto parsed = parse_time_ms(element.text);
    if (!parsed) return Truth::unknown;
    ms = static_cast<double>(*parsed);
  } else if (element.kind != Attribute::Kind::number) {
    return Truth::unknown;
  }
  return truth(node.op == Op::before ? ms < node.numbers[0] : ms > node.numbers[0]);
}

Truth within_blocks(const Node& node, const Element& element) noexcept {
  if (element.kind != Attribute::Kind::text) return Truth::unknown;
  // What is no address by its letters is turned away before parse() makes a message of it.
  if (element.text.empty() || element.text.size() > base::IpAddress::kTextMax ||
      element.text.find_first_not_of("0123456789abcdefABCDEF.:") != std::string_view::npos)
    return Truth::unknown;
  const Result<base::IpAddress> ip = base::IpAddress::parse(element.text);
  if (!ip) return Truth::unknown;
  return truth(std::any_of(node.blocks.begin(), node.blocks.end(),
                           [&](const base::Cidr& block) { return block.contains(*ip); }));
}

Truth compare_text(const Node& node, const Element& element) noexcept {
  if (element.kind != Attribute::Kind::text) return Truth::unknown;
  const std::string_view text = element.text;
  if (node.op == Op::matches)
    return truth(re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *node.pattern));
  return truth(std::any_of(node.texts.begin(), node.texts.end(), [&](const std::string& wanted) {
    return node.op == Op::starts_with ? text.starts_with(wanted)
           : node.op == Op::ends_with ? text.ends_with(wanted)
                                      : text.find(wanted) != std::string_view::npos;
  }));
}

Truth test(const Node& node, const Element& element) noexcept {
  switch (node.op) {
    case Op::eq:
    case Op::in:
    case Op::ne:
    case Op::not_in:
      return is_among(node, element);
    case Op::gt:
    case Op::gte:
    case Op::lt:
    case Op::lte:
    case Op::between:
      return compare_number(node, element);
    case Op::starts_with:
    case Op::ends_with:
    case Op::contains:
    case Op::matches:
      return compare_text(node, element);
    case Op::cidr:
      return within_blocks(node, element);
    case Op::before:
    case Op::after:
      return compare_time(node, element);
    default:
      return compare_version(node, element);
  }
}

Truth test_list(const Node& node, const Attribute& attribute) noexcept {
  for (std::uint32_t i = 0; i < attribute.count; ++i) {
    Element element;
    if (attribute.kind == Attribute::Kind::texts) {
      element.kind = Attribute::Kind::text;
      element.text = attribute.texts[i];
    } else {
      element = element_of(attribute.values[i]);
    }
    if (test(node, element) == Truth::yes) return Truth::yes;
  }
  return Truth::no;
}

Truth evaluate_leaf(const Node& node, const Attribute& attribute) noexcept {
  if (node.op == Op::exists) return truth((attribute.kind != Attribute::Kind::missing) == node.has_true);
  if (attribute.kind == Attribute::Kind::missing) return Truth::unknown;
  const bool is_list = attribute.kind == Attribute::Kind::texts || attribute.kind == Attribute::Kind::values;
  const Truth found = is_list ? test_list(node, attribute) : test(node, element_of(attribute));
  return node.op == Op::ne || node.op == Op::not_in ? negate(found) : found;
}

std::string attribute_text(const Attribute& attribute) {
  switch (attribute.kind) {
    case Attribute::Kind::missing:
      return "missing";
    case Attribute::Kind::boolean:
      return attribute.boolean ? "true" : "false";
    case Attribute::Kind::number:
      return number_text(attribute.number);
    case Attribute::Kind::text:
      return std::string(attribute.text().substr(0, 128));
    case Attribute::Kind::texts:
    case Attribute::Kind::values:
      return "a list of " + std::to_string(attribute.count);
  }
  return {};
}

}  // namespace

Truth Condition::evaluate(std::uint32_t index, const Context& context) const noexcept {
  const Node& node = nodes_[index];
  Truth result = Truth::yes;
  switch (node.op) {
    case Op::all:
      for (std::uint32_t child : node.children) {
        const Truth t = evaluate(child, context);
        if (t == Truth::no) return Truth::no;
        if (t == Truth::unknown) result = Truth::unknown;
      }
      return result;
    case Op::any:
      result = Truth::no;
      for (std::uint32_t child : node.children) {
        const Truth t = evaluate(child, context);
        if (t == Truth::yes) return Truth::yes;
        if (t == Truth::unknown) result = Truth::unknown;
      }
      return result;
    case Op::none:
      return negate(evaluate(node.children[0], context));
    case Op::segment:
      return node.segment->evaluate(context);
    default:
      return evaluate_leaf(node, context.attribute(node.slot));
  }
}

std::string Condition::describe(const Node& node, const Context& context) const {
  std::string text(context.table().name(node.slot));
  text.append(" ").append(to_string(node.op));
  std::string list;
  const auto add = [&list](std::string_view item) { list.append(list.empty() ? "" : ", ").append(item); };
  std::size_t shown = 0;
  for (const std::string& item : node.texts)
    if (shown++ < 4) add(item.substr(0, 64));
  if (node.op != Op::before && node.op != Op::after)
    for (double number : node.numbers)
      if (shown++ < 4) add(number_text(number));
  if (node.has_true) add("true");
  if (node.has_false) add("false");
  for (const base::Cidr& block : node.blocks)
    if (shown++ < 4) add(block.to_text());
  if (shown > 4) add("...");
  const bool one = node.texts.size() + node.numbers.size() + node.blocks.size() <= 1;
  text.append(one ? " " : " [").append(list).append(one ? "" : "]");
  return text.append(": it is ").append(attribute_text(context.attribute(node.slot)));
}

// Looks for the leaf that decided against `wanted`; below a `not`, against its opposite.
std::string Condition::why_not(std::uint32_t index, const Context& context, bool wanted) const {
  const Node& node = nodes_[index];
  const Truth good = wanted ? Truth::yes : Truth::no;
  if (evaluate(index, context) == good) return {};
  if (node.op == Op::none) return why_not(node.children[0], context, !wanted);
  if (node.op == Op::segment) {
    const std::string inner = node.segment->why_not(context);
    return "segment " + node.segment_name + (inner.empty() ? "" : ": " + inner);
  }
  for (std::uint32_t child : node.children)
    if (std::string found = why_not(child, context, wanted); !found.empty()) return found;
  if (node.op == Op::all || node.op == Op::any) return std::string(to_string(node.op)) + " of nothing";
  return describe(node, context);
}

std::string Condition::why_not(const Context& context) const {
  return nodes_.empty() ? std::string{} : why_not(0, context, true);
}

}  // namespace weir::experiment::internal
