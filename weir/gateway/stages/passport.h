// passport: who asks. A token or an API key becomes an identity, and the identity the two headers for upstreams.
//
// One look into the cache of verified tokens for nearly every request, no allocation. The rules of the route
// (providers, scopes, roles) are asked on every request, whatever the cache says. The credential goes no further
// unless the route says so. What is refused says why in one word and never what the token said (RFC 6750).
//
// KeyWaitStage stands right behind it under the same name, where keys come from a URL: it waits, at most two seconds,
// for a key that only a fresh set may hold.
#ifndef WEIR_GATEWAY_STAGES_PASSPORT_H_
#define WEIR_GATEWAY_STAGES_PASSPORT_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "weir/config/config.h"
#include "weir/gateway/auth.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/stage.h"

namespace weir::gateway {

// A token that waits for its key.
struct AwaitedKey {
  std::string_view token;
  const passport::Provider* provider = nullptr;
  std::string kid;
};

class PassportStage final : public Stage {
 public:
  PassportStage(std::shared_ptr<const AuthPlan> auth, config::RouteAuth rules, bool forward_token,
                Slot<AwaitedKey> awaited);
  std::string_view name() const noexcept override { return "passport"; }
  std::span<const Problem> refusals() const noexcept override;
  Verdict admit(Exchange& exchange) override;

 private:
  friend class KeyWaitStage;
  struct Credential {
    std::string_view token;
    const AuthPlan::ApiKeys* api_keys = nullptr;  // null: a bearer token
    bool found = false;
    bool several = false;
    bool other_scheme = false;
  };

  Credential find_credential(const Exchange& exchange) const;
  Verdict check_token(Exchange& exchange, std::string_view token, bool may_wait);
  Verdict check_api_key(Exchange& exchange, const Credential& credential);
  // Rules of the route, then the headers.
  Verdict accept(Exchange& exchange, std::shared_ptr<const passport::Identity> identity);
  Verdict reject(Exchange& exchange, passport::Reject why);
  Verdict refuse(Exchange& exchange, Problem problem, std::string_view challenge, std::string_view detail);
  void tell_upstreams(Exchange& exchange) const;
  void drop_credential(Exchange& exchange) const;

  const std::shared_ptr<const AuthPlan> auth_;
  const config::RouteAuth rules_;
  const bool forward_token_;
  const Slot<AwaitedKey> awaited_;
  std::string insufficient_;  // the challenge of a missing scope
};

class KeyWaitStage final : public AsyncStage {
 public:
  static constexpr Duration kPatience = std::chrono::seconds{2};

  // `check` is the route's PassportStage, which stands before.
  KeyWaitStage(PassportStage& check, Slot<AwaitedKey> awaited) : check_(check), awaited_(awaited) {}
  std::string_view name() const noexcept override { return "passport"; }
  std::span<const Problem> refusals() const noexcept override { return check_.refusals(); }
  bool needs_waiting(const Exchange& exchange) const noexcept override;
  Verdict admit(Exchange&) override { return Verdict::proceed; }
  async::Task<Verdict> admit_async(Exchange& exchange) override;

 private:
  PassportStage& check_;
  const Slot<AwaitedKey> awaited_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGES_PASSPORT_H_
