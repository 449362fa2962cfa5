// Two validators against each other and against the public vectors; the readers against what was put together.
#include "weir/bff/json.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "weir/base/random.h"

namespace weir::bff {
namespace {

constexpr std::size_t kDepth = 256;

// Space behind a text changes no verdict, and brings short ones to the fast parser.
JsonVerdict fast(JsonValidator& validator, std::string text) {
  text.append(JsonValidator::kFastFrom, ' ');
  return validator.check(text, kDepth);
}

std::filesystem::path vectors() {
  if (const char* folder = std::getenv("WEIR_VECTORS")) return folder;
  return std::filesystem::path(WEIR_SOURCE_DIR) / ".." / "shared" / "vectors";
}

// Every file that must be accepted is, every one that must be refused is, by both validators; of the rest they agree.
TEST(JsonValidator, DecidesThePublicVectors) {
  const std::filesystem::path folder = vectors() / "json";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no vectors beside the repository";
  JsonValidator validator;
  int accepted = 0, refused = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    const std::string name = file.path().filename().string();
    if (!name.ends_with(".json")) continue;
    std::ifstream stream(file.path(), std::ios::binary);
    std::stringstream bytes;
    bytes << stream.rdbuf();
    const JsonVerdict quick = fast(validator, bytes.str());
    const JsonVerdict slow = check_json_slowly(bytes.str(), kDepth);
    EXPECT_EQ(quick == JsonVerdict::valid, slow == JsonVerdict::valid) << name;
    const bool must = name.starts_with("y_"), must_not = name.starts_with("n_");
    EXPECT_TRUE(!must || quick == JsonVerdict::valid) << name;
    EXPECT_TRUE(!must_not || quick != JsonVerdict::valid) << name;
    accepted += must ? 1 : 0;
    refused += must_not ? 1 : 0;
  }
  EXPECT_GT(accepted + refused, 0);
  std::printf("accepted %d, refused %d\n", accepted, refused);
}

// What only balances brackets is not JSON: ten kinds that a looser reader takes.
TEST(JsonValidator, RefusesWhatOnlyLooksLikeJson) {
  JsonValidator validator;
  for (const std::string_view bad :
       {"[1 2,,]", "{\"x\":tru}", "{\"k\":01}", "[\"\\ud800\"]",      "{\"a\":1,}",
        "[1,]",    "{'a':1}",     "[\"a\nb\"]", "{\"a\" 1}",          "[1]]",
        "[NaN]",   "{\"a\":.5}",  "\"\xff\"",   "[\"\xed\xa0\x80\"]", "{\"a\":1",
        "[",       "nul",         "",           "{\"a\":\"\\x\"}",    "[+1]",
        "1 2"}) {
    EXPECT_EQ(fast(validator, std::string(bad)), JsonVerdict::invalid) << bad;
    EXPECT_EQ(check_json_slowly(bad, kDepth), JsonVerdict::invalid) << bad;
  }
}

// Numbers beyond 64 bits are JSON, whatever a parser can hold.
TEST(JsonValidator, TakesNumbersOfAnySize) {
  JsonValidator validator;
  for (const std::string_view good :
       {"[123456789012345678901234567890]", "[1e999]", "[-0]", "[1E+2]", "0", "\"\"", " null "})
    EXPECT_EQ(fast(validator, std::string(good)), JsonVerdict::valid) << good;
  EXPECT_EQ(fast(validator, "[123456789012345678901234567890,]"), JsonVerdict::invalid);
}

// Exactly depth_max levels pass, one more does not, whatever else is in the text.
TEST(JsonValidator, BoundsTheDepth) {
  JsonValidator validator;
  for (const std::size_t depth : {1, 2, 16, 256}) {
    for (const bool object : {false, true}) {
      const auto nested = [&](std::size_t levels) {
        std::string text;
        for (std::size_t i = 0; i < levels; ++i) text += object ? "{\"a\":" : "[";
        text += "1";
        for (std::size_t i = 0; i < levels; ++i) text += object ? "}" : "]";
        return text;
      };
      std::string at = nested(depth), over = nested(depth + 1), bomb = nested(100'000);
      EXPECT_EQ(validator.check(at, depth), JsonVerdict::valid) << depth;
      EXPECT_EQ(validator.check(over, depth), JsonVerdict::too_deep) << depth;
      EXPECT_EQ(validator.check(bomb, depth), JsonVerdict::too_deep) << depth;
    }
  }
}

// Both validators agree on every text of up to six letters over an alphabet that can go wrong in every way.
TEST(JsonValidator, AgreesWithItsTwinOnEveryShortText) {
  constexpr std::string_view alphabet = "[]{}\",:1-e ";
  JsonValidator validator;
  std::string text, copy;
  std::size_t valid = 0;
  const auto walk = [&](auto&& self, std::size_t left) -> void {
    copy = text;
    copy.append(JsonValidator::kFastFrom, ' ');
    const JsonVerdict quick = validator.check(copy, kDepth);
    ASSERT_EQ(quick, check_json_slowly(text, kDepth)) << text;
    valid += quick == JsonVerdict::valid ? 1 : 0;
    if (left == 0) return;
    for (const char c : alphabet) {
      text.push_back(c);
      self(self, left - 1);
      text.pop_back();
    }
  };
  walk(walk, 5);
  EXPECT_GT(valid, 100U);
}

std::string random_json(base::Random& random, int depth) {
  const auto space = [&] { return std::string(random.below(3), ' '); };
  switch (random.below(depth > 0 ? 8 : 5)) {
    case 0:
      return "null";
    case 1:
      return random.chance(1, 2) ? "true" : "false";
    case 2:
      return std::to_string(static_cast<std::int64_t>(random()));
    case 3:
      return "-0.5e+" + std::to_string(random.below(9));
    case 4:
      return "\"a\\\"b\\\\\\u00e9 \xc3\xa9\\ud83d\\ude00,]}\"";
    case 5: {
      std::string text = "[" + space();
      for (std::uint64_t i = 0, n = random.below(4); i < n; ++i)
        text += (i == 0 ? "" : "," + space()) + random_json(random, depth - 1) + space();
      return text + "]";
    }
    default: {
      std::string text = "{" + space();
      for (std::uint64_t i = 0, n = random.below(4); i < n; ++i)
        text += (i == 0 ? "" : "," + space()) + ("\"k" + std::to_string(i) + "\"") + space() + ":" + space() +
                random_json(random, depth - 1) + space();
      return text + "}";
    }
  }
}

// Both agree on random texts and on every mutation of them; members and elements come out byte for byte.
TEST(JsonReaders, GiveBackTheVeryBytes) {
  const std::uint64_t seed = 20261124;
  SCOPED_TRACE(seed);
  base::Random random(seed);
  JsonValidator validator;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> values;
    std::string array = "[", object = "{";
    for (std::uint64_t i = 0, n = random.below(5); i < n; ++i) {
      values.push_back(random_json(random, 4));
      array += (i == 0 ? " " : " , ") + values.back();
      object += (i == 0 ? "\"n" : " ,\"n") + std::to_string(i) + "\" : " + values.back() + "\n";
    }
    array += "]", object += "}";
    ASSERT_EQ(fast(validator, array), JsonVerdict::valid) << array;
    ASSERT_EQ(fast(validator, object), JsonVerdict::valid) << object;
    JsonElements elements(array);
    JsonMembers members(object);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(elements.next() && members.next());
      EXPECT_EQ(elements.value(), values[i]);
      EXPECT_EQ(members.value(), values[i]);
      const std::vector<std::string> name{"n" + std::to_string(i)}, index{std::to_string(i)};
      EXPECT_EQ(find_json(object, name), values[i]);
      EXPECT_EQ(find_json(array, index), values[i]);
    }
    EXPECT_FALSE(elements.next() || members.next());
    std::string mutant = object;
    mutant[random.below(mutant.size())] = static_cast<char>(random.below(256));
    EXPECT_EQ(fast(validator, mutant), check_json_slowly(mutant, kDepth)) << mutant;
  }
}

// A missing step finds nothing: never a value of that name elsewhere. The first of two equal keys counts.
TEST(JsonReaders, FindExactlyThePath) {
  const std::string json = R"({"a":{"b":1},"id":2,"a":3,"esc\u0061pe":{"x\"y":[10,{"z":"deep"}]}})";
  const auto find = [&](std::vector<std::string> path) {
    return std::string(find_json(json, path).value_or("absent"));
  };
  EXPECT_EQ(find({"a", "b"}), "1");
  EXPECT_EQ(find({"a", "id"}), "absent");
  EXPECT_EQ(find({"a", "b", "c"}), "absent");
  EXPECT_EQ(find({"escape", "x\"y", "1", "z"}), "\"deep\"");
  EXPECT_EQ(find({"escape", "x\"y", "2"}), "absent");
  EXPECT_EQ(find({"escape", "x\"y", "-1"}), "absent");
  EXPECT_EQ(find({}), json);
}

// Scalars as text: strings unescaped to UTF-8, numbers and booleans as they stand, nothing else.
TEST(JsonReaders, TurnScalarsIntoText) {
  const auto text = [](std::string_view json) {
    std::string out;
    return append_json_scalar(json, out) ? out : "none";
  };
  EXPECT_EQ(text("\"a\\n\\u00e9\\ud83d\\ude00\\/\""), "a\n\xc3\xa9\xf0\x9f\x98\x80/");
  EXPECT_EQ(text("1.50"), "1.50");
  EXPECT_EQ(text("false"), "false");
  EXPECT_EQ(text("null"), "none");
  EXPECT_EQ(text("[1]"), "none");
}

}  // namespace
}  // namespace weir::bff
