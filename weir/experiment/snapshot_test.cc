// The order of questions, each reason by hand, and every mistake of a file with the words that name it.
#include "weir/experiment/snapshot.h"

#include "weir/experiment/testing.h"

namespace weir::experiment {
namespace {

using testing::compiled;
using testing::decide;
using testing::fault_of;
using testing::json;
using testing::variant;

constexpr std::string_view kHalves =
    R"("variants": [{"name": "control", "weight": 50}, {"name": "treatment", "weight": 50}])";

std::string experiment(std::string_view more, std::string_view variants = kHalves) {
  return std::string(R"({"key": "e", )")
      .append(more)
      .append(more.empty() ? "" : ", ")
      .append(variants)
      .append("}");
}
std::string file(std::string_view experiments, std::string_view more = "") {
  return std::string(R"({"experiments": [)").append(experiments).append("]").append(more).append("}");
}

// hash: fnv1a gives the bucket of the formula and the variant that owns it: 59 and 93 are above 50, 36 and 13
// below.
TEST(Snapshot, TheLiteralFormula) {
  const auto snapshot = compiled(
      R"({"experiments": [{"key": "checkout_button", "hash": "fnv1a", "variants": [{"name": "control", "weight": 50}, {"name": "treatment", "weight": 50}]}]})");
  const Decision first = decide(*snapshot, "checkout_button", "user_1");
  EXPECT_EQ(first.bucket, 93);
  EXPECT_EQ(first.variant, "treatment");
  EXPECT_EQ(first.reason, Reason::split);
  const Decision second = decide(*snapshot, "checkout_button", "user_2");
  EXPECT_EQ(second.bucket, 36);
  EXPECT_EQ(second.variant, "control");
}

// Variant i owns [cum, cum + weight * coverage / 100): the gaps of a partial coverage belong to nobody.
TEST(Snapshot, CoverageLengthensRangesInPlace) {
  for (int coverage : {0, 10, 50, 100}) {
    const auto snapshot =
        compiled(file(experiment(R"("hash": "fnv1a", "coverage": )" + std::to_string(coverage))));
    for (int i = 0; i < 2'000; ++i) {
      const Decision decision = decide(*snapshot, "e", "u" + std::to_string(i));
      const int in_half = decision.bucket % 50;
      EXPECT_EQ(decision.variant, in_half >= coverage / 2 ? ""
                                  : decision.bucket < 50  ? "control"
                                                          : "treatment");
      EXPECT_EQ(decision.reason, in_half >= coverage / 2 ? Reason::not_covered : Reason::split);
    }
  }
}

// The unit: the named attribute, else the targeting key; numbers by their digits; nobody and nonsense by a
// reason.
TEST(Snapshot, Units) {
  const auto snapshot = compiled(file(experiment(R"("unit": "user_id")")));
  const std::string as_text =
      std::string(decide(*snapshot, "e", "", json(R"({"user_id": "12345"})")).variant);
  EXPECT_EQ(decide(*snapshot, "e", "", json(R"({"user_id": 12345})")).variant, as_text);
  EXPECT_EQ(decide(*snapshot, "e", "12345").variant, as_text);
  EXPECT_EQ(decide(*snapshot, "e", "other", json(R"({"user_id": "12345"})")).variant, as_text);
  EXPECT_EQ(decide(*snapshot, "e", "").reason, Reason::missing_unit);
  EXPECT_EQ(decide(*snapshot, "e", "", json(R"({"user_id": ""})")).reason, Reason::missing_unit);
  EXPECT_EQ(decide(*snapshot, "e", "", json(R"({"user_id": 1.5})")).reason, Reason::invalid_unit);
  EXPECT_EQ(decide(*snapshot, "e", "", json(R"({"user_id": true})")).reason, Reason::invalid_unit);
  EXPECT_EQ(decide(*snapshot, "e", "", json(R"({"user_id": ["a"]})")).reason, Reason::invalid_unit);
  EXPECT_EQ(decide(*snapshot, "e", "\xff\xfe").reason, Reason::invalid_unit);
  EXPECT_EQ(decide(*snapshot, "e", "\xed\xa0\x80").reason, Reason::invalid_unit);  // a surrogate
  EXPECT_EQ(decide(*snapshot, "e", std::string(1024, 'a')).reason, Reason::split);
  EXPECT_EQ(decide(*snapshot, "e", std::string(1025, 'a')).reason, Reason::invalid_unit);
  EXPECT_EQ(decide(*snapshot, "e", std::string(1'000'000, 'a')).reason, Reason::invalid_unit);
  EXPECT_EQ(decide(*snapshot, "unknown", "u").reason, Reason::unknown_key);
}

// Each question comes before the next: switch, time, override, allow-list, prerequisites, layer, condition,
// coverage.
TEST(Snapshot, OrderOfQuestions) {
  const std::string layers = R"(, "layers": [{"name": "l", "slots": 10, "holdout": [[0, 5]]}],
    "flags": [{"key": "gate", "type": "boolean", "default": false}])";
  std::string more =
      R"("layer": "l", "slots": [[5, 6]], "when": {"x": 1}, "coverage": 0, "requires": [{"key": "gate", "is": true}],
    "allow": {"treatment": ["vip"]}, "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z")";
  const auto at = [](const Snapshot& snapshot, std::string_view unit, std::int64_t ms,
                     std::string_view overridden) {
    Context context(snapshot);
    context.set_unit(unit);
    context.set_now(WallTime(std::chrono::milliseconds(ms)));
    if (!overridden.empty()) context.override_variant("e", overridden);
    return snapshot.evaluate("e", context);
  };
  constexpr std::int64_t kBefore = 1'767'225'599'999;  // 2025-12-31T23:59:59.999Z
  constexpr std::int64_t kEnd = 1'769'904'000'000;     // 2026-02-01
  const auto off = compiled(file(experiment(more + R"(, "enabled": false)"), layers));
  EXPECT_EQ(at(*off, "vip", kBefore + 1, "control").reason, Reason::disabled);
  const auto on = compiled(file(experiment(more), layers));
  EXPECT_EQ(at(*on, "vip", kBefore, "control").reason, Reason::not_started);
  EXPECT_EQ(at(*on, "vip", kEnd, "control").reason, Reason::ended);
  EXPECT_EQ(at(*on, "vip", kBefore + 1, "control").reason, Reason::overridden);
  EXPECT_EQ(at(*on, "vip", kBefore + 1, "control").variant, "control");
  EXPECT_EQ(at(*on, "vip", kEnd - 1, "no such variant").reason, Reason::allow_list);
  EXPECT_EQ(at(*on, "vip", kEnd - 1, "").variant, "treatment");
  EXPECT_EQ(at(*on, "u", kEnd - 1, "").reason, Reason::prerequisite);
  more.replace(more.find(R"("is": true)"), 10, R"("is": false)");
  const auto open = compiled(file(experiment(more), layers));
  int holdout = 0;
  int other = 0;
  int untargeted = 0;
  for (int i = 0; i < 1'000; ++i) {
    const Reason reason = at(*open, "u" + std::to_string(i), kEnd - 1, "").reason;
    holdout += reason == Reason::holdout;
    other += reason == Reason::other_slot;
    untargeted += reason == Reason::not_targeted;
  }
  EXPECT_NEAR(holdout, 500, 80);
  EXPECT_NEAR(other, 400, 80);
  EXPECT_NEAR(untargeted, 100, 50);
  EXPECT_EQ(holdout + other + untargeted, 1'000);
}

// A decided experiment gives its variant to those who take part, and to nobody else.
TEST(Snapshot, Forced) {
  const auto snapshot = compiled(file(experiment(R"("force": "treatment", "coverage": 50)")));
  int forced = 0;
  for (int i = 0; i < 1'000; ++i) {
    const Decision decision = decide(*snapshot, "e", "u" + std::to_string(i));
    forced += decision.reason == Reason::forced;
    EXPECT_EQ(decision.variant, decision.reason == Reason::forced ? "treatment" : "");
  }
  EXPECT_NEAR(forced, 500, 80);
}

// What a unit had before stays while the experiment is sticky and the unit still takes part.
TEST(Snapshot, StickyWithinTargeting) {
  const auto with = [](const Snapshot& snapshot, std::string_view before, std::string_view attributes) {
    Context context(snapshot);
    const Value map = json(attributes);
    context.set_all(map);
    context.set_unit("user_1");
    context.remember("e", before);
    return snapshot.evaluate("e", context);
  };
  const auto sticky = compiled(file(experiment(R"("sticky": true, "when": {"x": 1})")));
  EXPECT_EQ(with(*sticky, "treatment", R"({"x": 1})").variant, "treatment");
  EXPECT_EQ(with(*sticky, "control", R"({"x": 1})").variant, "control");
  EXPECT_EQ(with(*sticky, "gone", R"({"x": 1})").reason, Reason::split);
  EXPECT_EQ(with(*sticky, "treatment", R"({"x": 2})").reason, Reason::not_targeted);
  const auto loose = compiled(file(experiment("")));
  EXPECT_EQ(with(*loose, "treatment", "{}").reason, Reason::split);
}

// Flags: the first rule that holds, else the default; types of all four kinds; the switch gives the default.
TEST(Snapshot, Flags) {
  const auto snapshot = compiled(R"({"flags": [
    {"key": "dark_mode", "type": "boolean", "default": false, "rules": [{"id": "beta", "when": {"beta": true}, "value": true}, {"coverage": 10, "value": true}]},
    {"key": "colour", "type": "string", "default": "red", "rules": [{"variants": [{"name": "b", "value": "blue", "weight": 100}]}]},
    {"key": "n", "type": "number", "default": 3},
    {"key": "j", "type": "json", "default": {"a": [1]}, "enabled": false, "rules": [{"value": 5}]}]})");
  const Decision beta = decide(*snapshot, "dark_mode", "", json(R"({"beta": true})"));
  EXPECT_TRUE(beta.value->boolean);
  EXPECT_EQ(beta.rule, "beta");
  EXPECT_EQ(beta.reason, Reason::rule);
  int on = 0;
  for (int i = 0; i < 10'000; ++i)
    on += decide(*snapshot, "dark_mode", "u" + std::to_string(i)).value->boolean;
  EXPECT_NEAR(on, 1'000, 120);  // 4 sigma
  EXPECT_EQ(decide(*snapshot, "dark_mode", "").reason, Reason::fallback);
  EXPECT_EQ(decide(*snapshot, "colour", "u").value->text, "blue");
  EXPECT_EQ(decide(*snapshot, "colour", "u").variant, "b");
  EXPECT_EQ(decide(*snapshot, "n", "").reason, Reason::constant);
  EXPECT_EQ(decide(*snapshot, "j", "").reason, Reason::disabled);
  EXPECT_EQ(to_json(*decide(*snapshot, "j", "").value), R"({"a":[1]})");
}

struct Mistake {
  std::string text;
  std::string_view words;
};

// Each mistake of a file is an error that names it; none of them makes a snapshot.
TEST(Snapshot, Mistakes) {
  const auto variants = [](std::string_view list, std::string_view more = "") {
    return file(experiment(more, std::string(R"("variants": )").append(list)));
  };
  const Mistake mistakes[] = {
      {variants(R"([{"name": "a", "weight": 50}, {"name": "b", "weight": 49}])"), "sum to 99, not to 100"},
      {variants(R"([{"name": "a", "weight": 150}, {"name": "b", "weight": -50}])"), "0 to 100"},
      {variants(R"([{"name": "a"}])"), "needs a `weight` or `ranges`"},
      {variants(R"([{"name": "a", "weight": 33.5}, {"name": "b", "weight": 66.5}])", R"("hash": "fnv1a")"),
       "fraction of a bucket"},
      {variants(R"([{"name": "a", "weight": 50}, {"name": "b", "weight": 50}])",
                R"("hash": "fnv1a", "coverage": 25)"),
       "fraction of a bucket"},
      {variants(R"([{"name": "a", "weight": 33.333}, {"name": "b", "weight": 66.667}])"),
       "fraction of a bucket"},
      {variants(R"([{"name": "a", "weight": 50}, {"name": "a", "weight": 50}])"), "duplicate variant"},
      {variants(R"([{"name": "a", "ranges": [[0, 60]]}, {"name": "b", "ranges": [[50, 100]]}])"), "overlap"},
      {variants(R"([{"name": "a", "ranges": [[0, 10001]]}])"), "within 0 to 10000"},
      {variants(R"([{"name": "a", "ranges": [[5, 5]]}])"), "not empty"},
      {variants(R"([{"name": "a", "ranges": [[0, 60]], "weight": 5}])"), "either a `weight` or `ranges`"},
      {variants(R"([{"name": "a", "ranges": [[0]]}])"), "two whole numbers"},
      {variants("[]"), ""},
      {file(experiment("") + "," + experiment("")), "duplicate key `e`"},
      {file(experiment(""), R"(, "flags": [{"key": "e", "type": "boolean", "default": true}])"),
       "share one key space"},
      {file(experiment(R"("hash": "murmur")")), "unknown hash"},
      {file(experiment(R"("covrage": 5)")), "did you mean `coverage`?"},
      {file(experiment(R"("coverage": 101)")), "0 to 100"},
      {file(experiment(R"("layer": "x", "slots": [[0, 1]])")), "unknown layer"},
      {file(experiment(R"("slots": [[0, 1]])")), "need a `layer`"},
      {file(experiment(R"("layer": "l")"), R"(, "layers": [{"name": "l"}])"), "needs `slots`"},
      {file(experiment(R"("layer": "l", "slots": [[0, 11]])"), R"(, "layers": [{"name": "l", "slots": 10}])"),
       "within 0 to 10"},
      {file(R"({"key": "a", "layer": "l", "slots": [[0, 9]], )" + std::string(kHalves) +
                R"(}, {"key": "b", "layer": "l", "slots": [[20, 30], [8, 12]], )" + std::string(kHalves) +
                "}",
            R"(, "layers": [{"name": "l"}])"),
       "overlap with those of"},
      {file(experiment(R"("layer": "l", "slots": [[4, 9]])"),
            R"(, "layers": [{"name": "l", "holdout": [[0, 5]]}])"),
       "the holdout"},
      {file(experiment(R"("requires": [{"key": "e", "in": ["control"]}])")), "cycle"},
      {file(experiment(R"("requires": [{"key": "f", "in": ["control"]}])")), "unknown key `f`"},
      {file(experiment(R"("requires": [{"key": "e", "in": ["contrl"]}])")), "did you mean `control`?"},
      {file(experiment(R"("allow": {"treatmnt": ["u"]})")), "did you mean `treatment`?"},
      {file(experiment(R"("allow": {"treatment": ["u"], "control": ["u"]})")), "allowed twice"},
      {file(experiment(R"("force": "x")")), "no variant is called"},
      {file(experiment(R"("start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z")")),
       "`end` must be after"},
      {file(experiment(R"("start": "soon")")), "moment"},
      {R"({"experiments": [{"variants": []}]})", "needs a `key`"},
      {R"({"experiments": [{"key": "a\u001fb", "variants": [{"name": "a", "weight": 100}]}]})",
       "control characters"},
      {R"({"experiments": [{"key": "", "variants": [{"name": "a", "weight": 100}]}]})", "1 to 128"},
      {R"({"experiments": [5]})", "must be a map"},
      {R"({"experiments": {}})", "must be a list"},
      {R"({"flags": [{"key": "f", "type": "bool", "default": true}]})", "unknown type"},
      {R"({"flags": [{"key": "f", "type": "boolean", "default": "true"}]})", "must be a boolean"},
      {R"({"flags": [{"key": "f", "type": "number", "default": 1, "rules": [{"value": "2"}]}]})",
       "must be a number"},
      {R"({"flags": [{"key": "f", "type": "string", "default": "x", "rules": [{}]}]})",
       "either a `value` or `variants`"},
      {R"({"flags": [{"key": "f", "type": "string"}]})", "needs a `default`"},
      {R"([1])", "must be a map"},
  };
  for (const Mistake& mistake : mistakes) {
    const std::string fault = fault_of(mistake.text);
    if (mistake.words.empty()) continue;
    EXPECT_NE(fault.find(mistake.words), std::string::npos) << mistake.text << "\n  got: " << fault;
  }
}

// Prerequisites that would ask too many questions are refused rather than asked.
TEST(Snapshot, PrerequisitesAreBounded) {
  std::string text = R"({"flags": [{"key": "f0", "type": "boolean", "default": true})";
  for (int i = 1; i <= 40; ++i) {
    const std::string needed = R"({"key": "f)" + std::to_string(i - 1) + R"(", "is": true})";
    text += R"(, {"key": "f)" + std::to_string(i) +
            R"(", "type": "boolean", "default": true, "rules": [{"value": false, "requires": [)" + needed +
            "," + needed + "]}]}";
  }
  EXPECT_NE(fault_of(text + "]}").find("1000 questions"), std::string::npos);
}

// A pair of plain fnv1a experiments that are locked loads with a warning that names both and what to do.
TEST(Snapshot, LockedPairsAreNamed) {
  const auto two = [](std::string_view hash) {
    return std::string(R"({"experiments": [{"key": "dark_mode", "hash": ")")
        .append(hash)
        .append(R"(", )")
        .append(kHalves)
        .append(R"(}, {"key": "cta_color", "hash": ")")
        .append(hash)
        .append(R"(", )")
        .append(kHalves)
        .append("}]}");
  };
  Issues issues;
  Definitions all = testing::definitions(two("fnv1a"), issues);
  ASSERT_NE(compile(std::move(all), issues), nullptr);
  ASSERT_EQ(issues.list().size(), 1U);
  EXPECT_FALSE(issues.list()[0].error);
  EXPECT_NE(issues.list()[0].message.find("`dark_mode` and `cta_color`"), std::string::npos);
  EXPECT_NE(issues.list()[0].suggestion.find("fnv1a-mix"), std::string::npos);
  Issues none;
  all = testing::definitions(two("fnv1a-mix"), none);
  ASSERT_NE(compile(std::move(all), none), nullptr);
  EXPECT_TRUE(none.list().empty());
}

// An override names a variant that exists, or does nothing; a flag's plain value goes by its text.
TEST(Snapshot, Overrides) {
  const auto snapshot = compiled(
      R"({"flags": [{"key": "f", "type": "boolean", "default": false, "rules": [{"when": {"x": 1}, "value": true}]}]})");
  Context context(*snapshot);
  context.override_variant("f", "true");
  EXPECT_TRUE(snapshot->evaluate("f", context).value->boolean);
  context.reset(*snapshot);
  context.override_variant("f", "maybe");
  EXPECT_FALSE(snapshot->evaluate("f", context).value->boolean);
}

}  // namespace
}  // namespace weir::experiment
