#include "weir/gateway/problem.h"

#include <array>

#include "weir/base/strings.h"

namespace weir::gateway {
namespace {

// In the order of the enumeration. Proxy error types: RFC 9209 2.3.1 to 2.3.31.
constexpr std::array<ProblemInfo, kProblems> kTable{{
    {"-", "", 200, ""},
    {"bad-request", "The request is malformed", 400, "http_request_error"},
    {"no-route", "No route leads there", 404, "destination_not_found"},
    {"method-not-allowed", "The route does not take this method", 405, "http_request_denied"},
    {"forbidden", "The client may not use this route", 403, "http_request_denied"},
    {"rate-limited", "Too many requests", 429, "http_request_denied"},
    {"load-shed", "Too many requests in flight", 503, "connection_limit_reached"},
    {"circuit-open", "The upstream keeps failing and is given time to recover", 503,
     "destination_unavailable"},
    {"no-endpoint", "The upstream has no usable endpoint", 503, "destination_unavailable"},
    {"upstream-unreachable", "The upstream could not be reached", 502, "connection_refused"},
    {"upstream-malformed", "The upstream's answer is not valid HTTP", 502, "http_protocol_error"},
    {"upstream-timeout", "The upstream did not answer in time", 504, "http_response_timeout"},
    {"deadline-exceeded", "The time for this request is used up", 504, "http_response_timeout"},
    {"overloaded", "The gateway has no resources left for this request", 503, "proxy_internal_error"},
    {"internal", "The gateway failed", 500, "proxy_internal_error"},
    {"unauthenticated", "Credentials are missing or not accepted", 401, "http_request_denied"},
    {"section-required", "A part of the page that cannot be missing was lost", 502,
     "http_response_incomplete"},
    {"token-invalid", "The credential is not accepted", 401, "http_request_denied"},
    {"insufficient-scope", "The credential does not allow this", 403, "http_request_denied"},
    {"keys-unavailable", "The keys to check the credential with are not at hand", 503,
     "proxy_internal_error"},
    {"too-many-failures", "Too many credentials of this address were refused", 429, "http_request_denied"},
    {"idempotency-key-missing", "The request needs an Idempotency-Key", 400, "http_request_denied"},
    {"idempotency-key-invalid", "The Idempotency-Key is malformed", 400, "http_request_denied"},
    {"idempotency-in-flight", "A request with this key is being served", 409, "http_request_denied"},
    {"idempotency-outcome-unknown", "A request with this key may have been carried out", 409,
     "http_request_denied"},
    {"idempotency-mismatch", "The key was used for another request", 422, "http_request_denied"},
    {"idempotency-store-unavailable", "What was done before cannot be looked up", 503,
     "proxy_internal_error"},
    {"not-cached", "The request wants a kept answer, and there is none", 504, "http_request_denied"},
    {"fault-injected", "The route failed on purpose", 503, "http_request_error"},
}};

}  // namespace

const ProblemInfo& describe(Problem problem) noexcept { return kTable[static_cast<std::size_t>(problem)]; }

Problem problem_of(upstream::CallFailure failure) noexcept {
  switch (failure) {
    case upstream::CallFailure::none:
      return Problem::none;
    case upstream::CallFailure::connect_failed:
    case upstream::CallFailure::broken:
      return Problem::upstream_unreachable;
    case upstream::CallFailure::connect_timed_out:
    case upstream::CallFailure::first_byte_timed_out:
    case upstream::CallFailure::idle_timed_out:
      return Problem::upstream_timeout;
    case upstream::CallFailure::malformed:
      return Problem::upstream_malformed;
  }
  return Problem::internal;
}

void append_problem_json(std::string& out, Problem problem, int status, std::string_view detail,
                         std::string_view request_id) {
  const ProblemInfo& info = describe(problem);
  out.append(R"({"type":"urn:weir:problem:)").append(info.name).append(R"(","title":")").append(info.title);
  out.append(R"(","status":)").append(std::to_string(status)).append(R"(,"detail":")");
  base::append_json_escaped(out, detail.empty() ? info.title : detail);
  out.append(R"(","request_id":")");
  base::append_json_escaped(out, request_id);
  out.append("\"}\n");
}

void append_proxy_status(std::string& out, Problem problem, std::string_view detail) {
  out.append("weir; error=").append(describe(problem).error);
  if (detail.empty()) return;
  out.append("; details=\"");
  for (char c : detail) {  // sf-string: visible ASCII and space, with two escapes (RFC 9651 3.3.3)
    if (c < ' ' || c > '~') continue;
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

}  // namespace weir::gateway
