// Faults on purpose: how many, for whom, how long, and from one seed always the same.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using testing::Desk;
using testing::kOk;
using testing::Service;

std::string with_faults(std::string_view faults) {
  return "upstreams: {a: {endpoints: [\"http://10.0.0.1:80\"]}}\nroutes: [{path: /*, upstream: a, faults: " +
         std::string(faults) + "}]\n";
}

int ask(Desk& desk, std::string_view fields = {}) {
  desk.receive("GET / HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n");
  desk.run();
  return desk.client.status;
}

// About the share that is asked for fails, and the same ones under the same seed.
TEST(FaultStage, AShareFailsTheSameWayFromOneSeed) {
  std::vector<std::string> runs;
  for (const std::uint64_t seed : {5U, 5U, 6U}) {
    Desk desk(with_faults("{abort: {status: 502, percent: 10%}}"), {}, seed);
    Service service(desk, "10.0.0.1:80", kOk);
    std::string& run = runs.emplace_back();
    for (int i = 0; i < 1000; ++i) run += ask(desk) == 502 ? 'x' : '.';
    const auto failed = std::count(run.begin(), run.end(), 'x');
    EXPECT_GT(failed, 70) << seed;
    EXPECT_LT(failed, 130) << seed;
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

// 0% is never, 100% is always, and the field opens the gate whatever it says.
TEST(FaultStage, NeverAlwaysAndTheGate) {
  Desk never(with_faults("{abort: {percent: 0%}}"));
  Service service(never, "10.0.0.1:80", kOk);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(never), 200);
  Desk gated(with_faults("{abort: {}, header: X-Fault}"));
  Service other(gated, "10.0.0.1:80", kOk);
  EXPECT_EQ(ask(gated), 200);
  EXPECT_EQ(ask(gated, "X-Faults: 1\r\n"), 200);
  EXPECT_EQ(ask(gated, "x-fault: off\r\n"), 503);
  EXPECT_EQ(gated.exchange.record.stage, "fault");
}

// A delay lasts as long as it says, holds the request's place, and comes before the abort.
TEST(FaultStage, ADelayHoldsItsPlace) {
  Desk desk(with_faults("{delay: {for: 200ms}, abort: {status: 504}}, load_shed: {max_in_flight: 1}"));
  const TimePoint begin = desk.reactor.now();
  desk.receive("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  desk.scope.spawn(run_pipeline(desk.exchange));
  desk.reactor.run_until([] { return false; }, std::chrono::milliseconds{199});
  EXPECT_FALSE(desk.client.started);
  EXPECT_EQ(desk.state.shedders().back().second->in_flight(), 1U);
  desk.reactor.run_until([&] { return desk.scope.running() == 0; }, std::chrono::seconds{1});
  EXPECT_EQ(desk.client.status, 504);
  EXPECT_GE(desk.reactor.now() - begin, std::chrono::milliseconds{200});
  EXPECT_EQ(desk.state.shedders().back().second->in_flight(), 0U);
}

// Whoever leaves is not waited for.
TEST(FaultStage, WhoLeavesIsNotWaitedFor) {
  Desk desk(with_faults("{delay: {for: 1m}}"));
  desk.receive("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  desk.scope.spawn(run_pipeline(desk.exchange));
  desk.reactor.run_until([] { return false; }, std::chrono::milliseconds{10});
  desk.client.is_gone = true;
  desk.waiter.notify();
  desk.reactor.run_until([&] { return desk.scope.running() == 0; }, std::chrono::seconds{1});
  EXPECT_EQ(desk.scope.running(), 0U);
}

}  // namespace
}  // namespace weir::gateway
