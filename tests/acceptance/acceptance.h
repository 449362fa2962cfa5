// What the acceptance tests share: how a refusal must look, and how to reach a moment without sleeping.
#ifndef WEIR_TESTS_ACCEPTANCE_ACCEPTANCE_H_
#define WEIR_TESTS_ACCEPTANCE_ACCEPTANCE_H_

#include <gtest/gtest.h>

#include <charconv>
#include <string>
#include <string_view>

#include "tests/support/gateway.h"
#include "tests/support/origin.h"

namespace weir::testing {

// A refusal by weir: problem+json with its five members, the same id in body and field, and a Proxy-Status
// that names weir. The connection need not close.
inline void expect_problem(const Answer& answer, int status, std::string_view type) {
  ASSERT_EQ(answer.status, status) << answer;
  EXPECT_EQ(answer.field("Content-Type"), "application/problem+json") << answer;
  EXPECT_NE(answer.field("Proxy-Status").find("weir"), std::string::npos) << answer;
  const std::optional<Json> problem = Json::parse(answer.body);
  ASSERT_TRUE(problem) << answer;
  EXPECT_EQ((*problem)["type"].text(), "urn:weir:problem:" + std::string(type)) << answer;
  EXPECT_EQ((*problem)["status"].number(), status) << answer;
  EXPECT_FALSE((*problem)["title"].text().empty()) << answer;
  EXPECT_TRUE(problem->has("detail")) << answer;
  EXPECT_EQ((*problem)["request_id"].text(), answer.field("X-Request-Id")) << answer;
  EXPECT_FALSE(answer.field("X-Request-Id").empty()) << answer;
}

// The type of a problem without its prefix; "" when the answer is none.
inline std::string problem_type(const Answer& answer) {
  constexpr std::string_view kPrefix = "urn:weir:problem:";
  const std::optional<Json> problem = Json::parse(answer.body);
  if (!problem) return "";
  const std::string& type = (*problem)["type"].text();
  return type.starts_with(kPrefix) ? type.substr(kPrefix.size()) : "";
}

// A field that must be a plain number; -1 when it is none.
inline long number_of(const Answer& answer, std::string_view field) {
  const std::string text = answer.field(field);
  long value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? value : -1;
}

// Asks again and again until the answer has that status; the last answer.
inline Answer ask_until(const Gateway& gateway, int status, std::string_view target,
                        const Fields& fields = {}) {
  Answer answer;
  Client client(gateway.port());
  eventually([&] {
    answer = client.get(target, fields);
    return answer.status == status || !answer.fault.empty();
  });
  EXPECT_EQ(answer.status, status) << answer;
  return answer;
}

// Lets time pass until `moment`. Nothing else is waited for, so only use it where time itself is the rule.
inline void until(SteadyTime moment) {
  eventually([moment] { return std::chrono::steady_clock::now() >= moment; });
}

}  // namespace weir::testing

#endif  // WEIR_TESTS_ACCEPTANCE_ACCEPTANCE_H_
