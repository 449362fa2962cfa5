// Bytes that people write in one line: what is accepted, and where a fault is.
#include "weir/server/flat_json.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::server {
namespace {

std::string fault(std::string_view text) {
  const Result<FlatJson> json = FlatJson::parse(text, 7);
  return json ? "" : json.error().detail;
}

// Texts, numbers by their digits, true, false and null; escapes and every length of UTF-8.
TEST(FlatJson, ReadsPlainMembers) {
  const auto json = FlatJson::parse(
      " {\"t\": 12.000000001, \"key\":\"a\\u00e9\\n\\ud83d\\ude00\xc3\xa9\xf0\x9f\x98\x80\" "
      ",\"no\":null,\"yes\":true,"
      "\n\"n\":-0.5e+3,\"cost\":18446744073709551615}\n");
  ASSERT_TRUE(json) << json.error().detail;
  ASSERT_EQ(json->members().size(), 6U);
  EXPECT_EQ(json->find("t")->text, "12.000000001");
  EXPECT_EQ(json->find("key")->text, "a\xc3\xa9\n\xf0\x9f\x98\x80\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(json->find("no")->kind, FlatJson::Kind::null);
  EXPECT_EQ(json->find("yes")->text, "true");
  EXPECT_EQ(json->find("n")->value_at.to_text(), "2:5");
  EXPECT_FALSE(json->find("n")->whole());
  EXPECT_EQ(json->find("cost")->whole(), 18446744073709551615ULL);
  EXPECT_EQ(json->find("other"), nullptr);
  EXPECT_TRUE(FlatJson::parse("{}"));
}

// Every fault names its line and column.
TEST(FlatJson, FaultsHaveAPlace) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"", "7:1: an object is expected"},
      {"[]", "7:1: an object is expected"},
      {"{", "7:2: a name in double quotes"},
      {"{\"a\"", "7:5: `:` is expected"},
      {"{\"a\":", "7:6: a value is expected"},
      {"{\"a\":1", "7:7: the object is not closed"},
      {"{\"a\":1 \"b\":2}", "7:8: `,` or `}`"},
      {"{\"a\":1,}", "7:8: a name in double quotes"},
      {"{\"a\":1} x", "7:9: nothing may follow"},
      {"{\"a\":1,\n\"a\":2}", "8:1: a name twice: \"a\""},
      {"{\"a\":{}}", "7:6: only texts, numbers"},
      {"{\"a\":[1]}", "7:6: only texts, numbers"},
      {"{\"a\":01}", "7:6: a number does not begin with 0"},
      {"{\"a\":-}", "7:7: a digit is expected"},
      {"{\"a\":1.}", "7:8: a digit is expected"},
      {"{\"a\":1e}", "7:8: a digit is expected"},
      {"{\"a\":+1}", "7:6: no JSON value"},
      {"{\"a\":NaN}", "7:6: no JSON value"},
      {"{\"a\":tru}", "7:6: no JSON value"},
      {"{'a':1}", "7:2: a name in double quotes"},
      {"{\"a\":\"x", "7:6: the text is not closed"},
      {"{\"a\":\"x\ny\"}", "7:8: a control character"},
      {"{\"a\":\"\\x\"}", "7:7: no such escape"},
      {"{\"a\":\"\\u12g4\"}", "7:7: \\u needs four"},
      {"{\"a\":\"\\ud800\"}", "7:7: half a surrogate"},
      {"{\"a\":\"\\udc00\"}", "7:7: half a surrogate"},
      {"{\"a\":\"\\ud800\\u0041\"}", "7:7: half a surrogate"},
      {"{\"a\":\"\xff\"}", "7:7: no UTF-8"},
      {"{\"a\":\"\xc0\x80\"}", "7:7: no UTF-8"},
      {"{\"a\":\"\xed\xa0\x80\"}", "7:7: no UTF-8"},
      {"{\"a\":\"\xf4\x90\x80\x80\"}", "7:7: no UTF-8"},
      {"{\"a\":\"\xe2\x82\"}", "7:7: no UTF-8"},
  };
  for (const auto& [text, want] : kCases) EXPECT_EQ(fault(text).substr(0, want.size()), want) << text;
}

// Bounds: 64 KiB and 64 members.
TEST(FlatJson, IsBounded) {
  EXPECT_EQ(fault("{\"a\":\"" + std::string(FlatJson::kBytes, 'x') + "\"}"), "7:1: more than 64 KiB");
  std::string many = "{";
  for (int i = 0; i < 65; ++i) many += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  EXPECT_NE(fault(many + "}").find("more than 64 members"), std::string::npos);
}

// Cut anywhere, a whole object is none, and nothing is read behind its end.
TEST(FlatJson, EveryCutIsAFault) {
  const std::string text = "{\"t\":1.5e3,\"key\":\"\\u00e9\xc3\xa9\",\"x\":null}";
  ASSERT_EQ(fault(text), "");
  for (std::size_t n = 0; n < text.size(); ++n) EXPECT_NE(fault(std::string(text, 0, n)), "") << n;
}

}  // namespace
}  // namespace weir::server
