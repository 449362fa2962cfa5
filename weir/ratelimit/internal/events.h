// What a cell holds, in a form that every algorithm reads and writes: how many units were booked when. Used
// where a policy changes and where state is saved.
#ifndef WEIR_RATELIMIT_INTERNAL_EVENTS_H_
#define WEIR_RATELIMIT_INTERNAL_EVENTS_H_

#include <cstdint>
#include <vector>

namespace weir::ratelimit::internal {

struct Event {
  std::int64_t at_ns = 0;   // never earlier than the truth
  std::uint32_t units = 0;  // 0: nothing was booked, only the cell's clock stands there
};

using Events = std::vector<Event>;  // oldest first

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_EVENTS_H_
