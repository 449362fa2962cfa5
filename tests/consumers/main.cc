// Somebody's program with a limiter, a shedder and a breaker, and no gateway.
#include <weir/ratelimit/keyed_limiter.h>
#include <weir/ratelimit/limiter.h>
#include <weir/resilience/circuit_breaker.h>
#include <weir/resilience/load_shedder.h>

#include <chrono>
#include <cstdio>

int main() {
  using namespace std::chrono_literals;
  weir::ManualClock clock;

  weir::ratelimit::Policy policy;
  policy.limit = 3;
  policy.window = 1min;
  weir::ratelimit::RateLimiter limiter(policy);
  int admitted = 0;
  for (int i = 0; i < 5; ++i) admitted += limiter.allow_at(clock.now()) ? 1 : 0;

  weir::resilience::LoadShedder shedder(1);
  const auto first = shedder.try_acquire();
  const auto second = shedder.try_acquire();

  weir::resilience::CircuitBreaker::Options options;
  options.failures_to_open = 1;
  weir::resilience::CircuitBreaker breaker(options);
  if (auto ticket = breaker.try_enter(clock.now())) {
    ticket->settle(weir::resilience::Outcome::failure, clock.now());
  }
  const bool open = !breaker.try_enter(clock.now());

  std::printf("admitted %d, first %d, second %d, open %d\n", admitted, first.has_value(), second.has_value(),
              open);
  return admitted == 3 && first && !second && open ? 0 : 1;
}
