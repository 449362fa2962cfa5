// An upstream: a named group of endpoints that do the same work, with one circuit breaker.
//
// SharedUpstream is the process's part (breaker, budget of retries, health of the endpoints, the trail of failed
// requests) and lives through reloads. WorkerUpstream is one worker's part (connections, choice of endpoint).
//
//   (1) Endpoints are chosen by least requests of two (Mitzenmacher 2001: two random choices are enough to avoid
//       herding) counted per worker, by smooth weighted round robin, or by a consistent hash with bounded load.
//   (2) An endpoint that is drained is never chosen. One that fails its checks, or is ejected, is not while half of
//       the others are well; below that nobody can be trusted to be down, and all are used (panic).
//   (3) A retry avoids what was tried, as long as anything else is left.
//   (4) With slow_start an endpoint that has come back is passed over in a share of the draws that shrinks to none.
#ifndef WEIR_UPSTREAM_UPSTREAM_H_
#define WEIR_UPSTREAM_UPSTREAM_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/random.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/classify.h"
#include "weir/resilience/hedge.h"
#include "weir/resilience/retry.h"
#include "weir/resilience/retry_budget.h"
#include "weir/upstream/call.h"
#include "weir/upstream/pool.h"

namespace weir::upstream {

enum class Balance : std::uint8_t { least_requests, round_robin, hash };

struct EndpointOptions {
  std::string url;   // as configured; names it in metrics and the admin
  std::string host;  // IP address or name
  std::uint16_t port = 80;
  std::uint32_t weight = 1;
  std::shared_ptr<io::TlsClient> tls;  // https; null: plain
  std::string ca;                      // the file behind it; endpoints with another one share no connections
};

struct HealthCheckOptions {
  std::string path;  // "": a connection is enough
  Duration every = std::chrono::seconds{5};
  Duration timeout = std::chrono::seconds{1};
  std::uint32_t rise = 2;
  std::uint32_t fall = 3;
  friend bool operator==(const HealthCheckOptions&, const HealthCheckOptions&) = default;
};

struct RetryOptions {
  resilience::RetryPolicy::Options policy;
  resilience::RetryBudget::Options budget;
  std::optional<Duration> per_try;  // to the answer's head
};

// When and for which requests a second call is sent. At most kHedgedBody bytes of a body are sent twice.
struct HedgeOptions {
  resilience::HedgePolicy::Options policy;
  std::uint32_t methods = 0;  // a bit for each http::Method; idempotent ones
  bool covers(http::Method method) const noexcept {
    return (methods >> static_cast<unsigned>(method) & 1U) != 0 && http::is_idempotent(method);
  }
};
inline constexpr std::size_t kHedgedBody = 64 * 1024;

// An endpoint whose calls fail is taken out for a time by a breaker of its own.
struct EjectionOptions {
  resilience::CircuitBreaker::Options breaker;
  double max_ejected = 0.1;  // share of the endpoints; of two or more one may always be out
  // As many of `count` endpoints.
  std::size_t most(std::size_t count) const noexcept {
    if (count < 2) return 0;
    const auto share = static_cast<std::size_t>(max_ejected * static_cast<double>(count));
    return share < 1 ? 1 : share < count ? share : count;
  }
};

struct UpstreamOptions {
  std::string name;
  std::vector<EndpointOptions> endpoints;
  Timeouts timeouts;
  std::optional<Duration> total;  // a call's whole time; none: only the timeouts above
  Balance balance = Balance::least_requests;
  std::optional<resilience::CircuitBreaker::Options> breaker;  // none: off
  resilience::FailureOn failure_on;
  std::optional<RetryOptions> retries;
  std::optional<HedgeOptions> hedge;
  std::optional<EjectionOptions> ejection;
  std::optional<HealthCheckOptions> health_check;
  Duration slow_start{};
};

// What the process knows of one endpoint. Thread-safe; written by checks and the admin, read at every choice.
struct EndpointState {
  std::atomic<bool> drained{false};
  std::atomic<bool> failing{false};          // by its checks
  std::atomic<Duration::rep> well_since{0};  // of the monotonic line; for slow_start
  std::atomic<std::uint64_t> checks_failed{0};
  // Until when it is out; from then on single calls try it until it is well. Zero: it is in.
  std::atomic<Duration::rep> ejected_until{0};
  std::atomic<std::uint64_t> ejections{0};
  // Made by set_ejection(), and it stays. Its calls that are let through hold its tickets.
  std::unique_ptr<resilience::CircuitBreaker> breaker;
};

// What became of second calls, for metrics.
enum class HedgeEnd : std::uint8_t {
  won,        // its answer was used
  lost,       // the first call was quicker
  failed,     // it failed, and the first call went on
  abandoned,  // neither answer was wanted any more
  no_budget,  // it was never sent
};
inline constexpr std::size_t kHedgeEnds = 5;
std::string_view to_string(HedgeEnd end) noexcept;

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
  // Of retries and second calls together.
  resilience::RetryBudget& budget() noexcept { return *budget_; }
  // Called when a configuration takes effect. The first one begins with what a second earns; later ones keep what
  // was saved.
  void set_budget(const resilience::RetryBudget::Options& options, TimePoint now);
  // When a second call is due; the same object as long as the options stay, since what it knows is worth keeping.
  std::shared_ptr<resilience::HedgePolicy> hedge(const resilience::HedgePolicy::Options& options);
  void count(HedgeEnd end) noexcept {
    hedges_[static_cast<std::size_t>(end)].fetch_add(1, std::memory_order_relaxed);
  }
  std::uint64_t counted(HedgeEnd end) const noexcept {
    return hedges_[static_cast<std::size_t>(end)].load(std::memory_order_relaxed);
  }
  // Of the endpoint with that URL; made when new, and kept as long as the upstream.
  EndpointState& endpoint(const std::string& url);
  // Called when a configuration takes effect, for each endpoint. `most`: how many may be out at a time.
  void set_ejection(const std::string& url, const std::optional<EjectionOptions>& options, std::size_t most,
                    TimePoint now);
  // Remembers a failed request; called before its ticket is settled, so that an opening can name it. Bounded: the last
  // kTrail. Thread-safe; only failures pay for it.
  void note_failure(std::string_view request_id, std::string_view why);

 private:
  static constexpr std::size_t kTrail = 16;

  void on_transition(const resilience::CircuitBreaker::Transition& change);
  void on_endpoint(EndpointState& state, const resilience::CircuitBreaker::Transition& change);

  std::string name_;
  OnTransition on_transition_;
  std::mutex mutex_;
  std::vector<std::string> trail_;  // oldest first
  std::map<std::string, std::unique_ptr<EndpointState>> endpoints_;
  std::size_t ejected_ = 0;
  std::size_t ejected_most_ = 0;
  std::optional<resilience::RetryBudget> budget_{std::in_place, TimePoint{}};
  bool budget_begun_ = false;  // before any worker knows the upstream
  std::array<std::atomic<std::uint64_t>, kHedgeEnds> hedges_{};
  resilience::HedgePolicy::Options hedge_options_;
  std::shared_ptr<resilience::HedgePolicy> hedge_;
  resilience::CircuitBreaker breaker_;
};

// One worker's endpoints of an upstream under one configuration.
class WorkerUpstream {
 public:
  struct Endpoint {
    EndpointOptions options;
    std::uint32_t index = 0;  // in the upstream's list
    EndpointState* state = nullptr;
    EndpointPool* pool = nullptr;  // the worker's; shared by every upstream that names the same host and port
    std::uint32_t in_flight = 0;   // of this worker
    std::int64_t turn = 0;         // smooth weighted round robin

    // For a call to it, to be settled with the call's outcome; nothing without ejection, and while it is in panic.
    std::optional<resilience::CircuitBreaker::Ticket> enter(TimePoint now) const {
      if (!ejects) return std::nullopt;
      return state->breaker->try_enter(now);
    }
    bool ejects = false;
  };

  WorkerUpstream(UpstreamOptions options, std::shared_ptr<SharedUpstream> shared,
                 std::vector<EndpointPool*> pools);

  const UpstreamOptions& options() const noexcept { return options_; }
  SharedUpstream& shared() noexcept { return *shared_; }
  // Nothing unless retries are wanted.
  const std::optional<resilience::RetryPolicy>& retry() const noexcept { return retry_; }
  // Null unless second calls are wanted.
  resilience::HedgePolicy* hedge() noexcept { return hedge_.get(); }
  std::vector<Endpoint>& endpoints() noexcept { return endpoints_; }
  // What a choice depends on.
  struct Choice {
    TimePoint now{};
    std::uint64_t hash = 0;                       // of the key, for Balance::hash
    std::span<const Endpoint* const> tried = {};  // to be avoided
  };
  // The endpoint for the next call; null when all are drained. O(1) for least requests while all are well, O(endpoints)
  // for round robin and in trouble, O(log points) for a hash.
  Endpoint* pick(base::Random& random, const Choice& choice) noexcept;

 private:
  static bool usable(const Endpoint& endpoint, bool panic, TimePoint now) noexcept;
  bool warming_up(const Endpoint& endpoint, base::Random& random, TimePoint now) const noexcept;
  Endpoint* pick_of_two(base::Random& random) noexcept;
  Endpoint* pick_in_turn(const Choice& choice, bool panic) noexcept;
  Endpoint* pick_by_hash(const Choice& choice, bool panic) noexcept;
  Endpoint* pick_any(base::Random& random, const Choice& choice, bool panic) noexcept;

  UpstreamOptions options_;
  std::shared_ptr<SharedUpstream> shared_;
  std::optional<resilience::RetryPolicy> retry_;
  std::shared_ptr<resilience::HedgePolicy> hedge_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::uint32_t>
      by_weight_;  // endpoint indexes, each as often as its weight (scaled), for fair random draws
  std::vector<std::pair<std::uint64_t, std::uint32_t>>
      ring_;  // points and their endpoints, for Balance::hash
};

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_UPSTREAM_H_
