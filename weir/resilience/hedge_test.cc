#include "weir/resilience/hedge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "weir/base/random.h"
#include "weir/resilience/retry_budget.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

// Without enough calls there is no hedge; then the delay is near the quantile and never below the floor.
TEST(HedgePolicy, DelayFollowsTheQuantile) {
  HedgePolicy hedge({.floor = 5ms});
  EXPECT_FALSE(hedge.delay(kStart));
  for (int i = 0; i < 99; ++i) hedge.record(20ms, kStart);
  EXPECT_FALSE(hedge.delay(kStart + 2s));
  for (int i = 0; i < 900; ++i) hedge.record(20ms, kStart + 2s);
  const auto delay = hedge.delay(kStart + 4s);
  ASSERT_TRUE(delay);
  EXPECT_NEAR(static_cast<double>(delay->count()), 20e6, 20e6 / 16);

  HedgePolicy quick({.floor = 5ms});
  for (int i = 0; i < 1'000; ++i) quick.record(100us, kStart);
  EXPECT_EQ(quick.delay(kStart), 5ms);
}

// A fixed delay needs no samples.
TEST(HedgePolicy, FixedDelay) {
  HedgePolicy hedge({.after = 200ms, .floor = 5ms});
  EXPECT_EQ(hedge.delay(kStart), 200ms);
  HedgePolicy low({.after = 1ms, .floor = 5ms});
  EXPECT_EQ(low.delay(kStart), 5ms);
}

// An upstream with a tail of 5 % at 500 ms: hedged, p99 is at most twice the p95 of before, for at most 6 %
// more calls.
TEST(HedgePolicy, CutsATailOfFivePercent) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    HedgePolicy hedge;
    RetryBudget budget(kStart);
    const auto backend = [&] {
      if (random.chance(5, 100)) return Duration{500ms};
      return Duration{10ms} + Duration{static_cast<Duration::rep>(random.below(10'000'000))};
    };
    constexpr int kCalls = 60'000;
    std::vector<Duration> plain;
    std::vector<Duration> hedged;
    int extra = 0;
    for (int i = 0; i < kCalls; ++i) {
      const TimePoint now = kStart + 2ms * i;
      budget.request(now);
      const Duration first = backend();
      Duration seen = first;
      const auto after = hedge.delay(now);
      if (after && first > *after && budget.try_spend(now + *after)) {
        ++extra;
        seen = std::min(first, *after + backend());
      }
      hedge.record(seen, now + seen);
      if (i < kCalls / 10) continue;  // the digest fills
      plain.push_back(first);
      hedged.push_back(seen);
    }
    std::sort(plain.begin(), plain.end());
    std::sort(hedged.begin(), hedged.end());
    // The tail is 5 %, so the p95 that a client sees without hedging is taken just inside the bulk.
    const Duration p95 = plain[plain.size() * 94 / 100];
    EXPECT_LE(hedged[hedged.size() * 99 / 100], 2 * p95);
    EXPECT_LE(extra, kCalls * 6 / 100);
  }
}

TEST(HedgePolicy, ValidateNamesTheOption) {
  EXPECT_TRUE(HedgePolicy::validate({}));
  EXPECT_FALSE(HedgePolicy::validate({.quantile = 0.4}));
  EXPECT_FALSE(HedgePolicy::validate({.quantile = 1}));
  EXPECT_FALSE(HedgePolicy::validate({.after = 0ms}));
  EXPECT_FALSE(HedgePolicy::validate({.floor = -1ms}));
  EXPECT_FALSE(HedgePolicy::validate({.refresh = 0ms}));
}

}  // namespace
}  // namespace weir::resilience
