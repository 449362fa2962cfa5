// From configuration to chain: the order of the stages, what a reload keeps, what a plan that is thrown away
// leaves alone.
#include "weir/gateway/plan.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::seconds;
using testing::config_of;
using testing::Desk;

const std::string kEverything =
    "rate_limits: {one: {key: client_ip, limit: 2/min}}\n"
    "upstreams: {u: {endpoints: [http://10.0.0.1:80]}}\n"
    "routes:\n"
    "  - {name: all, path: /all, allow: [0.0.0.0/0], rate_limit: [one], load_shed: {max_in_flight: 2}, "
    "upstream: u}\n"
    "  - {name: bare, path: /bare, load_shed: off, upstream: u}\n"
    "  - {name: fixed, path: /*, respond: {status: 200}}\n";

std::vector<std::string> names(const Route& route) {
  std::vector<std::string> all;
  for (const auto& stage : route.stages) all.emplace_back(stage->name());
  return all;
}

using Names = std::vector<std::string>;

// The contract's order; what a route does not use is not there.
TEST(Plan, OrderOfStages) {
  Desk desk(kEverything);
  EXPECT_EQ(names(desk.plan->routes[0]),
            (Names{"trace", "sanitize", "access", "ratelimit", "sanitize", "load_shed"}));
  EXPECT_EQ(names(desk.plan->routes[1]), (Names{"trace", "sanitize", "sanitize"}));
  EXPECT_EQ(names(desk.plan->routes[2]), (Names{"trace", "sanitize"}));
  for (const Route& route : desk.plan->routes) EXPECT_EQ(route.counters.size(), route.stages.size());
}

class Named final : public Stage {
 public:
  explicit Named(std::string_view name) : name_(name) {}
  std::string_view name() const noexcept override { return name_; }
  Verdict admit(Exchange&) override { return Verdict::proceed; }

 private:
  std::string_view name_;
};

// A stage of one's own stands behind the named one, once a route; null means that this route does not want
// it.
TEST(Plan, CustomStages) {
  PlanOptions options;
  const auto add = [&](std::string after, std::string_view name) {
    options.custom_stages.push_back(
        {std::move(after), [name](const config::Route& route) -> std::unique_ptr<Stage> {
           if (route.name == "bare") return nullptr;
           return std::make_unique<Named>(name);
         }});
  };
  add("", "first");
  add("sanitize", "mine");
  add("ratelimit", "limited");
  add("load_shed", "last");
  Desk desk(kEverything, options);
  EXPECT_EQ(names(desk.plan->routes[0]), (Names{"first", "trace", "sanitize", "mine", "access", "ratelimit",
                                                "limited", "sanitize", "load_shed", "last"}));
  EXPECT_EQ(names(desk.plan->routes[1]), (Names{"trace", "sanitize", "sanitize"}));
  EXPECT_EQ(names(desk.plan->routes[2]), (Names{"first", "trace", "sanitize", "mine"}));
}

bool admitted(Desk& desk) {
  desk.receive("GET /all HTTP/1.1\r\nHost: a\r\n\r\n");
  const bool pass = desk.admit("ratelimit") == Verdict::proceed;
  desk.settle();
  return pass;
}

// A half-used window lives through a reload, under the limit that holds now.
TEST(Plan, ReloadKeepsWindows) {
  Desk desk(kEverything);
  EXPECT_TRUE(admitted(desk));
  desk.load(kEverything);
  EXPECT_TRUE(admitted(desk));
  EXPECT_FALSE(admitted(desk));
  std::string more = kEverything;
  more.replace(more.find("2/min"), 5, "3/min");
  desk.load(more);
  EXPECT_TRUE(admitted(desk));
  EXPECT_FALSE(admitted(desk));
  desk.load(kEverything);
  EXPECT_FALSE(admitted(desk));
  desk.reactor.run_for(seconds{60});
  EXPECT_TRUE(admitted(desk));
}

// So do an open breaker and permits that are out.
TEST(Plan, ReloadKeepsBreakersAndPermits) {
  Desk desk(kEverything);
  auto& breaker = desk.plan->upstreams[0].shared->breaker();
  for (int i = 0; i < 5; ++i) {
    auto ticket = breaker.try_enter(desk.reactor.now());
    ASSERT_TRUE(ticket);
    ticket->settle(resilience::Outcome::failure, desk.reactor.now());
  }
  desk.receive("GET /all HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(desk.admit("load_shed"), Verdict::proceed);
  desk.load(kEverything);
  EXPECT_EQ(&breaker, &desk.plan->upstreams[0].shared->breaker());
  EXPECT_EQ(breaker.state(), resilience::CircuitBreaker::State::open);
  const auto shedders = desk.state.shedders();
  std::uint32_t out = 0;
  for (const auto& [name, shedder] : shedders) out += shedder->in_flight();
  EXPECT_EQ(out, 1U);
  desk.settle();
  for (const auto& [name, shedder] : shedders) EXPECT_EQ(shedder->in_flight(), 0U);
}

// An exchange ends on the plan it began with; the plan lives until then, and not longer.
TEST(Plan, ExchangesEndOnTheirPlan) {
  Desk desk(kEverything);
  std::weak_ptr<const Plan> old = desk.plan;
  desk.receive("GET /all HTTP/1.1\r\nHost: a\r\n\r\n");
  desk.load(kEverything);
  ASSERT_FALSE(old.expired());
  EXPECT_EQ(desk.exchange.plan->plan.get(), old.lock().get());
  desk.exchange.end();
  EXPECT_TRUE(old.expired());
}

// Building changes nothing: only publishing does.
TEST(Plan, ThrownAwayPlansChangeNothing) {
  Desk desk(kEverything);
  std::string other = kEverything;
  other.replace(other.find("2/min"), 5, "9/min");
  other.replace(other.find("max_in_flight: 2"), 16, "max_in_flight: 7");
  const auto unused = build_plan(config_of(other), desk.state, desk.registry).value();
  EXPECT_EQ(desk.state.limiters().front().second->policy().limit, 2U);
  for (const auto& [name, shedder] : desk.state.shedders())
    EXPECT_EQ(shedder->limit(), name == "process" ? 1024U : 2U) << name;
  unused->publish(desk.reactor.now());
  EXPECT_EQ(desk.state.limiters().front().second->policy().limit, 9U);
  for (const auto& [name, shedder] : desk.state.shedders())
    EXPECT_EQ(shedder->limit(), name == "process" ? 1024U : 7U) << name;
}

// State that no plan names any more goes with the last plan that did.
TEST(Plan, StateGoesWithItsLastPlan) {
  Desk desk(kEverything);
  EXPECT_EQ(desk.state.limiters().size(), 1U);
  desk.load("routes: [{path: /*, respond: {status: 200}}]");
  EXPECT_TRUE(desk.state.limiters().empty());
  EXPECT_TRUE(desk.state.upstreams().empty());
}

// What only the algorithm knows to be impossible is an error with the limit's name.
TEST(Plan, LimitsThatCannotBe) {
  Desk desk(kEverything);
  config::Config config = config_of(kEverything);
  config.rate_limits.front().limit = 1ULL << 40;
  const auto plan = build_plan(std::move(config), desk.state, desk.registry);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(plan.error().detail.find("one"), std::string::npos);
}

}  // namespace
}  // namespace weir::gateway
