#include <iostream>

#include "weir/io/simulated_reactor.h"
#include "weir/upstream/upstream.h"

int main() {
  using namespace weir;
  upstream::UpstreamOptions options;
  options.name = "orders";
  for (const char* host : {"10.0.0.1", "10.0.0.2"}) {
    upstream::EndpointOptions& endpoint = options.endpoints.emplace_back();
    endpoint.url = std::string("http://") + host;
    endpoint.host = host;
  }

  io::SimulatedReactor reactor(io::SimulationOptions{});
  io::TableResolver names;
  async::Scope background;
  upstream::EndpointPool one(reactor, names, background, "10.0.0.1", 80);
  upstream::EndpointPool two(reactor, names, background, "10.0.0.2", 80);
  auto shared =
      std::make_shared<upstream::SharedUpstream>("orders", resilience::CircuitBreaker::Options{}, nullptr);

  upstream::WorkerUpstream orders(options, shared, {&one, &two});
  base::Random random(1);
  auto ticket = shared->breaker().try_enter(reactor.now());  // may the upstream be called at all?
  if (!ticket) return 1;
  std::cout << "next request goes to " << orders.pick(random, {})->options.url << "\n";
  ticket->settle(options.failure_on.classify_status(200), reactor.now());
  return 0;
}
