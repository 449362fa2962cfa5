// Who is shed last, who ejects whom: tiers of the semaphore, places that come free with the head, endpoints taken out.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::seconds;
using testing::Desk;
using testing::kOk;
using testing::Service;

std::string shed(std::string_view top, std::string_view route) {
  return "trusted_proxies: {cidrs: [10.0.0.0/8]}\nload_shed: {max_in_flight: 10, " + std::string(top) +
         "}\nupstreams: {u: {endpoints: [http://10.0.0.1:80]}}\nroutes: [{name: r, path: /*, upstream: u" +
         std::string(route) + "}]";
}

// How many places such a request finds taken at most, in a semaphore of ten.
int fills_up_to(const std::string& configuration, const std::string& fields = "",
                std::string_view from = "192.0.2.1") {
  Desk desk(configuration);
  std::vector<resilience::LoadShedder::Permit> taken;
  auto& shedder = *desk.state.shedders().front().second;
  int admitted = 0;
  for (;; ++admitted) {
    desk.receive("GET /x HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n", from);
    const bool passed = desk.admit("load_shed") == Verdict::proceed;
    desk.settle();
    if (!passed) return admitted;
    auto permit = shedder.try_acquire(resilience::Priority::critical);
    if (!permit) return admitted;
    taken.push_back(std::move(*permit));
  }
}

// A share stays for the critical tier, another one is closed to the low tier; header, claim, route decide in this order.
TEST(ShedTiers, SharesStayForThoseWhoMatter) {
  const std::string shares = "critical_share: 20%, normal_share: 30%";
  EXPECT_EQ(fills_up_to(shed(shares, "")), 8);
  EXPECT_EQ(fills_up_to(shed(shares, ", load_shed: {priority: low}")), 5);
  EXPECT_EQ(fills_up_to(shed(shares, ", load_shed: {priority: critical}")), 10);
  EXPECT_EQ(fills_up_to(shed("critical_share: 0%", "")), 10);

  const std::string header = shares + ", priority: {header: X-Priority}";
  EXPECT_EQ(fills_up_to(shed(header, ""), "X-Priority: critical\r\n", "10.1.1.1"), 10);
  EXPECT_EQ(fills_up_to(shed(header, ""), "X-Priority: low\r\n", "10.1.1.1"), 5);
  EXPECT_EQ(fills_up_to(shed(header, ""), "X-Priority: whatever\r\n", "10.1.1.1"), 8);
  EXPECT_EQ(fills_up_to(shed(header, ", load_shed: {priority: low}"), "", "10.1.1.1"), 5);
  // A stranger's word is worth nothing.
  EXPECT_EQ(fills_up_to(shed(header, ""), "X-Priority: critical\r\n"), 8);
}

// Under an overload that never ends, the critical tier loses hardly anybody while the low one is shed.
TEST(ShedTiers, CriticalSucceedsWhileLowIsShed) {
  Desk desk(
      "load_shed: {max_in_flight: 50, critical_share: 40%, normal_share: 20%}\n"
      "upstreams: {u: {endpoints: [http://10.0.0.1:80]}}\nroutes:\n"
      "  - {path: /low, upstream: u, load_shed: {priority: low}}\n"
      "  - {path: /critical, upstream: u, load_shed: {priority: critical}}\n");
  base::Random random(5);
  auto& shedder = *desk.state.shedders().front().second;
  std::vector<std::pair<int, resilience::LoadShedder::Permit>> running;  // with the step at which they end
  int offered[2] = {};
  int admitted[2] = {};
  std::uint32_t most = 0;
  for (int step = 0; step < 100'000; ++step) {
    std::erase_if(running, [&](const auto& each) { return each.first <= step; });
    // Ten low requests a step, and a critical one every fourth, each in flight for ten to thirty steps.
    for (int i = 0; i < 11; ++i) {
      const int critical = i == 10 ? 1 : 0;
      if (critical != 0 && !random.chance(1, 4)) continue;
      ++offered[critical];
      desk.receive(std::string("GET ") + (critical != 0 ? "/critical" : "/low") +
                   " HTTP/1.1\r\nHost: a\r\n\r\n");
      if (desk.admit("load_shed") == Verdict::proceed) {
        ++admitted[critical];
        desk.settle();
        auto permit = shedder.try_acquire(resilience::Priority::critical);
        ASSERT_TRUE(permit);
        running.emplace_back(step + 10 + static_cast<int>(random.below(21)), std::move(*permit));
        most = std::max(most, shedder.in_flight());
      } else {
        desk.settle();
      }
    }
  }
  const auto share = [&](int which) { return 100.0 * admitted[which] / offered[which]; };
  std::printf("critical: %.3f %% of %d, low: %.1f %% of %d, at most %u of 50 in flight\n", share(1),
              offered[1], share(0), offered[0], most);
  EXPECT_GE(share(1), 99.9);
  EXPECT_LE(share(0), 30);
  EXPECT_LE(most, 50U);
}

// `hold: headers`: the place is free while the answer's body still comes.
TEST(ShedTiers, AStreamHoldsNoPlaceBehindItsHead) {
  for (const bool headers : {false, true}) {
    Desk desk(shed("critical_share: 0%", headers ? ", load_shed: {hold: headers}" : ""));
    Service service(desk, "10.0.0.1:80", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    desk.receive("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    desk.scope.spawn(run_pipeline(desk.exchange));
    desk.reactor.run_until([&] { return desk.client.started; }, seconds{5});
    EXPECT_EQ(desk.state.shedders().front().second->in_flight(), headers ? 0U : 1U);
    service.reply("itdone");
    desk.reactor.run_until([&] { return desk.scope.running() == 0; }, seconds{5});
    EXPECT_EQ(desk.client.payload, "halfitdone");
    EXPECT_EQ(desk.state.shedders().front().second->in_flight(), 0U);
  }
}

}  // namespace
}  // namespace weir::gateway
