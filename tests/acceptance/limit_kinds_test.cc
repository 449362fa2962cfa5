// Kinds of limits beside the sliding window: tiers, costs that the answer tells, parallel requests, styles of fields.
#include "tests/acceptance/acceptance.h"
#include "tests/support/redis.h"

namespace weir::testing {
namespace {

int admitted(Client& client, int count, const Fields& fields = {}) {
  int passed = 0;
  for (int i = 0; i < count; ++i) passed += client.get("/", fields).status == 200 ? 1 : 0;
  return passed;
}

// Whoever has a tier has its limit, and a count of its own; everybody else has the limit.
TEST(LimitKinds, Tiers) {
  Gateway gateway(R"(
    rate_limits: {plan: {key: client_ip, limit: 2/min, tiers: {from: "header:X-Plan", gold: 5/min, none: 0/min}}}
    routes: [{path: /*, rate_limit: [plan], respond: {status: 200}}]
  )");
  Client client(gateway.port());
  EXPECT_EQ(admitted(client, 8, {{"X-Plan", "gold"}}), 5);
  EXPECT_EQ(admitted(client, 8, {{"X-Plan", "silver"}}), 2);
  EXPECT_EQ(admitted(client, 8), 0);  // the same count as any plan that is no tier
  EXPECT_EQ(admitted(client, 8, {{"X-Plan", "none"}}), 0);
  EXPECT_EQ(client.get("/", {{"X-Plan", "gold"}}).field("RateLimit-Policy"), R"("plan";q=5;w=60)");
}

// One unit is taken on the way in, the rest of what the answer says behind it; 0 gives the one back; nonsense is one.
TEST(LimitKinds, TheAnswerTellsTheCost) {
  Origin origin;
  for (const char* cost : {"0", "1", "4", "much", "-3"})
    origin.on(std::string("/") + cost, [cost](Call& call) { call.reply(200, "", {{"X-Cost", cost}}); });
  RedisServer redis;
  for (const bool shared : {false, true}) {
    if (shared && !redis.available()) continue;
    Gateway gateway((shared ? "redis: {url: " + redis.url() + ", timeout: 200ms}\n" : std::string()) +
                    "upstreams: {o: {endpoints: [" + origin.url() + "]}}\n" +
                    "rate_limits: {l: {key: client_ip, limit: 10/h, cost_header: X-Cost, store: " +
                    (shared ? "redis" : "local") + "}}\n" +
                    "routes: [{path: /*, rate_limit: [l], upstream: o}]\n");
    Client client(gateway.port());
    for (int i = 0; i < 12 && !shared; ++i) ASSERT_EQ(client.get("/0").status, 200);  // free
    ASSERT_EQ(client.get("/4").status, 200);
    ASSERT_EQ(client.get("/much").status, 200);
    ASSERT_EQ(client.get("/-3").status, 200);
    const Answer answer = client.get("/1");  // the seventh
    EXPECT_EQ(answer.field("RateLimit").substr(0, 7), "\"l\";r=3") << shared << answer;
    ASSERT_EQ(client.get("/4").status, 200);
    EXPECT_EQ(client.get("/1").status, 429);
  }
}

// At most so many at the same time, for each client; a place comes free with the answer.
TEST(LimitKinds, ParallelRequests) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Gateway gateway(with(R"(
    upstreams: {o: {endpoints: [$O]}}
    rate_limits: {l: {key: client_ip, limit: 2, algorithm: concurrency}}
    routes: [{path: /*, rate_limit: [l], upstream: o}]
  )",
                       {{"O", origin.url()}}));
  Client one(gateway.port()), two(gateway.port()), three(gateway.port());
  one.send(request_text("GET", "/hold"));
  two.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(2));
  EXPECT_EQ(three.get("/").status, 429);
  gate.open();
  EXPECT_EQ(one.read().status, 200);
  EXPECT_EQ(two.read().status, 200);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(three.get("/").status, 200);
}

// Each style of fields, and none.
TEST(LimitKinds, StylesOfFields) {
  for (const auto& [style, field, value] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"draft10", "RateLimit-Policy", R"("l";q=5;w=60)"},
           {"draft7", "RateLimit-Policy", "5;w=60"},
           {"draft6", "RateLimit-Remaining", "4"},
           {"x_ratelimit", "X-RateLimit-Remaining", "4"},
           {"none", "RateLimit", ""}}) {
    Gateway gateway("rate_limits: {l: {key: client_ip, limit: 5/min}}\nrate_limit_headers: {style: " + style +
                    "}\nroutes: [{path: /*, rate_limit: [l], respond: {status: 200}}]\n");
    Client client(gateway.port());
    EXPECT_EQ(client.get("/").field(field), value) << style;
    EXPECT_EQ(admitted(client, 6), 4);
    EXPECT_GE(number_of(client.get("/"), "Retry-After"), 1) << style;
  }
}

// A bucket lets its burst through at once, and then its rate.
TEST(LimitKinds, Buckets) {
  for (const char* algorithm : {"gcra", "token_bucket"}) {
    Gateway gateway(std::string("rate_limits: {l: {key: client_ip, limit: 60/h, burst: 3, algorithm: ") +
                    algorithm + "}}\nroutes: [{path: /*, rate_limit: [l], respond: {status: 200}}]\n");
    Client client(gateway.port());
    EXPECT_EQ(admitted(client, 10), 3) << algorithm;
  }
}

}  // namespace
}  // namespace weir::testing
