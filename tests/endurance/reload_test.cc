// Reload after reload under load: no request is lost, limiter and breaker go on where they were, memory stays flat.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "tests/support/gateway.h"
#include "tests/support/load.h"

namespace weir::testing {
namespace {

constexpr int kAllowed = 1'000;  // of the limit that is used up bit by bit

std::string plan(const DemoService& service, std::uint16_t dead, int number) {
  // Every second file has ten routes more and another upstream, so that plans grow and shrink.
  std::string more;
  std::string upstream;
  if (number % 2 == 1) {
    for (int i = 0; i < 10; ++i)
      more += "\n  - {path: /more/" + std::to_string(i) + ", rate_limit: [spent], respond: {status: 200}}";
    upstream = "\n  extra: {endpoints: [http://127.0.0.1:1]}";
  }
  return with(R"(
    rate_limits: {spent: {key: global, limit: $ALLOWED, window: 24h}}
    upstreams:
      users: {endpoints: [$URL]}
      dead: {endpoints: ["http://127.0.0.1:$DEAD"], circuit_breaker: {failures: 5, open_for: 24h}}$UPSTREAM
    routes:
      - {path: /spent, rate_limit: [spent], respond: {status: 200}}
      - {path: /dead, upstream: dead}$MORE
      - {path: /*, upstream: users, headers: {response: {set: {X-Plan: "$NUMBER"}}}}
  )",
              {{"ALLOWED", std::to_string(kAllowed)},
               {"URL", service.url()},
               {"DEAD", std::to_string(dead)},
               {"UPSTREAM", upstream},
               {"MORE", more},
               {"NUMBER", std::to_string(number)}});
}

TEST(Reloads, LoseNothingKeepStateAndStayFlat) {
  const int reloads = std::getenv("WEIR_LONG") != nullptr ? 1'000 : 60;
  const DemoService service;
  const std::uint16_t dead = free_port();
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(plan(service, dead, 0), options);
  for (int i = 0; i < 6; ++i) gateway.get("/dead");
  ASSERT_EQ(gateway.get("/dead").status, 503) << "the breaker is open";

  LoadOptions good;
  good.threads = 4;
  good.pause = std::chrono::milliseconds{0};
  const Load load(gateway.port(), good);
  std::atomic<bool> over{false};
  Served served;
  std::thread clients([&] { served = load.run_until(over); });
  int spent = 0;
  Usage early;
  for (int number = 1; number <= reloads; ++number) {
    const Answer reloaded = gateway.reload(plan(service, dead, number));
    EXPECT_EQ(reloaded.status, 200) << reloaded;
    if (::testing::Test::HasFailure()) break;
    if (spent < kAllowed) {
      EXPECT_EQ(gateway.get("/spent").status, 200) << "after reload " << number;
      ++spent;
    }
    EXPECT_EQ(gateway.get("/dead").status, 503) << "after reload " << number;
    if (number == reloads / 4) early = usage_of(gateway.process().pid());
  }
  over = true;
  clients.join();
  const Usage late = usage_of(gateway.process().pid());
  std::cout << reloads << " reloads, " << served << "\n  weir after a quarter: " << early
            << "\n  at the end: " << late << "\n";
  EXPECT_EQ(served.ok, served.asked) << served;
  EXPECT_GE(served.asked, static_cast<std::size_t>(reloads));
  // What is left of the limit is what was not taken: no reload has given anything back.
  for (; spent < kAllowed; ++spent) ASSERT_EQ(gateway.get("/spent").status, 200) << spent;
  EXPECT_EQ(gateway.get("/spent").status, 429);
  EXPECT_EQ(gateway.metrics().value("weir_config_reloads_total", {{"result", "ok"}}), reloads);
  EXPECT_EQ(late.threads, early.threads);
  EXPECT_LE(late.descriptors, early.descriptors + 8);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(late.rss_kib, early.rss_kib + 4 * 1024);
#endif
}

}  // namespace
}  // namespace weir::testing
