// When keys are fetched: at 80 % of their life, never oftener than the cool-down, whatever is asked for.
#include "weir/passport/key_schedule.h"

#include <gtest/gtest.h>

#include "weir/base/random.h"

namespace weir::passport {
namespace {

using namespace std::chrono_literals;
constexpr TimePoint kStart{std::chrono::hours{1}};
using Ask = KeySchedule::Ask;

TEST(KeySchedule, FetchesAtOnceAndThenAtFourFifths) {
  KeySchedule schedule{KeySchedule::Options()};
  EXPECT_TRUE(schedule.due(kStart));
  schedule.started(kStart);
  EXPECT_FALSE(schedule.due(kStart));
  schedule.succeeded(kStart, 0s, 0);
  EXPECT_FALSE(schedule.due(kStart + 479s));
  EXPECT_TRUE(schedule.due(kStart + 480s));
  EXPECT_FALSE(schedule.outlived(kStart + 24h));
  EXPECT_TRUE(schedule.outlived(kStart + 24h + 10min));
}

// What the answer says is clamped to between a minute and a day.
TEST(KeySchedule, ClampsTheLife) {
  for (const auto& [said, next] : {std::pair<Duration, Duration>{1s, 48s}, {1h, 2880s}, {10000h, 69120s}}) {
    KeySchedule schedule{KeySchedule::Options()};
    schedule.started(kStart);
    schedule.succeeded(kStart, said, 0);
    EXPECT_EQ(schedule.next() - kStart, next);
  }
}

// With a set, a failure waits for the cool-down; without one it tries after 1, 2, 4 ... seconds, up to that.
TEST(KeySchedule, BacksOff) {
  KeySchedule schedule{KeySchedule::Options()};
  TimePoint now = kStart;
  for (const Duration wait : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
    schedule.started(now);
    schedule.failed(now + 100ms);
    EXPECT_EQ(schedule.next() - now, wait);
    now = schedule.next();
  }
  schedule.started(now);
  schedule.succeeded(now, 0s, 0);
  now += 480s;
  schedule.started(now);
  schedule.failed(now);
  EXPECT_TRUE(schedule.failing());
  EXPECT_EQ(schedule.next() - now, 30s);
}

// libjwt: the cool-down is stamped before the attempt, so a failing provider is not hammered.
TEST(KeySchedule, UnknownKidsFetchOnceACooldown) {
  KeySchedule schedule{KeySchedule::Options()};
  schedule.started(kStart);
  schedule.succeeded(kStart, 0s, 0);
  EXPECT_EQ(schedule.ask("a", kStart + 29s), Ask::no);
  EXPECT_EQ(schedule.ask("a", kStart + 30s), Ask::fetch);
  schedule.started(kStart + 30s);
  EXPECT_EQ(schedule.ask("a", kStart + 31s), Ask::wait);
  schedule.succeeded(kStart + 32s, 0s, 0);
  schedule.remember_unknown("a", kStart + 32s);
  EXPECT_EQ(schedule.ask("a", kStart + 61s), Ask::no);
  EXPECT_EQ(schedule.ask("b", kStart + 60s), Ask::fetch);
}

// A flood of a million different kids and a provider that fails half of its answers: at most two fetches a minute.
TEST(KeySchedule, FloodsCauseTwoFetchesAMinute) {
  const std::uint64_t seed = base::random_seed();
  SCOPED_TRACE(seed);
  base::Random random(seed);
  KeySchedule schedule{KeySchedule::Options()};
  schedule.started(kStart);
  schedule.succeeded(kStart, 0s, 0);
  std::vector<TimePoint> fetches{kStart};
  TimePoint now = kStart;
  for (int i = 0; i < 1'000'000; ++i) {
    now += Duration{static_cast<std::int64_t>(random.below(2'000'000))};
    const std::string kid = std::to_string(random());
    if (!schedule.due(now) && schedule.ask(kid, now) != Ask::fetch) continue;
    fetches.push_back(now);
    schedule.started(now);
    if (random.chance(1, 2)) schedule.succeeded(now, 0s, 0.5);
    else schedule.failed(now);
    schedule.remember_unknown(kid, now);
  }
  EXPECT_GT(fetches.size(), 10U);
  for (std::size_t i = 2; i < fetches.size(); ++i) EXPECT_GE(fetches[i] - fetches[i - 2], 60s);
}

}  // namespace
}  // namespace weir::passport
