// State: what lives longer than a plan. Limiters, semaphores and breakers by name.
//
// A plan holds what it uses; State only knows where to find it, so state that no plan names any more goes
// away with the last plan that did. Thread-safe.
#ifndef WEIR_GATEWAY_STATE_H_
#define WEIR_GATEWAY_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/hash.h"
#include "weir/bff/section.h"
#include "weir/gateway/auth.h"
#include "weir/gateway/experiments.h"
#include "weir/gateway/limit_overrides.h"
#include "weir/gateway/response_cache.h"
#include "weir/gateway/shared_limit.h"
#include "weir/ratelimit/keyed_limiter.h"
#include "weir/resilience/load_shedder.h"
#include "weir/store/idempotency_store.h"
#include "weir/upstream/upstream.h"

namespace weir::gateway {

class State {
 public:
  // Keys a limit knows at a time: 64 bytes each when first seen. Above it, unknown keys share a conservative
  // count.
  static constexpr std::uint32_t kKeysPerLimit = 131'072;

  // `seed` of fingerprints: random, so that nobody can choose keys that collide.
  explicit State(base::SipKey seed, upstream::SharedUpstream::OnTransition on_transition = {})
      : auth(seed),
        seed_(seed),
        on_transition_(std::move(on_transition)),
        experiments_(std::make_shared<ExperimentState>(seed)) {}

  // Keys, revocations and verified tokens.
  AuthState auth;

  // The named one, made with these options when it is new. An existing one is returned unchanged.
  std::shared_ptr<ratelimit::KeyedRateLimiter> limiter(const ratelimit::Policy& policy);
  // The same for a limit in Redis.
  std::shared_ptr<SharedLimit> shared_limit(const ratelimit::Policy& policy, std::uint32_t nodes);
  const std::shared_ptr<Sharing>& sharing() const noexcept { return sharing_; }
  // Limits that the admin has changed while the gateway runs.
  const std::shared_ptr<LimitOverrides>& limit_overrides() const noexcept { return limit_overrides_; }
  std::shared_ptr<resilience::LoadShedder> shedder(const std::string& name, std::uint32_t max_in_flight);
  // Where idempotency records live; opened when it is new. Error io_error when it cannot be.
  Result<std::shared_ptr<store::IdempotencyStore>> records(const config::Config& config);
  // The store that is in use; may be null.
  std::shared_ptr<store::IdempotencyStore> current_records() const;
  // Joins the store's thread: before the workers' reactors go.
  void stop_records();
  std::shared_ptr<upstream::SharedUpstream> upstream(const std::string& name,
                                                     const resilience::CircuitBreaker::Options& breaker);

  // Sections of pages that are kept; made when first asked for, and it stays.
  std::shared_ptr<bff::SectionCache> section_cache();
  // Answers of upstreams that are kept; made when first asked for. Another bound makes another one, empty.
  std::shared_ptr<ResponseCache> response_cache(std::size_t bytes_max);
  // The one in use; may be null.
  std::shared_ptr<ResponseCache> current_response_cache() const;
  // Snapshot, exposures and signatures of experiments: one for the process.
  const std::shared_ptr<ExperimentState>& experiments() const noexcept { return experiments_; }

  // Everything alive, by name.
  std::vector<std::pair<std::string, std::shared_ptr<ratelimit::KeyedRateLimiter>>> limiters() const;
  std::vector<std::pair<std::string, std::shared_ptr<SharedLimit>>> shared_limits() const;
  std::vector<std::pair<std::string, std::shared_ptr<resilience::LoadShedder>>> shedders() const;
  std::vector<std::pair<std::string, std::shared_ptr<upstream::SharedUpstream>>> upstreams() const;

 private:
  template <class T>
  using ByName = std::map<std::string, std::weak_ptr<T>>;

  const base::SipKey seed_;
  const upstream::SharedUpstream::OnTransition on_transition_;
  const std::shared_ptr<ExperimentState> experiments_;
  mutable std::mutex mutex_;
  const std::shared_ptr<Sharing> sharing_ = std::make_shared<Sharing>();
  const std::shared_ptr<LimitOverrides> limit_overrides_ = std::make_shared<LimitOverrides>();
  std::string records_name_;
  std::weak_ptr<store::IdempotencyStore> records_;
  ByName<ratelimit::KeyedRateLimiter> limiters_;
  ByName<SharedLimit> shared_limits_;
  ByName<resilience::LoadShedder> shedders_;
  ByName<upstream::SharedUpstream> upstreams_;
  std::shared_ptr<bff::SectionCache> section_cache_;
  std::shared_ptr<ResponseCache> response_cache_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STATE_H_
