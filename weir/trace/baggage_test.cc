#include "weir/trace/baggage.h"

#include <gtest/gtest.h>

namespace weir::trace {
namespace {

Baggage parsed(std::string_view text) {
  const std::vector<std::string_view> values{text};
  return Baggage::parse(values);
}

// The cases of the public suite: pairs, white space, several headers, properties, escapes.
TEST(Baggage, IsReadByItsGrammar) {
  EXPECT_EQ(*parsed("SomeKey=SomeValue").get("SomeKey"), "SomeValue");
  EXPECT_EQ(*parsed("SomeKey \t = \t SomeValue \t ").get("SomeKey"), "SomeValue");
  EXPECT_EQ(*parsed("SomeKey=SomeValue=equals").get("SomeKey"), "SomeValue=equals");
  EXPECT_EQ(*parsed("SomeKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29").get("SomeKey"),
            "\t \"';=asdf!@#$%^&*()");
  const Baggage two = parsed("SomeKey=SomeValue;SomeProp,SomeKey2=SomeValue2;ValueProp=PropVal");
  ASSERT_EQ(two.members().size(), 2U);
  EXPECT_EQ(two.members()[0].properties, "SomeProp");
  EXPECT_EQ(two.members()[1].properties, "ValueProp=PropVal");
  const std::vector<std::string_view> headers{"a=1", "b=2,c=3"};
  EXPECT_EQ(Baggage::parse(headers).to_header(), "a=1,b=2,c=3");
  EXPECT_EQ(*parsed("a=").get("a"), "");
  EXPECT_EQ(parsed("a=1,a=2").members().size(), 2U);
}

// A malformed member goes, the others stay.
TEST(Baggage, DropsWhatIsMalformedAndNothingElse) {
  for (const std::string_view bad :
       {"noequals", "=x", "a b=1", "a=\"q\"", "a=1;", "a=1; =2", "a=b\\c", "a=\x01", "(=1"}) {
    const Baggage baggage = parsed(std::string(bad) + ",good=1");
    EXPECT_EQ(baggage.to_header(), "good=1") << bad;
  }
}

// Bytes that are not UTF-8 become U+FFFD; whatever is set comes back from the header.
TEST(Baggage, EscapesAndMendsValues) {
  EXPECT_EQ(*parsed("a=%ff%C3%A9").get("a"), "\xef\xbf\xbd\xc3\xa9");
  EXPECT_EQ(*parsed("a=%zz%4").get("a"), "%zz%4");
  Baggage baggage;
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  EXPECT_TRUE(baggage.set("key", all + "é"));
  EXPECT_TRUE(baggage.set("key2", "old"));
  EXPECT_TRUE(baggage.set("key2", "new"));
  EXPECT_FALSE(baggage.set("no token", "x"));
  const std::string header = baggage.to_header();
  EXPECT_EQ(*parsed(header).get("key"), all + "é");
  EXPECT_EQ(*parsed(header).get("key2"), "new");
}

// 64 members and 8192 bytes are passed on; beyond that whole members are left out.
TEST(Baggage, KeepsTheBoundsOfTheSpecification) {
  std::string many;
  for (int i = 0; i < 70; ++i) many += (i == 0 ? "k" : ",k") + std::to_string(i) + "=v";
  EXPECT_EQ(parsed(many).members().size(), 64U);
  std::string text = "a=" + std::string(4093, 'x') + ",b=" + std::string(4094, 'y');
  ASSERT_EQ(text.size(), Baggage::kBytesMax);
  EXPECT_EQ(parsed(text).to_header(), text);
  EXPECT_EQ(parsed(text + "y").to_header(), text.substr(0, 4095));
}

}  // namespace
}  // namespace weir::trace
