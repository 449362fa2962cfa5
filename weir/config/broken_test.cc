// Files that are wrong, and what is said about them.
//
// tests/config_cases/NN-name.yaml beside NN-name.expected: every line of what `weir check` prints, to the
// letter.
#include <gtest/gtest.h>

#include <cstdlib>

#include "weir/config/testing.h"

namespace weir::config {
namespace {

using testing::case_environment;
using testing::cases;
using testing::kCases;
using testing::load;
using testing::report;
using testing::slurp;

// Each broken file gives exactly the expected diagnostics, in order; only those with warnings alone give a
// Config.
TEST(Broken, EveryCaseSaysWhatIsExpected) {
  const std::vector<std::string> names = cases(".", ".yaml");
  std::size_t broken = 0;
  for (const std::string& name : names) {
    const LoadResult result = load_file(name, case_environment());
    const std::string expected = slurp((kCases / name).replace_extension(".expected"));
    EXPECT_EQ(report(result), expected) << name;
    const bool error =
        std::any_of(result.diagnostics.begin(), result.diagnostics.end(),
                    [](const Diagnostic& d) { return d.severity == Diagnostic::Severity::error; });
    EXPECT_EQ(result.config.has_value(), !error) << name;
    broken += error ? 1 : 0;
  }
  EXPECT_GE(broken, 120U);
}

// No message holds a value that came from the environment or from another file.
TEST(Broken, SecretsNeverAppear) {
  for (const std::string& name : cases(".", ".yaml")) {
    const LoadResult result = load_file(name, case_environment());
    EXPECT_EQ(report(result).find("hunter2"), std::string::npos) << name;
    for (const Diagnostic& diagnostic : result.diagnostics)
      EXPECT_EQ(to_json(diagnostic, result.files).find("hunter2"), std::string::npos) << name;
  }
}

// The contract's whole example loads, without a word.
TEST(Broken, TheContractsExampleLoads) {
  const LoadResult result = load_file("contract.yaml", case_environment());
  EXPECT_TRUE(result.config);
  EXPECT_TRUE(result.diagnostics.empty()) << report(result);
}

// A file larger than 4 MiB is refused without being parsed.
TEST(Broken, TooLarge) {
  const LoadResult result = load("listen: :0\n#" + std::string(4 * 1024 * 1024, 'x'));
  EXPECT_EQ(report(result), "weir.yaml:1:1: the file is larger than 4 MiB\n");
}

// As is one with more than 100,000 values.
TEST(Broken, TooManyValues) {
  std::string text = "listen: :0\nroutes: [";
  for (int i = 0; i < 100'000; ++i) text += "x,";
  EXPECT_EQ(report(load(text + "]\n")),
            "weir.yaml:2:200000: more than 100000 values, aliases counted with all they stand for\n");
}

// And one with more than 1,000 aliases.
TEST(Broken, TooManyAliases) {
  std::string text = "listen: &a :0\nroutes:\n";
  for (int i = 0; i < 1'001; ++i) text += "- *a\n";
  EXPECT_EQ(report(load(text)), "weir.yaml:1003:3: more than 1000 aliases\n");
}

// Text counts each time an alias repeats it.
TEST(Broken, TooMuchText) {
  std::string text = "listen: :0\nlog: &a {x: \"" + std::string(1 << 20, 'x') + "\"}\nroutes:\n";
  for (int i = 0; i < 64; ++i) text += "- *a\n";
  EXPECT_EQ(report(load(text)),
            "weir.yaml:66:3: more than 64 MiB of text, aliases counted with all they stand for\n");
}

// Nesting of any kind ends at a diagnostic, not at the end of the stack.
TEST(Broken, DeepNestingOfEveryKind) {
  for (const std::string unit :
       {"[", "{a: ", "- ", "? ", "[{a: ", "a:\n", "- [", "!!seq [", "&a [", "\"a\": [", "[[],"}) {
    std::string text;
    for (int i = 0; i < 200'000; ++i) text += unit;
    const LoadResult result = load(text);
    EXPECT_FALSE(result.config) << unit;
    EXPECT_FALSE(result.diagnostics.empty()) << unit;
  }
}

// Depth that grows with the indentation of lines, as block collections do.
TEST(Broken, DeepIndentation) {
  std::string text;
  for (std::size_t i = 0; i < 1'500; ++i) text += std::string(i, ' ') + "a:\n";
  EXPECT_EQ(report(load(text)), "weir.yaml:65:65: nested deeper than 64 levels\n");
}

// 64 files are read, the next is refused.
TEST(Broken, TooManyFiles) {
  Environment environment = case_environment();
  environment.read_file = [](const std::string&) -> Result<std::string> {
    return std::string("routes: []\n");
  };
  environment.glob = [](const std::string&) {
    std::vector<std::string> names;
    for (int i = 100; i < 200; ++i) names.push_back("part" + std::to_string(i) + ".yaml");
    return names;
  };
  const LoadResult result = load_text("weir.yaml", "listen: :0\ninclude: [\"part*.yaml\"]\n", environment);
  EXPECT_EQ(report(result), "weir.yaml:2:11: more than 64 files\n");
  EXPECT_EQ(result.files.size(), 64U);
}

// A file with thousands of mistakes gives a thousand, and says that there are more.
TEST(Broken, MistakesAreCounted) {
  std::string text = "listen: :0\n";
  for (int i = 0; i < 3'000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const LoadResult result = load(text);
  ASSERT_EQ(result.diagnostics.size(), 1'001U);
  EXPECT_EQ(result.diagnostics.back().message, "more than 1000 mistakes; the others are not shown");
}

// `file:` values are bounded all together.
TEST(Broken, OutsideValuesAreBounded) {
  Environment environment = case_environment();
  environment.read_file = [](const std::string&) -> Result<std::string> { return std::string(1 << 20, 'x'); };
  std::string text = "listen: :0\nroutes:\n";
  for (int i = 0; i < 65; ++i) text += "- {path: /" + std::to_string(i) + ", respond: {body: file:big}}\n";
  EXPECT_EQ(report(load_text("weir.yaml", text, environment)),
            "weir.yaml:67:31: `body`: the values of `file:` are larger than 64 MiB together\n");
}

// A file that cannot be read is one diagnostic with the system's reason.
TEST(Broken, UnreadableFile) {
  const LoadResult missing = load_file("/nonexistent/weir.yaml", system_environment());
  EXPECT_EQ(report(missing), "/nonexistent/weir.yaml:1:1: cannot read the file: No such file or directory\n");
  EXPECT_FALSE(missing.config);
  EXPECT_EQ(report(load_file("/", system_environment())), "/:1:1: cannot read the file: Is a directory\n");
}

// An endless file ends at the cap.
TEST(Broken, EndlessFile) {
  EXPECT_EQ(report(load_file("/dev/zero", system_environment())),
            "/dev/zero:1:1: cannot read the file: it is larger than 4 MiB\n");
}

// A value behind several aliases is wrong once, where it is written.
TEST(Broken, AliasedMistakeIsReportedOnce) {
  EXPECT_EQ(
      report(load("listen: :0\nupstreams:\n  a: &a {endpoints: [http://h], timeout: 5}\n  b: *a\n  c: *a\n")),
      "weir.yaml:3:42: `timeout` must be a duration such as 250ms, 2s or 1m, 1ms to 1d, or `off`; got `5` "
      "(did you mean `5s`?)\n");
}

// A route's wrong value is one mistake: the default that it would have replaced says nothing then.
TEST(Broken, WrongValueHidesTheDefault) {
  EXPECT_EQ(report(load(
                "listen: :0\ndefaults: {rate_limit: [k]}\nrate_limits: {k: {key: \"header:K\", limit: 1/s}}\n"
                "routes: [{path: /a, respond: {}, rate_limit: 5}]\n")),
            "weir.yaml:4:46: `rate_limit` must be `off` or a list; got `5`\n");
}

// The JSON form has the same content, whatever characters a message holds.
TEST(Diagnostics, Json) {
  Diagnostic diagnostic;
  diagnostic.at = Position{0, 3, 5};
  diagnostic.message = "unknown key `a\"b`";
  diagnostic.suggestion = "did you mean `ab`?";
  const std::vector<std::string> files{"weir.yaml"};
  EXPECT_EQ(to_text(diagnostic, files), "weir.yaml:3:5: unknown key `a\"b` (did you mean `ab`?)");
  EXPECT_EQ(to_json(diagnostic, files),
            R"({"file":"weir.yaml","line":3,"column":5,"severity":"error","message":"unknown key `a\"b`",)"
            R"("suggestion":"did you mean `ab`?"})");
  diagnostic.severity = Diagnostic::Severity::warning;
  diagnostic.suggestion.clear();
  EXPECT_EQ(to_text(diagnostic, files), "weir.yaml:3:5: warning: unknown key `a\"b`");
}

}  // namespace
}  // namespace weir::config
