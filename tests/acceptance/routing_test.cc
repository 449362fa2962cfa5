// Which route takes a request, and which path the upstream sees.
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

// The first route that matches wins; a pattern takes exactly what the contract says it takes.
TEST(Routing, MatchesPatternsInOrder) {
  Gateway gateway(R"(
    routes:
      - {path: /exact, respond: {status: 200, body: exact}}
      - {path: "/users/{id}", respond: {status: 200, body: one user}}
      - {path: "/users/{id}/orders", respond: {status: 200, body: orders}}
      - {path: /tree/special, respond: {status: 200, body: special}}
      - {path: /tree/*, respond: {status: 200, body: tree}}
      - {path: /GET, methods: [GET], respond: {status: 200, body: got}}
      - {path: /GET, methods: [POST], respond: {status: 200, body: posted}}
  )");
  const std::vector<std::pair<std::string, std::string>> expected{
      {"/exact", "exact"},
      {"/exact?a=b", "exact"},
      {"/users/42", "one user"},
      {"/users/42/orders", "orders"},
      {"/tree", "tree"},
      {"/tree/", "tree"},
      {"/tree/a/b/c", "tree"},
      {"/tree/special", "special"},
      {"/tree/special/more", "tree"},
  };
  for (const auto& [target, body] : expected) EXPECT_EQ(gateway.get(target).body, body) << target;
  for (const char* target :
       {"/exact/", "/exactly", "/users/", "/users", "/users/42/", "/treetop", "/", "/Exact"})
    expect_problem(gateway.get(target), 404, "no-route");
  EXPECT_EQ(gateway.ask("GET", "/GET").body, "got");
  EXPECT_EQ(gateway.ask("POST", "/GET").body, "posted");
}

// The right path with the wrong method is 405, and says which methods there are on all routes of that path.
TEST(Routing, NamesTheAllowedMethods) {
  Gateway gateway(R"(
    routes:
      - {path: /a, methods: [GET], respond: {status: 200}}
      - {path: /a, methods: [POST, PUT], respond: {status: 200}}
  )");
  const Answer answer = gateway.ask("DELETE", "/a");
  expect_problem(answer, 405, "method-not-allowed");
  for (const char* method : {"GET", "POST", "PUT"})
    EXPECT_NE(answer.field("Allow").find(method), std::string::npos) << answer;
  EXPECT_EQ(answer.field("Allow").find("DELETE"), std::string::npos) << answer;
}

// One canonical path is routed, forwarded and logged: slashes
// merged, dots resolved, unreserved characters decoded.
TEST(Routing, ForwardsTheCanonicalPath) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /a/*, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  const std::vector<std::pair<std::string, std::string>> expected{
      {"/a/b", "/a/b"},
      {"/a//b///c", "/a/b/c"},
      {"//a/b", "/a/b"},
      {"/a/./b/../c", "/a/c"},
      {"/x/../a/b", "/a/b"},
      {"/a/%62%7e%2D", "/a/b~-"},
      {"/%61/b", "/a/b"},
      {"/a/%c3%a9", "/a/%C3%A9"},
      {"/a/b%20c", "/a/b%20c"},
      {"/a/b;v=1@x:y!$&'()*+,=", "/a/b;v=1@x:y!$&'()*+,="},
      {"/a/b?x=%2F..&y=//", "/a/b?x=%2F..&y=//"},
      {"/a/b?", "/a/b?"},
      {"/a/..b/c..", "/a/..b/c.."},
  };
  for (const auto& [sent, seen] : expected) {
    EXPECT_EQ(gateway.get(sent).status, 200) << sent;
    EXPECT_EQ(origin.last().target, seen) << sent;
  }
  EXPECT_EQ(gateway.get("/a/../b").status, 404) << "what leaves /a is not on the route of /a";
}

// Paths that two servers read differently are refused.
TEST(Routing, RefusesAmbiguousPaths) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  for (const char* target : {"/a/%2e%2e/b", "/%2e/a", "/a/%2E.", "/a/.%2e/", "/..", "/a/../../b", "/a%5cb",
                             "/a%5Cb", "/a%00", "/a%zz", "/a%2", "/a%", "/a%2Fb", "/a%2fb"}) {
    const Answer answer = gateway.get(target);
    expect_problem(answer, 400, "bad-request");
  }
  EXPECT_EQ(origin.count(), 0U);
}

// Where a route allows it, an encoded slash passes undecoded.
TEST(Routing, PassesAnEncodedSlashWhereAllowed) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: "/files/{name}", allow_encoded_slash: true, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  EXPECT_EQ(gateway.get("/files/a%2fb").status, 200);
  EXPECT_EQ(origin.last().target, "/files/a%2Fb");
}

// Routes may belong to a host, without regard to its case and port; the next route takes all others.
TEST(Routing, TellsHostsApart) {
  Gateway gateway(R"(
    routes:
      - {name: api, path: /*, host: api.example, respond: {status: 200, body: api}}
      - {name: any, path: /*, host: "*.example", respond: {status: 200, body: any}}
      - {path: /*, respond: {status: 200, body: other}}
  )");
  const std::vector<std::pair<std::string, std::string>> expected{
      {"api.example", "api"}, {"API.Example:8080", "api"}, {"www.example", "any"},
      {"a.b.example", "any"}, {"example", "other"},        {"apixexample", "other"}};
  for (const auto& [host, body] : expected) EXPECT_EQ(gateway.get("/", {{"Host", host}}).body, body) << host;
}

// An absolute target names host and path at once.
TEST(Routing, TakesAbsoluteTargets) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /a, host: api.example, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  EXPECT_EQ(gateway.get("http://api.example/a?b", {{"Host", "api.example"}}).status, 200);
  EXPECT_EQ(origin.last().target, "/a?b");
  EXPECT_EQ(origin.last().field("Host"), "api.example");
}

// Nothing is stripped unless the route says so.
TEST(Routing, RewritesPathsOnDemand) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes:
      - {path: /plain/*, upstream: origin}
      - {path: /strip/*, strip_prefix: true, upstream: origin}
      - {path: /v1/*, rewrite: /v2/*, upstream: origin}
  )",
                       {{"ORIGIN", origin.url()}}));
  const std::vector<std::pair<std::string, std::string>> expected{{"/plain/a", "/plain/a"},
                                                                  {"/strip/a/b?c", "/a/b?c"},
                                                                  {"/strip", "/"},
                                                                  {"/strip/", "/"},
                                                                  {"/v1/a/b?c", "/v2/a/b?c"}};
  for (const auto& [sent, seen] : expected) {
    EXPECT_EQ(gateway.get(sent).status, 200) << sent;
    EXPECT_EQ(origin.last().target, seen) << sent;
  }
}

// A route can answer by itself.
TEST(Routing, AnswersByItself) {
  Gateway gateway(R"(
    routes:
      - {path: /old, respond: {status: 308, headers: {Location: /new}}}
      - {path: /health, respond: {status: 200, body: ok}}
      - {path: /gone, respond: {status: 204}}
  )");
  const Answer moved = gateway.get("/old");
  EXPECT_EQ(moved.status, 308);
  EXPECT_EQ(moved.field("Location"), "/new");
  const Answer health = gateway.get("/health");
  EXPECT_EQ(health.body, "ok");
  EXPECT_FALSE(health.field("X-Request-Id").empty());
  EXPECT_EQ(gateway.get("/gone").status, 204);
}

// Addresses outside of `allow`, or inside of `deny`, are refused before anything is counted.
TEST(Routing, AllowsAndDeniesAddresses) {
  Gateway gateway(R"(
    routes:
      - {path: /allowed, allow: [127.0.0.2/32], respond: {status: 200}}
      - {path: /denied, deny: [127.0.0.2], respond: {status: 200}}
  )");
  Client one(gateway.port(), "127.0.0.1");
  Client two(gateway.port(), "127.0.0.2");
  expect_problem(one.get("/allowed"), 403, "forbidden");
  EXPECT_EQ(two.get("/allowed").status, 200);
  EXPECT_EQ(one.get("/denied").status, 200);
  expect_problem(two.get("/denied"), 403, "forbidden");
  EXPECT_EQ(two.get("/allowed", {{"X-Forwarded-For", "127.0.0.1"}}).status, 200);
  EXPECT_EQ(one.get("/allowed", {{"X-Forwarded-For", "127.0.0.2"}}).status, 403);
}

}  // namespace
}  // namespace weir::testing
