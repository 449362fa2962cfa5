// The exact window against the slow, obvious twin: a deque of bookings. Edges by hand, every short sequence,
// and long seeded runs with clocks that jitter and step back.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "weir/base/random.h"
#include "weir/ratelimit/internal/oracle_for_tests.h"
#include "weir/ratelimit/limiter.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

Policy exact(std::uint32_t limit, Duration window) {
  return {.name = "t", .limit = limit, .window = window, .algorithm = Algorithm::exact_window};
}

// The 101st call of a minute is refused, and told how long to wait: to the nanosecond.
TEST(ExactWindow, RefusesTheCallAboveTheLimit) {
  RateLimiter limiter(exact(100, 1min));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(limiter.allow_at(kStart + i * 100ms));
  const Decision d = limiter.allow_at(kStart + 10s, 1, Want::headers);
  EXPECT_FALSE(d.allowed);
  EXPECT_EQ(d.reason, Reason::over_limit);
  EXPECT_EQ(d.limit, 100U);
  EXPECT_EQ(d.remaining, 0U);
  EXPECT_EQ(d.retry_after, 50s);
  EXPECT_EQ(d.next_after, 50s);
  EXPECT_EQ(d.reset_after, 59s + 900ms);
  EXPECT_FALSE(limiter.allow_at(kStart + 60s - 1ns));
  EXPECT_TRUE(limiter.allow_at(kStart + 60s));
  EXPECT_FALSE(limiter.allow_at(kStart + 60s));
}

// Bookings round up to a tick, so the room of a booking comes back a tick late; a client that is told so in whole
// seconds is told the window, not a second more.
TEST(ExactWindow, NextAfterIsNeverMoreThanTheWindow) {
  for (const Duration window : {Duration{1s}, Duration{60s}, Duration{1h}, Duration{24h}}) {
    Policy policy;
    policy.limit = 5;
    policy.window = window;
    RateLimiter limiter(policy);
    for (std::int64_t ns : {1, 7, 63, 64, 65, 4095, 4097}) {
      const TimePoint now = TimePoint{2h} + Duration{ns};
      const Decision d = limiter.allow_at(now, 0, Want::headers);
      EXPECT_LE(d.next_after, window);
      const Decision booked = limiter.allow_at(now, 1, Want::headers);
      EXPECT_GT(booked.next_after, Duration{0});
      if (booked.allowed) {  // a refused caller is told the exact wait
        EXPECT_LE(booked.next_after, window);
      }
    }
  }
}

// Two bursts around a minute's boundary: 100 of 100, where fixed windows let 200 through.
TEST(ExactWindow, TwoBurstsGetOneLimit) {
  RateLimiter limiter(exact(100, 1min));
  int admitted = 0;
  for (int i = 0; i < 150; ++i) admitted += limiter.allow_at(kStart + 59s).allowed;
  for (int i = 0; i < 150; ++i) admitted += limiter.allow_at(kStart + 61s).allowed;
  EXPECT_EQ(admitted, 100);
}

// Whoever waits exactly retry_after is admitted; a nanosecond less is too early. At any offset from a tick.
TEST(ExactWindow, RetryAfterIsExact) {
  for (Duration window : {Duration{1ms}, Duration{1s}, Duration{1min}, Duration{1h}, Duration{30 * 24h}}) {
    for (Duration offset : {0ns, 1ns, 63ns, 64ns, 65ns, 1234567ns}) {
      RateLimiter limiter(exact(3, window));
      TimePoint t = kStart + offset;
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(limiter.allow_at(t + i * window / 10));
      t += window / 2;
      const Decision d = limiter.allow_at(t);
      ASSERT_FALSE(d.allowed);
      ASSERT_TRUE(d.waiting_helps());
      EXPECT_FALSE(limiter.allow_at(t + d.retry_after - 1ns)) << window.count() << " " << offset.count();
      EXPECT_GE(t + d.retry_after, kStart + offset + window);
      EXPECT_TRUE(limiter.allow_at(t + d.retry_after)) << window.count() << " " << offset.count();
    }
  }
}

// Limit 0 denies everything, for ever; a cost above the limit is told apart from an empty window.
TEST(ExactWindow, SaysWhereWaitingCannotHelp) {
  RateLimiter none(exact(0, 1min));
  EXPECT_EQ(none.allow_at(kStart).reason, Reason::cost_exceeds_limit);
  EXPECT_FALSE(none.allow_at(kStart).waiting_helps());
  EXPECT_FALSE(none.allow_at(kStart, 0));
  RateLimiter some(exact(5, 1min));
  EXPECT_EQ(some.allow_at(kStart, 6).reason, Reason::cost_exceeds_limit);
  EXPECT_FALSE(some.allow_at(kStart, 6).waiting_helps());
  EXPECT_TRUE(some.allow_at(kStart, 5));
}

// The cost is added before the comparison: one unit free does not admit a call of two.
TEST(ExactWindow, CostCountsBeforeTheComparison) {
  RateLimiter limiter(exact(10, 1min));
  EXPECT_TRUE(limiter.allow_at(kStart, 9));
  EXPECT_FALSE(limiter.allow_at(kStart, 2));
  EXPECT_TRUE(limiter.allow_at(kStart, 1));
}

// Cost 0 says what is free and takes nothing.
TEST(ExactWindow, CostZeroOnlyLooks) {
  RateLimiter limiter(exact(2, 1min));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(limiter.allow_at(kStart, 0));
  EXPECT_EQ(limiter.allow_at(kStart, 0, Want::headers).remaining, 2U);
  EXPECT_TRUE(limiter.allow_at(kStart, 2));
  EXPECT_FALSE(limiter.allow_at(kStart, 0));
  EXPECT_EQ(limiter.peek_at(kStart).remaining, 0U);
}

// A refused call changes nothing: a client that hammers is admitted as soon as one that waits.
TEST(ExactWindow, RefusalsAreNotCounted) {
  RateLimiter limiter(exact(1, 1s));
  ASSERT_TRUE(limiter.allow_at(kStart));
  for (Duration d = 1ms; d < 1s; d += 1ms) ASSERT_FALSE(limiter.allow_at(kStart + d));
  EXPECT_TRUE(limiter.allow_at(kStart + 1s));
}

// With count_rejected they are: hammering keeps the door shut, silence opens it.
TEST(ExactWindow, CountRejectedPunishesHammering) {
  Policy policy = exact(3, 1s);
  policy.count_rejected = true;
  RateLimiter limiter(policy);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(limiter.allow_at(kStart));
  TimePoint t = kStart;
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(limiter.allow_at(t += 100ms));
  const Decision d = limiter.allow_at(t);
  EXPECT_FALSE(d.allowed);
  EXPECT_FALSE(limiter.peek_at(t + d.retry_after - 1ns));
  EXPECT_TRUE(limiter.allow_at(t + d.retry_after));
}

// A shadow limit lets everything pass and says what it would have done.
TEST(ExactWindow, ShadowPassesAndTells) {
  Policy policy = exact(1, 1s);
  policy.shadow = true;
  RateLimiter limiter(policy);
  EXPECT_EQ(limiter.allow_at(kStart).reason, Reason::ok);
  const Decision d = limiter.allow_at(kStart);
  EXPECT_TRUE(d.allowed);
  EXPECT_EQ(d.reason, Reason::shadow);
}

// golang/time gave late threads credit for time that had been counted already. Here time of a key never steps
// back.
TEST(ExactWindow, AnOldTimePointGivesNothingBack) {
  RateLimiter limiter(exact(2, 1s));
  ASSERT_TRUE(limiter.allow_at(kStart + 10s, 2));
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(limiter.allow_at(kStart + i * 100ms));
  EXPECT_FALSE(limiter.allow_at(kStart + 11s - 1ns));
  EXPECT_TRUE(limiter.allow_at(kStart + 11s));
}

// A booking is given back where it stands: what came later keeps its own time.
TEST(ExactWindow, RefundTakesOutThatBooking) {
  RateLimiter limiter(exact(2, 1s));
  const Decision first = limiter.allow_at(kStart);
  ASSERT_TRUE(limiter.allow_at(kStart + 500ms));
  limiter.refund_at(kStart + 600ms, 1, first.charged_at);
  EXPECT_TRUE(limiter.allow_at(kStart + 600ms));
  EXPECT_FALSE(limiter.allow_at(kStart + 1s)) << "the booking of 0.5 s must still count";
  EXPECT_TRUE(limiter.allow_at(kStart + 1500ms));
  limiter.refund_at(kStart + 1500ms, 1, first.charged_at);  // has been given back already
  EXPECT_FALSE(limiter.allow_at(kStart + 1500ms));
}

// A new limit works at once, either way, on the history there is.
TEST(ExactWindow, NewLimitKeepsHistory) {
  RateLimiter limiter(exact(10, 1min));
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(limiter.allow_at(kStart + i * 1s));
  ASSERT_TRUE(limiter.set_policy(kStart + 10s, exact(5, 1min)));
  const Decision d = limiter.allow_at(kStart + 10s);
  EXPECT_FALSE(d.allowed);
  EXPECT_EQ(d.limit, 5U);
  EXPECT_EQ(d.retry_after, 53s) << "the newest five are kept: the fourth of eight is the oldest of them";
  ASSERT_TRUE(limiter.set_policy(kStart + 10s, exact(20, 1min)));
  EXPECT_EQ(limiter.peek_at(kStart + 10s).remaining, 15U);
  EXPECT_TRUE(limiter.allow_at(kStart + 10s, 15));
  EXPECT_FALSE(limiter.allow_at(kStart + 10s));
  EXPECT_FALSE(limiter.set_policy(kStart, exact(5, 0s)).has_value());
  EXPECT_EQ(limiter.policy().limit, 20U);
}

// A refund of the newest booking and a clock that steps back do not take the time of the cell back when the limit
// changes: what is booked next stays in the window as long as it would have without the change.
TEST(ExactWindow, NewLimitKeepsTheClock) {
  RateLimiter limiter(exact(2, 1min));
  ASSERT_TRUE(limiter.allow_at(kStart));
  const Decision late = limiter.allow_at(kStart + 50s);
  limiter.refund_at(kStart + 50s, 1, late.charged_at);
  ASSERT_TRUE(limiter.set_policy(kStart + 10s, exact(1, 1min)));
  EXPECT_FALSE(limiter.allow_at(kStart + 10s));
  ASSERT_TRUE(limiter.set_policy(kStart + 10s, exact(2, 1min)));
  EXPECT_TRUE(limiter.allow_at(kStart + 10s)) << "booked at 50 s, where the clock of the key stands";
  EXPECT_FALSE(limiter.allow_at(kStart + 59s));
  EXPECT_TRUE(limiter.allow_at(kStart + 60s));
  EXPECT_FALSE(limiter.allow_at(kStart + 109s));
}

// A client that calls once a day for years is judged by its own calls, not by ticks that have wrapped around.
TEST(ExactWindow, SlowTrafficDoesNotWrap) {
  RateLimiter limiter(exact(100, 1min));
  TimePoint t = kStart;
  for (int day = 0; day < 2000; ++day) {
    ASSERT_TRUE(limiter.allow_at(t));
    ASSERT_EQ(limiter.peek_at(t).remaining, 99U);
    t += 24h - 7ns;
  }
  // Just under a window apart, for thousands of windows: at most two bookings are ever in it.
  for (int i = 0; i < 200'000; ++i) {
    ASSERT_TRUE(limiter.allow_at(t));
    ASSERT_EQ(limiter.peek_at(t).remaining, i == 0 ? 99U : 98U) << i;
    t += 1min - 1us;
  }
}

// Every sequence of four calls out of steps around the edges of the window, for limits 1 to 3: like the
// deque.
TEST(ExactWindow, EveryShortSequenceIsLikeTheDeque) {
  const Duration steps[] = {0ns,       1ns, 63ns,      64ns, 30s,  60s - 64ns,
                            60s - 1ns, 60s, 60s + 1ns, -1ns, -60s, -61s};
  constexpr std::size_t kSteps = std::size(steps);
  for (std::uint32_t limit = 1; limit <= 3; ++limit) {
    for (std::size_t code = 0; code < kSteps * kSteps * kSteps * kSteps * kSteps; ++code) {
      RateLimiter limiter(exact(limit, 1min));
      OracleForTests oracle(limit, 1min);
      TimePoint t = kStart;
      std::size_t rest = code;
      for (int call = 0; call < 5; ++call, rest /= kSteps) {
        t += steps[rest % kSteps];
        const Decision d = limiter.allow_at(t);
        const auto want = oracle.allow(t, 1);
        ASSERT_EQ(d.allowed, want.allowed) << "limit " << limit << " code " << code << " call " << call;
        ASSERT_EQ(d.retry_after, want.retry_after)
            << "limit " << limit << " code " << code << " call " << call;
      }
    }
  }
}

struct Mixture {
  std::uint32_t limit;
  Duration window;
  std::uint32_t cost_max;
};

// One seeded run: calls of all costs, refunds, looks and changes of the limit; every answer like the deque's.
void compare(std::uint64_t seed, const Mixture& mixture, std::uint64_t decisions) {
  base::Random random(seed);
  RateLimiter limiter(exact(mixture.limit, mixture.window));
  OracleForTests oracle(mixture.limit, mixture.window);
  TimePoint t = kStart;
  std::vector<std::pair<TimePoint, std::uint32_t>> booked;
  for (std::uint64_t i = 0; i < decisions; ++i) {
    if (t > kStart + 200 * 366 * 24h) return;  // the end of a 64-bit time line is near
    const auto mean = static_cast<std::uint64_t>(mixture.window.count() / mixture.limit * 3 / 2) + 1;
    t += Duration{static_cast<std::int64_t>(random.below(mean))};
    if (random.chance(1, 2000)) t += mixture.window * static_cast<std::int64_t>(random.below(4));
    TimePoint seen = t;
    if (random.chance(1, 8)) seen -= Duration{static_cast<std::int64_t>(random.below(mean * 8))};
    if (random.chance(1, 4000)) seen -= 2 * mixture.window;
    if (random.chance(1, 64) && !booked.empty()) {
      const auto [when, cost] = booked[random.below(booked.size())];
      limiter.refund_at(seen, cost, when);
      oracle.refund(seen, cost, when);
      booked.clear();
    }
    if (random.chance(1, 20'000)) {
      const auto limit = static_cast<std::uint32_t>(1 + random.below(mixture.limit * 2));
      ASSERT_TRUE(limiter.set_policy(seen, exact(limit, mixture.window)));
      oracle.set_limit(seen, limit);
    }
    const auto cost = static_cast<std::uint32_t>(1 + random.below(mixture.cost_max));
    const Decision d = limiter.allow_at(seen, cost, random.chance(1, 16) ? Want::headers : Want::verdict);
    const auto want = oracle.allow(seen, cost);
    ASSERT_EQ(d.allowed, want.allowed) << "seed " << seed << " decision " << i;
    ASSERT_EQ(d.retry_after, want.retry_after) << "seed " << seed << " decision " << i;
    if (d.allowed && random.chance(1, 8)) booked.emplace_back(d.charged_at, cost);
    if (booked.size() > 16) booked.clear();
    if (random.chance(1, 256)) {
      ASSERT_EQ(limiter.peek_at(seen).remaining, oracle.remaining(seen))
          << "seed " << seed << " decision " << i;
    }
  }
}

// Ten million decisions (a hundred with WEIR_LONG=1) like the deque: 0 over-admissions, 0 wrong refusals.
TEST(ExactWindow, MillionsOfDecisionsAreLikeTheDeque) {
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  const std::uint64_t all = std::getenv("WEIR_LONG") != nullptr ? 100'000'000 : 10'000'000;
  const Mixture small[] = {{1, 1ms, 1},    {2, 1s, 1},     {7, 1min, 1},   {8, 1min, 3}, {9, 1min, 1},
                           {10, 1min, 12}, {100, 1min, 1}, {100, 1min, 5}, {100, 1h, 1}};
  const Mixture large[] = {
      {1000, 1min, 1}, {1000, 10s, 40}, {5000, 1min, 1}, {50, 30 * 24h, 1}, {3, 366 * 24h, 2}};
  std::uint64_t n = 0;
  for (const Mixture& mixture : small) {
    compare(seed + n++, mixture, all / std::size(small) + 1);
    if (HasFatalFailure()) return;
  }
  for (const Mixture& mixture : large) {  // the twin counts every booking, so these are slow
    compare(seed + n++, mixture, all / 100);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace weir::ratelimit
