// What can be known of experiments before anybody takes part: pairs that are locked together, shares, who
// would move.
//
// All of it is arithmetic over definitions and made-up units; nothing here runs on the request's path.
#ifndef WEIR_EXPERIMENT_ANALYSIS_H_
#define WEIR_EXPERIMENT_ANALYSIS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/result.h"
#include "weir/experiment/definition.h"
#include "weir/experiment/snapshot.h"

namespace weir::experiment {

// Two fnv1a experiments whose hash states agree in the low bits after their salts: for all units of one
// length the bucket of one is the other's plus a constant (research: the low k bits of FNV-1a depend on the
// low k bits of its input alone, and 7 bits are all that ASCII changes). With 6 bits in common it holds for
// units of digits.
struct LockedPair {
  std::string first;
  std::string second;
  Place at;                  // of the second
  bool digits_only = false;  // locked for units that consist of digits
  std::string to_text() const;
  std::string fix() const;
};

bool salts_locked(std::string_view a, std::string_view b, bool digits_only = false) noexcept;
// Every pair of experiments that split by plain fnv1a. O(n log n) and the number of pairs.
std::vector<LockedPair> locked_pairs(const Definitions& definitions);

// Units for simulations: random (version 4) UUIDs, always the same for one seed.
std::string simulated_unit(std::uint64_t seed, std::uint64_t number);

struct Simulation {
  struct Share {
    std::string key;
    std::map<std::string, std::uint64_t> variants;  // "" counts those who are not in it
    double chi_square = 0;                          // of the variants against their weights
    std::uint32_t degrees = 0;
  };
  struct Correlation {
    std::string first;
    std::string second;
    double phi = 0;  // of having the first variant of each, among units in both
    std::uint64_t both = 0;
  };
  std::uint64_t units = 0;
  std::vector<Share> shares;              // experiments alone, in the file's order
  std::vector<Correlation> correlations;  // every pair, the strongest first
};
// Evaluates every experiment for `units` units. `attributes` are set on every context.
Simulation simulate(const Snapshot& snapshot, std::uint64_t units, std::uint64_t seed,
                    const Value& attributes);
// A picture of the shares and of the correlations, for a file that a browser shows.
std::string to_svg(const Simulation& simulation);

// How many of the units change their variant from one snapshot to another, by key and "from -> to" ("-":
// none).
struct Moves {
  std::uint64_t units = 0;
  std::map<std::string, std::map<std::pair<std::string, std::string>, std::uint64_t>> by_key;
};
Moves moves_between(const Snapshot& before, const Snapshot& after, std::uint64_t units, std::uint64_t seed,
                    const Value& attributes);

// Ranges for new weights that move the fewest units: a variant that grows keeps all it has, one that shrinks
// gives up only what it must. `owned[i]` are the ranges that variant i has now, `buckets[i]` how many it is
// to have; their sum may be less than `total` (coverage). Fails with invalid_argument when it is more.
Result<std::vector<std::vector<Range>>> reweight(const std::vector<std::vector<Range>>& owned,
                                                 std::span<const std::uint32_t> buckets, std::uint32_t total);
// The ranges that a rule's weights and coverage stand for.
std::vector<std::vector<Range>> ranges_of(const RuleDefinition& rule);

// The chance that a chi-square of so many degrees of freedom is at least this large by luck
// (Wilson-Hilferty).
double chi_square_tail(double chi_square, std::uint32_t degrees) noexcept;

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_ANALYSIS_H_
