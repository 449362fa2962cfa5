// Conditions: each operator by hand, the logic against a slow twin over random trees, mistakes with their
// places.
#include "weir/experiment/internal/condition.h"

#include <map>
#include <optional>
#include <random>

#include "weir/experiment/testing.h"

namespace weir::experiment {
namespace {

using testing::fault_of;
using testing::json;

// A flag that is true where `when` holds.
bool holds(std::string_view when, std::string_view attributes, std::string_view types = "{}") {
  const auto snapshot = testing::compiled(
      std::string(R"({"attributes": )")
          .append(types)
          .append(
              R"(, "flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"value": true, "when": )")
          .append(when)
          .append("}]}]}"));
  return testing::decide(*snapshot, "f", "", json(attributes)).value->boolean;
}

std::string fault(std::string_view when, std::string_view types = "{}") {
  return fault_of(
      std::string(R"({"attributes": )")
          .append(types)
          .append(
              R"(, "flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"value": true, "when": )")
          .append(when)
          .append("}]}]}"));
}

struct Row {
  std::string_view when;
  std::string_view attributes;
  bool expected;
};

// Every operator, on what it takes, on its edges, and on what it does not take.
TEST(Condition, Operators) {
  const Row rows[] = {
      {R"({"a": "x"})", R"({"a": "x"})", true},
      {R"({"a": ["x", "y"]})", R"({"a": "y"})", true},
      {R"({"a": {"eq": 5}})", R"({"a": 5})", true},
      {R"({"a": {"eq": 5}})", R"({"a": "5"})", false},
      {R"({"a": {"eq": true}})", R"({"a": true})", true},
      {R"({"a": {"eq": true}})", R"({"a": false})", false},
      {R"({"a": {"ne": "x"}})", R"({"a": "y"})", true},
      {R"({"a": {"ne": "x"}})", R"({"a": "x"})", false},
      {R"({"a": {"in": ["x", 3, true]}})", R"({"a": 3})", true},
      {R"({"a": {"in": []}})", R"({"a": 3})", false},
      {R"({"a": {"not_in": ["x", 3]}})", R"({"a": 4})", true},
      {R"({"a": {"not_in": ["x", 3]}})", R"({"a": 3})", false},
      {R"({"a": {"in": ["q","w","e","r","t","y","u","i","o","p"]}})", R"({"a": "o"})", true},
      {R"({"a": {"in": ["q","w","e","r","t","y","u","i","o","p"]}})", R"({"a": "z"})", false},
      {R"({"a": {"gt": 3}})", R"({"a": 3})", false},
      {R"({"a": {"gte": 3}})", R"({"a": 3})", true},
      {R"({"a": {"lt": 3}})", R"({"a": 2.5})", true},
      {R"({"a": {"lte": 3}})", R"({"a": 3.5})", false},
      {R"({"a": {"between": [1, 3]}})", R"({"a": 3})", true},
      {R"({"a": {"between": [1, 3]}})", R"({"a": 3.1})", false},
      {R"({"a": {"gt": 3, "lt": 5}})", R"({"a": 4})", true},
      {R"({"a": {"gt": 3, "lt": 5}})", R"({"a": 5})", false},
      {R"({"a": {"exists": true}})", R"({"a": ""})", true},
      {R"({"a": {"exists": true}})", "{}", false},
      {R"({"a": {"exists": false}})", "{}", true},
      {R"({"a": {"exists": false}})", R"({"a": null})", true},
      {R"({"a": {"starts_with": "ab"}})", R"({"a": "abc"})", true},
      {R"({"a": {"starts_with": ["x", "ab"]}})", R"({"a": "abc"})", true},
      {R"({"a": {"ends_with": "bc"}})", R"({"a": "abc"})", true},
      {R"({"a": {"contains": "b"}})", R"({"a": "abc"})", true},
      {R"({"a": {"contains": "B"}})", R"({"a": "abc"})", false},
      {R"({"a": {"matches": "^a.c$"}})", R"({"a": "abc"})", true},
      {R"({"a": {"matches": "b+"}})", R"({"a": "abbc"})", true},
      {R"({"a": {"matches": "^b"}})", R"({"a": "abc"})", false},
      {R"({"a": {"semver_gte": "2.1.0"}})", R"({"a": "2.10.0"})", true},
      {R"({"a": {"semver_gte": "2.1.0"}})", R"({"a": "2.1.0-rc.1"})", false},
      {R"({"a": {"semver_gt": "2.1.0-rc.1"}})", R"({"a": "2.1.0-rc.2"})", true},
      {R"({"a": {"semver_gt": "1.0.0-alpha.beta"}})", R"({"a": "1.0.0-beta"})", true},
      {R"({"a": {"semver_eq": "1.2"}})", R"({"a": "v1.2.0+build.7"})", true},
      {R"({"a": {"semver_ne": "1.2.3"}})", R"({"a": "1.2.4"})", true},
      {R"({"a": {"semver_lt": "1.2.3"}})", R"({"a": "1.2"})", true},
      {R"({"a": {"semver_lte": "1.2.3"}})", R"({"a": "nonsense"})", false},
      {R"({"a": {"cidr": "10.0.0.0/8"}})", R"({"a": "10.200.0.1"})", true},
      {R"({"a": {"cidr": ["10.0.0.0/8", "2001:db8::/32"]}})", R"({"a": "2001:db8::1"})", true},
      {R"({"a": {"cidr": "10.0.0.0/8"}})", R"({"a": "11.0.0.1"})", false},
      {R"({"a": {"cidr": "10.0.0.0/8"}})", R"({"a": "no address"})", false},
      {R"({"a": {"before": "2026-02-01T00:00:00Z"}})", R"({"a": "2026-01-31T23:59:59Z"})", true},
      {R"({"a": {"before": "2026-02-01T00:00:00Z"}})", R"({"a": "2026-02-01T00:30:00+01:00"})", true},
      {R"({"a": {"after": "2026-02-01"}})", R"({"a": "2026-02-01T00:00:00Z"})", false},
      {R"({"a": {"after": 1000}})", R"({"a": 1001})", true},
      {R"({"any": [{"a": 1}, {"b": 2}]})", R"({"b": 2})", true},
      {R"({"any": []})", "{}", false},
      {R"({"all": []})", "{}", true},
      {R"({"all": [{"a": 1}, {"b": 2}]})", R"({"b": 2})", false},
      {R"({"not": {"a": 1}})", R"({"a": 2})", true},
      {R"({"not": {"not": {"a": 1}}})", R"({"a": 1})", true},
      {"{}", "{}", true},
  };
  for (const Row& row : rows)
    EXPECT_EQ(holds(row.when, row.attributes), row.expected) << row.when << " " << row.attributes;
}

// A missing attribute never matches, not even negated; neither does one of a kind that the operator does not
// take.
TEST(Condition, MissingNeverMatches) {
  for (std::string_view test :
       {R"({"eq": "x"})", R"({"ne": "x"})", R"({"in": ["x"]})", R"({"not_in": ["x"]})", R"({"gt": 1})",
        R"({"lte": 1})", R"({"between": [0, 1]})", R"({"starts_with": "x"})", R"({"matches": "x"})",
        R"({"semver_ne": "1.0.0"})", R"({"cidr": "::1"})", R"({"before": 5})"}) {
    const std::string leaf = std::string(R"({"a": )").append(test).append("}");
    for (std::string_view attributes : {"{}", R"({"a": null})", R"({"a": {"b": 1}})"}) {
      EXPECT_FALSE(holds(leaf, attributes)) << leaf << attributes;
      EXPECT_FALSE(holds(std::string(R"({"not": )") + leaf + "}", attributes)) << leaf << attributes;
    }
  }
  EXPECT_FALSE(holds(R"({"not": {"a": {"gt": 1}}})", R"({"a": "text"})"));
  EXPECT_FALSE(holds(R"({"not": {"a": {"semver_gt": "1.0.0"}}})", R"({"a": "not a version"})"));
  EXPECT_TRUE(holds(R"({"any": [{"not": {"a": 1}}, {"b": 1}]})",
                    R"({"b": 1})"));  // one side unknown, the other holds
}

// Of a list, a positive operator wants one element, a negative one none.
TEST(Condition, Lists) {
  EXPECT_TRUE(holds(R"({"r": {"in": ["admin"]}})", R"({"r": ["user", "admin"]})"));
  EXPECT_FALSE(holds(R"({"r": {"not_in": ["admin"]}})", R"({"r": ["user", "admin"]})"));
  EXPECT_TRUE(holds(R"({"r": {"ne": "admin"}})", R"({"r": ["user"]})"));
  EXPECT_TRUE(holds(R"({"r": {"gt": 5}})", R"({"r": [1, 9, "x"]})"));
  EXPECT_FALSE(holds(R"({"r": {"eq": "x"}})", R"({"r": []})"));
  const auto snapshot = testing::compiled(R"({"flags": [{"key": "f", "type": "boolean", "default": false,
    "rules": [{"when": {"roles": {"in": ["ops"]}}, "value": true}]}]})");
  Context context(*snapshot);
  const std::string_view roles[] = {"dev", "ops"};
  context.set("roles", std::span<const std::string_view>(roles));
  EXPECT_TRUE(snapshot->evaluate("f", context).value->boolean);
}

// A declared attribute arrives as what it is declared to be: headers are texts.
TEST(Condition, DeclaredTypes) {
  EXPECT_TRUE(holds(R"({"a": {"gt": 5}})", R"({"a": "17"})", R"({"a": "number"})"));
  EXPECT_FALSE(holds(R"({"a": {"gt": 5}})", R"({"a": "17x"})", R"({"a": "number"})"));
  EXPECT_TRUE(holds(R"({"a": true})", R"({"a": "true"})", R"({"a": "boolean"})"));
  EXPECT_FALSE(holds(R"({"a": true})", R"({"a": "yes"})", R"({"a": "boolean"})"));
  EXPECT_NE(fault(R"({"a": {"gt": 5}})", R"({"a": "string"})"), "");
  EXPECT_NE(fault(R"({"a": {"semver_gt": "1.0.0"}})", R"({"a": "number"})"), "");
  EXPECT_NE(fault(R"({"a": "x"})", R"({"a": "number"})"), "");
  EXPECT_NE(fault("{}", R"({"a": "nubmer"})").find("did you mean `number`?"), std::string::npos);
}

// Segments are conditions by name, may use one another, and may not turn in a circle.
TEST(Condition, Segments) {
  const auto with = [](std::string_view segments, std::string_view when) {
    return std::string(R"({"segments": )")
        .append(segments)
        .append(
            R"(, "flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"value": true, "when": )")
        .append(when)
        .append("}]}]}");
  };
  const std::string_view two =
      R"([{"name": "b", "when": {"segment": "a", "x": 1}}, {"name": "a", "when": {"y": 2}}])";
  const auto snapshot = testing::compiled(with(two, R"({"segment": ["b", "a"]})"));
  EXPECT_TRUE(testing::decide(*snapshot, "f", "", json(R"({"y": 2})")).value->boolean);
  EXPECT_FALSE(testing::decide(*snapshot, "f", "", json(R"({"x": 1})")).value->boolean);
  EXPECT_NE(
      fault_of(
          with(R"([{"name": "a", "when": {"segment": "b"}}, {"name": "b", "when": {"segment": "a"}}])", "{}"))
          .find("itself"),
      std::string::npos);
  EXPECT_NE(fault_of(with("[]", R"({"segment": "a"})")).find("unknown segment"), std::string::npos);
  // Each names the one before twice: without a bound the last would ask 2^40 questions.
  std::string doubling = R"([{"name": "s0", "when": {"x": 1}})";
  for (int i = 1; i <= 40; ++i) {
    const std::string before = "\"s" + std::to_string(i - 1) + "\"";
    doubling += R"(, {"name": "s)" + std::to_string(i) + R"(", "when": {"all": [{"segment": )" + before +
                R"(}, {"segment": )" + before + "}]}}";
  }
  EXPECT_NE(fault_of(with(doubling + "]", R"({"segment": "s40"})")), "");
}

// What cannot be meant is refused at load.
TEST(Condition, Mistakes) {
  const Row rows[] = {
      {R"({"a": {"semver_gtee": "1.0.0"}})", "did you mean `semver_gte`?", false},
      {R"({"a": {"semver_gte": 2.1}})", "in quotes", false},
      {R"({"a": {"semver_gte": "x.y"}})", "not a version", false},
      {R"({"a": {"matches": "("}})", "bad regular expression", false},
      {R"({"a": {"cidr": "10.0.0.0/33"}})", "address block", false},
      {R"({"a": {"before": "yesterday"}})", "moment", false},
      {R"({"a": {"between": [3, 1]}})", "smaller first", false},
      {R"({"a": {"between": [1]}})", "two numbers", false},
      {R"({"a": {"gt": "x"}})", "must be a number", false},
      {R"({"a": {"eq": ["x"]}})", "did you mean `in`?", false},
      {R"({"a": {"exists": 1}})", "true or false", false},
      {R"({"a": {}})", "no operator", false},
      {R"({"a": null})", "must have a condition", false},
      {R"({"any": {"a": 1}})", "must be a list", false},
      {R"([1])", "must be a map", false},
      {R"({"": 1})", "needs a name", false},
  };
  for (const Row& row : rows)
    EXPECT_NE(fault(row.when).find(row.attributes), std::string::npos) << row.when << ": " << fault(row.when);
  std::string deep = R"({"a": 1})";
  for (int i = 0; i < 20; ++i) deep = R"({"not": )" + deep + "}";
  EXPECT_NE(fault(deep).find("nested deeper"), std::string::npos);
}

// The slow twin: three values as an optional, over the tree itself.
using Twin = std::optional<bool>;
Twin twin(const Value& when, const Value& attributes) {
  Twin result = true;
  const auto conjoin = [&result](Twin t) {
    if (t == Twin(false) || result == Twin(false))
      result = false;
    else if (!t)
      result = std::nullopt;
  };
  for (const Member& member : when.members) {
    if (member.name == "all") {
      for (const Value& item : member.value.items) conjoin(twin(item, attributes));
    } else if (member.name == "any") {
      Twin any = false;
      for (const Value& item : member.value.items) {
        const Twin t = twin(item, attributes);
        if (t == Twin(true) || any == Twin(true))
          any = true;
        else if (!t)
          any = std::nullopt;
      }
      conjoin(any);
    } else if (member.name == "not") {
      const Twin t = twin(member.value, attributes);
      conjoin(t ? Twin(!*t) : std::nullopt);
    } else {
      const Value* value = attributes.find(member.name);
      const Member& test = member.value.members.front();
      if (test.name == "exists")
        conjoin((value != nullptr) == test.value.boolean);
      else if (value == nullptr)
        conjoin(std::nullopt);
      else if (test.name == "eq")
        conjoin(*value == test.value);
      else if (test.name == "ne")
        conjoin(!(*value == test.value));
      else if (!value->is(Value::Kind::number))
        conjoin(std::nullopt);
      else
        conjoin(test.name == "gt" ? value->number > test.value.number : value->number <= test.value.number);
    }
  }
  return result;
}

Value random_condition(std::mt19937_64& random, int depth) {
  Value map = Value::map();
  const auto parts = random() % 3;
  for (std::uint64_t i = 0; i <= parts; ++i) {
    const auto kind = depth == 0 ? 3 : random() % 4;
    if (kind < 2) {
      Value list = Value::list();
      for (std::uint64_t k = random() % 3; k > 0; --k)
        list.items.push_back(random_condition(random, depth - 1));
      map.set(kind == 0 ? "all" : "any", std::move(list));
    } else if (kind == 2) {
      map.set("not", random_condition(random, depth - 1));
    } else {
      static constexpr std::string_view kOps[] = {"eq", "ne", "gt", "lte", "exists"};
      const std::string_view op = kOps[random() % 5];
      Value test = Value::map();
      test.set(op,
               op == "exists" ? Value::of(random() % 2 == 0) : Value::of(static_cast<double>(random() % 3)));
      map.set(std::string_view("abc").substr(random() % 3, 1), std::move(test));
    }
  }
  return map;
}

// Compiled conditions decide as the twin does, for random trees and every combination of three small
// attributes.
TEST(Condition, AgreesWithASlowTwin) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    const Value when = random_condition(random, 3);
    const auto snapshot = testing::compiled(
        R"({"flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"value": true, "when": )" +
        to_json(when) + "}]}]}");
    for (int code = 0; code < 125; ++code) {
      Value attributes = Value::map();
      int rest = code;
      for (std::string_view name : {"a", "b", "c"}) {
        if (rest % 5 < 3) attributes.set(name, Value::of(static_cast<double>(rest % 5)));
        if (rest % 5 == 3) attributes.set(name, Value::of("text"));
        rest /= 5;
      }
      ASSERT_EQ(testing::decide(*snapshot, "f", "", attributes).value->boolean,
                twin(when, attributes) == Twin(true))
          << to_json(when) << " " << to_json(attributes);
    }
  }
}

// The reason that explain gives is the leaf that decided.
TEST(Condition, SaysWhichLeafFailed) {
  const auto snapshot = testing::compiled(
      R"({"experiments": [{"key": "e", "when": {"country": {"in": ["US", "CA"]}, "not": {"beta": true}},
    "variants": [{"name": "a", "weight": 100}]}]})");
  const auto why = [&](std::string_view attributes) {
    Context context(*snapshot);
    const Value map = json(attributes);
    context.set_all(map);
    context.set_unit("u");
    std::string all;
    for (const Step& step : snapshot->explain("e", context).steps)
      if (!step.passed) all += std::string(step.check) + ": " + step.detail;
    return all;
  };
  EXPECT_EQ(why(R"({"country": "DE", "beta": false})"), "when: country in [CA, US]: it is DE");
  EXPECT_EQ(why(R"({"beta": false})"), "when: country in [CA, US]: it is missing");
  EXPECT_EQ(why(R"({"country": "US", "beta": true})"), "when: beta eq true: it is true");
  EXPECT_EQ(why(R"({"country": "US", "beta": false})"), "");
}

}  // namespace
}  // namespace weir::experiment
