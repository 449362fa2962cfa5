// What a service gets and what the client gets back, through the whole chain of a route.
#include "weir/gateway/terminals/proxy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Desk;
using testing::kOk;
using testing::Service;

std::string routed(std::string_view more, std::string_view upstream = "") {
  return "upstreams: {u: {endpoints: [http://10.0.0.1:8080]" + std::string(upstream) +
         "}}\nroutes: [{name: r, path: /api/*, upstream: u" + std::string(more) + "}]";
}

// What the service sees of a request, without what is new each time.
std::string seen_of(const std::string& configuration, const std::string& request,
                    std::string_view from = "192.0.2.1") {
  Desk desk(configuration);
  Service service(desk, "10.0.0.1:8080", kOk);
  desk.receive(request, from);
  desk.run();
  EXPECT_EQ(desk.client.status, 200);
  std::string seen = service.seen;
  for (const std::string_view name : {"traceparent: ", "X-Request-Id: "}) {
    const std::size_t at = seen.find(name);
    EXPECT_NE(at, std::string::npos) << name << " in " << seen;
    if (at != std::string::npos) seen.erase(at, seen.find("\r\n", at) + 2 - at);
  }
  return seen;
}

std::string get(std::string_view fields, std::string_view target = "/api/x") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n";
}

// The request is written anew from its model.
TEST(Proxy, WhatTheServiceSees) {
  EXPECT_EQ(seen_of(routed(""), get("Accept: */*\r\nx-Custom:  two  words \r\n", "/api/./a//b?q=1")),
            "GET /api/a/b?q=1 HTTP/1.1\r\n"
            "Host: a.example\r\n"
            "Accept: */*\r\n"
            "x-Custom: two  words\r\n"
            "X-Forwarded-For: 192.0.2.1\r\n"
            "X-Forwarded-Proto: http\r\n"
            "X-Forwarded-Host: a.example\r\n"
            "Forwarded: for=192.0.2.1;host=\"a.example\";proto=http\r\n"
            "Via: 1.1 weir\r\n"
            "\r\n");
}

// Metamorphic: whatever spelling of a field that only weir may write is added, the service sees the same
// bytes.
TEST(Proxy, OwnedFieldsNeverChangeWhatTheServiceSees) {
  const std::string plain = seen_of(routed(""), get("Accept: a\r\n"));
  base::Random random(3);
  for (const std::string name : {"X-Passport", "X-Proxy-State", "X-Experiments", "X-Flags", "X-Forwarded-For",
                                 "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
                                 "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "Traceparent"}) {
    for (int spelling = 0; spelling < 6; ++spelling) {
      std::string spelt = name;
      for (char& c : spelt) {
        if (c == '-') c = "-_."[random.below(3)];
        if (base::is_alpha(c) && random.chance(1, 2)) c = static_cast<char>(c ^ 0x20);
      }
      if (spelling == 0) spelt = name;
      for (const std::string& fields :
           {spelt + ": forged\r\nAccept: a\r\n",
            "Accept: a\r\n" + spelt + ": forged\r\n" + spelt + ": again\r\n",
            "Connection: " + spelt + "\r\nAccept: a\r\n" + spelt + ": forged\r\n"})
        ASSERT_EQ(seen_of(routed(""), get(fields)), plain) << fields;
    }
  }
}

// Hop-by-hop fields and those that Connection names stay behind; an end-to-end field stays although
// Connection names it.
TEST(Proxy, HopByHopFieldsStayBehind) {
  const std::string plain = seen_of(routed(""), get("Accept: a\r\nCookie: c\r\n"));
  EXPECT_EQ(
      seen_of(routed(""), get("Connection: keep-alive, X-Mine, Cookie\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                              "X-Mine: x\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n"
                              "Accept: a\r\nCookie: c\r\n")),
      plain);
}

// A body that is complete goes with its length, also when it came in chunks.
TEST(Proxy, BufferedBodiesGoWithTheirLength) {
  const std::string seen =
      seen_of(routed(""), "POST /api/x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_NE(seen.find("content-length: 5\r\n\r\nhello"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("transfer-encoding"), std::string::npos);
}

// Host: the client's, the endpoint's, or a given one.
TEST(Proxy, Host) {
  EXPECT_NE(seen_of(routed("", ", host: upstream"), get("")).find("\r\nHost: 10.0.0.1:8080\r\n"),
            std::string::npos);
  EXPECT_NE(seen_of(routed("", ", host: inner.example"), get("")).find("\r\nHost: inner.example\r\n"),
            std::string::npos);
  EXPECT_NE(seen_of(routed(""), "GET /api/x HTTP/1.0\r\n\r\n").find("\r\nHost: 10.0.0.1:8080\r\n"),
            std::string::npos);
}

// Paths: kept, stripped, rewritten.
TEST(Proxy, Paths) {
  EXPECT_TRUE(seen_of(routed(""), get("", "/api/a/b?c")).starts_with("GET /api/a/b?c HTTP/1.1\r\n"));
  EXPECT_TRUE(
      seen_of(routed(", strip_prefix: true"), get("", "/api/a/b?c")).starts_with("GET /a/b?c HTTP/1.1\r\n"));
  EXPECT_TRUE(seen_of(routed(", strip_prefix: true"), get("", "/api")).starts_with("GET / HTTP/1.1\r\n"));
  EXPECT_TRUE(
      seen_of(routed(", rewrite: /v2/*"), get("", "/api/a/b?c")).starts_with("GET /v2/a/b?c HTTP/1.1\r\n"));
}

// Edits of the request: removed, replaced in any spelling, added.
TEST(Proxy, RequestEdits) {
  const std::string seen = seen_of(routed(", headers: {request: {set: {X-A: b, X-New: n}, remove: [X-B]}}"),
                                   get("x-a: client\r\nX-B: gone\r\nX-C: c\r\n"));
  EXPECT_EQ(seen.find("client"), std::string::npos);
  EXPECT_EQ(seen.find("gone"), std::string::npos);
  EXPECT_NE(seen.find("X-C: c\r\n"), std::string::npos);
  EXPECT_NE(seen.find("X-A: b\r\nX-New: n\r\n"), std::string::npos);
}

struct Answered {
  int status = 0;
  std::string type;
  std::string payload;
  std::vector<int> interim;
  bool aborted = false;
};

Answered answer_of(const std::string& from_service, const std::string& configuration = routed("")) {
  Desk desk(configuration);
  Service service(desk, "10.0.0.1:8080", from_service);
  desk.receive(get(""));
  desk.run();
  return {desk.client.status, desk.client.value("Content-Type"), desk.client.payload, desk.client.interim,
          desk.client.aborted};
}

// The answer is passed on, interim ones too but for 100; hop-by-hop fields stay behind.
TEST(Proxy, WhatTheClientSees) {
  Desk desk(routed(""));
  Service service(
      desk, "10.0.0.1:8080",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 201 Made\r\nX-A: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nVia: 1.1 inner\r\n"
      "X-Request-Id: theirs\r\nContent-Length: 4\r\n\r\nbody");
  desk.receive(get("X-Request-Id: ours\r\n"));
  desk.run();
  EXPECT_EQ(desk.client.status, 201);
  EXPECT_EQ(desk.client.payload, "body");
  EXPECT_EQ(desk.client.interim, std::vector<int>{103});
  EXPECT_EQ(desk.client.value("X-A"), "1");
  EXPECT_EQ(desk.client.count("X-Hop") + desk.client.count("Keep-Alive") + desk.client.count("Connection"),
            0U);
  EXPECT_EQ(desk.client.value("X-Request-Id"), "ours");
  EXPECT_EQ(desk.client.count("X-Request-Id"), 1U);
  EXPECT_EQ(desk.client.count("Via"), 2U);
  EXPECT_EQ(desk.client.content_length, 4U);
}

// Lying, dead and silent services.
TEST(Proxy, ServicesThatFail) {
  const Answered malformed = answer_of("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
  EXPECT_EQ(malformed.status, 502);
  EXPECT_NE(malformed.payload.find("upstream-malformed"), std::string::npos);
  const Answered silent = answer_of("", routed("", ", timeouts: {first_byte: 1s}"));
  EXPECT_EQ(silent.status, 504);
  EXPECT_NE(silent.payload.find("upstream-timeout"), std::string::npos);
  const Answered late =
      answer_of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", routed("", ", timeout: 1s"));
  EXPECT_EQ(late.status, 200);
  EXPECT_TRUE(late.aborted) << "the head has gone out: it can only be cut";
  Desk dead(routed(""));
  dead.receive(get(""));
  dead.run();
  EXPECT_EQ(dead.client.status, 502);
  EXPECT_NE(dead.client.payload.find("upstream-unreachable"), std::string::npos);
}

// The fifth failure in a row opens; then nothing reaches the service until open_for has passed.
TEST(Proxy, BreakerOpens) {
  Desk desk(routed("", ", circuit_breaker: {failures: 5, open_for: 2s}"));
  Service service(desk, "10.0.0.1:8080", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  const auto ask = [&] {
    desk.receive(get(""));
    desk.run();
    return desk.client.payload.find("circuit-open") != std::string::npos;
  };
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(ask());
  const std::size_t seen = service.seen.size();
  EXPECT_TRUE(ask());
  EXPECT_EQ(desk.client.status, 503);
  EXPECT_EQ(desk.client.value("Retry-After"), "2");
  EXPECT_EQ(service.seen.size(), seen);
  desk.reactor.run_for(seconds{2});
  EXPECT_FALSE(ask()) << "a probe";
  EXPECT_GT(service.seen.size(), seen);
}

// A client that leaves is neither a success nor a failure, and gives everything back at once.
TEST(Proxy, ClientThatLeaves) {
  Desk desk(routed(", load_shed: {max_in_flight: 1}"));
  Service service(desk, "10.0.0.1:8080", "");
  for (int i = 0; i < 10; ++i) {
    desk.receive(get(""));
    desk.scope.spawn(run_pipeline(desk.exchange));
    desk.reactor.run_for(milliseconds{10});
    EXPECT_EQ(desk.scope.running(), 1U);
    desk.client.is_gone = true;
    desk.waiter.notify();
    desk.reactor.run_for(milliseconds{1});
    EXPECT_EQ(desk.scope.running(), 0U);
    EXPECT_TRUE(desk.exchange.record.client_gone);
    EXPECT_EQ(desk.exchange.record.problem, Problem::none) << "round " << i;
  }
  EXPECT_EQ(desk.plan->upstreams[0].shared->breaker().snapshot(desk.reactor.now()).consecutive_failures, 0U);
}

// Permit and ticket come back when the answer has been taken off the service, whatever the client's speed.
TEST(Proxy, SlowClientsHoldNoPlace) {
  Desk desk(routed(", load_shed: {max_in_flight: 1}"));
  std::string body(60'000, 'x');
  Service service(desk, "10.0.0.1:8080", "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + body);
  desk.receive(get(""));
  desk.client.takes = 10;
  desk.scope.spawn(run_pipeline(desk.exchange));
  desk.reactor.run_for(milliseconds{100});
  EXPECT_EQ(desk.scope.running(), 1U) << "the client has not taken it";
  for (const auto& [name, shedder] : desk.state.shedders()) EXPECT_EQ(shedder->in_flight(), 0U) << name;
  EXPECT_EQ(desk.worker.pool_counts(desk.plan->upstreams[0].options.endpoints[0]).idle, 1U);
  desk.client.takes = 1'000'000;
  desk.waiter.notify();
  desk.reactor.run_for(milliseconds{1});
  EXPECT_TRUE(desk.client.finished);
  EXPECT_EQ(desk.client.payload, body);
}

}  // namespace
}  // namespace weir::gateway
