// The answers that weir gives by itself, held to the contract's table.
#include "weir/gateway/problem.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace weir::gateway {
namespace {

struct Row {
  Problem problem;
  std::string_view name;
  int status;
};

// docs: "Errors are application/problem+json", the rows that exist so far.
constexpr Row kContract[] = {
    {Problem::bad_request, "bad-request", 400},
    {Problem::no_route, "no-route", 404},
    {Problem::method_not_allowed, "method-not-allowed", 405},
    {Problem::forbidden, "forbidden", 403},
    {Problem::unauthenticated, "unauthenticated", 401},
    {Problem::section_required, "section-required", 502},
    {Problem::rate_limited, "rate-limited", 429},
    {Problem::load_shed, "load-shed", 503},
    {Problem::circuit_open, "circuit-open", 503},
    {Problem::no_endpoint, "no-endpoint", 503},
    {Problem::upstream_unreachable, "upstream-unreachable", 502},
    {Problem::upstream_malformed, "upstream-malformed", 502},
    {Problem::upstream_timeout, "upstream-timeout", 504},
    {Problem::deadline_exceeded, "deadline-exceeded", 504},
    {Problem::overloaded, "overloaded", 503},
    {Problem::internal, "internal", 500},
    {Problem::token_invalid, "token-invalid", 401},
    {Problem::insufficient_scope, "insufficient-scope", 403},
    {Problem::keys_unavailable, "keys-unavailable", 503},
    {Problem::too_many_failures, "too-many-failures", 429},
    {Problem::idempotency_key_missing, "idempotency-key-missing", 400},
    {Problem::idempotency_key_invalid, "idempotency-key-invalid", 400},
    {Problem::idempotency_in_flight, "idempotency-in-flight", 409},
    {Problem::idempotency_outcome_unknown, "idempotency-outcome-unknown", 409},
    {Problem::idempotency_mismatch, "idempotency-mismatch", 422},
    {Problem::idempotency_store_unavailable, "idempotency-store-unavailable", 503},
    {Problem::not_cached, "not-cached", 504},
    {Problem::fault_injected, "fault-injected", 503},
};

// Every problem has the contract's name and status, and no two share a name.
TEST(Problem, IsTheContractsTable) {
  EXPECT_EQ(std::size(kContract) + 1, kProblems) << "a problem without its row";
  std::set<std::string_view> names;
  for (const Row& row : kContract) {
    const ProblemInfo& info = describe(row.problem);
    EXPECT_EQ(info.name, row.name);
    EXPECT_EQ(info.status, row.status) << row.name;
    EXPECT_FALSE(info.title.empty()) << row.name;
    EXPECT_TRUE(names.insert(info.name).second) << row.name;
  }
  EXPECT_EQ(describe(Problem::none).name, "-");
}

// RFC 9209 2.3: the proxy error types that exist.
TEST(Problem, ProxyErrorsAreRegistered) {
  const std::set<std::string_view> registered{"dns_timeout",
                                              "dns_error",
                                              "destination_not_found",
                                              "destination_unavailable",
                                              "destination_ip_prohibited",
                                              "destination_ip_unroutable",
                                              "connection_refused",
                                              "connection_terminated",
                                              "connection_timeout",
                                              "connection_read_timeout",
                                              "connection_write_timeout",
                                              "connection_limit_reached",
                                              "tls_protocol_error",
                                              "tls_certificate_error",
                                              "tls_alert_received",
                                              "http_request_error",
                                              "http_request_denied",
                                              "http_response_incomplete",
                                              "http_response_header_section_size",
                                              "http_response_header_size",
                                              "http_response_body_size",
                                              "http_response_trailer_section_size",
                                              "http_response_trailer_size",
                                              "http_response_transfer_coding",
                                              "http_response_content_coding",
                                              "http_response_timeout",
                                              "http_upgrade_failed",
                                              "http_protocol_error",
                                              "proxy_internal_response",
                                              "proxy_internal_error",
                                              "proxy_configuration_error",
                                              "proxy_loop_detected"};
  for (const Row& row : kContract) EXPECT_TRUE(registered.contains(describe(row.problem).error)) << row.name;
}

// Each way in which a call fails is some problem.
TEST(Problem, OfCalls) {
  using upstream::CallFailure;
  EXPECT_EQ(problem_of(CallFailure::connect_failed), Problem::upstream_unreachable);
  EXPECT_EQ(problem_of(CallFailure::broken), Problem::upstream_unreachable);
  EXPECT_EQ(problem_of(CallFailure::connect_timed_out), Problem::upstream_timeout);
  EXPECT_EQ(problem_of(CallFailure::first_byte_timed_out), Problem::upstream_timeout);
  EXPECT_EQ(problem_of(CallFailure::idle_timed_out), Problem::upstream_timeout);
  EXPECT_EQ(problem_of(CallFailure::malformed), Problem::upstream_malformed);
}

// The body's members in their order; whatever a detail holds, it is one valid JSON text.
TEST(Problem, Json) {
  std::string text;
  append_problem_json(text, Problem::rate_limited, 429, "", "id-1");
  EXPECT_EQ(text, R"({"type":"urn:weir:problem:rate-limited","title":"Too many requests","status":429,)"
                  R"("detail":"Too many requests","request_id":"id-1"})"
                  "\n");
  text.clear();
  append_problem_json(text, Problem::bad_request, 413, "a \"quote\"\n\\ and \x01", "x\"y");
  EXPECT_NE(text.find(R"("status":413,"detail":"a \"quote\"\u000a\\ and \u0001","request_id":"x\"y"})"),
            std::string::npos)
      << text;
}

// Proxy-Status: an sf-token, an sf-token parameter, an sf-string.
TEST(Problem, ProxyStatus) {
  std::string text;
  append_proxy_status(text, Problem::upstream_timeout, "");
  EXPECT_EQ(text, "weir; error=http_response_timeout");
  text.clear();
  append_proxy_status(text, Problem::upstream_malformed, "say \"x\\y\"\r\n\xff");
  EXPECT_EQ(text, R"(weir; error=http_protocol_error; details="say \"x\\y\"")");
}

// The table of refusals in docs/reference.md is this one.
TEST(Problem, ReferenceShowsTheTable) {
  std::string table = "| type | status | title | error in Proxy-Status |\n|---|---|---|---|\n";
  for (std::size_t i = 1; i < kProblems; ++i) {
    const ProblemInfo& info = describe(static_cast<Problem>(i));
    table += "| `" + std::string(info.name) + "` | " + std::to_string(info.status) + " | " +
             std::string(info.title) + " | `" + std::string(info.error) + "` |\n";
  }
  std::ifstream file(WEIR_SOURCE_DIR "/docs/reference.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find("<!-- problems -->\n" + table + "<!-- /problems -->"), std::string::npos) << table;
}

}  // namespace
}  // namespace weir::gateway
