#include "weir/resilience/backoff.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

// The ceiling grows by the factor from the base and stops at the cap, however many retries there were.
TEST(Backoff, CeilingGrowsToTheCap) {
  const Backoff backoff({.base = 25ms, .max = 250ms, .factor = 2});
  EXPECT_EQ(backoff.ceiling(0), 25ms);
  EXPECT_EQ(backoff.ceiling(1), 50ms);
  EXPECT_EQ(backoff.ceiling(2), 100ms);
  EXPECT_EQ(backoff.ceiling(3), 200ms);
  EXPECT_EQ(backoff.ceiling(4), 250ms);
  EXPECT_EQ(backoff.ceiling(std::numeric_limits<std::uint32_t>::max()), 250ms);
}

// Full jitter: every wait lies in (0, ceiling], and the mean is half of the ceiling.
TEST(Backoff, WaitIsUniformBelowTheCeiling) {
  const Backoff backoff({.base = 100ms, .max = 1s, .factor = 3});
  base::Random random(11);
  for (std::uint32_t retry : {0U, 1U, 2U, 9U}) {
    double sum = 0;
    for (int i = 0; i < 20'000; ++i) {
      const Duration wait = backoff.wait(retry, random);
      ASSERT_GT(wait, Duration::zero());
      ASSERT_LE(wait, backoff.ceiling(retry));
      sum += static_cast<double>(wait.count());
    }
    EXPECT_NEAR(sum / 20'000 / static_cast<double>(backoff.ceiling(retry).count()), 0.5, 0.02);
  }
}

// Retry-After is a floor, and those who were told the same do not come back in one instant.
TEST(Backoff, RetryAfterIsAFloorWithSpread) {
  const Backoff backoff({.base = 100ms, .max = 1s, .factor = 2});
  base::Random random(12);
  const Duration first = backoff.wait(0, 2s, random);
  const Duration second = backoff.wait(0, 2s, random);
  EXPECT_GT(first, 2s);
  EXPECT_LE(first, 2s + 100ms);
  EXPECT_NE(first, second);
  EXPECT_GT(backoff.wait(0, -5s, random), Duration::zero());
}

// The same seed gives the same waits.
TEST(Backoff, SeedDecides) {
  const Backoff backoff;
  base::Random a(5);
  base::Random b(5);
  for (std::uint32_t i = 0; i < 50; ++i) EXPECT_EQ(backoff.wait(i, a), backoff.wait(i, b));
}

TEST(Backoff, ValidateNamesTheOption) {
  EXPECT_TRUE(Backoff::validate({}));
  EXPECT_FALSE(Backoff::validate({.base = 0ms}));
  EXPECT_FALSE(Backoff::validate({.base = 2s, .max = 1s}));
  EXPECT_FALSE(Backoff::validate({.factor = 0.5}));
  EXPECT_FALSE(Backoff::validate({.factor = std::numeric_limits<double>::quiet_NaN()}));
}

}  // namespace
}  // namespace weir::resilience
