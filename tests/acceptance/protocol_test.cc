// HTTP/1.1 between client and upstream: connections, bodies in every framing, interim answers, streams.
#include <atomic>
#include <thread>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

class Protocol : public ::testing::Test {
 protected:
  static std::string configuration(const Origin& origin) {
    return with(R"(
      upstreams: {origin: {endpoints: [$ORIGIN]}}
      routes:
        - {path: /stream/*, request_buffer: 0, upstream: origin}
        - {path: /*, upstream: origin}
    )",
                {{"ORIGIN", origin.url()}});
  }

  void echo(const std::string& path) {
    origin.on(path, [](Call& call) {
      if (call.read_body()) call.reply(200, call.request().body);
    });
  }

  Origin origin;
  Gateway gateway{configuration(origin)};
};

// A connection serves one request after another until somebody says close; HTTP/1.0 closes by default.
TEST_F(Protocol, KeepsConnectionsOpen) {
  Client client(gateway.port());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.get("/").status, 200);
  const Answer last = client.get("/", {{"Connection", "close"}});
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.field("Connection"), "close");
  EXPECT_TRUE(client.ended_by_peer());

  Client old(gateway.port());
  old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  EXPECT_EQ(old.read().status, 200);
  EXPECT_TRUE(old.ended_by_peer());
}

// An answer ends before the connection does, so that a client that waits for either is served.
TEST_F(Protocol, AnswersOverAKeptConnectionWithALength) {
  const Answer answer = gateway.get("/");
  EXPECT_TRUE(answer.chunked || answer.has("Content-Length")) << answer;
  EXPECT_FALSE(answer.until_close);
}

// Pipelined requests are answered in order, also when the first takes longest.
TEST_F(Protocol, AnswersPipelinedRequestsInOrder) {
  Gate gate;
  origin.on("/1", [&](Call& call) {
    if (call.wait(gate)) call.reply(200, "first");
  });
  origin.on_status("/2", 200, "second");
  origin.on_status("/3", 404, "third");
  Client client(gateway.port());
  client.send(request_text("GET", "/1") + request_text("POST", "/2", {}, "body") + request_text("GET", "/3"));
  ASSERT_TRUE(origin.wait_for_requests("/1", 1));
  gate.open();
  EXPECT_EQ(client.read().body, "first");
  EXPECT_EQ(client.read().body, "second");
  EXPECT_EQ(client.read().body, "third");
  EXPECT_EQ(origin.last("/2").body, "body");
}

// A request may arrive in pieces of one byte, with one empty line before it.
TEST_F(Protocol, TakesRequestsByteByByte) {
  echo("/echo");
  Client client(gateway.port());
  const std::string text =
      "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (const char c : text) ASSERT_TRUE(client.send(std::string_view(&c, 1)));
  EXPECT_EQ(client.read().body, "abc");
}

// HEAD is answered by the head of the GET, with its length and without its body; on refusals too.
TEST_F(Protocol, AnswersHeadWithoutABody) {
  Client client(gateway.port());
  const Answer head = client.ask("HEAD", "/");
  EXPECT_EQ(head.status, 200) << head;
  EXPECT_EQ(head.field("Content-Length"), "2");
  EXPECT_EQ(origin.last().method, "HEAD");
  EXPECT_EQ(client.get("/").body, "ok");  // the connection is in step

  Gateway closed("routes: [{path: /a, respond: {status: 200, body: ok}}]");
  Client other(closed.port());
  const Answer missing = other.ask("HEAD", "/b");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.field("Content-Type"), "application/problem+json");
  EXPECT_TRUE(other.silent());
  EXPECT_EQ(other.ask("HEAD", "/a").status, 200);
  EXPECT_EQ(other.get("/a").body, "ok");
}

// 204 and 304 have no body, whatever their fields say.
TEST_F(Protocol, PassesAnswersWithoutABody) {
  origin.on_status("/204", 204);
  origin.on("/304", [](Call& call) { call.reply(304, "", {{"ETag", "\"a\""}, {"Content-Length", "1000"}}); });
  Client client(gateway.port());
  EXPECT_EQ(client.get("/204").status, 204);
  const Answer unchanged = client.get("/304");
  EXPECT_EQ(unchanged.status, 304) << unchanged;
  EXPECT_EQ(unchanged.field("ETag"), "\"a\"");
  EXPECT_EQ(client.get("/").body, "ok");
}

// Bodies pass in both framings, small and large, buffered and streamed.
TEST_F(Protocol, PassesBodiesInBothFramings) {
  echo("/echo");
  echo("/stream/echo");
  std::string large;
  for (int i = 0; large.size() < 1'000'000; ++i) large += std::to_string(i) + ",";
  Client client(gateway.port());
  for (const char* path : {"/echo", "/stream/echo"}) {
    for (const std::string& body : {std::string("x"), std::string(65'536, 'y'), large}) {
      EXPECT_EQ(client.ask("POST", path, {}, body).body, body) << path << " length " << body.size();
      std::string chunked;
      for (std::size_t from = 0; from < body.size(); from += 70'000) {
        const std::string piece = body.substr(from, 70'000);
        char size[16];
        std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
        chunked += size + piece + "\r\n";
      }
      EXPECT_EQ(
          client.ask("POST", path, {{"Transfer-Encoding", "chunked"}}, chunked + "0\r\nX-Trailer: t\r\n\r\n")
              .body,
          body)
          << path << " chunked " << body.size();
    }
    EXPECT_EQ(client.ask("POST", path, {{"Content-Length", "0"}}).body, "") << path;
  }
}

// A chunked answer stays one for HTTP/1.1; a client of HTTP/1.0
// gets the same bytes until the connection ends.
TEST_F(Protocol, FramesAnswersForTheirClient) {
  origin.on("/", [](Call& call) {
    call.read_body();
    call.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nX-T: "
        "1\r\n\r\n");
  });
  const Answer answer = gateway.get("/");
  EXPECT_EQ(answer.body, "Wikipedia") << answer;
  EXPECT_FALSE(answer.until_close);
  Client old(gateway.port());
  old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  const Answer plain = old.read();
  EXPECT_EQ(plain.body, "Wikipedia") << plain;
  EXPECT_FALSE(plain.chunked);
}

// An upstream of HTTP/1.0 ends its answer with the connection; the client's connection lives on.
TEST_F(Protocol, TakesAnswersThatEndWithTheConnection) {
  origin.on_raw("/old", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end");
  Client client(gateway.port());
  const Answer answer = client.get("/old");
  EXPECT_EQ(answer.body, "until the end") << answer;
  EXPECT_FALSE(answer.until_close) << answer;
  EXPECT_EQ(client.get("/").status, 200);
}

// Interim answers of the upstream are not the answer.
TEST_F(Protocol, WaitsForTheFinalAnswer) {
  origin.on("/", [](Call& call) {
    call.read_body();
    call.send(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal");
  });
  EXPECT_EQ(gateway.get("/").body, "final");
}

// Whoever asks with Expect is told to go on before he sends his body.
TEST_F(Protocol, SaysContinue) {
  echo("/echo");
  Client client(gateway.port());
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read().status, 100);
  client.send("body");
  EXPECT_EQ(client.read().body, "body");
}

// Any other expectation cannot be met.
TEST_F(Protocol, RefusesOtherExpectations) {
  Client client(gateway.port());
  expect_problem(client.ask("POST", "/", {{"Expect", "200-ok"}}, "x"), 417, "bad-request");
  EXPECT_TRUE(client.ended_by_peer());
  EXPECT_EQ(origin.count(), 0U);
}

// A refusal comes instead of the 100, so that the body is never sent.
TEST_F(Protocol, RefusesInsteadOfContinuing) {
  Gateway closed(R"(
    rate_limits: {closed: {key: global, limit: 0, window: 1m}}
    routes: [{path: /*, rate_limit: [closed], respond: {status: 200}}]
  )");
  Client client(closed.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read().status, 429);
}

// Server-sent events pass one by one: each reaches the client before the next one has been made.
TEST_F(Protocol, PassesEventsOneByOne) {
  Gate next;
  origin.on("/events", [&](Call& call) {
    call.read_body();
    call.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 1; i <= 3; ++i) {
      if (!call.wait(next)) return;
      const std::string event = "data: " + std::to_string(i) + "\n\n";
      call.send("9\r\n" + event + "\r\n");
    }
    if (call.wait(next)) call.send("0\r\n\r\n");
  });
  Client client(gateway.port());
  client.send(request_text("GET", "/events", {{"Accept", "text/event-stream"}}));
  const Answer head = client.read_head();
  ASSERT_EQ(head.status, 200) << head;
  EXPECT_EQ(head.field("Content-Type"), "text/event-stream");
  for (int i = 1; i <= 3; ++i) {
    next.let(1);
    EXPECT_EQ(client.read_body_until("\n\n"), "data: " + std::to_string(i) + "\n\n");
  }
  next.let(1);
  EXPECT_EQ(client.read_some_body(), "");
  EXPECT_TRUE(client.body_done()) << client.fault();
}

// An answer that comes before the upload has ended stops the upload: the client gets it although it still
// sends, and most of the body never crosses the gateway.
TEST_F(Protocol, StopsAnUploadAtAnEarlyAnswer) {
  std::atomic<std::size_t> received{0};
  origin.on("/stream/upload", [&](Call& call) {
    received += call.read_some().size();
    call.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  });
  Client client(gateway.port());
  constexpr std::size_t kSize = 32 * 1024 * 1024;
  client.send("POST /stream/upload HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(kSize) +
              "\r\n\r\n");
  std::thread sender([&] {
    const std::string piece(64 * 1024, 'x');
    for (std::size_t sent = 0; sent < kSize && client.send(piece); sent += piece.size()) {
    }
  });
  const Answer answer = client.read();
  EXPECT_EQ(answer.status, 403) << answer;
  EXPECT_EQ(answer.body, "no");
  sender.join();
  EXPECT_TRUE(client.ended_by_peer());
  EXPECT_TRUE(origin.wait_for_in_flight(0));
  EXPECT_LT(received, kSize / 4);
  EXPECT_EQ(gateway.get("/").status, 200);
}

// A client that reads slowly slows the upstream down; the gateway holds a bounded part of what lies between.
TEST_F(Protocol, DoesNotBufferWhatTheClientDoesNotRead) {
  constexpr std::size_t kSize = 64 * 1024 * 1024;
  std::atomic<bool> all_sent{false};
  origin.on("/large", [&](Call& call) {
    call.read_body();
    call.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
    const std::string piece(256 * 1024, 'x');
    for (std::size_t sent = 0; sent < kSize; sent += piece.size())
      if (!call.send(piece)) return;
    all_sent = true;
  });
  const auto peak_kib = [&] {
    const std::string status = read_file("/proc/" + std::to_string(gateway.process().pid()) + "/status");
    const std::size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0L : std::strtol(status.c_str() + at + 6, nullptr, 10);
  };
  gateway.get("/");
  const long before = peak_kib();
  ASSERT_GT(before, 0);
  Client client(gateway.port());
  client.send(request_text("GET", "/large"));
  ASSERT_EQ(client.read_head().status, 200);
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(gateway.get("/").status, 200);  // others are served meanwhile
  EXPECT_FALSE(all_sent);
  std::size_t read = 0;
  while (!client.body_done() && client.fault().empty()) read += client.read_some_body().size();
  EXPECT_EQ(read, kSize) << client.fault();
  EXPECT_TRUE(origin.wait_for_in_flight(0));
  EXPECT_LT(peak_kib() - before, 16 * 1024) << "KiB more than before";
}

// Switching protocols is not supported yet, and says so.
TEST_F(Protocol, RefusesUpgradesAndTunnels) {
  Client upgrade(gateway.port());
  expect_problem(upgrade.get("/", {{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}), 501, "bad-request");
  Client tunnel(gateway.port());
  expect_problem(tunnel.ask("CONNECT", "a.example:443", {{"Host", "a.example:443"}}), 501, "bad-request");
  EXPECT_EQ(origin.count(), 0U);
}

// Unknown methods are passed on: a gateway does not know every method of every service.
TEST_F(Protocol, PassesUnknownMethods) {
  EXPECT_EQ(gateway.ask("PURGE", "/").status, 200);
  EXPECT_EQ(origin.last().method, "PURGE");
}

// A body over `max_body` is refused, announced or not, and none of it reaches an upstream that waits for all
// of it.
TEST(ProtocolLimits, RefusesLargeBodies) {
  Origin origin;
  Gateway gateway(with(R"(
    limits: {max_body: 1KiB}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  EXPECT_EQ(gateway.ask("POST", "/", {}, std::string(1024, 'x')).status, 200);
  expect_problem(gateway.ask("POST", "/", {}, std::string(1025, 'x')), 413, "bad-request");
  const std::string chunked = "400\r\n" + std::string(1024, 'x') + "\r\n1\r\nx\r\n0\r\n\r\n";
  expect_problem(gateway.ask("POST", "/", {{"Transfer-Encoding", "chunked"}}, chunked), 413, "bad-request");
  EXPECT_EQ(origin.count(), 1U);
}

}  // namespace
}  // namespace weir::testing
