// The native form: one function for each kind of map in the file, keys checked against the list that the
// function names. What the values mean together (weights, ranges, references) is compile()'s.
#include <array>
#include <cmath>
#include <initializer_list>
#include <span>

#include "weir/base/strings.h"
#include "weir/experiment/definition.h"
#include "weir/experiment/internal/scalars.h"

namespace weir::experiment {
namespace {

using Kind = Value::Kind;

class NativeReader {
 public:
  explicit NativeReader(Issues& issues) : issues_(issues) {}

  Definitions read(const Value& root) {
    Definitions all;
    if (root.is(Kind::null)) return all;
    if (!known(root, "the file", {"attributes", "segments", "layers", "experiments", "flags"})) return all;
    if (const Value* types = root.find("attributes")) read_attributes(*types, all);
    each(root, "segments", [&](const Value& item) { all.segments.push_back(segment(item)); });
    each(root, "layers", [&](const Value& item) { all.layers.push_back(layer(item)); });
    each(root, "experiments", [&](const Value& item) { all.entries.push_back(experiment(item)); });
    each(root, "flags", [&](const Value& item) { all.entries.push_back(flag(item)); });
    return all;
  }

 private:
  // Whether `map` is a map at all; keys that it should not have are reported.
  bool known(const Value& map, std::string_view what, std::initializer_list<std::string_view> keys) {
    if (!map.is(Kind::map)) {
      issues_.error(map.at, std::string(what) + " must be a map; got a " + std::string(to_string(map.kind)));
      return false;
    }
    for (const Member& member : map.members) {
      bool found = false;
      for (std::string_view key : keys) found |= key == member.name;
      if (found) continue;
      const std::string_view near = base::closest(member.name, {keys.begin(), keys.size()});
      issues_.error(member.value.key_at,
                    "unknown key `" + member.name.substr(0, 64) + "` in " + std::string(what),
                    near.empty() ? "" : "did you mean `" + std::string(near) + "`?");
    }
    return true;
  }

  const Value* typed(const Value& map, std::string_view key, Kind kind, std::string_view expected) {
    const Value* value = map.find(key);
    if (value == nullptr) return nullptr;
    if (value->is(kind)) return value;
    issues_.error(value->is(Kind::null) ? value->key_at : value->at,
                  "`" + std::string(key) + "` must be " + std::string(expected) + "; got " +
                      (value->is(Kind::null) ? "nothing" : "a " + std::string(to_string(value->kind))));
    return nullptr;
  }

  template <class Read>
  void each(const Value& map, std::string_view key, Read read) {
    if (const Value* list = typed(map, key, Kind::list, "a list"))
      for (const Value& item : list->items) read(item);
  }

  void text(const Value& map, std::string_view key, std::string& target) {
    if (const Value* value = typed(map, key, Kind::text, "text")) target = value->text;
  }

  void boolean(const Value& map, std::string_view key, bool& target) {
    if (const Value* value = typed(map, key, Kind::boolean, "true or false")) target = value->boolean;
  }

  // A key, a name: numbers are taken as they were meant, since `key: 2024` is easily written.
  void name(const Value& map, std::string_view key, std::string_view what, std::string& target) {
    const Value* value = map.find(key);
    if (value == nullptr)
      return issues_.error(map.at, std::string(what) + " needs a `" + std::string(key) + "`");
    if (value->is(Kind::number)) {
      target = number_text(value->number);
    } else {
      text(map, key, target);
    }
  }

  void moment(const Value& map, std::string_view key, std::optional<std::int64_t>& target) {
    const Value* value = typed(map, key, Kind::text, "a moment such as 2026-01-31T08:00:00Z");
    if (value == nullptr) return;
    target = internal::parse_time_ms(value->text);
    if (!target)
      issues_.error(value->at, "`" + std::string(key) +
                                   "` must be a moment such as 2026-01-31T08:00:00Z; got `" +
                                   value->text.substr(0, 64) + "`");
  }

  void ranges(const Value& map, std::string_view key, std::vector<Range>& target) {
    each(map, key, [&](const Value& pair) {
      Range range;
      if (!pair.is(Kind::list) || pair.items.size() != 2 || !whole(pair.items[0], range.from) ||
          !whole(pair.items[1], range.to))
        return issues_.error(pair.at, "a range is two whole numbers, [from, to], `to` not in it");
      target.push_back(range);
    });
  }

  static bool whole(const Value& value, std::uint32_t& target) {
    if (!value.is(Kind::number) || value.number < 0 || value.number > 0x7fffffff ||
        value.number != std::floor(value.number))
      return false;
    target = static_cast<std::uint32_t>(value.number);
    return true;
  }

  void read_attributes(const Value& map, Definitions& all) {
    static constexpr std::array<std::string_view, 7> kTypes{"string", "number", "boolean", "version",
                                                            "ip",     "time",   "list"};
    if (!map.is(Kind::map)) return issues_.error(map.at, "`attributes` must be a map of names to types");
    for (const Member& member : map.members) {
      AttributeDefinition attribute;
      attribute.name = member.name;
      attribute.at = member.value.key_at;
      for (std::size_t i = 0; i < kTypes.size(); ++i)
        if (member.value.text == kTypes[i]) attribute.type = static_cast<AttributeType>(i + 1);
      if (attribute.type == AttributeType::any) {
        const std::string_view near = base::closest(member.value.text, kTypes);
        issues_.error(member.value.at, "unknown attribute type `" + member.value.text.substr(0, 64) + "`",
                      near.empty() ? "types: string number boolean version ip time list"
                                   : "did you mean `" + std::string(near) + "`?");
      }
      all.attributes.push_back(std::move(attribute));
    }
  }

  SegmentDefinition segment(const Value& map) {
    SegmentDefinition segment;
    segment.at = map.at;
    if (!known(map, "a segment", {"name", "when"})) return segment;
    name(map, "name", "a segment", segment.name);
    if (const Value* when = map.find("when"))
      segment.when = *when;
    else
      issues_.error(map.at, "a segment needs a `when`");
    return segment;
  }

  LayerDefinition layer(const Value& map) {
    LayerDefinition layer;
    layer.at = map.at;
    if (!known(map, "a layer", {"name", "slots", "unit", "holdout"})) return layer;
    name(map, "name", "a layer", layer.name);
    if (const Value* slots = typed(map, "slots", Kind::number, "a whole number"))
      if (!whole(*slots, layer.slots) || layer.slots == 0 || layer.slots > 1'000'000)
        issues_.error(slots->at, "`slots` must be 1 to 1000000");
    text(map, "unit", layer.unit);
    ranges(map, "holdout", layer.holdout);
    return layer;
  }

  VariantDefinition variant(const Value& map) {
    VariantDefinition variant;
    variant.at = map.at;
    if (!known(map, "a variant", {"name", "weight", "ranges", "value"})) return variant;
    name(map, "name", "a variant", variant.name);
    if (const Value* weight = typed(map, "weight", Kind::number, "a percentage"))
      variant.weight = weight->number;
    ranges(map, "ranges", variant.ranges);
    if (const Value* value = map.find("value")) variant.value = *value;
    return variant;
  }

  PrerequisiteDefinition prerequisite(const Value& map) {
    PrerequisiteDefinition needed;
    needed.at = map.at;
    if (!known(map, "a prerequisite", {"key", "in", "is"})) return needed;
    name(map, "key", "a prerequisite", needed.key);
    each(map, "in", [&](const Value& item) { needed.in.push_back(item); });
    if (const Value* is = map.find("is")) needed.in.push_back(*is);
    if (needed.in.empty()) issues_.error(map.at, "a prerequisite needs `in: [..]` or `is: ..`");
    return needed;
  }

  void allow(const Value& map, RuleDefinition& rule) {
    if (!map.is(Kind::map))
      return issues_.error(map.at, "`allow` must be a map of variants to lists of units");
    for (const Member& member : map.members) {
      AllowDefinition allowed;
      allowed.variant = member.name;
      allowed.at = member.value.key_at;
      if (!member.value.is(Kind::list)) {
        issues_.error(member.value.at, "`" + member.name + "` must be a list of units");
        continue;
      }
      for (const Value& unit : member.value.items) {
        if (unit.is(Kind::text))
          allowed.units.push_back(unit.text);
        else if (unit.is(Kind::number))
          allowed.units.push_back(number_text(unit.number));
        else
          issues_.error(unit.at, "a unit must be text or a number");
      }
      rule.allow.push_back(std::move(allowed));
    }
  }

  // What experiments and rules have in common.
  void common(const Value& map, RuleDefinition& rule) {
    rule.at = map.at;
    if (const Value* when = map.find("when")) rule.when = *when;
    if (const Value* coverage = typed(map, "coverage", Kind::number, "a percentage")) {
      rule.coverage = coverage->number;
      if (rule.coverage < 0 || rule.coverage > 100)
        issues_.error(coverage->at, "`coverage` must be 0 to 100");
    }
    text(map, "unit", rule.unit);
    text(map, "salt", rule.salt);
    text(map, "layer", rule.layer);
    text(map, "force", rule.force);
    ranges(map, "slots", rule.slots);
    boolean(map, "sticky", rule.sticky);
    moment(map, "start", rule.start_ms);
    moment(map, "end", rule.end_ms);
    if (const Value* list = map.find("allow")) allow(*list, rule);
    each(map, "requires", [&](const Value& item) { rule.requirements.push_back(prerequisite(item)); });
    each(map, "variants", [&](const Value& item) { rule.variants.push_back(variant(item)); });
    if (const Value* hash = typed(map, "hash", Kind::text, "fnv1a or fnv1a-mix")) {
      if (hash->text == "fnv1a")
        rule.hash = HashKind::fnv1a;
      else if (hash->text != "fnv1a-mix")
        issues_.error(hash->at, "unknown hash `" + hash->text.substr(0, 64) + "`",
                      "hashes: fnv1a, fnv1a-mix");
    }
  }

  EntryDefinition experiment(const Value& map) {
    EntryDefinition entry;
    entry.experiment = true;
    entry.at = map.at;
    if (!known(map, "an experiment",
               {"key", "unit", "hash", "salt", "when", "coverage", "variants", "layer", "slots", "allow",
                "force", "requires", "start", "end", "sticky", "enabled"}))
      return entry;
    name(map, "key", "an experiment", entry.key);
    boolean(map, "enabled", entry.enabled);
    RuleDefinition& rule = entry.rules.emplace_back();
    common(map, rule);
    rule.id = "experiment";
    if (map.find("variants") == nullptr) issues_.error(map.at, "an experiment needs `variants`");
    return entry;
  }

  RuleDefinition rule(const Value& map, std::size_t number) {
    RuleDefinition rule;
    rule.at = map.at;
    rule.id = "rule " + std::to_string(number);
    if (!known(map, "a rule",
               {"id", "unit", "hash", "salt", "when", "coverage", "value", "variants", "layer", "slots",
                "allow", "force", "requires", "start", "end", "sticky"}))
      return rule;
    text(map, "id", rule.id);
    common(map, rule);
    if (const Value* value = map.find("value")) rule.value = *value;
    if (rule.value.has_value() == (map.find("variants") != nullptr))
      issues_.error(map.at, "a rule has either a `value` or `variants`");
    return rule;
  }

  EntryDefinition flag(const Value& map) {
    static constexpr std::array<std::string_view, 4> kTypes{"boolean", "string", "number", "json"};
    EntryDefinition entry;
    entry.at = map.at;
    if (!known(map, "a flag", {"key", "type", "default", "enabled", "rules"})) return entry;
    name(map, "key", "a flag", entry.key);
    boolean(map, "enabled", entry.enabled);
    std::string type;
    name(map, "type", "a flag", type);
    bool found = type.empty();  // reported
    for (std::size_t i = 0; i < kTypes.size(); ++i)
      if (type == kTypes[i]) entry.type = static_cast<FlagType>(i), found = true;
    if (!found) {
      const std::string_view near = base::closest(type, kTypes);
      issues_.error(
          map.find("type")->at, "unknown type `" + type.substr(0, 64) + "`",
          near.empty() ? "types: boolean string number json" : "did you mean `" + std::string(near) + "`?");
    }
    if (const Value* fallback = map.find("default"))
      entry.fallback = *fallback;
    else
      issues_.error(map.at, "a flag needs a `default`");
    std::size_t number = 0;
    each(map, "rules", [&](const Value& item) { entry.rules.push_back(rule(item, ++number)); });
    return entry;
  }

  Issues& issues_;
};

}  // namespace

Definitions read_native(const Value& root, Issues& issues) { return NativeReader(issues).read(root); }

bool is_growthbook(const Value& root) noexcept {
  return root.find("features") != nullptr && root.find("flags") == nullptr;
}

}  // namespace weir::experiment
