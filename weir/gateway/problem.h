// The answers that weir gives by itself: one table from problem to status, title and Proxy-Status token.
//
// Every refusal is application/problem+json (RFC 9457) with a Proxy-Status field (RFC 9209). The type is
// "urn:weir:problem:" plus the name here, which is also the `reason` of logs and metrics.
#ifndef WEIR_GATEWAY_PROBLEM_H_
#define WEIR_GATEWAY_PROBLEM_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/upstream/call.h"

namespace weir::gateway {

enum class Problem : std::uint8_t {
  none,
  bad_request,
  no_route,
  method_not_allowed,
  forbidden,
  rate_limited,
  load_shed,
  circuit_open,
  no_endpoint,
  upstream_unreachable,
  upstream_malformed,
  upstream_timeout,
  deadline_exceeded,
  overloaded,
  internal,
  unauthenticated,
  section_required,
  token_invalid,
  insufficient_scope,
  keys_unavailable,
  too_many_failures,
  idempotency_key_missing,
  idempotency_key_invalid,
  idempotency_in_flight,
  idempotency_outcome_unknown,
  idempotency_mismatch,
  idempotency_store_unavailable,
  not_cached,
  fault_injected,
};
inline constexpr std::size_t kProblems = 29;

struct ProblemInfo {
  std::string_view name;   // "rate-limited"; "-" for none
  std::string_view title;  // a short sentence for people
  int status;              // the usual one; bad_request comes with others too
  std::string_view error;  // RFC 9209 2.3 proxy error type
};

const ProblemInfo& describe(Problem problem) noexcept;

// What a failed call looks like to the client.
Problem problem_of(upstream::CallFailure failure) noexcept;

// The JSON body: {"type","title","status","detail","request_id"}.
void append_problem_json(std::string& out, Problem problem, int status, std::string_view detail,
                         std::string_view request_id);
// "weir; error=connection_timeout; details=\"...\"": details only when given, as an sf-string.
void append_proxy_status(std::string& out, Problem problem, std::string_view detail);

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_PROBLEM_H_
