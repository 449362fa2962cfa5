// Rules of the breaker one by one. The exhaustive part is circuit_breaker_model_test.cc.
#include "weir/resilience/circuit_breaker.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <vector>

#include "weir/resilience/circuit_breaker_fixture.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;
using State = CircuitBreaker::State;
using Reason = CircuitBreaker::Reason;
using Options = CircuitBreaker::Options;
using Ticket = CircuitBreaker::Ticket;

static_assert(sizeof(Ticket) == 24, "a ticket is kept for every call");

// ---- the basic rules

// The fifth failure in a row opens the breaker; until open_for has passed nothing gets through.
TEST(CircuitBreaker, OpensOnTheFifthConsecutiveFailure) {
  BreakerBench b(basic());
  b.fail(4);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::open);
  const TimePoint opened = b.now;
  b.now = opened + 30s - 1ns;
  EXPECT_FALSE(b.enter());
  b.now = opened + 30s;
  EXPECT_TRUE(b.enter());
}

// A success between failures starts the count anew.
TEST(CircuitBreaker, SuccessResetsTheRun) {
  BreakerBench b(basic());
  for (int round = 0; round < 10; ++round) {
    b.fail(4);
    b.call(Outcome::success);
  }
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).consecutive_failures, 0U);
}

// One probe is let through; its success closes, its failure opens for another open_for.
TEST(CircuitBreaker, OneProbeDecides) {
  BreakerBench b(basic());
  b.fail(5);
  b.now += 30s;
  auto probe = b.enter();
  ASSERT_TRUE(probe);
  EXPECT_TRUE(probe->is_probe());
  EXPECT_EQ(b.breaker.state(), State::half_open);
  EXPECT_FALSE(b.enter());
  probe->settle(Outcome::failure, b.now);
  EXPECT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.breaker.retry_after(b.now), 30s);
  b.now += 30s;
  b.call(Outcome::success);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.fail(4);
  EXPECT_EQ(b.breaker.state(), State::closed) << "the run of before must be forgotten";
}

// The report of an opening names the requests of the run, oldest first; a probe's failure names the probe.
TEST(CircuitBreaker, ReportNamesTheFailedRequests) {
  BreakerBench b(basic());
  b.call(Outcome::failure, 90);
  b.call(Outcome::success, 91);
  for (std::uint64_t tag = 1; tag <= 5; ++tag) {
    b.call(Outcome::failure, tag);
    if (tag == 2) b.call(Outcome::neutral, 92);
  }
  ASSERT_EQ(b.reports.size(), 1U);
  EXPECT_EQ(b.reports[0].from, State::closed);
  EXPECT_EQ(b.reports[0].to, State::open);
  EXPECT_EQ(b.reports[0].reason, Reason::consecutive_failures);
  EXPECT_EQ(b.reports[0].at, b.now);
  EXPECT_EQ(b.reports[0].next_probe_at, b.now + 30s);
  EXPECT_EQ(b.reports[0].consecutive_failures, 5U);
  EXPECT_EQ(b.last_tags(), (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));

  b.now += 30s;
  b.call(Outcome::failure, 77);
  ASSERT_EQ(b.reports.size(), 3U);
  EXPECT_EQ(b.reports[1].to, State::half_open);
  EXPECT_EQ(b.reports[2].reason, Reason::probe_failed);
  EXPECT_EQ(b.last_tags(), (std::vector<std::uint64_t>{77}));
}

// Of a run longer than the tags kept, the report holds the newest.
TEST(CircuitBreaker, ReportKeepsTheNewestTags) {
  Options options = basic();
  options.failures_to_open = 40;
  BreakerBench b(options);
  for (std::uint64_t tag = 1; tag <= 40; ++tag) b.call(Outcome::failure, tag);
  ASSERT_EQ(b.reports.size(), 1U);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t tag = 25; tag <= 40; ++tag) expected.push_back(tag);
  EXPECT_EQ(b.last_tags(), expected);
}

// The tags of a ratio's opening are those of its own generation, not of the trouble before.
TEST(CircuitBreaker, ReportNamesNoRequestOfAnOlderGeneration) {
  Options options = basic();
  options.failures_to_open = 0;
  options.failure_ratio = 0.5;
  options.min_calls = 4;
  BreakerBench b(options);
  for (std::uint64_t tag = 1; tag <= 4; ++tag) b.call(Outcome::failure, tag);
  EXPECT_EQ(b.last_tags(), (std::vector<std::uint64_t>{1, 2, 3, 4}));
  b.now += 30s;
  b.call(Outcome::success);
  ASSERT_EQ(b.breaker.state(), State::closed);
  b.call(Outcome::success, 5);
  b.call(Outcome::failure, 6);
  b.call(Outcome::success, 7);
  b.call(Outcome::failure, 8);
  ASSERT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.last_tags(), (std::vector<std::uint64_t>{6, 8}));
}

// A throttled answer neither lengthens nor ends a run, and fails a probe.
TEST(CircuitBreaker, ThrottledIsNeutralInARowAndFailsAProbe) {
  BreakerBench b(basic());
  b.fail(4);
  b.call(Outcome::throttled);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::open);
  b.now += 30s;
  b.call(Outcome::throttled);
  EXPECT_EQ(b.breaker.state(), State::open);
}

// Neutral and cancelled change nothing in a row; as a probe they give the place back and decide nothing.
TEST(CircuitBreaker, NeutralAndCancelledDecideNothing) {
  for (Outcome outcome : {Outcome::neutral, Outcome::cancelled}) {
    BreakerBench b(basic());
    b.fail(4);
    b.call(outcome);
    b.fail(1);
    EXPECT_EQ(b.breaker.state(), State::open);
    b.now += 30s;
    b.call(outcome);
    EXPECT_EQ(b.breaker.state(), State::half_open);
    EXPECT_EQ(b.breaker.snapshot(b.now).probes_in_flight, 0U);
    b.call(Outcome::success);
    EXPECT_EQ(b.breaker.state(), State::closed);
  }
}

// retry_after is the time to the next probe, in every state.
TEST(CircuitBreaker, RetryAfterIsTheTimeToTheNextProbe) {
  BreakerBench b(basic());
  EXPECT_EQ(b.breaker.retry_after(b.now), 0s);
  b.fail(5);
  EXPECT_EQ(b.breaker.retry_after(b.now + 10s), 20s);
  EXPECT_EQ(b.breaker.retry_after(b.now + 31s), 0s);
  b.now += 30s;
  auto probe = b.enter();
  EXPECT_EQ(b.breaker.retry_after(b.now + 4s), 6s) << "until the probe's lease ends";
  probe->abandon();
  EXPECT_EQ(b.breaker.retry_after(b.now), 0s);
  b.breaker.force(State::forced_open, b.now);
  EXPECT_EQ(b.breaker.retry_after(b.now), 30s);
  b.breaker.force(State::forced_open, b.now, 3s);
  EXPECT_EQ(b.breaker.retry_after(b.now + 1s), 2s);
}

// would_refuse foretells try_enter and takes nothing.
TEST(CircuitBreaker, WouldRefuseTakesNothing) {
  BreakerBench b(basic());
  EXPECT_FALSE(b.breaker.would_refuse(b.now));
  b.fail(5);
  EXPECT_TRUE(b.breaker.would_refuse(b.now));
  b.now += 30s;
  EXPECT_FALSE(b.breaker.would_refuse(b.now));
  EXPECT_EQ(b.breaker.state(), State::open);
  auto probe = b.enter();
  EXPECT_TRUE(b.breaker.would_refuse(b.now));
}

// With several probes, never more are out than permitted, and success_threshold of them close.
TEST(CircuitBreaker, SeveralProbesWithAThreshold) {
  Options options = basic();
  options.half_open_probes = 3;
  options.success_threshold = 2;
  BreakerBench b(options);
  b.fail(5);
  b.now += 30s;
  auto p1 = b.enter();
  auto p2 = b.enter();
  auto p3 = b.enter();
  ASSERT_TRUE(p1 && p2 && p3);
  EXPECT_FALSE(b.enter());
  p1->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::half_open);
  auto p4 = b.enter();
  EXPECT_TRUE(p4);
  EXPECT_FALSE(b.enter());
  p2->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
  p3->settle(Outcome::failure, b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).consecutive_failures, 0U)
      << "a probe that others overtook came too late";
  EXPECT_EQ(b.breaker.late_results(Outcome::failure), 1U);
}

// By ratio alone, a trial of probes goes on while it can still be won; with failures in a row armed, one is
// enough.
TEST(CircuitBreaker, ProbesTolerateWhatArithmeticAllows) {
  Options options = basic();
  options.half_open_probes = 3;
  options.success_threshold = 2;
  options.failures_to_open = 0;
  options.failure_ratio = 0.5;
  options.min_calls = 2;
  BreakerBench b(options);
  b.fail(2);
  ASSERT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().reason, Reason::failure_ratio);
  b.now += 30s;
  b.call(Outcome::failure);
  EXPECT_EQ(b.breaker.state(), State::half_open);
  b.call(Outcome::failure);
  EXPECT_EQ(b.breaker.state(), State::open) << "two of three can no longer succeed";
}

// ---- ratios

// Nothing opens before min_calls; at min_calls the share decides, and exactly the share is enough.
TEST(CircuitBreaker, RatioWaitsForMinimumVolume) {
  BreakerBench b(ratio_only());
  b.fail(5);
  for (int i = 0; i < 4; ++i) b.call(Outcome::success);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.call(Outcome::success);
  ASSERT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().reason, Reason::failure_ratio);
  EXPECT_EQ(b.reports.back().window.calls, 10U);
  EXPECT_EQ(b.reports.back().window.failures, 5U);
}

// Calls older than the window no longer count.
TEST(CircuitBreaker, WindowForgets) {
  BreakerBench b(ratio_only());
  b.fail(9);
  b.now += 10s;
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).window.calls, 1U);
  EXPECT_EQ(b.breaker.snapshot(b.now + 1h).window.calls, 0U);
}

// A share such as 0.1 of 30 is 3, not 3.0000000000000004.
TEST(CircuitBreaker, RatioIsExactInTenThousandths) {
  Options options = ratio_only();
  options.failure_ratio = 0.1;
  options.min_calls = 30;
  BreakerBench b(options);
  for (int i = 0; i < 27; ++i) b.call(Outcome::success);
  b.fail(3);
  EXPECT_EQ(b.breaker.state(), State::open);
}

// A slow success counts for slow_ratio, a quick one does not; time to the answer's head may be told.
TEST(CircuitBreaker, SlowCallsOpen) {
  Options options = ratio_only();
  options.failure_ratio = 0;
  options.slow_ratio = 0.5;
  options.slow_call = 1s;
  BreakerBench b(options);
  for (int i = 0; i < 10; ++i) {
    auto ticket = b.enter();
    ASSERT_TRUE(ticket);
    b.now += 2s;  // a stream: long, but its head came at once
    ticket->settle(Outcome::success, b.now, {.tag = 0, .latency = 10ms, .retry_after = {}});
  }
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.now += 10s;
  std::deque<Ticket> held;
  for (int i = 0; i < 10; ++i) held.push_back(std::move(*b.enter()));
  b.now += 1s;
  for (Ticket& ticket : held) {
    if (b.breaker.state() == State::closed) ticket.settle(Outcome::success, b.now);
  }
  ASSERT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().reason, Reason::slow_ratio);
}

// A slow probe does not close a breaker that watches slowness.
TEST(CircuitBreaker, SlowProbeFails) {
  Options options = basic();
  options.slow_ratio = 0.9;
  options.slow_call = 1s;
  BreakerBench b(options);
  b.fail(5);
  b.now += 30s;
  auto probe = b.enter();
  b.now += 1s;
  probe->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::open);
}

// Both rules armed: each opens by itself, and the report says which.
TEST(CircuitBreaker, RunAndRatioTogether) {
  Options options = ratio_only();
  options.failures_to_open = 5;
  BreakerBench b(options);
  b.fail(5);
  EXPECT_EQ(b.reports.back().reason, Reason::consecutive_failures);
  b.breaker.reset(b.now);
  for (int i = 0; i < 5; ++i) {
    b.call(Outcome::success);
    b.call(Outcome::failure);
  }
  ASSERT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.reports.back().reason, Reason::failure_ratio);
}

// ---- open time

// Without open_backoff each opening lasts open_for to the nanosecond, whatever Retry-After says.
TEST(CircuitBreaker, OpenForIsExact) {
  BreakerBench b(basic());
  b.fail(4);
  b.enter()->settle(Outcome::failure, b.now, {.tag = 0, .latency = {}, .retry_after = 120s});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(b.breaker.retry_after(b.now), 30s);
    b.now += 30s;
    b.call(Outcome::failure);
  }
}

// Each opening in a row lasts longer, up to the cap; time spent closed takes growth back.
TEST(CircuitBreaker, OpenTimeGrowsAndRecovers) {
  Options options = basic();
  options.open_for = 10s;
  options.open_backoff = CircuitBreaker::Backoff{.factor = 2, .max = 50s, .jitter = 0};
  BreakerBench b(options);
  b.fail(5);
  for (Duration expected : {10s, 20s, 40s, 50s, 50s}) {
    ASSERT_EQ(b.breaker.retry_after(b.now), expected);
    b.now += expected;
    b.call(Outcome::failure);
  }
  b.now += 50s;
  b.call(Outcome::success);
  b.now += 1000s;
  b.fail(5);
  EXPECT_EQ(b.breaker.retry_after(b.now), 10s);
}

// Jitter spreads the open time around its length and never past the cap; the seed decides.
TEST(CircuitBreaker, JitterStaysInItsBand) {
  Options options = basic();
  options.open_for = 10s;
  options.open_backoff = CircuitBreaker::Backoff{.factor = 1, .max = 11s, .jitter = 0.2};
  Duration least = 1h;
  Duration most = 0s;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    BreakerBench b(options, seed);
    b.fail(5);
    const Duration length = b.breaker.retry_after(b.now);
    BreakerBench twin(options, seed);
    twin.fail(5);
    ASSERT_EQ(twin.breaker.retry_after(twin.now), length);
    least = std::min(least, length);
    most = std::max(most, length);
  }
  EXPECT_GE(least, 8s);
  EXPECT_LT(least, 8200ms);
  EXPECT_EQ(most, 11s);
}

// Under open_backoff the upstream's Retry-After makes the open time longer, never beyond the cap.
TEST(CircuitBreaker, RetryAfterOfTheUpstreamIsBounded) {
  Options options = basic();
  options.open_for = 10s;
  options.open_backoff = CircuitBreaker::Backoff{.factor = 2, .max = 60s, .jitter = 0};
  for (const auto& [asked, expected] : {std::pair<Duration, Duration>{3s, 10s}, {25s, 25s}, {1h, 60s}}) {
    BreakerBench b(options);
    b.fail(4);
    b.enter()->settle(Outcome::failure, b.now, {.tag = 0, .latency = {}, .retry_after = asked});
    EXPECT_EQ(b.breaker.retry_after(b.now), expected);
  }
}

// ---- steering

// Forced states decide by themselves; a timed one ends at its moment and leaves a fresh closed breaker.
TEST(CircuitBreaker, ForcedStates) {
  BreakerBench b(basic());
  b.breaker.force(State::forced_open, b.now, 60s);
  EXPECT_FALSE(b.enter());
  b.now += 60s;
  EXPECT_TRUE(b.enter());
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.reports.back().reason, Reason::force_over);

  b.breaker.force(State::forced_closed, b.now);
  b.fail(20);
  EXPECT_EQ(b.breaker.state(), State::forced_closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).consecutive_failures, 20U);
  b.breaker.force(State::disabled, b.now);
  b.fail(20);
  EXPECT_EQ(b.breaker.snapshot(b.now).consecutive_failures, 0U);
  b.breaker.reset(b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.fail(4);
  EXPECT_EQ(b.breaker.state(), State::closed);
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::open);
}

// A failure that settles after a timed force has run out is late, even if nobody noticed the end before.
TEST(CircuitBreaker, ForceEndsAtItsMoment) {
  BreakerBench b(basic());
  b.breaker.force(State::forced_closed, b.now, 10s);
  auto ticket = b.enter();
  b.now += 11s;
  ticket->settle(Outcome::failure, b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.late_results(Outcome::failure), 1U);
  EXPECT_EQ(b.reports.back().at, b.now - 1s);
}

// In shadow the machine runs and reports, everybody passes, and what would have been refused counts nowhere.
TEST(CircuitBreaker, ShadowNeverRefuses) {
  Options options = basic();
  options.shadow = true;
  BreakerBench b(options);
  b.fail(5);
  EXPECT_EQ(b.breaker.state(), State::open);
  auto ticket = b.enter();
  ASSERT_TRUE(ticket);
  EXPECT_TRUE(ticket->is_shadow());
  EXPECT_FALSE(ticket->is_probe());
  ticket->settle(Outcome::success, b.now);
  EXPECT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.breaker.retry_after(b.now), 0s);
  b.now += 30s;
  b.call(Outcome::success);
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).late_results, 0U);
}

// New thresholds keep state and run; a lower one opens on the next failure.
TEST(CircuitBreaker, UpdateKeepsState) {
  BreakerBench b(basic());
  b.fail(4);
  Options options = basic();
  options.failures_to_open = 3;
  options.open_for = 5s;
  b.breaker.update(options, b.now);
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).consecutive_failures, 4U);
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::open);
  EXPECT_EQ(b.breaker.retry_after(b.now), 5s);
  options.open_for = 60s;
  b.breaker.update(options, b.now);
  EXPECT_EQ(b.breaker.retry_after(b.now), 5s) << "what is open keeps its time";
}

// Fewer probes after an update: those out stay out, and nobody enters until they are few enough.
TEST(CircuitBreaker, UpdateOfProbesWhileHalfOpen) {
  Options options = basic();
  options.half_open_probes = 2;
  options.success_threshold = 3;
  BreakerBench b(options);
  b.fail(5);
  b.now += 30s;
  auto p1 = b.enter();
  auto p2 = b.enter();
  options.half_open_probes = 1;
  b.breaker.update(options, b.now);
  p1->settle(Outcome::success, b.now);
  EXPECT_FALSE(b.enter());
  p2->settle(Outcome::success, b.now);
  options.half_open_probes = 3;
  b.breaker.update(options, b.now);
  auto p3 = b.enter();
  auto p4 = b.enter();
  auto p5 = b.enter();
  EXPECT_TRUE(p3 && p4 && p5);
  EXPECT_FALSE(b.enter());
}

// Another window length empties the window and keeps the rest.
TEST(CircuitBreaker, UpdateOfTheWindowEmptiesIt) {
  BreakerBench b(ratio_only());
  b.fail(9);
  Options options = ratio_only();
  options.window = 20s;
  b.breaker.update(options, b.now);
  b.fail(1);
  EXPECT_EQ(b.breaker.state(), State::closed);
  EXPECT_EQ(b.breaker.snapshot(b.now).window.calls, 1U);
}

// The sink runs without a lock: it may ask and even steer the breaker.
TEST(CircuitBreaker, SinkMayUseTheBreaker) {
  CircuitBreaker* self = nullptr;
  int seen = 0;
  TimePoint now{1h};
  CircuitBreaker breaker(basic(), [&](const CircuitBreaker::Transition& t) {
    ++seen;
    EXPECT_EQ(self->state(), t.to);
    EXPECT_EQ(self->snapshot(now).generation, t.generation);
  });
  self = &breaker;
  for (int i = 0; i < 5; ++i) breaker.try_enter(now)->settle(Outcome::failure, now);
  EXPECT_EQ(seen, 1);
}

// Every option out of its range is refused by name.
TEST(CircuitBreaker, ValidateNamesTheOption) {
  const auto refused = [](auto change, std::string_view name) {
    Options options;
    change(options);
    const auto result = CircuitBreaker::validate(options);
    ASSERT_FALSE(result) << name;
    EXPECT_NE(result.error().detail.find(name), std::string::npos) << result.error().detail;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(CircuitBreaker::validate(Options()));
  refused([](Options& o) { o.failures_to_open = 0; }, "nothing can open");
  refused([](Options& o) { o.failures_to_open = 2'000'000; }, "failures_to_open");
  refused([](Options& o) { o.failure_ratio = -0.1; }, "failure_ratio");
  refused([](Options& o) { o.failure_ratio = 1.1; }, "failure_ratio");
  refused([&](Options& o) { o.failure_ratio = nan; }, "failure_ratio");
  refused([](Options& o) { o.slow_ratio = 0.5; }, "slow_call");
  refused([](Options& o) { o.min_calls = 0; }, "min_calls");
  refused([](Options& o) { o.min_calls = 40'000; }, "min_calls");
  refused([](Options& o) { o.window = 1ms; }, "window");
  refused([](Options& o) { o.open_for = 0s; }, "open_for");
  refused([](Options& o) { o.open_for = 24h * 365; }, "open_for");
  refused([](Options& o) { o.half_open_probes = 0; }, "half_open_probes");
  refused([](Options& o) { o.half_open_probes = 65; }, "half_open_probes");
  refused([](Options& o) { o.success_threshold = 0; }, "success_threshold");
  refused([](Options& o) { o.probe_timeout = -1s; }, "probe_timeout");
  refused([](Options& o) { o.open_backoff = CircuitBreaker::Backoff{.factor = 0.5}; }, "factor");
  refused([](Options& o) { o.open_backoff = CircuitBreaker::Backoff{.max = 1s}; }, "max");
  refused([](Options& o) { o.open_backoff = CircuitBreaker::Backoff{.jitter = 2}; }, "jitter");
}

}  // namespace
}  // namespace weir::resilience
