// Waiting for what other processes and threads do, without guessing how long it takes.
//
// A test never sleeps for a while and hopes. It waits for an event (poll on a socket, a pipe, an eventfd) or
// for a condition, always up to kPatience: a bound so generous that only a real fault reaches it, even under
// a sanitizer on a machine that does ten other things. No test passes or fails by being quick.
#ifndef WEIR_TESTS_SUPPORT_WAIT_H_
#define WEIR_TESTS_SUPPORT_WAIT_H_

#include <poll.h>

#include <chrono>

namespace weir::testing {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kPatience{30};

// Milliseconds until `until`, as poll() wants them; 0 when it has passed.
inline int poll_timeout(SteadyTime until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  return left.count() < 0 ? 0 : static_cast<int>(left.count());
}

// True as soon as `condition()` holds; false when it still does not after `bound`. For conditions that raise
// no event, such as a number in /metrics. Asks about every millisecond.
template <class Condition>
bool eventually(Condition&& condition, std::chrono::milliseconds bound = kPatience) {
  const SteadyTime until = std::chrono::steady_clock::now() + bound;
  for (;;) {
    if (condition()) return true;
    if (std::chrono::steady_clock::now() >= until) return condition();
    ::poll(nullptr, 0, 1);
  }
}

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_WAIT_H_
