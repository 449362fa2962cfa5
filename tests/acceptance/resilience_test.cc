// Retries, breakers by ratio, fallbacks, checks and the choice of endpoints, seen from outside.
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

// A gateway in front of `origin`, with these keys on the upstream.
std::string proxy(const Origin& origin, const std::string& keys) {
  return "upstreams: {service: {endpoints: [" + origin.url() + "]" + (keys.empty() ? "" : ", " + keys) +
         "}}\nroutes: [{path: /*, upstream: service}]\n";
}

// Answers 503 to the first `bad` requests, then 200.
void fails_first(Origin& origin, const std::string& path, int bad) {
  auto left = std::make_shared<std::atomic<int>>(bad);
  origin.on(path, [left](Call& call) {
    if (!call.read_body()) return;
    call.reply(left->fetch_sub(1) > 0 ? 503 : 200, "done");
  });
}

// A failed call is tried again and the client sees the good answer; the log counts the attempts.
TEST(Retries, AFailedCallIsTriedAgain) {
  Origin origin;
  fails_first(origin, "/two", 2);
  Gateway gateway(proxy(origin, "retries: {attempts: 2, backoff: 1ms}"));
  const Answer answer = gateway.get("/two");
  EXPECT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.body, "done");
  EXPECT_EQ(origin.count("/two"), 3U);
  const Json line = gateway.wait_for_log([](const Json& json) { return json["path"].text() == "/two"; });
  EXPECT_EQ(line["attempts"].number(), 3);
  // The breaker has seen two failures and a success: it is closed.
  EXPECT_EQ(gateway.metrics().value("weir_circuit_breaker_state", {{"upstream", "service"}}), 0);
}

// When the tries are used up the client gets the last answer, whatever it is.
TEST(Retries, TheLastAnswerIsPassedOn) {
  Origin origin;
  origin.on_status("/bad", 503, "sorry");
  Gateway gateway(proxy(origin, "retries: {attempts: 2, backoff: 1ms}"));
  const Answer answer = gateway.get("/bad");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "sorry");
  EXPECT_EQ(origin.count("/bad"), 3U);
}

// What may have happened is never repeated: a POST that was sent gets its one answer; a PUT is replayed with its body.
TEST(Retries, OnlyWhatMayBeRepeated) {
  Origin origin;
  fails_first(origin, "/post", 1);
  fails_first(origin, "/put", 1);
  Gateway gateway(proxy(origin, "retries: {attempts: 2, backoff: 1ms}"));
  EXPECT_EQ(gateway.ask("POST", "/post", {}, "order").status, 503);
  EXPECT_EQ(origin.count("/post"), 1U);
  const std::string body(40'000, 'x');
  EXPECT_EQ(gateway.ask("PUT", "/put", {}, body).status, 200);
  ASSERT_EQ(origin.count("/put"), 2U);
  EXPECT_EQ(origin.last("/put").body, body);
}

// Without `retries:` nothing is tried again.
TEST(Retries, AreOffUnlessWanted) {
  Origin origin;
  fails_first(origin, "/one", 1);
  Gateway gateway(proxy(origin, ""));
  EXPECT_EQ(gateway.get("/one").status, 503);
  EXPECT_EQ(origin.count("/one"), 1U);
}

// A try that takes longer than per_try is given up for another one; the call as a whole keeps its timeout.
TEST(Retries, ASlowTryIsGivenUp) {
  Origin origin;
  Gate gate;
  auto first = std::make_shared<std::atomic<bool>>(true);
  origin.on("/slow", [&, first](Call& call) {
    if (first->exchange(false)) {
      call.wait(gate);
      return;
    }
    call.reply(200, "quick");
  });
  Gateway gateway(proxy(origin, "timeout: 5s, retries: {attempts: 1, per_try: 100ms, backoff: 1ms}"));
  const Answer answer = gateway.get("/slow");
  EXPECT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.body, "quick");
}

// Another try goes to another endpoint, also when the first cannot be reached at all.
TEST(Retries, GoToAnotherEndpoint) {
  Origin good;
  const std::uint16_t dead = free_port();
  Gateway gateway(
      "upstreams: {service: {endpoints: [" + good.url() + ", http://127.0.0.1:" + std::to_string(dead) +
      "], circuit_breaker: {failures: 1000}, retries: {attempts: 1, budget: 100%, backoff: 1ms}}}\n"
      "routes: [{path: /*, upstream: service}]\n");
  for (int i = 0; i < 40; ++i) EXPECT_EQ(gateway.get("/").status, 200) << i;
}

// A dead upstream gets at most the budget on top of what is asked of it.
TEST(Retries, ABudgetBoundsTheStorm) {
  Origin origin;
  origin.on_status("/dead", 503);
  Gateway gateway(proxy(
      origin, "circuit_breaker: off, retries: {attempts: 3, budget: 20%, min_per_second: 10, backoff: 1ms}"));
  Client client(gateway.port());
  const SteadyTime start = std::chrono::steady_clock::now();
  constexpr int kAsked = 1000;
  for (int i = 0; i < kAsked; ++i) EXPECT_EQ(client.get("/dead").status, 503);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double calls = static_cast<double>(origin.count("/dead"));
  std::printf("%d asked, %.0f calls in %.1f s\n", kAsked, calls, seconds);
  EXPECT_LE(calls, 1.2 * kAsked + 10 * (seconds + 2));  // what a second earns is there from the start
  EXPECT_GE(calls, 1.1 * kAsked);
}

// A call that is late is asked of another endpoint, and the client gets the first answer; the late call is broken off.
TEST(Hedge, ALateCallIsAskedOfAnotherEndpoint) {
  Origin slow, quick;
  std::atomic<int> ended{0};
  slow.on("/x", [&](Call& call) { ended += call.wait_for_end() ? 1 : 0; });
  quick.on_status("/x", 200, "quick");
  Gateway gateway("upstreams: {service: {endpoints: [" + slow.url() + ", " + quick.url() +
                  "], balance: round_robin, hedge: {after: 30ms}, circuit_breaker: {failures: 1}}}\n"
                  "routes: [{path: /*, upstream: service}]\n");
  Client client(gateway.port());
  for (int i = 0; i < 10; ++i) {
    const Answer answer = client.get("/x");
    EXPECT_EQ(answer.status, 200) << answer;
    EXPECT_EQ(answer.body, "quick");
  }
  EXPECT_EQ(quick.count("/x"), 10U);
  EXPECT_EQ(slow.count("/x"), 10U);  // the second call took the other one's turn
  EXPECT_TRUE(eventually([&] { return ended == 10; }));
  const Metrics metrics = gateway.metrics();
  EXPECT_EQ(metrics.value("weir_hedges_total", {{"upstream", "service"}, {"result", "won"}}), 10);
  EXPECT_EQ(metrics.value("weir_circuit_breaker_state", {{"upstream", "service"}}), 0);
  const Json line = gateway.wait_for_log([](const Json& json) { return json["attempts"].number() == 2; });
  EXPECT_EQ(line["status"].number(), 200);
}

// What may not happen twice is not asked twice, however late it is.
TEST(Hedge, NotOfAPost) {
  Origin one, two;
  for (Origin* origin : {&one, &two})
    origin->on("/x", [](Call& call) {
      if (!call.read_body()) return;
      until(std::chrono::steady_clock::now() + 60ms);
      call.reply(200);
    });
  Gateway gateway("upstreams: {service: {endpoints: [" + one.url() + ", " + two.url() +
                  "], hedge: {after: 10ms}}}\nroutes: [{path: /*, upstream: service}]\n");
  EXPECT_EQ(gateway.ask("POST", "/x", {}, "order").status, 200);
  EXPECT_EQ(one.count("/x") + two.count("/x"), 1U);
  EXPECT_EQ(gateway.get("/x").status, 200);
  EXPECT_EQ(one.count("/x") + two.count("/x"), 3U);
}

// The calls of a page are hedged and tried again, too.
TEST(Hedge, AlsoTheSectionsOfAPage) {
  Origin slow, quick, flaky;
  slow.on("/s", [](Call& call) { call.wait_for_end(); });
  quick.on("/s", [](Call& call) {
    call.read_body();
    call.reply(200, "{\"who\":\"quick\"}", {{"Content-Type", "application/json"}});
  });
  auto left = std::make_shared<std::atomic<int>>(1);
  flaky.on("/f", [left](Call& call) {
    call.read_body();
    if (left->fetch_sub(1) > 0) return call.reply(503), void();
    call.reply(200, "{\"who\":\"flaky\"}", {{"Content-Type", "application/json"}});
  });
  Gateway gateway(
      "upstreams:\n  both: {endpoints: [" + slow.url() + ", " + quick.url() +
      "], balance: round_robin, hedge: {after: 30ms}}\n  flaky: {endpoints: [" + flaky.url() +
      "], retries: {attempts: 1, backoff: 1ms}}\n"
      "routes:\n  - path: /page\n    bff: {deadline: 2s, sections: {a: {upstream: both, path: /s}, "
      "b: {upstream: flaky, path: /f}}}\n");
  for (int i = 0; i < 4; ++i) {
    const Answer answer = gateway.get("/page");
    EXPECT_EQ(answer.status, 200) << answer;
    EXPECT_EQ(answer.body, "{\"a\":{\"who\":\"quick\"},\"b\":{\"who\":\"flaky\"}}") << i;
  }
  EXPECT_EQ(flaky.count("/f"), 5U);
}

// An endpoint whose calls fail is taken out, said so in the metrics, and comes back when it is well.
TEST(Ejection, AFailingEndpointIsTakenOutAndComesBack) {
  Origin one, two;
  std::atomic<bool> sick{true};
  one.on("/", [&](Call& call) { call.reply(sick ? 500 : 200, "one"); });
  two.on_status("/", 200, "two");
  Gateway gateway("upstreams: {service: {endpoints: [" + one.url() + ", " + two.url() +
                  "], circuit_breaker: off, ejection: {failures: 3, eject_for: 300ms}}}\n"
                  "routes: [{path: /*, upstream: service}]\n");
  Client client(gateway.port());
  int failed = 0;
  for (int i = 0; i < 40; ++i) failed += client.get("/").status == 500 ? 1 : 0;
  EXPECT_GE(failed, 3);
  EXPECT_LE(failed, 6) << "three, and a probe each 300 ms";
  EXPECT_GE(gateway.metrics()
                .value("weir_upstream_ejections_total", {{"upstream", "service"}, {"endpoint", one.url()}})
                .value_or(0),
            1);
  sick = false;
  std::set<std::string> seen;
  EXPECT_TRUE(eventually([&] {
    seen.insert(client.get("/").body);
    return seen.size() == 2;
  }));
}

// Half of the calls failing opens the breaker although no five fail in a row, and its reason is named.
TEST(Breaker, OpensByRatio) {
  Origin origin;
  auto turn = std::make_shared<std::atomic<int>>(0);
  origin.on("/half", [turn](Call& call) { call.reply(turn->fetch_add(1) % 2 == 0 ? 500 : 200); });
  Gateway gateway(
      proxy(origin, "circuit_breaker: {failures: off, failure_ratio: 50%, min_calls: 10, open_for: 1h}"));
  Client client(gateway.port());
  for (int i = 0; i < 10; ++i) ASSERT_NE(client.get("/half").status, 0);
  expect_problem(client.get("/half"), 503, "circuit-open");
  const Metrics metrics = gateway.metrics();
  EXPECT_EQ(metrics.value("weir_circuit_breaker_transitions_total",
                          {{"upstream", "service"}, {"to", "open"}, {"reason", "failure_ratio"}}),
            1);
}

// The counters of the usual changes are there before the first of them, at zero.
TEST(Breaker, CountersBeginAtZero) {
  Origin origin;
  Gateway gateway(proxy(origin, ""));
  const Metrics metrics = gateway.metrics();
  for (const char* to : {"open", "half_open", "closed"})
    EXPECT_EQ(metrics.value("weir_circuit_breaker_transitions_total", {{"upstream", "service"}, {"to", to}}),
              0)
        << to;
}

// Slow answers open it, too.
TEST(Breaker, OpensBySlowCalls) {
  Origin origin;
  origin.on("/slow", [](Call& call) {
    until(std::chrono::steady_clock::now() + 30ms);
    call.reply(200);
  });
  Gateway gateway(proxy(
      origin,
      "circuit_breaker: {failures: off, slow_call: 20ms, slow_ratio: 100%, min_calls: 5, open_for: 1h}"));
  Client client(gateway.port());
  for (int i = 0; i < 5; ++i) ASSERT_EQ(client.get("/slow").status, 200);
  expect_problem(client.get("/slow"), 503, "circuit-open");
}

// While it is open another upstream answers, or a fixed answer.
TEST(Breaker, AFallbackAnswersMeanwhile) {
  Origin broken, spare;
  broken.on_status("/x", 500);
  spare.on_status("/x", 200, "spare");
  for (const std::string fallback : {"{upstream: spare}", "{status: 203, body: later}"}) {
    Gateway gateway("upstreams:\n  main: {endpoints: [" + broken.url() +
                    "], circuit_breaker: {failures: 1, open_for: 1h, fallback: " + fallback +
                    "}}\n  spare: {endpoints: [" + spare.url() +
                    "]}\nroutes: [{path: /*, upstream: main}]\n");
    Client client(gateway.port());
    EXPECT_EQ(client.get("/x").status, 500);
    const Answer answer = client.get("/x");
    if (fallback.find("spare") != std::string::npos) {
      EXPECT_EQ(answer.status, 200) << answer;
      EXPECT_EQ(answer.body, "spare");
    } else {
      EXPECT_EQ(answer.status, 203) << answer;
      EXPECT_EQ(answer.body, "later");
    }
  }
}

// An endpoint that fails its checks is not picked; it is again when it answers well.
TEST(Health, AFailingEndpointIsLeftAlone) {
  Origin one, two;
  std::atomic<bool> sick{true};
  one.on("/health", [&](Call& call) { call.reply(sick ? 500 : 200); });
  one.on_status("/", 200, "one");
  two.on_status("/", 200, "two");
  Gateway gateway("upstreams: {service: {endpoints: [" + one.url() + ", " + two.url() +
                  "], health_check: {path: /health, every: 20ms, rise: 2, fall: 2}}}\n"
                  "routes: [{path: /*, upstream: service}]\n");
  ASSERT_TRUE(one.wait_for_requests("/health", 4));
  Client client(gateway.port());
  for (int i = 0; i < 30; ++i) EXPECT_EQ(client.get("/").body, "two") << i;
  sick = false;
  std::set<std::string> seen;
  EXPECT_TRUE(eventually([&] {
    seen.insert(client.get("/").body);
    return seen.size() == 2;
  }));
}

// When most endpoints fail their checks nobody is believed to be down.
TEST(Health, PanicUsesAll) {
  Origin one, two;
  one.on_status("/health", 500);
  two.on_status("/health", 500);
  Gateway gateway("upstreams: {service: {endpoints: [" + one.url() + ", " + two.url() +
                  "], health_check: {path: /health, every: 20ms, fall: 1}}}\n"
                  "routes: [{path: /*, upstream: service}]\n");
  ASSERT_TRUE(one.wait_for_requests("/health", 3));
  ASSERT_TRUE(two.wait_for_requests("/health", 3));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(gateway.get("/").status, 200);
}

// One key, one endpoint; many keys, all endpoints.
TEST(Balance, AHashKeepsAKeyTogether) {
  std::vector<std::unique_ptr<Origin>> origins;
  std::string endpoints;
  for (int i = 0; i < 4; ++i) {
    origins.push_back(std::make_unique<Origin>());
    origins.back()->on_status("/", 200, std::to_string(i));
    endpoints += (i > 0 ? ", " : "") + origins.back()->url();
  }
  Gateway gateway("upstreams: {service: {endpoints: [" + endpoints +
                  "], balance: {hash: \"header:X-Tenant\"}}}\nroutes: [{path: /*, upstream: service}]\n");
  Client client(gateway.port());
  std::set<std::string> all;
  for (int tenant = 0; tenant < 40; ++tenant) {
    const Fields fields{{"X-Tenant", "tenant-" + std::to_string(tenant)}};
    const std::string own = client.get("/", fields).body;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(client.get("/", fields).body, own);
    all.insert(own);
  }
  EXPECT_EQ(all.size(), 4U);
}

}  // namespace
}  // namespace weir::testing
