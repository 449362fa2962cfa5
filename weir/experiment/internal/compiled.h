// What a snapshot is made of: rules with their salts absorbed, ranges sorted, conditions compiled.
#ifndef WEIR_EXPERIMENT_INTERNAL_COMPILED_H_
#define WEIR_EXPERIMENT_INTERNAL_COMPILED_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/experiment/definition.h"
#include "weir/experiment/internal/condition.h"
#include "weir/experiment/snapshot.h"

namespace weir::experiment::internal {

inline constexpr std::size_t kMaxEntries = 10'000;
inline constexpr std::size_t kMaxVariants = 1'000;  // of one split
inline constexpr std::size_t kMaxKey = 128;
inline constexpr std::size_t kMaxUnit = 1'024;
// Evaluations that one may cause through prerequisites, all levels together.
inline constexpr std::uint32_t kMaxCost = 1'000;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

struct Arm {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t variant = 0;
};

struct Variant {
  std::string name;
  Value value;
  std::uint64_t tag = 0;
};

struct Requirement {
  std::uint32_t entry = 0;
  std::vector<std::string> variants;  // of an experiment
  std::vector<Value> values;          // of a flag
};

struct Layer {
  std::string name;
  Salt salt;
  std::uint16_t unit = 0;
  std::uint32_t slots = 0;
  std::vector<Range> holdout;
};

struct Rule {
  std::string id;
  Condition when;
  std::uint16_t unit = 0;
  bool splits = false;
  bool sticky = false;
  Salt split_salt;
  Salt rollout_salt;
  std::uint32_t total = 10'000;
  std::uint32_t rollout = 10'000;  // buckets of the rollout that take part; `total`: everybody
  std::vector<Arm> arms;           // by `from`; gaps are not covered
  std::vector<Variant> variants;
  Value value;
  std::int32_t layer = -1;
  std::vector<Range> slots;
  TextMap<std::uint32_t> allow;  // unit to variant
  std::int32_t force = -1;
  std::vector<Requirement> requirements;
  std::int64_t start_ms = INT64_MIN;
  std::int64_t end_ms = INT64_MAX;
  std::string split_salt_text;  // for explain
  std::string rollout_salt_text;
};

struct Entry {
  std::string key;
  bool experiment = false;
  bool enabled = true;
  FlagType type = FlagType::text;
  Value fallback;
  std::vector<Rule> rules;
  std::uint32_t cost = 1;
};

// What deciding many at once needs of an entry, in one cache line: fifty entries with all that they own would not stay
// in the nearest cache from one request to the next.
struct alignas(64) Card {
  static constexpr std::size_t kArms = 6;  // in place; who has more goes the long way
  struct Own {
    std::uint16_t from = 0;  // totals are at most 10,000
    std::uint16_t to = 0;
    std::uint16_t ready = 0;  // of its variant, counted from `ready` below
  };
  std::uint32_t state = 0;  // of the split's salt
  std::uint16_t unit = 0;
  std::uint16_t total = 0;
  bool splits_once = false;  // one rule, which splits: the hash may be known beforehand
  bool plain = false;        // and nothing but the bucket is asked
  HashKind kind = HashKind::fnv1a_mix;
  std::uint8_t arms_count = 0;
  std::array<Own, kArms> arms;
  std::uint32_t ready = 0;  // of Compiled::ready: where nobody owns the bucket, then variant by variant
};

struct Compiled {
  Definitions definitions;
  AttributeTable attributes;
  std::uint16_t targeting_key = 0;
  std::deque<Condition> segments;
  std::vector<Layer> layers;
  std::vector<Entry> entries;
  std::vector<Card> cards;      // one for each entry
  std::vector<Decision> ready;  // but for their buckets; views into the entries
  TextMap<std::uint32_t> index;
  std::vector<std::string> payload_keys;  // of the GrowthBook payload, behind the entries
};

inline bool in_ranges(const std::vector<Range>& ranges, std::uint32_t bucket) noexcept {
  for (const Range& range : ranges)
    if (bucket >= range.from && bucket < range.to) return true;
  return false;
}

}  // namespace weir::experiment::internal

#endif  // WEIR_EXPERIMENT_INTERNAL_COMPILED_H_
