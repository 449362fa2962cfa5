// SimulatedReactor: the same loop and network in memory, with virtual time, under a seed.
//
// Both ends of every connection live on it: what is tested, its clients and its upstreams are coroutines side
// by side on one thread. Time moves only from event to event, so an hour of timeouts passes in microseconds,
// and all chance comes from one seeded generator: the same seed and the same program give the same run
// (digest() proves it).
//
//   SimulatedReactor reactor({.seed = 7, .faults = {.short_read = 200, .split = 200}});
//   auto listener = reactor.listen(address, {});
//   scope.spawn(serve(reactor, **listener));
//   scope.spawn(client(reactor, address));
//   EXPECT_TRUE(reactor.run_until_idle(60s));
//   EXPECT_EQ(reactor.open_streams(), 0u);
//
// The events are those of sockets, and one conformance suite runs on both reactors: edges; `hangup` when the
// peer's FIN arrives, behind its bytes; `broken` when a RST does; a close with unread bytes sends RST, as
// Linux does; bytes that arrive at a closed end are answered with RST; bytes sent before accept() wait in the
// backlog. What differs: timers have no resolution here, they fire exactly when they are due, in the order of
// due times, then of arming.
//
// Monotonic time never steps back, here or on a real machine; wall time does: step_wall().
// Streams, listeners and armed timers must be gone before the reactor (checked).
#ifndef WEIR_IO_SIMULATED_REACTOR_H_
#define WEIR_IO_SIMULATED_REACTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/random.h"
#include "weir/io/reactor.h"

namespace weir::io {

// What may happen to the connections to an address. Chances are per mille; 0 never, 1000 always.
struct Faults {
  Duration latency_min = std::chrono::microseconds{50};  // one way, drawn anew for each piece; order is kept
  Duration latency_max = std::chrono::microseconds{200};
  unsigned split = 0;  // what one write gave arrives in pieces, down to one byte, each with its own latency
  unsigned short_read = 0;   // a read gives a part of what is there, at least one byte
  unsigned short_write = 0;  // a write takes a part of what there is room for, at least one byte
  unsigned spurious = 0;     // an event comes for which there is nothing to do
  unsigned refuse = 0;       // a connect is refused
  unsigned black_hole = 0;   // a connect is never answered
  unsigned reset = 0;  // a connection is reset, both ends at once, at a random moment of its first `within`
  unsigned reset_on_data = 0;  // so it is by each arriving piece
  unsigned silence =
      0;  // a connection falls silent at a random moment of its first `within`: nothing that is
          // sent arrives any more, either way, and nobody is told
  Duration within = std::chrono::milliseconds{100};
  std::size_t buffer =
      64 * 1024;  // bytes on the way and unread, for each direction; a write beyond would block
};

struct SimulationOptions {
  std::uint64_t seed = 1;
  Faults faults{};  // where no rule says otherwise
  Duration batch{
      0};  // each turn sees its events late by up to so much, and so sees several at once; 0: one by one
  TimePoint start{std::chrono::hours{1}};
  WallTime wall{std::chrono::hours{24 * 365 * 56}};  // a day late in 2025
};

class SimulatedListener;

class SimulatedReactor final : public Reactor {
 public:
  explicit SimulatedReactor(const SimulationOptions& options = {});
  ~SimulatedReactor() override;

  TimePoint now() const noexcept override { return now_; }
  TimePoint precise_now() const noexcept override { return now_; }
  WallTime wall_now() const noexcept override { return wall_ + (now_ - start_); }

  Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options) override;
  // From 127.0.0.1 or ::1.
  Result<std::unique_ptr<Stream>> connect(const Address& address) override;
  // The same from an address of the caller's choice: for limits that count by client.
  Result<std::unique_ptr<Stream>> connect_from(const base::IpAddress& from, const Address& address);

  void post(std::function<void()> work) override;
  // Until stop(), or until nothing can happen any more.
  void run() override;
  void stop() noexcept override { stopped_.store(true, std::memory_order_relaxed); }

  // The next thing to happen, and what follows from it at once. False when nothing is left.
  bool turn();
  // Until nothing is left or `longest` has passed; true for the first.
  bool run_until_idle(Duration longest);
  // Until `done` or for `longest`; what `done` says at the end. `done` is asked after each turn.
  bool run_until(const std::function<bool()>& done, Duration longest);
  // Everything that happens within `time`; now() is later by exactly that.
  void run_for(Duration time);

  // For connections made from now on to exactly this address; the last rule counts.
  void set_rule(const Address& address, const Faults& faults);
  void set_faults(const Faults& faults) { faults_ = faults; }
  // Live connections to `address` are reset at both ends; fall silent.
  void reset_connections(const Address& address);
  void silence_connections(const Address& address);
  // The next `count` calls fail as they do when descriptors have run out.
  void fail_accepts(unsigned count) noexcept { failing_accepts_ = count; }
  void fail_connects(unsigned count) noexcept { failing_connects_ = count; }
  void step_wall(Duration by) noexcept { wall_ += by; }

  // The reactor's own generator, for programs that must take part in the seed.
  base::Random& random() noexcept { return random_; }
  std::size_t open_streams() const noexcept { return open_streams_; }
  std::size_t open_listeners() const noexcept { return listeners_.size(); }
  std::uint64_t connects() const noexcept { return connects_; }
  // Gets a line for each thing that happens: to read what a seed does. Empty: none.
  void set_trace(std::function<void(std::string_view line)> trace) { trace_ = std::move(trace); }
  // A hash of everything that has happened, with its moments.
  std::uint64_t digest() const noexcept { return digest_; }

 private:
  friend class SimulatedStream;
  friend class SimulatedListener;
  struct Connection;
  using ConnectionPtr = std::shared_ptr<Connection>;
  using TimerList = base::IntrusiveList<async::Timer, async::Timer>;

  void schedule(async::Timer& timer) noexcept override;
  TimePoint next_moment();
  void fire_timers();
  bool run_posted();
  void deliver_events();

  // Network: see the source.
  void at(TimePoint when, std::function<void()> event);
  Duration latency(const Faults& faults);
  bool chance(unsigned per_mille) { return per_mille != 0 && random_.chance(per_mille, 1000); }
  const Faults& faults_for(const Address& address) const;
  void note(std::string_view what, const Connection& connection, std::uint64_t number);
  void arrive_syn(const ConnectionPtr& connection);
  void plan_accidents(const ConnectionPtr& connection);
  void send(const ConnectionPtr& connection, int side, std::string bytes);
  void send_fin(const ConnectionPtr& connection, int side);
  void send_rst(const ConnectionPtr& connection, int to);
  void arrive_bytes(const ConnectionPtr& connection, int from, const std::string& bytes);
  void arrive_fin(const ConnectionPtr& connection, int from);
  void arrive_rst(const ConnectionPtr& connection, int to);
  void break_both(const ConnectionPtr& connection);
  void tell_writable(const ConnectionPtr& connection, int side);
  void close(const ConnectionPtr& connection, int side, bool abort);
  SimulatedListener* listener_for(const Address& address);

  base::Random random_;
  Faults faults_;
  const Duration batch_;
  const TimePoint start_;
  TimePoint now_;
  WallTime wall_;

  std::map<std::pair<TimePoint, std::uint64_t>, std::function<void()>>
      events_;  // by moment, then by order of causes
  std::uint64_t next_event_ = 0;
  std::map<TimePoint, TimerList> timers_;  // an empty list: its timers were disarmed
  TimerList firing_;

  std::vector<std::pair<Address, Faults>> rules_;
  std::vector<SimulatedListener*> listeners_;
  std::vector<std::weak_ptr<Connection>> connections_;  // in order of their making
  std::uint16_t next_port_ = 32768;
  std::uint64_t connects_ = 0;
  std::size_t open_streams_ = 0;
  unsigned failing_accepts_ = 0;
  unsigned failing_connects_ = 0;
  std::uint64_t digest_;
  std::function<void(std::string_view)> trace_;

  std::atomic<bool> stopped_{false};
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by posted_mutex_
};

}  // namespace weir::io

#endif  // WEIR_IO_SIMULATED_REACTOR_H_
