// ratelimit: the cheapest refusal, so it comes before anything that costs.
//
// All limits of a phase are charged together or not at all. Answers of limited routes say where the client stands
// (RateLimit and RateLimit-Policy, IETF draft 10), refusals also when to come back.
#ifndef WEIR_GATEWAY_STAGES_RATELIMIT_H_
#define WEIR_GATEWAY_STAGES_RATELIMIT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/stage.h"
#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::gateway {

class RateLimitStage final : public Stage {
 public:
  struct Limit {
    config::RateLimit options;
    ratelimit::Policy policy;
    std::shared_ptr<ratelimit::KeyedRateLimiter> limiter;
  };

  // At most ratelimit::kChargesMax limits. `route` is the key part of that name.
  RateLimitStage(std::vector<Limit> limits, std::string route);
  std::string_view name() const noexcept override { return "ratelimit"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;

 private:
  enum class Key : std::uint8_t { present, missing };

  template <std::size_t kMost>
  Verdict decide(Exchange& exchange);
  // The key's bytes, in the arena or in a view of the request.
  Key key_of(Exchange& exchange, const Limit& limit, std::string_view* key) const;
  Key part_of(Exchange& exchange, const config::KeyPart& part, std::string_view* text) const;
  void describe(Exchange& exchange, std::span<const ratelimit::LimitReport> reports) const;

  std::vector<Limit> limits_;
  std::string route_;
  // With one limit, nearly always, most of the two fields is the same for every request: rendered once.
  std::string policy_field_;  // `"per_client";q=100;w=60`
  std::string item_;          // `"per_client";r=`
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_RATELIMIT_H_
