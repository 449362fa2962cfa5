// EpollReactor: the event loop of a worker on Linux epoll, edge-triggered.
//
// Every socket is registered once, for everything, when it is made, and never again: no epoll_ctl on the way
// of a request. What may be tried is remembered in the stream's flags (stream.h), so a read that is known to
// give nothing and the read that would only confirm "no more" are not made at all. A proxied request thus
// costs two recv, two send, and its share of one epoll_wait for up to kBatch events.
//
// One turn: wait; read the clock once; deliver the events; run what became ready; fire timers; run posted
// work.
//
// Lifetime: streams, listeners, watches and armed timers must be gone before their reactor. A stream may be
// destroyed at any time, also by the event of another stream of the same batch: the rest of the batch is
// searched for it.
//
// One thread runs it; post() and stop() may be called from any. Memory: 9.5 KiB a reactor, 64 bytes a stream.
#ifndef WEIR_IO_EPOLL_REACTOR_H_
#define WEIR_IO_EPOLL_REACTOR_H_

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "weir/io/reactor.h"
#include "weir/io/timer_wheel.h"

namespace weir::io {

class EpollReactor final : public Reactor {
 public:
  static constexpr int kBatch = 256;  // events a wait; more only delay the clock and the timers

  class FdSink;
  class FdWatch;

  // Errors: out_of_descriptors, out_of_memory.
  static Result<std::unique_ptr<EpollReactor>> create();
  ~EpollReactor() override;

  TimePoint now() const noexcept override { return now_; }
  WallTime wall_now() const noexcept override { return clock_.wall_now(); }
  TimePoint precise_now() const noexcept override { return clock_.now(); }

  Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options) override;
  Result<std::unique_ptr<Stream>> connect(const Address& address) override;

  void post(std::function<void()> work) override;
  void run() override;
  void stop() noexcept override;

  // One turn of the loop. Waits until there is something to do. Not from within a turn.
  void turn() noexcept;

  // Odd while a turn's work runs, even while it waits for events; another number with each. Thread-safe: for those who
  // watch whether a turn ends.
  std::uint64_t activity() const noexcept { return activity_.load(std::memory_order_relaxed); }

 private:
  friend class EpollStream;
  friend class EpollListener;

  EpollReactor(int epoll_fd, int wake_fd) noexcept;

  void schedule(async::Timer& timer) noexcept override { timers_.schedule(timer); }
  int wait_ms() const noexcept;
  void deliver_events() noexcept;
  void run_posted() noexcept;
  void wake() noexcept;
  // Adds `fd` with `tag` (a pointer and its kind). 0 or errno.
  int add(int fd, std::uint32_t events, std::uint64_t tag) noexcept;
  // Takes what still stands in the current batch for `tag` out of it.
  void forget(std::uint64_t tag) noexcept;

  SystemClock clock_;
  const int epoll_fd_;
  const int wake_fd_;
  TimePoint now_;
  TimerWheel timers_;

  int next_event_ = 0;  // of the batch that is being delivered
  int event_count_ = 0;
  std::array<epoll_event, kBatch> events_;

  std::atomic<bool> stopped_{false};
  std::atomic<std::uint64_t> activity_{0};  // written by the loop alone
  bool woken_ = false;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;   // guarded by posted_mutex_
  std::vector<std::function<void()>> running_;  // being run; kept for its memory
};

// Whom an FdWatch tells.
class EpollReactor::FdSink {
 public:
  // May destroy the watch.
  virtual void on_fd(int fd, bool readable, bool writable) noexcept = 0;

 protected:
  ~FdSink() = default;
};

// Watches a descriptor that somebody else owns: a resolver's socket, a signalfd. Level-triggered: on_fd()
// comes again in each turn until the cause is gone. Destroy it, or want(false, false), before the descriptor
// is closed.
class EpollReactor::FdWatch {
 public:
  FdWatch(EpollReactor& reactor, int fd, FdSink& sink) noexcept : reactor_(reactor), fd_(fd), sink_(sink) {}
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch();

  // Errors: out_of_memory, or io_error for a descriptor that cannot be polled.
  Result<void> want(bool readable, bool writable);
  int fd() const noexcept { return fd_; }

 private:
  friend class EpollReactor;

  EpollReactor& reactor_;
  const int fd_;
  FdSink& sink_;
  bool added_ = false;
};

}  // namespace weir::io

#endif  // WEIR_IO_EPOLL_REACTOR_H_
