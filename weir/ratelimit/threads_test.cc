// Threads at once, with clocks that lag and step back: never one call too many, never one refused without
// need.
//
// Admissions carry the moment they were booked on (charged_at), so what many threads did can be put in order
// afterwards and counted by the nanosecond, whoever won which race.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "weir/base/random.h"
#include "weir/ratelimit/keyed_limiter.h"
#include "weir/ratelimit/limiter.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};
constexpr base::SipKey kSeed{11, 22};

template <class F>
void in_threads(unsigned n, F f) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < n; ++i) threads.emplace_back([&f, i] { f(i); });
  for (std::thread& thread : threads) thread.join();
}

std::uint64_t calls(std::uint64_t usual) { return std::getenv("WEIR_LONG") != nullptr ? 20 * usual : usual; }

// The largest number of bookings in any (t - window, t].
std::size_t most_in_a_window(std::vector<TimePoint> booked, Duration window) {
  std::sort(booked.begin(), booked.end());
  std::size_t most = 0;
  for (std::size_t begin = 0, end = 0; end < booked.size(); ++end) {
    while (booked[begin] <= booked[end] - window) ++begin;
    most = std::max(most, end - begin + 1);
  }
  return most;
}

// One key, 1 to 16 threads, time that all advance and each sees with its own lag: no trailing window holds
// more than the limit, and since demand is far above it, every window is used to the full.
TEST(RateLimitThreads, OneKeyIsExact) {
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  for (Algorithm algorithm : {Algorithm::exact_window, Algorithm::segmented_window}) {
    for (unsigned threads : {1U, 2U, 4U, 8U, 16U}) {
      const Policy policy{.name = "t", .limit = 100, .window = 1s, .algorithm = algorithm};
      RateLimiter limiter(policy);
      std::atomic<std::int64_t> time{kStart.time_since_epoch().count()};
      std::vector<std::vector<TimePoint>> booked(threads);
      in_threads(threads, [&](unsigned me) {
        base::Random random(seed + me);
        for (std::uint64_t i = 0; i < calls(400'000) / threads; ++i) {
          TimePoint now{Duration{time.fetch_add(static_cast<std::int64_t>(random.below(200'000)))}};
          if (random.chance(1, 4)) now -= Duration{static_cast<std::int64_t>(random.below(5'000'000))};
          if (random.chance(1, 1000)) now -= 3s;
          const Decision d = limiter.allow_at(now);
          if (d) booked[me].push_back(d.charged_at);
        }
      });
      std::vector<TimePoint> all;
      for (const auto& one : booked) all.insert(all.end(), one.begin(), one.end());
      const Duration span = TimePoint{Duration{time.load()}} - kStart;
      EXPECT_LE(most_in_a_window(all, 1s), 100U) << threads << " threads, seed " << seed;
      const double used =
          static_cast<double>(all.size()) / (100.0 * static_cast<double>(span / 1ms) / 1000.0);
      EXPECT_GT(used, algorithm == Algorithm::exact_window ? 0.98 : 0.96) << threads << " threads";
    }
  }
}

// Exactly the limit passes, whatever the number of threads, when all call within one window.
TEST(RateLimitThreads, ExactlyTheLimitPasses) {
  for (unsigned threads : {2U, 8U, 16U}) {
    for (Algorithm algorithm : {Algorithm::exact_window, Algorithm::segmented_window, Algorithm::gcra,
                                Algorithm::token_bucket, Algorithm::fixed_window}) {
      const Policy policy{.name = "t", .limit = 1000, .window = 24h, .algorithm = algorithm};
      RateLimiter one(policy);
      KeyedRateLimiter keyed(policy, {.max_keys = 1000, .seed = kSeed});
      std::atomic<int> admitted{0};
      std::array<std::atomic<int>, 5> by_key{};
      in_threads(threads, [&](unsigned me) {
        for (int i = 0; i < 2000; ++i) {
          const TimePoint now = kStart + std::chrono::microseconds{(i * 7 + static_cast<int>(me)) % 100};
          if (one.allow_at(now)) ++admitted;
          const int key = i % 5;
          if (keyed.allow_at(now, std::to_string(key))) ++by_key[static_cast<std::size_t>(key)];
        }
      });
      EXPECT_EQ(admitted, 1000) << to_string(algorithm);
      for (const auto& n : by_key) EXPECT_EQ(n, std::min(1000, 400 * static_cast<int>(threads)));
    }
  }
}

// Many keys from many threads, with lagging clocks, some beyond the cap: each key's windows hold at most the
// limit.
TEST(RateLimitThreads, ManyKeysAreExact) {
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  for (std::uint32_t cap : {1000U, 60U}) {
    constexpr unsigned kThreads = 16;
    constexpr unsigned kKeys = 100;
    KeyedRateLimiter limiter({.name = "t", .limit = 10, .window = 100ms},
                             {.max_keys = cap, .shards = 4, .seed = kSeed});
    std::atomic<std::int64_t> time{kStart.time_since_epoch().count()};
    std::array<std::array<std::vector<TimePoint>, kKeys>, kThreads> booked;
    in_threads(kThreads, [&](unsigned me) {
      base::Random random(seed + me);
      for (std::uint64_t i = 0; i < calls(25'000); ++i) {
        TimePoint now{Duration{time.fetch_add(static_cast<std::int64_t>(random.below(100'000)))}};
        if (random.chance(1, 3)) now -= Duration{static_cast<std::int64_t>(random.below(20'000'000))};
        const auto key = static_cast<unsigned>(random.below(kKeys));
        const Decision d = limiter.allow_at(now, "key " + std::to_string(key), 1,
                                            random.chance(1, 8) ? Want::headers : Want::verdict);
        if (d) booked[me][key].push_back(d.charged_at);
        if (random.chance(1, 1000)) limiter.evict_idle(now, 32);
      }
    });
    for (unsigned key = 0; key < kKeys; ++key) {
      std::vector<TimePoint> all;
      for (const auto& one : booked) all.insert(all.end(), one[key].begin(), one[key].end());
      EXPECT_LE(most_in_a_window(all, 100ms), 10U) << cap << " keys, key " << key << " seed " << seed;
    }
    EXPECT_LE(limiter.stats().keys, cap);
  }
}

// All-or-nothing calls over the same limits in opposite orders neither hang nor leave a part behind: both
// limits count the same calls.
TEST(RateLimitThreads, AllOrNothingInAnyOrder) {
  const Policy policy{.name = "t", .limit = 500'000, .window = 24h, .algorithm = Algorithm::segmented_window};
  KeyedRateLimiter a(policy, {.max_keys = 100, .seed = kSeed});
  KeyedRateLimiter b(policy, {.max_keys = 100, .seed = kSeed});
  KeyedRateLimiter strict(
      {.name = "s", .limit = 123'456, .window = 24h, .algorithm = Algorithm::segmented_window},
      {.max_keys = 100, .seed = kSeed});
  std::atomic<int> admitted{0};
  in_threads(8, [&](unsigned me) {
    for (int i = 0; i < 20'000; ++i) {
      const Charge forwards[] = {{&a, "x", 1}, {&b, "x", 1}, {&strict, "x", 1}};
      const Charge backwards[] = {{&strict, "x", 1}, {&b, "x", 1}, {&a, "x", 1}};
      Decision decisions[3];
      if (allow_all(kStart, me % 2 == 0 ? forwards : backwards, decisions)) ++admitted;
    }
  });
  EXPECT_EQ(admitted, 123'456);
  EXPECT_EQ(a.peek_at(kStart, "x").remaining, 500'000U - 123'456U);
  EXPECT_EQ(b.peek_at(kStart, "x").remaining, 500'000U - 123'456U);
}

// Limits change while calls run: nothing tears, and no window holds more than the largest limit there was.
TEST(RateLimitThreads, LimitsChangeUnderLoad) {
  RateLimiter one({.name = "t", .limit = 50, .window = 1s});
  KeyedRateLimiter keyed({.name = "t", .limit = 50, .window = 1s}, {.max_keys = 100, .seed = kSeed});
  std::atomic<std::int64_t> time{kStart.time_since_epoch().count()};
  std::array<std::vector<TimePoint>, 4> booked;
  std::array<std::vector<TimePoint>, 4> booked_keyed;
  in_threads(5, [&](unsigned me) {
    base::Random random(me);
    for (int i = 0; i < 20'000; ++i) {
      const TimePoint now{Duration{time.fetch_add(1'000'000)}};
      if (me == 4) {
        if (i % 20 != 0) continue;
        const auto limit = static_cast<std::uint32_t>(1 + random.below(200));
        const Policy policy{.name = "t", .limit = limit, .window = 1s};
        ASSERT_TRUE(one.set_policy(now, policy).has_value());
        ASSERT_TRUE(keyed.set_policy(now, policy).has_value());
        continue;
      }
      if (const Decision d = one.allow_at(now)) booked[me].push_back(d.charged_at);
      if (const Decision d = keyed.allow_at(now, "k")) booked_keyed[me].push_back(d.charged_at);
    }
  });
  for (auto* set : {&booked, &booked_keyed}) {
    std::vector<TimePoint> all;
    for (const auto& b : *set) all.insert(all.end(), b.begin(), b.end());
    EXPECT_LE(most_in_a_window(all, 1s), 200U * 2) << "a raised limit gives room to the kept history";
  }
}

// concurrency: never more out than the limit, and everything comes back.
TEST(RateLimitThreads, ConcurrencyNeverExceedsTheLimit) {
  const Policy policy{.name = "t", .limit = 5, .algorithm = Algorithm::concurrency};
  for (std::uint32_t cap : {100U, 2U}) {
    KeyedRateLimiter limiter(policy, {.max_keys = cap, .seed = kSeed});
    std::array<std::atomic<int>, 6> out{};
    std::atomic<int> worst{0};
    in_threads(8, [&](unsigned me) {
      for (int i = 0; i < 20'000; ++i) {
        const std::size_t key = (static_cast<std::size_t>(i) + me) % out.size();
        const std::string name = std::to_string(key);
        const Decision d = limiter.allow_at(kStart, name);
        if (!d) continue;
        const int now_out = ++out[key];
        if (now_out > worst) worst = now_out;
        --out[key];
        limiter.refund_at(kStart, name, 1, d.charged_at);
      }
    });
    EXPECT_LE(worst, 5);
    for (std::size_t key = 0; key < out.size(); ++key)
      EXPECT_EQ(limiter.peek_at(kStart, std::to_string(key)).remaining, 5U) << cap;
  }
}

}  // namespace
}  // namespace weir::ratelimit
