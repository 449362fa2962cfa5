// Why: the decision record of a request, the same before it is sent, what an operator may force, faults on purpose.
#include <string>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

class Why : public ::testing::Test {
 protected:
  static GatewayOptions two_workers() {
    GatewayOptions options;
    options.workers = 2;
    return options;
  }
  std::string configuration() const {
    return with(R"(
      upstreams:
        users: {endpoints: [$ORIGIN, $OTHER], circuit_breaker: {failures: 5, open_for: 30s}}
        plain: {endpoints: [$ORIGIN], circuit_breaker: off}
      rate_limits: {few: {key: "header:X-Key", limit: 2, window: 1h}}
      routes:
        - {name: users, path: /users/*, rate_limit: [few], upstream: users}
        - {name: plain, path: /plain, upstream: plain}
        - {name: broken, path: /broken, upstream: plain, faults: {abort: {status: 502}, header: X-Fault}}
        - {name: late, path: /late, upstream: plain, faults: {delay: {for: 150ms}}}
    )",
                {{"ORIGIN", origin.url()}, {"OTHER", other.url()}});
  }
  Answer put(std::string_view target, std::string_view body, std::string token = "test-token") const {
    Fields fields{{"Host", "127.0.0.1:" + std::to_string(gateway.admin_port())}};
    if (!token.empty()) fields.emplace_back("Authorization", "Bearer " + token);
    return testing::ask(gateway.admin_port(), "PUT", target, fields, body);
  }
  Json record(const Answer& answer) const {
    const Answer told = gateway.admin("/explain/" + answer.field("X-Request-Id"));
    EXPECT_EQ(told.status, 200) << told;
    const std::optional<Json> json = Json::parse(told.body);
    EXPECT_TRUE(json) << told;
    return json ? *json : Json();
  }

  Origin origin;
  Origin other;
  Gateway gateway{configuration(), two_workers()};
};

// Whichever worker served it: a recent request is explained by its id, a refused one with the numbers that refused it.
TEST_F(Why, ARequestIsExplainedByItsId) {
  for (int i = 0; i < 8; ++i) {
    const std::string key = "secret-key-" + std::to_string(i);
    const Answer passed = gateway.get("/users/1?token=hidden", {{"X-Key", key}});
    ASSERT_EQ(passed.status, 200);
    const Json json = record(passed);
    EXPECT_EQ(json["route"].text(), "users");
    EXPECT_EQ(json["status"].number(), 200);
    EXPECT_EQ(json["decided_by"]["stage"].text(), "upstream");
    gateway.get("/users/1", {{"X-Key", key}});
    const Answer refused = gateway.get("/users/1", {{"X-Key", key}});
    ASSERT_EQ(refused.status, 429);
    const Answer told = gateway.admin("/explain/" + refused.field("X-Request-Id"));
    EXPECT_NE(
        told.body.find(R"("decided_by":{"stage":"ratelimit","verdict":"refuse","reason":"rate-limited"})"),
        std::string::npos)
        << told;
    EXPECT_NE(told.body.find(R"("name":"few","key":"header:X-Key","allowed":false,"limit":2,"remaining":0)"),
              std::string::npos)
        << told;
    EXPECT_EQ(told.body.find("secret"), std::string::npos) << "a key's value is told to nobody: " << told;
  }
  const Answer unknown = gateway.admin("/explain/never-seen");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_NE(unknown.body.find("no decision record of never-seen"), std::string::npos) << unknown;
}

// The token makes the answer itself say why; nothing else does, and the upstream sees neither field nor token.
TEST_F(Why, TheTokenAsksInTheRequest) {
  const Answer told = gateway.get("/plain", {{"X-Weir-Explain", "test-token"}});
  const std::optional<Json> json = Json::parse(told.field("Weir-Explain"));
  ASSERT_TRUE(json) << told;
  EXPECT_EQ((*json)["route"].text(), "plain");
  EXPECT_FALSE(gateway.get("/plain", {{"X-Weir-Explain", "wrong-token"}}).has("Weir-Explain"));
  EXPECT_FALSE(gateway.get("/plain", {{"X_Weir_Explain", "test-token"}}).has("Weir-Explain"));
  const Answer nowhere = gateway.get("/nowhere", {{"X-Weir-Explain", "test-token"}});
  EXPECT_NE(nowhere.field("Weir-Explain").find("no-route"), std::string::npos) << nowhere;
  for (const Seen& seen : origin.requests())
    EXPECT_EQ(seen.head.find("test-token"), std::string::npos) << seen.head;
  for (const Seen& seen : origin.requests())
    EXPECT_EQ(seen.head.find("xplain"), std::string::npos) << seen.head;
}

// A breaker is forced by whoever has the token, survives a reload, and goes back to its own judgement.
TEST_F(Why, ABreakerIsForcedByHand) {
  const std::string path = "/v1/upstreams/users/breaker";
  const Fields key{{"X-Key", "a"}};
  EXPECT_EQ(put(path, R"({"state": "forced_open"})", "").status, 401);
  EXPECT_EQ(put(path, R"({"state": "forced_open"})", "wrong").status, 401);
  EXPECT_EQ(gateway.get("/users/1", key).status, 200) << "nothing was changed";
  const Answer forced = put(path, R"({"state": "forced_open", "for": "15m"})");
  EXPECT_EQ(forced.status, 200) << forced;
  EXPECT_NE(forced.body.find(R"("for_ms":900000)"), std::string::npos) << forced;
  expect_problem(gateway.get("/users/1", key), 503, "circuit-open");
  EXPECT_EQ(gateway.reload(configuration()).status, 200);
  expect_problem(gateway.get("/users/1", {{"X-Key", "b"}}), 503, "circuit-open");
  EXPECT_NE(gateway.admin("/v1/upstreams").body.find("forced_open"), std::string::npos);
  EXPECT_EQ(put(path, R"({"state": "auto"})").status, 200);
  EXPECT_EQ(gateway.get("/users/1", {{"X-Key", "c"}}).status, 200);
  EXPECT_NE(gateway.process().err().find("circuit breaker of upstream users set to forced_open for 15m"),
            std::string::npos)
      << gateway.process().err();
}

// What is wrong with a write is said with its place, and changes nothing.
TEST_F(Why, BadWritesNameThePlace) {
  const std::string path = "/v1/upstreams/users/breaker";
  const auto refused = [&](std::string_view target, std::string_view body, int status, std::string_view why) {
    const Answer answer = put(target, body);
    EXPECT_EQ(answer.status, status) << answer;
    EXPECT_NE(answer.body.find(why), std::string::npos) << answer;
  };
  refused(path, R"({"state": "open")", 400, "1:17");
  refused(path, R"({"state": "open"})", 400, "1:11");
  refused(path, R"({"stat": "auto"})", 400, "did you mean `state`");
  refused(path, "{\n  \"state\": \"forced_open\",\n  \"for\": \"soon\"}", 400, "3:10");
  refused(path, R"({"state": "auto", "for": "1m"})", 400, "`auto` has no end");
  refused("/v1/upstreams/plain/breaker", R"({"state": "forced_open"})", 409, "no circuit breaker");
  refused("/v1/upstreams/nobody/breaker", R"({"state": "forced_open"})", 404, "nobody");
  refused("/v1/upstreams/users/endpoints/2", R"({"drain": true})", 404, "from 0 to 1");
  refused("/v1/upstreams/users/endpoints/0", R"({"drain": "yes"})", 400, "1:11");
  EXPECT_EQ(gateway.get("/users/1", {{"X-Key", "a"}}).status, 200);
}

// A drained endpoint gets nothing new, what runs there finishes, and it comes back.
TEST_F(Why, AnEndpointIsDrained) {
  Gate gate;
  for (Origin* each : {&origin, &other}) each->on_hold("/users/hold", gate);
  Client running(gateway.port());
  running.send("GET /users/hold HTTP/1.1\r\nHost: a\r\nX-Key: hold\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return origin.count("/users/hold") + other.count("/users/hold") == 1; }));
  Origin& busy = origin.count("/users/hold") == 1 ? origin : other;
  const std::string path = std::string("/v1/upstreams/users/endpoints/") + (&busy == &origin ? "0" : "1");
  EXPECT_EQ(put(path, R"({"drain": true})", "").status, 401);
  EXPECT_EQ(put(path, R"({"drain": true})").status, 200);
  const std::size_t before = busy.count();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(gateway.get("/users/1", {{"X-Key", std::to_string(i)}}).status, 200);
  EXPECT_EQ(busy.count(), before);
  EXPECT_NE(gateway.admin("/v1/upstreams").body.find(R"("drained":true)"), std::string::npos);
  EXPECT_EQ(gateway.metrics().value("weir_upstream_endpoints", {{"upstream", "users"}, {"state", "drained"}}),
            1);
  gate.open();
  EXPECT_EQ(running.read_final().status, 200) << "what runs there finishes";
  EXPECT_EQ(put(path, R"({"drain": false})").status, 200);
  for (int i = 0; i < 40 && busy.count() == before; ++i)
    gateway.get("/users/1", {{"X-Key", "x" + std::to_string(i)}});
  EXPECT_GT(busy.count(), before);
}

// Faults meet those that carry the field, are counted, and stand in the record.
TEST_F(Why, FaultsOnPurpose) {
  EXPECT_EQ(gateway.get("/broken").status, 200);
  const Answer failed = gateway.get("/broken", {{"X-Fault", "1"}});
  expect_problem(failed, 502, "fault-injected");
  EXPECT_EQ(origin.count("/broken"), 1U);
  EXPECT_NE(gateway.admin("/explain/" + failed.field("X-Request-Id")).body.find(R"("abort_status":502)"),
            std::string::npos);
  const SteadyTime begin = std::chrono::steady_clock::now();
  EXPECT_EQ(gateway.get("/late").status, 200);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds{150});
  EXPECT_TRUE(
      gateway.wait_for_metric("weir_faults_injected_total", {{"route", "broken"}, {"kind", "abort"}}, 1));
  EXPECT_TRUE(
      gateway.wait_for_metric("weir_faults_injected_total", {{"route", "late"}, {"kind", "delay"}}, 1));
  EXPECT_TRUE(gateway.wait_for_metric(
      "weir_decisions_total",
      {{"route", "broken"}, {"stage", "fault"}, {"verdict", "refuse"}, {"reason", "fault-injected"}}, 1));
}

std::string explained(const std::string& file, const std::vector<std::string>& arguments, int code = 0) {
  std::vector<std::string> all{weir_binary(), "explain", file};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const Finished finished = run(std::move(all), {});
  EXPECT_EQ(finished.exit_code, code) << finished.out << finished.err;
  return finished.out;
}

// Before anything runs: the route, its stages with their limits, and what would be called; nothing is.
TEST(WhyNot, ExplainsWithoutASocket) {
  Origin origin;
  const TemporaryFolder folder;
  const std::string file = folder.write("weir.yaml", with(R"(
    listen: 127.0.0.1:1
    upstreams: {users: {endpoints: [$ORIGIN], retries: {attempts: 2}}}
    rate_limits: {few: {key: client_ip, limit: 2/min}}
    routes:
      - {name: inside, path: /inside, deny: [10.0.0.0/8], upstream: users}
      - {name: users, path: /users/*, methods: [GET], rate_limit: [few], upstream: users, rewrite: /v2/*}
  )",
                                                          {{"ORIGIN", origin.url()}}));
  const std::string text = explained(file, {"GET", "http://api.example/users/7?a=b", "-H", "X-A: b"});
  for (const char* part :
       {"route users", "name=few key=client_ip allowed=true limit=2 remaining=1", "load_shed   pass",
        "/v2/7?a=b", "closed; opens after 5 failures in a row for 30s", "retries"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  const std::string json = explained(file, {"GET", "/inside", "--from", "10.1.1.1", "--output", "json"});
  EXPECT_TRUE(Json::parse(json)) << json;
  EXPECT_NE(json.find(R"("stage":"access","verdict":"refuse","reason":"forbidden")"), std::string::npos)
      << json;
  EXPECT_NE(explained(file, {"POST", "/users/7"}).find("method-not-allowed"), std::string::npos);
  EXPECT_NE(explained(file, {"GET", "/nowhere"}).find("no-route"), std::string::npos);
  explained(file, {"GET", "nowhere"}, 1);
  EXPECT_EQ(origin.connections(), 0U);
}

}  // namespace
}  // namespace weir::testing
