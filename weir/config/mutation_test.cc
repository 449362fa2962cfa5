// Good files, damaged at random: nothing crashes, whatever is said has a place, and what is still taken holds
// together.
#include <gtest/gtest.h>

#include <array>

#include "weir/base/random.h"
#include "weir/config/schema_validator.h"
#include "weir/config/testing.h"

namespace weir::config {
namespace {

using testing::case_environment;
using testing::cases;
using testing::kCases;
using testing::report;
using testing::Schema;
using testing::slurp;

// Scalars that are right somewhere and wrong elsewhere.
constexpr std::array<std::string_view, 36> kPieces{"off",
                                                   "true",
                                                   "false",
                                                   "~",
                                                   "[]",
                                                   "{}",
                                                   "0",
                                                   "1",
                                                   "-1",
                                                   "100",
                                                   "1e9",
                                                   "100/min",
                                                   "10/s",
                                                   "30s",
                                                   "1.5s",
                                                   "64KiB",
                                                   "5%",
                                                   "client_ip",
                                                   "header:X",
                                                   "http://127.0.0.1:9001",
                                                   "127.0.0.1:80",
                                                   "/a/*",
                                                   "/{id}",
                                                   "GET",
                                                   "*",
                                                   "&a x",
                                                   "!tag x",
                                                   "\"",
                                                   "'",
                                                   ": ",
                                                   "- ",
                                                   "env:WEIR_TEST_SECRET",
                                                   "file:parts/secret.txt",
                                                   "10.0.0.0/8",
                                                   "\t",
                                                   "99999999999999999999"};

std::string mutated(std::string text, base::Random& random) {
  const auto at = [&] { return static_cast<std::size_t>(random.below(text.size() + 1)); };
  switch (random.below(7)) {
    case 0:  // one byte changed
      if (!text.empty()) text[random.below(text.size())] = static_cast<char>(random.below(256));
      break;
    case 1: {  // a stretch dropped
      const std::size_t from = at();
      text.erase(from, random.below(20));
      break;
    }
    case 2: {  // a stretch doubled
      const std::size_t from = at();
      text.insert(at(), text.substr(from, random.below(40)));
      break;
    }
    case 3:  // a piece put in
      text.insert(at(), kPieces[random.below(kPieces.size())]);
      break;
    case 4: {  // a word replaced by a piece
      const std::size_t from = text.find_first_not_of(" \n{}[],:", at());
      if (from == std::string::npos) break;
      const std::size_t end = std::min(text.find_first_of(" \n{}[],", from), text.size());
      text.replace(from, end - from, kPieces[random.below(kPieces.size())]);
      break;
    }
    case 5: {  // a line dropped
      const std::size_t from = std::min(text.find('\n', at()), text.size());
      const std::size_t end = text.find('\n', std::min(from + 1, text.size()));
      text.erase(from, end == std::string::npos ? end : end - from);
      break;
    }
    default:  // cut off
      text.resize(at());
      break;
  }
  return text;
}

// Counts in `loaded` the texts that are still sound.
void expect_sense(const std::string& text, const Schema& schema, std::uint64_t seed, int& loaded) {
  const LoadResult result = load_text("good/weir.yaml", text, case_environment());
  bool error = false;
  for (const Diagnostic& diagnostic : result.diagnostics) {
    error = error || diagnostic.severity == Diagnostic::Severity::error;
    ASSERT_LT(diagnostic.at.file, result.files.size());
    ASSERT_GE(diagnostic.at.line, 1U);
    ASSERT_GE(diagnostic.at.column, 1U);
    if (diagnostic.at.file == 0) {
      const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
      ASSERT_LE(diagnostic.at.line, lines);
    }
    ASSERT_FALSE(diagnostic.message.empty());
    ASSERT_EQ(to_text(diagnostic, result.files).find("hunter2"), std::string::npos);
  }
  ASSERT_EQ(result.config.has_value(), !error) << report(result);
  if (!result.config) return;
  ++loaded;
  ASSERT_EQ(schema.why_not(text), "") << "seed " << seed << ": loaded, but not by the schema:\n" << text;
  const std::string dump = to_json(*result.config);
  const LoadResult again = load_text("dump.json", dump, case_environment());
  ASSERT_TRUE(again.config) << "seed " << seed << ": the dump does not load:\n" << report(again) << dump;
  ASSERT_EQ(to_json(*again.config), dump) << "seed " << seed;
}

// 1 to 4 mutations at a time of each good file, 5,000 rounds; a failure prints its seed and text.
constexpr std::uint64_t kRounds = 5'000;
TEST(Mutation, DamagedFilesAreReportedWithPlaces) {
  std::vector<std::string> texts;
  for (const std::string& name : cases("good")) texts.push_back(slurp(kCases / name));
  const Schema schema;
  int loaded = 0;
  for (std::uint64_t seed = 1; seed <= kRounds; ++seed) {
    base::Random random(seed);
    std::string text = texts[random.below(texts.size())];
    for (std::uint64_t i = random.below(4) + 1; i > 0; --i) text = mutated(std::move(text), random);
    expect_sense(text, schema, seed, loaded);
    if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << "\n" << text;
  }
  EXPECT_GE(loaded, 200);  // else the mutations are too coarse to say anything of the schema
}

// Every prefix of a good file.
TEST(Mutation, EveryPrefix) {
  const Schema schema;
  const std::string text = slurp(kCases / "good/everything.yaml");
  int loaded = 0;
  for (std::size_t length = 0; length <= text.size(); ++length) {
    expect_sense(text.substr(0, length), schema, length, loaded);
    if (::testing::Test::HasFatalFailure()) FAIL() << "length " << length;
  }
}

}  // namespace
}  // namespace weir::config
