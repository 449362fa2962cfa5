#include <gtest/gtest.h>

#include <deque>

#include "weir/base/random.h"
#include "weir/resilience/internal/outcome_window.h"

namespace weir::resilience::internal {
namespace {

using namespace std::chrono_literals;

// The window counts the running bucket and the nine before it.
TEST(OutcomeWindow, CountsTenBuckets) {
  OutcomeWindow window;
  const TimePoint start{1h};
  window.reset(1, 1s, start);
  for (int second = 0; second < 30; ++second) {
    const TimePoint now = start + 1s * second;
    window.rotate(now);
    static_cast<void>(window.add(1, second % 2 == 0, second % 3 == 0));
    EXPECT_EQ(window.sum(1).calls, static_cast<std::uint32_t>(std::min(second + 1, 10)));
    EXPECT_EQ(window.sum_at(1, now + 4s).calls, static_cast<std::uint32_t>(std::min(second + 1, 6)));
  }
  EXPECT_EQ(window.sum(1).failures, 5U);
  EXPECT_EQ(window.sum_at(1, start + 39s).calls, 0U);
}

// It works from the first moment of the time line, when nine of its buckets would lie before zero.
TEST(OutcomeWindow, WorksAtTimeZero) {
  OutcomeWindow window;
  window.reset(1, 1s, TimePoint{});
  for (int i = 0; i < 10; ++i) {
    window.rotate(TimePoint{1s * i});
    static_cast<void>(window.add(1, true, false));
    EXPECT_EQ(window.sum(1).calls, static_cast<std::uint32_t>(i + 1));
  }
}

// A writer of another generation changes nothing; a new generation begins empty.
TEST(OutcomeWindow, BelongsToOneGeneration) {
  OutcomeWindow window;
  window.reset(7, 1s, TimePoint{1h});
  EXPECT_FALSE(window.add(6, true, true));
  EXPECT_EQ(window.sum(7).calls, 0U);
  EXPECT_TRUE(window.add(7, true, true));
  EXPECT_EQ(window.sum(7).calls, 1U);
  window.reset(8, 1s, TimePoint{1h});
  EXPECT_EQ(window.sum(8).calls, 0U);
  static_cast<void>(window.add(8, true, true));
  EXPECT_EQ(window.sum(7).calls, 0U) << "whoever still asks for the old one sees nothing of the new";
  window.reset(8, 1s, TimePoint{1h});
  static_cast<void>(window.add(7, true, true));
  EXPECT_EQ(window.sum(8).calls, 0U);
}

// Up to 65535 calls a bucket are exact; beyond, the bucket is halved, so that its shares stay and no count
// overflows into its neighbour.
TEST(OutcomeWindow, HalvesAFullBucket) {
  OutcomeWindow window;
  window.reset(1, 1s, TimePoint{1h});
  for (int i = 0; i < 65'535; ++i) static_cast<void>(window.add(1, i % 4 == 0, i % 2 == 0));
  EXPECT_EQ(window.sum(1).calls, 65'535U);
  EXPECT_EQ(window.sum(1).failures, 16'384U);
  EXPECT_EQ(window.sum(1).slow, 32'768U);
  static_cast<void>(window.add(1, false, false));
  EXPECT_EQ(window.sum(1).calls, 32'768U);
  EXPECT_EQ(window.sum(1).failures, 8'192U);
  EXPECT_EQ(window.sum(1).slow, 16'384U);
  for (int i = 0; i < 1'000'000; ++i) static_cast<void>(window.add(1, true, true));
  EXPECT_GE(window.sum(1).calls, 32'767U);
  EXPECT_LE(window.sum(1).failures, window.sum(1).calls);
  EXPECT_GT(window.sum(1).failures * 100, window.sum(1).calls * 99);
}

// Against a plain list of calls, with pauses of every length and a time that steps back now and then.
TEST(OutcomeWindow, AgreesWithAList) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    const Duration bucket{1'000 + static_cast<Duration::rep>(random.below(1'000))};
    TimePoint now{Duration{static_cast<Duration::rep>(random.below(50'000))}};
    OutcomeWindow window;
    window.reset(1, bucket, now);
    std::int64_t newest = now.time_since_epoch() / bucket;
    std::deque<std::int64_t> calls;
    for (int i = 0; i < 500; ++i) {
      now += Duration{static_cast<Duration::rep>(random.below(random.chance(1, 50) ? 50'000 : 1'500))};
      if (random.chance(1, 5) && now.time_since_epoch() > 500ns) now -= 300ns;
      window.rotate(now);
      static_cast<void>(window.add(1, false, false));
      newest = std::max<std::int64_t>(newest, now.time_since_epoch() / bucket);
      calls.push_back(newest);
      while (calls.front() <= newest - 10) calls.pop_front();
      ASSERT_EQ(window.sum(1).calls, calls.size());
    }
  }
}

}  // namespace
}  // namespace weir::resilience::internal
