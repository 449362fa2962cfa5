// How many cores this process may really use: the machine's, its affinity, and what the cgroup's quota gives.
#ifndef WEIR_SERVER_CGROUP_H_
#define WEIR_SERVER_CGROUP_H_

#include <cstdint>

namespace weir::server {

// At least 1. A quota of 2.5 cores counts as 3: a worker that is throttled now and then beats a core left idle.
std::uint32_t usable_cores();

}  // namespace weir::server

#endif  // WEIR_SERVER_CGROUP_H_
