#include "weir/resilience/retry_budget.h"

#include <gtest/gtest.h>

#include <limits>

#include "weir/base/random.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

int spend_all(RetryBudget& budget, TimePoint now) {
  int count = 0;
  while (budget.try_spend(now)) ++count;
  return count;
}

// Five requests earn one extra call; nothing is there at the start.
TEST(RetryBudget, EarnsAShareOfTheRequests) {
  RetryBudget budget({.ratio = 0.2, .min_per_second = 0}, kStart);
  EXPECT_FALSE(budget.try_spend(kStart));
  for (int i = 0; i < 4; ++i) budget.request(kStart);
  EXPECT_FALSE(budget.try_spend(kStart));
  budget.request(kStart);
  EXPECT_EQ(budget.available(kStart), 1U);
  EXPECT_TRUE(budget.try_spend(kStart));
  EXPECT_FALSE(budget.try_spend(kStart));
  for (int i = 0; i < 1'000; ++i) budget.request(kStart);
  EXPECT_EQ(spend_all(budget, kStart), 200);
}

// The floor is earned by time alone, and kept for ttl.
TEST(RetryBudget, FloorIsEarnedByTime) {
  RetryBudget budget(kStart);
  EXPECT_EQ(spend_all(budget, kStart + 99ms), 0);
  EXPECT_EQ(spend_all(budget, kStart + 100ms), 1);
  EXPECT_EQ(spend_all(budget, kStart + 1100ms), 10);
  EXPECT_EQ(spend_all(budget, kStart + 1h), 100) << "ten seconds' worth, however long the pause";
  RetryBudget large({.ratio = 0, .min_per_second = 1e6}, kStart);
  EXPECT_EQ(large.available(kStart + 24h * 365 * 100), 10'000'000U);
}

// What is not used within ttl is lost.
TEST(RetryBudget, WhatIsEarnedExpires) {
  RetryBudget budget({.ratio = 0.2, .min_per_second = 0}, kStart);
  for (int i = 0; i < 1'000; ++i) budget.request(kStart);
  EXPECT_EQ(budget.available(kStart + 9s), 200U);
  EXPECT_EQ(budget.available(kStart + 12s), 0U);
  for (int second = 0; second < 60; ++second) {
    for (int i = 0; i < 100; ++i) budget.request(kStart + 20s + 1s * second);
  }
  const auto kept = budget.available(kStart + 80s);
  EXPECT_GE(kept, 180U);
  EXPECT_LE(kept, 220U);
}

// A storm after a long quiet time finds ten seconds' worth, not an hour's.
TEST(RetryBudget, QuietHourPaysForNoStorm) {
  RetryBudget budget({.ratio = 0.2, .min_per_second = 0}, kStart);
  for (int second = 0; second < 3'600; ++second) {
    for (int i = 0; i < 10; ++i) budget.request(kStart + 1s * second);
  }
  EXPECT_LE(spend_all(budget, kStart + 3'600s), 22);
}

// At every moment of any run: granted <= ratio * requests + floor * time.
TEST(RetryBudget, NeverGrantsMoreThanItsBound) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    const double ratio = static_cast<double>(random.below(50)) / 100;
    const double floor = 1 + static_cast<double>(random.below(20));
    RetryBudget budget({.ratio = ratio, .min_per_second = floor}, kStart);
    TimePoint now = kStart;
    double requests = 0;
    double granted = 0;
    for (int step = 0; step < 2'000; ++step) {
      now += Duration{
          static_cast<Duration::rep>(random.below(random.chance(1, 200) ? 30'000'000'000 : 20'000'000))};
      const TimePoint seen = now - Duration{static_cast<Duration::rep>(random.below(2'000'000))};
      if (random.chance(2, 3)) {
        budget.request(seen);
        ++requests;
      } else if (budget.try_spend(seen)) {
        ++granted;
      }
      const double seconds = std::chrono::duration<double>(now - kStart).count();
      ASSERT_LE(granted, ratio * requests + floor * seconds + 1e-6);
    }
  }
}

// A dead upstream with every failure wanting two more tries gets at most 1.2 times the offered calls and
// 10/s.
TEST(RetryBudget, DeadUpstreamIsNotBeaten) {
  RetryBudget budget(kStart);
  std::uint64_t calls = 0;
  constexpr int kOffered = 100'000;
  for (int i = 0; i < kOffered; ++i) {
    const TimePoint now = kStart + 1ms * i;
    budget.request(now);
    ++calls;
    for (int retry = 0; retry < 2; ++retry) calls += budget.try_spend(now) ? 1 : 0;
  }
  EXPECT_LE(calls, kOffered * 12 / 10 + 100 * 10);
  EXPECT_GE(calls, kOffered * 12 / 10 + 100 * 10 - 2);
}

// New rates keep what was earned.
TEST(RetryBudget, UpdateKeepsTheBalance) {
  RetryBudget budget({.ratio = 0.2, .min_per_second = 0}, kStart);
  for (int i = 0; i < 100; ++i) budget.request(kStart);
  budget.update({.ratio = 1, .min_per_second = 0}, kStart);
  EXPECT_EQ(budget.available(kStart), 20U);
  for (int i = 0; i < 10; ++i) budget.request(kStart);
  EXPECT_EQ(budget.available(kStart), 30U);
}

TEST(RetryBudget, ValidateNamesTheOption) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(RetryBudget::validate({}));
  EXPECT_FALSE(RetryBudget::validate({.ratio = -0.1}));
  EXPECT_FALSE(RetryBudget::validate({.ratio = nan}));
  EXPECT_FALSE(RetryBudget::validate({.min_per_second = -1}));
  EXPECT_FALSE(RetryBudget::validate({.ratio = 0, .min_per_second = 0}));
  EXPECT_FALSE(RetryBudget::validate({.ttl = 1ms}));
}

}  // namespace
}  // namespace weir::resilience
