// The demo services do what a reader of `./dev run` is told they do.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/client.h"
#include "tests/support/json.h"
#include "tests/support/process.h"

namespace weir::testing {
namespace {

class DemoService : public ::testing::Test {
 protected:
  DemoService() { EXPECT_TRUE(service.wait_for_err("listens on")) << service.err(); }

  const std::uint16_t port = free_port();
  Process service{{WEIR_BINARY_DIR "/bin/demo_service", "--name", "users", "--listen",
                   "127.0.0.1:" + std::to_string(port)}};
};

// Each path has its JSON; what a gateway added is shown.
TEST_F(DemoService, AnswersJsonAndShowsWhatItSaw) {
  const Answer answer =
      get(port, "/v1/users/42", {{"X-Request-Id", "abc"}, {"X-Passport", "eyJ\"x"}, {"X-Other", "no"}});
  EXPECT_EQ(answer.status, 200) << answer;
  const std::optional<Json> json = Json::parse(answer.body);
  ASSERT_TRUE(json) << answer;
  EXPECT_EQ((*json)["service"].text(), "users");
  EXPECT_EQ((*json)["data"]["id"].text(), "42");
  EXPECT_EQ((*json)["seen"].names(), (std::vector<std::string>{"x-request-id", "x-passport"}));
  EXPECT_EQ((*json)["seen"]["x-passport"].text(), "eyJ\"x");
  for (const char* path : {"/orders", "/recs?n=2", "/health"})
    EXPECT_TRUE(Json::parse(get(port, path).body)) << path;
  EXPECT_EQ((*Json::parse(get(port, "/recs?n=2").body))["data"].size(), 2U);
  EXPECT_EQ(get(port, "/nowhere").status, 404);
}

// Faults can be ordered: a status, a size, a delay.
TEST_F(DemoService, FailsOnDemand) {
  EXPECT_EQ(get(port, "/users/1?status=503").status, 503);
  EXPECT_EQ(get(port, "/users/1?status=204").status, 204);
  EXPECT_EQ(get(port, "/users/1?bytes=100000").body.size(), 100'000U);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(get(port, "/users/1?sleep=50").status, 200);
  // From the turn of the loop that read the request: a little before it was asked, by our clock.
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds{40});
}

// Connections are kept; bodies in both framings are read; HEAD
// ends with its head; nonsense ends the connection.
TEST_F(DemoService, SpeaksHttp) {
  Client client(port);
  EXPECT_EQ(client.ask("POST", "/orders", {}, "body").status, 200);
  EXPECT_EQ(client.ask("POST", "/orders", {{"Transfer-Encoding", "chunked"}}, "3\r\nabc\r\n0\r\n\r\n").status,
            200);
  EXPECT_EQ(client.ask("HEAD", "/orders").status, 200);
  EXPECT_EQ(client.get("/health", {{"Connection", "close"}}).status, 200);
  EXPECT_TRUE(client.ended_by_peer());
  Client wrong(port);
  wrong.send("nonsense\r\n\r\n");
  EXPECT_EQ(wrong.read().status, 400);
  EXPECT_TRUE(wrong.ended_by_peer());
}

// A signal ends it at once, whoever is connected; a taken port and a wrong call are refused.
TEST_F(DemoService, EndsInGoodOrder) {
  Client waiting(port);
  waiting.send(request_text("GET", "/users/1?sleep=60000"));
  Client idle(port);
  EXPECT_EQ(idle.get("/health").status, 200);
  const Finished second =
      run({WEIR_BINARY_DIR "/bin/demo_service", "--listen", "127.0.0.1:" + std::to_string(port)});
  EXPECT_EQ(second.exit_code, 1) << second.err;
  EXPECT_EQ(run({WEIR_BINARY_DIR "/bin/demo_service"}).exit_code, 2);
  service.signal(SIGTERM);
  EXPECT_EQ(service.wait(), 0) << service.err();
}

}  // namespace
}  // namespace weir::testing
