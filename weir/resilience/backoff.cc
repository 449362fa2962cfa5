#include "weir/resilience/backoff.h"

#include <algorithm>
#include <cmath>

#include "weir/base/check.h"

namespace weir::resilience {

Result<void> Backoff::validate(const Options& options) {
  const auto bad = [](std::string_view what) {
    return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
  };
  if (options.base <= Duration::zero()) return bad("backoff base must be above zero");
  if (options.max < options.base) return bad("backoff max must be at least base");
  if (!(options.factor >= 1 && options.factor <= 100))
    return bad("backoff factor must lie between 1 and 100");
  return {};
}

Backoff::Backoff(const Options& options) noexcept : options_(options) { WEIR_CHECK(validate(options)); }

Duration Backoff::ceiling(std::uint32_t retry) const noexcept {
  // In floating point, where growth beyond 2^63 is large and not negative.
  const double grown = static_cast<double>(options_.base.count()) * std::pow(options_.factor, retry);
  if (!(grown < static_cast<double>(options_.max.count()))) return options_.max;
  return Duration{static_cast<Duration::rep>(grown)};
}

Duration Backoff::wait(std::uint32_t retry, base::Random& random) const noexcept {
  // 1..ceiling: a wait of zero would make the first retry a busy loop.
  return Duration{
      static_cast<Duration::rep>(random.below(static_cast<std::uint64_t>(ceiling(retry).count())) + 1)};
}

Duration Backoff::wait(std::uint32_t retry, Duration retry_after, base::Random& random) const noexcept {
  // Added rather than replaced: clients told the same Retry-After must not return in one instant.
  return std::max(retry_after, Duration::zero()) + wait(retry, random);
}

}  // namespace weir::resilience
