// The example of README.md, compiled and run by the tests.
#include <cstdio>

#include "weir/resilience/compose.h"

using namespace weir::resilience;

int main() {
  LoadShedder shedder(50);  // at most 50 calls in flight
  CircuitBreaker breaker({.failures_to_open = 5, .open_for = std::chrono::seconds{30}});

  for (int i = 1; i <= 6; ++i) {
    auto reply = compose(shedder, breaker)([] { return Outcome::failure; });
    if (!reply) std::printf("call %d: refused by gate %zu\n", i, reply.refusal().gate);
  }
  return breaker.state() == CircuitBreaker::State::open && shedder.in_flight() == 0 ? 0 : 1;
}
