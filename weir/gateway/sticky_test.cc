// What a unit was given before, as a cookie says it.
#include "weir/gateway/sticky.h"

#include <gtest/gtest.h>

namespace weir::gateway {
namespace {

constexpr std::string_view kSecret = "a secret of the tests";

// What was kept comes back for that unit, whatever characters key, variant and unit have, and for no other.
TEST(StickyMemory, ComesBackForItsUnit) {
  StickyMemory memory;
  memory.put("checkout button, 1; =", "größe \"b\"", "josé");
  memory.put("b", "x", "user_1");
  EXPECT_TRUE(memory.changed());
  const std::string cookie = memory.sign(kSecret);
  EXPECT_EQ(cookie.find_first_of("\t\n\" ,;\\"), std::string::npos) << cookie;  // RFC 6265 4.1.1
  const StickyMemory read = StickyMemory::read(kSecret, cookie);
  EXPECT_FALSE(read.changed());
  EXPECT_EQ(read.variant("checkout button, 1; =", "josé"), "größe \"b\"");
  EXPECT_EQ(read.variant("b", "user_1"), "x");
  EXPECT_EQ(read.variant("b", "user_2"), "");
  EXPECT_EQ(read.variant("c", "user_1"), "");
}

// Any change to the cookie makes it say nothing; so does another secret.
TEST(StickyMemory, ForgedOnesSayNothing) {
  StickyMemory memory;
  memory.put("a", "x", "u");
  const std::string cookie = memory.sign(kSecret);
  for (std::size_t i = 0; i < cookie.size(); ++i) {
    std::string forged = cookie;
    forged[i] = forged[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(StickyMemory::read(kSecret, forged).variant("a", "u"), "") << i;
    EXPECT_EQ(StickyMemory::read(kSecret, cookie.substr(0, i)).variant("a", "u"), "") << i;
  }
  EXPECT_EQ(StickyMemory::read("another", cookie).variant("a", "u"), "");
}

// The same again changes nothing; another unit or variant takes the place; what is gone is let go.
TEST(StickyMemory, ChangesOnlyWhenItMust) {
  StickyMemory memory;
  memory.put("a", "x", "u");
  memory.put("b", "x", "u");
  memory = StickyMemory::read(kSecret, memory.sign(kSecret));
  memory.put("a", "x", "u");
  memory.forget([](std::string_view) { return false; });
  EXPECT_FALSE(memory.changed());
  memory.put("a", "y", "v");
  EXPECT_TRUE(memory.changed());
  EXPECT_EQ(memory.variant("a", "u"), "");
  EXPECT_EQ(memory.variant("a", "v"), "y");
  memory.forget([](std::string_view key) { return key == "b"; });
  EXPECT_EQ(memory.variant("b", "u"), "");
}

// However much is put, the cookie stays below what browsers keep, and what was there first stays.
TEST(StickyMemory, IsBounded) {
  StickyMemory memory;
  for (int i = 0; i < 1'000; ++i) memory.put("key_" + std::to_string(i), "variant", "u");
  const std::string cookie = memory.sign(kSecret);
  EXPECT_LT(cookie.size(), 3'900U);
  EXPECT_EQ(StickyMemory::read(kSecret, cookie).variant("key_0", "u"), "variant");
  EXPECT_EQ(StickyMemory::read(kSecret, cookie).variant("key_999", "u"), "");
  memory.put("key_0", "another", "u");
  EXPECT_EQ(memory.variant("key_0", "u"), "another");
}

}  // namespace
}  // namespace weir::gateway
