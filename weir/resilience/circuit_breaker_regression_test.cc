// Defects known from other breakers, one test each.
#include <gtest/gtest.h>

#include <deque>

#include "weir/resilience/circuit_breaker_fixture.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;
using State = CircuitBreaker::State;
using Reason = CircuitBreaker::Reason;
using Options = CircuitBreaker::Options;
using Ticket = CircuitBreaker::Ticket;

// resilience4j, Polly, Sentinel, failsafe-go, linkerd: a slow answer from the closed era decides the
// half-open trial.
TEST(CircuitBreakerRegression, LateAnswerOfAnOlderGenerationDecidesNoProbe) {
  BreakerBench b(basic());
  auto good = b.enter();
  auto bad = b.enter();
  b.fail(5);
  b.now += 30s;
  auto probe = b.enter();
  ASSERT_TRUE(probe);
  good->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::half_open);
  bad->settle(Outcome::failure, b.now);
  EXPECT_EQ(b.breaker.state(), State::half_open);
  EXPECT_FALSE(b.enter()) << "a late answer must not free the probe's place (failsafe-go)";
  probe->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
}

// gobreaker #122: late answers vanish without a trace. Here they are counted by outcome.
TEST(CircuitBreakerRegression, LateAnswersAreVisible) {
  BreakerBench b(basic());
  auto first = b.enter();
  auto second = b.enter();
  b.fail(5);
  first->settle(Outcome::success, b.now);
  second->settle(Outcome::throttled, b.now);
  EXPECT_EQ(b.breaker.late_results(Outcome::success), 1U);
  EXPECT_EQ(b.breaker.late_results(Outcome::throttled), 1U);
  EXPECT_EQ(b.breaker.snapshot(b.now).late_results, 2U);
}

// An answer that outlives open, half-open and closed again does not touch the new run.
TEST(CircuitBreakerRegression, LateAnswerAfterAFullCycleChangesNothing) {
  BreakerBench b(basic());
  auto late_failure = b.enter();
  auto late_success = b.enter();
  b.fail(5);
  b.now += 30s;
  b.call(Outcome::success);
  ASSERT_EQ(b.breaker.state(), State::closed);
  b.fail(4);
  late_failure->settle(Outcome::failure, b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
  late_success->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.snapshot(b.now).consecutive_failures, 4U);
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::open);
}

// resilience4j #903 #935 #2289, Polly #1979, Sentinel #1638: a probe that never reports leaves the breaker
// half-open for ever. Here its lease ends as a failure.
TEST(CircuitBreakerRegression, ProbeWithoutAnswerCannotHangHalfOpen) {
  BreakerBench b(basic());
  b.fail(5);
  b.now += 30s;
  auto lost = b.enter();
  const TimePoint lease_end = b.now + 10s;
  b.now = lease_end - 1ns;
  EXPECT_FALSE(b.enter());
  b.now = lease_end;
  EXPECT_FALSE(b.enter());
  EXPECT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().reason, Reason::probe_timed_out);
  b.now = lease_end + 30s;
  auto next = b.enter();
  ASSERT_TRUE(next) << "the open time runs from the lease's end";
  lost->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::half_open);
  EXPECT_EQ(b.breaker.late_results(Outcome::success), 1U);
}

// The end of a lease is dated when it was due: a quiet hour later the next caller is a probe at once.
TEST(CircuitBreakerRegression, LeaseEndDoesNotDependOnWhoNoticed) {
  BreakerBench b(basic());
  b.fail(5);
  b.now += 30s;
  auto lost = b.enter();
  b.now += 1h;
  auto next = b.enter();
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->is_probe());
  ASSERT_EQ(b.reports.size(), 4U);
  EXPECT_EQ(b.reports[2].at, b.now - 1h + 10s);
}

// With LeaseEnd::neutral the place is free again and the lost probe's answer counts nowhere, even in its
// generation.
TEST(CircuitBreakerRegression, NeutralLeaseEndFreesThePlaceOnce) {
  Options options = basic();
  options.lease_end = CircuitBreaker::LeaseEnd::neutral;
  BreakerBench b(options);
  b.fail(5);
  b.now += 30s;
  auto lost = b.enter();
  b.now += 10s;
  auto next = b.enter();
  ASSERT_TRUE(next);
  EXPECT_EQ(lost->generation(), next->generation());
  lost->settle(Outcome::failure, b.now);
  EXPECT_EQ(b.breaker.state(), State::half_open);
  EXPECT_EQ(b.breaker.snapshot(b.now).probes_in_flight, 1U);
  EXPECT_FALSE(b.enter());
}

// linkerd: a probe dropped before its answer keeps its permit. Here the place comes back and nothing is
// counted.
TEST(CircuitBreakerRegression, AbandonedProbeGivesItsPlaceBack) {
  BreakerBench b(basic());
  b.fail(5);
  b.now += 30s;
  for (int i = 0; i < 100; ++i) {
    auto probe = b.enter();
    ASSERT_TRUE(probe) << i;
  }
  EXPECT_EQ(b.breaker.state(), State::half_open);
}

// Polly: cancelling a probe closes the circuit. gobreaker: a cancelled call counts as a failure.
TEST(CircuitBreakerRegression, CancellationIsNeitherSuccessNorFailure) {
  BreakerBench b(basic());
  for (int i = 0; i < 20; ++i) b.call(Outcome::cancelled);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.fail(5);
  b.now += 30s;
  b.call(Outcome::cancelled);
  EXPECT_EQ(b.breaker.state(), State::half_open);
}

// Envoy #41985: callers with little patience hide a dead host. With slow_ratio armed, a cancelled call that
// waited as long as a slow one is a slow call.
TEST(CircuitBreakerRegression, ImpatientCallersDoNotHideADeadUpstream) {
  Options options = ratio_only();
  options.slow_ratio = 0.5;
  options.slow_call = 1s;
  BreakerBench b(options);
  for (int i = 0; i < 10; ++i) {
    auto ticket = b.enter();
    ASSERT_TRUE(ticket);
    b.now += i % 2 == 0 ? 1s : 100ms;
    ticket->settle(Outcome::cancelled, b.now);
  }
  EXPECT_EQ(b.breaker.state(), State::closed)
      << "quick cancellations count nowhere, so five calls are too few";
  for (int i = 0; i < 10 && b.breaker.state() == State::closed; ++i) {
    auto ticket = b.enter();
    ASSERT_TRUE(ticket);
    b.now += 1s;
    ticket->settle(Outcome::cancelled, b.now);
  }
  EXPECT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().reason, Reason::slow_ratio);
}

// gobreaker opens on the sixth failure of `> 5`, Sentinel compares with a strict `>`: here the threshold is
// enough.
TEST(CircuitBreakerRegression, TheThresholdItselfOpens) {
  for (std::uint32_t threshold = 1; threshold <= 20; ++threshold) {
    Options options = basic();
    options.failures_to_open = threshold;
    BreakerBench b(options);
    b.fail(static_cast<int>(threshold) - 1);
    EXPECT_EQ(b.breaker.state(), State::closed);
    b.fail(1);
    EXPECT_EQ(b.breaker.state(), State::open);
  }
}

// resilience4j #1432, safe-client-gateway #3442: more probes at once than permitted.
TEST(CircuitBreakerRegression, NeverMoreProbesThanPermitted) {
  for (std::uint32_t permits = 1; permits <= 8; ++permits) {
    Options options = basic();
    options.half_open_probes = permits;
    options.success_threshold = 100;
    BreakerBench b(options);
    b.fail(5);
    b.now += 30s;
    std::deque<Ticket> out;
    for (int round = 0; round < 20; ++round) {
      while (auto ticket = b.enter()) {
        out.push_back(std::move(*ticket));
        ASSERT_LE(out.size(), permits);
      }
      ASSERT_EQ(out.size(), permits);
      out.front().settle(Outcome::success, b.now);
      out.pop_front();
    }
  }
}

// Sentinel: the window is one tumbling bucket, so a burst across its edge is seen as two halves.
TEST(CircuitBreakerRegression, WindowSlidesAcrossBucketEdges) {
  for (int offset_ms = 0; offset_ms < 10'000; offset_ms += 250) {
    BreakerBench b(ratio_only());
    b.now += std::chrono::milliseconds(offset_ms);
    b.fail(5);
    b.now += 2s;
    b.fail(4);
    EXPECT_EQ(b.breaker.state(), State::closed);
    b.fail(1);
    EXPECT_EQ(b.breaker.state(), State::open) << offset_ms;
  }
}

// r4j, Polly, Sentinel, oxy measure the open time with the wall clock. Here time is what callers hand in, and
// a `now` slightly behind another thread's breaks nothing.
TEST(CircuitBreakerRegression, TimeThatStepsBackIsHarmless) {
  Options options = basic();
  options.failure_ratio = 0.5;
  options.min_calls = 100;
  BreakerBench b(options);
  b.call(Outcome::failure);
  b.now -= 30min;
  b.fail(4);
  EXPECT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().window.calls, 5U);
  EXPECT_FALSE(b.enter());
  b.now -= 1min;
  EXPECT_FALSE(b.enter());
  EXPECT_EQ(b.breaker.retry_after(b.now), 90s);
}

// failsafe-go, gobreaker: a second report of one call counts twice. Here it stops the program.
TEST(CircuitBreakerRegressionDeathTest, SettlingTwiceIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  CircuitBreaker breaker(basic());
  EXPECT_DEATH(
      {
        auto ticket = breaker.try_enter(TimePoint{1h});
        ticket->settle(Outcome::success, TimePoint{1h});
        ticket->settle(Outcome::success, TimePoint{1h});
      },
      "breaker_ != nullptr");
}

}  // namespace
}  // namespace weir::resilience
