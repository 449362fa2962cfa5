// The dashboard of examples/grafana asks for nothing that is not there.
#include <set>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

// Names of metrics in a text: words that begin with weir_ or http_ and are none of the labels.
std::set<std::string> names_in(std::string_view text) {
  static const std::set<std::string, std::less<>> kLabels{"http_route", "http_response_status_code",
                                                          "http_request_method"};
  std::set<std::string> names;
  const auto in_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && in_word(text[i - 1])) continue;
    if (!text.substr(i).starts_with("weir_") && !text.substr(i).starts_with("http_")) continue;
    std::size_t end = i;
    while (end < text.size() && in_word(text[end])) ++end;
    std::string name(text.substr(i, end - i));
    if (!kLabels.contains(name)) names.insert(std::move(name));
  }
  return names;
}

// Each metric of the dashboard is one that the gateway has, with the same name.
TEST(Dashboard, NamesOnlyWhatExists) {
  Origin origin;
  Gateway gateway(with(R"(
    rate_limits: {l: {key: client_ip, limit: 1, window: 1h}}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, rate_limit: [l], upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  gateway.get("/");
  gateway.get("/");
  const std::string metrics = gateway.metrics().text();
  const std::set<std::string> there = names_in(metrics);
  const std::string dashboard = read_file(WEIR_SOURCE_DIR "/examples/grafana/weir.json");
  ASSERT_TRUE(Json::parse(dashboard));
  const std::set<std::string> asked = names_in(dashboard);
  EXPECT_GE(asked.size(), 14U);
  for (const std::string& name : asked) EXPECT_TRUE(there.contains(name)) << name;
}

}  // namespace
}  // namespace weir::testing
