// What `weir fmt` does to a file: the layout, comments kept, nothing else changed, twice is once.
#include "weir/config/format.h"

#include <gtest/gtest.h>

#include "weir/base/random.h"
#include "weir/config/testing.h"

namespace weir::config {
namespace {

using testing::cases;
using testing::kCases;
using testing::slurp;

// The new layout; what was said against it where there is none.
std::string formatted(std::string_view text) {
  const Formatted result = format_text("weir.yaml", text);
  if (result.text) return *result.text;
  std::string said;
  for (const Diagnostic& diagnostic : result.diagnostics) said += to_text(diagnostic, result.files) + "\n";
  return said;
}

// Levels are two spaces apart, whatever they were; lists stand below their key.
TEST(Format, Indents) {
  EXPECT_EQ(formatted("routes:\n- path: /a\n  respond:\n        status: 200\n-   path: /b\n    respond: "
                      "{}\nlog:\n level: info\n"),
            "routes:\n  - path: /a\n    respond:\n      status: 200\n  - path: /b\n    respond: {}\nlog:\n  "
            "level: info\n");
  EXPECT_EQ(formatted("a:\n    - - 1\n      - 2\n    -\n        b: c\n"),
            "a:\n  - - 1\n    - 2\n  -\n    b: c\n");
}

// One space behind `:` and `,`, none inside of brackets; text in quotes and in plain words stays.
TEST(Format, SpacesBrackets) {
  EXPECT_EQ(
      formatted("a :   { b:  [1 ,2,  3 ] , c: \"x , y\",d : two  words , \"e\":1, g: http://h:1/#x }\n"),
      "a: {b: [1, 2, 3], c: \"x , y\", d: two  words, \"e\": 1, g: http://h:1/#x}\n");
  EXPECT_EQ(formatted("a: []\nb: {}\nc: [[1,2],{d: e}]\n"), "a: []\nb: {}\nc: [[1, 2], {d: e}]\n");
}

// Brackets over several lines keep their lines: below what stands behind the opening one, or two further in.
TEST(Format, LinesOfBrackets) {
  EXPECT_EQ(formatted("providers:\n - {name: main, audiences: [api],\n     jwks: {file: k}}   # keys\n"),
            "providers:\n  - {name: main, audiences: [api],\n     jwks: {file: k}}  # keys\n");
  EXPECT_EQ(formatted("a: [\n1,\n\n  2, # two\n # three\n   3\n      ]\n"),
            "a: [\n  1,\n  2,  # two\n  # three\n  3\n]\n");
  EXPECT_EQ(formatted("a: [{\nb: c\n}, {\n  d: e}]\n"), "a: [{\n  b: c\n}, {\n  d: e}]\n");
}

// Comments stay with what they stand beside or above, neighbours in one column.
TEST(Format, KeepsComments) {
  EXPECT_EQ(formatted("# top\n\n\n\nlisten: :0 # here\nworkers: auto      # there\n\nlog: # block\n    # "
                      "inside\n    level: info\n    # still inside\n# end\n"),
            "# top\n\nlisten: :0     # here\nworkers: auto  # there\n\nlog:  # block\n  # inside\n  level: "
            "info\n  # still inside\n# end\n");
  EXPECT_EQ(formatted("routes:\n# first\n- path: /a # x#y\n  # respond\n  respond: {}\n#last\n"),
            "routes:\n  # first\n  - path: /a  # x#y\n    # respond\n    respond: {}\n#last\n");
}

// Text over several lines keeps its lines.
TEST(Format, LongText) {
  EXPECT_EQ(formatted("a: |\n      one\n        two\n\n      three  \n\n\nb: >-\n  x\nc: one\n     two\n\n   "
                      "  three\nd: \"q\n     r # s\n\n  t\"\n"),
            "a: |\n  one\n    two\n\n  three  \n\nb: >-\n  x\nc: one\n  two\n\n  three\nd: \"q\n  r # s\n\n  "
            "t\"\n");
  EXPECT_EQ(formatted("a: |+\n   one\n\n\nb: 1\n"), "a: |+\n  one\n\n\nb: 1\n");
  EXPECT_EQ(formatted("a:\n  - |2\n      one\n     two\n"), "a:\n  - |2\n      one\n     two\n");
}

// Ends of lines, tabs behind text, a byte-order mark: gone. An empty file stays empty.
TEST(Format, Ends) {
  EXPECT_EQ(formatted("\xEF\xBB\xBF"
                      "a: 1  \r\n\r\n\r\nb:\t2\t\r\n\r\n"),
            "a: 1\n\nb: 2\n");
  EXPECT_EQ(formatted("a: 1"), "a: 1\n");
  EXPECT_EQ(formatted(""), "");
  EXPECT_EQ(formatted("# nothing\n"), "# nothing\n");
  EXPECT_EQ(formatted("---\n   a: &x  [1]\n   b:   *x\n"), "---\na: &x [1]\nb: *x\n");
}

// What is not YAML is refused with what is wrong.
TEST(Format, RefusesWhatIsNotYaml) {
  const Formatted result = format_text("weir.yaml", "a: [1\nb: 2\n");
  EXPECT_FALSE(result.text);
  ASSERT_FALSE(result.diagnostics.empty());
  EXPECT_TRUE(to_text(result.diagnostics.front(), result.files).starts_with("weir.yaml:"));
}

std::string meaning(const std::string& name, std::string_view text) {
  const LoadResult result = load_text(name, text, testing::case_environment());
  return result.config ? to_json(*result.config) : std::string("not valid");
}

// Every file of the collection that is YAML, every example: laid out, with its comments, meaning what it meant.
TEST(Format, EveryFileOfOurs) {
  std::vector<std::filesystem::path> files;
  for (const std::string& name : cases("good")) files.push_back(kCases / name);
  for (const std::string& name : cases(".", ".yaml")) files.push_back(kCases / name);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(WEIR_SOURCE_DIR "/examples"))
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  std::size_t laid_out = 0;
  for (const std::filesystem::path& path : files) {
    const std::string text = slurp(path);
    const Formatted first = format_text(path.filename(), text);
    if (!first.text) {
      // Only what cannot be read may be refused.
      ASSERT_FALSE(first.diagnostics.empty());
      EXPECT_EQ(first.diagnostics.front().message.find("new layout"), std::string::npos) << path;
      continue;
    }
    ++laid_out;
    const Formatted second = format_text(path.filename(), *first.text);
    ASSERT_TRUE(second.text) << path;
    EXPECT_EQ(*second.text, *first.text) << path;
    EXPECT_EQ(meaning("good/weir.yaml", *first.text), meaning("good/weir.yaml", text)) << path;
  }
  EXPECT_GE(laid_out, 50U);
}

// White space strewn over good files at random: whatever is still the same file to YAML is laid out, and once is enough.
TEST(Format, IsStableUnderStrewnSpace) {
  std::vector<std::string> texts;
  for (const std::string& name : cases("good")) texts.push_back(slurp(kCases / name));
  std::size_t laid_out = 0;
  std::size_t refused = 0;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    base::Random random(seed);
    std::string text = texts[random.below(texts.size())];
    for (std::uint64_t i = random.below(3) + 1; i > 0; --i) {
      static constexpr std::string_view kStrewn[] = {" ", "  ", "\n", "\n\n", "   ", "\t", "\r"};
      std::size_t at = random.below(text.size() + 1);
      if (random.below(4) != 0) at = std::min(text.find_first_of(" ,:[]{}\n", at), text.size());
      text.insert(at, kStrewn[random.below(std::size(kStrewn))]);
    }
    const Formatted first = format_text("weir.yaml", text);
    if (!first.text) {
      ASSERT_FALSE(first.diagnostics.empty()) << "seed " << seed;
      refused += first.diagnostics.front().message.find("new layout") != std::string::npos ? 1U : 0U;
      continue;
    }
    ++laid_out;
    const Formatted second = format_text("weir.yaml", *first.text);
    ASSERT_TRUE(second.text) << "seed " << seed << "\n" << *first.text;
    ASSERT_EQ(*second.text, *first.text) << "seed " << seed;
    ASSERT_EQ(meaning("good/weir.yaml", *first.text), meaning("good/weir.yaml", text)) << "seed " << seed;
  }
  EXPECT_GE(laid_out, 150U);
  EXPECT_LE(refused, laid_out / 25) << "the scanner understands too little";
}

}  // namespace
}  // namespace weir::config
