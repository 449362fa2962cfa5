#include "weir/ratelimit/internal/params.h"

#include <algorithm>

#include "weir/base/check.h"

namespace weir::ratelimit::internal {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

void set_ticks(Params& p) {
  while (divide_up(p.window_ns, std::int64_t{1} << p.shift) > kWindowTicksMax) ++p.shift;
  p.window_ticks = static_cast<std::uint32_t>(divide_up(p.window_ns, std::int64_t{1} << p.shift));
}

}  // namespace

Params make_params(const Policy& policy) {
  WEIR_CHECK(validate(policy));
  Params p;
  p.algorithm = effective_algorithm(policy);
  p.count_rejected = policy.count_rejected;
  p.shadow = policy.shadow;
  p.deny_when_full = policy.on_full == OnFull::deny;
  p.limit = policy.limit;
  p.shown_limit = policy.limit;
  p.window_ns = policy.window.count();
  if (p.algorithm != Algorithm::concurrency) set_ticks(p);
  switch (p.algorithm) {
    case Algorithm::exact_window:
      p.block_words = p.limit > kInlineTicks ? p.limit - kInlineTicks : 0;
      break;
    case Algorithm::segmented_window:
      p.segments = policy.segments;
      p.segment_ns = divide_up(p.window_ns, policy.segments);
      p.block_words = policy.segments + 1;
      break;
    case Algorithm::gcra:
    case Algorithm::token_bucket:
      p.shown_limit = policy.limit == 0 ? 0 : policy.burst != 0 ? policy.burst : policy.limit;
      p.spacing_ns = policy.limit == 0 ? 0 : divide_up(p.window_ns, policy.limit);
      p.tolerance_ns = p.spacing_ns * p.shown_limit;
      p.bucket_units = std::uint64_t{p.shown_limit} * p.window_ticks;
      break;
    case Algorithm::automatic:
    case Algorithm::fixed_window:
    case Algorithm::concurrency:
      break;
  }
  p.max_cost = policy.max_cost == 0 ? p.shown_limit : std::min(policy.max_cost, p.shown_limit);
  return p;
}

bool same_shape(const Params& a, const Params& b) noexcept {
  return a.algorithm == b.algorithm && a.limit == b.limit && a.window_ns == b.window_ns &&
         a.shown_limit == b.shown_limit && a.segments == b.segments;
}

void FastParams::store(const Params& p) noexcept {
  const bool never = p.count_rejected || p.shadow || p.limit == 0 || p.algorithm == Algorithm::token_bucket;
  head.store(std::uint64_t{static_cast<std::uint8_t>(p.algorithm)} | std::uint64_t{p.shift} << 8 |
             std::uint64_t{never} << 16 | std::uint64_t{p.limit} << 32);
  window.store(std::uint64_t{p.window_ticks} | std::uint64_t{p.shown_limit} << 32);
  const bool segmented = p.algorithm == Algorithm::segmented_window;
  a.store(segmented ? p.segment_ns : p.algorithm == Algorithm::gcra ? p.spacing_ns : p.window_ns);
  b.store(segmented ? std::int64_t{p.segments} : p.tolerance_ns);
}

}  // namespace weir::ratelimit::internal
