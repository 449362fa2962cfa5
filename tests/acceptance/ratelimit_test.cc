// The rate limiter, seen from outside. Most routes answer by
// themselves (`respond`): a limit needs no upstream.
#include <atomic>
#include <thread>
#include <vector>

#include "bench/proxy/measure.h"
#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// How many of `count` requests in a row are answered 200; all others must be 429.
int admitted_of(Client& client, int count, std::string_view target, const Fields& fields = {}) {
  int admitted = 0;
  for (int i = 0; i < count; ++i) {
    const Answer answer = client.get(target, fields);
    if (answer.status == 200) {
      ++admitted;
    } else {
      EXPECT_EQ(answer.status, 429) << answer;
    }
  }
  return admitted;
}

// The 101st request of a minute is refused, with everything a
// client needs to know; the first hundred count down.
TEST(RateLimiter, RefusesThe101stOfAMinute) {
  Gateway gateway(R"(
    rate_limits: {per_client: {key: client_ip, limit: 100, window: 1m}}
    routes: [{path: /*, rate_limit: [per_client], respond: {status: 200, body: ok}}]
  )");
  Client client(gateway.port());
  for (int i = 1; i <= 100; ++i) {
    const Answer answer = client.get("/");
    ASSERT_EQ(answer.status, 200) << i << "\n" << answer;
    EXPECT_EQ(answer.field("RateLimit-Policy"), R"("per_client";q=100;w=60)");
    const std::string prefix = "\"per_client\";r=" + std::to_string(100 - i);
    EXPECT_EQ(answer.field("RateLimit").substr(0, prefix.size()), prefix) << answer;
    EXPECT_FALSE(answer.has("Retry-After"));
  }
  const Answer refused = client.get("/");
  expect_problem(refused, 429, "rate-limited");
  EXPECT_EQ(refused.field("RateLimit-Policy"), R"("per_client";q=100;w=60)");
  const long wait = number_of(refused, "Retry-After");
  EXPECT_GE(wait, 1);
  EXPECT_LE(wait, 60);
  EXPECT_EQ(refused.field("RateLimit"), "\"per_client\";r=0;t=" + std::to_string(wait));
  const Json line = gateway.wait_for_log([](const Json& json) { return json["status"].number() == 429; });
  EXPECT_EQ(line["stage"].text(), "ratelimit");
  EXPECT_EQ(line["reason"].text(), "rate-limited");
}

// Over any two seconds ten requests pass, however they are bunched: what left the window frees exactly its
// own places.
TEST(RateLimiter, KeepsAnExactTrailingWindowUnderTwoBursts) {
  Gateway gateway(R"(
    rate_limits:
      burst: {key: global, limit: 10, window: 2s}
      tick: {key: global, limit: 1, window: 1s}
    routes:
      - {path: /burst, rate_limit: [burst], respond: {status: 200}}
      - {path: /tick, rate_limit: [tick], respond: {status: 200}}
  )");
  constexpr std::uint64_t kClockSlack =
      1'000'000;  // the limiter may keep time in coarser ticks than we read it
  bench::WindowCheck check(10, 2'000'000'000);
  Client client(gateway.port());
  int admitted = 0, refused = 0;
  const auto ask = [&] {
    const std::uint64_t sent = now_ns();
    const int status = client.get("/burst").status;
    const std::uint64_t received = now_ns();
    if (status == 200) {
      ++admitted;
      EXPECT_LE(check.admitted(sent, received), kClockSlack) << "admission " << admitted << " came too early";
    } else {
      ++refused;
      EXPECT_EQ(status, 429);
      EXPECT_LE(check.refused(sent), kClockSlack)
          << "refused although " << admitted << " had left the window";
    }
  };
  ask_until(gateway, 200, "/tick");
  for (int i = 0; i < 5; ++i) ask();
  EXPECT_EQ(admitted, 5);
  ask_until(gateway, 200, "/tick");  // a second later
  for (int i = 0; i < 10; ++i) ask();
  EXPECT_EQ(admitted, 10);
  EXPECT_EQ(refused, 5);
  EXPECT_TRUE(eventually([&] { return ask(), admitted >= 25; }));  // both bursts leave twice
}

// A limit is one limit: two routes, two workers and many connections at once share its hundred places.
TEST(RateLimiter, IsOneLimitForTwoRoutesAndTwoWorkers) {
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(R"(
    rate_limits: {shared: {key: global, limit: 100, window: 1h}}
    routes:
      - {path: /a, rate_limit: [shared], respond: {status: 200}}
      - {path: /b, rate_limit: [shared], respond: {status: 200}}
  )",
                  options);
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      Client client(gateway.port());
      admitted += admitted_of(client, 20, i % 2 == 0 ? "/a" : "/b");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 100);
}

// Each value of a header is a key; a request without it counts for its address, and never for another's key.
TEST(RateLimiter, KeysByHeaderAndFallsBackToTheAddress) {
  Gateway gateway(R"(
    rate_limits: {per_key: {key: "header:X-Api-Key", limit: 2, window: 1h}}
    routes: [{path: /*, rate_limit: [per_key], respond: {status: 200}}]
  )");
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 3, "/", {{"X-Api-Key", "a"}}), 2);
  EXPECT_EQ(admitted_of(client, 3, "/", {{"x-api-key", "b"}}), 2);
  EXPECT_EQ(admitted_of(client, 3, "/"), 2);
  Client other(gateway.port(), "127.0.0.2");
  EXPECT_EQ(admitted_of(other, 3, "/"), 2);
  EXPECT_EQ(admitted_of(other, 3, "/", {{"X-Api-Key", "a"}}), 0);
}

// What happens without the key is the limit's own choice: count the address, let pass, or refuse for good.
TEST(RateLimiter, DeniesOrSkipsWhereTheKeyIsMissing) {
  Gateway gateway(R"(
    rate_limits:
      strict: {key: "header:X-Api-Key", limit: 2, window: 1h, on_missing_key: deny}
      loose: {key: "header:X-Api-Key", limit: 2, window: 1h, on_missing_key: skip}
    routes:
      - {path: /strict, rate_limit: [strict], respond: {status: 200}}
      - {path: /loose, rate_limit: [loose], respond: {status: 200}}
  )");
  const Answer denied = gateway.get("/strict");
  expect_problem(denied, 429, "rate-limited");
  EXPECT_FALSE(denied.has("Retry-After")) << "waiting does not help";
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 2, "/strict", {{"X-Api-Key", "a"}}), 2);
  EXPECT_EQ(admitted_of(client, 5, "/loose"), 5);
  EXPECT_EQ(admitted_of(client, 3, "/loose", {{"X-Api-Key", "a"}}), 2);
}

// Addresses are told apart, and a stranger cannot choose his own by writing X-Forwarded-For.
TEST(RateLimiter, TellsAddressesApartAndIgnoresSpoofedOnes) {
  Gateway gateway(R"(
    rate_limits: {per_client: {key: client_ip, limit: 2, window: 1h}}
    routes: [{path: /*, rate_limit: [per_client], respond: {status: 200}}]
  )");
  Client first(gateway.port(), "127.0.0.1");
  Client second(gateway.port(), "127.0.0.2");
  EXPECT_EQ(admitted_of(first, 3, "/"), 2);
  EXPECT_EQ(admitted_of(second, 3, "/"), 2);
  EXPECT_EQ(admitted_of(first, 3, "/", {{"X-Forwarded-For", "192.0.2.7"}, {"Forwarded", "for=192.0.2.7"}}),
            0);
}

// A trusted proxy's X-Forwarded-For names the client, as far as the trusted hops reach.
TEST(RateLimiter, CountsTheClientBehindATrustedProxy) {
  GatewayOptions options;
  options.extra = "trusted_proxies: {cidrs: [127.0.0.1/32], hops: 1}\n";
  Gateway gateway(R"(
    rate_limits: {per_client: {key: client_ip, limit: 2, window: 1h}}
    routes: [{path: /*, rate_limit: [per_client], respond: {status: 200}}]
  )",
                  options);
  Client proxy(gateway.port(), "127.0.0.1");
  EXPECT_EQ(admitted_of(proxy, 3, "/", {{"X-Forwarded-For", "192.0.2.7"}}), 2);
  EXPECT_EQ(admitted_of(proxy, 3, "/", {{"X-Forwarded-For", "192.0.2.8"}}), 2);
  EXPECT_EQ(admitted_of(proxy, 3, "/", {{"X-Forwarded-For", "198.51.100.1, 192.0.2.8"}}), 0)
      << "what stands before the trusted hop is the client's own invention";
}

// A limit of 0 refuses everything, and does not ask to come back.
TEST(RateLimiter, DeniesEverythingAtZero) {
  Gateway gateway(R"(
    rate_limits: {closed: {key: global, limit: 0, window: 1m}}
    routes: [{path: /*, rate_limit: [closed], respond: {status: 200}}]
  )");
  const Answer refused = gateway.get("/");
  expect_problem(refused, 429, "rate-limited");
  EXPECT_FALSE(refused.has("Retry-After"));
}

// Several limits admit together or not at all: a request that one of them refuses costs none of the others.
TEST(RateLimiter, TakesSeveralLimitsAllOrNothing) {
  Gateway gateway(R"(
    rate_limits:
      wide: {key: global, limit: 3, window: 1h}
      narrow: {key: "header:X-Api-Key", limit: 1, window: 1h}
    routes: [{path: /*, rate_limit: [wide, narrow], respond: {status: 200}}]
  )");
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 10, "/", {{"X-Api-Key", "a"}}), 1);
  EXPECT_EQ(admitted_of(client, 10, "/", {{"X-Api-Key", "b"}}), 1);
  EXPECT_EQ(admitted_of(client, 10, "/", {{"X-Api-Key", "c"}}), 1);
  EXPECT_EQ(admitted_of(client, 10, "/", {{"X-Api-Key", "d"}}), 0);
  const Answer answer = client.get("/", {{"X-Api-Key", "d"}});
  EXPECT_NE(answer.field("RateLimit-Policy").find("\"wide\";q=3;w=3600"), std::string::npos) << answer;
}

// Whoever waits as long as Retry-After says is admitted.
TEST(RateLimiter, KeepsThePromiseOfRetryAfter) {
  Gateway gateway(R"(
    rate_limits: {slow: {key: global, limit: 3, window: 1500ms}}
    routes: [{path: /*, rate_limit: [slow], respond: {status: 200}}]
  )");
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 3, "/"), 3);
  for (int round = 0; round < 2; ++round) {
    Answer refused = client.get("/");
    if (refused.status == 200) continue;  // the machine was so slow that the window has passed
    const long wait = number_of(refused, "Retry-After");
    ASSERT_GE(wait, 1) << refused;
    ASSERT_LE(wait, 2) << refused;
    until(std::chrono::steady_clock::now() + std::chrono::seconds(wait));
    EXPECT_EQ(client.get("/").status, 200);
    admitted_of(client, 2, "/");
  }
}

// Above the size where each admission is remembered, the limit still holds to the request.
TEST(RateLimiter, HoldsALargeLimitToo) {
  Gateway gateway(R"(
    rate_limits: {large: {key: global, limit: 2000, window: 1h}}
    routes: [{path: /*, rate_limit: [large], respond: {status: 200}}]
  )");
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 2100, "/"), 2000);
}

// A window below a second has no `w`, which counts whole seconds.
TEST(RateLimiter, LeavesOutAWindowBelowOneSecond) {
  Gateway gateway(R"(
    rate_limits: {fast: {key: global, limit: 5, window: 500ms}}
    routes: [{path: /*, rate_limit: [fast], respond: {status: 200}}]
  )");
  EXPECT_EQ(gateway.get("/").field("RateLimit-Policy"), "\"fast\";q=5");
}

// A rate is a limit and a window in one word; in shadow a limit counts and never refuses.
TEST(RateLimiter, ReadsRatesAndOnlyWatchesInShadow) {
  Gateway gateway(R"(
    rate_limits:
      hourly: {key: global, limit: 2/h}
      watched: {key: global, limit: 2/h, shadow: true}
    routes:
      - {path: /hourly, rate_limit: [hourly], respond: {status: 200}}
      - {path: /watched, rate_limit: [watched], respond: {status: 200}}
  )");
  Client client(gateway.port());
  EXPECT_EQ(client.get("/hourly").field("RateLimit-Policy"), "\"hourly\";q=2;w=3600");
  EXPECT_EQ(admitted_of(client, 3, "/hourly"), 1);
  EXPECT_EQ(admitted_of(client, 5, "/watched"), 5);
}

// `defaults` apply to every route; a route's own list replaces them whole, and `off` clears them.
TEST(RateLimiter, MergesDefaultsIntoRoutes) {
  Gateway gateway(R"(
    defaults: {rate_limit: [two]}
    rate_limits:
      two: {key: global, limit: 2/h}
      three: {key: global, limit: 3/h}
    routes:
      - {path: /default, respond: {status: 200}}
      - {path: /own, rate_limit: [three], respond: {status: 200}}
      - {path: /off, rate_limit: off, respond: {status: 200}}
      - {path: /none, rate_limit: [], respond: {status: 200}}
  )");
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 5, "/own"), 3);
  EXPECT_EQ(admitted_of(client, 5, "/off"), 5);
  EXPECT_EQ(admitted_of(client, 5, "/none"), 5);
  EXPECT_EQ(admitted_of(client, 5, "/default"), 2);
  EXPECT_FALSE(client.get("/off").has("RateLimit"));
}

struct KeyCase {
  const char* key;
  std::string_view same_target;  // twice the same key ...
  Fields same_fields;
  std::string_view other_target;  // ... and another one
  Fields other_fields;
};

class RateLimiterKeys : public ::testing::TestWithParam<KeyCase> {};

// Every source of a key tells its own values apart and nothing else.
TEST_P(RateLimiterKeys, TellValuesApart) {
  const KeyCase& param = GetParam();
  Gateway gateway(with(R"(
    rate_limits: {keyed: {key: $KEY, limit: 1/h}}
    routes:
      - {name: first, path: /a/*, rate_limit: [keyed], respond: {status: 200}}
      - {name: second, path: /b/*, rate_limit: [keyed], respond: {status: 200}}
  )",
                       {{"KEY", param.key}}));
  Client client(gateway.port());
  EXPECT_EQ(admitted_of(client, 2, param.same_target, param.same_fields), 1);
  EXPECT_EQ(admitted_of(client, 2, param.other_target, param.other_fields), 1);
}

INSTANTIATE_TEST_SUITE_P(
    All, RateLimiterKeys,
    ::testing::Values(
        KeyCase{"\"cookie:id\"", "/a/", {{"Cookie", "x=1; id=a"}}, "/a/", {{"Cookie", "id=b; x=1"}}},
        KeyCase{"\"query:id\"", "/a/?id=a&x=1", {}, "/a/?x=1&id=b", {}},
        KeyCase{"path", "/a/1?x", {}, "/a/2?x", {}},
        KeyCase{"host", "/a/", {{"Host", "one.test"}}, "/a/", {{"Host", "two.test"}}},
        KeyCase{"route", "/a/1", {}, "/b/1", {}},
        KeyCase{"[\"header:A\", \"header:B\"]",
                "/a/",
                {{"A", "ab"}, {"B", "c"}},
                "/a/",
                {{"A", "a"}, {"B", "bc"}}},
        KeyCase{"[client_ip, \"query:id\"]", "/a/?id=1", {}, "/a/?id=2", {}}));

// GET and POST are two keys of `method`.
TEST(RateLimiter, KeysByMethod) {
  Gateway gateway(R"(
    rate_limits: {keyed: {key: method, limit: 1/h}}
    routes: [{path: /*, rate_limit: [keyed], respond: {status: 200}}]
  )");
  EXPECT_EQ(gateway.ask("GET", "/").status, 200);
  EXPECT_EQ(gateway.ask("POST", "/").status, 200);
  EXPECT_EQ(gateway.ask("GET", "/").status, 429);
}

}  // namespace
}  // namespace weir::testing
