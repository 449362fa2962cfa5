#include "weir/base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "weir/base/random.h"

namespace weir::base {
namespace {

// FNV's reference vectors (Noll, test_fnv.c). At compile time: whoever changes the hash changes every
// assignment.
static_assert(fnv1a32("") == 0x811c9dc5U);
static_assert(fnv1a32("a") == 0xe40c292cU);
static_assert(fnv1a32("b") == 0xe70c2de5U);
static_assert(fnv1a32("foo") == 0xa9f37ed7U);
static_assert(fnv1a32("foobar") == 0xbf9cf968U);
static_assert(fnv1a32("chongo was here!\n") == 0xd49930d5U);
static_assert(fnv1a64("") == 0xcbf29ce484222325ULL);
static_assert(fnv1a64("a") == 0xaf63dc4c8601ec8cULL);
static_assert(fnv1a64("b") == 0xaf63df4c8601f1a5ULL);
static_assert(fnv1a64("foo") == 0xdcb27518fed9d577ULL);
static_assert(fnv1a64("foobar") == 0x85944171f73967e8ULL);
static_assert(fnv1a64("chongo was here!\n") == 0x46810940eff5f915ULL);

// MurmurHash3's finaliser, computed from its published definition.
static_assert(fmix32(0) == 0U);
static_assert(fmix32(1) == 0x514e28b7U);
static_assert(fmix32(2) == 0x30f4c306U);
static_assert(fmix32(0xffffffffU) == 0x81f16f39U);

// Hashing in pieces is hashing the whole, wherever it is cut; bytes above 0x7f count as bytes.
TEST(Fnv1a, ContinuesAcrossPieces) {
  const std::string text("user_123\xff\x80:checkout", 20);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view head = std::string_view(text).substr(0, cut);
    const std::string_view tail = std::string_view(text).substr(cut);
    EXPECT_EQ(fnv1a32(tail, fnv1a32(head)), fnv1a32(text));
    EXPECT_EQ(fnv1a64(tail, fnv1a64(head)), fnv1a64(text));
  }
  EXPECT_EQ(fnv1a32("\xff"), (0x811c9dc5U ^ 0xffU) * 0x01000193U);
}

// fmix32 loses nothing: its inverse, step by step, gives every value back.
TEST(Fmix32, IsABijection) {
  const auto inverse = [](std::uint32_t h) {
    h ^= h >> 16;
    h *= 0x7ed1b41dU;  // of 0xc2b2ae35 modulo 2^32
    h ^= h >> 13 ^ h >> 26;
    h *= 0xa5cb9243U;  // of 0x85ebca6b
    return h ^ h >> 16;
  };
  Random random(5);
  for (int i = 0; i < 100'000; ++i) {
    const auto value = static_cast<std::uint32_t>(random());
    ASSERT_EQ(inverse(fmix32(value)), value);
  }
}

// The slow twin: SipHash as the paper draws it, byte by byte, with any number of rounds. It must give the
// paper's own vectors for 2-4 before it may judge 1-3.
class SipTwin {
 public:
  SipTwin(int c, int d, const std::vector<std::uint8_t>& key)
      : c_(c), d_(d), k0_(word(key, 0)), k1_(word(key, 8)) {}

  std::vector<std::uint8_t> hash(const std::vector<std::uint8_t>& message, std::size_t bytes_out) const {
    std::uint64_t v[4] = {k0_ ^ 0x736f6d6570736575, k1_ ^ 0x646f72616e646f6d, k0_ ^ 0x6c7967656e657261,
                          k1_ ^ 0x7465646279746573};
    if (bytes_out == 16) v[1] ^= 0xee;
    std::vector<std::uint8_t> padded = message;
    while (padded.size() % 8 != 7) padded.push_back(0);
    padded.push_back(static_cast<std::uint8_t>(message.size() % 256));
    for (std::size_t at = 0; at < padded.size(); at += 8) {
      const std::uint64_t m = word(padded, at);
      v[3] ^= m;
      for (int i = 0; i < c_; ++i) round(v);
      v[0] ^= m;
    }
    v[2] ^= bytes_out == 16 ? 0xee : 0xff;
    std::vector<std::uint8_t> out;
    for (int half = 0; out.size() < bytes_out; ++half) {
      if (half == 1) v[1] ^= 0xdd;
      for (int i = 0; i < d_; ++i) round(v);
      const std::uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
      for (int i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(h / power(i) % 256));
    }
    return out;
  }
  static std::uint64_t word(const std::vector<std::uint8_t>& bytes, std::size_t at) {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value += bytes[at + static_cast<std::size_t>(i)] * power(i);
    return value;
  }

 private:
  static std::uint64_t power(int i) { return std::uint64_t{1} << (8 * i); }
  static std::uint64_t left(std::uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }
  static void round(std::uint64_t (&v)[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = left(v[1], 13);
    v[3] = left(v[3], 16);
    v[1] ^= v[0];
    v[3] ^= v[2];
    v[0] = left(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = left(v[1], 17);
    v[3] = left(v[3], 21);
    v[1] ^= v[2];
    v[3] ^= v[0];
    v[2] = left(v[2], 32);
  }

  int c_, d_;
  std::uint64_t k0_, k1_;
};

std::vector<std::uint8_t> counting(std::size_t n) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < n; ++i) bytes.push_back(static_cast<std::uint8_t>(i));
  return bytes;
}

// The paper's vector (appendix A) and the first of the reference implementation's, 64 and 128 bits.
TEST(SipHash, TheTwinKnowsThePublishedVectors) {
  const SipTwin twin(2, 4, counting(16));
  EXPECT_EQ(SipTwin::word(twin.hash(counting(15), 8), 0), 0xa129ca6149be45e5U);
  EXPECT_EQ(SipTwin::word(twin.hash(counting(0), 8), 0), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(SipTwin::word(twin.hash(counting(1), 8), 0), 0x74f839c593dc67fdU);
  const std::vector<std::uint8_t> empty128{0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                           0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
  EXPECT_EQ(twin.hash(counting(0), 16), empty128);
}

// siphash13 and siphash13_128 agree with the twin, for every length of the tail, from any alignment.
TEST(SipHash, AgreesWithTheTwin) {
  Random random(11);
  for (int trial = 0; trial < 2000; ++trial) {
    const SipKey key{random(), random()};
    std::vector<std::uint8_t> key_bytes;
    for (const std::uint64_t half : {key.k0, key.k1})
      for (int i = 0; i < 8; ++i) key_bytes.push_back(static_cast<std::uint8_t>(half >> (8 * i)));
    const std::size_t offset = random.below(8);
    const std::size_t length = trial < 300 ? static_cast<std::size_t>(trial) : random.below(600);
    std::string storage(offset + length, '\0');
    for (char& c : storage) c = static_cast<char>(random());
    const std::string_view message = std::string_view(storage).substr(offset);
    const SipTwin twin(1, 3, key_bytes);
    const std::vector<std::uint8_t> bytes(message.begin(), message.end());
    ASSERT_EQ(siphash13(key, message), SipTwin::word(twin.hash(bytes, 8), 0));
    const Hash128 wide = siphash13_128(key, message);
    const std::vector<std::uint8_t> expected = twin.hash(bytes, 16);
    ASSERT_EQ(wide.low, SipTwin::word(expected, 0));
    ASSERT_EQ(wide.high, SipTwin::word(expected, 8));
  }
}

}  // namespace
}  // namespace weir::base
