#include <benchmark/benchmark.h>

#include "weir/base/random.h"
#include "weir/cache/memory_cache.h"

namespace {

using namespace weir;
using namespace std::chrono_literals;

// A hit among ten thousand entries.
void BM_Get(benchmark::State& state) {
  cache::MemoryCache<std::string> cache({.bytes_max = 64 << 20, .shards = 16}, base::SipKey{1, 2});
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) {
    keys.push_back("GET /v1/users/" + std::to_string(i));
    cache.put(keys.back(), std::make_shared<const std::string>("x"), 1, TimePoint{1h}, {1h, 0s});
  }
  base::Random random(1);
  for (auto _ : state) benchmark::DoNotOptimize(cache.get(keys[random.below(keys.size())], TimePoint{1h}));
}
BENCHMARK(BM_Get);

// A put that must evict.
void BM_PutFull(benchmark::State& state) {
  cache::MemoryCache<std::string> cache({.bytes_max = 1 << 20, .shards = 16}, base::SipKey{1, 2});
  const auto value = std::make_shared<const std::string>("x");
  std::uint64_t i = 0;
  for (auto _ : state)
    cache.put("GET /v1/users/" + std::to_string(++i), value, 1000, TimePoint{1h}, {1h, 0s});
}
BENCHMARK(BM_PutFull);

}  // namespace

BENCHMARK_MAIN();
