// A client of the simulation: sends its script's requests as its conduct says, reads every answer strictly,
// and judges what it got.
#ifndef WEIR_TESTS_SIMULATION_CLIENT_H_
#define WEIR_TESTS_SIMULATION_CLIENT_H_

#include <cstddef>
#include <optional>
#include <string>

#include "tests/simulation/peer.h"
#include "tests/simulation/script.h"
#include "tests/simulation/wire.h"
#include "weir/async/task.h"

namespace weir::simulation {

class World;

class Client {
 public:
  Client(World& world, ClientScript& script) : world_(world), script_(script) {}

  // Until every request of the script has its fate.
  async::Task<void> run();

 private:
  enum class Next : std::uint8_t { same_connection, new_connection };

  async::Task<void> use_connection();
  async::Task<bool> send_request(Peer& peer, Ask& ask);
  async::Task<bool> send_expecting(Peer& peer, Ask& ask);
  async::Task<bool> send_dripping(Peer& peer, std::string bytes);
  async::Task<Next> read_answer(Peer& peer, Ask& ask);
  async::Task<Next> send_pipelined(Peer& peer);
  async::Task<void> send_malformed(Peer& peer);
  async::Task<void> wait(Duration time);

  Deadline patience(Peer& peer) const;
  void judge(Ask& ask, Got got, const Response& response);
  void judge_whole(const Ask& ask, const Response& response);
  void judge_own(const Ask& ask, const Response& response);
  void judge_loss(const Ask& ask, Got got);
  void expect(const Ask& ask, bool holds, const std::string& what);
  bool may_be_lost(const Ask& ask) const;

  World& world_;
  ClientScript& script_;
  std::size_t next_ = 0;  // of the script's asks
  TimePoint leave_at_ = TimePoint::max();
};

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_CLIENT_H_
