#include "weir/trace/sampler.h"

#include <gtest/gtest.h>

#include "weir/base/random.h"

namespace weir::trace {
namespace {

using namespace std::chrono_literals;

// The share that is kept is the ratio's, and nothing or everything at its ends.
TEST(Sampler, KeepsTheShareItWasAskedFor) {
  base::Random random(3);
  for (const double ratio : {0.0, 0.01, 0.5, 1.0}) {
    const Sampler sampler({.ratio = ratio, .slow = 1s, .keep_failed = true});
    int kept = 0;
    for (int i = 0; i < 100'000; ++i) kept += sampler.sample(random()) ? 1 : 0;
    EXPECT_NEAR(kept / 100'000.0, ratio, 0.006);
    if (ratio == 0.0 || ratio == 1.0) {
      EXPECT_EQ(kept, ratio == 0.0 ? 0 : 100'000);
    }
  }
}

// Who keeps more keeps all that those keep who keep less: traces stay whole across services.
TEST(Sampler, DecidesAlikeInEveryService) {
  base::Random random(4);
  const Sampler few({.ratio = 0.1, .slow = 1s, .keep_failed = true});
  const Sampler more({.ratio = 0.3, .slow = 1s, .keep_failed = true});
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t low = random();
    EXPECT_TRUE(more.sample(low) || !few.sample(low));
  }
}

// Failures, degraded pages and slow requests are kept whatever the share.
TEST(Sampler, KeepsWhatIsWorthLookingAt) {
  const Sampler sampler({.ratio = 0, .slow = 1s, .keep_failed = true});
  EXPECT_FALSE(sampler.keep_anyway(200, false, 999ms));
  EXPECT_TRUE(sampler.keep_anyway(200, false, 1s));
  EXPECT_TRUE(sampler.keep_anyway(503, false, 1ms));
  EXPECT_TRUE(sampler.keep_anyway(200, true, 1ms));
  EXPECT_FALSE(sampler.keep_anyway(404, false, 1ms));
}

}  // namespace
}  // namespace weir::trace
