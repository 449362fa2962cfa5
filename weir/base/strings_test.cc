#include "weir/base/put.h"
#include "weir/base/strings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string>

#include "weir/base/random.h"

namespace weir::base {
namespace {

// Letters' case is ASCII's alone: no other byte changes, and no other two bytes are the same.
TEST(Strings, CaseIsAscii) {
  for (int a = 0; a < 256; ++a) {
    const char c = static_cast<char>(a);
    const bool upper = a >= 'A' && a <= 'Z';
    EXPECT_EQ(ascii_lower(c), upper ? static_cast<char>(a + 32) : c);
    EXPECT_EQ(is_digit(c), a >= '0' && a <= '9');
    EXPECT_EQ(is_alpha(c), upper || (a >= 'a' && a <= 'z'));
    for (int b = 0; b < 256; ++b) {
      const char d = static_cast<char>(b);
      EXPECT_EQ(iequals({&c, 1}, {&d, 1}), ascii_lower(c) == ascii_lower(d));
    }
  }
  EXPECT_EQ(to_lower("X-Api-KEY\xc3\x84"), "x-api-key\xc3\x84");
  EXPECT_FALSE(iequals("Host", "Hos"));
  EXPECT_FALSE(iequals("@", "`")) << "one bit apart, as A and a are";
}

// Only spaces and tabs, only at the ends.
TEST(Strings, Trim) {
  EXPECT_EQ(trim(" \t a b\t "), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\na\r"), "\na\r");
}

// Digits and nothing else, up to the largest value and not one more.
TEST(Strings, ParseU64) {
  EXPECT_EQ(parse_u64("0"), 0U);
  EXPECT_EQ(parse_u64("007"), 7U);
  EXPECT_EQ(parse_u64("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"", "18446744073709551616", "18446744073709551620", "99999999999999999999", "-1",
                           "+1", " 1", "1 ", "1.0", "0x10", "1e3", "\xd9\xa1"})
    EXPECT_FALSE(parse_u64(text)) << text;
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t value = random() >> random.below(64);
    EXPECT_EQ(parse_u64(std::to_string(value)), value);
  }
}

TEST(Strings, Split) {
  using Pieces = std::vector<std::string_view>;
  EXPECT_EQ(split("a,b,,c", ','), (Pieces{"a", "b", "", "c"}));
  EXPECT_EQ(split("", ','), Pieces{""});
  EXPECT_EQ(split(",", ','), (Pieces{"", ""}));
  EXPECT_EQ(split("abc", ','), Pieces{"abc"});
}

// The slow twin of the edit distance, straight from its definition: insert, delete, change, swap neighbours;
// what was swapped is not touched again.
std::size_t distance(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  std::size_t best = std::min(distance(a.substr(1), b), distance(a, b.substr(1))) + 1;
  best = std::min(best, distance(a.substr(1), b.substr(1)) + (a[0] == b[0] ? 0 : 1));
  if (a.size() > 1 && b.size() > 1 && a[0] == b[1] && a[1] == b[0])
    best = std::min(best, distance(a.substr(2), b.substr(2)) + 1);
  return best;
}

// closest() is the first of the nearest candidates, if that is near enough for a typing mistake.
TEST(Strings, ClosestAgreesWithTheDefinition) {
  Random random(8);
  const auto word = [&](std::size_t most) {
    std::string made;
    for (std::size_t n = random.below(most + 1); n > 0; --n) made += static_cast<char>('a' + random.below(3));
    return made;
  };
  for (int trial = 0; trial < 400; ++trial) {
    const std::string typed = word(6);
    std::vector<std::string> words;
    for (int i = 0; i < 5; ++i) words.push_back(word(6));
    const std::vector<std::string_view> candidates(words.begin(), words.end());
    std::size_t best = std::max<std::size_t>(1, typed.size() / 3) + 1;
    std::string_view expected;
    for (const std::string_view candidate : candidates)
      if (const std::size_t d = distance(typed, candidate); d < best) best = d, expected = candidate;
    EXPECT_EQ(closest(typed, candidates), expected) << typed;
  }
}

TEST(Strings, ClosestForConfigurationKeys) {
  const std::array<std::string_view, 4> keys{"rate_limit", "load_shed", "upstream", "upstreams"};
  EXPECT_EQ(closest("rate_limt", keys), "rate_limit");
  EXPECT_EQ(closest("lood_shed", keys), "load_shed");
  EXPECT_EQ(closest("upstraem", keys), "upstream");
  EXPECT_EQ(closest("cors", keys), "");
  EXPECT_EQ(closest("", keys), "");
  EXPECT_EQ(closest("upstream", {}), "");
  const std::string endless(100'000, 'a');
  const std::array<std::string_view, 1> one{endless};
  EXPECT_EQ(closest(endless, one), endless) << "cut, not refused";
}

// A plain decoder of UTF-8 by arithmetic (RFC 3629): the code points, or nothing if a byte does not belong.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t length = lead < 0x80       ? 1
                               : lead >> 5 == 6  ? 2
                               : lead >> 4 == 14 ? 3
                               : lead >> 3 == 30 ? 4
                                                 : 0;
    if (length == 0 || i + length > text.size()) return false;
    std::uint32_t point = length == 1 ? lead : lead & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto tail = static_cast<std::uint8_t>(text[i + k]);
      if (tail >> 6 != 2) return false;
      point = point << 6 | (tail & 0x3fU);
    }
    static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    i += length;
  }
  return true;
}

std::string escaped(std::string_view text) {
  std::string out;
  append_json_escaped(out, text);
  return out;
}

TEST(Strings, JsonEscapes) {
  EXPECT_EQ(escaped("a\"b\\c/d"), R"(a\"b\\c/d)");
  EXPECT_EQ(escaped(std::string_view("\0\n\x1f\x7f", 4)), "\\u0000\\u000a\\u001f\\u007f");
  EXPECT_EQ(escaped("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(escaped("\xff"), "\xef\xbf\xbd");
  EXPECT_EQ(escaped("\xed\xa0\x80").substr(0, 3), "\xef\xbf\xbd") << "a surrogate";
  EXPECT_EQ(escaped("\xc0\xaf").substr(0, 3), "\xef\xbf\xbd") << "an overlong slash";
}

// Whatever goes in, what comes out is UTF-8 without bare quotes or controls; and valid text keeps its bytes.
TEST(Strings, JsonEscapesAlwaysParse) {
  const auto check = [](const std::string& text) {
    const std::string out = escaped(text);
    ASSERT_TRUE(is_utf8(out));
    for (std::size_t i = 0; i < out.size(); ++i) {
      ASSERT_GE(static_cast<std::uint8_t>(out[i]), 0x20);
      if (out[i] == '\\')
        ++i;
      else
        ASSERT_NE(out[i], '"');
    }
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
      return static_cast<std::uint8_t>(c) >= 0x20 && c != 0x7f && c != '"' && c != '\\';
    });
    if (plain && is_utf8(text)) {
      ASSERT_EQ(out, text);
    } else if (plain) {
      ASSERT_NE(out.find("\xef\xbf\xbd"), std::string::npos);
    }
  };
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; ++b) check({static_cast<char>(a), static_cast<char>(b)});
  Random random(6);
  for (int trial = 0; trial < 50'000; ++trial) {
    std::string text;
    for (std::size_t n = random.below(8); n > 0; --n) {
      static constexpr std::uint8_t kEdges[] = {0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
                                                0xdf, 0xe0, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf3, 0xf4, 0xf5};
      text += static_cast<char>(random.chance(1, 2) ? kEdges[random.below(sizeof kEdges)] : random());
    }
    check(text);
  }
}

// put() copies exactly the text, whatever its length, touches no byte beside it, and says where it ended.
TEST(Strings, PutCopiesEveryLength) {
  std::string text;
  for (std::size_t n = 0; n <= 200; ++n, text.push_back(static_cast<char>('a' + n % 26))) {
    std::string room(n + 2, '#');
    EXPECT_EQ(put(room.data() + 1, text), room.data() + 1 + n);
    EXPECT_EQ(room, "#" + text + "#");
  }
  char untouched = '#';
  EXPECT_EQ(put(&untouched, std::string_view()), &untouched);
  EXPECT_EQ(untouched, '#');
}

}  // namespace
}  // namespace weir::base
