// The kit must be right before it may judge the gateway: client
// against origin, without anything between them.
#include <gtest/gtest.h>
#include <signal.h>

#include <sstream>

#include "bench/proxy/measure.h"
#include "tests/support/client.h"
#include "tests/support/gateway.h"
#include "tests/support/json.h"
#include "tests/support/origin.h"
#include "tests/support/process.h"

namespace weir::testing {
namespace {

// A client reads exactly one answer, and the next one after it on the same connection.
TEST(Client, ReadsOneAnswerAtATime) {
  Origin origin;
  origin.on_status("/a", 404, "nothing");
  Client client(origin.port());
  ASSERT_TRUE(client.send(request_text("GET", "/a") + request_text("GET", "/b")));
  const Answer first = client.read();
  const Answer second = client.read();
  EXPECT_EQ(first.status, 404) << first;
  EXPECT_EQ(first.body, "nothing");
  EXPECT_EQ(second.status, 200) << second;
  EXPECT_EQ(second.body, "ok");
  EXPECT_TRUE(client.silent());
  EXPECT_EQ(origin.connections(), 1U);
}

// Chunked and close-delimited bodies come without their framing, and the end of a connection is seen.
TEST(Client, TakesFramingOff) {
  Origin origin;
  origin.on_raw(
      "/chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n");
  origin.on_raw("/close", "HTTP/1.0 200 OK\r\n\r\nuntil the end");
  const Answer chunked = get(origin.port(), "/chunked");
  EXPECT_EQ(chunked.body, "abcde") << chunked;
  EXPECT_TRUE(chunked.chunked);
  const Answer close = get(origin.port(), "/close");
  EXPECT_EQ(close.body, "until the end") << close;
  EXPECT_TRUE(close.until_close);
}

// What two readers could understand in two ways is a fault, not an answer.
TEST(Client, RefusesMalformedAnswers) {
  const std::vector<std::string> wrong{
      "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
  };
  for (const std::string& bytes : wrong) {
    Origin origin;
    origin.on_raw("/", bytes);
    EXPECT_FALSE(get(origin.port(), "/").fault.empty()) << bytes;
  }
}

// A HEAD's answer ends with its head, whatever length it names.
TEST(Client, HeadHasNoBody) {
  Origin origin;
  Client client(origin.port());
  const Answer head = client.ask("HEAD", "/");
  EXPECT_EQ(head.status, 200) << head;
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(client.get("/").body, "ok");
}

// A held request stays in flight until the gate lets it go; one passage lets one go.
TEST(Origin, HoldsUntilReleased) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Client first(origin.port());
  Client second(origin.port());
  first.send(request_text("GET", "/hold"));
  second.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(2));
  EXPECT_TRUE(first.silent());
  gate.let(1);
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  gate.open();
  EXPECT_EQ(first.read().body, "held");
  EXPECT_EQ(second.read().body, "held");
  EXPECT_EQ(origin.peak_in_flight(), 2U);
}

// A gate sends its waiters away before it dies.
TEST(Origin, OutlivesItsGates) {
  Origin origin;
  Client client(origin.port());
  {
    Gate gate;
    origin.on_hold("/hold", gate);
    client.send(request_text("GET", "/hold"));
    gate.wait_for_waiters(1);
  }
  EXPECT_TRUE(client.ended_by_peer());
  EXPECT_TRUE(origin.wait_for_in_flight(0));
}

// A client that goes away is noticed by a request that is being held for it.
TEST(Origin, NoticesThatTheClientHasGone) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Client client(origin.port());
  client.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  client.close();
  EXPECT_TRUE(origin.wait_for_in_flight(0));
}

// Requests are remembered with head, body and connection; chunked bodies are put together.
TEST(Origin, RemembersRequests) {
  Origin origin;
  Client client(origin.port());
  client.ask("POST", "/a?b=c", {{"X-Y", "z"}}, "body");
  client.send(
      "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  client.read();
  ASSERT_TRUE(origin.wait_for_requests("/a", 2));
  const std::vector<Seen> seen = origin.requests("/a");
  EXPECT_EQ(seen[0].target, "/a?b=c");
  EXPECT_EQ(seen[0].field("x-y"), "z");
  EXPECT_EQ(seen[0].body, "body");
  EXPECT_EQ(seen[1].body, "abc");
  EXPECT_EQ(seen[1].connection, 1);
}

// An origin can reset, and can be asked for nothing more once it is gone.
TEST(Origin, ResetsAndEnds) {
  std::uint16_t port = 0;
  {
    Origin origin;
    port = origin.port();
    origin.on("/reset", [](Call& call) { call.reset(); });
    Client client(port);
    client.send(request_text("GET", "/reset"));
    EXPECT_TRUE(client.ended_by_peer());
  }
  EXPECT_FALSE(Client(port).connected());
}

// Output, exit code and signals of a program arrive; it does not outlive its Process.
TEST(Process, RunsAndEnds) {
  const Finished finished = run({"/bin/sh", "-c", "echo out; echo \"$NAME\" >&2; exit 3"}, {{"NAME", "err"}});
  EXPECT_EQ(finished.exit_code, 3);
  EXPECT_EQ(finished.out, "out\n");
  EXPECT_EQ(finished.err, "err\n");
  pid_t pid = 0;
  {
    Process process({"/bin/sh", "-c", "echo up >&2; exec sleep 1000"});
    EXPECT_TRUE(process.wait_for_err("up"));
    EXPECT_TRUE(process.running());
    pid = process.pid();
  }
  EXPECT_NE(::kill(pid, 0), 0);
  Process ended({"/bin/sh", "-c", "kill -TERM $$"});
  EXPECT_EQ(ended.wait(), 128 + SIGTERM);
  EXPECT_FALSE(ended.wait_for_err("never"));
}

// JSON is read strictly, in order.
TEST(Json, ReadsStrictly) {
  const std::optional<Json> json = Json::parse(R"( {"b": [1, -2.5e3, true, null], "a": "x\n\u0041"} )");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->names(), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ((*json)["b"][1].number(), -2500);
  EXPECT_EQ((*json)["a"].text(), "x\nA");
  EXPECT_FALSE((*json).has("c"));
  for (const char* wrong :
       {"", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "01", "1.", "nul", "\"a", "\"\t\"", "{} {}"})
    EXPECT_FALSE(Json::parse(wrong)) << wrong;
}

// Labels are matched whole; series of one name add up.
TEST(Metrics, SumsMatchingSeries) {
  const Metrics metrics("# TYPE a counter\na{x=\"1\",xx=\"2\"} 3\na{x=\"2\",xx=\"2\"} 4\nab 9\nb 5\n");
  EXPECT_EQ(metrics.value("a"), 7);
  EXPECT_EQ(metrics.value("a", {{"x", "2"}}), 4);
  EXPECT_EQ(metrics.value("b"), 5);
  EXPECT_FALSE(metrics.value("a", {{"x", "3"}}));
}

// The judge of windows blames only what no timing of the network can explain.
TEST(WindowCheck, BlamesOnlyWhatIsCertain) {
  bench::WindowCheck check(2, 1000);
  EXPECT_EQ(check.refused(0), ~std::uint64_t{0});  // nothing admitted yet
  EXPECT_EQ(check.admitted(100, 200), 0U);
  EXPECT_EQ(check.admitted(300, 400), 0U);
  EXPECT_EQ(check.refused(1199), 0U);        // the first may have been decided at 200
  EXPECT_EQ(check.refused(1200), 1U);        // at the latest at 200: out of the window behind 1200
  EXPECT_EQ(check.admitted(900, 1099), 1U);  // even from 100 to 1099 it is less than the window
  EXPECT_EQ(check.admitted(1200, 1300), 0U);
}

TEST(With, ReplacesNamesAndIndentation) {
  EXPECT_EQ(with("\n    a: $ONE\n      b: 2\n", {{"ONE", "1"}}), "\na: 1\n  b: 2\n");
}

}  // namespace
}  // namespace weir::testing
