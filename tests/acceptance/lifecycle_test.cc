// Start, reload, drain, end: nothing that runs is lost, and nothing is left behind.
#include <signal.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

std::string to_origin(const Origin& origin) {
  return with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, upstream: origin}]
  )",
              {{"ORIGIN", origin.url()}});
}

class Drain : public ::testing::TestWithParam<int> {};

// A signal to end lets what runs finish, refuses what is new, closes what is idle, and ends with 0.
TEST_P(Drain, FinishesWhatRunsAndRefusesWhatIsNew) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(to_origin(origin), options);
  Client idle(gateway.port());
  EXPECT_EQ(idle.get("/").status, 200);
  Client running(gateway.port());
  running.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  gateway.process().signal(GetParam());
  EXPECT_TRUE(idle.ended_by_peer());
  EXPECT_TRUE(eventually([&] {
    Client late(gateway.port());
    return !late.connected() || late.ended_by_peer(1000ms);
  })) << "new connections are still served";
  EXPECT_TRUE(gateway.process().running()) << "it did not wait for the request that runs";
  gate.open();
  const Answer answer = running.read();
  EXPECT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.body, "held");
  EXPECT_TRUE(running.ended_by_peer());
  running.close();
  EXPECT_EQ(gateway.process().wait(), 0) << gateway.process().err();
  EXPECT_EQ(gateway.access_log().size(), 2U);
  EXPECT_EQ(gateway.wait_for_log([](const Json& line) { return line["path"].text() == "/hold"; })["status"]
                .number(),
            200);
}

INSTANTIATE_TEST_SUITE_P(Signals, Drain, ::testing::Values(SIGTERM, SIGINT),
                         [](const ::testing::TestParamInfo<int>& each) {
                           return each.param == SIGTERM ? "Sigterm" : "Sigint";
                         });

// While it drains, weir is alive but not ready.
TEST(Lifecycle, IsNotReadyWhileItDrains) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Gateway gateway(to_origin(origin));
  Client admin(gateway.admin_port());
  const Fields host{{"Host", "127.0.0.1:" + std::to_string(gateway.admin_port())}};
  EXPECT_EQ(admin.get("/readyz", host).status, 200);
  Client running(gateway.port());
  running.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  gateway.process().signal(SIGTERM);
  EXPECT_TRUE(eventually([&] {
    const Answer answer = gateway.admin("/readyz");
    return answer.status == 503;
  }));
  EXPECT_EQ(gateway.admin("/livez").status, 200);
  gate.open();
  EXPECT_EQ(running.read().status, 200);
  running.close();
  EXPECT_EQ(gateway.process().wait(), 0);
}

// Reloads under load lose no request: every one is answered by the old plan or by the new one.
TEST(Reload, LosesNoRequestUnderLoad) {
  Origin origin;
  const auto plan = [&](int number) {
    return with(R"(
      upstreams: {origin: {endpoints: [$ORIGIN]}}
      routes:
        - {path: /*, upstream: origin, headers: {response: {set: {X-Plan: "$NUMBER"}}}}
    )",
                {{"ORIGIN", origin.url()}, {"NUMBER", std::to_string(number)}});
  };
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(plan(0), options);
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        Client client(gateway.port());
        int plan_seen = -1;
        for (int k = 0; k < 20 && !stop; ++k) {
          const Answer answer = client.ask(k % 2 == 0 ? "GET" : "POST", "/", {}, k % 2 == 0 ? "" : "body");
          const long number = number_of(answer, "X-Plan");
          // A plan never goes back to an older one.
          if (answer.status != 200 || number < plan_seen) ++wrong;
          plan_seen = static_cast<int>(number);
          ++answered;
        }
      }
    });
  }
  for (int number = 1; number <= 20; ++number) {
    const Answer reloaded = gateway.reload(plan(number));
    EXPECT_EQ(reloaded.status, 200) << reloaded;
    EXPECT_TRUE(eventually([&] { return number_of(gateway.get("/"), "X-Plan") == number; })) << number;
    const int before = answered;
    EXPECT_TRUE(eventually([&] { return answered > before + 20; }));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(gateway.metrics().value("weir_config_reloads_total"), 20) << gateway.metrics().text();
}

// A half-used window stays half used, an open breaker stays open, whatever else the new file changes.
TEST(Reload, KeepsWindowsAndBreakers) {
  Origin origin;
  origin.on_status("/fail", 500);
  const auto configuration = [&](std::string_view more) {
    return with(R"(
      upstreams: {origin: {endpoints: [$ORIGIN], circuit_breaker: {failures: 5, open_for: 30s}}}
      rate_limits: {few: {key: global, limit: 10, window: 1h}}
      routes:
        $MORE
        - {path: /limited, rate_limit: [few], respond: {status: 200}}
        - {path: /*, upstream: origin}
    )",
                {{"ORIGIN", origin.url()}, {"MORE", std::string(more)}});
  };
  Gateway gateway(configuration(""));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(gateway.get("/limited").status, 200);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(gateway.get("/fail").status, 500);
  EXPECT_EQ(gateway.reload(configuration("- {path: /new, rate_limit: [few], respond: {status: 201}}")).status,
            200);
  ASSERT_TRUE(eventually([&] { return gateway.get("/new").status != 503; }));
  int admitted = 1;  // the one that found the new route
  for (int i = 0; i < 10; ++i) admitted += gateway.get("/limited").status == 200 ? 1 : 0;
  EXPECT_EQ(admitted, 4) << "six of ten places were used before the reload";
  EXPECT_EQ(problem_type(gateway.get("/ok")), "circuit-open");
}

// A request that runs finishes on the plan it began with.
TEST(Reload, LetsRequestsFinishOnTheirPlan) {
  Origin origin;
  Gate gate;
  origin.on_hold("/hold", gate);
  Gateway gateway(to_origin(origin));
  Client running(gateway.port());
  running.send(request_text("GET", "/hold"));
  ASSERT_TRUE(origin.wait_for_in_flight(1));
  EXPECT_EQ(gateway.reload("routes: [{path: /*, respond: {status: 410}}]").status, 200);
  ASSERT_TRUE(eventually([&] { return gateway.get("/").status == 410; }));
  gate.open();
  EXPECT_EQ(running.read().body, "held");
  EXPECT_EQ(running.get("/").status, 410) << "the next request on the same connection takes the new plan";
}

// A broken file changes nothing, and the answer, the log and the metrics say what is wrong and where.
TEST(Reload, KeepsTheOldPlanWhenTheFileIsBroken) {
  Gateway gateway("routes: [{path: /*, respond: {status: 200, body: old}}]");
  const Answer refused = gateway.reload("routes: [{path: /*, respnd: {status: 200, body: new}}]");
  EXPECT_GE(refused.status, 400) << refused;
  EXPECT_LT(refused.status, 500) << refused;
  EXPECT_NE(refused.body.find("respnd"), std::string::npos) << refused;
  EXPECT_NE(refused.body.find("respond"), std::string::npos) << refused;
  EXPECT_EQ(gateway.get("/").body, "old");
  EXPECT_TRUE(gateway.process().wait_for_err("respnd")) << gateway.process().err();
  EXPECT_EQ(gateway.metrics().value("weir_config_reloads_total").value_or(0), 1);
  EXPECT_EQ(gateway.admin("/readyz").status, 200);
  EXPECT_EQ(gateway.reload("routes: [{path: /*, respond: {status: 200, body: new}}]").status, 200);
  EXPECT_TRUE(eventually([&] { return gateway.get("/").body == "new"; }));
}

// SIGHUP reloads too, and needs no token.
TEST(Reload, FollowsSighup) {
  GatewayOptions options;
  options.admin_token = "";
  Gateway gateway("routes: [{path: /*, respond: {status: 200, body: old}}]", options);
  gateway.rewrite("routes: [{path: /*, respond: {status: 200, body: new}}]");
  gateway.process().signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return gateway.get("/").body == "new"; })) << gateway.process().err();
  gateway.rewrite("routes: broken");
  gateway.process().signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return gateway.metrics().value("weir_config_reloads_total") == 2; }));
  EXPECT_EQ(gateway.get("/").body, "new");
}

// `weir reload FILE` finds the admin listener and its token in the file.
TEST(Reload, IsACommandToo) {
  Gateway gateway("routes: [{path: /*, respond: {status: 200, body: old}}]");
  gateway.rewrite("routes: [{path: /*, respond: {status: 200, body: new}}]");
  const Finished finished = run({weir_binary(), "reload", gateway.configuration_path()});
  EXPECT_EQ(finished.exit_code, 0) << finished.out << finished.err;
  EXPECT_TRUE(eventually([&] { return gateway.get("/").body == "new"; }));
  gateway.rewrite("routes: [{path: /*, respnd: {}}]");
  EXPECT_EQ(run({weir_binary(), "reload", gateway.configuration_path()}).exit_code, 1);
}

// A port that is taken is one clear line and exit 1.
TEST(Start, RefusesAPortInUse) {
  const Fd taken = listen_on_loopback();
  const std::string address = "127.0.0.1:" + std::to_string(port_of(taken));
  const TemporaryFolder folder;
  const std::string path =
      folder.write("weir.yaml", "listen: " + address + "\nroutes: [{path: /*, respond: {status: 200}}]\n");
  const Finished finished = run({weir_binary(), "run", path});
  EXPECT_EQ(finished.exit_code, 1) << finished.err;
  EXPECT_NE(finished.err.find(address), std::string::npos) << finished.err;
}

// A file that cannot be read is one clear line and exit 1.
TEST(Start, RefusesAFileThatIsNotThere) {
  const Finished finished = run({weir_binary(), "run", "/nowhere/weir.yaml"});
  EXPECT_EQ(finished.exit_code, 1) << finished.err;
  EXPECT_NE(finished.err.find("/nowhere/weir.yaml"), std::string::npos) << finished.err;
  EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
}

// A broken configuration is exit 1 with every position.
TEST(Start, RefusesABrokenFile) {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("weir.yaml", "lisen: 127.0.0.1:1\nroutes:\n  - {path: /*, respnd: {}}\n");
  const Finished finished = run({weir_binary(), "run", path});
  EXPECT_EQ(finished.exit_code, 1) << finished.err;
  EXPECT_NE(finished.err.find(":1:1:"), std::string::npos) << finished.err;
  EXPECT_NE(finished.err.find(":3:"), std::string::npos) << finished.err;
}

// Connections above the bound of one address are closed unanswered
// and counted; other addresses are not concerned.
TEST(Start, BoundsConnectionsOfOneAddress) {
  GatewayOptions options;
  options.extra = "limits: {connections_per_address: 3}\n";
  Gateway gateway("routes: [{path: /*, respond: {status: 200}}]", options);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(clients.emplace_back(gateway.port(), "127.0.0.5").get("/").status, 200);
  Client fourth(gateway.port(), "127.0.0.5");
  EXPECT_TRUE(fourth.ended_by_peer());
  EXPECT_EQ(Client(gateway.port(), "127.0.0.6").get("/").status, 200);
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return Client(gateway.port(), "127.0.0.5").get("/").status == 200; }));
}

// Out of descriptors, what runs goes on; when there are some again, so do new connections.
TEST(Start, SurvivesWithoutDescriptors) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UBSan checks an object's type by way of a pipe, and takes the lack of one for a broken object";
#endif
  Origin origin;
  const TemporaryFolder folder;
  const std::uint16_t port = free_port(), admin = free_port();
  const std::string path = folder.write(
      "weir.yaml",
      with(R"(
        listen: 127.0.0.1:$PORT
        admin: 127.0.0.1:$ADMIN
        workers: 1
        access_log: off
        upstreams: {origin: {endpoints: [$ORIGIN]}}
        routes: [{path: /*, upstream: origin}]
      )",
           {{"PORT", std::to_string(port)}, {"ADMIN", std::to_string(admin)}, {"ORIGIN", origin.url()}}));
  Process gateway({"/bin/sh", "-c", "ulimit -n 48 && exec \"$0\" run \"$1\"", weir_binary(), path});
  ASSERT_TRUE(eventually([&] { return !gateway.running() || get(port, "/").status == 200; }))
      << gateway.err();
  Client admin_client(admin);
  const Fields host{{"Host", "127.0.0.1:" + std::to_string(admin)}};
  EXPECT_EQ(admin_client.get("/readyz", host).status, 200);
  Client early(port);
  EXPECT_EQ(early.get("/").status, 200);
  std::vector<Client> many;
  for (int i = 0; i < 100; ++i) many.emplace_back(port);
  EXPECT_TRUE(eventually([&] { return admin_client.get("/readyz", host).status == 503; })) << gateway.err();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(early.get("/").status, 200);
  EXPECT_TRUE(gateway.running()) << gateway.err();
  many.clear();
  EXPECT_TRUE(eventually([&] { return get(port, "/").status == 200; })) << gateway.err();
  EXPECT_TRUE(eventually([&] { return admin_client.get("/readyz", host).status == 200; }));
  gateway.signal(SIGTERM);
  EXPECT_EQ(gateway.wait(), 0) << gateway.err();
}

}  // namespace
}  // namespace weir::testing
