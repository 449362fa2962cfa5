// The vectors of the hashes, most of them as static_assert: a wrong one does not compile.
#include "weir/experiment/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "weir/base/hash.h"
#include "weir/experiment/internal/side_by_side.h"

namespace weir::experiment {
namespace {

using base::fnv1a32;

// Published vectors of FNV-1a (Noll).
static_assert(fnv1a32("") == 0x811c9dc5);
static_assert(fnv1a32("a") == 0xe40c292c);
static_assert(fnv1a32("b") == 0xe70c2de5);
static_assert(fnv1a32("c") == 0xe60c2c52);
static_assert(fnv1a32("d") == 0xe10c2473);
static_assert(fnv1a32("e") == 0xe00c22e0);
static_assert(fnv1a32("f") == 0xe30c2799);
static_assert(fnv1a32("fo") == 0x6222e842);
static_assert(fnv1a32("foo") == 0xa9f37ed7);
static_assert(fnv1a32("foob") == 0x3f5076ef);
static_assert(fnv1a32("fooba") == 0x39aaa18a);
static_assert(fnv1a32("foobar") == 0xbf9cf968);
static_assert(fnv1a32("\xcc\x24\x31\xc4") == 0);

// hash: fnv1a is fnv1a32(key + unit) % 100, to the letter.
constexpr bool literal(std::string_view key, std::string_view unit, std::uint32_t hash, std::uint32_t at) {
  return fnv1a32(unit, fnv1a32(key)) == hash && hash % 100 == at &&
         bucket(make_salt(HashKind::fnv1a, key), unit) == at;
}
static_assert(literal("exp1", "user1", 0x23d6a72b, 59));
static_assert(literal("checkout_button", "user_1", 0xcd2a8e95, 93));
static_assert(literal("checkout_button", "user_2", 0xca2a89dc, 36));
static_assert(literal("new_search", "user_1", 0xc45996ad, 13));
static_assert(literal("a1", "23", 0xc730fdf4, 24));
static_assert(literal("a", "123", 0xc730fdf4, 24));  // the ambiguity of a formula without a separator

// fnv1a-mix: state after the unit, after the finaliser, bucket of 10,000.
constexpr bool mixed(std::string_view salt, std::string_view unit, std::uint32_t state, std::uint32_t last,
                     std::uint32_t at) {
  const Salt absorbed = make_salt(HashKind::fnv1a_mix, salt);
  return fnv1a32(unit, absorbed.state) == state && base::fmix32(state) == last &&
         bucket(absorbed, unit) == at;
}
static_assert(mixed("checkout_button", "user_1", 0xbbb1ae68, 0x3eaa5f2f, 2447));
static_assert(mixed("checkout_button", "user_2", 0xbeb1b321, 0x29c14a7b, 1631));
static_assert(mixed("exp1", "user1", 0xaa9869fa, 0x2a7bfcae, 1659));
static_assert(mixed("a1", "23", 0x4c17f967, 0x20e6017b, 1285));
static_assert(mixed("a", "123", 0x8eee67a7, 0x60e1b90e, 3784));
static_assert(mixed("exp", "jos\xc3\xa9", 0xf9eeaf37, 0xe938bf9b, 9110));
static_assert(mixed("", "", 0x1a0c7e2e, 0xbe421ddd, 7431));

// GrowthBook's own vectors (its specification's group `hash`).
static_assert(growthbook_bucket_1("", "a") == 220);
static_assert(growthbook_bucket_1("", "b") == 77);
static_assert(growthbook_bucket_1("b", "a") == 946);
static_assert(growthbook_bucket_1("ef", "d") == 652);
static_assert(growthbook_bucket_1("asdf", "8952klfjas09ujk") == 549);
static_assert(growthbook_bucket_1("", "123") == 11);
static_assert(growthbook_bucket_1("", "___)((*\":&") == 563);
static_assert(growthbook_bucket_2("seed", "a") == 505);
static_assert(growthbook_bucket_2("seed", "b") == 2696);
static_assert(growthbook_bucket_2("foo", "ab") == 2575);
static_assert(growthbook_bucket_2("foo", "def") == 2019);
static_assert(growthbook_bucket_2("89123klj", "8952klfjas09ujkasdf") == 1240);
static_assert(growthbook_bucket_2("90850943850283058242805", "123") == 7516);
static_assert(growthbook_bucket_2("()**(%$##$%#$#", "___)((*\":&") == 128);

// UTF-16 units are what JavaScript programs hash: one for "é", two for an emoji; bytes agree only for ASCII.
static_assert(fnv1a32_utf16("user_1") == fnv1a32("user_1"));
static_assert(fnv1a32_utf16("\xc3\xa9") == (0x811c9dc5U ^ 0xe9U) * 0x01000193U);
static_assert(fnv1a32_utf16("\xf0\x9f\x98\x80") ==
              ((0x811c9dc5U ^ 0xd83dU) * 0x01000193U ^ 0xde00U) * 0x01000193U);

// A salt absorbed beforehand and the whole text hashed at once give one answer, however the text is divided.
TEST(Hash, SaltsAreOnlyAPrefix) {
  const std::string_view text = "checkout_button-user_1";
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    EXPECT_EQ(bucket(make_salt(HashKind::fnv1a, text.substr(0, cut)), text.substr(cut)), fnv1a32(text) % 100);
}

// Every bucket is within the total, for totals that are and are not powers of two, at both ends of the hash.
TEST(Hash, BucketsStayBelowTheTotal) {
  for (std::uint32_t total : {1U, 2U, 3U, 100U, 1000U, 10'000U, 0x7fffffffU})
    for (std::uint32_t hash : {0U, 1U, 0x7fffffffU, 0x80000000U, 0xffffffffU, 0x85ebca6bU}) {
      EXPECT_LT(bucket_of_hash(HashKind::fnv1a, hash, total), total);
      EXPECT_LT(bucket_of_hash(HashKind::fnv1a_mix, hash, total), total);
    }
}

// Broken UTF-8 is hashed byte by byte instead of being read beyond its end.
TEST(Hash, BrokenUtf8IsHashedAsBytes) {
  for (std::string_view text : {"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xff", "a\x80"})
    EXPECT_EQ(fnv1a32_utf16(text), fnv1a32_utf16(std::string(text)));
}

// Hashing side by side gives what hashing one after the other gives, for every length and number of states.
TEST(Hash, SideBySide) {
  std::string text;
  for (std::size_t length = 0; length < 70; ++length, text += static_cast<char>(length * 37)) {
    for (std::size_t count = 8; count <= 136; count += 8) {
      std::vector<std::uint32_t> states(count);
      for (std::size_t i = 0; i < count; ++i) states[i] = base::fnv1a32(std::to_string(i * 7919));
      std::vector<std::uint32_t> plain = states;
      std::vector<std::uint32_t> wanted = states;
      for (std::uint32_t& state : wanted) state = base::fnv1a32(text, state);
      internal::fnv1a32_side_by_side(text, states);
      internal::fnv1a32_side_by_side_plain(text, plain);
      ASSERT_EQ(states, wanted) << length << " bytes, " << count << " states";
      ASSERT_EQ(plain, wanted) << length << " bytes, " << count << " states";
    }
  }
}

}  // namespace
}  // namespace weir::experiment
