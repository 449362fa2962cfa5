// Several threads on one small cache, under ThreadSanitizer: the bound holds and answers belong to their keys.
#include <gtest/gtest.h>

#include <thread>

#include "weir/base/random.h"
#include "weir/cache/memory_cache.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;

// What is there under the key, or the key itself.
std::string value_or(MemoryCache<std::string>& cache, const std::string& key, TimePoint now) {
  const auto hit = cache.get(key, now);
  return hit ? *hit.value : key;
}

// Four threads put, get, erase and count at once.
TEST(CacheThreads, AnswersBelongToTheirKeys) {
  MemoryCache<std::string> cache({.bytes_max = 32 * 1024, .shards = 2}, base::SipKey{3, 4});
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      base::Random random(t);
      for (int i = 0; i < 20'000; ++i) {
        const TimePoint now = TimePoint{1h} + Duration(1us) * i;
        const std::string key = std::to_string(random.below(100));
        switch (random.below(8)) {
          case 0:
          case 1:
            cache.put(key, std::make_shared<const std::string>(key), random.below(500), now, {5ms, 5ms});
            break;
          case 2:
            cache.erase(key);
            break;
          case 3:
            EXPECT_LE(cache.counts().bytes, 32U * 1024);
            break;
          default:
            EXPECT_EQ(value_or(cache, key, now), key);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace weir::cache
