// Many keys: each is limited by itself, memory stays at the cap, nobody is reset and nobody is unlimited.
#include "weir/ratelimit/keyed_limiter.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "weir/base/random.h"
#include "weir/ratelimit/internal/oracle_for_tests.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};
constexpr base::SipKey kSeed{0x0123456789abcdefULL, 0xfedcba9876543210ULL};

Policy exact(std::uint32_t limit, Duration window) {
  return {.name = "t", .limit = limit, .window = window, .algorithm = Algorithm::exact_window};
}

std::string key_of(std::uint64_t i) { return "client-" + std::to_string(i); }

// One key's calls say nothing about another's.
TEST(KeyedRateLimiter, KeysAreLimitedByThemselves) {
  KeyedRateLimiter limiter(exact(100, 1min), {.max_keys = 10'000, .seed = kSeed});
  for (int round = 0; round < 120; ++round)
    for (int i = 0; i < 1000; ++i)
      ASSERT_EQ(limiter.allow_at(kStart + round * 1ms, key_of(i)).allowed, round < 100);
  EXPECT_EQ(limiter.stats().keys, 1000U);
  EXPECT_EQ(limiter.stats().allowed, 100'000U);
  EXPECT_EQ(limiter.stats().refused, 20'000U);
  EXPECT_TRUE(limiter.allow_at(kStart + 1min, key_of(7)));
}

// Keys are bytes: empty ones, zeros and prefixes of each other are all different.
TEST(KeyedRateLimiter, KeysAreBytes) {
  KeyedRateLimiter limiter(exact(1, 1min), {.max_keys = 100, .seed = kSeed});
  const std::string keys[] = {"",   std::string(1, '\0'),  std::string(2, '\0'), "a",
                              "ab", std::string(5000, 'x')};
  for (const std::string& key : keys) EXPECT_TRUE(limiter.allow_at(kStart, key));
  for (const std::string& key : keys) EXPECT_FALSE(limiter.allow_at(kStart, key));
}

// The cap holds to the key, and a full table forgets only keys that equal fresh ones.
TEST(KeyedRateLimiter, CapHoldsAndLiveKeysStay) {
  for (std::uint32_t cap : {1U, 2U, 15U, 16U, 17U, 100U, 1000U, 5000U}) {
    KeyedRateLimiter limiter(exact(2, 1min), {.max_keys = cap, .seed = kSeed});
    for (std::uint32_t i = 0; i < cap * 3; ++i) limiter.allow_at(kStart, key_of(i), 2);
    EXPECT_EQ(limiter.stats().keys, cap);
    EXPECT_EQ(limiter.stats().evicted, 0U);
    for (std::uint32_t i = 0; i < cap * 3; ++i)
      ASSERT_FALSE(limiter.allow_at(kStart + 59s, key_of(i))) << cap;
    // A window later all have left: new keys take the places of the old ones.
    for (std::uint32_t i = 0; i < cap * 3; ++i) limiter.allow_at(kStart + 180s, key_of(1'000'000 + i));
    EXPECT_LE(limiter.stats().keys, cap);
    EXPECT_GT(limiter.stats().evicted, 0U);
  }
}

// Unknown keys of a full table are counted in the sketch: never more than the limit in a trailing window.
TEST(KeyedRateLimiter, SketchNeverAdmitsMoreThanTheLimit) {
  KeyedRateLimiter limiter(exact(5, 1s), {.max_keys = 10, .seed = kSeed});
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  base::Random random(seed);
  std::map<std::string, std::deque<TimePoint>> admitted;
  TimePoint t = kStart;
  for (int i = 0; i < 200'000; ++i) {
    t += Duration{static_cast<std::int64_t>(random.below(20'000'000))};
    // Thirty keys at a time, others every few seconds: keys go idle, and others move from the sketch to the
    // table.
    const std::string key =
        key_of(static_cast<std::uint64_t>(t.time_since_epoch() / 3s) % 1000 * 7 + random.below(30));
    const Decision d = limiter.allow_at(t, key);
    if (!d) continue;
    auto& times = admitted[key];
    while (!times.empty() && times.front() <= t - 1s) times.pop_front();
    times.push_back(t);
    ASSERT_LE(times.size(), 5U) << "seed " << seed << " call " << i;
  }
  EXPECT_GT(limiter.stats().overflowed, 1000U);
  EXPECT_GT(limiter.stats().evicted, 1000U);
}

// On OnFull::deny unknown keys of a full table are refused outright.
TEST(KeyedRateLimiter, DenyRefusesUnknownKeysWhenFull) {
  Policy policy = exact(5, 1s);
  policy.on_full = OnFull::deny;
  KeyedRateLimiter limiter(policy, {.max_keys = 2, .seed = kSeed});
  EXPECT_TRUE(limiter.allow_at(kStart, "a"));
  EXPECT_TRUE(limiter.allow_at(kStart, "b"));
  EXPECT_EQ(limiter.allow_at(kStart, "c").reason, Reason::table_full);
  EXPECT_TRUE(limiter.allow_at(kStart, "a"));
}

// A refused call, a look and a cost that can never pass leave no key behind.
TEST(KeyedRateLimiter, OnlyAdmissionsMakeKeys) {
  KeyedRateLimiter limiter(exact(5, 1s), {.max_keys = 100, .seed = kSeed});
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 5U);
  EXPECT_TRUE(limiter.allow_at(kStart, "b", 0));
  EXPECT_EQ(limiter.allow_at(kStart, "c", 6).reason, Reason::cost_exceeds_limit);
  EXPECT_EQ(limiter.stats().keys, 0U);
}

// All or nothing: when one limit refuses, none has taken anything, and no key was made.
TEST(KeyedRateLimiter, AllowAllTakesEverythingOrNothing) {
  KeyedRateLimiter client(exact(10, 1min), {.max_keys = 100, .seed = kSeed});
  KeyedRateLimiter user(exact(3, 1min), {.max_keys = 100, .seed = kSeed});
  const Charge charges[] = {{&client, "1.2.3.4", 1}, {&user, "u1", 1}};
  Decision decisions[2];
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(allow_all(kStart, charges, decisions, Want::headers));
  EXPECT_EQ(decisions[0].remaining, 7U);
  EXPECT_EQ(decisions[1].remaining, 0U);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(allow_all(kStart, charges, decisions, Want::headers));
  EXPECT_TRUE(decisions[0].allowed);
  EXPECT_EQ(decisions[0].remaining, 7U);
  EXPECT_FALSE(decisions[1].allowed);
  EXPECT_EQ(client.peek_at(kStart, "1.2.3.4").remaining, 7U);

  const Charge fresh[] = {{&client, "9.9.9.9", 1}, {&user, "u1", 1}};
  EXPECT_FALSE(allow_all(kStart, fresh, decisions));
  EXPECT_EQ(client.stats().keys, 1U) << "the refused call must leave no key";

  // The same where the refusal cannot be seen without the locks.
  const Charge costly[] = {{&client, "8.8.8.8", 2}, {&user, "u1", 2}};
  EXPECT_FALSE(allow_all(kStart, costly, decisions));
  EXPECT_TRUE(decisions[0].allowed);
  EXPECT_EQ(client.stats().keys, 1U);
  EXPECT_EQ(client.peek_at(kStart, "8.8.8.8").remaining, 10U);

  const Charge later[] = {{&client, "8.8.8.8", 2}, {&user, "u2", 2}};
  EXPECT_TRUE(allow_all(kStart, later, decisions));
  refund_all(kStart, later, decisions);
  EXPECT_EQ(client.peek_at(kStart, "8.8.8.8").remaining, 10U);
  EXPECT_EQ(user.peek_at(kStart, "u2").remaining, 3U);
}

// Two charges for one key of one limiter add up.
TEST(KeyedRateLimiter, AllowAllAddsUpOneKey) {
  KeyedRateLimiter limiter(exact(3, 1min), {.max_keys = 100, .seed = kSeed});
  const Charge charges[] = {{&limiter, "a", 2}, {&limiter, "a", 2}};
  Decision decisions[2];
  EXPECT_FALSE(allow_all(kStart, charges, decisions));
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 3U);
  const Charge fits[] = {{&limiter, "a", 2}, {&limiter, "a", 1}, {&limiter, "b", 3}};
  Decision three[3];
  EXPECT_TRUE(allow_all(kStart, fits, three));
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 0U);
}

// A shadow limit neither stops the others nor lets what they refuse pass (an Envoy bug, PR 46390).
TEST(KeyedRateLimiter, ShadowDoesNotStopTheOthers) {
  Policy watching = exact(1, 1min);
  watching.shadow = true;
  KeyedRateLimiter shadow(watching, {.max_keys = 100, .seed = kSeed});
  KeyedRateLimiter live(exact(2, 1min), {.max_keys = 100, .seed = kSeed});
  const Charge charges[] = {{&shadow, "a", 1}, {&live, "a", 1}};
  Decision decisions[2];
  EXPECT_TRUE(allow_all(kStart, charges, decisions));
  EXPECT_TRUE(allow_all(kStart, charges, decisions));
  EXPECT_EQ(decisions[0].reason, Reason::shadow);
  EXPECT_FALSE(allow_all(kStart, charges, decisions));
  EXPECT_EQ(decisions[1].reason, Reason::over_limit);
}

// What an earlier phase took is given back when a later one refuses.
TEST(KeyedRateLimiter, RefundGivesBack) {
  KeyedRateLimiter limiter(exact(100, 1min), {.max_keys = 100, .seed = kSeed});
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(limiter.allow_at(kStart + i * 1s, "a"));
  const Decision d = limiter.allow_at(kStart + 50s, "a", 3);
  EXPECT_EQ(limiter.peek_at(kStart + 50s, "a").remaining, 47U);
  limiter.refund_at(kStart + 51s, "a", 3, d.charged_at);
  EXPECT_EQ(limiter.peek_at(kStart + 51s, "a").remaining, 50U);
}

// A new limit works with the next call on every key, on the history there is; window and algorithm too.
TEST(KeyedRateLimiter, NewPolicyKeepsHistory) {
  KeyedRateLimiter limiter(exact(100, 1min), {.max_keys = 1000, .seed = kSeed});
  for (int i = 0; i < 500; ++i)
    for (int n = 0; n < 60; ++n) ASSERT_TRUE(limiter.allow_at(kStart + n * 100ms, key_of(i)));
  const TimePoint t = kStart + 10s;
  ASSERT_TRUE(limiter.set_policy(t, exact(1000, 1min)));
  for (int i = 0; i < 500; ++i) ASSERT_EQ(limiter.peek_at(t, key_of(i)).remaining, 940U);
  ASSERT_TRUE(limiter.set_policy(t, exact(50, 1min)));
  for (int i = 0; i < 500; ++i) ASSERT_FALSE(limiter.allow_at(t, key_of(i)));
  EXPECT_TRUE(limiter.allow_at(t, "new"));
  Policy segmented = exact(200, 1min);
  segmented.algorithm = Algorithm::segmented_window;
  ASSERT_TRUE(limiter.set_policy(t, segmented));
  for (int i = 0; i < 500; ++i) ASSERT_EQ(limiter.peek_at(t, key_of(i)).remaining, 150U);
  for (Algorithm a :
       {Algorithm::gcra, Algorithm::token_bucket, Algorithm::fixed_window, Algorithm::exact_window}) {
    Policy policy = exact(200, 1min);
    policy.algorithm = a;
    ASSERT_TRUE(limiter.set_policy(t, policy));
    for (int i = 0; i < 500; ++i) ASSERT_LT(limiter.peek_at(t, key_of(i)).remaining, 185U) << to_string(a);
  }
}

// A key that was idle by one thread's clock and is forgotten comes back in a thread whose clock lags: its new
// bookings count from the time of the forgetting, or the old ones would still be in their window.
TEST(KeyedRateLimiter, ALaggingClockDoesNotSeeBehindAForgetting) {
  KeyedRateLimiter limiter(exact(2, 1s), {.max_keys = 10, .seed = kSeed});
  ASSERT_TRUE(limiter.allow_at(kStart + 10s, "a", 2));
  EXPECT_EQ(limiter.evict_idle(kStart + 11s, 100), 1U);
  const Decision d = limiter.allow_at(kStart + 10s + 500ms, "a");
  EXPECT_TRUE(d);
  EXPECT_EQ(d.charged_at, kStart + 11s);
}

// A hundred keys at random, with clocks that jitter, against a deque for each.
TEST(KeyedRateLimiter, EveryKeyIsLikeItsDeque) {
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  base::Random random(seed);
  for (std::uint32_t limit : {1U, 5U, 8U, 9U, 40U}) {
    KeyedRateLimiter limiter(exact(limit, 1s), {.max_keys = 150, .seed = kSeed});
    std::map<std::string, std::unique_ptr<OracleForTests>> oracles;
    TimePoint t = kStart;
    for (int i = 0; i < 200'000; ++i) {
      t += Duration{static_cast<std::int64_t>(random.below(30'000'000 / limit))};
      const std::string key = key_of(random.below(100));
      auto& oracle = oracles[key];
      if (!oracle) oracle = std::make_unique<OracleForTests>(limit, 1s);
      const TimePoint seen = t - Duration{static_cast<std::int64_t>(random.below(50'000'000))};
      const auto want = oracle->allow(seen, 1);
      const Decision d = limiter.allow_at(seen, key);
      ASSERT_EQ(d.allowed, want.allowed) << "seed " << seed << " limit " << limit << " call " << i;
      ASSERT_EQ(d.retry_after, want.retry_after) << "seed " << seed << " limit " << limit << " call " << i;
    }
  }
}

// Memory: 64 bytes and a tag for a key first seen, a block once it has more than eight bookings; never over
// the bound.
TEST(KeyedRateLimiter, MemoryIsBounded) {
  KeyedRateLimiter limiter(exact(100, 1min), {.max_keys = 10'000, .seed = kSeed});
  const auto empty = limiter.stats();
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(limiter.allow_at(kStart, key_of(i), 8));
  EXPECT_EQ(limiter.stats().bytes, empty.bytes) << "eight bookings fit the slot";
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(limiter.allow_at(kStart, key_of(i), 92));
  const auto full = limiter.stats();
  std::cout << "10,000 keys of 100/min, full: " << full.bytes << " bytes of at most " << full.bytes_max
            << "\n";
  EXPECT_EQ(full.keys, 10'000U);
  EXPECT_EQ(full.overflowed, 0U);
  EXPECT_LE(full.bytes, 4'500'000U);
  EXPECT_LE(full.bytes, full.bytes_max);
}

// max_bytes lowers max_keys until all of them fit with full windows, and stops a policy that would not.
TEST(KeyedRateLimiter, MaxBytesBoundsTheTable) {
  KeyedRateLimiter limiter(exact(100, 1min), {.max_keys = 100'000, .max_bytes = 1'000'000, .seed = kSeed});
  const auto stats = limiter.stats();
  EXPECT_LT(stats.capacity, 2500U);
  EXPECT_GT(stats.capacity, 1000U);
  EXPECT_LE(stats.bytes_max, 1'000'000U);
  for (std::uint32_t i = 0; i < stats.capacity; ++i) limiter.allow_at(kStart, key_of(i), 100);
  EXPECT_LE(limiter.stats().bytes, 1'000'000U);
  EXPECT_FALSE(limiter.set_policy(kStart, exact(1000, 1min)).has_value());
  EXPECT_EQ(limiter.policy().limit, 100U);
  EXPECT_TRUE(limiter.set_policy(kStart, exact(50, 1min)).has_value());
}

// Idle keys can be swept, and only idle ones.
TEST(KeyedRateLimiter, EvictIdleForgetsOnlyIdleKeys) {
  KeyedRateLimiter limiter(exact(2, 1s), {.max_keys = 5000, .seed = kSeed});
  for (int i = 0; i < 3000; ++i) limiter.allow_at(kStart, key_of(i));
  for (int i = 0; i < 1000; ++i) limiter.allow_at(kStart + 500ms, key_of(i));
  EXPECT_EQ(limiter.evict_idle(kStart + 999ms, 1'000'000), 0U);
  EXPECT_EQ(limiter.evict_idle(kStart + 1s, 1'000'000), 2000U);
  EXPECT_EQ(limiter.stats().keys, 1000U);
}

}  // namespace
}  // namespace weir::ratelimit
