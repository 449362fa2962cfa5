// The admin listener: health, metrics, what is loaded, and who may change it.
#include <string>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

class Admin : public ::testing::Test {
 protected:
  static std::string configuration(const Origin& origin) {
    return with(R"(
      upstreams: {users: {endpoints: [$ORIGIN], circuit_breaker: {failures: 5, open_for: 30s}}}
      rate_limits: {few: {key: "header:X-Key", limit: 2, window: 1h}}
      routes:
        - {name: users, path: /users/*, rate_limit: [few], upstream: users}
        - {name: fixed, path: /fixed, respond: {status: 200, body: ok}}
    )",
                {{"ORIGIN", origin.url()}});
  }

  Fields host() const { return {{"Host", "127.0.0.1:" + std::to_string(gateway.admin_port())}}; }

  Origin origin;
  Gateway gateway{configuration(origin)};
};

// Alive and ready are two questions.
TEST_F(Admin, AnswersHealth) {
  EXPECT_EQ(gateway.admin("/livez").status, 200);
  EXPECT_EQ(gateway.admin("/readyz").status, 200);
  EXPECT_EQ(gateway.admin("/nothing").status, 404);
  EXPECT_EQ(gateway.get("/livez").status, 404) << "the public listener does not speak for the admin one";
}

// The names that dashboards rely on, with their labels, after one request of each kind.
TEST_F(Admin, CountsInMetrics) {
  const Fields key{{"X-Key", "a"}};
  EXPECT_EQ(gateway.get("/users/1", key).status, 200);
  EXPECT_EQ(gateway.get("/users/2", key).status, 200);
  EXPECT_EQ(gateway.get("/users/3", key).status, 429);
  EXPECT_EQ(gateway.get("/fixed").status, 200);
  EXPECT_EQ(gateway.get("/nowhere").status, 404);
  ASSERT_TRUE(gateway.wait_for_metric(
      "weir_decisions_total",
      {{"route", "users"}, {"stage", "ratelimit"}, {"verdict", "refuse"}, {"reason", "rate-limited"}}, 1));
  const Answer scraped = gateway.admin("/metrics");
  EXPECT_EQ(scraped.status, 200);
  EXPECT_EQ(scraped.field("Content-Type").substr(0, 10), "text/plain") << scraped.head;
  const Metrics metrics(scraped.body);
  EXPECT_EQ(metrics.value("weir_in_flight"), 0);
  EXPECT_EQ(metrics.value("weir_circuit_breaker_state", {{"upstream", "users"}}), 0);
  EXPECT_TRUE(metrics.value("weir_upstream_connections", {{"upstream", "users"}, {"state", "idle"}}));
  EXPECT_TRUE(metrics.value("weir_log_dropped_total"));
  EXPECT_EQ(metrics.value("weir_log_dropped_total"), 0);
  EXPECT_TRUE(metrics.value("http_server_request_duration_seconds_count").value_or(0) >= 4) << metrics.text();
  EXPECT_EQ(metrics.value("http_client_request_duration_seconds_count"), 2) << metrics.text();
  EXPECT_NE(metrics.text().find("# TYPE weir_decisions_total counter"), std::string::npos);
  EXPECT_NE(metrics.text().find("# TYPE http_server_request_duration_seconds histogram"), std::string::npos);
  for (const char* bound : {"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1",
                            "2.5", "5", "7.5", "10", "+Inf"})
    EXPECT_NE(metrics.text().find("le=\"" + std::string(bound) + "\""), std::string::npos) << bound;
}

// Labels come from closed sets: nothing that a stranger writes becomes a series.
TEST_F(Admin, KeepsStrangersOutOfLabels) {
  for (int i = 0; i < 50; ++i) {
    gateway.get("/strange-" + std::to_string(i));
    gateway.ask("STRANGE" + std::to_string(i), "/users/1", {{"X-Key", "key-" + std::to_string(i)}});
  }
  const std::string text = gateway.admin("/metrics").body;
  for (const char* word : {"strange-", "STRANGE", "key-"})
    EXPECT_EQ(text.find(word), std::string::npos) << word;
}

// What runs can be seen: configuration, upstreams with their breakers, limits.
TEST_F(Admin, ShowsWhatIsLoaded) {
  for (const char* path : {"/v1/config", "/v1/upstreams", "/v1/rate-limits"}) {
    const Answer answer = gateway.admin(path);
    EXPECT_EQ(answer.status, 200) << path << "\n" << answer;
    EXPECT_EQ(answer.field("Content-Type").substr(0, 16), "application/json") << answer.head;
    EXPECT_TRUE(Json::parse(answer.body)) << path << "\n" << answer.body;
  }
  EXPECT_NE(gateway.admin("/v1/upstreams").body.find("\"users\""), std::string::npos);
  EXPECT_NE(gateway.admin("/v1/upstreams").body.find("closed"), std::string::npos);
  EXPECT_NE(gateway.admin("/v1/rate-limits").body.find("\"few\""), std::string::npos);
  EXPECT_NE(gateway.admin("/v1/config").body.find("/users/*"), std::string::npos);
}

// The token is a secret: it is in no dump, wherever it came from.
TEST(AdminSecrets, AreNeverShown) {
  GatewayOptions options;
  options.admin_token = "env:WEIR_TEST_TOKEN";
  options.environment = {{"WEIR_TEST_TOKEN", "very-secret-token"}};
  Gateway gateway("routes: [{path: /*, respond: {status: 200}}]", options);
  for (const char* path : {"/v1/config", "/metrics", "/v1/upstreams"})
    EXPECT_EQ(gateway.admin(path).body.find("very-secret"), std::string::npos) << path;
  const Fields with_token{{"Host", "127.0.0.1:" + std::to_string(gateway.admin_port())},
                          {"Authorization", "Bearer very-secret-token"}};
  EXPECT_EQ(ask(gateway.admin_port(), "POST", "/v1/reload", with_token).status, 200);
  EXPECT_EQ(gateway.process().err().find("very-secret"), std::string::npos);
}

// Writes need the token; without a configured one nobody has it.
TEST_F(Admin, AsksForATokenToWrite) {
  Fields fields = host();
  EXPECT_EQ(ask(gateway.admin_port(), "POST", "/v1/reload", fields).status, 401);
  for (const char* wrong :
       {"Bearer wrong-token", "Bearer test-toke", "Bearer test-token2", "Basic dGVzdA==", "test-token"}) {
    fields = host();
    fields.emplace_back("Authorization", wrong);
    const Answer answer = ask(gateway.admin_port(), "POST", "/v1/reload", fields);
    EXPECT_EQ(answer.status, 401) << wrong;
    EXPECT_TRUE(answer.has("WWW-Authenticate")) << answer;
  }
  EXPECT_EQ(gateway.admin_post("/v1/reload").status, 200);

  GatewayOptions options;
  options.admin_token = "";
  Gateway tokenless("routes: [{path: /*, respond: {status: 200}}]", options);
  for (const char* token : {"Bearer ", "Bearer x"}) {
    const Fields with_token{{"Host", "127.0.0.1:" + std::to_string(tokenless.admin_port())},
                            {"Authorization", token}};
    EXPECT_EQ(ask(tokenless.admin_port(), "POST", "/v1/reload", with_token).status, 401) << token;
  }
}

// A web page that the operator happens to visit cannot use his browser: Host and Origin must be the
// listener's own.
TEST_F(Admin, RefusesCrossSiteRequests) {
  const std::uint16_t port = gateway.admin_port();
  EXPECT_EQ(ask(port, "GET", "/v1/config", {{"Host", "evil.example"}}).status, 403);
  Fields fields = host();
  fields.emplace_back("Origin", "http://evil.example");
  EXPECT_EQ(ask(port, "GET", "/v1/config", fields).status, 403);
  fields.emplace_back("Authorization", "Bearer test-token");
  EXPECT_EQ(ask(port, "POST", "/v1/reload", fields).status, 403);
  EXPECT_EQ(ask(port, "GET", "/v1/config", {{"Host", "localhost:" + std::to_string(port)}}).status, 200);
}

// The health listener answers health and metrics, and nothing that tells or changes more.
TEST(Health, ShowsOnlyHealth) {
  const std::uint16_t port = free_port();
  GatewayOptions options;
  options.extra = "health: 127.0.0.1:" + std::to_string(port) + "\n";
  Gateway gateway("routes: [{path: /*, respond: {status: 200}}]", options);
  const Fields host{{"Host", "10.0.0.7:8081"}};  // probes come by address
  for (const char* path : {"/livez", "/readyz", "/metrics"})
    EXPECT_EQ(get(port, path, host).status, 200) << path;
  for (const char* path : {"/v1/config", "/v1/upstreams", "/"})
    EXPECT_EQ(get(port, path, host).status, 404) << path;
  const Fields with_token{{"Host", "10.0.0.7:8081"}, {"Authorization", "Bearer test-token"}};
  EXPECT_NE(ask(port, "POST", "/v1/reload", with_token).status, 200);
}

}  // namespace
}  // namespace weir::testing
