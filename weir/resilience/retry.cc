#include "weir/resilience/retry.h"

#include <algorithm>
#include <array>

#include "weir/base/check.h"

namespace weir::resilience {

bool is_idempotent(std::string_view method) noexcept {
  constexpr std::array<std::string_view, 6> methods = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

Progress progress_of(bool byte_sent, std::string_view method) noexcept {
  if (!byte_sent) return Progress::nothing_sent;
  return is_idempotent(method) ? Progress::sent : Progress::unsafe;
}

std::string_view to_string(RetryReason reason) noexcept {
  constexpr std::string_view names[] = {"retry",  "not_failed", "attempts_used", "answer_started",
                                        "unsafe", "body_gone",  "no_time",       "no_budget"};
  return names[static_cast<std::size_t>(reason)];
}

Result<void> RetryPolicy::validate(const Options& options) {
  if (options.attempts > 10) {
    return Error(ErrorCode::invalid_argument, "attempts must be at most 10", ErrorSource::configuration);
  }
  return Backoff::validate(options.backoff);
}

RetryPolicy::RetryPolicy(const Options& options) noexcept
    : attempts_(options.attempts), backoff_(options.backoff) {
  WEIR_CHECK(validate(options));
}

RetryDecision RetryPolicy::decide(const FailedAttempt& attempt, Deadline deadline, TimePoint now,
                                  RetryBudget& budget, base::Random& random) const noexcept {
  const auto no = [](RetryReason reason) { return RetryDecision{false, reason, Duration::zero()}; };
  if (attempt.outcome != Outcome::failure && attempt.outcome != Outcome::throttled)
    return no(RetryReason::not_failed);
  if (attempt.number >= attempts_) return no(RetryReason::attempts_used);
  if (attempt.answer_started) return no(RetryReason::answer_started);
  if (attempt.progress == Progress::unsafe) return no(RetryReason::unsafe);
  if (!attempt.body_kept) return no(RetryReason::body_gone);
  const Duration wait = backoff_.wait(attempt.number, attempt.retry_after, random);
  // Equal is too late: an attempt that starts at its deadline is work for nobody.
  if (wait >= deadline.remaining(now)) return no(RetryReason::no_time);
  if (!budget.try_spend(now)) return no(RetryReason::no_budget);
  return {true, RetryReason::retry, wait};
}

}  // namespace weir::resilience
