// Outcome: how a call to an upstream ended, as far as a circuit breaker cares.
//
// classify.h says which status and which error becomes which; circuit_breaker.h says what each one does.
#ifndef WEIR_RESILIENCE_OUTCOME_H_
#define WEIR_RESILIENCE_OUTCOME_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::resilience {

enum class Outcome : std::uint8_t {
  success,    // the upstream did its work, whatever the answer said to the client
  failure,    // the upstream is to blame
  throttled,  // it asked for less (429, RESOURCE_EXHAUSTED): no failure in a row, but one in the ratio and
              // for a probe
  cancelled,  // the caller left before the answer: nothing, or a slow call if it had already waited that long
  neutral,    // says nothing about the upstream (the client's own fault, a local refusal)
};
inline constexpr std::size_t kOutcomes = 5;

// "success" and so on: stable, usable as a metric label.
constexpr std::string_view to_string(Outcome outcome) noexcept {
  constexpr std::string_view names[kOutcomes] = {"success", "failure", "throttled", "cancelled", "neutral"};
  return names[static_cast<std::size_t>(outcome)];
}

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_OUTCOME_H_
