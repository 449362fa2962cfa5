// From the tree under `when` to nodes. A map of attributes is an `all`; `all`, `any`, `not` and `segment` are
// words; anything else is an attribute's name, whose value is a map of operators, or short for `eq` (scalar)
// or `in` (list).
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <optional>

#include "weir/base/strings.h"
#include "weir/experiment/internal/condition.h"

namespace weir::experiment::internal {
namespace {

constexpr std::size_t kFirstLeaf = static_cast<std::size_t>(Op::eq);
constexpr std::size_t kOps = static_cast<std::size_t>(Op::after) + 1;

std::optional<Op> leaf_op(std::string_view name) {
  for (std::size_t i = kFirstLeaf; i < kOps; ++i)
    if (to_string(static_cast<Op>(i)) == name) return static_cast<Op>(i);
  return std::nullopt;
}

std::string nearest_op(std::string_view name) {
  std::vector<std::string_view> names;
  for (std::size_t i = kFirstLeaf; i < kOps; ++i) names.push_back(to_string(static_cast<Op>(i)));
  const std::string_view near = base::closest(name, names);
  return near.empty()
             ? "operators: eq ne in not_in gt gte lt lte between exists starts_with ends_with contains "
               "matches semver_eq semver_ne semver_gt semver_gte semver_lt semver_lte cidr before after"
             : "did you mean `" + std::string(near) + "`?";
}

bool takes_list(Op op) {
  return op == Op::in || op == Op::not_in || op == Op::between || op == Op::starts_with ||
         op == Op::ends_with || op == Op::contains || op == Op::cidr;
}

// What kind of attribute an operator can hold for; `any` when it depends on the literals.
bool type_allows(AttributeType type, Op op) {
  if (type == AttributeType::any || type == AttributeType::list || op == Op::exists) return true;
  switch (op) {
    case Op::eq:
    case Op::ne:
    case Op::in:
    case Op::not_in:
      return true;
    case Op::gt:
    case Op::gte:
    case Op::lt:
    case Op::lte:
    case Op::between:
      return type == AttributeType::number;
    case Op::before:
    case Op::after:
      return type == AttributeType::time || type == AttributeType::text || type == AttributeType::number;
    default:
      return type != AttributeType::number && type != AttributeType::boolean;
  }
}

std::string_view type_name(AttributeType type) {
  static constexpr std::array<std::string_view, 8> kNames{"any",     "string", "number", "boolean",
                                                          "version", "ip",     "time",   "list"};
  return kNames[static_cast<std::size_t>(type)];
}

}  // namespace

class ConditionCompiler {
 public:
  ConditionCompiler(AttributeTable& table, SegmentSource& segments, Issues& issues, Condition& target)
      : table_(table), segments_(segments), issues_(issues), target_(target), nodes_(target.nodes_) {}

  // The root first: compile() may grow nodes_, so nodes are filled through their index.
  std::uint32_t compile(const Value& when, std::size_t depth) {
    const std::uint32_t index = add(Op::all);
    if (!when.is(Value::Kind::map)) {
      issues_.error(when.at,
                    "a condition must be a map of attributes; got a " + std::string(to_string(when.kind)));
      return index;
    }
    if (depth > kMaxDepth || nodes_.size() > kMaxNodes) {
      if (!too_large_)
        issues_.error(when.at, "the condition is nested deeper than 16 levels, or has more than 10000 parts");
      too_large_ = true;
      return index;
    }
    target_.height_ = std::max(target_.height_, depth + 1);
    for (const Member& member : when.members) {
      if (member.name == "all" || member.name == "any") {
        group(index, member, depth);
      } else if (member.name == "not") {
        const std::uint32_t negated = add(Op::none);
        attach(index, negated);
        const std::uint32_t child = compile(member.value, depth + 1);
        attach(negated, child);
      } else if (member.name == "segment") {
        segment(index, member, depth);
      } else {
        attribute(index, member);
      }
    }
    return index;
  }

 private:
  std::uint32_t add(Op op) {
    nodes_.emplace_back().op = op;
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  void attach(std::uint32_t parent, std::uint32_t child) { nodes_[parent].children.push_back(child); }

  void group(std::uint32_t parent, const Member& member, std::size_t depth) {
    if (!member.value.is(Value::Kind::list))
      return issues_.error(member.value.key_at, "`" + member.name + "` must be a list of conditions");
    const std::uint32_t index = add(member.name == "all" ? Op::all : Op::any);
    attach(parent, index);
    for (const Value& item : member.value.items) {
      const std::uint32_t child = compile(item, depth + 1);
      attach(index, child);
    }
  }

  // A name, or a list of names of which any will do.
  void segment(std::uint32_t parent, const Member& member, std::size_t depth) {
    const std::uint32_t any = add(Op::any);
    attach(parent, any);
    const auto one = [&](const Value& name) {
      if (!name.is(Value::Kind::text))
        return issues_.error(name.at, "`segment` must be the name of a segment");
      const Condition* condition = segments_.segment(name.text, name.at, depth + 1);
      if (condition == nullptr) return;
      target_.cost_ += condition->cost();
      target_.height_ = std::max(target_.height_, depth + 1 + condition->height());
      if (target_.cost_ > kMaxConditionCost || target_.height_ > 2 * kMaxDepth)
        return issues_.error(name.at,
                             "segments within segments: too deep, or more than 100000 parts together");
      const std::uint32_t index = add(Op::segment);
      nodes_[index].segment = condition;
      nodes_[index].segment_name = name.text;
      attach(any, index);
    };
    if (member.value.is(Value::Kind::list))
      for (const Value& item : member.value.items) one(item);
    else
      one(member.value);
  }

  void attribute(std::uint32_t parent, const Member& member) {
    const std::uint16_t slot = table_.intern(member.name);
    if (member.name.empty() || slot == AttributeTable::kNone)
      return issues_.error(member.value.key_at, member.name.empty() ? "an attribute needs a name"
                                                                    : "more than 4096 names of attributes");
    const Value& value = member.value;
    if (!value.is(Value::Kind::map)) {
      if (value.is(Value::Kind::null))
        return issues_.error(value.key_at, "`" + member.name + "` must have a condition",
                             "`exists: false` asks for its absence");
      return leaf(parent, slot, value.is(Value::Kind::list) ? Op::in : Op::eq, value);
    }
    if (value.members.empty()) return issues_.error(value.key_at, "`" + member.name + "` has no operator");
    for (const Member& test : value.members) {
      const std::optional<Op> op = leaf_op(test.name);
      if (!op)
        issues_.error(test.value.key_at, "unknown operator `" + test.name + "`", nearest_op(test.name));
      else
        leaf(parent, slot, *op, test.value);
    }
  }

  void leaf(std::uint32_t parent, std::uint16_t slot, Op op, const Value& operand) {
    const std::string name(to_string(op));
    if (!type_allows(table_.type(slot), op))
      return issues_.error(operand.key_at, "`" + name + "` cannot hold for `" +
                                               std::string(table_.name(slot)) + "`, which is declared as " +
                                               std::string(type_name(table_.type(slot))));
    if (operand.is(Value::Kind::list) && !takes_list(op))
      return issues_.error(operand.at, "`" + name + "` takes one value, not a list",
                           op == Op::eq   ? "did you mean `in`?"
                           : op == Op::ne ? "did you mean `not_in`?"
                                          : "");
    if (operand.is(Value::Kind::map) || operand.is(Value::Kind::null))
      return issues_.error(operand.at, "`" + name + "` needs a value");
    Node node;
    node.op = op;
    node.slot = slot;
    if (!fill(node, operand)) return;
    nodes_.push_back(std::move(node));
    attach(parent, static_cast<std::uint32_t>(nodes_.size() - 1));
  }

  bool fill(Node& node, const Value& operand) {
    const std::span<const Value> all = operand.is(Value::Kind::list) ? std::span<const Value>(operand.items)
                                                                     : std::span<const Value>(&operand, 1);
    if (all.size() > kMaxLiterals) return wrong(operand, "more than 100000 values");
    switch (node.op) {
      case Op::eq:
      case Op::ne:
      case Op::in:
      case Op::not_in:
        return fill_literals(node, all);
      case Op::exists:
        if (!operand.is(Value::Kind::boolean)) return wrong(operand, "`exists` must be true or false");
        (operand.boolean ? node.has_true : node.has_false) = true;
        return true;
      case Op::gt:
      case Op::gte:
      case Op::lt:
      case Op::lte:
      case Op::between:
        return fill_numbers(node, operand, all);
      case Op::starts_with:
      case Op::ends_with:
      case Op::contains:
      case Op::matches:
        return fill_texts(node, operand, all);
      case Op::cidr:
        return fill_blocks(node, all);
      case Op::before:
      case Op::after:
        return fill_time(node, operand);
      default:
        return fill_version(node, operand);
    }
  }

  bool fill_literals(Node& node, std::span<const Value> all) {
    for (const Value& literal : all) {
      switch (literal.kind) {
        case Value::Kind::boolean:
          (literal.boolean ? node.has_true : node.has_false) = true;
          break;
        case Value::Kind::number:
          node.numbers.push_back(literal.number);
          break;
        case Value::Kind::text:
          node.texts.push_back(literal.text);
          break;
        default:
          return wrong(literal, "must be text, a number, true or false");
      }
    }
    // A text attribute of a declared kind arrives as that kind, so literals of another could never be equal.
    const AttributeType type = table_.type(node.slot);
    if (type == AttributeType::number && (!node.texts.empty() || node.has_true || node.has_false))
      return wrong(all.front(), "`" + std::string(table_.name(node.slot)) + "` is declared as number");
    if (type == AttributeType::boolean && (!node.texts.empty() || !node.numbers.empty()))
      return wrong(all.front(), "`" + std::string(table_.name(node.slot)) + "` is declared as boolean");
    std::sort(node.texts.begin(), node.texts.end());
    node.texts.erase(std::unique(node.texts.begin(), node.texts.end()), node.texts.end());
    std::sort(node.numbers.begin(), node.numbers.end());
    return true;
  }

  bool fill_numbers(Node& node, const Value& operand, std::span<const Value> all) {
    for (const Value& literal : all) {
      if (!literal.is(Value::Kind::number)) return wrong(literal, "must be a number");
      node.numbers.push_back(literal.number);
    }
    if (node.op != Op::between) return true;
    if (node.numbers.size() != 2 || node.numbers[0] > node.numbers[1])
      return wrong(operand, "`between` must be two numbers, the smaller first");
    return true;
  }

  bool fill_texts(Node& node, const Value& operand, std::span<const Value> all) {
    for (const Value& literal : all) {
      if (!literal.is(Value::Kind::text)) return wrong(literal, "must be text");
      node.texts.push_back(literal.text);
    }
    if (node.op != Op::matches) return true;
    if (operand.text.size() > kMaxPattern) return wrong(operand, "a pattern of more than 4096 bytes");
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);  // automata of one pattern; RE2 falls back to slower ones, never past it
    node.pattern = std::make_unique<re2::RE2>(operand.text, options);
    if (!node.pattern->ok()) return wrong(operand, "bad regular expression: " + node.pattern->error());
    return true;
  }

  bool fill_blocks(Node& node, std::span<const Value> all) {
    for (const Value& literal : all) {
      const Result<base::Cidr> block = base::Cidr::parse(literal.text);
      if (!literal.is(Value::Kind::text) || !block)
        return wrong(literal, "must be an address block such as 10.0.0.0/8");
      node.blocks.push_back(*block);
    }
    return true;
  }

  bool fill_time(Node& node, const Value& operand) {
    if (operand.is(Value::Kind::number)) {
      node.numbers.push_back(operand.number);
      return true;
    }
    const auto ms = parse_time_ms(operand.text);
    if (!operand.is(Value::Kind::text) || !ms)
      return wrong(operand, "must be a moment such as 2026-01-31T08:00:00Z, or milliseconds since 1970");
    node.numbers.push_back(static_cast<double>(*ms));
    node.texts.push_back(operand.text);
    return true;
  }

  bool fill_version(Node& node, const Value& operand) {
    // A bare 2.1 in YAML is a number; its text would have lost what 2.10 means.
    if (!operand.is(Value::Kind::text))
      return wrong(operand, "must be a version in quotes, such as \"2.1.0\"");
    node.texts.push_back(operand.text);
    const auto version = parse_version(node.texts[0]);
    if (!version)
      return wrong(operand, "`" + operand.text.substr(0, 64) + "` is not a version such as 2.1.0");
    node.version = *version;
    if (!node.version.prerelease.empty()) {  // small strings move with the node: point into where it will lie
      prerelease_fixups_.push_back(static_cast<std::uint32_t>(nodes_.size()));
    }
    return true;
  }

  bool wrong(const Value& value, std::string message) {
    issues_.error(value.at, std::move(message));
    return false;
  }

 public:
  // Views into texts are made anew once no node moves any more.
  void finish() {
    target_.cost_ += nodes_.size();
    for (std::uint32_t index : prerelease_fixups_) {
      Node& node = nodes_[index];
      if (!node.texts.empty())
        if (const auto version = parse_version(node.texts[0])) node.version = *version;
    }
  }

 private:
  AttributeTable& table_;
  SegmentSource& segments_;
  Issues& issues_;
  Condition& target_;
  std::vector<Node>& nodes_;
  std::vector<std::uint32_t> prerelease_fixups_;
  bool too_large_ = false;
};

Condition compile_condition(const Value& when, AttributeTable& table, SegmentSource& segments, Issues& issues,
                            std::size_t depth) {
  Condition condition;
  if (when.is(Value::Kind::null)) return condition;
  ConditionCompiler compiler(table, segments, issues, condition);
  compiler.compile(when, depth);
  compiler.finish();
  return condition;
}

}  // namespace weir::experiment::internal
