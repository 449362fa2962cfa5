// The resilience chain, seen from outside: rate limiter, then
// load shedder, then circuit breaker, then upstream.
#include <sys/socket.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

// One upstream `origin` whose breaker opens on the fifth failure; $MORE adds top-level keys.
std::string chain(const Origin& origin, std::string_view more = {}, std::string_view open_for = "1s") {
  return with(R"(
    upstreams:
      origin: {endpoints: [$ORIGIN], circuit_breaker: {failures: 5, open_for: $OPEN_FOR}}
    routes: [{path: /*, upstream: origin}]
    $MORE
  )",
              {{"ORIGIN", origin.url()}, {"OPEN_FOR", std::string(open_for)}, {"MORE", std::string(more)}});
}

// `count` requests on connections of their own that the origin is
// holding. Each waits for the one before to arrive.
std::vector<Client> hold(Gateway& gateway, Origin& origin, std::string_view target, std::size_t count) {
  std::vector<Client> held;
  const std::size_t before = origin.in_flight();
  for (std::size_t i = 0; i < count; ++i) {
    held.emplace_back(gateway.port()).send(request_text("GET", target));
    EXPECT_TRUE(origin.wait_for_in_flight(before + i + 1)) << "request " << i << " does not arrive";
  }
  return held;
}

void fail_times(const Gateway& gateway, int count, std::string_view target = "/fail") {
  for (int i = 0; i < count; ++i) EXPECT_EQ(gateway.get(target).status, 500) << "failure " << i;
}

bool breaker_is(const Gateway& gateway, int state) {
  return gateway.wait_for_metric("weir_circuit_breaker_state", {{"upstream", "origin"}}, state);
}
constexpr int kClosed = 0, kOpen = 1, kHalfOpen = 2;

// Sends until one request is let through to the held path: the probe. Everything before must be refused by
// the breaker.
Client send_probe(Gateway& gateway, Origin& origin, std::string_view target) {
  const std::size_t before = origin.count(target);
  for (;;) {
    Client client(gateway.port());
    client.send(request_text("GET", target));
    const bool settled = eventually([&] { return origin.count(target) > before || !client.silent(); });
    if (!settled || origin.count(target) > before) return client;
    const Answer answer = client.read();
    if (problem_type(answer) != "circuit-open") {
      ADD_FAILURE() << answer;
      return client;
    }
  }
}

// A limited request is refused before it could take a permit: all
// permits are out, and still the answer is 429.
TEST(Chain, LimitsBeforeItSheds) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    load_shed: {max_in_flight: 1}
    rate_limits: {once: {key: global, limit: 1/h}}
    routes:
      - {path: /hold, upstream: origin}
      - {path: /limited, rate_limit: [once], upstream: origin}
  )",
                       {{"ORIGIN", origin.url()}}));
  EXPECT_EQ(gateway.get("/limited").status, 200);
  std::vector<Client> held = hold(gateway, origin, "/hold", 1);
  expect_problem(gateway.get("/limited"), 429, "rate-limited");
  gate.open();
  EXPECT_EQ(held[0].read().status, 200);
  // And the other way round: refused requests left no permit behind.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(gateway.get("/limited").status, 429);
  EXPECT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
  EXPECT_EQ(gateway.get("/hold").status, 200);
}

// A request that is shed has spent its place in the limit, and gets it not back.
TEST(Chain, DoesNotRefundALimitWhenItSheds) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    load_shed: {max_in_flight: 1}
    rate_limits: {twice: {key: global, limit: 2/h}}
    routes:
      - {path: /hold, upstream: origin}
      - {path: /limited, rate_limit: [twice], upstream: origin}
  )",
                       {{"ORIGIN", origin.url()}}));
  std::vector<Client> held = hold(gateway, origin, "/hold", 1);
  EXPECT_EQ(problem_type(gateway.get("/limited")), "load-shed");
  EXPECT_EQ(problem_type(gateway.get("/limited")), "load-shed");
  EXPECT_EQ(problem_type(gateway.get("/limited")), "rate-limited");
}

// A shed request never reaches the breaker: with no permit free and the breaker open the answer is load-shed,
// and the one probe is still there for the next request.
TEST(Chain, ShedsBeforeItAsksTheBreaker) {
  Origin origin, other;
  Gate gate;
  other.on_hold("/held", gate);
  origin.on_status("/fail", 500);
  Gateway gateway(with(R"(
    upstreams:
      origin: {endpoints: [$ORIGIN], circuit_breaker: {failures: 5, open_for: 1s}}
      other: {endpoints: [$OTHER]}
    load_shed: {max_in_flight: 1}
    routes:
      - {path: /held, upstream: other}
      - {path: /*, upstream: origin}
  )",
                       {{"ORIGIN", origin.url()}, {"OTHER", other.url()}}));
  fail_times(gateway, 5);
  EXPECT_TRUE(breaker_is(gateway, kOpen));
  std::vector<Client> held = hold(gateway, other, "/held", 1);
  expect_problem(gateway.get("/ok"), 503, "load-shed");
  until(std::chrono::steady_clock::now() + 1100ms);  // now a ticket would be the probe
  for (int i = 0; i < 3; ++i) EXPECT_EQ(problem_type(gateway.get("/ok")), "load-shed");
  EXPECT_EQ(origin.count("/ok"), 0U);
  gate.open();
  held[0].read();
  EXPECT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
  EXPECT_EQ(gateway.get("/ok").status, 200);
  EXPECT_TRUE(breaker_is(gateway, kClosed));
}

// Fifty requests run; the 51st is refused at once, and its place
// is free again when one of the fifty has ended.
TEST(Chain, RefusesThe51stInFlight) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Gateway gateway(chain(origin, "load_shed: {max_in_flight: 50}"));
  std::vector<Client> held = hold(gateway, origin, "/hold", 50);
  EXPECT_EQ(gateway.metrics().value("weir_in_flight"), 50);
  const Answer shed = gateway.get("/hold");
  expect_problem(shed, 503, "load-shed");
  EXPECT_GE(number_of(shed, "Retry-After"), 1);
  EXPECT_EQ(origin.count("/hold"), 50U);
  gate.let(1);
  ASSERT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 49));
  EXPECT_EQ(gateway.get("/other").status, 200);
  gate.open();
  for (Client& client : held) EXPECT_EQ(client.read().status, 200);
  EXPECT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
  EXPECT_EQ(origin.peak_in_flight(), 50U);
}

// The semaphore is the process's, not a worker's: two workers together never let more than fifty in.
TEST(Chain, CountsInFlightOverAllWorkers) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(chain(origin, "load_shed: {max_in_flight: 50}"), options);
  std::vector<Client> clients;
  for (int i = 0; i < 120; ++i) clients.emplace_back(gateway.port()).send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(50));
  const auto answered = [&] {
    std::size_t count = 0;
    for (Client& client : clients) count += client.silent() ? 0 : 1;
    return count;
  };
  EXPECT_TRUE(eventually([&] { return answered() == 70; })) << answered();
  gate.open();
  int served = 0, shed = 0;
  for (Client& client : clients) {
    const int status = client.read().status;
    served += status == 200 ? 1 : 0;
    shed += status == 503 ? 1 : 0;
  }
  EXPECT_EQ(served, 50);
  EXPECT_EQ(shed, 70);
  EXPECT_EQ(origin.peak_in_flight(), 50U);
}

// A route may have a semaphore of its own, or none; what answers by itself needs no permit.
TEST(Chain, HasSemaphoresByRoute) {
  Origin origin;
  Gate gate;
  for (const char* path : {"/process", "/own", "/off"}) origin.on_hold(path, gate);
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    load_shed: {max_in_flight: 2}
    routes:
      - {path: /own, load_shed: {max_in_flight: 1}, upstream: origin}
      - {path: /off, load_shed: off, upstream: origin}
      - {path: /fixed, respond: {status: 200}}
      - {path: /*, upstream: origin}
  )",
                       {{"ORIGIN", origin.url()}}));
  std::vector<Client> process = hold(gateway, origin, "/process", 2);
  EXPECT_EQ(problem_type(gateway.get("/process")), "load-shed");
  std::vector<Client> own = hold(gateway, origin, "/own", 1);
  EXPECT_EQ(problem_type(gateway.get("/own")), "load-shed");
  std::vector<Client> off = hold(gateway, origin, "/off", 5);
  EXPECT_EQ(gateway.get("/fixed").status, 200);
  gate.open();
}

// Whoever is still sending his request holds no permit: the body is read first.
TEST(Chain, ReadsTheBodyBeforeItTakesAPermit) {
  Origin origin;
  Gateway gateway(chain(origin, "load_shed: {max_in_flight: 1}"));
  Client slow(gateway.port());
  slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(gateway.get("/other").status, 200);
  EXPECT_EQ(origin.count("/slow"), 0U);
  slow.send("67890");
  EXPECT_EQ(slow.read().status, 200);
  EXPECT_EQ(origin.last("/slow").body, "1234567890");
}

// The permit is back before the client has the last byte: one place is enough for one request after another,
// on whatever connection it comes.
TEST(Chain, GivesThePermitBackBeforeTheAnswerEnds) {
  Origin origin;
  Gateway gateway(chain(origin, "load_shed: {max_in_flight: 1}"));
  Client first(gateway.port());
  Client second(gateway.port());
  for (int i = 0; i < 300; ++i) ASSERT_EQ((i % 2 == 0 ? first : second).get("/x").status, 200) << i;
}

// An answer up to 64 KiB is taken off the upstream at once: a client that does not read holds no permit.
TEST(Chain, FreesThePermitOfASlowReader) {
  Origin origin;
  origin.on_status("/large", 200, std::string(60'000, 'x'));
  Gateway gateway(chain(origin, "load_shed: {max_in_flight: 1}"));
  std::vector<Client> lazy;
  for (int i = 0; i < 4; ++i) {
    Client& client = lazy.emplace_back(gateway.port());
    const int small = 4096;
    ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    client.send(request_text("GET", "/large"));
    ASSERT_TRUE(origin.wait_for_requests("/large", static_cast<std::size_t>(i) + 1));
    ASSERT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
  }
  EXPECT_EQ(lazy.front().read().body.size(), 60'000U);
}

// The fifth failure in a row opens the breaker; a success before it starts the count again. From then on
// nothing reaches the upstream, and one line of the log names the five requests.
TEST(Chain, OpensOnTheFifthFailure) {
  Origin origin;
  origin.on_status("/fail", 500);
  Gateway gateway(chain(origin, "", "30s"));
  fail_times(gateway, 4);
  EXPECT_EQ(gateway.get("/ok").status, 200);
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    const Answer answer = gateway.get("/fail");
    ASSERT_EQ(answer.status, 500) << i << "\n" << answer;
    ids.push_back(answer.field("X-Request-Id"));
  }
  const std::size_t reached = origin.count();
  const Answer refused = gateway.get("/ok");
  expect_problem(refused, 503, "circuit-open");
  EXPECT_GE(number_of(refused, "Retry-After"), 1);
  EXPECT_LE(number_of(refused, "Retry-After"), 30);
  EXPECT_EQ(origin.count(), reached);
  EXPECT_TRUE(breaker_is(gateway, kOpen));
  EXPECT_EQ(gateway.metrics().value("weir_circuit_breaker_transitions_total",
                                    {{"upstream", "origin"}, {"from", "closed"}, {"to", "open"}}),
            1);
  ASSERT_TRUE(gateway.process().wait_for_err(ids.back())) << gateway.process().err();
  const std::string log = gateway.process().err();
  const std::size_t end = log.find('\n', log.find(ids.back()));
  const std::size_t begin = log.rfind('\n', log.find(ids.back())) + 1;
  const std::string line = log.substr(begin, end - begin);
  for (const std::string& id : ids)
    EXPECT_NE(line.find(id), std::string::npos) << id << " is not in: " << line;
}

// When the breaker has been open for its time, exactly one request is let through; the others are refused
// until that one is back, and its success closes the breaker for all.
TEST(Chain, LetsOneProbeThroughAndCloses) {
  Origin origin;
  Gate gate;
  origin.on_status("/fail", 500);
  origin.on_hold("/hold", gate);
  Gateway gateway(chain(origin, "", "300ms"));
  fail_times(gateway, 5);
  Client probe = send_probe(gateway, origin, "/hold");
  EXPECT_TRUE(breaker_is(gateway, kHalfOpen));
  for (int i = 0; i < 10; ++i) expect_problem(gateway.get("/hold"), 503, "circuit-open");
  EXPECT_EQ(origin.count("/hold"), 1U);
  gate.open();
  EXPECT_EQ(probe.read().status, 200);
  EXPECT_TRUE(breaker_is(gateway, kClosed));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(gateway.get("/ok").status, 200);
  fail_times(gateway, 4);  // the count has started again
  EXPECT_EQ(gateway.get("/ok").status, 200);
}

// A probe that fails opens the breaker again, for the whole time.
TEST(Chain, OpensAgainWhenTheProbeFails) {
  Origin origin;
  origin.on_status("/fail", 500);
  Gateway gateway(chain(origin, "", "1s"));
  fail_times(gateway, 5);
  ask_until(gateway, 500, "/fail");  // the probe
  EXPECT_EQ(origin.count("/fail"), 6U);
  const Answer refused = gateway.get("/ok");
  EXPECT_EQ(problem_type(refused), "circuit-open") << refused;
  EXPECT_TRUE(breaker_is(gateway, kOpen));
  ask_until(gateway, 200, "/ok");
  EXPECT_TRUE(breaker_is(gateway, kClosed));
  EXPECT_EQ(gateway.metrics().value("weir_circuit_breaker_transitions_total",
                                    {{"from", "half_open"}, {"to", "open"}}),
            1);
}

// An answer to a request from before the breaker opened and closed again changes nothing: a failure does not
// count towards the next opening, and a success does not reset the count.
TEST(Chain, IgnoresLateAnswersOfAnOlderGeneration) {
  Origin origin;
  Gate late;
  origin.on_status("/fail", 500);
  origin.on("/late-failure", [&](Call& call) {
    if (call.wait(late)) call.reply(500);
  });
  origin.on("/late-success", [&](Call& call) {
    if (call.wait(late)) call.reply(200);
  });
  Gateway gateway(chain(origin, "", "300ms"));
  std::vector<Client> failure = hold(gateway, origin, "/late-failure", 1);
  std::vector<Client> success = hold(gateway, origin, "/late-success", 1);
  fail_times(gateway, 5);
  EXPECT_TRUE(breaker_is(gateway, kOpen));
  ask_until(gateway, 200, "/ok");
  EXPECT_TRUE(breaker_is(gateway, kClosed));

  fail_times(gateway, 4);
  late.open();
  EXPECT_EQ(failure[0].read().status, 500);
  EXPECT_EQ(success[0].read().status, 200);
  EXPECT_TRUE(breaker_is(gateway, kClosed)) << "a late failure was the fifth";
  fail_times(gateway, 1);
  EXPECT_TRUE(breaker_is(gateway, kOpen)) << "a late success has reset the count";
}

// Nor does a late success close a breaker that has opened meanwhile.
TEST(Chain, IgnoresALateSuccessWhileOpen) {
  Origin origin;
  Gate late;
  origin.on_status("/fail", 500);
  origin.on_hold("/late", late);
  Gateway gateway(chain(origin, "", "30s"));
  std::vector<Client> held = hold(gateway, origin, "/late", 1);
  fail_times(gateway, 5);
  late.open();
  EXPECT_EQ(held[0].read().status, 200);
  EXPECT_EQ(problem_type(gateway.get("/ok")), "circuit-open");
  EXPECT_TRUE(breaker_is(gateway, kOpen));
}

// A client that hangs up gives everything back: permits, upstream
// calls, and no failure is charged to the upstream.
TEST(Chain, GivesEverythingBackOnDisconnect) {
  Origin origin;
  Gate never;
  origin.on_hold("/hold", never);
  Gateway gateway(chain(origin, "load_shed: {max_in_flight: 3}"));
  for (int round = 0; round < 4; ++round) {
    std::vector<Client> held = hold(gateway, origin, "/hold", 3);
    EXPECT_EQ(problem_type(gateway.get("/ok")), "load-shed");
    held[0].close();
    held[1].reset();
    held.clear();
    ASSERT_TRUE(origin.wait_for_in_flight(0)) << "the calls to the upstream go on";
    ASSERT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
  }
  EXPECT_EQ(gateway.get("/ok").status, 200);  // 12 disconnects, and the breaker is closed
  EXPECT_TRUE(breaker_is(gateway, kClosed));
  const Json line = gateway.wait_for_log([](const Json& json) { return json["status"].number() == 499; });
  EXPECT_EQ(line["path"].text(), "/hold");
}

// A probe whose client hangs up decides nothing: the next request is the probe.
TEST(Chain, PassesTheProbeOnWhenItsClientHangsUp) {
  Origin origin;
  Gate never;
  origin.on_status("/fail", 500);
  origin.on_hold("/hold", never);
  Gateway gateway(chain(origin, "", "300ms"));
  fail_times(gateway, 5);
  {
    Client probe = send_probe(gateway, origin, "/hold");
    EXPECT_EQ(problem_type(gateway.get("/ok")), "circuit-open");
  }
  ask_until(gateway, 200, "/ok");
  EXPECT_TRUE(breaker_is(gateway, kClosed));
}

// Resets, silence, broken answers and refused connections are failures; 4xx, 501 and 505 are the upstream's
// answer to this one request and say nothing about its health.
TEST(Chain, KnowsWhatAFailureIs) {
  struct Case {
    const char* path;
    int status;
    bool failure;
  };
  const std::vector<Case> cases{{"/500", 500, true},    {"/503", 503, true},    {"/reset", 502, true},
                                {"/silent", 504, true}, {"/broken", 502, true}, {"/404", 404, false},
                                {"/429", 429, false},   {"/501", 501, false},   {"/505", 505, false}};
  for (const Case& each : cases) {
    Origin origin;
    for (const int status : {500, 503, 404, 429, 501, 505})
      origin.on_status("/" + std::to_string(status), status);
    origin.on("/reset", [](Call& call) { call.reset(); });
    origin.on("/silent", [](Call& call) { call.wait_for_end(); });
    origin.on_raw("/broken", "HTP/1.1 200 OK\r\n\r\n");
    Gateway gateway(with(R"(
      upstreams:
        origin:
          endpoints: [$ORIGIN]
          timeouts: {first_byte: 100ms}
          circuit_breaker: {failures: 5, open_for: 30s}
      routes: [{path: /*, upstream: origin}]
    )",
                         {{"ORIGIN", origin.url()}}));
    for (int i = 0; i < 5; ++i)
      EXPECT_EQ(gateway.get(each.path).status, each.status) << each.path << " " << i;
    const Answer after = gateway.get("/ok");
    EXPECT_EQ(after.status, each.failure ? 503 : 200) << each.path << "\n" << after;
    EXPECT_EQ(problem_type(after), each.failure ? "circuit-open" : "");
  }
}

// A breaker belongs to its upstream: another upstream is not concerned. `off` means none.
TEST(Chain, HasABreakerForEachUpstream) {
  Origin origin;
  origin.on_status("/one/fail", 500);
  origin.on_status("/two/fail", 500);
  Gateway gateway(with(R"(
    upstreams:
      one: {endpoints: [$ORIGIN], circuit_breaker: {failures: 5, open_for: 30s}}
      two: {endpoints: [$ORIGIN], circuit_breaker: off}
    routes: [{path: /one/*, upstream: one}, {path: /two/*, upstream: two}]
  )",
                       {{"ORIGIN", origin.url()}}));
  fail_times(gateway, 5, "/one/fail");
  EXPECT_EQ(problem_type(gateway.get("/one/ok")), "circuit-open");
  fail_times(gateway, 8, "/two/fail");
  EXPECT_EQ(gateway.get("/two/ok").status, 200);
}

// The headline limits: a hundred a window, fifty in flight, five failures, over two workers and many
// connections at once. Every request is answered exactly once, and every answer is one of the four.
TEST(Chain, HoldsTogetherUnderConcurrency) {
  Origin origin;
  std::atomic<int> serial{0};
  origin.on("/mixed", [&](Call& call) { call.reply(serial++ % 10 == 9 ? 500 : 200, "x"); });
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    load_shed: {max_in_flight: 50}
    rate_limits: {per_key: {key: "header:X-Key", limit: 100, window: 1h}}
    routes: [{path: /*, rate_limit: [per_key], upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}),
                  options);
  constexpr int kThreads = 12, kEach = 150;
  std::atomic<int> reached{0}, limited{0}, other{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      Client client(gateway.port());
      for (int k = 0; k < kEach; ++k) {
        const Answer answer = client.get("/mixed", {{"X-Key", std::to_string(i % 4)}});
        if (answer.status == 200 || answer.status == 500)
          ++reached;
        else if (answer.status == 429)
          ++limited;
        else
          ++other;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(reached, 400);  // four keys, a hundred each
  EXPECT_EQ(limited, kThreads * kEach - 400);
  EXPECT_EQ(other, 0);
  EXPECT_EQ(origin.count("/mixed"), 400U);
  EXPECT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
}

}  // namespace
}  // namespace weir::testing
