// A service of the simulation: accepts, reads requests as strictly as the clients read answers, and answers
// each as the script says.
#ifndef WEIR_TESTS_SIMULATION_ORIGIN_H_
#define WEIR_TESTS_SIMULATION_ORIGIN_H_

#include <cstddef>
#include <memory>
#include <string>

#include "tests/simulation/peer.h"
#include "tests/simulation/script.h"
#include "tests/simulation/wire.h"
#include "weir/async/scope.h"
#include "weir/async/task.h"

namespace weir::simulation {

class World;

class Origin final : private io::AcceptSink {
 public:
  Origin(World& world, io::Address address);
  ~Origin() = default;

 private:
  void on_acceptable(io::Listener& listener) noexcept override;
  async::Task<void> serve(std::unique_ptr<io::Stream> stream);
  // False: the connection is over.
  async::Task<bool> answer(Peer& peer, Ask& ask, Request& request);
  async::Task<bool> answer_well(Peer& peer, Ask& ask);
  async::Task<bool> answer_badly(Peer& peer, Ask& ask);
  async::Task<bool> read_body(Peer& peer, Ask& ask, Request& request);
  async::Task<void> pause(Duration time);
  void check_request(const Ask& ask, const Request& request);

  World& world_;
  std::unique_ptr<io::Listener> listener_;
  async::Scope scope_;
};

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_ORIGIN_H_
