// Defects that were found in other limiters, each as a rule that holds here, for every algorithm that it concerns.
//
// Who had it stands above each test. What only a gateway can get wrong (one limit a route or a worker, a node that never
// refuses, answers of 503, what a failed Redis forgets) is in tests/acceptance.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/key.h"
#include "weir/ratelimit/keyed_limiter.h"
#include "weir/ratelimit/limiter.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};
constexpr base::SipKey kSeed{3, 4};
constexpr std::array kTimed{Algorithm::exact_window, Algorithm::segmented_window, Algorithm::gcra,
                            Algorithm::token_bucket, Algorithm::fixed_window};

Policy with(Algorithm algorithm, std::uint32_t limit, Duration window, std::uint32_t burst = 0) {
  return {.name = "t", .limit = limit, .window = window, .algorithm = algorithm, .burst = burst};
}

// golang.org/x/time: a call with an older time set the clock back, and the time in between was credited twice (its issues
// 71360, 65508, 76037). Two threads whose clocks differ by a second get no more than one whose clock is right.
TEST(Traps, TimeIsCreditedOnce) {
  for (const Algorithm algorithm : kTimed) {
    RateLimiter limiter(with(algorithm, 10, 1s));
    int admitted = 0;
    for (int i = 0; i < 1000; ++i) {
      admitted += limiter.allow_at(kStart + 10s).allowed;
      admitted += limiter.allow_at(kStart + 9s).allowed;
    }
    EXPECT_EQ(admitted, 10) << to_string(algorithm);
  }
}

// APISIX and upstash: "is there anything left?", and then the whole cost was taken.
TEST(Traps, TheCostIsAddedBeforeTheComparison) {
  for (const Algorithm algorithm : kTimed) {
    RateLimiter limiter(with(algorithm, 100, 1h));
    ASSERT_TRUE(limiter.allow_at(kStart, 99));
    EXPECT_FALSE(limiter.allow_at(kStart, 100)) << to_string(algorithm);
    EXPECT_FALSE(limiter.allow_at(kStart, 2)) << to_string(algorithm);
    EXPECT_TRUE(limiter.allow_at(kStart, 1)) << to_string(algorithm);
  }
}

// Envoy's reference service: descriptors (a, b_c_d) and (a, b), (c, d) were joined to one counter.
TEST(Traps, KeysOfPartsAreNotJoinedWithAMark) {
  std::string one, two;
  const std::string_view whole[] = {"a", "b_c_d"};
  const std::string_view split[] = {"a", "b", "c", "d"};
  join_key(one, whole);
  join_key(two, split);
  KeyedRateLimiter limiter(with(Algorithm::exact_window, 1, 1min), {.max_keys = 10, .seed = kSeed});
  EXPECT_TRUE(limiter.allow_at(kStart, one));
  EXPECT_TRUE(limiter.allow_at(kStart, two));
}

// Traefik: an entry was forgotten after two seconds whatever its bucket's size; 10 a second with a burst of 1,000 came back
// full after a pause of two. Here only what equals a fresh one is forgotten.
TEST(Traps, ABucketIsNotForgottenHalfEmpty) {
  for (const Algorithm algorithm : {Algorithm::gcra, Algorithm::token_bucket}) {
    KeyedRateLimiter limiter(with(algorithm, 10, 1s, 1000), {.max_keys = 100, .seed = kSeed});
    ASSERT_TRUE(limiter.allow_at(kStart, "a", 1000));
    EXPECT_EQ(limiter.evict_idle(kStart + 2s, 1000), 0U) << to_string(algorithm);
    EXPECT_EQ(limiter.peek_at(kStart + 2s, "a").remaining, 20U) << to_string(algorithm);
    EXPECT_FALSE(limiter.allow_at(kStart + 2s, "a", 21)) << to_string(algorithm);
    EXPECT_EQ(limiter.evict_idle(kStart + 100s - 1us, 1000), 0U) << to_string(algorithm);
    EXPECT_EQ(limiter.evict_idle(kStart + 100s + 1us, 1000), 1U) << to_string(algorithm);
  }
}

// Envoy and gubernator: an LRU of keys gave whoever was pushed out a full bucket. Strangers push nobody out here.
TEST(Traps, StrangersResetNobody) {
  for (const Algorithm algorithm : kTimed) {
    KeyedRateLimiter limiter(with(algorithm, 5, 1h), {.max_keys = 20, .seed = kSeed});
    ASSERT_TRUE(limiter.allow_at(kStart, "a", 5));
    for (int i = 0; i < 1000; ++i) limiter.allow_at(kStart, "stranger-" + std::to_string(i));
    EXPECT_FALSE(limiter.allow_at(kStart, "a")) << to_string(algorithm);
    EXPECT_LE(limiter.stats().keys, 20U) << "governor and others: a map without a bound";
  }
}

// gubernator's leaky bucket: a look when less than one unit was there wrote 0.
TEST(Traps, ALookTakesNoFraction) {
  for (const Algorithm algorithm : {Algorithm::gcra, Algorithm::token_bucket}) {
    RateLimiter limiter(with(algorithm, 1, 10s, 1));
    ASSERT_TRUE(limiter.allow_at(kStart));
    for (int second = 1; second < 10; ++second) {
      EXPECT_FALSE(limiter.allow_at(kStart + second * 1s, 0));
      EXPECT_EQ(limiter.peek_at(kStart + second * 1s).remaining, 0U);
    }
    EXPECT_TRUE(limiter.allow_at(kStart + 10s)) << to_string(algorithm);
  }
}

// pingora: a window of less than a second underflowed within the first second of the clock; and a rotation began when
// somebody came, so windows drifted. Here they begin at multiples of their length.
TEST(Traps, TheFirstSecondAndDrift) {
  for (const Algorithm algorithm : kTimed) {
    RateLimiter limiter(with(algorithm, 2, 10ms));
    EXPECT_TRUE(limiter.allow_at(TimePoint{1ns}, 2)) << to_string(algorithm);
    EXPECT_FALSE(limiter.allow_at(TimePoint{2ns})) << to_string(algorithm);
  }
  RateLimiter fixed(with(Algorithm::fixed_window, 1, 1s));
  TimePoint t = kStart + 700ms;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(fixed.allow_at(t));
    const Decision d = fixed.allow_at(t + 100ms);
    EXPECT_EQ(t + 100ms + d.retry_after, std::chrono::ceil<std::chrono::seconds>(t)) << i;
    t += 1s;
  }
}

// Kong and resty.limit.req: read, then written later; what came in between was let through. Exactly the limit passes,
// whatever comes at once.
TEST(Traps, NothingBetweenCheckAndCharge) {
  for (const Algorithm algorithm : kTimed) {
    KeyedRateLimiter limiter(with(algorithm, 500, 24h), {.max_keys = 10, .seed = kSeed});
    std::atomic<int> admitted{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int call = 0; call < 400; ++call) admitted += limiter.allow_at(kStart, "a").allowed;
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(admitted, 500) << to_string(algorithm);
  }
}

// Envoy, APISIX, Kong: of several limits the earlier ones were charged although a later one refused.
TEST(Traps, ARefusalChargesNoOtherLimit) {
  for (const Algorithm algorithm : kTimed) {
    KeyedRateLimiter wide(with(algorithm, 10, 1h), {.max_keys = 10, .seed = kSeed});
    KeyedRateLimiter narrow(with(algorithm, 1, 1h), {.max_keys = 10, .seed = kSeed});
    const Charge charges[] = {{&wide, "a", 1}, {&narrow, "a", 1}};
    Decision decisions[2];
    int admitted = 0;
    for (int i = 0; i < 100; ++i) admitted += allow_all(kStart, charges, decisions);
    EXPECT_EQ(admitted, 1);
    EXPECT_EQ(wide.peek_at(kStart, "a").remaining, 9U) << to_string(algorithm);
  }
}

// redis_rate: seconds as a float since 2017 lose their precision by 2048. A century and a half from the origin a nanosecond
// is still one.
TEST(Traps, LateYearsAreAsExact) {
  const TimePoint late{150 * 366 * 24h};
  for (const Algorithm algorithm : kTimed) {
    RateLimiter limiter(with(algorithm, 1, 1s));
    ASSERT_TRUE(limiter.allow_at(late));
    const Decision d = limiter.allow_at(late + 1ns);
    ASSERT_FALSE(d) << to_string(algorithm);
    EXPECT_FALSE(limiter.allow_at(late + 1ns + d.retry_after - 1ns)) << to_string(algorithm);
    EXPECT_TRUE(limiter.allow_at(late + 1ns + d.retry_after)) << to_string(algorithm);
    if (algorithm != Algorithm::segmented_window) {
      EXPECT_EQ(d.retry_after, 1s - 1ns) << to_string(algorithm);
    }
  }
}

// Kong Advanced, Tyk: refused calls counted, so a client that keeps asking is never served again.
TEST(Traps, HammeringDoesNotKeepTheDoorShut) {
  for (const Algorithm algorithm : kTimed) {
    RateLimiter limiter(with(algorithm, 5, 1s));
    int admitted = 0;
    for (int i = 0; i < 10'000; ++i) admitted += limiter.allow_at(kStart + i * 1ms).allowed;
    EXPECT_GE(admitted, 45) << to_string(algorithm)
                            << ": ten seconds, five in each, half a second late at most";
  }
}

// caddy-ratelimit and python-limits count the far end of the window in: whoever comes exactly when told is refused.
TEST(Traps, WhoComesWhenToldIsAdmitted) {
  for (const Algorithm algorithm : kTimed) {
    for (const Duration offset : {0ns, 1ns, 333ns, 999'999'999ns}) {
      RateLimiter limiter(with(algorithm, 3, 1min));
      const TimePoint t = kStart + offset;
      ASSERT_TRUE(limiter.allow_at(t, 3));
      const Decision d = limiter.allow_at(t);
      ASSERT_TRUE(d.waiting_helps());
      EXPECT_TRUE(limiter.allow_at(t + d.retry_after)) << to_string(algorithm) << " " << offset.count();
    }
  }
}

// throttled: the period divided by the rate and cut off lets more than 7 a second through. In an hour exactly the burst and
// 7 a second; GCRA rounds its spacing up, never down.
TEST(Traps, ARateThatDoesNotDivideIsNotMore) {
  for (const Algorithm algorithm : {Algorithm::gcra, Algorithm::token_bucket}) {
    RateLimiter limiter(with(algorithm, 7, 1s, 1));
    std::uint64_t admitted = 0;
    for (TimePoint t = kStart; t < kStart + 1h;) {
      const Decision d = limiter.allow_at(t);
      admitted += d.allowed;
      t += d.allowed ? 1ns : d.retry_after;
    }
    EXPECT_LE(admitted, 7 * 3600 + 1U) << to_string(algorithm);
    EXPECT_GE(admitted, 7 * 3600 - 1U) << to_string(algorithm);
  }
}

// APISIX: the configuration's version was part of the key, so that every edit gave everybody a full limit.
TEST(Traps, AnEditResetsNobody) {
  for (const Algorithm algorithm : kTimed) {
    KeyedRateLimiter limiter(with(algorithm, 10, 1h), {.max_keys = 10, .seed = kSeed});
    ASSERT_TRUE(limiter.allow_at(kStart, "a", 10));
    ASSERT_TRUE(limiter.set_policy(kStart, with(algorithm, 12, 1h)).has_value());
    EXPECT_TRUE(limiter.allow_at(kStart, "a", 2)) << to_string(algorithm);
    EXPECT_FALSE(limiter.allow_at(kStart, "a")) << to_string(algorithm);
  }
}

// scality: an old limit stayed in force for clients that were known. A new one counts with the next call, either way.
TEST(Traps, ANewLimitCountsAtOnce) {
  for (const Algorithm algorithm : kTimed) {
    KeyedRateLimiter limiter(with(algorithm, 10, 1h), {.max_keys = 10, .seed = kSeed});
    ASSERT_TRUE(limiter.allow_at(kStart, "a", 4));
    ASSERT_TRUE(limiter.set_policy(kStart, with(algorithm, 4, 1h)).has_value());
    EXPECT_FALSE(limiter.allow_at(kStart, "a")) << to_string(algorithm);
    EXPECT_EQ(limiter.peek_at(kStart, "a").limit, 4U);
  }
}

// The rules for odd numbers, line by line: limit 0 denies for good, a window of 0 is a mistake, cost 0 takes nothing, what is
// given back is no more than full, a cost above the limit has its own reason and no time to wait for, an empty key is a key.
TEST(Traps, OddNumbers) {
  for (const Algorithm algorithm : kTimed) {
    KeyedRateLimiter none(with(algorithm, 0, 1h), {.max_keys = 10, .seed = kSeed});
    EXPECT_EQ(none.allow_at(kStart, "a").reason, Reason::cost_exceeds_limit) << to_string(algorithm);
    EXPECT_FALSE(none.allow_at(kStart, "a").waiting_helps());
    EXPECT_FALSE(validate(with(algorithm, 1, Duration{0})).has_value());
    EXPECT_FALSE(validate(with(algorithm, 1, Duration{-1})).has_value());
    KeyedRateLimiter some(with(algorithm, 5, 1h), {.max_keys = 10, .seed = kSeed});
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(some.allow_at(kStart, "", 0));
    EXPECT_EQ(some.stats().keys, 0U) << "a look writes nothing";
    EXPECT_EQ(some.allow_at(kStart, "", 6).reason, Reason::cost_exceeds_limit);
    EXPECT_FALSE(some.allow_at(kStart, "", 4'294'967'295U).waiting_helps());
    const Decision d = some.allow_at(kStart, "", 3);
    ASSERT_TRUE(d);
    some.refund_at(kStart, "", 4'294'967'295U, d.charged_at);
    EXPECT_EQ(some.peek_at(kStart, "").remaining, 5U) << to_string(algorithm);
    EXPECT_TRUE(some.allow_at(kStart, "", 5));
    EXPECT_FALSE(some.allow_at(kStart, ""));
  }
}

// Envoy: a limit in shadow ended the evaluation of the others. It counts, tells, and stops nothing; nor do its fields
// promise a client what it is not held to.
TEST(Traps, AShadowHidesNoLimit) {
  for (const Algorithm algorithm : kTimed) {
    Policy watching = with(algorithm, 0, 1h);
    watching.shadow = true;
    const Policy real = with(algorithm, 1, 1h);
    KeyedRateLimiter shadow(watching, {.max_keys = 10, .seed = kSeed});
    KeyedRateLimiter live(real, {.max_keys = 10, .seed = kSeed});
    const Charge charges[] = {{&shadow, "a", 1}, {&live, "a", 1}};
    Decision decisions[2];
    EXPECT_TRUE(allow_all(kStart, charges, decisions, Want::headers)) << to_string(algorithm);
    EXPECT_EQ(decisions[0].reason, Reason::shadow);
    EXPECT_FALSE(allow_all(kStart, charges, decisions, Want::headers));
    const LimitReport reports[] = {{&watching, decisions[0]}, {&real, decisions[1]}};
    std::string buffer;
    std::string told;
    for (const HeaderField& field : format_headers(reports, {}, buffer))
      if (field.name == "RateLimit-Policy") told = field.value;
    EXPECT_EQ(told, "\"t\";q=1;w=3600");
  }
}

// golang.org/x/time, the timed rows of its reservations where ours mean the same: ten (or five, then ten) a second, two at
// once; `charge` books ahead as Reserve does, `refund` is Cancel. At 100 ms steps.
struct BookedAhead {
  RateLimiter limiter;
  explicit BookedAhead(std::uint32_t rate) : limiter(with(Algorithm::token_bucket, rate, 1s, 2)) {}

  // When `cost` units asked for at `step` may act, in steps; books them.
  int reserve(int step, std::uint32_t cost) {
    const TimePoint now = kStart + step * 100ms;
    const Decision d = limiter.allow_at(now, cost);
    if (d) return step;
    limiter.charge_at(now, cost);
    return step + static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(d.retry_after) / 100ms);
  }
  void cancel(int step, std::uint32_t cost) {
    const TimePoint now = kStart + step * 100ms;
    limiter.refund_at(now, cost, now);
  }
};

TEST(GoRows, ReserveMax) {
  BookedAhead rows(10);
  EXPECT_EQ(rows.reserve(0, 2), 0);
  EXPECT_EQ(rows.reserve(0, 1), 1);
  EXPECT_EQ(rows.reserve(0, 1), 2) << "too late for whoever waits one step";
}

TEST(GoRows, CancelLast) {
  BookedAhead rows(10);
  EXPECT_EQ(rows.reserve(0, 2), 0);
  EXPECT_EQ(rows.reserve(1, 2), 2);
  rows.cancel(1, 2);
  EXPECT_EQ(rows.reserve(1, 2), 2);
}

TEST(GoRows, ReserveSetLimit) {
  BookedAhead rows(5);
  EXPECT_EQ(rows.reserve(0, 2), 0);
  EXPECT_EQ(rows.reserve(0, 2), 4);
  ASSERT_TRUE(rows.limiter.set_policy(kStart + 200ms, with(Algorithm::token_bucket, 10, 1s, 2)).has_value());
  EXPECT_EQ(rows.reserve(2, 2), 5);
}

TEST(GoRows, ReserveSetLimitCancel) {
  BookedAhead rows(5);
  EXPECT_EQ(rows.reserve(0, 2), 0);
  EXPECT_EQ(rows.reserve(0, 2), 4);
  ASSERT_TRUE(rows.limiter.set_policy(kStart + 200ms, with(Algorithm::token_bucket, 10, 1s, 2)).has_value());
  rows.cancel(2, 2);
  EXPECT_EQ(rows.reserve(2, 2), 3);
}

// 100 a second and a burst of 100, asked 30,000 times in five seconds: what is ideal, to the unit.
TEST(GoRows, LongRunningRate) {
  for (const Algorithm algorithm : {Algorithm::gcra, Algorithm::token_bucket}) {
    RateLimiter limiter(with(algorithm, 100, 1s, 100));
    int admitted = 0;
    for (TimePoint t = kStart; t < kStart + 5s; t += 166'667ns) admitted += limiter.allow_at(t).allowed;
    EXPECT_LE(admitted, 600) << to_string(algorithm);
    EXPECT_GE(admitted, 599) << to_string(algorithm);
  }
}

}  // namespace
}  // namespace weir::ratelimit
