// Passport and idempotency over a whole chain on the simulated network: who is let in, what upstreams are told, and what
// is executed once, whatever becomes of clients, calls and coroutines on the way.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/gateway/testing.h"
#include "weir/passport/sign.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Desk;
using testing::Service;

constexpr std::string_view kConfiguration = R"(
auth:
  failures_per_second: 50
  providers:
    - {name: main, issuer: https://id.example, audiences: [api], secret: 0123456789abcdef0123456789abcdef}
idempotency: {store: memory, lease: 5s}
upstreams:
  a: {endpoints: ["http://10.0.0.1:80"], timeout: 2s}
  gone: {endpoints: ["http://10.0.0.9:80"]}
routes:
  - {path: /must, auth: required, upstream: a}
  - {path: /may, auth: optional, upstream: a}
  - {path: /scoped, auth: {scopes: [pay]}, upstream: a}
  - {path: /pay, auth: optional, idempotency: {anonymous: true}, upstream: a}
  - {path: /wait, auth: optional, idempotency: {anonymous: true, wait: 10s}, upstream: a}
  - {path: /one, auth: optional, load_shed: {max_in_flight: 1}, idempotency: {anonymous: true}, upstream: a}
  - {path: /gone, auth: optional, idempotency: {anonymous: true}, upstream: gone}
)";

std::string token(std::string_view sub, std::int64_t exp = 4'102'444'800, std::string_view scope = "") {
  static const passport::Signer signer =
      passport::Signer::from_secret("0123456789abcdef0123456789abcdef", passport::Algorithm::hs256, "")
          .value();
  passport::Json claims;
  claims.set("iss", passport::Json("https://id.example"));
  claims.set("aud", passport::Json("api"));
  claims.set("sub", passport::Json(sub));
  claims.set("exp", passport::Json(exp));
  if (!scope.empty()) claims.set("scope", passport::Json(scope));
  return signer.sign(claims).value();
}

std::string get(std::string_view path, std::string_view fields) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n";
}

std::string post(std::string_view path, std::string_view key, std::string_view body = "{}") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a.example\r\n" +
         (key.empty() ? std::string() : "Idempotency-Key: " + std::string(key) + "\r\n") +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::size_t count(std::string_view text, std::string_view piece) {
  std::size_t n = 0;
  for (std::size_t at = text.find(piece); at != std::string_view::npos; at = text.find(piece, at + 1)) ++n;
  return n;
}

// One exchange of several on a desk.
struct Asker {
  Asker(Desk& desk, std::string request) : waiter(desk.reactor, &cancel), exchange(desk.worker) {
    bytes = std::move(request);
    exchange.begin(client, waiter, desk.reactor.now());
    exchange.plan = desk.worker.use_plan();
    exchange.peer = exchange.client = base::IpAddress::parse("192.0.2.1").value();
    exchange.peer_text = "192.0.2.1";
    WEIR_CHECK(parser.parse(bytes, exchange.request) == http::Parse::done);
    client.waiting = bytes.substr(parser.consumed());
    client.received = client.waiting.size();
    assign_request_id(exchange);
    exchange.path = http::canonical_path(exchange.request.path, exchange.path_scratch).path;
    const RouteTable::Match match =
        desk.plan->table.find("a.example", exchange.path, exchange.request.method_text);
    exchange.route = &desk.plan->routes[match.route];
    scope.emplace();
    scope->spawn(run_pipeline(exchange));
  }

  std::string bytes;
  http::RequestParser parser;
  async::CancelSource cancel;
  io::Waiter waiter;
  testing::FakeDownstream client;
  Exchange exchange;
  std::optional<async::Scope> scope;
};

// --- passport

// A good token passes and is told; a bad one, two, or none where one is needed, is answered with its challenge, and the
// upstream hears of nothing.
TEST(PassportStage, LetsInWhoIsKnown) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", testing::kOk);
  desk.receive(get("/must", "Authorization: Bearer " + token("user_123") + "\r\nX-Passport: forged\r\n"));
  desk.run();
  EXPECT_EQ(desk.client.status, 200);
  EXPECT_NE(service.seen.find("X-Passport: eyJ1c2VyX2lkIjoidXNlcl8xMjMi"), std::string::npos);
  EXPECT_EQ(count(service.seen, "X-Passport"), 1U);
  EXPECT_EQ(service.seen.find("Authorization"), std::string::npos);
  service.seen.clear();
  struct Case {
    std::string path, fields;
    int status;
    std::string_view challenge;
  };
  const std::string good = token("u");
  const std::vector<Case> cases{
      {"/must", "", 401, "Bearer realm=\"weir\""},
      {"/must", "Authorization: Bearer " + good + "x\r\n", 401,
       "Bearer realm=\"weir\", error=\"invalid_token\""},
      {"/must", "Authorization: Basic abc\r\n", 401, "Bearer realm=\"weir\", error=\"invalid_token\""},
      {"/may", "Authorization: Bearer bad\r\n", 401, "Bearer realm=\"weir\", error=\"invalid_token\""},
      {"/must", "Authorization: Bearer " + good + "\r\nAuthorization: Bearer " + good + "\r\n", 400,
       "Bearer realm=\"weir\", error=\"invalid_request\""},
      {"/scoped", "Authorization: Bearer " + token("u", 4'102'444'800, "read") + "\r\n", 403,
       "Bearer realm=\"weir\", error=\"insufficient_scope\", scope=\"pay\""},
  };
  for (const Case& each : cases) {
    desk.receive(get(each.path, each.fields));
    desk.run();
    EXPECT_EQ(desk.client.status, each.status) << each.path << each.fields;
    EXPECT_EQ(desk.client.value("WWW-Authenticate"), each.challenge);
    EXPECT_EQ(desk.client.payload.find(good), std::string::npos) << "no token in an answer";
  }
  EXPECT_EQ(service.seen, "");
  desk.receive(get("/scoped", "Authorization: Bearer " + token("u", 4'102'444'800, "read pay") + "\r\n"));
  desk.run();
  EXPECT_EQ(desk.client.status, 200);
}

// A remembered token ends by the clock, to the second of its leeway.
TEST(PassportStage, ARememberedTokenEnds) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", testing::kOk);
  const auto now = std::chrono::duration_cast<seconds>(desk.worker.wall_now().time_since_epoch()).count();
  const std::string short_lived = token("u", now + 60);
  const auto status = [&] {
    desk.receive(get("/must", "Authorization: Bearer " + short_lived + "\r\n"));
    desk.run();
    return desk.client.status;
  };
  EXPECT_EQ(status(), 200);
  desk.reactor.run_for(seconds{88});  // 60 and a leeway of 30
  EXPECT_EQ(status(), 200);
  desk.reactor.run_for(seconds{3});
  EXPECT_EQ(status(), 401);
}

// --- idempotency

// Executed once; a repeat gets the first answer without a call; another body is a mismatch, no key or a bad one 400.
TEST(IdempotencyStages, RepeatsAreAnswered) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80",
                  "HTTP/1.1 201 Created\r\nLocation: /1\r\nContent-Length: 4\r\n\r\ndone");
  const auto ask = [&](std::string_view key, std::string_view body = "{}") {
    desk.receive(post("/pay", key, body));
    desk.run();
    return desk.client.status;
  };
  EXPECT_EQ(ask("k"), 201);
  EXPECT_EQ(desk.client.count("Idempotent-Replayed"), 0U);
  EXPECT_EQ(ask("\"k\""), 201) << "the quoted form is the same key";
  EXPECT_EQ(desk.client.value("Idempotent-Replayed"), "true");
  EXPECT_EQ(desk.client.value("Location"), "/1");
  EXPECT_EQ(desk.client.payload, "done");
  EXPECT_EQ(ask("k", "[]"), 422);
  EXPECT_EQ(ask(""), 400);
  EXPECT_EQ(ask("a b"), 400);
  EXPECT_EQ(count(service.seen, "POST /pay"), 1U);
}

// The second of two at once is told that the first is under way; where the route lets it wait, it gets its answer.
TEST(IdempotencyStages, DuplicatesInFlight) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", "");
  for (const std::string path : {"/pay", "/wait"}) {
    Asker first(desk, post(path, "k"));
    desk.reactor.run_for(milliseconds{100});
    Asker second(desk, post(path, "k"));
    desk.reactor.run_for(milliseconds{100});
    EXPECT_EQ(second.client.status, path == "/pay" ? 409 : 0);
    service.reply(testing::kOk);
    desk.reactor.run_for(seconds{1});
    EXPECT_EQ(first.client.status, 200);
    EXPECT_EQ(second.client.status, path == "/pay" ? 409 : 200);
    EXPECT_EQ(second.client.count("Idempotent-Replayed"), path == "/pay" ? 0U : 1U);
    EXPECT_EQ(count(service.seen, "POST " + path), 1U);
  }
}

// However a call ends, the key is in the state that is true: an answer is kept, a connection that was never made frees
// it, and everything in between is unknown and never run again.
TEST(IdempotencyStages, EveryEndOfACall) {
  enum class Ends { client_gone, destroyed, cut, late, unreachable, retry_later };
  for (const Ends ends :
       {Ends::client_gone, Ends::destroyed, Ends::cut, Ends::late, Ends::unreachable, Ends::retry_later}) {
    Desk desk(kConfiguration);
    Service service(desk, "10.0.0.1:80", "");
    const std::string path = ends == Ends::unreachable ? "/gone" : "/pay";
    auto first = std::make_unique<Asker>(desk, post(path, "k"));
    desk.reactor.run_for(milliseconds{100});
    if (ends == Ends::client_gone) {
      first->client.is_gone = true;
      first->waiter.notify();
      desk.reactor.run_for(milliseconds{100});
      service.reply(testing::kOk);
    }
    if (ends == Ends::destroyed) first.reset();
    if (ends == Ends::cut) service.reply("HTTP/1.1 200 OK\r\nno such field\r\n\r\n");
    if (ends == Ends::retry_later) service.reply("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    desk.reactor.run_for(seconds{4});  // over the call's two
    Asker again(desk, post(path, "k"));
    desk.reactor.run_for(milliseconds{100});
    const int status = again.client.status;
    switch (ends) {
      case Ends::client_gone:
        EXPECT_EQ(status, 200) << "the call went on, and its answer was kept";
        EXPECT_EQ(again.client.value("Idempotent-Replayed"), "true");
        break;
      case Ends::destroyed:
      case Ends::cut:
      case Ends::late:
        EXPECT_EQ(status, 409) << static_cast<int>(ends);
        EXPECT_NE(again.client.payload.find("idempotency-outcome-unknown"), std::string::npos)
            << again.client.payload;
        break;
      case Ends::unreachable:
        EXPECT_NE(status, 409) << "nothing was sent: the key is free";
        break;
      case Ends::retry_later:
        EXPECT_EQ(status, 0) << "it runs again, and waits for its answer";
        break;
    }
    EXPECT_EQ(count(service.seen, "POST /pay"), ends == Ends::unreachable   ? 0U
                                                : ends == Ends::retry_later ? 2U
                                                                            : 1U)
        << static_cast<int>(ends);
  }
}

// Who is shed leaves no record: the key is as free as before.
TEST(IdempotencyStages, WhatIsShedLeavesNoRecord) {
  Desk desk(kConfiguration);
  Service service(desk, "10.0.0.1:80", "");
  Asker holds(desk, post("/one", "a"));
  desk.reactor.run_for(milliseconds{100});
  Asker shed(desk, post("/one", "b"));
  desk.reactor.run_for(milliseconds{100});
  EXPECT_EQ(shed.client.status, 503);
  service.reply(testing::kOk);
  desk.reactor.run_for(milliseconds{500});
  EXPECT_EQ(holds.client.status, 200);
  Asker later(desk, post("/one", "b"));
  desk.reactor.run_for(milliseconds{100});
  service.reply(testing::kOk);
  desk.reactor.run_for(milliseconds{500});
  EXPECT_EQ(later.client.status, 200);
  EXPECT_EQ(later.client.count("Idempotent-Replayed"), 0U);
}

}  // namespace
}  // namespace weir::gateway
