// Decision: the answer of a limiter. A refusal is an ordinary answer, not an error.
//
//   Decision d = limiter.allow_at(now, key);
//   if (!d) return too_many_requests(d.retry_after);
//
// allow_at() decides; what only headers need (remaining, next_after, reset_after) takes a search and is
// filled in only with Want::headers, in the same critical section, so that it belongs to this very decision.
#ifndef WEIR_RATELIMIT_DECISION_H_
#define WEIR_RATELIMIT_DECISION_H_

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "weir/base/clock.h"

namespace weir::ratelimit {

enum class Reason : std::uint8_t {
  ok,
  over_limit,
  cost_exceeds_limit,  // more than the limit (or max_cost) at once, or limit 0: waiting never helps
  table_full,          // no room for a new key, and the shared sketch has no room for it either
  shadow,              // would have been refused; the policy only watches
};

// "ok", "over_limit" and so on: stable, usable as a metric label.
std::string_view to_string(Reason reason) noexcept;

enum class Want : std::uint8_t {
  verdict,  // allowed, reason, limit, retry_after, charged_at
  headers,  // also remaining, next_after, reset_after: O(log limit) more
};

struct Decision {
  bool allowed = false;
  Reason reason = Reason::ok;
  std::uint32_t limit = 0;      // in force at this moment (gcra, token_bucket: the burst)
  std::uint32_t remaining = 0;  // units still free after this decision. Want::headers
  // Refused: whoever waits exactly this long, and no other call of the key comes between, is admitted. Zero
  // when allowed and where waiting cannot help (see waiting_helps()).
  Duration retry_after{0};
  Duration next_after{0};   // until more becomes free by itself; zero when nothing is taken. Want::headers
  Duration reset_after{0};  // until all is free again. Want::headers
  TimePoint charged_at{};   // the moment the cost was booked on; refund_at() wants it back

  explicit operator bool() const noexcept { return allowed; }
  bool waiting_helps() const noexcept { return retry_after > Duration::zero(); }
};

static_assert(std::is_trivially_copyable_v<Decision> && sizeof(Decision) <= 48);

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_DECISION_H_
