// keyed: a proxied request whose idempotency key was claimed. Others on the route are proxied as ever.
//
// The answer is taken whole, recorded durably, and only then given to the client, so an answer that a client has seen
// complete can always be given again. The upstream's call goes on when the client leaves: its outcome is worth knowing.
//
//   answer complete         recorded, but for 408, 425, 429 and 503, which free the key
//   nothing was sent        (breaker open, no connection): the key is free
//   sent, no whole answer   unknown: never run again by itself
#ifndef WEIR_GATEWAY_TERMINALS_KEYED_H_
#define WEIR_GATEWAY_TERMINALS_KEYED_H_

#include <memory>
#include <utility>

#include "weir/gateway/plan.h"
#include "weir/gateway/stage.h"
#include "weir/gateway/stages/idempotency.h"
#include "weir/http/fetcher.h"

namespace weir::gateway {

class KeyedTerminal final : public Terminal {
 public:
  KeyedTerminal(std::unique_ptr<Terminal> plain, std::uint32_t upstream, KeyedSlot keyed, Duration run_for,
                std::uint64_t max_response)
      : plain_(std::move(plain)),
        upstream_(upstream),
        keyed_(keyed),
        run_for_(run_for),
        max_response_(max_response) {}
  async::Task<void> serve(Exchange& exchange) override;

 private:
  std::uint32_t upstream_of(const Exchange& exchange) const;
  async::Task<http::FetchFailure> call_upstream(Exchange& exchange, http::FetchResponse& response) const;
  void answer_with(Exchange& exchange, http::FetchResponse& response) const;
  void answer_failure(Exchange& exchange, http::FetchFailure failure) const;

  const std::unique_ptr<Terminal> plain_;
  const std::uint32_t upstream_;
  const KeyedSlot keyed_;
  const Duration run_for_;  // of a call; the lease is longer
  const std::uint64_t max_response_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TERMINALS_KEYED_H_
