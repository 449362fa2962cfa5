// The experiments' file by its YAML: places of mistakes, what a scalar means, references from routes.
#include <gtest/gtest.h>

#include "weir/config/testing.h"
#include "weir/experiment/snapshot.h"

namespace weir::config {
namespace {

using testing::load;
using testing::report;

std::string faults(std::string_view text) {
  const ExperimentsResult result = load_experiments_text("experiments.yaml", text);
  std::string all;
  for (const Diagnostic& diagnostic : result.diagnostics) all += to_text(diagnostic, result.files) + "\n";
  return all;
}

// A mistake is shown in the line and column of the experiments' file.
TEST(ExperimentsFile, MistakesHaveTheirPlaces) {
  EXPECT_EQ(
      faults("experiments:\n  - key: a\n    variants: [{name: x, weight: 60}, {name: y, weight: 50}]\n"),
      "experiments.yaml:2:5: the weights of `a` sum to 110, not to 100\n");
  EXPECT_EQ(faults("flags:\n  - {key: a, type: boolean, default: false, rules: [{when: {v: {semver_get: "
                   "\"1.0.0\"}}, value: true}]}\n"),
            "experiments.yaml:2:65: unknown operator `semver_get` (did you mean `semver_gt`?)\n");
  EXPECT_EQ(faults("experiments:\n  - {key: a, key: b, variants: [{name: x, weight: 100}]}\n").substr(0, 36),
            "experiments.yaml:2:14: duplicate key");
}

// Plain scalars by JSON's grammar: versions and words stay texts, quoted numbers too.
TEST(ExperimentsFile, Scalars) {
  const ExperimentsResult result = load_experiments_text("e.yaml", R"(
flags:
  - {key: n, type: number, default: 1.5e3}
  - {key: t, type: string, default: 1.2.3}
  - {key: q, type: string, default: "5"}
  - {key: y, type: string, default: yes}
  - {key: z, type: string, default: 012}
  - {key: j, type: json, default: {a: [1, true, null]}}
)");
  ASSERT_TRUE(result.snapshot) << faults("");
  experiment::Context context(*result.snapshot);
  EXPECT_EQ(result.snapshot->evaluate("n", context).value->number, 1500);
  EXPECT_EQ(result.snapshot->evaluate("t", context).value->text, "1.2.3");
  EXPECT_EQ(result.snapshot->evaluate("q", context).value->text, "5");
  EXPECT_EQ(result.snapshot->evaluate("y", context).value->text, "yes");
  EXPECT_EQ(result.snapshot->evaluate("z", context).value->text, "012");
  EXPECT_EQ(experiment::to_json(*result.snapshot->evaluate("j", context).value), R"({"a":[1,true,null]})");
}

// A GrowthBook payload is known by its `features`.
TEST(ExperimentsFile, GrowthBookPayload) {
  const ExperimentsResult result =
      load_experiments_text("p.json", R"({"features": {"f": {"defaultValue": "x"}}})");
  ASSERT_TRUE(result.snapshot);
  experiment::Context context(*result.snapshot);
  EXPECT_EQ(result.snapshot->evaluate("f", context).value->text, "x");
}

// Locked pairs are a warning: the file loads.
TEST(ExperimentsFile, LockedPairsWarn) {
  const std::string text = R"(experiments:
  - {key: dark_mode, hash: fnv1a, variants: [{name: a, weight: 50}, {name: b, weight: 50}]}
  - {key: cta_color, hash: fnv1a, variants: [{name: a, weight: 50}, {name: b, weight: 50}]}
)";
  EXPECT_TRUE(load_experiments_text("e.yaml", text).snapshot);
  EXPECT_NE(faults(text).find("3:5"), std::string::npos);
  EXPECT_NE(faults(text).find("locked together"), std::string::npos);
}

std::string with_route(std::string_view route) {
  return "listen: :0\nexperiments: {file: experiments.yaml}\nupstreams: {u: {endpoints: "
         "[http://h]}}\nroutes:\n  - {path: /a, upstream: u, " +
         std::string(route) + "}\n";
}

// Routes name what exists, each for what it is.
TEST(ExperimentsFile, ReferencesOfRoutes) {
  EXPECT_NE(report(load(with_route("experiments: [checkout_buton]"))).find("did you mean `checkout_button`?"),
            std::string::npos);
  EXPECT_NE(report(load(with_route("experiments: [dark_mode]"))).find("is a flag, no experiment"),
            std::string::npos);
  EXPECT_NE(report(load(with_route("flags: [checkout_button]"))).find("is an experiment, no flag"),
            std::string::npos);
  EXPECT_NE(report(load(with_route("experiments: [checkout_button, checkout_button]"))).find("twice"),
            std::string::npos);
  EXPECT_NE(
      report(load(with_route("variants: {checkout_button: {treatment: {upstream: u}}}"))).find("not among"),
      std::string::npos);
  EXPECT_NE(
      report(load(with_route(
                 "experiments: [checkout_button], variants: {checkout_button: {treatmnt: {upstream: u}}}")))
          .find("did you mean `treatment`?"),
      std::string::npos);
  EXPECT_NE(
      report(load(with_route(
                 "experiments: [checkout_button], variants: {checkout_button: {treatment: {upstream: x}}}")))
          .find("no upstream is called `x`"),
      std::string::npos);
  EXPECT_EQ(report(load(with_route(
                "experiments: [checkout_button], variants: {checkout_button: {treatment: {upstream: u}}}"))),
            "");
  EXPECT_NE(
      report(load("listen: :0\nroutes: [{path: /a, serve: experiments}]\n")).find("needs `experiments`"),
      std::string::npos);
  EXPECT_NE(
      report(load("listen: :0\nexperiments: {file: none.yaml}\n")).find("cannot read the file `none.yaml`"),
      std::string::npos);
}

// cors: origins are origins, and credentials go to named ones alone.
TEST(ExperimentsFile, Cors) {
  EXPECT_NE(report(load(with_route("cors: {origins: [app.example]}"))).find("no origin"), std::string::npos);
  EXPECT_NE(report(load(with_route("cors: {origins: [\"https://app.example/\"]}"))).find("no origin"),
            std::string::npos);
  EXPECT_NE(
      report(load(with_route("cors: {origins: [\"*\"], credentials: true}"))).find("needs named origins"),
      std::string::npos);
  EXPECT_EQ(
      report(load(with_route("cors: {origins: [\"https://app.example:8443\", \"https://*.example\"]}"))), "");
}

}  // namespace
}  // namespace weir::config
