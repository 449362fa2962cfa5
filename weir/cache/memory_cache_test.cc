#include "weir/cache/memory_cache.h"

#include <gtest/gtest.h>

#include <map>

#include "weir/base/random.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
using Cache = MemoryCache<std::string>;

constexpr base::SipKey kKey{1, 2};

std::shared_ptr<const std::string> text(std::string value) {
  return std::make_shared<const std::string>(std::move(value));
}

struct Fixture : ::testing::Test {
  TimePoint now{1h};
};
using CacheTest = Fixture;

// A value is fresh, then stale, then gone, each to the nanosecond.
TEST_F(CacheTest, IsFreshThenStaleThenGone) {
  Cache cache(Options{}, kKey);
  EXPECT_FALSE(cache.get("a", now));
  EXPECT_TRUE(cache.put("a", text("1"), 1, now, {.fresh = 10s, .stale = 5s}));
  EXPECT_TRUE(cache.get("a", now + 10s - 1ns).fresh());
  const Cache::Hit stale = cache.get("a", now + 10s);
  EXPECT_EQ(stale.state, Age::stale);
  EXPECT_EQ(stale.age, Duration(10s));
  EXPECT_EQ(*stale.value, "1");
  EXPECT_FALSE(cache.get("a", now + 15s));
  EXPECT_EQ(cache.counts().entries, 0U);
  EXPECT_EQ(*stale.value, "1") << "what was given out stays good";
}

// A value without any time is not kept, and takes away what was there.
TEST_F(CacheTest, KeepsNothingThatHasNoTime) {
  Cache cache(Options{}, kKey);
  cache.put("a", text("1"), 1, now, {.fresh = 1s, .stale = 0s});
  EXPECT_FALSE(cache.put("a", text("2"), 1, now, {.fresh = 0s, .stale = 0s}));
  EXPECT_FALSE(cache.get("a", now));
  EXPECT_TRUE(cache.put("a", text("3"), 1, now, {.fresh = Duration::max(), .stale = Duration::max()}));
  EXPECT_TRUE(cache.get("a", TimePoint::max() - 1ns).fresh());
}

// The bound holds after every step of a long random run, and every answer is one that was put under that very key and
// has not expired.
TEST_F(CacheTest, KeepsItsBoundAndNeverAnswersWrongly) {
  const std::uint64_t seed = 20261124;
  SCOPED_TRACE(seed);
  base::Random random(seed);
  const Options options{.bytes_max = 64 * 1024, .shards = 4};
  Cache cache(options, kKey);
  struct Put {
    std::string value;
    TimePoint fresh_until, stale_until;
  };
  std::map<std::string, Put> model;
  for (int step = 0; step < 200'000; ++step) {
    now += Duration(1ms) * static_cast<std::int64_t>(random.below(3));
    const std::string key = "key" + std::to_string(random.below(500));
    if (random.chance(1, 3)) {
      const std::size_t size = random.below(2000);
      const Duration fresh = Duration(1ms) * static_cast<std::int64_t>(random.below(200));
      const Duration stale = Duration(1ms) * static_cast<std::int64_t>(random.below(200));
      std::string value = key + "/" + std::to_string(step);
      model[key] = {value, now + fresh, now + fresh + stale};
      cache.put(key, text(std::move(value)), size, now, {fresh, stale});
    } else if (random.chance(1, 50)) {
      cache.erase(key);
      model.erase(key);
    } else if (const Cache::Hit hit = cache.get(key, now)) {
      ASSERT_TRUE(model.contains(key));
      ASSERT_EQ(*hit.value, model[key].value);
      ASSERT_LT(now, model[key].stale_until);
      ASSERT_EQ(hit.fresh(), now < model[key].fresh_until);
    }
    ASSERT_LE(cache.counts().bytes, options.bytes_max);
  }
  EXPECT_GT(cache.counts().evicted, 0U);
  EXPECT_GT(cache.counts().hits, 1000U);
  cache.clear();
  EXPECT_EQ(cache.counts().bytes, 0U);
}

// What was hit since the hand came by is spared; what nobody asks for goes first.
TEST_F(CacheTest, SparesWhatIsUsed) {
  const std::size_t each = 1000 + Cache::kEntryBytes + 1;
  Cache cache({.bytes_max = 4 * each, .shards = 1}, kKey);
  for (const std::string_view key : {"a", "b", "c", "d"}) cache.put(key, text("x"), 1000, now, {1h, 0s});
  EXPECT_TRUE(cache.get("a", now));
  cache.put("e", text("x"), 1000, now, {1h, 0s});
  EXPECT_TRUE(cache.get("a", now));
  EXPECT_FALSE(cache.get("b", now));
  cache.put("f", text("x"), 1000, now, {1h, 0s});
  EXPECT_FALSE(cache.get("c", now));
}

// An entry larger than a shard is refused, and so is one whose size overflows.
TEST_F(CacheTest, RefusesWhatCannotFit) {
  Cache cache({.bytes_max = 8192, .shards = 2}, kKey);
  EXPECT_FALSE(cache.put("a", text("x"), 4096, now, {1h, 0s}));
  EXPECT_FALSE(cache.put("a", text("x"), SIZE_MAX, now, {1h, 0s}));
  EXPECT_TRUE(cache.put("a", text("x"), 1000, now, {1h, 0s}));
  EXPECT_EQ(cache.counts().refused, 2U);
}

}  // namespace
}  // namespace weir::cache
