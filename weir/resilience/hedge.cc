#include "weir/resilience/hedge.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "weir/base/check.h"

namespace weir::resilience {

Result<void> HedgePolicy::validate(const Options& options) {
  const auto bad = [](std::string_view what) {
    return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
  };
  if (!(options.quantile > 0.5 && options.quantile < 1))
    return bad("hedge quantile must lie between 0.5 and 1");
  if (options.after && *options.after <= Duration::zero()) return bad("hedge delay must be above zero");
  if (options.floor < Duration::zero()) return bad("hedge floor must not be negative");
  if (options.refresh <= Duration::zero()) return bad("hedge refresh must be above zero");
  return {};
}

HedgePolicy::HedgePolicy(const Options& options) noexcept : options_(options), digest_(options.digest) {
  WEIR_CHECK(validate(options));
}

std::optional<Duration> HedgePolicy::delay(TimePoint now) noexcept {
  if (options_.after) return std::max(*options_.after, options_.floor);
  const Duration::rep at = now.time_since_epoch().count();
  Duration::rep stale = stale_at_.load(std::memory_order_relaxed);
  if (at >= stale) {
    // Whoever moves the moment on asks the digest; the others use the old value meanwhile.
    if (stale_at_.compare_exchange_strong(stale, at + options_.refresh.count(), std::memory_order_relaxed)) {
      refresh(now);
    }
  }
  const Duration::rep known = delay_.load(std::memory_order_relaxed);
  if (known < 0) return std::nullopt;
  return std::max(Duration{known}, options_.floor);
}

void HedgePolicy::refresh(TimePoint now) noexcept {
  const auto samples = static_cast<double>(digest_.samples(now));
  const double q = options_.quantile;
  const double margin = samples > 0 ? 2 * std::sqrt(q * (1 - q) / samples) : 0;
  const std::optional<Duration> value = digest_.quantile(std::max(0.5, q - margin), now);
  delay_.store(value ? value->count() : -1, std::memory_order_relaxed);
}

}  // namespace weir::resilience
