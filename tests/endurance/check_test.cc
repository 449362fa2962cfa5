// What `weir check` costs: CPU time of the whole process, from its start to its end, over a file of a thousand routes.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/support/gateway.h"

namespace weir::testing {
namespace {

// CPU milliseconds of one `weir check FILE`; -1 when it does not end with 0.
double check_cost_ms(const std::string& path) {
  const std::string binary = weir_binary();
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(STDOUT_FILENO);
    ::execl(binary.c_str(), binary.c_str(), "check", path.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return -1;
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

// A thousand routes with limits, headers and captures: below 100 ms of CPU. The best of five runs counts; a long run, which
// has a machine to itself, is held to it.
TEST(CheckCost, OfAThousandRoutes) {
  std::string text =
      "listen: 127.0.0.1:8080\nload_shed: {max_in_flight: 50}\n"
      "rate_limits: {per_client: {key: client_ip, limit: 100/min}}\n"
      "upstreams:\n";
  for (int i = 0; i < 50; ++i)
    text += "  service_" + std::to_string(i) + ": {endpoints: [http://127.0.0.1:" + std::to_string(9000 + i) +
            "]}\n";
  text += "routes:\n";
  for (int i = 0; i < 1'000; ++i)
    text += "  - name: route_" + std::to_string(i) + "\n    path: /api/v1/r" + std::to_string(i) +
            "/{id}/*\n    methods: [GET, POST]\n    rate_limit: [per_client]\n    headers: {request: {set: "
            "{X-Route: \"" +
            std::to_string(i) + "\"}}}\n    upstream: service_" + std::to_string(i % 50) + "\n";
  const TemporaryFolder folder;
  const std::string path = folder.write("weir.yaml", text);
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double cost = check_cost_ms(path);
    ASSERT_GE(cost, 0);
    best = std::min(best, cost);
  }
  std::cout << "weir check of 1,000 routes (" << text.size() / 1024 << " KiB): " << best << " ms of CPU\n";
#ifdef NDEBUG
  if (std::getenv("WEIR_LONG") != nullptr) {
    EXPECT_LT(best, 100);
  }
#endif
}

}  // namespace
}  // namespace weir::testing
