// What must hold for every unit: independence, ramps that move nobody, slots that exclude, explain that
// agrees.
#include <cmath>
#include <iostream>
#include <random>
#include <set>

#include "weir/experiment/analysis.h"
#include "weir/experiment/testing.h"

namespace weir::experiment {
namespace {

using testing::compiled;

constexpr std::size_t kNames = 200;
constexpr std::size_t kUnits = 100'000;

// Names as people give them: two words of two lists, and numbered ones.
std::vector<std::string> natural_names() {
  static constexpr std::string_view kFirst[] = {"checkout", "search",  "dark",       "homepage", "cart",
                                                "signup",   "pricing", "onboarding", "email",    "push",
                                                "banner",   "menu",    "footer",     "payment",  "free"};
  static constexpr std::string_view kSecond[] = {"button",  "mode",     "hero", "color", "layout",
                                                 "ranking", "shipping", "flow", "copy",  "order"};
  std::vector<std::string> names;
  for (std::string_view first : kFirst)
    for (std::string_view second : kSecond) names.push_back(std::string(first).append("_").append(second));
  for (int i = 1; names.size() < kNames; ++i) names.push_back("exp_" + std::to_string(i));
  return names;
}

struct Worst {
  double phi = 0;
  double chi_square = 0;  // of the joint 10 x 10 table, 81 degrees of freedom
  std::string pair;
  std::size_t pairs_over = 0;  // with phi over 0.02
};

// Halves as bits, a word of 64 units at a time; tenths as bytes for the joint table.
Worst measure(HashKind kind, const std::vector<std::string>& names, std::vector<std::vector<double>>* phis) {
  const std::uint32_t total = total_buckets(kind);
  std::vector<std::vector<std::uint64_t>> halves(names.size(), std::vector<std::uint64_t>(kUnits / 64 + 1));
  std::vector<std::vector<std::uint8_t>> tenths(names.size(), std::vector<std::uint8_t>(kUnits));
  for (std::size_t u = 0; u < kUnits; ++u) {
    const std::string unit = simulated_unit(7, u);
    for (std::size_t n = 0; n < names.size(); ++n) {
      const std::uint32_t at = bucket(make_salt(kind, names[n]), unit);
      if (at < total / 2) halves[n][u / 64] |= std::uint64_t{1} << (u % 64);
      tenths[n][u] = static_cast<std::uint8_t>(at * 10 / total);
    }
  }
  std::vector<double> ones(names.size());
  for (std::size_t n = 0; n < names.size(); ++n)
    for (std::uint64_t word : halves[n]) ones[n] += __builtin_popcountll(word);
  Worst worst;
  for (std::size_t a = 0; a < names.size(); ++a) {
    for (std::size_t b = a + 1; b < names.size(); ++b) {
      double both = 0;
      for (std::size_t w = 0; w < halves[a].size(); ++w)
        both += __builtin_popcountll(halves[a][w] & halves[b][w]);
      const double n = kUnits;
      const double phi =
          (n * both - ones[a] * ones[b]) / std::sqrt(ones[a] * (n - ones[a]) * ones[b] * (n - ones[b]));
      if (phis != nullptr) (*phis)[a][b] = phi;
      worst.pairs_over += std::fabs(phi) > 0.02;
      if (std::fabs(phi) > std::fabs(worst.phi)) worst.phi = phi, worst.pair = names[a] + ", " + names[b];
      std::array<std::uint32_t, 100> joint{};
      for (std::size_t u = 0; u < kUnits; ++u) ++joint[tenths[a][u] * 10U + tenths[b][u]];
      double chi = 0;
      for (std::uint32_t count : joint) chi += (count - n / 100) * (count - n / 100) / (n / 100);
      worst.chi_square = std::max(worst.chi_square, chi);
    }
  }
  return worst;
}

// Over 200 names the mixed hash has no pair beyond noise (sigma of phi is 0.0032; of 19,900 pairs the largest
// lies near 4.2 sigma; a joint chi-square of 99 degrees stays below 99 + 6 * 14). Plain fnv1a is printed
// beside it, and whatever it locks is named by the lint.
TEST(Property, MixedHashIsIndependentAndPlainIsNot) {
  const std::vector<std::string> names = natural_names();
  const Worst mixed = measure(HashKind::fnv1a_mix, names, nullptr);
  std::cout << "fnv1a-mix: worst phi " << mixed.phi << " (" << mixed.pair << "), worst joint chi-square "
            << mixed.chi_square << " of 99, pairs over 0.02: " << mixed.pairs_over << "\n";
  EXPECT_LT(std::fabs(mixed.phi), 0.02);
  EXPECT_LT(mixed.chi_square, 99 + 6 * 14.1);
  std::vector<std::vector<double>> phis(names.size(), std::vector<double>(names.size()));
  const Worst plain = measure(HashKind::fnv1a, names, &phis);
  std::cout << "fnv1a:     worst phi " << plain.phi << " (" << plain.pair << "), worst joint chi-square "
            << plain.chi_square << " of 99, pairs over 0.02: " << plain.pairs_over << "\n";
  Definitions definitions;
  for (const std::string& name : names) {
    EntryDefinition& entry = definitions.entries.emplace_back();
    entry.key = name;
    entry.experiment = true;
    RuleDefinition& rule = entry.rules.emplace_back();
    rule.hash = HashKind::fnv1a;
    rule.variants.resize(2);
  }
  std::set<std::pair<std::string, std::string>> named;
  for (const LockedPair& pair : locked_pairs(definitions)) named.insert({pair.first, pair.second});
  std::cout << "lint names " << named.size() << " locked pairs of " << names.size() * (names.size() - 1) / 2
            << "\n";
  // The slow twin of the lint: a pair is locked when all units of one length differ by one constant.
  std::size_t locked = 0;
  for (std::size_t a = 0; a < names.size(); ++a) {
    for (std::size_t b = a + 1; b < names.size(); ++b) {
      bool constant = true;
      std::uint32_t first = 0;
      for (std::size_t u = 0; constant && u < 64; ++u) {
        const std::string unit = simulated_unit(7, u);
        const std::uint32_t difference =
            base::fnv1a32(unit, base::fnv1a32(names[b])) - base::fnv1a32(unit, base::fnv1a32(names[a]));
        if (u == 0) first = difference;
        constant = difference == first;
      }
      locked += constant;
      EXPECT_EQ(constant, named.contains({names[a], names[b]})) << names[a] << ", " << names[b];
      if (std::fabs(phis[a][b]) > 0.5) {
        EXPECT_TRUE(constant) << names[a] << ", " << names[b] << ": " << phis[a][b];
      }
    }
  }
  EXPECT_EQ(locked, named.size());
  EXPECT_GT(std::fabs(plain.phi), 0.5);
}

// Raising coverage never changes a variant that was given, step by step from nobody to everybody.
TEST(Property, RampsMoveNobody) {
  for (std::string_view hash : {"fnv1a", "fnv1a-mix"}) {
    std::vector<std::string> before(20'000);
    for (int coverage = 0; coverage <= 100; coverage += 10) {
      const auto snapshot = compiled(
          R"({"experiments": [{"key": "ramp", "hash": ")" + std::string(hash) + R"(", "coverage": )" +
          std::to_string(coverage) +
          R"(, "variants": [{"name": "a", "weight": 20}, {"name": "b", "weight": 30}, {"name": "c", "weight": 50}]}]})");
      std::size_t inside = 0;
      for (std::size_t u = 0; u < before.size(); ++u) {
        std::string now = testing::variant(*snapshot, "ramp", simulated_unit(3, u));
        inside += !now.empty();
        if (!before[u].empty()) {
          ASSERT_EQ(now, before[u]) << "unit " << u << " at coverage " << coverage;
        }
        before[u] = std::move(now);
      }
      EXPECT_NEAR(static_cast<double>(inside), 200.0 * coverage, 5 * std::sqrt(200.0 * coverage) + 1);
    }
  }
}

// A rollout that becomes an experiment over its own salt moves nobody: who had the value has the variant.
TEST(Property, RolloutsBecomeExperimentsInPlace) {
  const auto rollout = compiled(
      R"({"flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"coverage": 10, "value": true}]}]})");
  const auto split =
      compiled(R"({"flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"salt": "f/rollout",
    "variants": [{"name": "true", "ranges": [[0, 1000]]}, {"name": "false", "ranges": [[1000, 2000]]}]}]}]})");
  for (std::uint64_t u = 0; u < 20'000; ++u) {
    const std::string unit = simulated_unit(4, u);
    const bool before = testing::decide(*rollout, "f", unit).value->boolean;
    ASSERT_EQ(testing::decide(*split, "f", unit).value->boolean, before);
  }
}

// No unit is in two experiments of one layer, and adding one to free slots moves nobody.
TEST(Property, SlotsExclude) {
  const std::string layer = R"({"layers": [{"name": "l", "holdout": [[0, 500]]}], "experiments": [)";
  const std::string a =
      R"({"key": "a", "layer": "l", "slots": [[500, 4000], [9000, 9500]], "variants": [{"name": "x", "weight": 50}, {"name": "y", "weight": 50}]})";
  const std::string b =
      R"(, {"key": "b", "layer": "l", "slots": [[4000, 9000]], "variants": [{"name": "x", "weight": 50}, {"name": "y", "weight": 50}]})";
  const auto before = compiled(layer + a + "]}");
  const auto after = compiled(layer + a + b + "]}");
  std::size_t in_a = 0;
  std::size_t in_b = 0;
  std::size_t held = 0;
  for (std::uint64_t u = 0; u < 50'000; ++u) {
    const std::string unit = simulated_unit(5, u);
    const Decision first = testing::decide(*after, "a", unit);
    const Decision second = testing::decide(*after, "b", unit);
    ASSERT_TRUE(first.variant.empty() || second.variant.empty()) << unit;
    ASSERT_EQ(first.variant, testing::variant(*before, "a", unit));
    in_a += !first.variant.empty();
    in_b += !second.variant.empty();
    held += first.reason == Reason::holdout && second.reason == Reason::holdout;
  }
  EXPECT_NEAR(static_cast<double>(in_a), 20'000, 600);
  EXPECT_NEAR(static_cast<double>(in_b), 25'000, 600);
  EXPECT_NEAR(static_cast<double>(held), 2'500, 250);
}

// Shares are within three sigma of the weights, for both hashes.
TEST(Property, SharesFollowWeights) {
  for (std::string_view hash : {"fnv1a", "fnv1a-mix"}) {
    const auto snapshot =
        compiled(R"({"experiments": [{"key": "shares", "hash": ")" + std::string(hash) +
                 R"(", "variants": [{"name": "a", "weight": 10}, {"name": "b", "weight": 90}]}]})");
    int a = 0;
    for (std::uint64_t u = 0; u < 100'000; ++u)
      a += testing::variant(*snapshot, "shares", simulated_unit(6, u)) == "a";
    EXPECT_NEAR(a, 10'000, 3 * std::sqrt(100'000 * 0.1 * 0.9));
  }
}

// reweight gives the wanted sizes, overlaps nothing, and moves only what it must: the sum of what shrinks.
TEST(Property, ReweightMovesTheFewest) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2'000; ++round) {
    const std::uint32_t total = round % 2 == 0 ? 100 : 10'000;
    const std::size_t arms = 2 + random() % 4;
    const auto cut = [&] {
      std::vector<std::uint32_t> sizes(arms);
      std::uint32_t left = total;
      for (std::uint32_t& size : sizes) left -= size = static_cast<std::uint32_t>(random() % (left + 1));
      return sizes;
    };
    const auto before = reweight(std::vector<std::vector<Range>>(arms), cut(), total);
    ASSERT_TRUE(before);
    const std::vector<std::uint32_t> wanted = cut();
    const auto after = reweight(*before, wanted, total);
    ASSERT_TRUE(after);
    constexpr std::size_t kNobody = 99;
    const auto owners = [&](const std::vector<std::vector<Range>>& ranges) {
      std::vector<std::size_t> owner(total, kNobody);
      for (std::size_t i = 0; i < ranges.size(); ++i)
        for (const Range& range : ranges[i])
          for (std::uint32_t b = range.from; b < range.to; ++b) {
            EXPECT_EQ(owner[b], kNobody);
            owner[b] = i;
          }
      return owner;
    };
    const auto old_owner = owners(*before);
    const auto new_owner = owners(*after);
    std::vector<std::uint32_t> old_size(arms);
    std::vector<std::uint32_t> new_size(arms);
    std::uint32_t lost = 0;
    for (std::uint32_t b = 0; b < total; ++b) {
      if (old_owner[b] != kNobody) ++old_size[old_owner[b]];
      if (new_owner[b] != kNobody) ++new_size[new_owner[b]];
      lost += old_owner[b] != kNobody && old_owner[b] != new_owner[b];
    }
    std::uint32_t must = 0;
    for (std::size_t i = 0; i < arms; ++i) {
      ASSERT_EQ(new_size[i], wanted[i]);
      must += old_size[i] > wanted[i] ? old_size[i] - wanted[i] : 0;
    }
    ASSERT_EQ(lost, must);
  }
  EXPECT_FALSE(reweight(std::vector<std::vector<Range>>(1), std::vector<std::uint32_t>{101}, 100));
}

// Many keys at once are decided as each alone, whatever they are, in whatever order, and whoever asks.
TEST(Property, ManyAtOnceAreEachAlone) {
  std::string text = R"({"layers": [{"name": "l"}], "experiments": [)";
  for (int i = 0; i < 90; ++i) {
    static constexpr std::string_view kMore[] = {"",
                                                 R"("hash": "fnv1a", )",
                                                 R"("coverage": 40, )",
                                                 R"("when": {"country": "US"}, )",
                                                 R"("unit": "account", )",
                                                 R"("layer": "l", "slots": [[0, 100]], )",
                                                 R"("sticky": true, )",
                                                 R"("enabled": false, )",
                                                 R"("allow": {"x": ["u1"]}, )"};
    const int kind = i % 2 == 0 ? 0 : i % 9;
    const int layer_at = i * 100;
    std::string more(kMore[kind]);
    if (kind == 5)
      more = R"("layer": "l", "slots": [[)" + std::to_string(layer_at) + ", " +
             std::to_string(layer_at + 100) + "]], ";
    text += (i == 0 ? "{" : ", {") + more + R"("key": "e)" + std::to_string(i) +
            R"(", "variants": [{"name": "x", "weight": 30}, {"name": "y", "weight": 70}]})";
  }
  text += R"(], "flags": [{"key": "f", "type": "string", "default": "d", "rules": [
    {"variants": [{"name": "p", "ranges": [[0, 3000]]}]}]}, {"key": "g", "type": "boolean", "default": true}]})";
  const auto snapshot = compiled(text);
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 3'000; ++round) {
    std::vector<EntryId> ids(random() % 150);
    for (EntryId& id : ids)
      id = random() % 30 == 0 ? EntryId{} : EntryId{static_cast<std::uint32_t>(random() % snapshot->size())};
    Context context(*snapshot);
    const std::string unit = "u" + std::to_string(random() % 100) + std::string(random() % 50, 'x');
    if (random() % 8 != 0)
      context.set_unit(random() % 8 == 0 ? std::string_view("\xff") : std::string_view(unit));
    if (random() % 2 != 0) context.set("country", "US");
    if (random() % 2 != 0) context.set("account", static_cast<double>(random() % 50));
    if (random() % 4 == 0) context.override_variant("e2", "x");
    if (random() % 4 == 0) context.remember("e15", "x");
    std::vector<Decision> together(ids.size());
    snapshot->evaluate(ids, context, together.data());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Decision alone = snapshot->evaluate(ids[i], context);
      ASSERT_EQ(together[i].key, alone.key);
      ASSERT_EQ(together[i].variant, alone.variant) << alone.key;
      ASSERT_EQ(together[i].value, alone.value) << alone.key;
      ASSERT_EQ(together[i].reason, alone.reason) << alone.key;
      ASSERT_EQ(together[i].rule, alone.rule) << alone.key;
      ASSERT_EQ(together[i].bucket, alone.bucket) << alone.key;
      ASSERT_EQ(together[i].experiment, alone.experiment) << alone.key;
      ASSERT_EQ(together[i].tag, alone.tag) << alone.key;
    }
  }
}

// explain() gives evaluate()'s decision for 10^6 random contexts, and its last step says why where there is
// none.
TEST(Property, ExplainAgreesWithEvaluate) {
  const auto snapshot = compiled(R"({"attributes": {"n": "number"},
    "segments": [{"name": "s", "when": {"any": [{"country": ["US", "DE"]}, {"n": {"gt": 3}}]}}],
    "layers": [{"name": "l", "slots": 100, "holdout": [[0, 10]]}],
    "experiments": [
      {"key": "e1", "when": {"segment": "s"}, "coverage": 60, "variants": [{"name": "a", "weight": 50}, {"name": "b", "weight": 50}]},
      {"key": "e2", "layer": "l", "slots": [[10, 60]], "hash": "fnv1a", "sticky": true, "requires": [{"key": "e1", "in": ["a"]}],
       "allow": {"y": ["u7"]}, "variants": [{"name": "x", "weight": 20}, {"name": "y", "weight": 80}]},
      {"key": "e3", "start": "2026-01-01T00:00:00Z", "force": "x", "variants": [{"name": "x", "ranges": [[0, 3000]]}]}],
    "flags": [{"key": "f", "type": "string", "default": "d", "rules": [{"when": {"not": {"country": "US"}}, "coverage": 30, "value": "v"},
      {"requires": [{"key": "e2", "in": ["x", "y"]}], "variants": [{"name": "p", "weight": 40}, {"name": "q", "weight": 60}]}]}]})");
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  static constexpr std::string_view kKeys[] = {"e1", "e2", "e3", "f", "unknown"};
  static constexpr std::string_view kCountries[] = {"US", "DE", "FR"};
  std::array<std::size_t, 19> reasons{};
  Context context(*snapshot);
  for (int round = 0; round < 1'000'000; ++round) {
    context.reset(*snapshot);
    const std::uint64_t dice = random();
    const std::string unit = "u" + std::to_string(dice % 10'000);
    if ((dice >> 16) % 8 != 0)
      context.set_unit((dice >> 16) % 8 == 1 ? std::string_view("\xff") : std::string_view(unit));
    if ((dice >> 20) % 4 != 0) context.set("country", kCountries[(dice >> 22) % 3]);
    if ((dice >> 24) % 2 != 0) context.set("n", static_cast<double>((dice >> 26) % 6));
    if ((dice >> 30) % 2 != 0) context.set_now(WallTime(std::chrono::hours(24 * 365 * 57)));
    if ((dice >> 32) % 16 == 0) context.override_variant("e2", "x");
    if ((dice >> 36) % 4 == 0) context.remember("e2", "y");
    const std::string_view key = kKeys[(dice >> 40) % 5];
    const Decision decision = snapshot->evaluate(key, context);
    const Explanation explanation = snapshot->explain(key, context);
    ASSERT_EQ(explanation.decision.variant, decision.variant);
    ASSERT_EQ(explanation.decision.value, decision.value);
    ASSERT_EQ(explanation.decision.reason, decision.reason);
    ASSERT_EQ(explanation.decision.bucket, decision.bucket);
    ASSERT_EQ(explanation.decision.rule, decision.rule);
    ++reasons[static_cast<std::size_t>(decision.reason)];
    const bool given = !decision.variant.empty();
    if (key[0] == 'e' && !explanation.steps.empty() && decision.reason != Reason::allow_list) {
      ASSERT_EQ(explanation.steps.back().passed, given) << to_string(decision.reason);
    }
  }
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    const auto reason = static_cast<Reason>(i);
    if (reason != Reason::disabled && reason != Reason::constant && reason != Reason::ended) {
      EXPECT_GT(reasons[i], 0U) << to_string(reason);
    }
  }
}

}  // namespace
}  // namespace weir::experiment
