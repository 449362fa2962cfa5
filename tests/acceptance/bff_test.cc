// Pages from several services, over sockets: side by side, inside their time, each part for itself.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/acceptance/auth.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

// Three services and a page of theirs; $USER and $MORE go into the sections.
struct Services {
  Origin users, orders, recs;

  Services() {
    const Fields json{{"Content-Type", "application/json"}};
    users.on("/v1/users/17",
             [json](Call& call) { call.reply(200, R"({"id": 17,  "name":"\u0041nn"})", json); });
    orders.on("/v1/orders", [json](Call& call) { call.reply(200, "[1.50,\n2]", json); });
    recs.on("/v1/recs", [json](Call& call) { call.reply(200, "[9]", json); });
  }

  std::string page(std::string_view bff = "", std::string_view user = "", std::string_view recs_more = "",
                   std::string_view upstreams = "") const {
    return with(R"(
      upstreams:
        users: {endpoints: [$USERS]}
        orders: {endpoints: [$ORDERS]}
        recs: {endpoints: [$RECS] $UPSTREAMS}
      routes:
        - path: /home/{id}
          bff:
            $BFF
            sections:
              user: {upstream: users, path: "/v1/users/{req.path.id}", timeout: 2s $USER}
              orders: {upstream: orders, path: /v1/orders, timeout: 2s, on_error: []}
              recs: {upstream: recs, path: "/v1/recs?n={req.query.n ?? 10}", timeout: 2s $RMORE}
    )",
                {{"USERS", users.url()},
                 {"ORDERS", orders.url()},
                 {"RECS", recs.url()},
                 {"UPSTREAMS", std::string(upstreams)},
                 {"BFF", bff.empty() ? std::string("deadline: 5s") : std::string(bff)},
                 {"USER", std::string(user)},
                 {"RMORE", std::string(recs_more)}});
  }
};

constexpr std::string_view kUser = R"({"id": 17,  "name":"\u0041nn"})";
constexpr std::string_view kOrders = "[1.50,\n2]";

// All three services are asked before any has answered, and the page holds their very bytes in the file's order.
TEST(Bff, CallsServicesSideBySide) {
  Services services;
  Gate gate;
  for (Origin* origin : {&services.users, &services.orders, &services.recs})
    for (const char* path : {"/v1/users/17", "/v1/orders", "/v1/recs"})
      origin->on(path, [&gate, path](Call& call) {
        if (!call.wait(gate)) return;
        call.reply(200, std::string("{\"at\":\"") + path + "\"}");
      });
  Gateway gateway(services.page());
  Client client(gateway.port());
  client.send(request_text("GET", "/home/17"));
  EXPECT_TRUE(services.users.wait_for_in_flight(1));
  EXPECT_TRUE(services.orders.wait_for_in_flight(1));
  EXPECT_TRUE(services.recs.wait_for_in_flight(1));
  const auto opened = std::chrono::steady_clock::now();
  gate.open();
  const Answer answer = client.read();
  std::printf(
      "three answers at once to the page: %lld ms\n",
      static_cast<long long>(duration_cast<milliseconds>(std::chrono::steady_clock::now() - opened).count()));
  ASSERT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.body,
            R"({"user":{"at":"/v1/users/17"},"orders":{"at":"/v1/orders"},"recs":{"at":"/v1/recs"}})");
  EXPECT_EQ(answer.field("Weir-Complete"), "?1");
  EXPECT_EQ(answer.field("Content-Type"), "application/json");
  EXPECT_EQ(services.recs.last().target, "/v1/recs?n=10");
}

// A section that hangs ends at its own timeout; the others are there, and the page says what happened.
TEST(Bff, KeepsEachTimeout) {
  Services services;
  Gate never;
  services.recs.on_hold("/v1/recs", never);
  std::string configuration = services.page();
  const std::size_t at = configuration.find("timeout: 2s", configuration.find("upstream: recs"));
  configuration.replace(at, 11, "timeout: 100ms");
  Gateway gateway(configuration);
  const auto begin = std::chrono::steady_clock::now();
  const Answer answer = gateway.get("/home/17");
  const auto took = duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
  EXPECT_EQ(answer.body,
            "{\"user\":" + std::string(kUser) + ",\"orders\":" + std::string(kOrders) + ",\"recs\":null}");
  EXPECT_GE(took, 99ms);
  EXPECT_NE(answer.field("Weir-Sections").find("e=http_response_timeout"), std::string::npos) << answer;
  EXPECT_NE(answer.field("Weir-Sections").find("user;s=ok"), std::string::npos) << answer;
  std::printf("a section of 100 ms that hangs: the page after %lld ms\n",
              static_cast<long long>(took.count()));
}

// One service after another does what no service should: the page stays valid, and the other parts' bytes are the same.
TEST(Bff, IsolatesEveryFault) {
  const std::vector<std::pair<std::string, std::string>> faults{
      {"invalid JSON", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1,"},
      {"not UTF-8", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\"\xff\xfe\""},
      {"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,"},
      {"no HTTP", "what?\r\n\r\n"},
      {"two gigabytes", "HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n[1"},
      {"coded", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"},
      {"depth bomb", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + std::string(50'000, '[') +
                         std::string(50'000, ']')},
      {"error", "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"},
      {"closed", ""},
  };
  Services services;
  Gateway gateway(services.page("deadline: 5s", "", "", ", circuit_breaker: off"));
  for (const auto& [name, bytes] : faults) {
    services.recs.on_raw("/v1/recs", bytes);
    const Answer answer = gateway.get("/home/17");
    ASSERT_EQ(answer.status, 200) << name << answer;
    EXPECT_EQ(answer.body,
              "{\"user\":" + std::string(kUser) + ",\"orders\":" + std::string(kOrders) + ",\"recs\":null}")
        << name;
    EXPECT_EQ(answer.field("Weir-Complete"), "?0") << name;
    EXPECT_NE(answer.field("Weir-Sections").find("recs;s=error"), std::string::npos) << name << answer;
    EXPECT_EQ(answer.field("Cache-Control"), "no-store") << name;
  }
}

// A required section decides: its 4xx and 5xx are 502, its timeout 504, each as the problem section-required.
TEST(Bff, LosesThePageWithARequiredSection) {
  Services services;
  Gateway gateway(services.page("deadline: 300ms", ", need: required"));
  EXPECT_EQ(gateway.get("/home/17").status, 200);
  services.users.on_status("/v1/users/17", 500);
  expect_problem(gateway.get("/home/17"), 502, "section-required");
  expect_problem(gateway.get("/home/18?x=404"), 502, "section-required");
  Gate never;
  services.users.on_hold("/v1/users/17", never);
  const Answer late = gateway.get("/home/17");
  expect_problem(late, 504, "section-required");
  EXPECT_NE(late.field("Weir-Sections").find("user;s=error"), std::string::npos) << late;
  const Json line = gateway.wait_for_log([](const Json& json) { return json["status"].number() == 504; });
  EXPECT_EQ(line["stage"].text(), "bff");
  EXPECT_EQ(line["reason"].text(), "section-required");
  EXPECT_EQ(line["upstream"].text(), "-");
}

// A refused service, a value that is absent and a literal in its place: a degraded page, not a lost one.
TEST(Bff, DegradesAsTheFileSays) {
  Services services;
  std::string refused;
  {
    Origin gone;
    refused = gone.url();
  }
  Gateway gateway(with(R"(
    upstreams: {users: {endpoints: [$USERS]}, gone: {endpoints: [$GONE]}}
    routes:
      - path: /page
        bff:
          reply: $REPLY
          sections:
            user: {upstream: users, path: /v1/users/17}
            list: {upstream: gone, path: /x, on_error: [none, 1.0]}
            left_out: {upstream: gone, path: /y, omit_on_error: true}
            after: {upstream: users, path: "/v1/{list.id}"}
            asked: {upstream: users, path: "/v1/users/{req.query.id}"}
            beta: {upstream: users, path: /v1/users/17, when: {header.X-Beta: {eq: "1"}}, shape: {pick: id}}
  )",
                       {{"USERS", services.users.url()}, {"GONE", refused}, {"REPLY", "flat"}}));
  const Answer answer = gateway.get("/page");
  EXPECT_EQ(answer.body, "{\"user\":" + std::string(kUser) +
                             R"(,"list":["none",1.0],"after":null,"asked":null,"beta":null})");
  const std::string sections = answer.field("Weir-Sections");
  EXPECT_NE(sections.find("list;s=error;d="), std::string::npos) << sections;
  EXPECT_NE(sections.find("e=connection_refused"), std::string::npos) << sections;
  EXPECT_NE(sections.find("after;s=skipped;e=needs_failed"), std::string::npos) << sections;
  EXPECT_NE(sections.find("asked;s=error;e=value_absent"), std::string::npos) << sections;
  EXPECT_NE(sections.find("beta;s=skipped"), std::string::npos) << sections;
  EXPECT_NE(answer.field("Proxy-Status").find("error=connection_refused;next-hop=\"gone\""),
            std::string::npos);
  const Answer beta = gateway.get("/page?id=../secret", {{"X-Beta", "1"}});
  EXPECT_NE(beta.body.find(R"("beta":17)"), std::string::npos) << beta;
  EXPECT_EQ(services.users.last("/v1/users/..%2Fsecret").method, "GET") << "a value stays one segment";
}

// Every service sees the same request id and trace, a span of its own, and how long an answer is worth having.
TEST(Bff, TellsServicesWhoAsks) {
  Services services;
  Gateway gateway(services.page("deadline: 5s", "", "", ", external: true"));
  const Answer answer = gateway.get("/home/17", {{"X-Request-Id", "abc-1"},
                                                 {"X-Passport", "forged"},
                                                 {"X-Envoy-Expected-Rq-Timeout-Ms", "1"},
                                                 {"Cookie", "session=1"}});
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.field("X-Request-Id"), "abc-1");
  std::set<std::string> traces, spans;
  for (const Origin* origin : {&services.users, &services.orders, &services.recs}) {
    const Seen seen = origin->last();
    EXPECT_EQ(seen.field("X-Request-Id"), "abc-1");
    EXPECT_EQ(seen.count("traceparent"), 1U);
    ASSERT_EQ(seen.field("traceparent").size(), 55U);
    traces.insert(seen.field("traceparent").substr(3, 32));
    spans.insert(seen.field("traceparent").substr(36, 16));
    EXPECT_EQ(seen.field("X-Passport"), "");
    EXPECT_EQ(seen.field("Cookie"), "") << "a page's calls carry what weir says, not what the client said";
    EXPECT_EQ(seen.field("Accept"), "application/json");
    EXPECT_EQ(seen.field("Via"), "1.1 weir");
  }
  EXPECT_EQ(traces.size(), 1U);
  EXPECT_EQ(spans.size(), 3U);
  const long left = std::stol(services.users.last().field("X-Envoy-Expected-Rq-Timeout-Ms"));
  EXPECT_GT(left, 1000);
  EXPECT_LE(left, 2000);
  EXPECT_EQ(services.recs.last().field("X-Envoy-Expected-Rq-Timeout-Ms"), "") << "external";
  EXPECT_EQ(services.users.last().field("X-Forwarded-For"), "127.0.0.1");
}

// A page's calls carry the passport and the proxy state, and its templates and conditions can use the passport; an
// external upstream is told nothing.
TEST(Bff, CarriesThePassport) {
  const TemporaryFolder folder;
  const Issuer issuer;
  Origin users, foreign;
  users.on_status("/v1/users/user_123", 200, "{}");
  foreign.on_status("/x", 200, "{}");
  Gateway gateway(with(R"(
    auth: {providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]}
    passport: {claims: {user_id: sub, plan: plan}}
    upstreams: {users: {endpoints: [$USERS]}, foreign: {endpoints: [$FOREIGN], external: true}}
    routes:
      - path: /home
        auth: required
        bff:
          sections:
            user: {upstream: users, path: "/v1/users/{passport.user_id}"}
            gold: {upstream: users, path: /gold, when: {passport.plan: {eq: gold}}}
            foreign: {upstream: foreign, path: /x}
  )",
                       {{"JWKS", folder.write("jwks.json", key_set({&issuer}))},
                        {"USERS", users.url()},
                        {"FOREIGN", foreign.url()}}));
  EXPECT_EQ(gateway.get("/home").status, 401);
  const Answer answer = gateway.get("/home", bearer(issuer.token("user_123", R"({"plan":"free"})")));
  EXPECT_EQ(answer.body, R"({"user":{},"gold":null,"foreign":{}})") << answer;
  EXPECT_EQ(answer.field("Weir-Complete"), "?1");
  const Seen seen = users.last("/v1/users/user_123");
  EXPECT_TRUE(seen.field("X-Passport").starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi")) << seen.head;
  EXPECT_NE(seen.field("X-Proxy-State"), "");
  EXPECT_EQ(seen.field("Authorization"), "");
  EXPECT_EQ(foreign.last().field("X-Passport"), "");
  EXPECT_EQ(foreign.last().field("X-Proxy-State"), "");
  EXPECT_NE(foreign.last().field("X-Request-Id"), "");
  EXPECT_EQ(users.count("/gold"), 0U);
}

// Each call goes through its upstream's own breaker: five failures, and the section fails without a call.
TEST(Bff, AsksEachBreaker) {
  Services services;
  services.recs.on_status("/v1/recs", 500);
  Gateway gateway(services.page());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(gateway.get("/home/17").status, 200);
  const Answer answer = gateway.get("/home/17");
  EXPECT_NE(answer.field("Weir-Sections").find("recs;s=error;d=0;e=destination_unavailable"),
            std::string::npos)
      << answer;
  EXPECT_EQ(services.recs.count(), 5U);
  EXPECT_EQ(services.orders.count(), 6U);
  EXPECT_TRUE(gateway.wait_for_metric("weir_circuit_breaker_state", {{"upstream", "recs"}}, 1));
  EXPECT_EQ(gateway.metrics().value("weir_bff_sections_total", {{"section", "recs"}, {"state", "error"}}), 6);
}

// A client that leaves takes its calls with it, and its place.
TEST(Bff, EndsItsCallsWhenTheClientLeaves) {
  Services services;
  Gate never;
  std::atomic<bool> ended{false};
  services.recs.on("/v1/recs", [&ended](Call& call) { ended = call.wait_for_end(); });
  Gateway gateway(services.page("deadline: 30s"));
  {
    Client client(gateway.port());
    client.send(request_text("GET", "/home/17"));
    EXPECT_TRUE(services.recs.wait_for_in_flight(1));
    EXPECT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 1));
    client.reset();
  }
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
  EXPECT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 0));
  const Json line = gateway.wait_for_log([](const Json& json) { return json["status"].number() == 499; });
  EXPECT_EQ(line["stage"].text(), "bff");
  EXPECT_EQ(gateway.get("/health-after").status, 404);
}

// A page holds one place, however many calls it makes.
TEST(Bff, HoldsOnePlace) {
  Services services;
  Gate gate;
  services.recs.on_hold("/v1/recs", gate);
  Gateway gateway(services.page(), GatewayOptions{.workers = 1,
                                                  .admin_token = "test-token",
                                                  .extra = "load_shed: {max_in_flight: 2}\n",
                                                  .environment = {},
                                                  .wait_until_ready = true});
  Client one(gateway.port()), two(gateway.port());
  one.send(request_text("GET", "/home/17?n=1"));
  two.send(request_text("GET", "/home/17?n=2"));
  EXPECT_TRUE(services.recs.wait_for_in_flight(2));
  expect_problem(gateway.get("/home/17"), 503, "load-shed");
  gate.open();
  EXPECT_EQ(one.read().status, 200);
  EXPECT_EQ(two.read().status, 200);
}

// `weir bff trace` makes one page from the live services and draws what each call took.
TEST(Bff, DrawsAWaterfall) {
  const TemporaryFolder folder;
  Services services;
  services.recs.on_status("/v1/recs", 503);
  const std::string file = folder.write("weir.yaml", "listen: 127.0.0.1:0\n" + services.page());
  const std::string svg = folder.file("page.svg");
  const Finished drawn =
      run({weir_binary(), "bff", "trace", file, "GET", "http://shop.example/home/17?n=2", "--svg", svg});
  EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
  EXPECT_NE(drawn.out.find("GET /home/17?n=2  200"), std::string::npos) << drawn.out;
  EXPECT_NE(drawn.out.find("not complete"), std::string::npos) << drawn.out;
  EXPECT_NE(drawn.out.find("GET " + services.users.url() + "/v1/users/17"), std::string::npos) << drawn.out;
  EXPECT_NE(drawn.out.find("error http_status"), std::string::npos) << drawn.out;
  EXPECT_EQ(services.recs.last().target, "/v1/recs?n=2");
  EXPECT_EQ(services.users.last().field("traceparent").substr(3, 32),
            drawn.out.substr(drawn.out.find("\ntrace ") + 7, 32));
  const std::string picture = read_file(svg);
  EXPECT_TRUE(picture.starts_with("<svg ")) << picture;
  EXPECT_TRUE(picture.ends_with("</svg>\n")) << picture;
  const Finished json = run({weir_binary(), "bff", "trace", file, "GET", "/home/17", "--output", "json"});
  EXPECT_TRUE(Json::parse(json.out).has_value()) << json.out;
  const Finished none = run({weir_binary(), "bff", "trace", file, "GET", "/nowhere"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_NE(none.err.find("no page answers GET /nowhere: 404"), std::string::npos) << none.err;
  EXPECT_EQ(run({weir_binary(), "bff", "trace", file}).exit_code, 2);
}

// A thousand pages at once that need the same make one call of it; who began it is killed, and all others are answered.
TEST(Bff, MakesOneCallOfAThousandIdenticalOnes) {
  constexpr int kPages = 1000;
  Services services;
  Gate gate;
  services.orders.on("/v1/orders", [&gate](Call& call) {
    if (!call.wait(gate)) return;
    call.reply(200, std::string(kOrders), {{"Content-Type", "application/json"}});
  });
  Gateway gateway(
      services.page("deadline: 30s"),
      GatewayOptions{.workers = 1,
                     .admin_token = "test-token",
                     .extra = "limits: {connections_per_address: off}\nload_shed: {max_in_flight: 2000}\n",
                     .environment = {},
                     .wait_until_ready = true});
  std::vector<std::unique_ptr<Client>> clients;
  const auto begin = [&] {
    clients.push_back(std::make_unique<Client>(gateway.port()));
    clients.back()->send(request_text("GET", "/home/17"));
  };
  begin();
  ASSERT_TRUE(services.orders.wait_for_in_flight(1));
  while (clients.size() < static_cast<std::size_t>(kPages)) begin();
  ASSERT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, kPages));
  clients.front()->reset();
  clients.erase(clients.begin());
  ASSERT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, kPages - 1));
  EXPECT_EQ(services.orders.count(), 1U);
  gate.open();
  const std::string body =
      "{\"user\":" + std::string(kUser) + ",\"orders\":" + std::string(kOrders) + ",\"recs\":[9]}";
  for (const auto& client : clients) {
    const Answer answer = client->read();
    ASSERT_EQ(answer.status, 200) << answer;
    EXPECT_EQ(answer.body, body);
  }
  EXPECT_EQ(services.orders.count(), 1U);
  EXPECT_TRUE(gateway.wait_for_metric("weir_bff_joined_calls_total", {{"upstream", "orders"}}, kPages - 1));
  // Nothing is kept: the next page asks anew.
  EXPECT_EQ(gateway.get("/home/17").status, 200);
  EXPECT_EQ(services.orders.count(), 2U);
}

// Callers share only with themselves: another passport or another host is another call, unless the section is shared.
TEST(Bff, JoinsCallsOfOneCallerOnly) {
  const TemporaryFolder folder;
  const Issuer issuer;
  Origin own, all;
  Gate gate;
  own.on_hold("/own", gate);
  all.on_hold("/all", gate);
  Gateway gateway(with(
      R"(
    auth: {providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]}
    upstreams: {own: {endpoints: [$OWN]}, all: {endpoints: [$ALL]}}
    routes:
      - path: /home
        auth: required
        bff:
          deadline: 30s
          sections:
            own: {upstream: own, path: /own}
            all: {upstream: all, path: /all, cache: {scope: public}}
  )",
      {{"JWKS", folder.write("jwks.json", key_set({&issuer}))}, {"OWN", own.url()}, {"ALL", all.url()}}));
  std::deque<Client> clients;
  for (const char* sub : {"alice", "alice", "bob"}) {
    clients.emplace_back(gateway.port());
    clients.back().send(request_text("GET", "/home", bearer(issuer.token(sub, "{}"))));
  }
  ASSERT_TRUE(own.wait_for_in_flight(2));
  ASSERT_TRUE(all.wait_for_in_flight(1));
  ASSERT_TRUE(gateway.wait_for_metric("weir_in_flight", {}, 3));
  gate.open();
  for (Client& client : clients) EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(own.count(), 2U);
  EXPECT_EQ(all.count(), 1U);
}

// What the threads of a process have used of a core, and how long they have waited for one, in milliseconds.
struct Cores {
  double used = 0;
  double waited = 0;
};

Cores cores_of(pid_t pid) {
  Cores cores;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream file(task.path() / "schedstat");
    double used = 0, waited = 0;
    file >> used >> waited;
    cores.used += used / 1e6, cores.waited += waited / 1e6;
  }
  return cores;
}

// One service is a black hole: every page is there, degraded, about its deadline.
TEST(Bff, AnswersInTimeWhateverAServiceDoes) {
  constexpr int kPages = 1000;  // as many in flight at once
  Services services;
  // Takes connections into its backlog, as a service that hangs does, and never says a word.
  const Fd hole = listen_on_loopback();
  Gateway gateway(with(R"(
    upstreams:
      users: {endpoints: [$USERS]}
      hole: {endpoints: ["http://127.0.0.1:$HOLE"], circuit_breaker: off}
    routes:
      - path: /page
        bff:
          deadline: 500ms
          sections:
            user: {upstream: users, path: /v1/users/17}
            hole: {upstream: hole, path: "/x?{req.query.n}"}
  )",
                       {{"USERS", services.users.url()}, {"HOLE", std::to_string(port_of(hole))}}),
                  GatewayOptions{.workers = 2,
                                 .admin_token = "test-token",
                                 .extra = "limits: {connections_per_address: off}\n",
                                 .environment = {},
                                 .wait_until_ready = true});
  EXPECT_EQ(gateway.get("/page?n=first").status, 200);
  const Cores before = cores_of(gateway.process().pid());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kPages; ++i) {
    clients.push_back(std::make_unique<Client>(gateway.port()));
    clients.back()->send(request_text("GET", "/page?n=" + std::to_string(i)));
  }
  int degraded = 0;
  for (const auto& client : clients) {
    const Answer answer = client->read();
    degraded += answer.status == 200 && answer.field("Weir-Complete") == "?0" ? 1 : 0;
  }
  EXPECT_EQ(degraded, kPages);
  EXPECT_TRUE(eventually([&] { return gateway.access_log().size() > static_cast<std::size_t>(kPages); }));
  int late = 0;
  double slowest = 0;
  for (const Json& line : gateway.access_log()) {
    slowest = std::max(slowest, line["duration_us"].number());
    late += line["duration_us"].number() > 510'000 ? 1 : 0;
  }
  // What is late here has waited for a core: the simulation, which has one to itself, has no late page (pages_test.cc).
  const Cores after = cores_of(gateway.process().pid());
  std::printf(
      "%d pages: %d later than 510 ms, the slowest after %.1f ms; the gateway used %.0f ms of the cores and "
      "waited "
      "%.0f ms for one\n",
      kPages, late, slowest / 1000, after.used - before.used, after.waited - before.waited);
}

}  // namespace
}  // namespace weir::testing
