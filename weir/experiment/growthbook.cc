// Features and experiments of a GrowthBook payload. The order of questions in run() is the specification's;
// numbers in its comments are the specification's own steps.
#include "weir/experiment/growthbook.h"

#include <re2/re2.h>

#include <cmath>
#include <map>

#include "weir/base/strings.h"
#include "weir/experiment/hash.h"
#include "weir/experiment/internal/mongrule.h"

namespace weir::experiment {
namespace {

using Kind = Value::Kind;
constexpr std::size_t kMaxPattern = 4'096;
const Value kNothing;

const Value& member(const Value& map, std::string_view name) {
  const Value* found = map.find(name);
  return found == nullptr ? kNothing : *found;
}

std::string text_of(const Value& map, std::string_view name, std::string_view fallback = {}) {
  const Value* found = map.find(name);
  return found == nullptr || found->is(Kind::null) ? std::string(fallback) : internal::js_text(*found);
}

int version_of(const Value& map, int fallback) {
  const Value& value = member(map, "hashVersion");
  return value.is(Kind::number) ? static_cast<int>(std::clamp(value.number, 0.0, 99.0)) : fallback;
}

bool in_bounds(double n, const Value& range) {
  return range.is(Kind::list) && range.items.size() >= 2 && n >= range.items[0].number &&
         n < range.items[1].number;
}

std::vector<double> numbers_of(const Value& list) {
  std::vector<double> numbers;
  for (const Value& item : list.items) numbers.push_back(item.number);
  return numbers;
}

}  // namespace

struct GrowthBook::Patterns {
  // By a leading "i" or "s" for the case, then the pattern.
  std::map<std::string, std::unique_ptr<re2::RE2>, std::less<>> by_text;

  void collect(const Value& value) {
    for (const Value& item : value.items) collect(item);
    for (const Member& one : value.members) {
      if ((one.name == "$regex" || one.name == "$regexi") && one.value.is(Kind::text) &&
          one.value.text.size() <= kMaxPattern)
        add(one.value.text, one.name == "$regexi");
      collect(one.value);
    }
  }

  void add(const std::string& text, bool insensitive) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_case_sensitive(!insensitive);
    options.set_max_mem(1 << 20);
    by_text.emplace((insensitive ? "i" : "s") + text, std::make_unique<re2::RE2>(text, options));
  }

  bool find(std::string_view pattern, bool insensitive, std::string_view text) const {
    const auto found = by_text.find(std::string(insensitive ? "i" : "s").append(pattern));
    return found != by_text.end() && found->second->ok() &&
           re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *found->second);
  }
};

// One question: keeps which features are being evaluated.
class GrowthBookEvaluation {
 public:
  GrowthBookEvaluation(const GrowthBook& book, const GrowthBook::User& user)
      : features_(member(book.payload_, "features")),
        user_(user),
        attributes_(user.attributes != nullptr ? *user.attributes : kNothing) {
    rule_.saved_groups = book.payload_.find("savedGroups");
    const GrowthBook::Patterns* patterns = book.patterns_.get();
    rule_.find_pattern = [patterns](std::string_view pattern, bool insensitive, std::string_view text) {
      return patterns->find(pattern, insensitive, text);
    };
  }

  GrowthBook::FeatureResult feature(std::string_view key) {
    for (std::string_view open : open_)
      if (open == key) return result(nullptr, "cyclicPrerequisite");
    if (open_.size() >= kMaxOpen) return result(nullptr, "cyclicPrerequisite");
    if (user_.forced_features != nullptr)
      if (const Value* forced = user_.forced_features->find(key)) return result(forced, "override");
    const Value* feature = features_.find(key);
    if (feature == nullptr) return result(nullptr, "unknownFeature");
    open_.push_back(key);
    GrowthBook::FeatureResult given = rules(key, *feature);
    open_.pop_back();
    return given;
  }

  GrowthBook::ExperimentResult experiment(const Value& experiment, std::string_view key, const Value& rule) {
    const Value& variations = member(experiment, "variations");
    const auto count = static_cast<int>(std::min<std::size_t>(variations.items.size(), 10'000));
    const auto out = [&] { return taken(experiment, key, -1, false, std::nullopt); };
    if (count < 2 || !user_.enabled) return out();                              // 1, 2
    if (const auto forced = GrowthBook::query_override(key, user_.url, count))  // 3
      return taken(experiment, key, *forced, false, std::nullopt);
    if (user_.forced_variations != nullptr)  // 4
      if (const Value* forced = user_.forced_variations->find(key);
          forced != nullptr && forced->is(Kind::number))
        return taken(experiment, key, static_cast<int>(std::clamp(forced->number, -1.0, 10'000.0)), false,
                     std::nullopt);
    const Value& active = member(experiment, "active");
    if (member(experiment, "status").text == "draft" || (active.is(Kind::boolean) && !active.boolean))
      return out();  // 5
    const std::string value = hash_value(text_of(experiment, "hashAttribute"));
    if (value.empty()) return out();                                                     // 6
    if (const Value& filters = member(experiment, "filters"); filters.is(Kind::list)) {  // 7
      if (filtered_out(filters)) return out();
    } else if (const Value& space = member(experiment, "namespace"); space.is(Kind::list)) {
      if (!GrowthBook::in_namespace(value, space)) return out();
    }
    if (const Value& condition = member(rule, "condition"); condition.is(Kind::map))  // 8
      if (!rule_.holds(attributes_, condition)) return out();
    if (&rule == &experiment && parents(member(experiment, "parentConditions")) != Parents::hold)
      return out();
    const auto n = GrowthBook::hash(text_of(experiment, "seed", key), value, version_of(experiment, 1));  // 9
    if (!n) return out();
    const int assigned = GrowthBook::choose_variation(*n, ranges_of(experiment, count));
    if (assigned < 0) return out();                                                                 // 10
    if (const Value* force = experiment.find("force"); force != nullptr && !force->is(Kind::null))  // 11
      return taken(experiment, key, static_cast<int>(std::clamp(force->number, -1.0, 10'000.0)), false,
                   std::nullopt);
    if (user_.qa_mode || member(experiment, "status").text == "stopped") return out();  // 12
    return taken(experiment, key, assigned, true, n);                                   // 13
  }

 private:
  enum class Parents : std::uint8_t { hold, fail, gate, cyclic };
  static constexpr std::size_t kMaxOpen = 64;
  static constexpr std::uint32_t kMaxQuestions = 10'000;  // of one evaluation, through all prerequisites

  static GrowthBook::FeatureResult result(const Value* value, std::string_view source,
                                          std::string_view rule_id = {}) {
    GrowthBook::FeatureResult result;
    result.value = value;
    result.source = source;
    result.rule_id = rule_id;
    return result;
  }

  GrowthBook::FeatureResult rules(std::string_view key, const Value& feature) {
    for (const Value& rule : member(feature, "rules").items) {
      switch (parents(member(rule, "parentConditions"))) {
        case Parents::hold:
          break;
        case Parents::fail:
          continue;
        case Parents::gate:
          return result(nullptr, "prerequisite");
        case Parents::cyclic:
          return result(nullptr, "cyclicPrerequisite");
      }
      const std::string_view id = member(rule, "id").text;
      if (const Value& filters = member(rule, "filters"); filters.is(Kind::list) && filtered_out(filters))
        continue;
      if (const Value* force = rule.find("force")) {
        if (const Value& condition = member(rule, "condition"); condition.is(Kind::map))
          if (!rule_.holds(attributes_, condition)) continue;
        if (!in_rollout(rule, key)) continue;
        return result(force, "force", id);
      }
      if (!member(rule, "variations").is(Kind::list)) continue;
      const std::string own_key = text_of(rule, "key", key);
      GrowthBook::ExperimentResult run =
          experiment(rule, own_key, rule.find("parentConditions") == nullptr ? rule : without_parents(rule));
      if (!run.in_experiment || run.passthrough) continue;
      GrowthBook::FeatureResult given = result(run.value, "experiment", id);
      given.experiment = std::move(run);
      return given;
    }
    const Value* fallback = feature.find("defaultValue");
    return result(fallback != nullptr && !fallback->is(Kind::null) ? fallback : nullptr, "defaultValue");
  }

  // A rule's parents were asked already; what run() still has to see of the rule is its condition.
  const Value& without_parents(const Value& rule) {
    scratch_ = Value::map();
    if (const Value* condition = rule.find("condition")) scratch_.set("condition", *condition);
    return scratch_;
  }

  Parents parents(const Value& list) {
    for (const Value& parent : list.items) {
      if (++questions_ > kMaxQuestions) return Parents::cyclic;
      const GrowthBook::FeatureResult given = feature(member(parent, "id").text);
      if (given.source == "cyclicPrerequisite") return Parents::cyclic;
      Value seen = Value::map();
      seen.set("value", given.value != nullptr ? *given.value : Value{});
      if (rule_.holds(seen, member(parent, "condition"))) continue;
      return internal::js_truthy(member(parent, "gate")) ? Parents::gate : Parents::fail;
    }
    return Parents::hold;
  }

  std::string hash_value(std::string_view attribute) const {
    const Value* value = attributes_.find(attribute.empty() ? "id" : attribute);
    return value == nullptr || value->is(Kind::null) ? std::string{} : internal::js_text(*value);
  }

  bool filtered_out(const Value& filters) const {
    for (const Value& filter : filters.items) {
      const std::string value = hash_value(text_of(filter, "attribute"));
      if (value.empty()) return true;
      const auto n = GrowthBook::hash(text_of(filter, "seed"), value, version_of(filter, 2));
      bool inside = false;
      for (const Value& range : member(filter, "ranges").items) inside |= n && in_bounds(*n, range);
      if (!inside) return true;
    }
    return false;
  }

  bool in_rollout(const Value& rule, std::string_view key) const {
    const Value& range = member(rule, "range");
    const Value& coverage = member(rule, "coverage");
    if (!range.is(Kind::list) && !coverage.is(Kind::number)) return true;
    if (!range.is(Kind::list) && coverage.number == 0) return false;
    const std::string value = hash_value(text_of(rule, "hashAttribute"));
    if (value.empty()) return false;
    const auto n = GrowthBook::hash(text_of(rule, "seed", key), value, version_of(rule, 1));
    if (!n) return false;
    return range.is(Kind::list) ? in_bounds(*n, range) : *n <= coverage.number;  // closed, unlike ranges
  }

  static std::vector<GrowthBook::Bounds> ranges_of(const Value& experiment, int count) {
    std::vector<GrowthBook::Bounds> ranges;
    if (const Value& given = member(experiment, "ranges"); given.is(Kind::list)) {
      for (const Value& range : given.items)
        if (range.items.size() >= 2) ranges.emplace_back(range.items[0].number, range.items[1].number);
      return ranges;
    }
    const Value& coverage = member(experiment, "coverage");
    return GrowthBook::bucket_ranges(count, coverage.is(Kind::number) ? coverage.number : 1,
                                     numbers_of(member(experiment, "weights")));
  }

  GrowthBook::ExperimentResult taken(const Value& experiment, std::string_view, int index, bool hash_used,
                                     std::optional<double> bucket) const {
    GrowthBook::ExperimentResult result;
    const Value& variations = member(experiment, "variations");
    result.in_experiment = index >= 0 && static_cast<std::size_t>(index) < variations.items.size();
    result.variation = result.in_experiment ? static_cast<std::uint32_t>(index) : 0;
    result.hash_used = hash_used;
    result.bucket = bucket;
    if (result.variation < variations.items.size()) result.value = &variations.items[result.variation];
    result.key = std::to_string(result.variation);
    if (const Value& meta = member(experiment, "meta"); result.variation < meta.items.size()) {
      const Value& own = meta.items[result.variation];
      result.key = text_of(own, "key", result.key);
      result.name = text_of(own, "name");
      result.passthrough = internal::js_truthy(member(own, "passthrough"));
    }
    result.hash_attribute = text_of(experiment, "hashAttribute", "id");
    result.hash_value = hash_value(result.hash_attribute);
    return result;
  }

  const Value& features_;
  const GrowthBook::User& user_;
  const Value& attributes_;
  internal::Mongrule rule_;
  std::vector<std::string_view> open_;
  std::uint32_t questions_ = 0;
  Value scratch_;
};

GrowthBook::GrowthBook() : patterns_(std::make_unique<Patterns>()) {}
GrowthBook::~GrowthBook() = default;

std::shared_ptr<const GrowthBook> GrowthBook::read(Value payload, Issues& issues) {
  if (!payload.is(Kind::map)) {
    issues.error(payload.at, "a GrowthBook payload is a map with `features`");
    payload = Value::map();
  }
  for (std::string_view name : {"features", "savedGroups"})
    if (const Value* map = payload.find(name); map != nullptr && !map->is(Kind::map))
      issues.error(map->at, "`" + std::string(name) + "` of a GrowthBook payload must be a map");
  for (std::string_view encrypted : {"encryptedFeatures", "encryptedExperiments"})
    if (payload.find(encrypted) != nullptr)
      issues.warning(payload.at, "`" + std::string(encrypted) + "` is not read: decryption is not supported");
  const std::shared_ptr<GrowthBook> book(new GrowthBook);
  book->payload_ = std::move(payload);
  book->patterns_->collect(book->payload_);
  return book;
}

std::vector<std::string_view> GrowthBook::keys() const {
  std::vector<std::string_view> keys;
  const Value& features = member(payload_, "features");
  for (const Member& one : features.members) keys.push_back(one.name);
  for (const Value& experiment : member(payload_, "experiments").items) {
    const std::string_view key = member(experiment, "key").text;
    if (!key.empty() && features.find(key) == nullptr) keys.push_back(key);
  }
  return keys;
}

bool GrowthBook::FeatureResult::on() const noexcept {
  return value != nullptr && internal::js_truthy(*value);
}

GrowthBook::FeatureResult GrowthBook::evaluate(std::string_view feature, const User& user) const {
  return GrowthBookEvaluation(*this, user).feature(feature);
}

GrowthBook::ExperimentResult GrowthBook::run(const Value& experiment, const User& user) const {
  return GrowthBookEvaluation(*this, user).experiment(experiment, member(experiment, "key").text, experiment);
}

bool GrowthBook::holds(const Value& condition, const Value& attributes) const {
  internal::Mongrule rule;
  rule.saved_groups = payload_.find("savedGroups");
  // Patterns of a condition from outside the payload are compiled here and now.
  Patterns patterns;
  patterns.collect(condition);
  rule.find_pattern = [&](std::string_view pattern, bool insensitive, std::string_view text) {
    return patterns.find(pattern, insensitive, text);
  };
  return rule.holds(attributes, condition);
}

namespace {

// Decision::tag.
std::uint64_t tag_of(std::string_view key, std::string_view variant) {
  return variant.empty()
             ? 0
             : base::fnv1a64(variant, base::fnv1a64(std::string_view(&kSaltEnd, 1), base::fnv1a64(key)));
}

std::int32_t in_ten_thousand(const std::optional<double>& bucket) {
  return bucket ? static_cast<std::int32_t>(std::lround(*bucket * 10'000)) : -1;
}

// A name that outlives the result: meta's key, or an index from a table.
std::string_view variation_name(const Value& source, std::uint32_t index) {
  const Value& meta = member(source, "meta");
  if (index < meta.items.size())
    if (const Value* key = meta.items[index].find("key"); key != nullptr && key->is(Kind::text))
      return key->text;
  static constexpr std::string_view kDigits = "0123456789";
  return index < kDigits.size() ? kDigits.substr(index, 1) : std::string_view("10+");
}

}  // namespace

std::vector<std::string_view> GrowthBook::variants(std::string_view key) const {
  std::vector<std::string_view> names;
  const auto add = [&names](const Value& source) {
    const std::size_t count = std::min<std::size_t>(member(source, "variations").items.size(), 1'000);
    for (std::uint32_t i = 0; i < count; ++i) names.push_back(variation_name(source, i));
  };
  if (const Value* feature = member(payload_, "features").find(key)) {
    for (const Value& rule : member(*feature, "rules").items) add(rule);
    return names;
  }
  for (const Value& experiment : member(payload_, "experiments").items)
    if (member(experiment, "key").text == key) add(experiment);
  return names;
}

Decision GrowthBook::decide(std::string_view key, const Context& context) const {
  Value attributes = context.all() != nullptr ? *context.all() : Value::map();
  // GrowthBook's own name for the targeting key.
  if (attributes.find("id") == nullptr)
    if (const Value* unit = attributes.find(Context::kTargetingKey)) attributes.set("id", Value(*unit));
  User user;
  user.attributes = &attributes;
  Decision decision;
  decision.key = key;
  const Value& features = member(payload_, "features");
  if (const Value* feature = features.find(key)) {
    const FeatureResult given = evaluate(key, user);
    decision.value = given.value;
    decision.rule = given.rule_id;
    decision.reason = given.source == "experiment"           ? Reason::split
                      : given.source == "force"              ? Reason::rule
                      : given.source == "prerequisite"       ? Reason::prerequisite
                      : given.source == "cyclicPrerequisite" ? Reason::prerequisite
                                                             : Reason::fallback;
    if (given.experiment) {
      decision.bucket = in_ten_thousand(given.experiment->bucket);
      for (const Value& rule : member(*feature, "rules").items)
        if (const Value& list = member(rule, "variations");
            given.experiment->variation < list.items.size() &&
            &list.items[given.experiment->variation] == given.value)
          decision.variant = variation_name(rule, given.experiment->variation);
      decision.experiment = true;  // whoever is shown it is exposed to it
      decision.tag = tag_of(key, decision.variant);
    }
    return decision;
  }
  for (const Value& experiment : member(payload_, "experiments").items) {
    if (member(experiment, "key").text != key) continue;
    const ExperimentResult given = run(experiment, user);
    decision.experiment = true;
    decision.reason = given.in_experiment ? Reason::split : Reason::not_targeted;
    decision.bucket = in_ten_thousand(given.bucket);
    if (given.in_experiment) {
      decision.variant = variation_name(experiment, given.variation);
      decision.value = given.value;
      decision.tag = tag_of(key, decision.variant);
    }
    return decision;
  }
  return decision;
}

std::optional<double> GrowthBook::hash(std::string_view seed, std::string_view value, int version) {
  if (version == 2) return growthbook_bucket_2(seed, value) / 10'000.0;
  if (version == 1) return growthbook_bucket_1(seed, value) / 1'000.0;
  return std::nullopt;
}

std::vector<double> GrowthBook::equal_weights(int variations) {
  if (variations <= 0) return {};
  return std::vector<double>(static_cast<std::size_t>(variations), 1.0 / variations);
}

std::vector<GrowthBook::Bounds> GrowthBook::bucket_ranges(int variations, double coverage,
                                                          std::span<const double> weights) {
  coverage = std::clamp(coverage, 0.0, 1.0);
  const std::vector<double> equal = equal_weights(variations);
  if (weights.size() != equal.size()) weights = equal;
  double sum = 0;
  for (double weight : weights) sum += weight;
  if (sum < 0.99 || sum > 1.01) weights = equal;
  std::vector<Bounds> ranges;
  double start = 0;
  for (double weight : weights) {
    ranges.emplace_back(start, start + coverage * weight);
    start += weight;
  }
  return ranges;
}

int GrowthBook::choose_variation(double n, std::span<const Bounds> ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i)
    if (n >= ranges[i].first && n < ranges[i].second) return static_cast<int>(i);
  return -1;
}

bool GrowthBook::in_namespace(std::string_view value, const Value& space) {
  if (space.items.size() < 3) return false;
  const double n = growthbook_bucket_1("__" + space.items[0].text, value) / 1'000.0;
  return n >= space.items[1].number && n < space.items[2].number;
}

std::optional<int> GrowthBook::query_override(std::string_view key, std::string_view url, int variations) {
  const std::size_t mark = url.find('?');
  if (mark == std::string_view::npos || key.empty()) return std::nullopt;
  std::string_view query = url.substr(mark + 1);
  query = query.substr(0, query.find('#'));
  for (std::string_view pair : base::split(query, '&')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != key) continue;
    const auto index = base::parse_u64(pair.substr(equals + 1));
    if (index && *index < static_cast<std::uint64_t>(variations)) return static_cast<int>(*index);
  }
  return std::nullopt;
}

}  // namespace weir::experiment
