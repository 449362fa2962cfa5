// GrowthBook's payload (features, experiments, saved groups), evaluated by GrowthBook's own rules.
//
// Its rules are JavaScript's (missing attributes are null, "8" is greater than 5), unlike those of weir's own
// definitions; they hold inside a payload alone. Stands for specification 0.8.0 without what needs state or
// another side: decryption, sticky buckets, URL redirects and contextual bandits. Regular expressions are
// RE2's: a pattern with look-around is no pattern, and as such never matches.
//
// Immutable; any number of threads. Evaluating walks the payload and allocates; recursion through
// prerequisites ends at the first key that is met again.
#ifndef WEIR_EXPERIMENT_GROWTHBOOK_H_
#define WEIR_EXPERIMENT_GROWTHBOOK_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/experiment/issue.h"
#include "weir/experiment/snapshot.h"
#include "weir/experiment/value.h"

namespace weir::experiment {

class GrowthBook {
 public:
  // Who asks. All may be null or empty.
  struct User {
    const Value* attributes = nullptr;         // a map
    const Value* forced_variations = nullptr;  // experiment key to index
    const Value* forced_features = nullptr;    // feature key to value
    std::string_view url;
    bool enabled = true;
    bool qa_mode = false;
  };

  struct ExperimentResult {
    bool in_experiment = false;
    bool hash_used = false;
    bool passthrough = false;
    std::uint32_t variation = 0;
    const Value* value = nullptr;
    std::string key;  // meta's, else the index
    std::string name;
    std::string hash_attribute;
    std::string hash_value;
    std::optional<double> bucket;  // 0..1
  };

  struct FeatureResult {
    const Value* value = nullptr;  // null: null
    std::string_view source;       // "defaultValue" "force" "experiment" "override" "unknownFeature" ...
    std::string_view rule_id;
    std::optional<ExperimentResult> experiment;
    bool on() const noexcept;
  };

  // Mistakes of form are issues (what is sound is kept): not a map, features that are no maps.
  static std::shared_ptr<const GrowthBook> read(Value payload, Issues& issues);
  ~GrowthBook();

  // Features, then experiments whose key no feature has.
  std::vector<std::string_view> keys() const;
  // Names that decide() may give as the variant of a key, where they lie; some may stand there twice.
  std::vector<std::string_view> variants(std::string_view key) const;
  FeatureResult evaluate(std::string_view feature, const User& user) const;
  ExperimentResult run(const Value& experiment, const User& user) const;
  // For Snapshot: of a feature or an experiment, with the attributes of the context.
  Decision decide(std::string_view key, const Context& context) const;
  bool holds(const Value& condition, const Value& attributes) const;
  const Value& payload() const noexcept { return payload_; }

  // The arithmetic by itself, as its specification names it.
  static std::optional<double> hash(std::string_view seed, std::string_view value, int version);
  static std::vector<double> equal_weights(int variations);
  using Bounds = std::pair<double, double>;
  static std::vector<Bounds> bucket_ranges(int variations, double coverage, std::span<const double> weights);
  static int choose_variation(double n, std::span<const Bounds> ranges);
  static bool in_namespace(std::string_view value, const Value& name_and_range);
  static std::optional<int> query_override(std::string_view key, std::string_view url, int variations);

 private:
  struct Patterns;
  friend class GrowthBookEvaluation;
  GrowthBook();
  Value payload_;
  std::unique_ptr<Patterns> patterns_;
};

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_GROWTHBOOK_H_
