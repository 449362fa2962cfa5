// Whether, and when, a call that failed may be tried again.
//
// A pure decision from what is known about the attempt; the caller waits, picks another endpoint and sends.
// Asked in this order, so that the reason is the most telling one and the budget is charged only for what
// will happen:
//
//   did it fail? are there tries left? has the client seen any of the answer? may this request be repeated
//   (Progress)? is its body still there? is there time for the wait before the deadline? is there budget?
//
//   RetryPolicy policy({.attempts = 2});
//   RetryDecision d = policy.decide(attempt, deadline, now, budget, random);
//   if (d.retry) co_await sleep(d.wait);
//
// Each attempt has its own breaker ticket and counts there; the client's rate limit is charged once. O(1), no
// state.
#ifndef WEIR_RESILIENCE_RETRY_H_
#define WEIR_RESILIENCE_RETRY_H_

#include <cstdint>
#include <string_view>

#include "weir/base/clock.h"
#include "weir/base/deadline.h"
#include "weir/base/random.h"
#include "weir/base/result.h"
#include "weir/resilience/backoff.h"
#include "weir/resilience/outcome.h"
#include "weir/resilience/retry_budget.h"

namespace weir::resilience {

// How far the failed attempt got, from always repeatable to never.
enum class Progress : std::uint8_t {
  nothing_sent,  // no byte of the request left (connect failed)
  refused,       // the server said that it did nothing (REFUSED_STREAM, GOAWAY below this stream)
  sent,          // bytes left and the method is idempotent (RFC 9110 9.2.2)
  unsafe,        // bytes left and it is not: it may have happened, so it is never repeated
};

// GET HEAD OPTIONS TRACE PUT DELETE, in these letters: methods are case-sensitive (RFC 9110 9.1).
bool is_idempotent(std::string_view method) noexcept;
// From whether a byte was sent and the method. An Idempotency-Key changes nothing: the upstream has not
// promised to heed it.
Progress progress_of(bool byte_sent, std::string_view method) noexcept;

enum class RetryReason : std::uint8_t {
  retry,
  not_failed,  // success, cancelled or neutral
  attempts_used,
  answer_started,  // the client has seen some of it
  unsafe,
  body_gone,  // streamed, too large to keep
  no_time,    // the wait would reach the deadline
  no_budget,
};
// "no_budget" and so on: stable, usable as a metric label.
std::string_view to_string(RetryReason reason) noexcept;

struct FailedAttempt {
  std::uint32_t number = 0;  // 0: the first try
  Outcome outcome = Outcome::failure;
  Progress progress = Progress::nothing_sent;
  bool answer_started = false;
  bool body_kept = true;    // or there was none
  Duration retry_after{0};  // what the upstream asked for
};

struct RetryDecision {
  bool retry = false;
  RetryReason reason = RetryReason::not_failed;
  Duration wait{0};
};

class RetryPolicy {
 public:
  struct Options {
    std::uint32_t attempts = 2;  // tries after the first; at most 10
    Backoff::Options backoff = {};
  };

  static Result<void> validate(const Options& options);

  explicit RetryPolicy(const Options& options) noexcept;  // options that validate() refuses stop the program

  RetryDecision decide(const FailedAttempt& attempt, Deadline deadline, TimePoint now, RetryBudget& budget,
                       base::Random& random) const noexcept;

 private:
  std::uint32_t attempts_;
  Backoff backoff_;
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_RETRY_H_
