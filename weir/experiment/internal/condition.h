// Conditions over attributes, compiled once.
//
//   (1) Three-valued (Kleene): a leaf whose attribute is missing, or of a kind its operator does not take, is
//       unknown, and so is its negation. Only `yes` matches; hence a missing attribute never does, not even
//       negated. `exists` alone is always known.
//   (2) Lists: a positive operator holds if any element satisfies it; `ne` and `not_in` if no element is
//       equal.
//   (3) Nodes lie in one array, children behind their parent; segments are conditions of their own, referred
//       to and checked for cycles at compile time. Depth is at most kMaxDepth, so recursion is bounded.
//
// Evaluating allocates nothing: literals are parsed at load, RE2 runs in its own bounded cache. Checked
// against a slow twin over random conditions in condition_test.cc.
#ifndef WEIR_EXPERIMENT_INTERNAL_CONDITION_H_
#define WEIR_EXPERIMENT_INTERNAL_CONDITION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/ip.h"
#include "weir/experiment/context.h"
#include "weir/experiment/internal/scalars.h"
#include "weir/experiment/issue.h"
#include "weir/experiment/value.h"

namespace re2 {
class RE2;
}

namespace weir::experiment::internal {

enum class Truth : std::uint8_t { no, yes, unknown };
constexpr Truth negate(Truth t) noexcept {
  return t == Truth::unknown ? t : t == Truth::yes ? Truth::no : Truth::yes;
}

enum class Op : std::uint8_t {
  all,
  any,
  none,
  segment,  // `none` is `not`: of its one child
  eq,
  ne,
  in,
  not_in,
  gt,
  gte,
  lt,
  lte,
  between,
  exists,
  starts_with,
  ends_with,
  contains,
  matches,
  semver_eq,
  semver_ne,
  semver_gt,
  semver_gte,
  semver_lt,
  semver_lte,
  cidr,
  before,
  after,
};
std::string_view to_string(Op op) noexcept;

inline constexpr std::size_t kMaxDepth = 16;      // of all/any/not and segments within one another
inline constexpr std::size_t kMaxNodes = 10'000;  // of one condition
inline constexpr std::size_t kMaxConditionCost =
    100'000;  // nodes visited, with those of all segments that are referred to
inline constexpr std::size_t kMaxLiterals = 100'000;  // of one operator: a list of ids
inline constexpr std::size_t kMaxPattern = 4'096;     // bytes of a regular expression

class Condition;

struct Node {
  Node();
  Node(Node&&) noexcept;
  Node& operator=(Node&&) noexcept;
  ~Node();

  Op op = Op::all;
  std::uint16_t slot = AttributeTable::kNone;
  std::vector<std::uint32_t> children;  // indices of nodes
  const Condition* segment = nullptr;
  std::string segment_name;
  // What the attribute is compared with; which of them counts follows from op and the attribute's kind.
  std::vector<std::string> texts;  // sorted for eq, ne, in, not_in
  std::vector<double> numbers;     // sorted likewise; bounds, moments in milliseconds
  bool has_true = false;           // among the literals of eq, ne, in, not_in; the operand of exists
  bool has_false = false;
  Version version;  // views into texts[0]
  std::vector<base::Cidr> blocks;
  std::unique_ptr<re2::RE2> pattern;
};

class Condition {
 public:
  bool empty() const noexcept { return nodes_.empty(); }  // always matches
  bool matches(const Context& context) const noexcept {
    return nodes_.empty() || evaluate(0, context) == Truth::yes;
  }
  Truth evaluate(const Context& context) const noexcept {
    return nodes_.empty() ? Truth::yes : evaluate(0, context);
  }
  // The first leaf, in reading order, that keeps the whole from matching: "country in [US, CA]: it is DE". ""
  // when it matches. For people; allocates.
  std::string why_not(const Context& context) const;
  // Nodes that one evaluation may visit, and how deep it may go, with those of the segments it refers to.
  std::size_t cost() const noexcept { return cost_; }
  std::size_t height() const noexcept { return height_; }

 private:
  friend class ConditionCompiler;
  Truth evaluate(std::uint32_t index, const Context& context) const noexcept;
  std::string why_not(std::uint32_t index, const Context& context, bool wanted) const;
  std::string describe(const Node& node, const Context& context) const;

  std::vector<Node> nodes_;
  std::size_t cost_ = 0;
  std::size_t height_ = 0;
};

// Where segments are found while conditions are compiled; null for an unknown one or one that refers to
// itself, which it reports.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  virtual const Condition* segment(std::string_view name, Place at, std::size_t depth) = 0;
};

// Compiles `when` (a map; null matches always). Mistakes go to `issues`, what is sound is compiled.
Condition compile_condition(const Value& when, AttributeTable& table, SegmentSource& segments, Issues& issues,
                            std::size_t depth = 0);

}  // namespace weir::experiment::internal

#endif  // WEIR_EXPERIMENT_INTERNAL_CONDITION_H_
