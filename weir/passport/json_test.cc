// Strict JSON: what is accepted, what is refused, and that nothing is lost on the way through.
#include "weir/passport/json.h"

#include <gtest/gtest.h>

#include "weir/passport/testing.h"

namespace weir::passport {
namespace {

using testing::json;

bool accepts(std::string_view text) { return Json::parse(text).has_value(); }

// Every text of the public suite that must be refused is refused, and every one that must be accepted is accepted,
// but for those that say a name twice, which JSON allows and we do not.
TEST(Json, DecidesThePublicSuiteRight) {
  const auto folder = testing::vectors("json");
  if (!folder) GTEST_SKIP() << "vectors are not here";
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    const std::string name = entry.path().filename();
    const std::string text = testing::read_file(entry.path());
    Json::Limits limits;
    limits.bytes = 1 << 20;
    limits.depth = 600;
    const bool accepted = Json::parse(text, limits).has_value();
    if (name.starts_with("n_")) {
      EXPECT_FALSE(accepted) << name;
    }
    if (name.starts_with("y_") && name.find("duplicated_key") == std::string::npos) {
      EXPECT_TRUE(accepted) << name;
    }
    ++files;
  }
  EXPECT_GT(files, 50U);
}

// A name that occurs twice in one object is refused at any depth, also when it is spelled differently.
TEST(Json, RefusesNamesThatOccurTwice) {
  EXPECT_FALSE(accepts(R"({"a":1,"a":1})"));
  EXPECT_FALSE(accepts(R"({"a":1,"b":2,"\u0061":3})"));
  EXPECT_FALSE(accepts(R"({"x":[{"a":1,"a":2}]})"));
  EXPECT_TRUE(accepts(R"({"a":{"a":1},"b":{"a":1}})"));
}

// Integers of 64 bits come out as they went in; larger ones are refused rather than rounded.
TEST(Json, KeepsIntegersExact) {
  for (const std::string text :
       {"9007199254740993", "-9223372036854775808", "9223372036854775807", "18446744073709551615", "0", "-1"})
    EXPECT_EQ(json("[" + text + "]").to_text(), "[" + text + "]");
  EXPECT_FALSE(accepts("[18446744073709551616]"));
}

// What nests deeper than allowed is refused; exactly so deep is not. No text makes the parser recurse without bound.
TEST(Json, BoundsDepthAndBytes) {
  Json::Limits limits;
  limits.depth = 3;
  EXPECT_TRUE(Json::parse("[[[1]]]", limits).has_value());
  EXPECT_FALSE(Json::parse("[[[[1]]]]", limits).has_value());
  EXPECT_FALSE(accepts(std::string(16'000, '[')));
  limits.bytes = 10;
  EXPECT_EQ(Json::parse(R"({"aaaaaaaaaa":1})", limits).error().code, ErrorCode::too_large);
}

// Written and read again, every value is the same.
TEST(Json, RoundTrips) {
  for (const std::string text :
       {R"({"a":null,"b":[true,false,1,-2,0.5,1e+30],"c":{"d":"x\"y\\z\n","e":{}},"f":[]})",
        R"("\u00e9\ud83d\ude00")"}) {
    const Json first = json(text);
    EXPECT_EQ(json(first.to_text()), first) << text;
  }
  EXPECT_FALSE(accepts(R"("\ud800")"));
  EXPECT_FALSE(accepts("\"\xff\""));
  EXPECT_FALSE(accepts("1 2"));
  EXPECT_FALSE(accepts(""));
}

// Paths follow names, whatever characters they hold.
TEST(Json, FollowsPaths) {
  const Json claims = json(R"({"https://x/y":{"z.w":["a"]}})");
  const std::vector<std::string> path{"https://x/y", "z.w"};
  ASSERT_NE(claims.at(path), nullptr);
  EXPECT_EQ(claims.at(path)->items()[0].text(), "a");
  const std::vector<std::string> wrong{"https://x/y", "z"};
  EXPECT_EQ(claims.at(wrong), nullptr);
}

}  // namespace
}  // namespace weir::passport
