// The event loop of one worker, and the door to the network.
//
// Everything above io/ is written against this interface and runs unchanged on EpollReactor (sockets) and on
// SimulatedReactor (virtual time, a seeded network with faults). One thread runs a reactor; only post() and stop()
// may be called from others.
//
// now() is the time of this turn of the loop: read once a turn, so it does not move while an event is handled.
#ifndef WEIR_IO_REACTOR_H_
#define WEIR_IO_REACTOR_H_

#include <functional>
#include <memory>

#include "weir/async/timer.h"
#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/io/address.h"
#include "weir/io/stream.h"

namespace weir::io {

struct ListenOptions {
  int backlog = 4096;       // the kernel clamps it to net.core.somaxconn
  bool reuse_port = false;  // several listeners share the port, one a worker (SO_REUSEPORT)
};

class Listener;

class AcceptSink {
 public:
  // A connection may be waiting: call accept() until it gives none.
  virtual void on_acceptable(Listener& listener) noexcept = 0;

 protected:
  ~AcceptSink() = default;
};

class Listener {
 public:
  virtual ~Listener() = default;
  // The next connection; null when none waits. Errors: out_of_descriptors, out_of_memory; what a vanished client
  // leaves behind (ECONNABORTED) is skipped. On an error nothing was accepted and the event will not come again by
  // itself: the caller tries later.
  virtual Result<std::unique_ptr<Stream>> accept() noexcept = 0;
  virtual Address local() const noexcept = 0;
  void watch(AcceptSink* sink) noexcept { sink_ = sink; }

 protected:
  AcceptSink* sink_ = nullptr;
};

class Reactor : public async::Loop {
 public:
  virtual WallTime wall_now() const noexcept = 0;
  // The clock itself, read now. For durations that are reported; decisions take now().
  virtual TimePoint precise_now() const noexcept = 0;

  // Port 0 takes a free one: see Listener::local().
  virtual Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options) = 0;
  // Starts to connect; finish_connect() on the stream says how it went, after `writable` or `broken`.
  virtual Result<std::unique_ptr<Stream>> connect(const Address& address) = 0;

  // Runs `work` in a coming turn. Thread-safe; wakes the loop.
  virtual void post(std::function<void()> work) = 0;
  // Runs until stop(). Thread-safe to stop.
  virtual void run() = 0;
  virtual void stop() noexcept = 0;
};

}  // namespace weir::io

#endif  // WEIR_IO_REACTOR_H_
