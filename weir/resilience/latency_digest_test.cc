#include "weir/resilience/latency_digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "weir/base/random.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

// A quantile is within 1/16 of the true one, over nine powers of ten and every shape of distribution tried.
TEST(LatencyDigest, QuantileIsWithinASixteenth) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    LatencyDigest digest({.window = 1h, .min_samples = 1});
    std::vector<Duration::rep> values;
    const double scale = 1e4 * std::pow(10.0, static_cast<double>(random.below(5)));
    for (int i = 0; i < 2'000; ++i) {
      const double unit = static_cast<double>(1 + random.below(1'000'000)) / 1e6;
      const double value = scale * (seed % 2 == 0 ? unit + 0.01 : -std::log(unit) + 0.01);
      values.push_back(static_cast<Duration::rep>(std::max(1025.0, value)));
      digest.record(Duration{values.back()}, kStart);
    }
    std::sort(values.begin(), values.end());
    for (double q : {0.5, 0.9, 0.95, 0.99, 1.0}) {
      const auto exact = static_cast<double>(values[static_cast<std::size_t>(std::ceil(q * 2'000)) - 1]);
      const auto quantile = digest.quantile(q, kStart);
      ASSERT_TRUE(quantile);
      EXPECT_NEAR(static_cast<double>(quantile->count()) / exact, 1.0, 1.0 / 16 + 1e-3) << q;
    }
  }
}

// Extremes stay inside the range, and nothing is lost.
TEST(LatencyDigest, ClampsExtremes) {
  LatencyDigest digest({.window = 1h, .min_samples = 1});
  for (Duration latency : {-5ns, 0ns, 1ns, 1023ns, 1024ns}) digest.record(Duration{latency}, kStart);
  EXPECT_LE(*digest.quantile(1, kStart), 1100ns);
  digest.record(Duration::max(), kStart);
  digest.record(24h, kStart);
  EXPECT_GT(*digest.quantile(1, kStart), 17min);
  EXPECT_EQ(digest.samples(kStart), 7U);
}

// Below min_samples there is no answer.
TEST(LatencyDigest, NoGuessFromFewSamples) {
  LatencyDigest digest({.window = 60s, .min_samples = 3});
  EXPECT_FALSE(digest.quantile(0.5, kStart));
  digest.record(1ms, kStart);
  digest.record(1ms, kStart);
  EXPECT_FALSE(digest.quantile(0.5, kStart));
  digest.record(1ms, kStart);
  EXPECT_TRUE(digest.quantile(0.5, kStart));
}

// Samples younger than half a window always count, those older than a window never.
TEST(LatencyDigest, ForgetsAfterTheWindow) {
  for (int offset = 0; offset < 60; ++offset) {
    LatencyDigest digest({.window = 60s, .min_samples = 1});
    digest.record(1ms, kStart);
    const TimePoint recorded = kStart + 1s * offset;
    digest.record(2ms, recorded);
    EXPECT_GE(digest.samples(recorded + 29s), 1U) << offset;
    EXPECT_EQ(digest.samples(recorded + 61s), 0U) << offset;
  }
}

// A pause of any length leaves nothing old behind.
TEST(LatencyDigest, LongPauseClearsBoth) {
  LatencyDigest digest({.window = 60s, .min_samples = 1});
  for (int second = 0; second < 60; ++second) digest.record(1s, kStart + 1s * second);
  digest.record(1ms, kStart + 10min);
  EXPECT_EQ(digest.samples(kStart + 10min), 1U);
}

}  // namespace
}  // namespace weir::resilience
