#include <iostream>

#include "weir/config/load.h"
#include "weir/gateway/plan.h"

int main() {
  using namespace weir;
  const config::LoadResult file = config::load_text("weir.yaml", R"(
listen: 127.0.0.1:8080
upstreams: {users: {endpoints: [http://127.0.0.1:9001]}}
rate_limits: {per_client: {key: client_ip, limit: 100/min}}
routes:
  - {path: /users/*, rate_limit: [per_client], upstream: users}
)",
                                                    config::system_environment());
  if (!file.config) return 1;
  gateway::State state(base::SipKey{1, 2});  // limiters, semaphores, breakers: outlives plans
  metrics::Registry metrics(1);
  auto plan = gateway::build_plan(*file.config, state, metrics);
  if (!plan) return 1;
  for (const auto& stage : (*plan)->routes.front().stages) std::cout << stage->name() << " ";
  std::cout << "\n";  // trace sanitize ratelimit sanitize load_shed
  return 0;
}
