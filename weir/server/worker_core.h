// WorkerCore: a worker without its thread. Accepts on its listeners, keeps its connections, drains.
//
// Runs on whatever reactor it is given: the server gives each worker thread an EpollReactor, the simulation gives one a
// SimulatedReactor, and nothing in here can tell.
#ifndef WEIR_SERVER_WORKER_CORE_H_
#define WEIR_SERVER_WORKER_CORE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "weir/async/scope.h"
#include "weir/base/intrusive_list.h"
#include "weir/gateway/worker.h"
#include "weir/io/reactor.h"
#include "weir/server/address_table.h"
#include "weir/server/http1_connection.h"

namespace weir::server {

struct CoreOptions {
  bool observed = true;               // requests appear in log and metrics; the admin's do not
  AddressTable* addresses = nullptr;  // counts connections by address; null: no limit
};

class WorkerCore final : private io::AcceptSink, private async::Timer {
 public:
  WorkerCore(io::Reactor& reactor, gateway::Worker& worker, const CoreOptions& options);
  ~WorkerCore();

  void add_listener(std::unique_ptr<io::Listener> listener);
  // Stops accepting and lets connections end; `drained` is called once when none is left (at once if there is none).
  void drain(std::function<void()> drained);
  // Wakes everything that waits, so that it ends now; answers are cut off.
  void cancel() noexcept { scope_.cancel(); }

  bool draining() const noexcept { return draining_; }
  std::size_t connections() const noexcept { return scope_.running(); }
  // Accepting stands still for lack of descriptors or memory. Thread-safe.
  bool starved() const noexcept { return starved_.load(std::memory_order_relaxed); }
  // Connections closed unanswered because their address had too many. Thread-safe.
  std::uint64_t refused_connections() const noexcept { return refused_.load(std::memory_order_relaxed); }

  gateway::Worker& worker() noexcept { return worker_; }
  io::Reactor& reactor() noexcept { return reactor_; }
  async::CancelSource& cancel_source() noexcept { return scope_.cancel_source(); }
  const CoreOptions& options() const noexcept { return options_; }

  // For connections.
  std::unique_ptr<ActiveRequest> take_active();
  void return_active(std::unique_ptr<ActiveRequest> active);
  void connection_opened(Http1Connection& connection) { open_.push_back(connection); }
  void connection_closed();

 private:
  void on_acceptable(io::Listener& listener) noexcept override;
  void on_timer() noexcept override;
  void accept_from(io::Listener& listener);

  io::Reactor& reactor_;
  gateway::Worker& worker_;
  CoreOptions options_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  std::vector<std::unique_ptr<ActiveRequest>> idle_actives_;
  base::IntrusiveList<Http1Connection> open_;
  std::function<void()> drained_;
  std::atomic<bool> starved_{false};
  std::atomic<std::uint64_t> refused_{0};
  bool draining_ = false;
  async::Scope scope_;  // last: connections end before what they use
};

}  // namespace weir::server

#endif  // WEIR_SERVER_WORKER_CORE_H_
