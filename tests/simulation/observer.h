// Stages that watch the chain from inside, beside slow twins of what stands in it.
//
// "sim_before" stands behind trace, "sim_limit" behind ratelimit, "sim_shed" behind load_shed, the last
// before the breaker. Each request is decided twice: by weir, and by a deque of admission times and a plain
// counter; and the two must agree on every single one. So never more than a limit in any trailing window,
// never a refusal while there was room, never more in flight than there are places.
#ifndef WEIR_TESTS_SIMULATION_OBSERVER_H_
#define WEIR_TESTS_SIMULATION_OBSERVER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/plan.h"
#include "weir/resilience/circuit_breaker.h"

namespace weir::simulation {

struct Ask;
class World;

class Observer {
 public:
  explicit Observer(World& world) : world_(world) {}

  // The stages, for gateway::build_plan().
  gateway::PlanOptions stages();
  // A plan has been published: what holds from now on.
  void published(const config::Config& config);
  void breaker_moved(const std::string& upstream, const resilience::CircuitBreaker::Transition& change);

  // The most places that this semaphore has had so far.
  std::uint32_t most_places(const std::string& shedder) const;
  // Everything has been given back.
  void check_empty();
  // Requests with a fault in the body, which had been routed before it was seen: they carry no id of ours.
  std::uint64_t malformed() const noexcept { return malformed_; }
  std::uint64_t limited() const noexcept { return limited_; }
  std::uint64_t shed() const noexcept { return shed_; }
  std::uint64_t broken() const noexcept { return broken_; }
  std::uint64_t openings() const noexcept { return openings_; }

 private:
  class Before;
  class Limit;
  class Shed;
  struct LimitTwin {
    std::uint64_t limit = 0;
    Duration window{};
    bool by_client = false;
    std::map<std::string, std::deque<TimePoint>> admitted;
  };
  struct ShedTwin {
    std::uint32_t limit = 0;
    std::uint32_t most = 0;  // the largest limit so far
    std::uint32_t in_flight = 0;
  };
  struct BreakerTwin {
    bool open = false;
    TimePoint until{};
  };

  Ask* ask_of(gateway::Exchange& exchange) const;
  bool charge(gateway::Exchange& exchange);
  void before_released(gateway::Exchange& exchange);
  ShedTwin& shedder_of(const gateway::Exchange& exchange);
  void fail(const Ask& ask, const std::string& what);

  World& world_;
  std::map<std::string, LimitTwin> limits_;
  std::map<std::string, ShedTwin> shedders_;
  std::map<std::string, BreakerTwin> breakers_;
  std::map<int, bool> may_pass_;  // by request: what the deques say
  std::uint64_t malformed_ = 0;
  std::uint64_t limited_ = 0;
  std::uint64_t shed_ = 0;
  std::uint64_t broken_ = 0;
  std::uint64_t openings_ = 0;
};

}  // namespace weir::simulation

#endif  // WEIR_TESTS_SIMULATION_OBSERVER_H_
