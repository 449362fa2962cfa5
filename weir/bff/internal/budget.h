// The times that every page keeps for itself.
#ifndef WEIR_BFF_INTERNAL_BUDGET_H_
#define WEIR_BFF_INTERNAL_BUDGET_H_

#include "weir/base/clock.h"

namespace weir::bff::internal {

// Calls end so long before the page's deadline: time to notice their end (timers of a loop fire up to a millisecond late),
// to join them and to write the page; 8 MiB take about a millisecond.
inline constexpr Duration kReserve = std::chrono::milliseconds{3};
// And so long before it the page goes out even if a fetcher does not keep to its deadline. Later than the calls' own end,
// so that a call that is too slow is its upstream's failure, not an abandoned one.
inline constexpr Duration kCutOff = std::chrono::milliseconds{1};
// A call with less time than that is not started: it would load a service for an answer that cannot come.
inline constexpr Duration kLeastCall = std::chrono::milliseconds{5};

}  // namespace weir::bff::internal

#endif  // WEIR_BFF_INTERNAL_BUDGET_H_
