#include "weir/ratelimit/policy.h"

#include <algorithm>
#include <array>
#include <limits>

#include "weir/ratelimit/decision.h"

namespace weir::ratelimit {
namespace {

constexpr std::array<std::string_view, 7> kAlgorithms = {
    "automatic", "exact_window", "segmented_window", "gcra", "token_bucket", "fixed_window", "concurrency"};

Error wrong(std::string_view what) {
  return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
}

bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

std::string_view to_string(Algorithm algorithm) noexcept {
  return kAlgorithms[static_cast<std::size_t>(algorithm)];
}

Algorithm algorithm_from(std::string_view name) noexcept {
  const auto* found = std::find(kAlgorithms.begin(), kAlgorithms.end(), name);
  return found == kAlgorithms.end() ? Algorithm::automatic
                                    : static_cast<Algorithm>(found - kAlgorithms.begin());
}

std::string_view to_string(Reason reason) noexcept {
  switch (reason) {
    case Reason::ok:
      return "ok";
    case Reason::over_limit:
      return "over_limit";
    case Reason::cost_exceeds_limit:
      return "cost_exceeds_limit";
    case Reason::table_full:
      return "table_full";
    case Reason::shadow:
      return "shadow";
  }
  return "unknown";
}

Algorithm effective_algorithm(const Policy& policy) noexcept {
  if (policy.algorithm != Algorithm::automatic) return policy.algorithm;
  return policy.limit <= kExactLimitAuto ? Algorithm::exact_window : Algorithm::segmented_window;
}

Result<void> validate(const Policy& policy) {
  const Algorithm algorithm = effective_algorithm(policy);
  const bool bucket = algorithm == Algorithm::gcra || algorithm == Algorithm::token_bucket;
  if (!good_name(policy.name)) return wrong("name: 1 to 64 visible ASCII characters");
  if (algorithm == Algorithm::concurrency) {
    if (policy.window != Duration::zero()) return wrong("window: concurrency has none");
  } else if (policy.window < kWindowMin || policy.window > kWindowMax) {
    return wrong("window: from 1ms to 366d");
  }
  if (algorithm == Algorithm::exact_window && policy.limit > kExactLimitMax)
    return wrong("limit: at most 65535 for exact_window; segmented_window takes more");
  if (policy.burst != 0 && !bucket) return wrong("burst: only for gcra and token_bucket");
  if (algorithm == Algorithm::segmented_window &&
      (policy.segments < 1 || policy.segments > kSegmentsMax || policy.segments > policy.window.count()))
    return wrong("segments: from 1 to 1000");
  if (policy.count_rejected && (bucket || algorithm == Algorithm::concurrency))
    return wrong("count_rejected: only for windows");
  if (algorithm == Algorithm::gcra && policy.limit != 0) {
    // A full bucket must be a time that fits 61 bits (73 years), so that sums never overflow.
    const std::int64_t spacing = (policy.window.count() + policy.limit - 1) / policy.limit;
    const std::int64_t burst = policy.burst == 0 ? policy.limit : policy.burst;
    if (burst > (std::int64_t{1} << 61) / spacing) return wrong("burst: would take over 73 years to refill");
  }
  return {};
}

}  // namespace weir::ratelimit
