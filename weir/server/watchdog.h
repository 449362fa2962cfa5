// Watchdog: tells when a worker has been in one turn of its loop for more than a second, and where it is.
//
// A turn of a healthy worker takes microseconds: nothing in it waits. One that does not end (a stage of one's own that
// blocks, a lock, a disk) holds up every connection of its worker, silently. The watchdog's thread looks at each loop's
// count of turns four times a second; a turn that lasts longer than `stuck_after` is reported once, with the thread's stack
// as it is at that moment, and once more when it has ended.
//
//   Watchdog watchdog({}, [&](const std::string& line) { log.warn(line); });
//   watchdog.watch("worker 0", reactor, thread.native_handle());
//   watchdog.start();
//   ...
//   watchdog.stop();      // before the threads are joined; the object itself must outlive them
//
// What it costs: the loop, two relaxed stores a turn; a thread that wakes four times a second. The stack is taken by the
// stuck thread itself in a handler of SIGURG, which has no other use here. A process that was stopped as a whole (a debugger,
// a frozen container) is not taken for stuck: looks that come late do not count.
//
// watch() before start(); stuck() and stalls() from any thread.
#ifndef WEIR_SERVER_WATCHDOG_H_
#define WEIR_SERVER_WATCHDOG_H_

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "weir/base/clock.h"
#include "weir/io/epoll_reactor.h"

namespace weir::server {

class Watchdog {
 public:
  struct Options {
    Duration stuck_after = std::chrono::seconds{1};
    Duration look_every = std::chrono::milliseconds{250};
  };
  using Report = std::function<void(const std::string& line)>;

  Watchdog(const Options& options, Report report);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void watch(std::string name, const io::EpollReactor& reactor, pthread_t thread);
  void start();
  // No more looks, no more signals. Idempotent.
  void stop();

  // Workers that are stuck now; times that one was.
  std::size_t stuck() const noexcept { return stuck_.load(std::memory_order_relaxed); }
  std::uint64_t stalls() const noexcept { return stalls_.load(std::memory_order_relaxed); }

 private:
  struct Watched;

  void run();
  void look(Watched& watched, TimePoint now, bool late);
  std::string where(Watched& watched);

  const Options options_;
  const Report report_;
  SystemClock clock_;
  std::deque<Watched> watched_;
  std::atomic<std::size_t> stuck_{0};
  std::atomic<std::uint64_t> stalls_{0};
  std::mutex mutex_;  // stopping_
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_WATCHDOG_H_
