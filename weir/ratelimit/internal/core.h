// What a limiter does with one cell under its lock, and what it may decide without it. The algorithm is
// chosen here, by a switch; the rules that all of them share (cost 0, cost above the limit, shadow,
// count_rejected) stand here.
#ifndef WEIR_RATELIMIT_INTERNAL_CORE_H_
#define WEIR_RATELIMIT_INTERNAL_CORE_H_

#include <cstdint>

#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/internal/cell.h"
#include "weir/ratelimit/internal/events.h"
#include "weir/ratelimit/internal/exact_window.h"
#include "weir/ratelimit/internal/params.h"
#include "weir/ratelimit/internal/simple.h"

namespace weir::ratelimit::internal {

enum class Book : std::uint8_t { yes, no };  // no: only say what would be

// Under the lock. One call, from question to booking. `d` comes fresh.
void decide(const Params& p, Cell& cell, Slab& slab, std::int64_t now, std::uint32_t cost, Want want,
            Book book, Decision& d) noexcept;

// Books without asking; cost above the limit counts as the limit.
void charge(const Params& p, Cell& cell, Slab& slab, std::int64_t now, std::uint32_t cost) noexcept;
void refund(const Params& p, Cell& cell, Slab& slab, std::int64_t now, std::uint32_t cost,
            std::int64_t when) noexcept;
// Fills remaining, next_after, reset_after.
void describe(const Params& p, Cell& cell, Slab& slab, std::int64_t now, Decision& d) noexcept;

// Equal to a key never seen?
bool fresh(const Params& p, const Cell& cell, std::int64_t now) noexcept;

void export_events(const Params& p, Cell& cell, Slab& slab, std::int64_t now, Events& out);
// Does a booking of that age still matter?
bool counts(const Params& p, std::int64_t age_ns) noexcept;
// Books what is still in the window at `now` into an empty cell.
void import_events(const Params& p, Cell& cell, Slab& slab, std::int64_t now, const Events& events) noexcept;

// The answer where waiting never helps.
void impossible(const Params& p, Decision& d) noexcept;

inline Algorithm algorithm_of(std::uint64_t head) noexcept { return static_cast<Algorithm>(head & 0xff); }

// Does takes_one() know the policy? Always so with the monotonic line of time.
inline bool has_short_way(std::uint64_t head) noexcept {
  const Algorithm algorithm = algorithm_of(head);
  return (head >> 16 & 0xff) == 0 && (algorithm == Algorithm::exact_window || algorithm == Algorithm::gcra);
}

// Under the lock: books a call of cost 1 in the cases that are usual. False = any other, nothing written.
inline bool takes_one(const FastParams& fast, Cell& cell, Slab& slab, std::int64_t now,
                      Decision& d) noexcept {
  const std::uint64_t head = fast.head.mine();
  if (!has_short_way(head)) return false;
  return algorithm_of(head) == Algorithm::exact_window ? exact_takes_one(fast, cell, slab, now, d)
                                                       : gcra_takes_one(fast, cell, now, d);
}

bool refuses_otherwise(const FastParams& fast, std::uint64_t head, const Cell& cell, std::int64_t now,
                       Decision& d) noexcept;

// Without the lock, from shared words only; `head` is fast.head. True = refused, for sure if nobody wrote
// meanwhile; false = ask again under the lock, `d` is as it was. Knows cost 1 only.
inline bool refuses(const FastParams& fast, std::uint64_t head, const Cell& cell, std::int64_t now,
                    std::uint32_t cost, Decision& d) noexcept {
  if ((head >> 16 & 0xff) != 0 || cost != 1) return false;
  const bool refused = algorithm_of(head) == Algorithm::exact_window
                           ? exact_refuses(fast, head, cell, now, d)
                           : refuses_otherwise(fast, head, cell, now, d);
  if (!refused) return false;
  d.limit = static_cast<std::uint32_t>(fast.window.load() >> 32);
  d.reason = Reason::over_limit;
  return true;
}

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_CORE_H_
