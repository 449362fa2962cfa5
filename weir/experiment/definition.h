// Definitions: experiments and flags as somebody wrote them, before they are compiled (snapshot.h).
//
// Plain data, to be filled by a reader (read_native below, for the native file) or by a program. Nothing is
// checked here: compile() does, and names the place of what is wrong. Kept also for what works on definitions
// themselves: lint, simulate, reweight (analysis.h).
#ifndef WEIR_EXPERIMENT_DEFINITION_H_
#define WEIR_EXPERIMENT_DEFINITION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/experiment/context.h"
#include "weir/experiment/hash.h"
#include "weir/experiment/issue.h"
#include "weir/experiment/value.h"

namespace weir::experiment {

class GrowthBook;

// Half-open: the buckets from, from + 1, ..., to - 1.
struct Range {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  friend bool operator==(const Range&, const Range&) noexcept = default;
};

struct VariantDefinition {
  std::string name;
  std::optional<double> weight;  // percent; either all variants have one, or all have ranges
  std::vector<Range> ranges;
  std::optional<Value> value;  // absent: the name
  Place at;
};

// `key` gives one of `in`: variants of an experiment, values of a flag.
struct PrerequisiteDefinition {
  std::string key;
  std::vector<Value> in;
  Place at;
};

struct AllowDefinition {
  std::string variant;
  std::vector<std::string> units;
  Place at;
};

// One rule of a flag; an experiment is a flag with just one, which splits.
struct RuleDefinition {
  std::string id;         // for explain and metrics; absent: "rule N", counted from 1
  Value when;             // null: everybody
  double coverage = 100;  // percent of those who match
  std::string unit;       // attribute that is hashed; "" or absent in a context: targetingKey
  HashKind hash = HashKind::fnv1a_mix;
  std::string salt;                         // of the split; "": the key
  std::optional<Value> value;               // either a value
  std::vector<VariantDefinition> variants;  // or a split
  std::string layer;
  std::vector<Range> slots;
  std::vector<AllowDefinition> allow;
  std::string force;  // a variant that all who take part get: the experiment has been decided
  std::vector<PrerequisiteDefinition> requirements;
  std::optional<std::int64_t> start_ms;  // from, and
  std::optional<std::int64_t> end_ms;    // until before; milliseconds since 1970, UTC
  bool sticky = false;
  Place at;
};

enum class FlagType : std::uint8_t { boolean, text, number, json };

struct EntryDefinition {
  std::string key;
  bool experiment = false;
  FlagType type = FlagType::text;  // flags
  Value fallback;                  // flags: the default
  bool enabled = true;             // the kill switch
  std::vector<RuleDefinition> rules;
  Place at;
};

// A space of slots that experiments share so that no unit is in two of them.
struct LayerDefinition {
  std::string name;
  std::uint32_t slots = 10'000;
  std::string unit;
  std::vector<Range> holdout;  // slots of units that no experiment of the layer gets
  Place at;
};

struct SegmentDefinition {
  std::string name;
  Value when;
  Place at;
};

struct AttributeDefinition {
  std::string name;
  AttributeType type = AttributeType::any;
  Place at;
};

struct Definitions {
  std::vector<AttributeDefinition> attributes;
  std::vector<SegmentDefinition> segments;
  std::vector<LayerDefinition> layers;
  std::vector<EntryDefinition> entries;          // experiments first, then flags, each in the file's order
  std::shared_ptr<const GrowthBook> growthbook;  // keys that no entry has are looked up there
};

// Reads the native form from a tree whose places are known. Unknown keys, missing keys and wrong kinds are
// issues with a suggestion; what is sound is read.
Definitions read_native(const Value& root, Issues& issues);

// Whether the tree is a GrowthBook payload (a map of features, or a list of experiments beside one) and no
// native file.
bool is_growthbook(const Value& root) noexcept;

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_DEFINITION_H_
