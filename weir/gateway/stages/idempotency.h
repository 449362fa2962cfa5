// idempotency: a request that carries a key is executed at most once; repeats get the first answer.
//
// Two stages under one name. The first reads the key and looks it up: a finished answer is given here, so a replay takes
// no place in flight and asks no breaker; it has been authorised and limited like any request. The second stands behind
// load_shed and claims the key, durably, before a byte goes upstream; so a request that is refused, shed or repeated
// leaves no record. KeyedTerminal (terminals/keyed.h) runs what was claimed and ends the claim.
//
// Both wait for the store's thread, as coroutines; neither holds a thread.
#ifndef WEIR_GATEWAY_STAGES_IDEMPOTENCY_H_
#define WEIR_GATEWAY_STAGES_IDEMPOTENCY_H_

#include <memory>
#include <string>
#include <utility>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/stage.h"
#include "weir/store/idempotency_store.h"

namespace weir::gateway {

// What a keyed request carries from look-up to its end. A claim that nobody ended gives the key back if nothing was
// sent, and says that the outcome is unknown if something was.
class KeyedRequest {
 public:
  KeyedRequest(std::shared_ptr<store::IdempotencyStore> store, passport::IdempotencyTimes times)
      : store_(std::move(store)), times_(times) {}
  KeyedRequest(const KeyedRequest&) = delete;
  KeyedRequest& operator=(const KeyedRequest&) = delete;
  ~KeyedRequest();

  passport::IdempotencyTicket ticket;
  passport::Sha256 fingerprint{};
  std::string label;
  bool claimed = false;  // ours to end
  bool sent = false;     // a byte may have gone upstream

  // An operation on this key with the times of now.
  store::Operation operation(store::Operation::Kind kind, Exchange& exchange);
  const std::shared_ptr<store::IdempotencyStore>& store() const noexcept { return store_; }
  void release_or_unknown(bool executed_perhaps);

 private:
  const std::shared_ptr<store::IdempotencyStore> store_;
  passport::IdempotencyTimes times_;  // now_ms: of the last operation
};
using KeyedSlot = Slot<std::unique_ptr<KeyedRequest>>;

// Asks the store and waits for its answer. `failed` when the gateway stops meanwhile.
async::Task<store::Outcome> ask_store(Exchange& exchange, store::IdempotencyStore& store,
                                      store::Operation operation);

struct IdempotencyOptions {
  config::RouteIdempotency rules;
  std::string route;
  passport::IdempotencyTimes times;  // lease and ttl
  std::shared_ptr<store::IdempotencyStore> store;
  KeyedSlot keyed;
};

class IdempotencyLookUpStage final : public AsyncStage {
 public:
  explicit IdempotencyLookUpStage(IdempotencyOptions options) : options_(std::move(options)) {}
  std::string_view name() const noexcept override { return "idempotency"; }
  std::span<const Problem> refusals() const noexcept override;
  // Whether the request is one of the methods that it concerns.
  bool needs_waiting(const Exchange& exchange) const noexcept override;
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  async::Task<Verdict> admit_async(Exchange& exchange) override;
  void settle(Exchange& exchange) noexcept override { exchange.drop(options_.keyed); }

 private:
  // Key, principal, fingerprint. False: refused, or (without a refusal) not keyed at all.
  bool read_key(Exchange& exchange);
  Verdict refuse(Exchange& exchange, Problem problem, std::string_view detail, int status = 0);

  const IdempotencyOptions options_;
};

class IdempotencyClaimStage final : public AsyncStage {
 public:
  explicit IdempotencyClaimStage(KeyedSlot keyed) : keyed_(keyed) {}
  std::string_view name() const noexcept override { return "idempotency"; }
  std::span<const Problem> refusals() const noexcept override;
  bool needs_waiting(const Exchange& exchange) const noexcept override;
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  async::Task<Verdict> admit_async(Exchange& exchange) override;

 private:
  const KeyedSlot keyed_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_IDEMPOTENCY_H_
