// What the tests of the breaker share: one with its time and its reports, and ordinary options.
#ifndef WEIR_RESILIENCE_CIRCUIT_BREAKER_FIXTURE_H_
#define WEIR_RESILIENCE_CIRCUIT_BREAKER_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "weir/resilience/circuit_breaker.h"

namespace weir::resilience {

// A breaker with its time and the list of its reports.
struct BreakerBench {
  explicit BreakerBench(const CircuitBreaker::Options& options, std::uint64_t seed = 1)
      : breaker(options, [this](const CircuitBreaker::Transition& t) { reports.push_back(t); }, seed) {}

  std::optional<CircuitBreaker::Ticket> enter() { return breaker.try_enter(now); }
  void call(Outcome outcome, std::uint64_t tag = 0) {
    auto ticket = enter();
    ASSERT_TRUE(ticket);
    ticket->settle(outcome, now, {.tag = tag, .latency = {}, .retry_after = {}});
  }
  void fail(int times) {
    for (int i = 0; i < times; ++i) call(Outcome::failure);
  }
  std::vector<std::uint64_t> last_tags() const {
    const auto tags = reports.back().failed_tags();
    return {tags.begin(), tags.end()};
  }

  TimePoint now{std::chrono::hours{1}};
  std::vector<CircuitBreaker::Transition> reports;
  CircuitBreaker breaker;
};

inline CircuitBreaker::Options basic() {
  CircuitBreaker::Options options;
  options.failures_to_open = 5;
  options.open_for = std::chrono::seconds{30};
  options.probe_timeout = std::chrono::seconds{10};
  return options;
}

// Opens by the share of failures alone: half of at least ten calls in ten seconds.
inline CircuitBreaker::Options ratio_only() {
  CircuitBreaker::Options options;
  options.failures_to_open = 0;
  options.failure_ratio = 0.5;
  options.min_calls = 10;
  options.window = std::chrono::seconds{10};
  return options;
}

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_CIRCUIT_BREAKER_FIXTURE_H_
