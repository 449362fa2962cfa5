// Upstreams that lie, die, stall or come back.
#include <atomic>
#include <set>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

std::string to_origin(const Origin& origin, std::string_view more = "timeouts: {first_byte: 10s}") {
  return with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN], circuit_breaker: off, $MORE}}
    routes: [{path: /*, upstream: origin}]
  )",
              {{"ORIGIN", origin.url()}, {"MORE", std::string(more)}});
}

struct Lie {
  const char* name;
  std::string bytes;
};

class LyingUpstreams : public ::testing::TestWithParam<Lie> {};

// An answer that is framed or written wrongly is none: 502, and its connection is never used again.
TEST_P(LyingUpstreams, AreMalformed) {
  Origin origin;
  origin.on_raw("/lie", GetParam().bytes);
  Gateway gateway(to_origin(origin));
  expect_problem(gateway.get("/lie"), 502, "upstream-malformed");
  EXPECT_EQ(gateway.get("/ok").status, 200);
  EXPECT_NE(origin.last("/ok").connection, origin.last("/lie").connection);
  const Json line = gateway.wait_for_log([](const Json& json) { return json["status"].number() == 502; });
  EXPECT_EQ(line["reason"].text(), "upstream-malformed");
}

INSTANTIATE_TEST_SUITE_P(
    All, LyingUpstreams,
    ::testing::Values(
        Lie{"NotHttp", "hello world, this is not HTTP\r\n\r\n"},
        Lie{"WrongVersion", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
        Lie{"ShortStatus", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"},
        Lie{"StatusBelow100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"},
        Lie{"LengthAndChunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        Lie{"TwoLengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"},
        Lie{"LengthList", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab"},
        Lie{"LengthWithSign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab"},
        Lie{"OtherCoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
        Lie{"BareLf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
        Lie{"Folded", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"},
        Lie{"SpaceBeforeColon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"},
        Lie{"ControlInValue", "HTTP/1.1 200 OK\r\nX-A: b\x01\r\nContent-Length: 0\r\n\r\n"},
        Lie{"SwitchingUnasked",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
        Lie{"BadChunkSize", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
        Lie{"HeadTooLarge",
            "HTTP/1.1 200 OK\r\nX-A: " + std::string(40'000, 'a') + "\r\nContent-Length: 0\r\n\r\n"}),
    [](const ::testing::TestParamInfo<Lie>& each) { return std::string(each.param.name); });

// An answer that breaks off must never look whole to the client.
TEST(Upstreams, DoNotLetABrokenAnswerLookWhole) {
  const std::vector<std::string> truncated{
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
      "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + std::string(150'000, 'x'),
  };
  for (const std::string& bytes : truncated) {
    Origin origin;
    origin.on_raw("/half", bytes);
    Gateway gateway(to_origin(origin));
    Client client(gateway.port());
    const Answer answer = client.get("/half");
    if (answer.fault.empty()) {
      EXPECT_EQ(answer.status, 502) << answer;
    }
    EXPECT_EQ(gateway.get("/ok").status, 200);
  }
}

// A head that breaks off, or no word at all, is an upstream that could not be reached.
TEST(Upstreams, ThatHangUpAreUnreachable) {
  Origin origin;
  origin.on("/close", [](Call& call) { call.read_body(), call.close(); });
  origin.on("/reset", [](Call& call) { call.reset(); });
  Gateway gateway(to_origin(origin));
  expect_problem(gateway.ask("POST", "/close", {}, "x"), 502, "upstream-unreachable");
  expect_problem(gateway.ask("POST", "/reset", {}, "x"), 502, "upstream-unreachable");
}

// A port where nobody listens is 502 until the breaker has seen
// enough; then 503 with the time of the next probe.
TEST(Upstreams, ThatAreDeadAreLeftAlone) {
  Gateway gateway(with(R"(
    upstreams: {dead: {endpoints: ["http://127.0.0.1:$PORT"]}}
    routes: [{path: /*, upstream: dead}]
  )",
                       {{"PORT", std::to_string(free_port())}}));
  for (int i = 0; i < 5; ++i) expect_problem(gateway.get("/"), 502, "upstream-unreachable");
  const Answer refused = gateway.get("/");
  expect_problem(refused, 503, "circuit-open");
  EXPECT_GE(number_of(refused, "Retry-After"), 1);
  EXPECT_LE(number_of(refused, "Retry-After"), 30);
}

// An upstream that says nothing in time is 504, and its connection is closed.
TEST(Upstreams, ThatStallAreTimedOut) {
  Origin origin;
  std::atomic<int> ended{0};
  origin.on("/stall", [&](Call& call) { ended += call.wait_for_end() ? 1 : 0; });
  Gateway gateway(to_origin(origin, "timeouts: {first_byte: 200ms}"));
  expect_problem(gateway.get("/stall"), 504, "upstream-timeout");
  EXPECT_TRUE(eventually([&] { return ended == 1; }));
  EXPECT_EQ(gateway.get("/ok").status, 200);
}

// The total bounds the whole call, however busily the upstream drips.
TEST(Upstreams, ThatDripAreTimedOutByTheTotal) {
  Origin origin;
  Gate gate;
  origin.on("/drip", [&](Call& call) {
    call.read_body();
    call.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (call.send("x") && !call.wait(gate)) {
    }
  });
  Gateway gateway(to_origin(origin, "timeout: 300ms"));
  const Answer answer = gateway.get("/drip");
  if (answer.fault.empty()) {
    EXPECT_EQ(answer.status, 504) << answer;
  }
  EXPECT_TRUE(origin.wait_for_in_flight(0));
}

// Connections are used again: many requests, one connection.
TEST(Upstreams, AreKeptConnected) {
  Origin origin;
  Gateway gateway(to_origin(origin));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(gateway.get("/").status, 200);
  EXPECT_EQ(origin.connections(), 1U);
  EXPECT_GE(gateway.metrics()
                .value("weir_upstream_connections", {{"upstream", "origin"}, {"state", "idle"}})
                .value_or(0),
            1);
}

// A connection that the upstream closed while it was idle is found
// out before, or repaired without the client noticing.
TEST(Upstreams, MayCloseIdleConnections) {
  Origin origin;
  Gateway gateway(to_origin(origin));
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(gateway.get("/").status, 200) << i;
    ASSERT_EQ(gateway.ask("POST", "/", {}, "x").status, 200) << i;
    origin.drop_connections();
    ASSERT_TRUE(eventually([&] { return origin.open_connections() == 0; }));
  }
}

// When a reused connection dies under a request before a byte of the answer, one that may be repeated is,
// once; one that may not is 502.
TEST(Upstreams, AreAskedAgainOnlyWhenThatIsSafe) {
  Origin origin;
  std::set<int> used;
  std::mutex mutex;
  origin.on("/once", [&](Call& call) {
    bool first = false;
    {
      const std::lock_guard lock(mutex);
      first = used.insert(call.request().connection).second;
    }
    if (first) {
      call.reply(200, "ok");
    } else {
      call.reset();
    }
  });
  Gateway gateway(to_origin(origin));
  EXPECT_EQ(gateway.get("/once").status, 200);
  EXPECT_EQ(gateway.get("/once").status, 200) << "a GET is asked again";
  EXPECT_EQ(origin.count("/once"), 3U);
  expect_problem(gateway.ask("POST", "/once", {}, "x"), 502, "upstream-unreachable");
  EXPECT_EQ(origin.count("/once"), 4U) << "a POST is never sent twice";
}

// Bytes after an answer belong to nothing: the connection is not used again.
TEST(Upstreams, ThatSayTooMuchLoseTheirConnection) {
  Origin origin;
  origin.on("/more", [](Call& call) {
    call.read_body();
    call.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  });
  Gateway gateway(to_origin(origin));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(gateway.get("/more").body, "ok");
    EXPECT_EQ(gateway.get("/ok").body, "ok");
  }
}

// Several endpoints share the load, by turns or by the fewest requests.
TEST(Upstreams, ShareTheLoad) {
  for (const char* balance : {"round_robin", "least_requests"}) {
    Origin first, second;
    Gateway gateway(with(R"(
      upstreams: {both: {endpoints: [$FIRST, {url: $SECOND, weight: 1}], balance: $BALANCE}}
      routes: [{path: /*, upstream: both}]
    )",
                         {{"FIRST", first.url()}, {"SECOND", second.url()}, {"BALANCE", balance}}));
    for (int i = 0; i < 40; ++i) EXPECT_EQ(gateway.get("/").status, 200);
    EXPECT_GE(first.count(), 5U) << balance;
    EXPECT_GE(second.count(), 5U) << balance;
    EXPECT_EQ(first.count() + second.count(), 40U);
  }
}

// The busy one of two endpoints is spared.
TEST(Upstreams, SpareABusyEndpoint) {
  Origin busy, idle;
  Gate gate;
  busy.on_hold("/work", gate);
  idle.on_hold("/work", gate);
  Gateway gateway(with(R"(
    upstreams: {both: {endpoints: [$BUSY, $IDLE], balance: least_requests}}
    routes: [{path: /*, upstream: both}]
  )",
                       {{"BUSY", busy.url()}, {"IDLE", idle.url()}}));
  std::vector<Client> clients;
  for (std::size_t i = 0; i < 20; ++i) {
    clients.emplace_back(gateway.port()).send(request_text("GET", "/work"));
    ASSERT_TRUE(eventually([&] { return busy.in_flight() + idle.in_flight() == i + 1; }));
  }
  EXPECT_GE(busy.in_flight(), 7U);  // two are drawn and the less busy one is taken: nearly even
  EXPECT_GE(idle.in_flight(), 7U);
  gate.open();
  for (Client& client : clients) EXPECT_EQ(client.read().status, 200);
}

// An upstream may be named instead of numbered.
TEST(Upstreams, HaveNames) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams: {named: {endpoints: ["http://localhost:$PORT"]}}
    routes: [{path: /*, upstream: named}]
  )",
                       {{"PORT", std::to_string(origin.port())}}));
  EXPECT_EQ(gateway.get("/").status, 200);
  EXPECT_EQ(origin.count(), 1U);
}

}  // namespace
}  // namespace weir::testing
