// A world in memory, made from a seed: the whole gateway (configuration, plan, one or two workers),
// services, clients, and a network between them, on one SimulatedReactor.
//
//   World world(seed);
//   world.run();                       // to the end, or step by step with start() and turn()
//   EXPECT_EQ(world.failures(), "");   // every rule that was broken, with the request's number
//
// Whatever is wrong is collected, never asserted on the spot: most of it happens inside of coroutines.
#ifndef WEIR_TESTS_SIMULATION_WORLD_H_
#define WEIR_TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/client.h"
#include "tests/simulation/observer.h"
#include "tests/simulation/origin.h"
#include "tests/simulation/script.h"
#include "weir/async/scope.h"
#include "weir/gateway/access_log_writer.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/state.h"
#include "weir/gateway/worker.h"
#include "weir/io/simulated_reactor.h"
#include "weir/metrics/registry.h"
#include "weir/server/address_table.h"
#include "weir/server/worker_core.h"

namespace weir::simulation {

struct WorldOptions {
  std::uint64_t seed = 1;
  int clients = 40;
  bool trace = false;  // to standard error
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // start(), turns until nothing happens any more, finish().
  void run();
  // Puts everybody in place; nothing has moved yet.
  void start();
  bool turn() { return reactor_.turn(); }
  // After the last turn: nothing may be left.
  void finish();
  // Everything of weir's is told to end now.
  void cancel();

  // Broken rules, one a line; at most the first twenty.
  std::string failures() const;
  std::string summary() const;
  std::uint64_t digest() const noexcept { return reactor_.digest(); }
  const Observer& observer() const noexcept { return observer_; }
  const std::deque<Ask>& asks() const noexcept { return asks_; }

  // --- for those who live in it ---
  io::SimulatedReactor& reactor() noexcept { return reactor_; }
  base::Random& random() noexcept { return random_; }
  const Weather& weather() const noexcept { return weather_; }
  bool draining() const noexcept { return draining_; }
  bool cut_off() const noexcept { return cut_off_; }
  Result<std::unique_ptr<io::Stream>> connect(std::uint32_t client);
  Ask* find(std::string_view number);
  // Its service always answers well, over a network that loses nothing.
  bool reliable(const Ask& ask) const;
  // As the services see it: never more requests at them than there are places. What weir has given up on,
  // and does not wait for any more, does not count.
  void check_in_flight();
  void fail(const std::string& what);
  void trace(const std::string& what);

 private:
  struct Unit {
    std::unique_ptr<gateway::Worker> worker;
    std::unique_ptr<server::WorkerCore> core;
  };

  void draw_weather();
  void draw_scripts();
  void draw_client(ClientScript& client);
  std::string configuration();
  std::shared_ptr<const gateway::Plan> build();
  void publish();
  void set_network();
  async::Task<void> govern();
  void drain();
  void check_asks();
  void check_metrics();
  void check_log();

  const WorldOptions options_;
  base::Random random_;
  Weather weather_;
  std::deque<Ask> asks_;
  std::deque<ClientScript> scripts_;
  std::vector<std::string> failures_;
  std::size_t failure_count_ = 0;
  io::SimulatedReactor reactor_;
  io::TableResolver resolver_;
  metrics::Registry registry_;
  Observer observer_;
  gateway::State state_;
  server::AddressTable addresses_;
  std::string log_path_;
  std::unique_ptr<gateway::AccessLogWriter> log_;
  std::shared_ptr<const gateway::Plan> plan_;
  std::vector<Unit> units_;
  std::vector<std::unique_ptr<Origin>> origins_;
  std::deque<Client> clients_;
  std::size_t clients_running_ = 0;
  int drained_ = 0;
  bool draining_ = false;
  bool cut_off_ = false;
  async::Scope scope_;  // clients and the governor
};

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_WORLD_H_
