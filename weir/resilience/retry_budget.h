// How many retries and hedges an upstream may get: a share of its requests, and a floor a second.
//
// Without a budget each layer of retries multiplies a failing upstream's load. With it the extra load is
// bounded:
//
//   (1) From the start to any moment T, at most ratio * requests + min_per_second * T extra calls are
//       granted.
//   (2) What is not used within `ttl` is lost, so that a quiet hour does not pay for a storm.
//   (3) A refused try_spend() takes nothing.
//
//   RetryBudget budget;                          // 20 % and 10/s
//   budget.request(now);                         // once for each request, not for its extra calls
//   if (budget.try_spend(now)) retry();          // retries and hedges share one budget
//
// Defaults are those of tower's and linkerd's budgets. One budget an upstream, shared by all workers;
// thread-safe. request() is one atomic addition (and once in ttl / 10 a short mutex); try_spend() takes the
// mutex.
#ifndef WEIR_RESILIENCE_RETRY_BUDGET_H_
#define WEIR_RESILIENCE_RETRY_BUDGET_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/resilience/internal/sync.h"

namespace weir::resilience {

class RetryBudget {
 public:
  struct Options {
    double ratio = 0.2;                       // extra calls a request; 0 to 10
    double min_per_second = 10;               // on top, even without requests; 0 to 1000000
    Duration ttl = std::chrono::seconds{10};  // how long what was earned may be kept; 1s to 1h
  };

  // Error invalid_argument: which option is out of its range; or both rates zero (a budget that grants
  // nothing).
  static Result<void> validate(const Options& options);

  // Options that validate() refuses stop the program. The floor is earned from `start` on.
  RetryBudget(const Options& options, TimePoint start) noexcept;
  explicit RetryBudget(TimePoint start) noexcept : RetryBudget(Options(), start) {}
  RetryBudget(const RetryBudget&) = delete;
  RetryBudget& operator=(const RetryBudget&) = delete;

  void request(TimePoint now) noexcept;
  [[nodiscard]] bool try_spend(TimePoint now) noexcept;
  // Extra calls that would be granted at this moment.
  std::uint64_t available(TimePoint now) noexcept;

  // Keeps what was earned, up to the new bounds.
  void update(const Options& options, TimePoint now) noexcept;

 private:
  static constexpr std::size_t kSlots = 10;

  void apply_locked(const Options& options) noexcept;
  void roll_locked(TimePoint now) noexcept;
  void earn_floor_locked(TimePoint until) noexcept;
  void close_slot_locked() noexcept;

  // In millionths of a call: 0.2 is exact, and 2^63 of them is more than any budget.
  alignas(64) internal::Atomic<std::int64_t> balance_{0};
  internal::Atomic<std::int64_t> per_request_{0};
  internal::Atomic<Duration::rep> slot_end_{0};

  internal::Mutex mutex_;
  double floor_per_ns_ = 0;  // in the same unit
  double floor_rest_ = 0;    // what is earned but smaller than the unit
  Duration slot_{1};
  TimePoint floor_until_{};          // the floor is earned up to here
  std::int64_t balance_before_ = 0;  // when the running slot began
  std::int64_t spent_in_slot_ = 0;
  std::array<std::int64_t, kSlots> earned_{};  // by slot; the running one is closed into next_slot_
  std::size_t next_slot_ = 0;
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_RETRY_BUDGET_H_
