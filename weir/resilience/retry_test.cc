#include "weir/resilience/retry.h"

#include <gtest/gtest.h>

#include <array>

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kNow{1h};

// A policy with a budget that has ten calls in it.
struct Bench {
  Bench() : budget({.ratio = 1, .min_per_second = 0}, kNow) {
    for (int i = 0; i < 10; ++i) budget.request(kNow);
  }
  RetryDecision decide(const FailedAttempt& attempt, Deadline deadline = Deadline::never()) {
    return policy.decide(attempt, deadline, kNow, budget, random);
  }
  RetryPolicy policy{{.attempts = 2, .backoff = {.base = 25ms, .max = 250ms}}};
  RetryBudget budget;
  base::Random random{1};
};

// A failure before anything was sent is tried again after a wait within the backoff's bounds.
TEST(RetryPolicy, RetriesWithAWait) {
  Bench b;
  const RetryDecision d = b.decide({});
  EXPECT_TRUE(d.retry);
  EXPECT_GT(d.wait, 0ms);
  EXPECT_LE(d.wait, 25ms);
  EXPECT_EQ(b.budget.available(kNow), 9U);
}

// Each reason not to retry, alone; none of them touches the budget.
TEST(RetryPolicy, ReasonsNotTo) {
  struct Row {
    FailedAttempt attempt;
    RetryReason reason;
  };
  std::vector<Row> rows;
  for (Outcome outcome : {Outcome::success, Outcome::cancelled, Outcome::neutral}) {
    rows.push_back({{.outcome = outcome}, RetryReason::not_failed});
  }
  rows.push_back({{.number = 2}, RetryReason::attempts_used});
  rows.push_back({{.answer_started = true}, RetryReason::answer_started});
  rows.push_back({{.progress = Progress::unsafe}, RetryReason::unsafe});
  rows.push_back({{.body_kept = false}, RetryReason::body_gone});
  for (const Row& row : rows) {
    Bench b;
    const RetryDecision d = b.decide(row.attempt);
    EXPECT_FALSE(d.retry);
    EXPECT_EQ(d.reason, row.reason) << to_string(d.reason);
    EXPECT_EQ(b.budget.available(kNow), 10U);
  }
}

// What may be repeated: nothing sent and refused always, sent only for idempotent methods.
TEST(RetryPolicy, SafetyLattice) {
  for (Progress progress : {Progress::nothing_sent, Progress::refused, Progress::sent}) {
    EXPECT_TRUE(Bench().decide({.progress = progress}).retry);
  }
  for (std::string_view method : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}) {
    EXPECT_EQ(progress_of(true, method), Progress::sent) << method;
    EXPECT_EQ(progress_of(false, method), Progress::nothing_sent) << method;
  }
  for (std::string_view method : {"POST", "PATCH", "CONNECT", "LOCK", "get", "Get", "GETX", ""}) {
    EXPECT_EQ(progress_of(true, method), Progress::unsafe) << method;
    EXPECT_EQ(progress_of(false, method), Progress::nothing_sent) << method;
  }
}

// No attempt starts at or after the deadline, and the wait that the upstream asks for counts.
TEST(RetryPolicy, NothingAfterTheDeadline) {
  for (int i = 0; i < 1'000; ++i) {
    Bench b;
    b.random = base::Random(static_cast<std::uint64_t>(i));
    const Deadline deadline = Deadline::after(kNow, 10ms);
    const RetryDecision d = b.decide({}, deadline);
    if (d.retry) {
      EXPECT_LT(kNow + d.wait, deadline.when());
    } else {
      EXPECT_EQ(d.reason, RetryReason::no_time);
      EXPECT_EQ(b.budget.available(kNow), 10U);
    }
  }
  Bench b;
  EXPECT_EQ(b.decide({.retry_after = 2s}, Deadline::after(kNow, 2s)).reason, RetryReason::no_time);
  const RetryDecision later = b.decide({.retry_after = 2s}, Deadline::after(kNow, 3s));
  EXPECT_TRUE(later.retry);
  EXPECT_GT(later.wait, 2s);
}

// Without budget nothing is retried.
TEST(RetryPolicy, BudgetIsTheLastWord) {
  Bench b;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(b.decide({}).retry);
  EXPECT_EQ(b.decide({}).reason, RetryReason::no_budget);
}

TEST(RetryPolicy, ValidateNamesTheOption) {
  EXPECT_TRUE(RetryPolicy::validate({}));
  EXPECT_FALSE(RetryPolicy::validate({.attempts = 11}));
  EXPECT_FALSE(RetryPolicy::validate({.backoff = {.base = 0ms}}));
}

}  // namespace
}  // namespace weir::resilience
