// Policy: what a limit says. "At most `limit` units in any `window`, counted like this."
//
// A policy is a plain value. It is checked once, by validate(), where it is read (a configuration file, an
// admin call); the limiters take only valid ones and stop the program on others, because by then it is our
// own mistake.
//
//   Policy policy{.name = "per_client", .limit = 100, .window = 1min};
//   if (Result<void> ok = validate(policy); !ok) return ok.error();
//
// Which algorithm:
//   exact_window      never more than `limit` in any trailing window, never one less. 4 bytes a unit and key.
//   segmented_window  never more than `limit` in any trailing window; room comes back at most window/segments
//                     late. Memory does not grow with the limit: for limits above 1,024 and large costs.
//   token_bucket      a steady rate with bursts up to `burst`; up to limit + burst in one window. Any rate is
//                     exact: integers only.
//   gcra              the same with a spacing of window/limit, rounded up to a nanosecond.
//   fixed_window      calendar quotas (UTC second, minute, hour, day); up to 2 * limit around a boundary.
//   concurrency       at most `limit` at the same time; what was taken is given back with refund_at().
#ifndef WEIR_RATELIMIT_POLICY_H_
#define WEIR_RATELIMIT_POLICY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/base/clock.h"
#include "weir/base/result.h"

namespace weir::ratelimit {

enum class Algorithm : std::uint8_t {
  automatic,  // exact_window up to kExactLimitAuto, segmented_window above
  exact_window,
  segmented_window,
  gcra,
  token_bucket,
  fixed_window,
  concurrency,
};

// "exact_window" and so on, as a configuration file writes them.
std::string_view to_string(Algorithm algorithm) noexcept;
// Algorithm::automatic for a name that is none.
Algorithm algorithm_from(std::string_view name) noexcept;

// What happens to keys that find no room in a full table (KeyedRateLimiter). Keys already in it never notice.
enum class OnFull : std::uint8_t {
  sketch,  // counted together in a fixed-size sketch: may be refused early, never late
  deny,    // refused with Reason::table_full
};

inline constexpr std::uint32_t kExactLimitAuto =
    1024;  // 4 KiB a key: above it a ring costs more than it is worth
inline constexpr std::uint32_t kExactLimitMax = 65'535;  // ring positions are 16 bits wide
inline constexpr std::uint32_t kSegmentsMax = 1000;
inline constexpr Duration kWindowMin = std::chrono::milliseconds{1};
inline constexpr Duration kWindowMax = std::chrono::hours{24 * 366};

struct Policy {
  std::string name = "default";  // goes into headers and labels: 1 to 64 visible ASCII characters
  std::uint32_t limit = 0;       // units a window; 0 denies everything
  Duration window{0};            // kWindowMin to kWindowMax; ignored by concurrency
  Algorithm algorithm = Algorithm::automatic;
  std::uint32_t burst = 0;      // gcra, token_bucket: size of the bucket; 0 = limit
  std::uint32_t segments = 60;  // segmented_window: 1 to kSegmentsMax
  std::uint32_t max_cost = 0;   // a call of more is never admitted; 0 = the limit itself
  bool count_rejected =
      false;            // windows only: refused calls count too, so that hammering keeps the door shut
  bool shadow = false;  // decides and counts, but lets everything pass (Reason::shadow)
  OnFull on_full = OnFull::sketch;

  friend bool operator==(const Policy&, const Policy&) = default;
};

// Nothing wrong, or one Error (invalid_argument, configuration) that names the member and the range.
Result<void> validate(const Policy& policy);

// `algorithm`, with automatic resolved.
Algorithm effective_algorithm(const Policy& policy) noexcept;

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_POLICY_H_
