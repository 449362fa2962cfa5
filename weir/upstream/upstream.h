// An upstream: a named group of endpoints that do the same work, with one circuit breaker.
//
// SharedUpstream is the process's part (breaker, the trail of failed requests, counters) and lives through reloads.
// WorkerUpstream is one worker's part (connections, choice of endpoint). Endpoints are chosen by least requests of two
// (Mitzenmacher 2001: two random choices are enough to avoid herding) counted per worker, or round robin.
#ifndef WEIR_UPSTREAM_UPSTREAM_H_
#define WEIR_UPSTREAM_UPSTREAM_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/random.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/classify.h"
#include "weir/upstream/call.h"
#include "weir/upstream/pool.h"

namespace weir::upstream {

enum class Balance : std::uint8_t { least_requests, round_robin };

struct EndpointOptions {
  std::string url;   // as configured; names it in metrics and the admin
  std::string host;  // IP address or name
  std::uint16_t port = 80;
  std::uint32_t weight = 1;
};

struct UpstreamOptions {
  std::string name;
  std::vector<EndpointOptions> endpoints;
  Timeouts timeouts;
  std::optional<Duration> total;  // a call's whole time; none: only the timeouts above
  Balance balance = Balance::least_requests;
  std::optional<resilience::CircuitBreaker::Options> breaker;  // none: off
  resilience::FailureOn failure_on;
};

class SharedUpstream {
 public:
  // What a breaker's change of state looks like from outside, with the ids of the requests that led to an opening.
  using OnTransition =
      std::function<void(const SharedUpstream& upstream, const resilience::CircuitBreaker::Transition& change,
                         const std::vector<std::string>& failed_requests)>;

  SharedUpstream(std::string name, const resilience::CircuitBreaker::Options& breaker,
                 OnTransition on_transition);
  SharedUpstream(const SharedUpstream&) = delete;
  SharedUpstream& operator=(const SharedUpstream&) = delete;

  const std::string& name() const noexcept { return name_; }
  resilience::CircuitBreaker& breaker() noexcept { return breaker_; }
  const resilience::CircuitBreaker& breaker() const noexcept { return breaker_; }
  // Remembers a failed request; called before its ticket is settled, so that an opening can name it. Bounded: the last
  // kTrail. Thread-safe; only failures pay for it.
  void note_failure(std::string_view request_id, std::string_view why);

 private:
  static constexpr std::size_t kTrail = 16;

  void on_transition(const resilience::CircuitBreaker::Transition& change);

  std::string name_;
  OnTransition on_transition_;
  std::mutex mutex_;
  std::vector<std::string> trail_;  // oldest first
  resilience::CircuitBreaker breaker_;
};

// One worker's endpoints of an upstream under one configuration.
class WorkerUpstream {
 public:
  struct Endpoint {
    EndpointOptions options;
    EndpointPool* pool = nullptr;  // the worker's; shared by every upstream that names the same host and port
    std::uint32_t in_flight = 0;   // of this worker
    std::int64_t turn = 0;         // smooth weighted round robin
  };

  WorkerUpstream(UpstreamOptions options, std::shared_ptr<SharedUpstream> shared,
                 std::vector<EndpointPool*> pools);

  const UpstreamOptions& options() const noexcept { return options_; }
  SharedUpstream& shared() noexcept { return *shared_; }
  std::vector<Endpoint>& endpoints() noexcept { return endpoints_; }
  // The endpoint for the next request. O(1) for least requests, O(endpoints) for round robin.
  Endpoint& pick(base::Random& random) noexcept;

 private:
  UpstreamOptions options_;
  std::shared_ptr<SharedUpstream> shared_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::uint32_t>
      by_weight_;  // endpoint indexes, each as often as its weight (scaled), for fair random draws
};

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_UPSTREAM_H_
