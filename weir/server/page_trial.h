// PageTrial: the whole gateway with the pages of a configuration, its services and its clients, in memory and in virtual
// time, on one simulated network.
//
//   PageTrial trial(config, {.seed = 1});
//   trial.set_service("recs", {.any = {.fault = config::ServiceFault::hang}});
//   PageTrial::Request request;
//   request.target = "/home/17";
//   const PageTrial::Answer answer = trial.ask(request);        // 500 ms pass in no time
//
// What stands before a page (limits, tokens, idempotency) and what goes beside it (health checks, traces, the log) is left
// out (pages_only.h); who asks is said by the request. Breakers, timeouts, balancing and pools are the real ones. An https endpoint is
// called plainly, and every upstream has one endpoint.
//
// One thread; nothing leaves the process. The same seed and the same calls give the same run.
#ifndef WEIR_SERVER_PAGE_TRIAL_H_
#define WEIR_SERVER_PAGE_TRIAL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/async/scope.h"
#include "weir/base/result.h"
#include "weir/config/page_tests.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/state.h"
#include "weir/gateway/worker.h"
#include "weir/http/fetcher.h"
#include "weir/io/simulated_reactor.h"
#include "weir/metrics/registry.h"
#include "weir/server/pages_only.h"
#include "weir/server/worker_core.h"
#include "weir/upstream/upstream.h"

namespace weir::server {

class PageTrial {
 public:
  struct Options {
    std::uint64_t seed = 1;
    // How long a service waits for a client, and a client for an answer, before the trial calls it stuck.
    Duration patience = std::chrono::minutes{5};
  };
  struct Request {
    std::string method = "GET";
    std::string target;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    Caller caller;
  };
  struct Answer {
    http::FetchFailure failure = http::FetchFailure::none;  // of the client's own connection
    http::FetchResponse response;
    Duration took{};  // with the simulated network's latency
    bool done = false;
  };
  struct Seen {
    std::string upstream;
    std::string head;  // of the request, as it came
    TimePoint at{};
  };

  PageTrial(config::Config config, const Options& options);
  ~PageTrial();
  PageTrial(const PageTrial&) = delete;
  PageTrial& operator=(const PageTrial&) = delete;

  // "" when the plan could be built.
  const std::string& error() const noexcept { return error_; }
  // False: there is no such upstream. Without a service an upstream answers null.
  bool set_service(const std::string& upstream, config::Service service);
  Answer ask(const Request& request);

  // --- several at once ---
  // A client that asks; goes away when it is destroyed, whatever has come.
  class Client;
  std::unique_ptr<Client> begin(const Request& request);
  io::SimulatedReactor& reactor() noexcept { return reactor_; }
  // The last requests that services have seen, at most 1,000; how many there were; how many are unanswered now; how many
  // ended because weir hung up.
  const std::vector<Seen>& seen() const noexcept { return seen_; }
  std::uint64_t calls() const noexcept { return calls_; }
  std::size_t calls_open() const noexcept { return open_; }
  std::uint64_t calls_ended_by_weir() const noexcept { return hung_up_; }
  gateway::Worker& worker() noexcept { return *worker_; }
  gateway::State& state() noexcept { return state_; }
  std::size_t connections() const noexcept { return core_->connections(); }

 private:
  class Origin;

  async::Task<void> serve(Origin& origin, std::unique_ptr<io::Stream> stream);
  std::string build(config::Config config);

  const Options options_;
  io::SimulatedReactor reactor_;
  io::TableResolver resolver_;
  metrics::Registry registry_;
  gateway::State state_;
  std::string error_;
  Callers callers_;
  std::uint64_t next_id_ = 0;
  std::vector<Seen> seen_;
  std::uint64_t calls_ = 0;
  std::size_t open_ = 0;
  std::uint64_t hung_up_ = 0;
  std::map<std::string, std::unique_ptr<Origin>> origins_;
  std::unique_ptr<gateway::Worker> worker_;
  std::unique_ptr<WorkerCore> core_;
  async::Scope services_;
  // The clients' side: a pool of connections to the gateway.
  async::Scope background_;
  std::unique_ptr<upstream::EndpointPool> pool_;
  std::unique_ptr<upstream::WorkerUpstream> gateway_;
  io::BufferPool buffers_;
  base::Random random_;
};

class PageTrial::Client {
 public:
  Client(PageTrial& trial, const Request& request);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  const Answer& answer() const noexcept { return answer_; }
  Answer take() { return std::move(answer_); }

 private:
  async::Task<void> run();

  PageTrial& trial_;
  std::string id_;
  Request request_;
  Answer answer_;
  std::unique_ptr<upstream::Call> call_;
  async::Scope scope_;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_PAGE_TRIAL_H_
