// The program that decides shared limits inside Redis: all limits of a request, all or none, at one moment.
//
//   KEYS   one hash a limit and client; {…} in its name keeps a client's state in one slot
//   ARGV   1 what: "take" or "give"; 2 the node
//          then for each key nine: algorithm, limit, window, cost, burst, shadow, owed, last, used
//   answer one number: all admitted; then for each key five: wait, remaining, next, reset, booked
//
// Times are microseconds of Redis' own clock, whole numbers below 2^53 (exact in Lua). Bookings round up and the
// present rounds down. `owed` units were admitted by the node while it could not ask, and are booked now before
// anything is decided. `last` is the node's newest booking that it knows of: if the hash does not hold it, the server
// has lost its data, and what the node has admitted in the window (`used`) is booked first.
#ifndef WEIR_GATEWAY_INTERNAL_SHARED_LIMIT_SCRIPT_H_
#define WEIR_GATEWAY_INTERNAL_SHARED_LIMIT_SCRIPT_H_

#include <cstddef>

#include "weir/store/redis_reply.h"

namespace weir::gateway::internal {

inline constexpr std::size_t kNumbersPerLimit = 9;
inline constexpr std::size_t kAnswersPerLimit = 5;

const store::RedisScript& shared_limit_script();

}  // namespace weir::gateway::internal

#endif  // WEIR_GATEWAY_INTERNAL_SHARED_LIMIT_SCRIPT_H_
