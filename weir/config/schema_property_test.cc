// The schema and the check are made from one table, and must say the same of every document: what is right for one is right
// for the other, whatever the fault. Documents are drawn from the table under seeds.
#include <gtest/gtest.h>

#include <cstdlib>

#include "weir/config/internal/check.h"
#include "weir/config/schema_generator.h"
#include "weir/config/schema_validator.h"
#include "weir/config/testing.h"

namespace weir::config {
namespace {

using testing::Generator;
using testing::Schema;

// WEIR_LONG: as many as a long run is for.
std::uint64_t documents() { return std::getenv("WEIR_LONG") != nullptr ? 20'000 : 700; }

// What the check of single values says; "" when nothing.
std::string checked(const std::string& text) {
  internal::Budget budget;
  internal::Report report;
  const internal::Document document = internal::parse_document(text, 0, budget, report);
  const std::vector<std::string> files{"drawn.json"};
  const Environment environment = testing::case_environment();
  std::size_t outside = 0;
  internal::check_root(document.root, 0, {environment, files, report, outside});
  std::string said;
  for (const Diagnostic& diagnostic : report.take_sorted())
    if (diagnostic.severity == Diagnostic::Severity::error) said += to_text(diagnostic, files) + "\n";
  return said;
}

// Every right document is right for both.
TEST(SchemaProperty, BothAcceptWhatIsRight) {
  const Schema schema;
  for (std::uint64_t seed = 1; seed <= documents(); ++seed) {
    const std::string text = Generator(seed).valid();
    ASSERT_EQ(checked(text), "") << "seed " << seed << "\n" << text;
    ASSERT_EQ(schema.why_not(text), "") << "seed " << seed << "\n" << text;
  }
}

// One fault is a fault for both.
TEST(SchemaProperty, BothRefuseOneFault) {
  const Schema schema;
  std::size_t spoilt = 0;
  for (std::uint64_t seed = 1; seed <= documents(); ++seed) {
    std::string what;
    const std::string text = Generator(seed).faulty(&what);
    if (text.empty()) continue;
    ++spoilt;
    EXPECT_NE(checked(text), "") << "seed " << seed << ", " << what << "\n" << text;
    EXPECT_FALSE(schema.accepts(text)) << "seed " << seed << ", " << what << "\n" << text;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GE(spoilt, documents() * 9 / 10);
}

}  // namespace
}  // namespace weir::config
