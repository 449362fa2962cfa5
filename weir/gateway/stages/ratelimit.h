// ratelimit: the cheapest refusal, so it comes before anything that costs.
//
// All limits of a phase are charged together or not at all. Answers of limited routes say where the client stands
// (RateLimit and RateLimit-Policy, IETF draft 10, or another style), refusals also when to come back.
//
//   RateLimitStage        limits of this process: decides at once
//   SharedRateLimitStage  some of them live in Redis: local ones first, then one question for all shared ones. Whoever
//                         waits for it holds no place. When Redis cannot be asked each limit's on_backend_error decides.
//
// What was taken is remembered where it may have to go back: a later phase refuses (give_back), a place of a
// `concurrency` limit comes free, or the answer says what the request really cost (cost_header): one unit is taken on
// the way in, the rest after the answer; a cost of 0 gives the one back.
#ifndef WEIR_GATEWAY_STAGES_RATELIMIT_H_
#define WEIR_GATEWAY_STAGES_RATELIMIT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/shared_limit.h"
#include "weir/gateway/stage.h"
#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::gateway {

class RateLimitStage final : public Stage {
 public:
  // One limit's state: in this process, or shared.
  struct Bucket {
    ratelimit::Policy policy;
    std::shared_ptr<ratelimit::KeyedRateLimiter> limiter;
    std::shared_ptr<SharedLimit> shared;  // when the limit is in Redis; then there is no limiter
  };
  struct Limit : Bucket {
    config::RateLimit options;
    std::uint16_t index = 0;  // in the configuration
    std::vector<std::pair<std::string, Bucket>> tiers;
  };
  // One unit of one limit that this exchange holds.
  struct Item {
    const Limit* limit = nullptr;
    const Bucket* bucket = nullptr;
    std::string_view key;
    SharedKey shared_key;
    TimePoint charged_at{};
    std::uint32_t cost = 1;
  };
  struct Taken {
    Item* items = nullptr;  // in the exchange's arena
    std::uint32_t count = 0;
  };
  struct Options {
    std::string route;                  // the key part of that name
    Slot<Taken> taken;                  // used when something may have to go back
    bool later_phase = false;           // another stage of limits follows this one
    RateLimitStage* earlier = nullptr;  // gives back when this one refuses
    ratelimit::HeaderStyle style = ratelimit::HeaderStyle::ietf10;
    Duration retry_jitter{};
    std::shared_ptr<Sharing> sharing;  // when a limit is in Redis
  };

  // At most ratelimit::kChargesMax limits.
  RateLimitStage(std::vector<Limit> limits, Options options);
  std::string_view name() const noexcept override { return "ratelimit"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;
  void release(Exchange& exchange) noexcept override;
  void answered(Exchange& exchange, const AnswerHead& head) noexcept override;

  // For a later phase that refuses.
  void give_back(Exchange& exchange) noexcept;

  bool asks_redis() const noexcept { return asks_redis_; }
  bool watches_answers() const noexcept { return watches_answers_; }
  // With limits in Redis.
  async::Task<Verdict> admit_shared(Exchange& exchange);

 private:
  struct Gathered;

  template <std::size_t kMost>
  Verdict decide(Exchange& exchange);
  const Bucket& bucket_of(Exchange& exchange, const Limit& limit) const;
  // False: refused for want of a key. `key` is empty when the limit does not apply.
  bool find_key(Exchange& exchange, const Limit& limit, std::string_view* key);
  Verdict refuse(Exchange& exchange) noexcept;
  void describe(Exchange& exchange, std::span<const ratelimit::LimitReport> reports) const;
  static void note(Exchange& exchange, const Limit& limit, const Bucket* bucket,
                   const ratelimit::Decision& decision) noexcept;
  static std::uint32_t tier_of(const Limit& limit, const Bucket* bucket) noexcept;
  void keep(Exchange& exchange, std::span<const Item> items);
  void give_back(Exchange& exchange, const Item& item) noexcept;
  void give_back_shared(Exchange& exchange, const Item& item) noexcept;
  async::Task<bool> ask_redis(Exchange& exchange, Gathered& gathered);
  void decide_alone(Exchange& exchange, Gathered& gathered);

  std::vector<Limit> limits_;
  Options options_;
  bool asks_redis_ = false;
  bool watches_answers_ = false;
  bool keeps_ = false;
  // With one limit, nearly always, most of the two fields is the same for every request: rendered once.
  std::string policy_field_;  // `"per_client";q=100;w=60`
  std::string item_;          // `"per_client";r=`
  std::uint32_t item_limit_ = 0;
};

inline void RateLimitStage::note(Exchange& exchange, const Limit& limit, const Bucket* bucket,
                                 const ratelimit::Decision& decision) noexcept {
  Note& note = exchange.notes.add<Note::Kind::limit>(decision.allowed, limit.index);
  note.n[0] = decision.limit;
  note.n[1] = decision.remaining;
  note.n[2] = limit.tiers.empty() ? 0 : tier_of(limit, bucket);
  note.set_wide(3, static_cast<std::uint64_t>(decision.retry_after.count()));
}

class SharedRateLimitStage final : public AsyncStage {
 public:
  explicit SharedRateLimitStage(std::unique_ptr<RateLimitStage> inner) : inner_(std::move(inner)) {}
  std::string_view name() const noexcept override { return inner_->name(); }
  std::span<const Problem> refusals() const noexcept override { return inner_->refusals(); }
  bool needs_waiting(const Exchange&) const noexcept override { return true; }
  Verdict admit(Exchange& exchange) override { return inner_->admit(exchange); }
  async::Task<Verdict> admit_async(Exchange& exchange) override { return inner_->admit_shared(exchange); }
  void release(Exchange& exchange) noexcept override { inner_->release(exchange); }
  void answered(Exchange& exchange, const AnswerHead& head) noexcept override {
    inner_->answered(exchange, head);
  }

 private:
  std::unique_ptr<RateLimitStage> inner_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_RATELIMIT_H_
