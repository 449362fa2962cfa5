// GrowthBook's public cases, group by group, where they are present; and a few of our own where they are not.
#include "weir/experiment/growthbook.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>

#include "weir/experiment/internal/mongrule.h"
#include "weir/experiment/testing.h"

namespace weir::experiment {
namespace {

using testing::json;

bool near(double a, double b) { return std::fabs(a - b) < 1e-6; }

std::shared_ptr<const GrowthBook> book_of(const Value& context) {
  Value payload = Value::map();
  for (std::string_view name : {"features", "savedGroups"})
    if (const Value* part = context.find(name)) payload.set(name, *part);
  Issues issues;
  return GrowthBook::read(std::move(payload), issues);
}

GrowthBook::User user_of(const Value& context) {
  GrowthBook::User user;
  user.attributes = context.find("attributes");
  user.forced_variations = context.find("forcedVariations");
  user.forced_features = context.find("forcedFeatures");
  if (const Value* url = context.find("url")) user.url = url->text;
  if (const Value* enabled = context.find("enabled")) user.enabled = enabled->boolean;
  if (const Value* qa = context.find("qaMode")) user.qa_mode = qa->boolean;
  return user;
}

const Value kNull;
const Value& or_null(const Value* value) { return value == nullptr ? kNull : *value; }

bool experiment_agrees(const GrowthBook::ExperimentResult& got, const Value& wanted) {
  bool agrees = true;
  const auto check = [&](std::string_view name, const Value& value) {
    if (const Value* expected = wanted.find(name)) agrees &= *expected == value;
  };
  check("value", or_null(got.value));
  check("variationId", Value::of(static_cast<double>(got.variation)));
  check("inExperiment", Value::of(got.in_experiment));
  check("hashUsed", Value::of(got.hash_used));
  check("hashAttribute", Value::of(std::string_view(got.hash_attribute)));
  check("hashValue", Value::of(std::string_view(got.hash_value)));
  check("key", Value::of(std::string_view(got.key)));
  if (const Value* bucket = wanted.find("bucket")) agrees &= got.bucket && near(*got.bucket, bucket->number);
  return agrees;
}

bool feature_case(const Value& c) {
  const auto book = book_of(c.items[1]);
  const GrowthBook::FeatureResult got = book->evaluate(c.items[2].text, user_of(c.items[1]));
  const Value& wanted = c.items[3];
  bool agrees = or_null(got.value) == or_null(wanted.find("value")) &&
                got.on() == or_null(wanted.find("on")).boolean &&
                got.source == or_null(wanted.find("source")).text;
  if (const Value* rule = wanted.find("ruleId")) agrees &= got.rule_id == rule->text;
  if (const Value* experiment = wanted.find("experimentResult"))
    agrees &= got.experiment && experiment_agrees(*got.experiment, *experiment);
  return agrees;
}

bool run_case(const Value& c) {
  const auto book = book_of(c.items[1]);
  const GrowthBook::ExperimentResult got = book->run(c.items[2], user_of(c.items[1]));
  return or_null(got.value) == c.items[3] && got.in_experiment == c.items[4].boolean &&
         got.hash_used == c.items[5].boolean;
}

bool condition_case(const Value& c) {
  Value payload = Value::map();
  if (c.items.size() > 4) payload.set("savedGroups", c.items[4]);
  Issues issues;
  const auto book = GrowthBook::read(std::move(payload), issues);
  return book->holds(c.items[1], c.items[2]) == c.items[3].boolean;
}

std::vector<GrowthBook::Bounds> bounds_of(const Value& list) {
  std::vector<GrowthBook::Bounds> bounds;
  for (const Value& pair : list.items) bounds.emplace_back(pair.items[0].number, pair.items[1].number);
  return bounds;
}

bool ranges_case(const Value& c) {
  std::vector<double> weights;
  for (const Value& weight : c.items[1].items[2].items) weights.push_back(weight.number);
  const auto got = GrowthBook::bucket_ranges(static_cast<int>(c.items[1].items[0].number),
                                             c.items[1].items[1].number, weights);
  const auto wanted = bounds_of(c.items[2]);
  bool agrees = got.size() == wanted.size();
  for (std::size_t i = 0; agrees && i < got.size(); ++i)
    agrees = near(got[i].first, wanted[i].first) && near(got[i].second, wanted[i].second);
  return agrees;
}

bool hash_case(const Value& c) {
  const auto got = GrowthBook::hash(c.items[0].text, c.items[1].text, static_cast<int>(c.items[2].number));
  return c.items[3].is(Value::Kind::null) ? !got : got && near(*got, c.items[3].number);
}

bool weights_case(const Value& c) {
  const auto got = GrowthBook::equal_weights(static_cast<int>(c.items[0].number));
  bool agrees = got.size() == c.items[1].items.size();
  for (std::size_t i = 0; agrees && i < got.size(); ++i)
    agrees = std::fabs(got[i] - c.items[1].items[i].number) < 1e-8;
  return agrees;
}

bool override_case(const Value& c) {
  const auto got =
      GrowthBook::query_override(c.items[1].text, c.items[2].text, static_cast<int>(c.items[3].number));
  return c.items[4].is(Value::Kind::null) ? !got : got && *got == static_cast<int>(c.items[4].number);
}

struct Group {
  std::string_view name;
  std::function<bool(const Value&)> passes;  // none: named as waiting
  std::string_view waits_for;
};

// Cases that need what this part does not do, inside groups that it does.
bool waits(const Value& c) {
  for (const Value& part : c.items)
    if (part.find("contextualBandits") != nullptr) return true;
  return false;
}

// Every group of the public cases is named with how many pass; all must, but those that wait for what is
// named.
TEST(GrowthBook, PublicCases) {
  const char* folder = std::getenv("WEIR_VECTORS");
  const std::string path = std::string(folder != nullptr ? folder : WEIR_SOURCE_DIR "/../shared/vectors") +
                           "/growthbook/cases-sample.json";
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << path << " is not there";
  std::stringstream text;
  text << file.rdbuf();
  const Value cases = json(text.str());
  const std::vector<Group> groups{
      {"evalCondition", condition_case, ""},
      {"hash", hash_case, ""},
      {"getBucketRange", ranges_case, ""},
      {"feature", feature_case, ""},
      {"run", run_case, ""},
      {"chooseVariation",
       [](const Value& c) {
         return GrowthBook::choose_variation(c.items[1].number, bounds_of(c.items[2])) ==
                static_cast<int>(c.items[3].number);
       },
       ""},
      {"getQueryStringOverride", override_case, ""},
      {"inNamespace",
       [](const Value& c) {
         return GrowthBook::in_namespace(c.items[1].text, c.items[2]) == c.items[3].boolean;
       },
       ""},
      {"getEqualWeights", weights_case, ""},
      {"decrypt", {}, "decryption"},
      {"stickyBucket", {}, "sticky buckets"},
      {"urlRedirect", {}, "URL redirects"},
      {"contextualBandit", {}, "contextual bandits"}};
  for (const Member& group : cases.members) {
    if (!group.value.is(Value::Kind::list)) continue;
    const auto known =
        std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.name == group.name; });
    ASSERT_NE(known, groups.end()) << "unknown group " << group.name;
    if (!known->passes) {
      std::cout << group.name << ": 0/" << group.value.items.size() << ", waits for " << known->waits_for
                << "\n";
      continue;
    }
    std::size_t passed = 0;
    std::size_t waiting = 0;
    for (const Value& c : group.value.items) {
      if (known->passes(c))
        ++passed;
      else if (waits(c))
        ++waiting;
      else
        ADD_FAILURE() << group.name << ": " << to_json(c);
    }
    std::cout << group.name << ": " << passed << "/" << group.value.items.size();
    if (waiting > 0) std::cout << ", " << waiting << " wait for contextual bandits";
    std::cout << "\n";
  }
}

// JavaScript's rules inside a payload: a missing attribute counts as 0, "8" is more than 5, negation of
// nothing holds.
TEST(GrowthBook, ConditionsCompareAsJavaScriptDoes) {
  Issues issues;
  const auto book = GrowthBook::read(Value::map(), issues);
  const auto holds = [&](std::string_view condition, std::string_view attributes) {
    return book->holds(json(condition), json(attributes));
  };
  EXPECT_TRUE(holds(R"({"age": {"$gt": -10, "$lt": 10, "$ne": 10}})", "{}"));
  EXPECT_TRUE(holds(R"({"n": {"$gt": 5}})", R"({"n": "8"})"));
  EXPECT_TRUE(holds(R"({"a": {"$nin": [1]}})", "{}"));
  EXPECT_FALSE(holds(R"({"a": {"$nin": 1}})", "{}"));
  EXPECT_TRUE(holds(R"({"$or": []})", "{}"));
  EXPECT_FALSE(holds(R"j({"a": {"$regex": "(?=x)"}})j", R"({"a": "x"})"));  // look-around: no pattern for RE2
  EXPECT_TRUE(holds(R"({"v": {"$vgt": "1.2.3-r100"}})", R"({"v": "1.2.3-r2"})"));
  EXPECT_FALSE(holds(R"({"a": {"$unknown": 1}})", R"({"a": 1})"));
  EXPECT_TRUE(holds(R"({"a.b.1": "x"})", R"({"a": {"b": ["y", "x"]}})"));
}

// Features that require one another end with cyclicPrerequisite, whatever the length of the circle.
TEST(GrowthBook, CyclesOfPrerequisitesEnd) {
  Issues issues;
  const auto book = GrowthBook::read(json(R"({"features": {
    "a": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "b", "condition": {}}], "force": 2}]},
    "b": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "a", "condition": {}}], "force": 2}]},
    "self": {"rules": [{"parentConditions": [{"id": "self"}], "force": 2}]}}})"),
                                     issues);
  for (std::string_view key : {"a", "b", "self"})
    EXPECT_EQ(book->evaluate(key, {}).source, "cyclicPrerequisite") << key;
}

// A payload's features are keys of the snapshot like any others; a native key of the same name stands before
// them.
TEST(GrowthBook, PayloadsLiveInSnapshots) {
  Issues issues;
  Definitions all =
      read_native(json(R"({"flags": [{"key": "mine", "type": "string", "default": "native"}]})"), issues);
  all.growthbook = GrowthBook::read(json(R"({"features": {"mine": {"defaultValue": "payload"},
    "banner": {"defaultValue": "off", "rules": [{"id": "r1", "condition": {"country": "US"}, "force": "on"}]},
    "test": {"defaultValue": "x", "rules": [{"variations": ["a", "b"], "key": "t", "meta": [{"key": "ctl"}, {"key": "new"}]}]}}})"),
                                    issues);
  const auto snapshot = compile(std::move(all), issues);
  ASSERT_NE(snapshot, nullptr) << issues.first_error();
  EXPECT_EQ(testing::decide(*snapshot, "mine", "u").value->text, "native");
  EXPECT_EQ(testing::decide(*snapshot, "banner", "u", json(R"({"country": "US"})")).value->text, "on");
  EXPECT_EQ(testing::decide(*snapshot, "banner", "u").value->text, "off");
  const Decision test = testing::decide(*snapshot, "test", "1");
  EXPECT_EQ(test.reason, Reason::split);
  EXPECT_EQ(test.variant, test.value->text == "a" ? "ctl" : "new");
}

}  // namespace
}  // namespace weir::experiment
