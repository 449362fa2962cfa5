// A bad network between the gateway and its upstreams: what arrives is whole, or is said not to be.
#include "tests/acceptance/acceptance.h"
#include "tests/faults/fault_proxy.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

class BadNetwork : public ::testing::Test {
 protected:
  BadNetwork() {
    for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
    origin.on("/body", [this](Call& call) { call.reply(200, body); });
    origin.on("/chunks", [this](Call& call) {
      call.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (int i = 0; i < 50; ++i) call.send("5\r\nhello\r\n");
      call.send("0\r\n\r\n");
    });
  }
  std::string configuration() const {
    return with(R"(
      upstreams: {far: {endpoints: [$NETWORK], circuit_breaker: {failures: 3, open_for: 300ms},
                        timeouts: {connect: 1s, first_byte: 400ms, idle: 2s}}}
      routes: [{path: /*, upstream: far}]
    )",
                {{"NETWORK", network.url()}});
  }
  // 200 again, once the breaker has closed.
  void heal() {
    network.set(Network());
    EXPECT_EQ(ask_until(gateway, 200, "/").status, 200);
  }

  std::string body = std::string(20'000, ' ');
  Origin origin;
  FaultProxy network{origin.port(), 7};
  Gateway gateway{configuration()};
};

// Answers in pieces of any size, late and slow ones, are whole.
TEST_F(BadNetwork, PiecesLatencyAndBandwidth) {
  for (const std::size_t slice : {1U, 2U, 3U, 40U}) {
    Network sliced;
    sliced.slice = slice;
    network.set(sliced);
    EXPECT_EQ(gateway.get("/body").body, body) << slice;
    EXPECT_EQ(gateway.get("/chunks").body.size(), 250U) << slice;
  }
  Network late;
  late.latency = 20ms;
  late.jitter = 20ms;
  network.set(late);
  EXPECT_EQ(gateway.get("/body").body, body);
  Network narrow;
  narrow.bytes_per_second = 100'000;
  network.set(narrow);
  EXPECT_EQ(gateway.get("/body").body, body);
  Network lingering;
  lingering.slow_close = 5s;
  network.set(lingering);
  EXPECT_EQ(gateway.get("/body").body, body);
}

// Resets and cuts at every place of the head are 502; behind it the client sees that the answer is not whole.
TEST_F(BadNetwork, CutsAndResetsAreNeverWholeAnswers) {
  for (const bool reset : {false, true}) {
    for (const std::size_t at : {0U, 1U, 10U, 30U, 5'000U, 19'999U}) {
      Network bad;
      (reset ? bad.reset_after : bad.cut_after) = at;
      network.set(bad);
      Client client(gateway.port());
      const Answer answer = client.get("/body");
      const bool said = answer.status == 502 || answer.status == 503 || !answer.fault.empty();
      EXPECT_TRUE(said) << (reset ? "reset" : "cut") << " behind " << at << "\n" << answer.head;
      heal();
    }
  }
}

// Turned bits give an answer or a 502 (or one that is cut), never a hang, and harm nobody that comes later.
TEST_F(BadNetwork, CorruptionIsContained) {
  Network noisy;
  noisy.corrupt_one_in = 60;
  int answered = 0;
  for (int i = 0; i < 60; ++i) {
    network.set(noisy);
    Client client(gateway.port());
    const Answer answer = client.get("/chunks");
    if (answer.fault.empty()) ++answered;
    if (i % 10 == 9) heal();
  }
  EXPECT_GT(answered, 0);
  heal();
  EXPECT_EQ(gateway.get("/body").body, body);
}

// A black hole costs the first byte's time and no more, opens the breaker, and is forgotten when it ends.
TEST_F(BadNetwork, BlackHolesOpenTheBreaker) {
  Network hole;
  hole.black_hole = true;
  network.set(hole);
  for (int i = 0; i < 3; ++i) expect_problem(gateway.get("/"), 504, "upstream-timeout");
  const Answer open = gateway.get("/");
  expect_problem(open, 503, "circuit-open");
  const std::string told = gateway.admin("/explain/" + open.field("X-Request-Id")).body;
  EXPECT_NE(told.find(R"("state":"open")"), std::string::npos) << told;
  heal();
}

}  // namespace
}  // namespace weir::testing
