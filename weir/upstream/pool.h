// EndpointPool: one worker's connections to one endpoint, and the addresses behind its name.
//
//   (1) Idle connections are used last in, first out: the one most recently used is the least likely to have been
//       closed by the other side, and the rest can age out.
//   (2) An idle connection that says anything (bytes, an end, a reset) is closed at once: no answer is due, so whatever
//       it says must not become the answer to the next request.
//   (3) At most `idle_max` are kept, for at most `idle_for`, and none older than `age_max`.
//   (4) A name is resolved when first needed and again when its TTL has passed; a failure keeps the last good addresses.
//
// Taking an idle connection is O(1) and makes no system call. One thread: the worker's.
#ifndef WEIR_UPSTREAM_POOL_H_
#define WEIR_UPSTREAM_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weir/async/frame_pool.h"
#include "weir/async/scope.h"
#include "weir/async/task.h"
#include "weir/async/timer.h"
#include "weir/base/deadline.h"
#include "weir/base/intrusive_list.h"
#include "weir/base/result.h"
#include "weir/io/reactor.h"
#include "weir/io/resolver.h"
#include "weir/io/stream.h"
#include "weir/io/tls_client.h"

namespace weir::upstream {

class EndpointPool;

// A connection to an endpoint. Owned by the call that uses it, or by the pool while idle.
class Connection final : public async::Pooled, public base::ListNode<>, public io::EventSink {
 public:
  Connection(EndpointPool& pool, std::unique_ptr<io::Stream> stream, TimePoint now) noexcept;
  ~Connection();

  io::Stream& stream() noexcept { return *stream_; }
  // It has served at least one request: its peer may have closed it since.
  bool reused() const noexcept { return served_ > 0; }
  EndpointPool& pool() noexcept { return pool_; }

 private:
  friend class EndpointPool;
  void on_event(io::Stream& stream, unsigned events) noexcept override;

  EndpointPool& pool_;
  std::unique_ptr<io::Stream> stream_;
  TimePoint created_;
  TimePoint idle_since_{};
  std::uint32_t served_ = 0;
};

struct PoolOptions {
  std::size_t idle_max = 256;                    // a worker and endpoint
  Duration idle_for = std::chrono::seconds{30};  // below the keep-alive of most origins
  std::shared_ptr<io::TlsClient> tls = nullptr;  // https; null: plain
  Duration age_max = std::chrono::minutes{10};   // so that a moved service is found again
};

class EndpointPool final : private async::Timer {
 public:
  // `host` is an IP address or a name. `background` runs refreshes of the name; reactor, resolver and scope outlive it.
  EndpointPool(io::Reactor& reactor, io::Resolver& resolver, async::Scope& background, std::string host,
               std::uint16_t port, const PoolOptions& options = {});
  ~EndpointPool();

  // The most recently used idle connection, or null.
  std::unique_ptr<Connection> take_idle() noexcept;
  // Starts to connect to the address that is `attempt`-th in turn. Only with resolved() true.
  Result<std::unique_ptr<Connection>> connect(std::size_t attempt);
  // After an answer was read to its end and the connection may be used again.
  void give_back(std::unique_ptr<Connection> connection) noexcept;

  // Addresses are known (an old answer counts: a refresh runs beside it).
  bool resolved() noexcept;
  async::Task<Result<void>> resolve(Deadline deadline);
  std::size_t addresses() const noexcept { return addresses_.size(); }

  // Thread-safe, for metrics: about this moment.
  std::size_t open() const noexcept { return open_.load(std::memory_order_relaxed); }
  std::size_t idle() const noexcept { return idle_count_.load(std::memory_order_relaxed); }
  const std::string& host() const noexcept { return host_; }
  std::uint16_t port() const noexcept { return port_; }

 private:
  friend class Connection;

  void on_timer() noexcept override;
  void drop_idle(Connection& connection) noexcept;
  async::Task<void> refresh();
  void keep(const io::Resolved& answer);

  io::Reactor& reactor_;
  io::Resolver& resolver_;
  async::Scope& background_;
  std::string host_;
  std::uint16_t port_;
  PoolOptions options_;
  io::TlsSession tls_session_;
  bool literal_ = false;
  bool refreshing_ = false;
  std::vector<base::IpAddress> addresses_;
  TimePoint fresh_until_{};
  base::IntrusiveList<Connection, base::DefaultTag> idle_list_;  // most recently used first; owned
  // One writer, so plain load and store would do; atomics only because a scrape reads them.
  static void bump(std::atomic<std::size_t>& count, std::size_t by) noexcept {
    count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::atomic<std::size_t> idle_count_{0};
  std::atomic<std::size_t> open_{0};
};

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_POOL_H_
