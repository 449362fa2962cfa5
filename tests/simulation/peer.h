// Peer: one end of a simulated connection as a coroutine sees it, for clients and services of the simulation.
//
// fill() adds what has arrived to `in`; send() writes everything, reading meanwhile so that two ends that
// both write never wait for each other. How fast it reads can be bounded, to play a client that does not
// keep up.
#ifndef WEIR_TESTS_SIMULATION_PEER_H_
#define WEIR_TESTS_SIMULATION_PEER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "weir/async/task.h"
#include "weir/base/deadline.h"
#include "weir/io/simulated_reactor.h"
#include "weir/io/waiter.h"

namespace weir::simulation {

enum class Io : std::uint8_t { ok, end, broken, timed_out };

class Peer {
 public:
  Peer(io::SimulatedReactor& reactor, std::unique_ptr<io::Stream> stream)
      : reactor_(reactor), waiter_(reactor) {
    stream_ = std::move(stream);
    stream_->watch(&waiter_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // After SimulatedReactor::connect(): ok, or broken when it was refused.
  async::Task<Io> connected(Deadline deadline);
  // Adds at least one byte to `in`, or says why not.
  async::Task<Io> fill(Deadline deadline);
  // Writes all of `bytes`. Not ok: the other end takes no more (what it has sent may still be in `in`).
  async::Task<Io> send(std::string bytes, Deadline deadline);
  // Nothing more arrives and nothing moves: false when the time is over first.
  async::Task<bool> ended(Deadline deadline);

  void read_slowly(std::size_t bytes, Duration pause) { read_max_ = bytes, read_pause_ = pause; }
  io::Stream& stream() noexcept { return *stream_; }
  io::SimulatedReactor& reactor() noexcept { return reactor_; }
  Deadline within(Duration time) const noexcept { return Deadline::after(reactor_.now(), time); }

  std::string in;  // arrived and not yet used

 private:
  Io read_some();

  io::SimulatedReactor& reactor_;
  io::Waiter waiter_;
  std::unique_ptr<io::Stream> stream_;  // behind the waiter that it tells
  std::size_t read_max_ = 16 * 1024;
  Duration read_pause_{0};
  Io state_ = Io::ok;  // of the reading side, sticky
  bool moved_ = false;
};

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_PEER_H_
