// Params: a policy worked out into the numbers that the algorithms use.
//
// Ticks. A window is counted in ticks of 2^shift ns, the smallest for which it has at most kWindowTicksMax. A
// booking is rounded up to a tick, the present is rounded down, so ticks apart never say more than
// nanoseconds apart:
//     floor(t) - ceil(s) >= window_ticks  implies  t - s >= window.
// 32-bit ticks compare modulo 2^32. That is sound while no tick in use is 2^32 or more behind: every booking
// leaves nothing older than 2 windows behind (exact_window.h (4)), and a key whose newest booking has left is
// empty, so the oldest tick that is ever compared is less than 3 windows and 2 ticks old.
#ifndef WEIR_RATELIMIT_INTERNAL_PARAMS_H_
#define WEIR_RATELIMIT_INTERNAL_PARAMS_H_

#include <cstdint>

#include "weir/ratelimit/internal/words.h"
#include "weir/ratelimit/policy.h"

namespace weir::ratelimit::internal {

inline constexpr std::uint32_t kWindowTicksMax = 0xffffffffU / 3 - 2;
inline constexpr std::uint32_t kInlineTicks = 8;  // kept in the cell: the oldest, and seven in its ring

struct Params {
  Algorithm algorithm = Algorithm::exact_window;
  std::uint8_t shift = 0;  // tick = 2^shift ns
  bool count_rejected = false;
  bool shadow = false;
  bool deny_when_full = false;
  std::uint32_t limit = 0;
  std::uint32_t shown_limit = 0;   // what answers call the limit: the burst of a bucket, else the limit
  std::uint32_t max_cost = 0;      // a call of more is never admitted
  std::uint32_t window_ticks = 0;  // rounded up
  std::uint32_t block_words = 0;   // size of a key's block; 0 = needs none
  std::uint32_t segments = 0;
  std::int64_t window_ns = 0;
  std::int64_t segment_ns = 0;     // rounded up: K segments cover the window
  std::int64_t spacing_ns = 0;     // gcra: rounded up, so the rate is never higher than asked
  std::int64_t tolerance_ns = 0;   // gcra: burst * spacing
  std::uint64_t bucket_units = 0;  // token_bucket: burst * window_ticks; one token = window_ticks units
};

Params make_params(const Policy& policy);
// Do cells mean the same under both?
bool same_shape(const Params& a, const Params& b) noexcept;

// A moment in ticks, both ways.
struct Instant {
  std::int64_t floor;
  std::int64_t ceil;
};

inline Instant instant(std::int64_t ns, unsigned shift) noexcept {
  const std::int64_t down = ns >> shift;  // C++20: arithmetic, rounds towards minus infinity
  return {down, down + (down << shift != ns ? 1 : 0)};
}

inline std::int64_t divide_down(std::int64_t a, std::int64_t b) noexcept {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

// A calendar window counts on when the wall clock steps back, so that nothing is given twice. A clock that is
// set back by more than this and a window was wrong: what was counted then is void, or it would hold the key
// until that time comes.
inline constexpr std::int64_t kWallStepMax = 60'000'000'000;

inline bool wall_was_wrong(std::int64_t newest_window, std::int64_t now, std::int64_t window_ns) noexcept {
  return newest_window * window_ns - now > window_ns + kWallStepMax;
}

// The part of Params that a refusal needs, readable without the lock (under its sequence).
struct FastParams {
  Shared<std::uint64_t> head;    // algorithm:8 shift:8 never:8 (no short way) | limit:32
  Shared<std::uint64_t> window;  // window_ticks:32 | shown_limit:32
  Shared<std::int64_t> a;        // gcra: spacing; segmented: segment; fixed: window
  Shared<std::int64_t> b;        // gcra: tolerance; segmented: segments

  void store(const Params& p) noexcept;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_PARAMS_H_
