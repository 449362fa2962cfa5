// Pages on the simulated network: the whole gateway, exact in time, cancelled at any moment.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "weir/config/load.h"
#include "weir/gateway/service_fetcher.h"
#include "weir/server/page_trial.h"

namespace weir::simulation {
namespace {

using namespace std::chrono_literals;
using server::PageTrial;

// Three services; the page's own key makes each call another one, so that nothing is joined.
config::Config configuration(std::string_view more = "") {
  const std::string text = R"(
listen: 127.0.0.1:0
load_shed: {max_in_flight: 4000}
upstreams:
  a: {endpoints: ["http://a"], circuit_breaker: off}
  b: {endpoints: ["http://b"], circuit_breaker: off}
  c: {endpoints: ["http://c"], circuit_breaker: off}
routes:
  - path: /page/{n}
    bff:
      deadline: 500ms
      sections:
        a: {upstream: a, path: "/a/{req.path.n}"}
        b: {upstream: b, path: "/b/{req.path.n}", timeout: 200ms}
        c: {upstream: c, path: "/c/{req.path.n}?of={a.id}"}
)" + std::string(more);
  return std::move(*config::load_text("weir.yaml", text, config::system_environment()).config);
}

config::Service answering(std::string body, Duration after = 1ms) {
  config::Service service;
  service.any.body = std::move(body);
  service.any.after = after;
  return service;
}

config::Service failing(config::ServiceFault fault) {
  config::Service service;
  service.any.fault = fault;
  return service;
}

PageTrial::Request page(std::uint64_t n) {
  PageTrial::Request request;
  request.target = "/page/" + std::to_string(n);
  return request;
}

// One of three services is a black hole or hangs, a thousand pages are in flight: every page is there, degraded, and not
// one is later than its deadline by more than what the network needs to bring it.
TEST(Pages, AreInTimeWhateverAServiceDoes) {
  for (const auto fault :
       {config::ServiceFault::black_hole, config::ServiceFault::hang, config::ServiceFault::drip}) {
    PageTrial::Options options;
    options.seed = 20261124;
    PageTrial trial(configuration(), options);
    ASSERT_EQ(trial.error(), "");
    trial.set_service("a", answering(R"({"id":1})"));
    trial.set_service("b", answering("[2]"));
    config::Service hole = failing(fault);
    hole.any.body = std::string(100, '1');
    trial.set_service("c", hole);
    std::deque<std::unique_ptr<PageTrial::Client>> clients;
    for (std::uint64_t i = 0; i < 1000; ++i) clients.push_back(trial.begin(page(i)));
    trial.reactor().run_for(2s);
    int late = 0;
    Duration slowest{};
    for (const auto& client : clients) {
      const PageTrial::Answer& answer = client->answer();
      ASSERT_TRUE(answer.done);
      EXPECT_EQ(answer.response.status, 200);
      EXPECT_EQ(answer.response.body, R"({"a":{"id":1},"b":[2],"c":null})");
      late += answer.took > 510ms ? 1 : 0;
      slowest = std::max(slowest, answer.took);
    }
    // Connecting and both ways of the request, each at most 200 us.
    EXPECT_LE(slowest, 500ms + 4 * 200us);
    EXPECT_EQ(late, 0);
    std::printf("1000 pages, one service of three: %s: all degraded, the slowest after %.3f ms\n",
                std::string(to_string(fault)).c_str(),
                std::chrono::duration<double, std::milli>(slowest).count());
  }
}

// A section's own timeout holds to the same exactness.
TEST(Pages, KeepASectionsTimeout) {
  PageTrial trial(configuration(), {});
  trial.set_service("a", answering(R"({"id":1})"));
  trial.set_service("b", failing(config::ServiceFault::hang));
  trial.set_service("c", answering("3"));
  const PageTrial::Answer answer = trial.ask(page(1));
  EXPECT_EQ(answer.response.body, R"({"a":{"id":1},"b":null,"c":3})");
  EXPECT_GE(answer.took, 200ms);
  EXPECT_LE(answer.took, 201ms);
}

// Clients leave at any moment of their page: the services see it, and nothing is left behind, not a call, a connection, a
// place or a buffer. Ten thousand pages here, a million with WEIR_LONG=1.
TEST(Pages, LeaveNothingBehindWhenTheirClientsGo) {
  const std::uint64_t seed = 20261125;
  const std::uint64_t pages = std::getenv("WEIR_LONG") != nullptr ? 1'000'000 : 10'000;
  PageTrial::Options options;
  options.seed = seed;
  PageTrial trial(configuration(), options);
  base::Random random(seed);
  trial.set_service("a", answering(R"({"id":1})", 3ms));
  trial.set_service("b", answering("[2]", 6ms));
  trial.set_service("c", failing(config::ServiceFault::hang));
  std::deque<std::unique_ptr<PageTrial::Client>> clients;
  std::uint64_t done = 0;
  std::uint64_t joined_by = 0;
  for (std::uint64_t i = 0; i < pages; ++i) {
    // Some ask for the same: then the one who goes is not always the one who began.
    joined_by = random.chance(1, 3) ? joined_by : i;
    clients.push_back(trial.begin(page(joined_by)));
    trial.reactor().run_for(Duration(std::chrono::microseconds(random.below(400))));
    if (clients.size() < 30) continue;
    const auto who = static_cast<std::ptrdiff_t>(random.below(clients.size()));
    done += clients[static_cast<std::size_t>(who)]->answer().done ? 1 : 0;
    clients.erase(clients.begin() + who);
  }
  clients.clear();
  trial.reactor().run_for(1s);
  EXPECT_EQ(trial.calls_open(), 0U);
  EXPECT_EQ(trial.connections(), 0U);
  EXPECT_EQ(trial.worker().buffers.blocks_out(), 0U);
  for (const auto& [name, shedder] : trial.state().shedders()) EXPECT_EQ(shedder->in_flight(), 0U) << name;
  EXPECT_EQ(trial.worker().current_plan().calls->coalescer.in_flight(), 0U);
  EXPECT_GT(trial.calls_ended_by_weir(), pages / 4);
  std::printf("%llu pages cancelled (%llu were done), %llu calls, of which weir hung up on %llu; seed %llu\n",
              static_cast<unsigned long long>(pages), static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(trial.calls()),
              static_cast<unsigned long long>(trial.calls_ended_by_weir()),
              static_cast<unsigned long long>(seed));
}

// Same seed, same run.
TEST(Pages, RunTheSameUnderOneSeed) {
  std::uint64_t digests[2];
  for (std::uint64_t& digest : digests) {
    PageTrial::Options options;
    options.seed = 7;
    PageTrial trial(configuration(), options);
    trial.set_service("a", answering(R"({"id":1})"));
    for (std::uint64_t i = 0; i < 20; ++i) trial.ask(page(i));
    digest = trial.reactor().digest();
  }
  EXPECT_EQ(digests[0], digests[1]);
}

}  // namespace
}  // namespace weir::simulation
