// Evaluation: one template for evaluate() and explain(), which differ only in whether the questions are
// written down. So they cannot disagree; explain_test.cc looks all the same.
#include "weir/experiment/snapshot.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "weir/experiment/growthbook.h"
#include "weir/experiment/internal/compiled.h"
#include "weir/experiment/internal/side_by_side.h"

namespace weir::experiment {

std::string_view to_string(Reason reason) noexcept {
  static constexpr std::array<std::string_view, 19> kNames{
      "split",        "rule",        "forced",       "override",     "allow_list",   "sticky",  "default",
      "static",       "disabled",    "not_started",  "ended",        "prerequisite", "holdout", "other_slot",
      "not_targeted", "not_covered", "missing_unit", "invalid_unit", "unknown_key"};
  return kNames[static_cast<std::size_t>(reason)];
}

namespace internal {
namespace {

struct NoTrace {
  static constexpr bool kOn = false;
};

struct Trace {
  static constexpr bool kOn = true;
  std::vector<Step> steps;
};

// The arm that owns a bucket; null when nobody does.
const Arm* arm_at(const Rule& rule, std::uint32_t at) noexcept {
  const Arm* arm = nullptr;
  for (const Arm& candidate : rule.arms) {
    if (candidate.from > at) break;
    if (at < candidate.to) arm = &candidate;
  }
  return arm;
}

// Whole numbers of this size are exact in a double, and print without an exponent.
constexpr double kWholeMax = 9007199254740992.0;

// The unit as bytes, and whether it is one.
struct Unit {
  enum class State : std::uint8_t { unread, there, missing, invalid };
  State state = State::unread;
  std::string_view text;
  std::array<char, 24> digits;

  void read(const Attribute& attribute) noexcept {
    state = State::invalid;
    if (attribute.kind == Attribute::Kind::missing) {
      state = State::missing;
    } else if (attribute.kind == Attribute::Kind::number) {
      const double n = attribute.number;
      if (n != std::floor(n) || std::fabs(n) > kWholeMax) return;
      char* end =
          std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<std::int64_t>(n)).ptr;
      text = {digits.data(), static_cast<std::size_t>(end - digits.data())};
      state = State::there;
    } else if (attribute.kind == Attribute::Kind::text) {
      text = attribute.text();
      if (text.empty()) state = State::missing;
      if (text.empty() || text.size() > kMaxUnit) return;
      if (attribute.utf8 == Attribute::Utf8::unknown)
        attribute.utf8 = is_utf8(text) ? Attribute::Utf8::sound : Attribute::Utf8::broken;
      if (attribute.utf8 == Attribute::Utf8::sound) state = State::there;
    }
  }
};

template <class TraceType>
class Evaluation {
 public:
  // `hashed`: what hashing the unit from the split's salt gives, where that is known already.
  Evaluation(const Compiled& compiled, const Context& context, TraceType& trace,
             const std::uint32_t* hashed = nullptr)
      : compiled_(compiled), context_(context), trace_(trace), hashed_(hashed) {}

  Decision run(const Entry& entry) {
    Decision decision;
    decision.key = entry.key;
    decision.experiment = entry.experiment;
    if (!entry.enabled) return settle(decision, entry, Reason::disabled);
    for (const Rule& rule : entry.rules) {
      Outcome outcome = ask(entry, rule);
      decision.bucket = outcome.bucket;
      if (outcome.given) {
        decision.reason = outcome.reason;
        decision.rule = rule.id;
        if (rule.splits) {
          decision.variant = rule.variants[outcome.variant].name;
          decision.value = &rule.variants[outcome.variant].value;
          decision.tag = rule.variants[outcome.variant].tag;
        } else {
          decision.value = outcome.fixed != nullptr ? outcome.fixed : &rule.value;
        }
        return decision;
      }
      if (entry.experiment) return settle(decision, entry, outcome.reason);
    }
    decision.bucket = -1;
    return settle(decision, entry, entry.rules.empty() ? Reason::constant : Reason::fallback);
  }

 private:
  struct Outcome {
    bool given = false;
    Reason reason = Reason::fallback;
    std::uint32_t variant = 0;
    std::int32_t bucket = -1;
    const Value* fixed = nullptr;
  };

  Decision settle(Decision& decision, const Entry& entry, Reason reason) {
    decision.reason = reason;
    if (!entry.experiment) decision.value = &entry.fallback;
    return decision;
  }

  void step(const Rule& rule, std::string_view check, bool passed, std::string detail) {
    if constexpr (TraceType::kOn) trace_.steps.push_back({rule.id, check, passed, std::move(detail)});
  }

  static Outcome no(Reason reason, std::int32_t bucket = -1) {
    Outcome outcome;
    outcome.reason = reason;
    outcome.bucket = bucket;
    return outcome;
  }
  static Outcome yes(Reason reason, std::uint32_t variant, std::int32_t bucket = -1) {
    Outcome outcome;
    outcome.given = true;
    outcome.reason = reason;
    outcome.variant = variant;
    outcome.bucket = bucket;
    return outcome;
  }

  // The attribute that the rule names, else the targeting key.
  const Attribute& unit_attribute(std::uint16_t slot) const noexcept {
    const Attribute& named = context_.attribute(slot);
    return named.kind == Attribute::Kind::missing ? context_.attribute(compiled_.targeting_key) : named;
  }

  // False, with `outcome` filled, when the rule needs a unit and there is none.
  bool need_unit(Unit& unit, const Rule& rule, std::uint16_t slot, Outcome& outcome) {
    if (unit.state == Unit::State::unread) unit.read(unit_attribute(slot));
    if (unit.state == Unit::State::there) return true;
    outcome = no(unit.state == Unit::State::missing ? Reason::missing_unit : Reason::invalid_unit);
    if constexpr (TraceType::kOn)
      step(rule, "unit", false,
           "`" + std::string(compiled_.attributes.name(slot)) + "` is " +
               (unit.state == Unit::State::missing ? "missing" : "no valid unit"));
    return false;
  }

  Outcome ask(const Entry& entry, const Rule& rule) {
    Outcome outcome;
    if (!within_time(rule, outcome)) return outcome;
    if (overridden(entry, rule, outcome)) return outcome;
    Unit unit;
    if (!rule.allow.empty()) {
      unit.read(unit_attribute(rule.unit));
      const auto found = unit.state == Unit::State::there ? rule.allow.find(unit.text) : rule.allow.end();
      if constexpr (TraceType::kOn)
        step(rule, "allow", found != rule.allow.end(), std::to_string(rule.allow.size()) + " units");
      if (found != rule.allow.end()) return yes(Reason::allow_list, found->second);
    }
    if (!rule.requirements.empty() && !prerequisites(rule, outcome)) return outcome;
    if (rule.layer >= 0 && !in_layer(rule, outcome)) return outcome;
    if (!rule.when.empty()) {
      const bool matches = rule.when.matches(context_);
      if constexpr (TraceType::kOn) step(rule, "when", matches, rule.when.why_not(context_));
      if (!matches) return no(Reason::not_targeted);
    }
    if (rule.rollout < rule.total) {
      if (!need_unit(unit, rule, rule.unit, outcome)) return outcome;
      const std::uint32_t at = bucket(rule.rollout_salt, unit.text, rule.total);
      outcome.bucket = static_cast<std::int32_t>(at);
      if constexpr (TraceType::kOn)
        step(rule, "coverage", at < rule.rollout,
             "salt `" + rule.rollout_salt_text + "`, bucket " + std::to_string(at) + " of " +
                 std::to_string(rule.total) + ", those below " + std::to_string(rule.rollout) + " take part");
      if (at >= rule.rollout) return no(Reason::not_covered, outcome.bucket);
    }
    if (!rule.splits) return yes(Reason::rule, 0, outcome.bucket);
    if (!need_unit(unit, rule, rule.unit, outcome)) return outcome;
    return split(entry, rule, unit);
  }

  bool within_time(const Rule& rule, Outcome& outcome) {
    if (rule.start_ms == INT64_MIN && rule.end_ms == INT64_MAX) return true;
    const std::int64_t now =
        std::chrono::floor<std::chrono::milliseconds>(context_.now()).time_since_epoch().count();
    const bool started = now >= rule.start_ms;
    const bool ended = now >= rule.end_ms;
    if constexpr (TraceType::kOn)
      step(rule, started ? "end" : "start", started && !ended,
           "the time is " + std::to_string(now) + " ms since 1970");
    outcome = no(!started ? Reason::not_started : Reason::ended);
    return started && !ended;
  }

  bool overridden(const Entry& entry, const Rule& rule, Outcome& outcome) {
    const std::string_view wanted = context_.overridden(entry.key);
    if (wanted.empty()) return false;
    for (std::uint32_t i = 0; i < rule.variants.size(); ++i) {
      if (rule.variants[i].name != wanted) continue;
      outcome = yes(Reason::overridden, i);
      if constexpr (TraceType::kOn) step(rule, "override", true, std::string(wanted));
      return true;
    }
    // A flag's plain value: named by its text, when the rule gives it.
    if (!rule.splits && !entry.experiment && wanted == plain_text(rule.value)) {
      outcome = yes(Reason::overridden, 0);
      return true;
    }
    return false;
  }

  static std::string_view plain_text(const Value& value) noexcept {
    if (value.is(Value::Kind::boolean)) return value.boolean ? "true" : "false";
    return value.is(Value::Kind::text) ? std::string_view(value.text) : std::string_view{};
  }

  bool prerequisites(const Rule& rule, Outcome& outcome) {
    for (const Requirement& needed : rule.requirements) {
      const Entry& entry = compiled_.entries[needed.entry];
      NoTrace quiet;
      const Decision decision = Evaluation<NoTrace>(compiled_, context_, quiet).run(entry);
      bool holds = false;
      for (const std::string& variant : needed.variants) holds |= variant == decision.variant;
      for (const Value& value : needed.values) holds |= decision.value != nullptr && value == *decision.value;
      if constexpr (TraceType::kOn)
        step(rule, "requires", holds,
             "`" + entry.key + "` gives " +
                 (decision.variant.empty() ? decision.value != nullptr ? to_json(*decision.value) : "nothing"
                                           : std::string(decision.variant)));
      if (holds) continue;
      outcome = no(Reason::prerequisite);
      return false;
    }
    return true;
  }

  bool in_layer(const Rule& rule, Outcome& outcome) {
    const Layer& layer = compiled_.layers[static_cast<std::size_t>(rule.layer)];
    Unit unit;
    if (!need_unit(unit, rule, layer.unit, outcome)) return false;
    const std::uint32_t slot = bucket(layer.salt, unit.text, layer.slots);
    const bool held_out = in_ranges(layer.holdout, slot);
    const bool ours = !held_out && in_ranges(rule.slots, slot);
    if constexpr (TraceType::kOn)
      step(rule, "layer", ours,
           "slot " + std::to_string(slot) + " of " + std::to_string(layer.slots) + " in `" + layer.name +
               "`" + (held_out ? ", held out" : ""));
    outcome = no(held_out ? Reason::holdout : Reason::other_slot);
    return ours;
  }

  Outcome split(const Entry& entry, const Rule& rule, const Unit& unit) {
    const std::uint32_t at = hashed_ == nullptr ? bucket(rule.split_salt, unit.text, rule.total)
                                                : bucket_of_hash(rule.split_salt.kind, *hashed_, rule.total);
    const auto number = static_cast<std::int32_t>(at);
    const Arm* arm = arm_at(rule, at);
    if constexpr (TraceType::kOn)
      step(rule, "split", arm != nullptr,
           "salt `" + rule.split_salt_text + "`, bucket " + std::to_string(at) + " of " +
               std::to_string(rule.total) +
               (arm == nullptr ? ", which nobody owns"
                               : ", in [" + std::to_string(arm->from) + ", " + std::to_string(arm->to) +
                                     ") of " + rule.variants[arm->variant].name));
    if (arm == nullptr) return no(Reason::not_covered, number);
    if (rule.force >= 0) return yes(Reason::forced, static_cast<std::uint32_t>(rule.force), number);
    if (rule.sticky) {
      const std::string_view before = context_.remembered(entry.key);
      for (std::uint32_t i = 0; !before.empty() && i < rule.variants.size(); ++i)
        if (rule.variants[i].name == before) return yes(Reason::sticky, i, number);
    }
    return yes(Reason::split, arm->variant, number);
  }

  const Compiled& compiled_;
  const Context& context_;
  TraceType& trace_;
  const std::uint32_t* hashed_;
};

constexpr std::size_t kChunk = 64;  // hashes that stand on the stack at a time

// The short way of a plain entry, with its unit hashed.
inline void decide_plain(const Compiled& compiled, const Card& card, std::uint32_t hashed,
                         Decision& decision) {
  const std::uint32_t at = bucket_of_hash(card.kind, hashed, card.total);
  std::uint32_t ready = 0;
  for (std::size_t i = 0; i < card.arms_count; ++i)
    if (at >= card.arms[i].from && at < card.arms[i].to) ready = card.arms[i].ready;
  decision = compiled.ready[card.ready + ready];
  if (ready != 0 || decision.experiment) decision.bucket = static_cast<std::int32_t>(at);
}

// Up to kChunk entries. Those with one rule, which splits by the unit that the first such rule has, are hashed side by
// side; all others go their own way.
void evaluate_chunk(const Compiled& compiled, std::span<const EntryId> ids, const Context& context,
                    Decision* decisions, const Snapshot& snapshot) {
  std::array<std::uint32_t, kChunk> states{};
  std::array<std::uint8_t, kChunk> places;  // of an id among the states; kChunk: not there
  const Attribute* shared = nullptr;
  std::size_t hashed = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    places[i] = kChunk;
    if (ids[i].index >= compiled.cards.size()) continue;
    const Card& card = compiled.cards[ids[i].index];
    if (!card.splits_once) continue;
    const Attribute* unit = &context.attribute(card.unit);
    if (unit->kind == Attribute::Kind::missing) unit = &context.attribute(compiled.targeting_key);
    if (shared == nullptr) shared = unit;
    if (unit != shared) continue;
    places[i] = static_cast<std::uint8_t>(hashed);
    states[hashed++] = card.state;
  }
  Unit unit;
  if (shared != nullptr) unit.read(*shared);
  const bool usable = hashed > 1 && unit.state == Unit::State::there;
  if (usable)
    // Few registers take as long as many: it is the length of a chain that counts.
    fnv1a32_side_by_side(unit.text, {states.data(), hashed > 32 ? kChunk : hashed > 8 ? 32 : 8});
  const bool short_way = usable && !context.overrides_any();
  NoTrace quiet;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!usable || places[i] == kChunk) {
      decisions[i] = snapshot.evaluate(ids[i], context);
      continue;
    }
    const Card& card = compiled.cards[ids[i].index];
    if (short_way && card.plain) {
      decide_plain(compiled, card, states[places[i]], decisions[i]);
    } else {
      decisions[i] = Evaluation<NoTrace>(compiled, context, quiet, &states[places[i]])
                         .run(compiled.entries[ids[i].index]);
    }
  }
}

}  // namespace
}  // namespace internal

Snapshot::Snapshot(std::unique_ptr<internal::Compiled> compiled) : compiled_(std::move(compiled)) {}
Snapshot::~Snapshot() = default;

EntryId Snapshot::find(std::string_view key) const noexcept {
  const auto found = compiled_->index.find(key);
  return found == compiled_->index.end() ? EntryId{} : EntryId{found->second};
}

std::size_t Snapshot::size() const noexcept {
  return compiled_->entries.size() + compiled_->payload_keys.size();
}

std::string_view Snapshot::key(EntryId id) const noexcept {
  if (id.index < compiled_->entries.size()) return compiled_->entries[id.index].key;
  const std::size_t behind = id.index - compiled_->entries.size();
  return behind < compiled_->payload_keys.size() ? std::string_view(compiled_->payload_keys[behind])
                                                 : std::string_view{};
}

bool Snapshot::is_experiment(EntryId id) const noexcept {
  return id.index < compiled_->entries.size() && compiled_->entries[id.index].experiment;
}

bool Snapshot::is_sticky(EntryId id) const noexcept {
  if (id.index >= compiled_->entries.size()) return false;
  for (const internal::Rule& rule : compiled_->entries[id.index].rules)
    if (rule.sticky) return true;
  return false;
}

std::vector<std::string_view> Snapshot::variants(EntryId id) const {
  if (id && id.index >= compiled_->entries.size())
    return payload() == nullptr ? std::vector<std::string_view>{} : payload()->variants(key(id));
  std::vector<std::string_view> names;
  if (id.index < compiled_->entries.size())
    for (const internal::Rule& rule : compiled_->entries[id.index].rules)
      for (const internal::Variant& variant : rule.variants) names.push_back(variant.name);
  return names;
}

Decision Snapshot::evaluate(EntryId id, const Context& context) const {
  if (id.index < compiled_->entries.size()) {
    internal::NoTrace quiet;
    return internal::Evaluation<internal::NoTrace>(*compiled_, context, quiet)
        .run(compiled_->entries[id.index]);
  }
  const std::string_view name = key(id);
  if (name.empty()) return {};
  return compiled_->definitions.growthbook->decide(name, context);
}

Decision Snapshot::evaluate(std::string_view name, const Context& context) const {
  const EntryId id = find(name);
  if (id) return evaluate(id, context);
  Decision unknown;
  unknown.key = name;
  return unknown;
}

void Snapshot::evaluate(std::span<const EntryId> ids, const Context& context, Decision* decisions) const {
  while (!ids.empty()) {
    const std::size_t count = std::min(ids.size(), internal::kChunk);
    internal::evaluate_chunk(*compiled_, ids.first(count), context, decisions, *this);
    ids = ids.subspan(count);
    decisions += count;
  }
}

Explanation Snapshot::explain(std::string_view name, const Context& context) const {
  Explanation explanation;
  const EntryId id = find(name);
  if (id.index >= compiled_->entries.size()) {
    explanation.decision = evaluate(name, context);
    return explanation;
  }
  internal::Trace trace;
  explanation.decision =
      internal::Evaluation<internal::Trace>(*compiled_, context, trace).run(compiled_->entries[id.index]);
  explanation.steps = std::move(trace.steps);
  return explanation;
}

std::string_view Snapshot::unit_of(EntryId id, const Context& context,
                                   std::array<char, 24>& digits) const noexcept {
  std::uint16_t slot = compiled_->targeting_key;
  if (id.index < compiled_->entries.size() && !compiled_->entries[id.index].rules.empty())
    slot = compiled_->entries[id.index].rules.front().unit;
  if (context.attribute(slot).kind == Attribute::Kind::missing) slot = compiled_->targeting_key;
  internal::Unit unit;
  unit.read(context.attribute(slot));
  if (unit.state != internal::Unit::State::there) return {};
  if (context.attribute(slot).kind == Attribute::Kind::text) return unit.text;
  digits = unit.digits;
  return {digits.data(), unit.text.size()};
}

bool Snapshot::scheduled() const noexcept {
  for (const internal::Entry& entry : compiled_->entries)
    for (const internal::Rule& rule : entry.rules)
      if (rule.start_ms != INT64_MIN || rule.end_ms != INT64_MAX) return true;
  return false;
}

double Snapshot::expected_share(EntryId id, std::string_view variant) const noexcept {
  if (id.index >= compiled_->entries.size() || compiled_->entries[id.index].rules.empty()) return 0;
  const internal::Rule& rule = compiled_->entries[id.index].rules.front();
  double all = 0;
  double own = 0;
  for (const internal::Arm& arm : rule.arms) {
    all += arm.to - arm.from;
    if (rule.variants[arm.variant].name == variant) own += arm.to - arm.from;
  }
  return all > 0 ? own / all : 0;
}

const AttributeTable& Snapshot::attributes() const noexcept { return compiled_->attributes; }
const GrowthBook* Snapshot::payload() const noexcept { return compiled_->definitions.growthbook.get(); }
const Definitions& Snapshot::definitions() const noexcept { return compiled_->definitions; }

}  // namespace weir::experiment
