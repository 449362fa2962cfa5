// A limit by hand: PUT /v1/rate-limits/{name}, seen from outside, in one process and in two that share a Redis.
#include "tests/acceptance/acceptance.h"
#include "tests/support/redis.h"
#include "weir/passport/api_keys.h"

namespace weir::testing {
namespace {

int admitted(Client& client, int count, std::string_view target = "/", const Fields& fields = {}) {
  int passed = 0;
  for (int i = 0; i < count; ++i) passed += client.get(target, fields).status == 200 ? 1 : 0;
  return passed;
}

Answer put(const Gateway& gateway, std::string_view name, std::string_view body,
           std::string_view token = "test-token") {
  Fields fields{{"Host", "127.0.0.1:" + std::to_string(gateway.admin_port())}};
  if (!token.empty()) fields.emplace_back("Authorization", "Bearer " + std::string(token));
  return ask(gateway.admin_port(), "PUT", "/v1/rate-limits/" + std::string(name), fields, body);
}

// What the admin lists under that name; a Json of kind absent when it lists none.
Json listed(const Gateway& gateway, std::string_view name) {
  const std::optional<Json> all = Json::parse(gateway.admin("/v1/rate-limits").body);
  EXPECT_TRUE(all);
  const Json& limits = (*all)["rate_limits"];
  for (std::size_t i = 0; i < limits.size(); ++i)
    if (limits[i]["name"].text() == name) return limits[i];
  return {};
}

std::string limits(std::string_view limit) {
  return "rate_limits: {few: {key: client_ip, limit: " + std::string(limit) +
         "}, many: {key: client_ip, limit: 100/h}}\nroutes: [{path: /*, rate_limit: [few], respond: {status: "
         "200}}]\n";
}

// A raised limit counts at once and on the history there is; a lowered one too; null is the file's again.
TEST(LimitByHand, CountsAtOnceAndKeepsHistory) {
  Gateway gateway(limits("3/h"));
  Client client(gateway.port());
  EXPECT_EQ(admitted(client, 5), 3);
  const Answer raised = put(gateway, "few", R"({"limit": 5})");
  ASSERT_EQ(raised.status, 200) << raised;
  EXPECT_EQ(raised.body, "{\"name\":\"few\",\"limit\":5,\"override\":{\"limit\":5,\"file_limit\":3}}\n");
  const Answer fourth = client.get("/");
  EXPECT_EQ(fourth.status, 200);
  EXPECT_EQ(fourth.field("RateLimit-Policy"), R"("few";q=5;w=3600)");
  EXPECT_EQ(fourth.field("RateLimit").substr(0, 9), R"("few";r=1)");
  EXPECT_EQ(admitted(client, 5), 1);
  EXPECT_EQ(listed(gateway, "few")["limit"].number(), 5);
  EXPECT_EQ(listed(gateway, "few")["override"]["file_limit"].number(), 3);
  EXPECT_FALSE(listed(gateway, "many").has("override"));
  ASSERT_EQ(put(gateway, "few", R"({"limit": "7/h", "for": "1h"})").status, 200);
  EXPECT_EQ(admitted(client, 5), 2);
  EXPECT_GT(listed(gateway, "few")["override"]["remaining_ms"].number(), 3'500'000);
  ASSERT_EQ(put(gateway, "few", R"({"limit": null})").status, 200);
  EXPECT_EQ(admitted(client, 5), 0);
  EXPECT_EQ(client.get("/").field("RateLimit-Policy"), R"("few";q=3;w=3600)");
  EXPECT_FALSE(listed(gateway, "few").has("override"));
  ASSERT_EQ(put(gateway, "few", R"({"limit": 0})").status, 200);
  EXPECT_FALSE(client.get("/").has("Retry-After")) << "waiting cannot help";
  EXPECT_EQ(put(gateway, "few", R"({"limit": 2000})").status, 200);
  EXPECT_EQ(admitted(client, 5), 5);
  const std::string log = gateway.process().err();
  for (const char* line : {"rate limit few: set by hand from 3 to 5, without an end",
                           "rate limit few: set by hand from 5 to 7 for 3600 s",
                           "rate limit few: taken back by hand, back to 3"})
    EXPECT_NE(log.find(line), std::string::npos) << line << "\n" << log;
}

// With `for` the file's limit comes back by itself.
TEST(LimitByHand, EndsByItself) {
  Gateway gateway(limits("2/h"));
  ASSERT_EQ(put(gateway, "few", R"({"limit": 50, "for": "1500ms"})").status, 200);
  ASSERT_EQ(put(gateway, "few", R"({"limit": 50, "for": "300ms"})").status, 200);  // the later one counts
  Client client(gateway.port());
  EXPECT_TRUE(eventually([&] { return !listed(gateway, "few").has("override"); }));
  EXPECT_EQ(client.get("/").field("RateLimit-Policy"), R"("few";q=2;w=3600)");
  EXPECT_NE(gateway.process().err().find("its time by hand is over, back to 2"), std::string::npos);
  // And the next one ends as well.
  ASSERT_EQ(put(gateway, "few", R"({"limit": 60, "for": "200ms"})").status, 200);
  EXPECT_TRUE(eventually([&] { return listed(gateway, "few")["limit"].number() == 2; }));
}

// A reload that leaves the limit alone leaves the override; one that changes the limit is the newer word.
TEST(LimitByHand, LivesThroughAReloadThatDoesNotChangeIt) {
  Gateway gateway(limits("3/h"));
  ASSERT_EQ(put(gateway, "few", R"({"limit": 9})").status, 200);
  ASSERT_EQ(gateway.reload(limits("3/h") + "log: {level: info}\n").status, 200);
  EXPECT_EQ(listed(gateway, "few")["limit"].number(), 9);
  ASSERT_EQ(gateway.reload(limits("4/h")).status, 200);
  EXPECT_EQ(listed(gateway, "few")["limit"].number(), 4);
  EXPECT_FALSE(listed(gateway, "few").has("override"));
  Client client(gateway.port());
  EXPECT_EQ(admitted(client, 6), 4);
  EXPECT_NE(gateway.process().err().find("the file has changed it since it was set by hand, back to 4"),
            std::string::npos);
}

// Without the token nothing changes, whatever the body is.
TEST(LimitByHand, NeedsTheToken) {
  Gateway gateway(limits("3/h"));
  for (const char* token : {"", "wrong", "test-toke"}) {
    const Answer answer = put(gateway, "few", R"({"limit": 50})", token);
    EXPECT_EQ(answer.status, 401) << token;
    EXPECT_EQ(answer.field("WWW-Authenticate"), "Bearer");
  }
  EXPECT_EQ(listed(gateway, "few")["limit"].number(), 3);
  GatewayOptions options;
  options.admin_token = "";
  Gateway tokenless(limits("3/h"), options);
  EXPECT_EQ(put(tokenless, "few", R"({"limit": 50})", "x").status, 401);
  EXPECT_EQ(listed(tokenless, "few")["limit"].number(), 3);
}

// A fault has its place in the body, a name that does not exist its suggestion; nothing changes.
TEST(LimitByHand, SaysWhatIsWrong) {
  Gateway gateway(limits("3/h"));
  const std::tuple<const char*, const char*, int, const char*> kCases[] = {
      {"few", "", 400, "1:1: an object is expected"},
      {"few", "{\"limit\": 5", 400, "1:12: the object is not closed"},
      {"few", "{\n  \"limit\": 5,\n  \"for\": 10m\n}", 400, "3:12: `,` or `}` is expected"},
      {"few", R"({"limit": -1})", 400, "1:11: `limit` is a whole number"},
      {"few", R"({"limit": 1.5})", 400, "1:11: `limit` is a whole number"},
      {"few", R"({"limit": 99999999999})", 400, "1:11: `limit` goes up to"},
      {"few", R"({"limit": "5 per hour"})", 400, "1:11: `5 per hour` is no rate"},
      {"few", R"({"limit": "5/min"})", 400, "the window of few stays 1h"},
      {"few", R"({"limit": 5, "for": "soon"})", 400, "1:21: `soon` is no duration"},
      {"few", R"({"limit": 5, "for": "0s"})", 400, "1:21: `for` is above 0"},
      {"few", R"({"limit": 5, "fro": "10m"})", 400, "1:14: unknown member (did you mean `for`?)"},
      {"few", R"({"for": "10m"})", 400, "`limit` is missing"},
      {"fewe", R"({"limit": 5})", 404, "no limit is called fewe (did you mean few?)"},
      {"few", R"({"limit": 5, "tier": "gold"})", 404, "no tier is called few/gold"},
  };
  for (const auto& [name, body, status, says] : kCases) {
    const Answer answer = put(gateway, name, body);
    EXPECT_EQ(answer.status, status) << body << "\n" << answer;
    const std::optional<Json> json = Json::parse(answer.body);
    ASSERT_TRUE(json) << answer;
    EXPECT_NE((*json)["refused"].text().find(says), std::string::npos) << body << "\n" << answer;
  }
  EXPECT_EQ(listed(gateway, "few")["limit"].number(), 3);
  EXPECT_FALSE(listed(gateway, "few").has("override"));
}

// A tier is set by its own name and leaves the others alone.
TEST(LimitByHand, SetsOneTier) {
  Gateway gateway(R"(
    rate_limits: {plan: {key: client_ip, limit: 2/h, tiers: {from: "header:X-Plan", gold: 4/h}}}
    routes: [{path: /*, rate_limit: [plan], respond: {status: 200}}]
  )");
  ASSERT_EQ(put(gateway, "plan", R"({"limit": 6, "tier": "gold"})").status, 200);
  Client client(gateway.port());
  EXPECT_EQ(admitted(client, 9, "/", {{"X-Plan", "gold"}}), 6);
  EXPECT_EQ(admitted(client, 9), 2);
  EXPECT_EQ(listed(gateway, "plan/gold")["limit"].number(), 6);
}

// Shared limits are listed, with what this gateway knows of them; a limit by hand counts for the requests that come through
// the gateway that was told, on the history of all.
TEST(LimitByHand, OfASharedLimitIsThisGateways) {
  RedisServer redis;
  if (!redis.available()) GTEST_SKIP() << "no redis-server here";
  for (const std::string algorithm : {"exact_window", "segmented_window", "gcra"}) {
    redis.ask("FLUSHALL");
    const std::string text =
        "redis: {url: " + redis.url() + ", nodes: 2, timeout: 10s}\n" +
        "rate_limits: {shared: {key: client_ip, limit: 4/h, store: redis, algorithm: " + algorithm + "}}\n" +
        "routes: [{path: /*, rate_limit: [shared], respond: {status: 200}}]\n";
    Gateway one(text), two(text);
    Client first(one.port()), second(two.port());
    EXPECT_EQ(admitted(first, 6), 4) << algorithm;
    Json entry = listed(one, "shared");
    EXPECT_EQ(entry["store"].text(), "redis");
    EXPECT_EQ(entry["limit"].number(), 4);
    EXPECT_EQ(entry["keys"].number(), 1);
    EXPECT_EQ(entry["allowed"].number(), 4);
    EXPECT_EQ(entry["refused"].number(), 2);
    EXPECT_EQ(entry["refused_here"].number(), 1);
    EXPECT_EQ(listed(two, "shared")["allowed"].number(), 0);
    // Refused a moment ago, admitted now: the refusal that stood here is forgotten.
    ASSERT_EQ(put(one, "shared", R"({"limit": 7})").status, 200);
    const int more = admitted(first, 9);
    EXPECT_GE(more, 2) << algorithm;
    EXPECT_LE(more, 3) << algorithm;  // a bucket of another size keeps its due time: less, never more
    EXPECT_EQ(admitted(second, 3), 0) << algorithm << ": the other gateway keeps the file's limit";
    ASSERT_EQ(put(one, "shared", R"({"limit": 0})").status, 200);
    EXPECT_EQ(admitted(first, 3), 0) << algorithm;
    ASSERT_EQ(put(one, "shared", R"({"limit": null})").status, 200);
    EXPECT_EQ(admitted(first, 3), 0) << algorithm << ": four are still in the window";
  }
}

// A tier by a claim that the passport does not carry: the claim itself. The fields tell the tier's limit.
TEST(LimitTiers, ByAClaimThatIsNoMember) {
  TemporaryFolder folder;
  Gateway gateway(with(
      R"(
    auth: {providers: [{name: machines, type: api_key, header: X-Api-Key, file: "$KEYS"}]}
    rate_limits: {plan: {key: passport.user_id, limit: 10/min, tiers: {from: passport.plan, gold: 50/min}}}
    routes: [{path: /*, auth: required, rate_limit: [plan], respond: {status: 200}}]
  )",
      {{"KEYS", folder.write("keys.yaml", passport::api_key_hash("gold-key") + ": {sub: a, plan: gold}\n" +
                                              passport::api_key_hash("plain-key") + ": {sub: b}\n")}}));
  EXPECT_EQ(gateway.get("/", {{"X-Api-Key", "gold-key"}}).field("RateLimit-Policy"), R"("plan";q=50;w=60)");
  EXPECT_EQ(gateway.get("/", {{"X-Api-Key", "plain-key"}}).field("RateLimit-Policy"), R"("plan";q=10;w=60)");
}

}  // namespace
}  // namespace weir::testing
