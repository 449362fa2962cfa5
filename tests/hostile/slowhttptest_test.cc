// Debian's slowhttptest in its four modes: slow heads (slowloris), slow bodies, ranges (Apache killer), slow reading. Good
// clients of another address are served meanwhile.
#include <iostream>
#include <thread>

#include "tests/hostile/hostile.h"

namespace weir::testing {
namespace {

struct Mode {
  const char* name;
  std::vector<std::string> arguments;
};

class SlowHttpTest : public ::testing::TestWithParam<Mode> {};

TEST_P(SlowHttpTest, DoesNotKeepGoodClientsOut) {
  constexpr const char* kProgram = "/usr/bin/slowhttptest";
  if (::access(kProgram, X_OK) != 0) GTEST_SKIP() << "slowhttptest is not installed (./dev setup --interop)";
  raise_descriptor_limit();
  const DemoService service;
  GatewayOptions options;
  options.workers = 2;
  options.extra =
      "limits: {connections_per_address: off}\n";  // else all but 256 are closed at once, and that is that
  Gateway gateway(guarded(service), options);
  LoadOptions good;
  good.source = kGood;
  const Load load(gateway.port(), good);
  const Served before = load.run(1'000);
  const Usage rest = usage_of(gateway.process().pid());

  const std::string connections = long_run() ? "4000" : "300";
  const std::string seconds = long_run() ? "40" : "3";
  std::vector<std::string> arguments{kProgram};
  arguments.insert(arguments.end(), GetParam().arguments.begin(), GetParam().arguments.end());
  for (const std::string& argument :
       {std::string("-c"), connections, std::string("-r"), std::string("400"), std::string("-l"), seconds,
        std::string("-p"), std::string("3"), std::string("-u"),
        "http://127.0.0.1:" + std::to_string(gateway.port()) + "/users/1?bytes=60000"})
    arguments.push_back(argument);
  Process attack(arguments);
  std::atomic<bool> over{false};
  Served during;
  std::thread good_clients([&] { during = load.run_until(over); });
  Usage most;
  EXPECT_TRUE(eventually(
      [&] {
        const Usage now = usage_of(gateway.process().pid());
        most.rss_kib = std::max(most.rss_kib, now.rss_kib);
        most.descriptors = std::max(most.descriptors, now.descriptors);
        most.threads = std::max(most.threads, now.threads);
        return !attack.running();
      },
      std::chrono::seconds{240}))
      << attack.out();
  over = true;
  good_clients.join();
  std::cout << GetParam().name << ", " << connections << " connections\n  alone: " << before
            << "\n  beside it: " << during << "\n  weir at rest: " << rest << "\n  at most: " << most << "\n";
  EXPECT_GE(during.asked, 100U);
  EXPECT_GE(during.share(), 0.99) << during;
  EXPECT_EQ(get(gateway.port(), "/users/1").status, 200);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, SlowHttpTest,
    ::testing::Values(Mode{"SlowHeads", {"-H", "-i", "1"}},
                      Mode{"SlowBodies", {"-B", "-i", "1", "-s", "60000"}},
                      Mode{"Ranges", {"-R", "-a", "10", "-b", "3000"}},
                      Mode{"SlowReading", {"-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "1"}}),
    [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace weir::testing
