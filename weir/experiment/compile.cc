// From definitions to a snapshot: references resolved, numbers checked, cycles refused.
//
//   (1) Variant i owns [cum_i, cum_i + weight_i * coverage / 100) of the buckets, cum_i the sum of the
//       weights before it: raising coverage lengthens each range where it stands, so nobody moves. Under
//       fnv1a a fraction of a bucket is an error; over 10,000 buckets the end is rounded down, which keeps
//       (1).
//   (2) Ranges of one split, and slots of one layer, never overlap.
//   (3) Prerequisites form no cycle, and one evaluation causes at most kMaxCost others.
#include <algorithm>
#include <cmath>
#include <map>

#include "weir/base/strings.h"
#include "weir/experiment/analysis.h"
#include "weir/experiment/growthbook.h"
#include "weir/experiment/internal/compiled.h"

namespace weir::experiment {
namespace internal {
namespace {

std::string quote(std::string_view text) { return "`" + std::string(text.substr(0, 64)) + "`"; }

bool sound_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxKey && is_utf8(text) &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

class Segments final : public SegmentSource {
 public:
  Segments(const std::vector<SegmentDefinition>& definitions, Compiled& compiled, Issues& issues)
      : definitions_(definitions), compiled_(compiled), issues_(issues) {
    for (const SegmentDefinition& definition : definitions) {
      if (!sound_name(definition.name)) {
        issues.error(definition.at, "a segment's name must be 1 to 128 bytes without control characters");
      } else if (!states_.emplace(definition.name, State{&definition, nullptr, false}).second) {
        issues.error(definition.at, "duplicate segment " + quote(definition.name));
      }
    }
  }

  const Condition* segment(std::string_view name, Place at, std::size_t depth) override {
    const auto found = states_.find(std::string(name));
    if (found == states_.end()) {
      std::vector<std::string_view> names;
      for (const auto& [known, state] : states_) names.push_back(known);
      const std::string_view near = base::closest(name, names);
      issues_.error(at, "unknown segment " + quote(name),
                    near.empty() ? "" : "did you mean `" + std::string(near) + "`?");
      return nullptr;
    }
    State& state = found->second;
    if (state.compiled != nullptr) return state.compiled;
    if (state.busy) {
      issues_.error(at, "segment " + quote(name) + " refers to itself");
      return nullptr;
    }
    state.busy = true;
    Condition condition =
        compile_condition(state.definition->when, compiled_.attributes, *this, issues_, depth);
    state.busy = false;
    compiled_.segments.push_back(std::move(condition));
    return state.compiled = &compiled_.segments.back();
  }

  // Also those that nobody names: their mistakes are mistakes all the same.
  void compile_all() {
    for (const SegmentDefinition& definition : definitions_)
      if (states_.contains(definition.name)) static_cast<void>(segment(definition.name, definition.at, 1));
  }

 private:
  struct State {
    const SegmentDefinition* definition;
    const Condition* compiled;
    bool busy;
  };
  const std::vector<SegmentDefinition>& definitions_;
  Compiled& compiled_;
  Issues& issues_;
  std::map<std::string, State> states_;
};

class Compiler {
 public:
  Compiler(Compiled& compiled, Issues& issues)
      : compiled_(compiled),
        definitions_(compiled.definitions),
        issues_(issues),
        segments_(definitions_.segments, compiled, issues) {}

  void compile() {
    compiled_.targeting_key = compiled_.attributes.intern(Context::kTargetingKey);
    for (const AttributeDefinition& attribute : definitions_.attributes) {
      const std::uint16_t slot = compiled_.attributes.intern(attribute.name);
      if (slot == AttributeTable::kNone)
        issues_.error(attribute.at, "more than 4096 names of attributes");
      else
        compiled_.attributes.declare(slot, attribute.type);
    }
    segments_.compile_all();
    layers();
    index_keys();
    for (const EntryDefinition& definition : definitions_.entries) entry(definition);
    check_slots();
    requirements();
    for (const Entry& entry : compiled_.entries) compiled_.cards.push_back(card_of(entry));
  }

 private:
  std::uint16_t unit_slot(const std::string& name) {
    return name.empty() ? compiled_.targeting_key : compiled_.attributes.intern(name);
  }

  void layers() {
    for (const LayerDefinition& definition : definitions_.layers) {
      Layer& layer = compiled_.layers.emplace_back();
      layer.name = definition.name;
      layer.salt = make_salt(HashKind::fnv1a_mix, "layer/" + definition.name);
      layer.unit = unit_slot(definition.unit);
      layer.slots = definition.slots;
      layer.holdout = definition.holdout;
      if (!sound_name(definition.name))
        issues_.error(definition.at, "a layer's name must be 1 to 128 bytes without control characters");
      for (const Range& range : definition.holdout) check_range(range, layer.slots, definition.at, "holdout");
      for (const Layer& other : compiled_.layers)
        if (&other != &layer && other.name == layer.name)
          issues_.error(definition.at, "duplicate layer " + quote(layer.name));
    }
  }

  void index_keys() {
    if (definitions_.entries.size() > kMaxEntries)
      issues_.error(definitions_.entries[kMaxEntries].at, "more than 10000 experiments and flags");
    for (const EntryDefinition& definition : definitions_.entries) {
      const auto number = static_cast<std::uint32_t>(compiled_.index.size());
      if (!sound_name(definition.key)) {
        issues_.error(definition.at, "a key must be 1 to 128 bytes of UTF-8 without control characters");
      } else if (!compiled_.index.emplace(definition.key, number).second) {
        issues_.error(definition.at, "duplicate key " + quote(definition.key),
                      "experiments and flags share one key space");
      }
    }
  }

  void entry(const EntryDefinition& definition) {
    Entry& entry = compiled_.entries.emplace_back();
    entry.key = definition.key;
    entry.experiment = definition.experiment;
    entry.enabled = definition.enabled;
    entry.type = definition.type;
    entry.fallback = definition.fallback;
    if (!definition.experiment) check_type(definition, definition.fallback, "`default`");
    for (const RuleDefinition& rule : definition.rules) entry.rules.push_back(compile_rule(definition, rule));
  }

  void check_type(const EntryDefinition& definition, const Value& value, std::string_view what) {
    using Kind = Value::Kind;
    static constexpr std::array<Kind, 3> kKinds{Kind::boolean, Kind::text, Kind::number};
    if (definition.type == FlagType::json) return;
    const Kind wanted = kKinds[static_cast<std::size_t>(definition.type)];
    if (value.is(wanted)) return;
    issues_.error(value.at.line != 0 ? value.at : definition.at,
                  std::string(what) + " of " + quote(definition.key) + " must be a " +
                      std::string(to_string(wanted)) + ", as its type says; got a " +
                      std::string(to_string(value.kind)));
  }

  Rule compile_rule(const EntryDefinition& entry, const RuleDefinition& definition) {
    Rule rule;
    rule.id = definition.id;
    rule.when = compile_condition(definition.when, compiled_.attributes, segments_, issues_);
    rule.unit = unit_slot(definition.unit);
    if (rule.unit == AttributeTable::kNone)
      issues_.error(definition.at, "more than 4096 names of attributes");
    rule.sticky = definition.sticky;
    rule.total = total_buckets(definition.hash);
    rule.split_salt_text = definition.salt.empty() ? entry.key : definition.salt;
    rule.rollout_salt_text = entry.key + "/rollout";
    rule.split_salt = make_salt(definition.hash, rule.split_salt_text);
    rule.rollout_salt = make_salt(definition.hash, rule.rollout_salt_text);
    rule.start_ms = definition.start_ms.value_or(INT64_MIN);
    rule.end_ms = definition.end_ms.value_or(INT64_MAX);
    if (rule.start_ms >= rule.end_ms) issues_.error(definition.at, "`end` must be after `start`");
    rule.splits = !definition.variants.empty();
    if (rule.splits) {
      split(entry, definition, rule);
    } else if (definition.value) {
      rule.value = *definition.value;
      check_type(entry, rule.value, "`value`");
    }
    // An experiment's coverage lies in its ranges; a flag's rule asks a hash of its own first.
    rule.rollout = entry.experiment ? rule.total : covered(definition, rule.total);
    layer_of(definition, rule);
    allow_of(definition, rule);
    if (!definition.force.empty()) rule.force = variant_named(rule, definition.force, definition.at);
    return rule;
  }

  std::uint32_t covered(const RuleDefinition& definition, std::uint32_t total) {
    const double share = definition.coverage * total / 100;
    if (definition.hash == HashKind::fnv1a && !nearly_whole(share))
      issues_.error(definition.at, "`coverage` gives a fraction of a bucket, and fnv1a has 100",
                    "use `hash: fnv1a-mix`");
    return static_cast<std::uint32_t>(std::floor(share + 1e-9));
  }

  static bool nearly_whole(double x) { return std::fabs(x - std::round(x)) < 1e-6; }

  void split(const EntryDefinition& entry, const RuleDefinition& definition, Rule& rule) {
    if (definition.variants.size() > kMaxVariants)
      return issues_.error(definition.at, "more than 1000 variants");
    std::size_t ranged = 0;
    for (const VariantDefinition& variant : definition.variants) {
      ranged += variant.ranges.empty() ? 0 : 1;
      if (!sound_name(variant.name))
        issues_.error(variant.at, "a variant's name must be 1 to 128 bytes without control characters");
      for (const Variant& other : rule.variants)
        if (other.name == variant.name) issues_.error(variant.at, "duplicate variant " + quote(variant.name));
      Value value = variant.value ? *variant.value : Value::of(std::string_view(variant.name));
      if (!entry.experiment) {
        if (!variant.value && entry.type == FlagType::boolean &&
            (variant.name == "true" || variant.name == "false"))
          value = Value::of(variant.name == "true");
        check_type(entry, value, "the variant's value");
      }
      const std::uint64_t of_key = base::fnv1a64(std::string_view(&kSaltEnd, 1), base::fnv1a64(entry.key));
      rule.variants.push_back({variant.name, std::move(value), base::fnv1a64(variant.name, of_key)});
    }
    if (ranged != 0)
      explicit_ranges(definition, rule);
    else
      weights(entry, definition, rule);
    std::sort(rule.arms.begin(), rule.arms.end(), [](const Arm& a, const Arm& b) { return a.from < b.from; });
  }

  void explicit_ranges(const RuleDefinition& definition, Rule& rule) {
    if (definition.coverage != 100)
      issues_.error(definition.at, "`coverage` and explicit `ranges` cannot stand together",
                    "leave gaps between the ranges");
    for (std::uint32_t i = 0; i < definition.variants.size(); ++i) {
      const VariantDefinition& variant = definition.variants[i];
      if (variant.weight)
        issues_.error(variant.at, "a variant has either a `weight` or `ranges`, and so have all of a split");
      for (const Range& range : variant.ranges) {
        if (!check_range(range, rule.total, variant.at, "ranges")) continue;
        for (const Arm& arm : rule.arms)
          if (range.from < arm.to && arm.from < range.to)
            issues_.error(variant.at, "ranges overlap: [" + std::to_string(range.from) + ", " +
                                          std::to_string(range.to) + ") and [" + std::to_string(arm.from) +
                                          ", " + std::to_string(arm.to) + ")");
        rule.arms.push_back({range.from, range.to, i});
      }
    }
  }

  void weights(const EntryDefinition& entry, const RuleDefinition& definition, Rule& rule) {
    double sum = 0;
    bool sound = true;
    for (const VariantDefinition& variant : definition.variants) {
      if (!variant.weight || *variant.weight < 0 || *variant.weight > 100) {
        issues_.error(variant.at, variant.weight ? "`weight` must be 0 to 100"
                                                 : "a variant needs a `weight` or `ranges`");
        sound = false;
        continue;
      }
      sum += *variant.weight;
    }
    if (!sound) return;
    if (std::fabs(sum - 100) > 1e-6)
      return issues_.error(definition.at, "the weights of " + quote(entry.key) + " sum to " +
                                              number_text(sum) + ", not to 100");
    const bool literal = definition.hash == HashKind::fnv1a;
    const double scale = rule.total / 100.0;
    const double coverage = entry.experiment ? definition.coverage : 100;
    double before = 0;
    for (std::uint32_t i = 0; i < definition.variants.size(); ++i) {
      const VariantDefinition& variant = definition.variants[i];
      const double start = before * scale;
      const double length = *variant.weight * scale * coverage / 100;
      if (!nearly_whole(start + *variant.weight * scale) || (literal && !nearly_whole(length)))
        return issues_.error(variant.at,
                             "a fraction of a bucket: " + number_text(*variant.weight) + "% at coverage " +
                                 number_text(coverage) + " of " + std::to_string(rule.total) + " buckets",
                             literal ? "use `hash: fnv1a-mix`, which has 10000" : "use at most two decimals");
      const auto from = static_cast<std::uint32_t>(std::lround(start));
      const auto to = from + static_cast<std::uint32_t>(std::floor(length + 1e-6));
      if (to > from) rule.arms.push_back({from, to, i});
      before += *variant.weight;
    }
  }

  bool check_range(const Range& range, std::uint32_t total, Place at, std::string_view what) {
    if (range.from < range.to && range.to <= total) return true;
    issues_.error(at, std::string(what) + ": [" + std::to_string(range.from) + ", " +
                          std::to_string(range.to) + ") must be within 0 to " + std::to_string(total) +
                          ", and not empty");
    return false;
  }

  std::int32_t variant_named(const Rule& rule, std::string_view name, Place at) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < rule.variants.size(); ++i) {
      if (rule.variants[i].name == name) return static_cast<std::int32_t>(i);
      names.push_back(rule.variants[i].name);
    }
    const std::string_view near = base::closest(name, names);
    issues_.error(at, "no variant is called " + quote(name),
                  near.empty() ? "" : "did you mean `" + std::string(near) + "`?");
    return -1;
  }

  void layer_of(const RuleDefinition& definition, Rule& rule) {
    if (definition.layer.empty()) {
      if (!definition.slots.empty()) issues_.error(definition.at, "`slots` need a `layer`");
      return;
    }
    for (std::size_t i = 0; i < compiled_.layers.size(); ++i)
      if (compiled_.layers[i].name == definition.layer) rule.layer = static_cast<std::int32_t>(i);
    if (rule.layer < 0) return issues_.error(definition.at, "unknown layer " + quote(definition.layer));
    if (definition.slots.empty()) issues_.error(definition.at, "an experiment in a layer needs `slots`");
    const std::uint32_t slots = compiled_.layers[static_cast<std::size_t>(rule.layer)].slots;
    for (const Range& range : definition.slots)
      if (check_range(range, slots, definition.at, "slots")) rule.slots.push_back(range);
  }

  void allow_of(const RuleDefinition& definition, Rule& rule) {
    for (const AllowDefinition& allowed : definition.allow) {
      std::int32_t variant = 0;
      if (rule.splits) variant = variant_named(rule, allowed.variant, allowed.at);
      if (variant < 0) continue;
      for (const std::string& unit : allowed.units)
        if (!rule.allow.emplace(unit, static_cast<std::uint32_t>(variant)).second)
          issues_.error(allowed.at, "the unit " + quote(unit) + " is allowed twice");
    }
  }

  // Two users of one layer may not share a slot; a rule's own ranges neither, nor what is held out.
  void check_slots() {
    struct Use {
      Range range;
      std::int32_t layer;
      std::string_view key;
      Place at;
    };
    std::vector<Use> uses;
    for (std::size_t l = 0; l < compiled_.layers.size(); ++l)
      for (const Range& range : compiled_.layers[l].holdout)
        uses.push_back({range, static_cast<std::int32_t>(l), "the holdout", definitions_.layers[l].at});
    for (std::size_t e = 0; e < compiled_.entries.size(); ++e)
      for (std::size_t r = 0; r < compiled_.entries[e].rules.size(); ++r)
        for (const Range& range : compiled_.entries[e].rules[r].slots)
          uses.push_back({range, compiled_.entries[e].rules[r].layer, compiled_.entries[e].key,
                          definitions_.entries[e].rules[r].at});
    std::stable_sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) {
      return a.layer != b.layer ? a.layer < b.layer : a.range.from < b.range.from;
    });
    std::size_t widest = 0;  // of those before, the one that reaches furthest
    for (std::size_t i = 1; i < uses.size(); ++i) {
      const Use& before = uses[widest];
      const Use& use = uses[i];
      const bool same = before.layer == use.layer;
      if (same && use.range.from < before.range.to)
        issues_.error(use.at, "slots of " + quote(use.key) + " overlap with those of " + quote(before.key));
      if (!same || use.range.to > before.range.to) widest = i;
    }
  }

  void requirements() {
    for (std::size_t e = 0; e < definitions_.entries.size(); ++e)
      for (std::size_t r = 0; r < definitions_.entries[e].rules.size(); ++r)
        for (const PrerequisiteDefinition& needed : definitions_.entries[e].rules[r].requirements)
          requirement(needed, compiled_.entries[e].rules[r]);
    std::vector<std::uint8_t> state(compiled_.entries.size(), 0);
    for (std::uint32_t e = 0; e < compiled_.entries.size(); ++e) cost_of(e, state);
  }

  void requirement(const PrerequisiteDefinition& needed, Rule& rule) {
    const auto found = compiled_.index.find(needed.key);
    if (found == compiled_.index.end() || found->second >= compiled_.entries.size()) {
      std::vector<std::string_view> keys;
      for (const auto& [key, index] : compiled_.index) keys.push_back(key);
      const std::string_view near = base::closest(needed.key, keys);
      return issues_.error(needed.at, "unknown key " + quote(needed.key),
                           near.empty() ? "" : "did you mean `" + std::string(near) + "`?");
    }
    const Entry& target = compiled_.entries[found->second];
    Requirement requirement;
    requirement.entry = found->second;
    for (const Value& value : needed.in) {
      if (!target.experiment) {
        check_type(definitions_.entries[found->second], value, "the required value");
        requirement.values.push_back(value);
      } else if (!value.is(Value::Kind::text)) {
        issues_.error(value.at, "a prerequisite of an experiment names its variants");
      } else if (!target.rules.empty() && variant_named(target.rules[0], value.text, value.at) >= 0) {
        requirement.variants.push_back(value.text);
      }
    }
    rule.requirements.push_back(std::move(requirement));
  }

  static bool is_plain(const Entry& entry) {
    if (!entry.enabled || entry.rules.size() != 1) return false;
    const Rule& rule = entry.rules.front();
    return rule.splits && !rule.sticky && rule.force < 0 && rule.layer < 0 && rule.when.empty() &&
           rule.rollout == rule.total && rule.allow.empty() && rule.requirements.empty() &&
           rule.start_ms == INT64_MIN && rule.end_ms == INT64_MAX;
  }

  // The entries are complete and move no more.
  Card card_of(const Entry& entry) {
    Card card;
    if (entry.rules.size() != 1 || !entry.rules.front().splits) return card;
    const Rule& rule = entry.rules.front();
    card.splits_once = true;
    card.unit = rule.unit;
    card.state = rule.split_salt.state;
    card.kind = rule.split_salt.kind;
    card.total = static_cast<std::uint16_t>(rule.total);
    card.plain = is_plain(entry) && rule.arms.size() <= Card::kArms;
    if (!card.plain) return card;
    card.ready = static_cast<std::uint32_t>(compiled_.ready.size());
    for (const Arm& arm : rule.arms)
      card.arms[card.arms_count++] = {static_cast<std::uint16_t>(arm.from),
                                      static_cast<std::uint16_t>(arm.to),
                                      static_cast<std::uint16_t>(arm.variant + 1)};
    Decision& none = compiled_.ready.emplace_back();
    none.key = entry.key;
    none.experiment = entry.experiment;
    none.reason = entry.experiment ? Reason::not_covered : Reason::fallback;
    if (!entry.experiment) none.value = &entry.fallback;
    for (const Variant& variant : rule.variants) {
      Decision& decision = compiled_.ready.emplace_back();
      decision.key = entry.key;
      decision.experiment = entry.experiment;
      decision.reason = Reason::split;
      decision.rule = rule.id;
      decision.variant = variant.name;
      decision.value = &variant.value;
      decision.tag = variant.tag;
    }
    return card;
  }

  // Depth first; recursion ends at kMaxCost levels, since each level costs at least one.
  std::uint32_t cost_of(std::uint32_t e, std::vector<std::uint8_t>& state, std::uint32_t depth = 0) {
    Entry& entry = compiled_.entries[e];
    if (state[e] == 2) return entry.cost;
    const Place at = definitions_.entries[e].at;
    if (state[e] == 1) {
      issues_.error(at, "prerequisites form a cycle through " + quote(entry.key));
      return 1;
    }
    state[e] = 1;
    std::uint64_t cost = 1;
    for (const Rule& rule : entry.rules)
      for (const Requirement& needed : rule.requirements)
        cost += depth < kMaxCost ? cost_of(needed.entry, state, depth + 1) : kMaxCost;
    if (cost > kMaxCost)
      issues_.error(at, "the prerequisites of " + quote(entry.key) + " ask more than 1000 questions");
    entry.cost = static_cast<std::uint32_t>(std::min<std::uint64_t>(cost, kMaxCost));
    state[e] = 2;
    return entry.cost;
  }

  Compiled& compiled_;
  const Definitions& definitions_;
  Issues& issues_;
  Segments segments_;
};

}  // namespace
}  // namespace internal

std::shared_ptr<const Snapshot> compile(Definitions definitions, Issues& issues) {
  auto compiled = std::make_unique<internal::Compiled>();
  compiled->definitions = std::move(definitions);
  internal::Compiler(*compiled, issues).compile();
  if (compiled->definitions.growthbook != nullptr) {
    for (std::string_view key : compiled->definitions.growthbook->keys()) {
      const auto number =
          static_cast<std::uint32_t>(compiled->entries.size() + compiled->payload_keys.size());
      if (compiled->index.emplace(std::string(key), number).second) compiled->payload_keys.emplace_back(key);
    }
  }
  for (const LockedPair& pair : locked_pairs(compiled->definitions))
    issues.warning(pair.at, pair.to_text(), pair.fix());
  if (issues.any_error()) return nullptr;
  return std::shared_ptr<const Snapshot>(new Snapshot(std::move(compiled)));
}

std::shared_ptr<const Snapshot> empty_snapshot() {
  Issues issues;
  return compile({}, issues);
}

}  // namespace weir::experiment
