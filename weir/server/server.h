// Server: the whole gateway of one process. Workers, admin, reload, drain.
//
//   Server server(options);
//   if (Result<void> started = server.start(config); !started) ...
//   server.reload();            // SIGHUP, POST /v1/reload
//   server.reopen_logs();       // SIGUSR1
//   server.drain();             // SIGTERM: refuses new connections, finishes what runs
//   server.wait();
//
// Each worker is a thread with its own reactor and its own SO_REUSEPORT listener; the admin is one more, so
// that it answers when the workers are busy. A reload builds a new plan beside the old one and publishes it,
// or says what is wrong and changes nothing. Every member may be called from any thread.
#ifndef WEIR_SERVER_SERVER_H_
#define WEIR_SERVER_SERVER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "weir/async/task.h"
#include "weir/config/load.h"
#include "weir/gateway/access_log_writer.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/state.h"
#include "weir/gateway/worker.h"
#include "weir/io/reactor.h"
#include "weir/metrics/registry.h"
#include "weir/server/address_table.h"
#include "weir/server/file_watch.h"
#include "weir/server/log.h"
#include "weir/server/watchdog.h"
#include "weir/server/worker_core.h"

namespace weir::server {

struct ServerOptions {
  std::string config_file;                        // for reload; "" when there is none (weir proxy)
  gateway::PlanOptions plan;                      // custom stages
  Duration drain_for = std::chrono::seconds{30};  // then whatever still runs is cut off
};

class Server {
 public:
  Server(ServerOptions options, Log& log);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds every address and starts the threads. Errors: address_in_use, permission_denied and the like, with
  // the address; nothing runs then.
  Result<void> start(config::Config config);

  struct Reload {
    bool ok = false;
    std::string report;  // what is wrong, a line each; or what changed
  };
  Reload reload();
  void reopen_logs();
  // What an admin's handler answers: a status, and JSON.
  struct Answered {
    int status = 200;
    std::string body;
  };
  // {"jti"|"sub"|"sid"|"kid": .., "iss"?, "issued_before"?, "expires"?}: from now on such tokens are not accepted.
  Answered revoke(std::string_view json);
  // Keyed requests of which nobody knows whether they were carried out, and what a person has found out about one:
  // {"outcome": "not_executed"} or {"outcome": "executed", "status": .., "body": ..}.
  Answered unknown_outcomes();
  Answered resolve_outcome(std::string_view id, std::string_view json);
  // {"limit": 500 | "500/min" | null, "for"?: "10m", "tier"?: "gold"}: a limit by hand, see gateway/limit_overrides.h; null
  // is the file's again. Statuses 200, 400 with the place of the fault, 404 with what may have been meant.
  Answered set_rate_limit(std::string_view name, std::string_view json);
  // Takes overrides back when their time is over; ends when none has an end. One at a time; on the admin's thread.
  async::Task<void> watch_overrides(io::Reactor& reactor);
  // See upstream_writes.h; `who` is named in the log.
  Answered set_breaker(std::string_view upstream, std::string_view json, std::string_view who);
  Answered set_endpoint(std::string_view upstream, std::string_view endpoint, std::string_view json,
                        std::string_view who);
  // Stops accepting, lets exchanges end, then stops the workers. A second call cuts everything off at once.
  void drain();
  // Until drained.
  void wait();
  // wait() is about to return, or has.
  bool ended() const noexcept { return all_ended_.load(); }

  bool draining() const noexcept { return draining_.load(); }
  std::size_t workers() const noexcept { return workers_.size(); }
  // Each worker in turn, on its own thread; returns at once.
  void post_to_workers(const std::function<void(gateway::Worker&)>& what);
  // Nothing, or why the server should get no new traffic.
  std::string not_ready() const;
  std::string metrics_text();
  // JSON for the admin's read endpoints.
  std::string config_json() const;
  std::string upstreams_json() const;
  std::string rate_limits_json() const;
  std::string exposures_json() const { return state_.experiments()->exposures_json(); }
  // See gateway::ExperimentState::explain_json().
  bool explain_experiments(std::string_view body, WallTime now, std::string* out) const {
    return state_.experiments()->explain_json(body, now, *out);
  }
  std::shared_ptr<const gateway::Plan> plan() const;
  // Addresses in use, for those who asked for port 0: the first data listener, the admin.
  std::vector<io::Address> listening() const { return listening_; }

 private:
  struct Thread;

  Answered log_write(struct WriteAnswer answer, std::string_view who);

  Result<void> bind(const config::Config& config);
  Result<void> add_listener(Thread& thread, const config::HostPort& at, bool reuse_port);
  Result<std::unique_ptr<Thread>> make_thread(std::size_t index, bool admin);
  void declare_metrics();
  void declare_auth_metrics();
  void declare_worker_metrics();
  void declare_cache_metrics();
  void publish(std::shared_ptr<const gateway::Plan> plan);
  void watch_experiments();
  void reload_experiments(const std::string& file);
  void thread_drained();
  void on_transition(const upstream::SharedUpstream& upstream,
                     const resilience::CircuitBreaker::Transition& change,
                     const std::vector<std::string>& failed);
  void read_connections(metrics::Sink& sink) const;

  ServerOptions options_;
  Log& log_;
  SystemClock clock_;
  const base::SipKey seed_;
  std::unique_ptr<metrics::Registry> registry_;
  gateway::State state_;
  AddressTable addresses_;
  Watchdog watchdog_;
  std::unique_ptr<gateway::AccessLogWriter> access_log_;
  std::vector<metrics::Collector> collectors_;

  mutable std::mutex mutex_;  // the members below
  std::condition_variable ended_;
  std::shared_ptr<const gateway::Plan> plan_;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::uint64_t> transitions_;
  std::uint64_t reloads_ok_ = 0;
  std::uint64_t reloads_failed_ = 0;
  std::size_t threads_running_ = 0;

  std::mutex reload_mutex_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> all_ended_{false};
  std::vector<io::Address> listening_;
  std::vector<std::unique_ptr<Thread>> workers_;
  std::unique_ptr<Thread> admin_;
  bool watching_overrides_ = false;  // of the admin's thread
  std::uint64_t experiments_read_ = 0;  // fingerprint of the file as it was read last
  std::uint64_t experiment_reloads_ok_ = 0;
  std::uint64_t experiment_reloads_failed_ = 0;
  std::unique_ptr<FileWatch> experiment_watch_;  // last: its thread uses what stands above
};

}  // namespace weir::server

#endif  // WEIR_SERVER_SERVER_H_
