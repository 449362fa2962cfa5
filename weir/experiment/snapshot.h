// Snapshot: definitions, compiled. Immutable, shared by any number of threads, replaced as a whole
// (engine.h).
//
//   Issues issues;
//   auto snapshot = compile(read_native(tree, issues), issues);     // null when anything is an error
//   Context context(*snapshot);
//   context.set_unit("user_1");
//   Decision decision = snapshot->evaluate("checkout_button", context);
//   if (decision.variant == "treatment") ...
//
// Order in which a rule is asked: kill switch, start and end, override, allow-list, prerequisites, the
// layer's holdout and slots, condition, coverage, sticky, split. The first that says no ends it: for an
// experiment with its reason, for a flag with the next rule, at last with the default. A unit that a rule
// needs and that is missing means not in it, never random. Decisions are views into the snapshot, valid as
// long as it lives. evaluate() allocates nothing (a GrowthBook payload's rules do).
#ifndef WEIR_EXPERIMENT_SNAPSHOT_H_
#define WEIR_EXPERIMENT_SNAPSHOT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/experiment/context.h"
#include "weir/experiment/definition.h"
#include "weir/experiment/issue.h"

namespace weir::experiment {

enum class Reason : std::uint8_t {
  split,       // by bucket
  rule,        // a rule's value
  forced,      // by the definition: the experiment is decided
  overridden,  // by the context: a signed override
  allow_list,
  sticky,    // what the unit had before
  fallback,  // no rule held: the flag's default
  constant,  // the flag has no rules: the default
  disabled,  // the kill switch
  not_started,
  ended,
  prerequisite,  // another key did not give what is required
  holdout,
  other_slot,    // the layer gave the unit to another experiment, or to none
  not_targeted,  // the condition did not hold
  not_covered,   // outside of coverage
  missing_unit,
  invalid_unit,  // not UTF-8, over 1 KiB, or neither text nor whole number
  unknown_key,
};
std::string_view to_string(Reason reason) noexcept;

struct Decision {
  std::string_view key;
  std::string_view variant;      // "" when none: not in the experiment, or a flag's plain value
  const Value* value = nullptr;  // of the variant, the rule or the default; null when there is none
  Reason reason = Reason::unknown_key;
  std::string_view rule;     // the id of the rule that decided; "" when none did
  std::int32_t bucket = -1;  // of the split or the rollout, whichever was looked at last; -1: none
  bool experiment = false;
  std::uint64_t tag = 0;  // of key and variant: fnv1a64(key, 0x1F, variant); 0 when there is no variant
};

// One question that was asked on the way, in order.
struct Step {
  std::string_view rule;
  std::string_view check;  // "start" "allow" "requires" "layer" "when" "coverage" "sticky" "split" ...
  bool passed = false;
  std::string detail;  // the failing condition, the salt and bucket, the ranges
};

struct Explanation {
  Decision decision;
  std::vector<Step> steps;
};

// A key looked up once. Valid for the snapshot that gave it.
struct EntryId {
  std::uint32_t index = 0xffffffff;
  explicit operator bool() const noexcept { return index != 0xffffffff; }
};

namespace internal {
struct Compiled;
}

class Snapshot {
 public:
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  EntryId find(std::string_view key) const noexcept;
  std::size_t size() const noexcept;  // experiments and flags; ids are 0 .. size()-1
  std::string_view key(EntryId id) const noexcept;
  bool is_experiment(EntryId id) const noexcept;
  // Some rule of the entry keeps what a unit had before (Context::remember).
  bool is_sticky(EntryId id) const noexcept;
  std::vector<std::string_view> variants(EntryId id) const;  // names, in order

  Decision evaluate(EntryId id, const Context& context) const;
  Decision evaluate(std::string_view key, const Context& context) const;
  // The same for many: `decisions` has a place for each id, in their order. Hashes the unit for all of them at
  // once, so that 50 experiments cost far less than 50 times one.
  void evaluate(std::span<const EntryId> ids, const Context& context, Decision* decisions) const;
  Explanation explain(std::string_view key, const Context& context) const;
  // The unit that the entry's first rule hashes, as it was decided for; "" when there is none. A number is
  // written into `digits`.
  std::string_view unit_of(EntryId id, const Context& context, std::array<char, 24>& digits) const noexcept;
  // 1 for each experiment with a split: the share of the weights that `variant` has, 0 when unknown.
  double expected_share(EntryId id, std::string_view variant) const noexcept;

  const AttributeTable& attributes() const noexcept;
  const GrowthBook* payload() const noexcept;
  const Definitions& definitions() const noexcept;
  // Some rule begins or ends: decisions of one context may change by themselves.
  bool scheduled() const noexcept;

 private:
  friend std::shared_ptr<const Snapshot> compile(Definitions definitions, Issues& issues);
  explicit Snapshot(std::unique_ptr<internal::Compiled> compiled);
  std::unique_ptr<internal::Compiled> compiled_;
};

// Checks and compiles. Null when something is an error; warnings (locked pairs) alone give a snapshot.
std::shared_ptr<const Snapshot> compile(Definitions definitions, Issues& issues);

// A snapshot with nothing in it: every key is unknown.
std::shared_ptr<const Snapshot> empty_snapshot();

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_SNAPSHOT_H_
