#include "weir/server/pages_only.h"

#include "weir/base/base64.h"
#include "weir/gateway/exchange.h"
#include "weir/passport/verifier.h"

namespace weir::server {
namespace {

class Known final : public gateway::Stage {
 public:
  explicit Known(const Callers& callers) : callers_(callers) {}
  std::string_view name() const noexcept override { return "known"; }
  gateway::Verdict admit(gateway::Exchange& exchange) override {
    const auto found = callers_.find(exchange.id);
    if (found == callers_.end()) return gateway::Verdict::proceed;
    const Caller& caller = found->second;
    if (!caller.passport.empty()) tell(exchange, caller.passport);
    dictionary(exchange, "X-Experiments", caller.variants, false);
    dictionary(exchange, "X-Flags", caller.flags, true);
    return gateway::Verdict::proceed;
  }

 private:
  static void tell(gateway::Exchange& exchange, const std::string& passport) {
    auto identity = std::make_shared<passport::Identity>();
    Result<passport::Json> members = passport::Json::parse(passport);
    if (members) identity->passport.members = std::move(*members);
    exchange.identity = std::move(identity);
    exchange.set_identity_field("X-Passport", exchange.arena.keep(base::base64_encode(passport)));
  }
  // RFC 9651: texts in quotes, true alone and false as ?0, numbers as they are.
  static void dictionary(gateway::Exchange& exchange, std::string_view name,
                         const std::vector<std::pair<std::string, std::string>>& members, bool json) {
    if (members.empty()) return;
    std::string text;
    for (const auto& [key, value] : members) {
      text.append(text.empty() ? "" : ", ").append(key);
      if (json && value == "true") continue;
      if (json && value == "false")
        text.append("=?0");
      else if (json)
        text.append("=").append(value);
      else
        text.append("=\"").append(value).append("\"");
    }
    exchange.set_identity_field(name, exchange.arena.keep(text));
  }

  const Callers& callers_;
};

}  // namespace

void keep_pages_only(config::Config& config) {
  std::erase_if(config.routes, [](const config::Route& route) { return !route.bff; });
  for (config::Route& route : config.routes) {
    route.rate_limit.clear();
    route.auth = config::RouteAuth();
    route.idempotency = config::RouteIdempotency();
    route.experiments.clear(), route.variants.clear(), route.flags.clear();
    route.allow.clear(), route.deny.clear();
  }
  config.rate_limits.clear();
  config.auth = config::Auth();
  config.redis.reset();
  config.tracing.reset();
  config.experiments.reset();
  config.limits.connections_per_address.reset();
  for (config::Upstream& upstream : config.upstreams) {
    upstream.health_check.reset();
    upstream.slow_start.reset();
  }
}

gateway::CustomStage known_caller(const Callers& callers) {
  return {"sanitize", [&callers](const config::Route&) { return std::make_unique<Known>(callers); }};
}

}  // namespace weir::server
