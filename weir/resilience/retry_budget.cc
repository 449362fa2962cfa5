#include "weir/resilience/retry_budget.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "weir/base/check.h"

namespace weir::resilience {
namespace {

constexpr double kUnit = 1'000'000;
constexpr std::int64_t kCall = 1'000'000;

}  // namespace

Result<void> RetryBudget::validate(const Options& options) {
  const auto bad = [](std::string_view what) {
    return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
  };
  if (!(options.ratio >= 0 && options.ratio <= 10)) return bad("budget ratio must lie between 0 and 10");
  if (!(options.min_per_second >= 0 && options.min_per_second <= 1e6)) {
    return bad("budget min_per_second must lie between 0 and 1000000");
  }
  if (options.ratio == 0 && options.min_per_second == 0)
    return bad("the budget grants nothing: both rates are zero");
  if (options.ttl < std::chrono::seconds{1} || options.ttl > std::chrono::hours{1}) {
    return bad("budget ttl must lie between 1s and 1h");
  }
  return {};
}

RetryBudget::RetryBudget(const Options& options, TimePoint start) noexcept {
  WEIR_CHECK(validate(options));
  apply_locked(options);
  floor_until_ = start;
  slot_end_.store((start + slot_).time_since_epoch().count(), std::memory_order_relaxed);
}

void RetryBudget::apply_locked(const Options& options) noexcept {
  per_request_.store(static_cast<std::int64_t>(std::lround(options.ratio * kUnit)),
                     std::memory_order_relaxed);
  floor_per_ns_ = options.min_per_second * kUnit / 1e9;
  slot_ = options.ttl / static_cast<Duration::rep>(kSlots);
}

void RetryBudget::request(TimePoint now) noexcept {
  if (now.time_since_epoch().count() >= slot_end_.load(std::memory_order_relaxed)) {
    std::lock_guard lock(mutex_);
    roll_locked(now);
  }
  // Relaxed: the balance guards no other data.
  balance_.fetch_add(per_request_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

bool RetryBudget::try_spend(TimePoint now) noexcept {
  std::lock_guard lock(mutex_);
  roll_locked(now);
  // Only spenders lower the balance, and they hold the mutex: it can but grow between the look and the
  // subtraction.
  if (balance_.load(std::memory_order_relaxed) < kCall) return false;
  balance_.fetch_sub(kCall, std::memory_order_relaxed);
  spent_in_slot_ += kCall;
  return true;
}

std::uint64_t RetryBudget::available(TimePoint now) noexcept {
  std::lock_guard lock(mutex_);
  roll_locked(now);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, balance_.load(std::memory_order_relaxed)) /
                                    kCall);
}

void RetryBudget::update(const Options& options, TimePoint now) noexcept {
  WEIR_CHECK(validate(options));
  std::lock_guard lock(mutex_);
  roll_locked(now);
  apply_locked(options);
}

void RetryBudget::earn_floor_locked(TimePoint until) noexcept {
  if (until <= floor_until_) return;
  floor_rest_ += static_cast<double>((until - floor_until_).count()) * floor_per_ns_;
  floor_until_ = until;
  const double whole = std::floor(floor_rest_);
  floor_rest_ -= whole;
  balance_.fetch_add(static_cast<std::int64_t>(whole), std::memory_order_relaxed);
}

void RetryBudget::close_slot_locked() noexcept {
  const std::int64_t balance = balance_.load(std::memory_order_relaxed);
  earned_[next_slot_] = balance - balance_before_ + spent_in_slot_;
  next_slot_ = (next_slot_ + 1) % kSlots;
  spent_in_slot_ = 0;
  // What the last ten slots earned is the most that can still be fresh.
  std::int64_t fresh = 0;
  for (const std::int64_t earned : earned_) fresh += earned;
  const std::int64_t stale = std::max<std::int64_t>(0, balance - fresh);
  balance_.fetch_sub(stale, std::memory_order_relaxed);
  balance_before_ = balance - stale;
}

void RetryBudget::roll_locked(TimePoint now) noexcept {
  TimePoint end{Duration{slot_end_.load(std::memory_order_relaxed)}};
  if (now >= end && now - end > slot_ * static_cast<Duration::rep>(kSlots)) {
    // A pause longer than ttl: nothing earned before it is fresh. Eleven short steps instead of a long walk;
    // the floor of the time jumped over would expire as well.
    const TimePoint skip_to = now - slot_ * static_cast<Duration::rep>(kSlots);
    floor_until_ = std::max(floor_until_, skip_to - slot_);
    end = skip_to;
  }
  while (now >= end) {
    earn_floor_locked(end);
    close_slot_locked();
    end += slot_;
  }
  slot_end_.store(end.time_since_epoch().count(), std::memory_order_relaxed);
  earn_floor_locked(now);
}

}  // namespace weir::resilience
