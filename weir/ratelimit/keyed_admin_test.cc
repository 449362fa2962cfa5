// Limits for single keys, reservations, snapshots, the most refused keys, and what a flood of keys does.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/random.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};
constexpr WallTime kWall{24h * 365 * 54};
constexpr base::SipKey kSeed{0x0123456789abcdefULL, 0xfedcba9876543210ULL};

Policy with(Algorithm algorithm, std::uint32_t limit, Duration window = 1min) {
  return {.name = "t", .limit = limit, .window = window, .algorithm = algorithm};
}
Policy exact(std::uint32_t limit, Duration window = 1min) {
  return with(Algorithm::exact_window, limit, window);
}
std::string key_of(std::uint64_t i) { return "client-" + std::to_string(i); }

// A key's own limit works at once and on the history there is; so does taking it away.
TEST(Override, WorksAtOnceAndKeepsHistory) {
  for (Algorithm algorithm :
       {Algorithm::exact_window, Algorithm::segmented_window, Algorithm::fixed_window}) {
    KeyedRateLimiter limiter(with(algorithm, 20), {.max_keys = 100, .seed = kSeed});
    for (int i = 0; i < 15; ++i) ASSERT_TRUE(limiter.allow_at(kStart, "gold"));
    ASSERT_TRUE(limiter.set_override(kStart, "gold", 500).has_value());
    const Decision d = limiter.allow_at(kStart, "gold", 485, Want::headers);
    EXPECT_TRUE(d) << to_string(algorithm);
    EXPECT_EQ(d.limit, 500U);
    EXPECT_EQ(d.remaining, 0U);
    EXPECT_FALSE(limiter.allow_at(kStart, "gold"));
    EXPECT_TRUE(limiter.allow_at(kStart, "other", 20));
    EXPECT_FALSE(limiter.allow_at(kStart, "other"));
    ASSERT_TRUE(limiter.set_override(kStart, "gold", 510).has_value());
    EXPECT_TRUE(limiter.allow_at(kStart, "gold", 10));
    EXPECT_TRUE(limiter.clear_override(kStart, "gold"));
    EXPECT_FALSE(limiter.clear_override(kStart, "gold"));
    EXPECT_EQ(limiter.peek_at(kStart, "gold").limit, 20U);
    EXPECT_FALSE(limiter.allow_at(kStart, "gold"));
    EXPECT_TRUE(limiter.allow_at(kStart + 2min, "gold", 20));
  }
}

// Limit 0 shuts one key out; the rest of the world goes on. allow_all() sees it too.
TEST(Override, ZeroShutsOneKeyOut) {
  KeyedRateLimiter limiter(exact(5), {.max_keys = 100, .seed = kSeed});
  KeyedRateLimiter second(exact(5), {.max_keys = 100, .seed = kSeed});
  ASSERT_TRUE(limiter.set_override(kStart, "bad", 0).has_value());
  EXPECT_EQ(limiter.allow_at(kStart, "bad").reason, Reason::cost_exceeds_limit);
  EXPECT_TRUE(limiter.allow_at(kStart, "good"));
  const Charge charges[] = {{&second, "bad", 1}, {&limiter, "bad", 1}};
  Decision decisions[2];
  EXPECT_FALSE(allow_all(kStart, charges, decisions));
  EXPECT_EQ(second.peek_at(kStart, "bad").remaining, 5U);
}

// A new policy leaves a key's own limit in force, in the new window and algorithm.
TEST(Override, OutlivesANewPolicy) {
  KeyedRateLimiter limiter(exact(10), {.max_keys = 100, .seed = kSeed});
  ASSERT_TRUE(limiter.set_override(kStart, "gold", 100).has_value());
  ASSERT_TRUE(limiter.allow_at(kStart, "gold", 60));
  ASSERT_TRUE(limiter.set_policy(kStart, with(Algorithm::segmented_window, 20)).has_value());
  EXPECT_EQ(limiter.peek_at(kStart, "gold").limit, 100U);
  EXPECT_EQ(limiter.peek_at(kStart, "gold").remaining, 40U);
  EXPECT_EQ(limiter.peek_at(kStart, "other").limit, 20U);
}

// There is a bound, and an impossible limit is an error that changes nothing.
TEST(Override, IsBounded) {
  KeyedRateLimiter limiter(exact(10), {.max_keys = 100, .seed = kSeed});
  EXPECT_FALSE(limiter.set_override(kStart, "a", 70'000).has_value());
  for (std::uint32_t i = 0; i < kOverridesMax; ++i)
    ASSERT_TRUE(limiter.set_override(kStart, key_of(i), 20).has_value());
  const Result<void> full = limiter.set_override(kStart, "one more", 20);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, ErrorCode::too_large);
  EXPECT_TRUE(limiter.set_override(kStart, key_of(7), 30).has_value());
  EXPECT_EQ(limiter.peek_at(kStart, key_of(7)).limit, 30U);
}

// Not committed: given back. Committed: spent.
TEST(Reservation, GoesBackUnlessCommitted) {
  KeyedRateLimiter limiter(exact(10), {.max_keys = 100, .seed = kSeed});
  {
    const Reservation lost = limiter.reserve_at(kStart, "a", 6);
    EXPECT_TRUE(lost);
    EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 4U);
    const Reservation refused = limiter.reserve_at(kStart, "a", 5);
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.decision().reason, Reason::over_limit);
  }
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 10U);
  {
    Reservation kept = limiter.reserve_at(kStart, "a", 6);
    kept.commit();
    kept.cancel(kStart);  // too late
  }
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 4U);
  Reservation moved = limiter.reserve_at(kStart, "a", 1);
  Reservation target = std::move(moved);
  target = limiter.reserve_at(kStart, "a", 2);
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 2U);
  target.cancel(kStart);
  target.cancel(kStart);
  EXPECT_EQ(limiter.peek_at(kStart, "a").remaining, 4U);
}

// Under concurrency a reservation is the place, also for keys that only the sketch knows.
TEST(Reservation, IsAPlaceUnderConcurrency) {
  KeyedRateLimiter limiter({.name = "t", .limit = 2, .algorithm = Algorithm::concurrency},
                           {.max_keys = 1, .seed = kSeed});
  const Reservation known = limiter.reserve_at(kStart, "known");
  std::vector<Reservation> out;
  for (int i = 0; i < 2; ++i) out.push_back(limiter.reserve_at(kStart, "unknown"));
  EXPECT_TRUE(out[0] && out[1]);
  EXPECT_FALSE(limiter.reserve_at(kStart, "unknown"));
  out.pop_back();
  EXPECT_TRUE(limiter.reserve_at(kStart, "unknown"));
  out.clear();
  EXPECT_EQ(limiter.peek_at(kStart, "unknown").remaining, 2U);
}

// What one process knew the next one knows, by the wall clock: another origin of time, some seconds later.
TEST(Snapshot, CarriesStateToAnotherProcess) {
  for (Algorithm algorithm : {Algorithm::exact_window, Algorithm::segmented_window, Algorithm::gcra,
                              Algorithm::token_bucket, Algorithm::fixed_window}) {
    const Policy policy = with(algorithm, 60);
    KeyedRateLimiter before(policy, {.max_keys = 2000, .seed = kSeed});
    before.sync_wall(kStart, kWall);
    for (int i = 0; i < 1000; ++i)
      for (int n = 0; n < i % 61; ++n) ASSERT_TRUE(before.allow_at(kStart + n * 10ms, key_of(i)));
    ASSERT_TRUE(before.set_override(kStart, "gold", 100).has_value());
    ASSERT_TRUE(before.allow_at(kStart + 1s, "gold", 50));
    const std::string bytes = before.snapshot(kStart + 5s, kWall + 5s);

    KeyedRateLimiter after(policy, {.max_keys = 2000, .seed = kSeed});
    const TimePoint there = TimePoint{400h};
    after.sync_wall(there, kWall + 10s);
    const Result<std::size_t> restored = after.restore(there, kWall + 10s, bytes);
    ASSERT_TRUE(restored.has_value()) << restored.error().detail;
    EXPECT_GT(*restored, 850U);
    for (int i = 0; i < 1000; ++i) {
      const auto want = before.peek_at(kStart + 10s, key_of(i));
      const auto got = after.peek_at(there, key_of(i));
      // A segment or a token may be counted a little longer than it was, never shorter.
      ASSERT_LE(got.remaining, want.remaining) << to_string(algorithm) << " " << i;
      ASSERT_GE(got.remaining + 1, want.remaining) << to_string(algorithm) << " " << i;
    }
    EXPECT_LE(after.peek_at(there, "gold").remaining, before.peek_at(kStart + 10s, "gold").remaining);
  }
}

// Bytes that are not a whole snapshot of this seed change nothing: cut at every length, flipped at every
// byte.
TEST(Snapshot, RefusesWhatIsNotOne) {
  KeyedRateLimiter limiter(exact(5), {.max_keys = 100, .seed = kSeed});
  for (int i = 0; i < 5; ++i) limiter.allow_at(kStart, key_of(i), 2);
  const std::string bytes = limiter.snapshot(kStart, kWall);
  KeyedRateLimiter empty(exact(5), {.max_keys = 100, .seed = kSeed});
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(empty.restore(kStart, kWall, bytes.substr(0, n)).has_value());
    std::string flipped = bytes;
    flipped[n] = static_cast<char>(flipped[n] ^ 1);
    EXPECT_FALSE(empty.restore(kStart, kWall, flipped).has_value());
  }
  EXPECT_EQ(empty.stats().keys, 0U);
  KeyedRateLimiter other(exact(5), {.max_keys = 100, .seed = {1, 2}});
  const auto foreign = other.restore(kStart, kWall, bytes);
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(empty.restore(kStart, kWall, bytes).has_value());
  EXPECT_EQ(empty.stats().keys, 5U);
}

// A wall clock that was set back does not make bookings younger than now, nor shorter.
TEST(Snapshot, WallClockSetBackInBetween) {
  KeyedRateLimiter before(exact(3), {.max_keys = 100, .seed = kSeed});
  ASSERT_TRUE(before.allow_at(kStart, "a", 3));
  KeyedRateLimiter after(exact(3), {.max_keys = 100, .seed = kSeed});
  ASSERT_TRUE(after.restore(kStart, kWall - 1h, before.snapshot(kStart, kWall)).has_value());
  EXPECT_FALSE(after.allow_at(kStart + 1min - 1ns, "a"));
  EXPECT_TRUE(after.allow_at(kStart + 1min, "a"));
}

// More keys than fit: those without a place are counted in the sketch, so none comes back with a full limit.
TEST(Snapshot, IntoASmallerTable) {
  KeyedRateLimiter before(exact(3), {.max_keys = 500, .seed = kSeed});
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(before.allow_at(kStart, key_of(i), 3));
  KeyedRateLimiter after(exact(3), {.max_keys = 100, .seed = kSeed});
  ASSERT_TRUE(after.restore(kStart, kWall, before.snapshot(kStart, kWall)).has_value());
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(after.allow_at(kStart + 59s, key_of(i)));
}

// Keys that are refused most are named, in order, however many others are refused now and then.
TEST(TopDenied, NamesTheWorst) {
  KeyedRateLimiter limiter(exact(1, 1h), {.max_keys = 10'000, .top_denied = 8, .seed = kSeed});
  for (int i = 0; i < 2000; ++i) {
    limiter.allow_at(kStart, key_of(static_cast<std::uint64_t>(i) % 1000));
    limiter.allow_at(kStart, "worst");
    if (i % 2 == 0) limiter.allow_at(kStart, std::string(100, 'x'));
  }
  const auto top = limiter.top_denied();
  ASSERT_LE(top.size(), 8U);
  ASSERT_GE(top.size(), 2U);
  EXPECT_EQ(top[0].key, "worst");
  EXPECT_GE(top[0].count, 1999U);
  EXPECT_LE(top[0].count - top[0].error, 1999U);
  EXPECT_EQ(top[1].key, std::string(64, 'x'));
  KeyedRateLimiter without(exact(0), {.max_keys = 10, .seed = kSeed});
  without.allow_at(kStart, "a");
  EXPECT_TRUE(without.top_denied().empty());
}

// A flood of keys never seen before, over a table in use: memory stays at the cap, clients in the table are
// judged as if nothing happened, and no flooding key gets more than its limit. 2 million keys; 50 million
// with WEIR_LONG=1.
TEST(Flood, ActiveClientsStayAndMemoryIsBounded) {
  const std::uint64_t flood = std::getenv("WEIR_LONG") != nullptr ? 50'000'000 : 2'000'000;
  constexpr int kActive = 2000;
  KeyedRateLimiter limiter(exact(10, 60s), {.max_keys = 20'000, .seed = kSeed});
  std::vector<std::uint32_t> used(kActive, 0);
  const std::uint64_t bound = limiter.stats().bytes_max;
  TimePoint t = kStart;
  for (int i = 0; i < kActive; ++i) ASSERT_TRUE(limiter.allow_at(t, "active-" + std::to_string(i), 5));
  const Duration step = Duration{60s} / static_cast<std::int64_t>(flood);  // all of them within one window
  std::vector<std::uint32_t> nanoseconds;
  nanoseconds.reserve(flood / 16 + 1);
  std::uint64_t repeated = 0;
  for (std::uint64_t i = 0; i < flood; ++i) {
    t += step;
    const std::string_view key(reinterpret_cast<const char*>(&i), sizeof i);
    const bool timed = i % 16 == 0;
    const auto begin = timed ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
    const Decision d = limiter.allow_at(t, key);
    if (timed) {
      const auto took = std::chrono::steady_clock::now() - begin;
      nanoseconds.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(took.count(), UINT32_MAX)));
    }
    // Some come back eleven times more: of twelve calls no key may get more than ten.
    if (i % 50'000 == 0) {
      int admitted = d.allowed;
      for (int n = 0; n < 11; ++n) admitted += limiter.allow_at(t, key).allowed;
      ASSERT_LE(admitted, 10);
      ++repeated;
    }
  }
  const auto stats = limiter.stats();
  EXPECT_EQ(stats.keys, 20'000U);
  EXPECT_LE(stats.bytes, bound);
  EXPECT_EQ(stats.evicted, 0U) << "nobody was idle";
  // Each active client has exactly five left.
  for (int i = 0; i < kActive; ++i) {
    const std::string name = "active-" + std::to_string(i);
    const TimePoint end = kStart + 60s - 1ns;
    ASSERT_EQ(limiter.peek_at(end, name).remaining, 5U);
    ASSERT_TRUE(limiter.allow_at(end, name, 5));
    ASSERT_FALSE(limiter.allow_at(end, name));
  }
  std::sort(nanoseconds.begin(), nanoseconds.end());
  const auto at = [&](double q) {
    return nanoseconds[static_cast<std::size_t>(static_cast<double>(nanoseconds.size() - 1) * q)];
  };
  std::cout << flood << " keys, " << stats.bytes << " of at most " << bound << " bytes, " << stats.overflowed
            << " decided by the sketch; allow_at() with the clock: median " << at(0.5) << " ns, p99.9 "
            << at(0.999) << " ns\n";
  EXPECT_GT(repeated, 10U);
}

}  // namespace
}  // namespace weir::ratelimit
