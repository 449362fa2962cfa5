// weir with one more stage: during maintenance, requests that would change something are refused.
//
// It stands behind `sanitize` (the client is known by then) and before the rate limit (a refusal costs nobody's quota).
#include <cstdlib>
#include <memory>

#include "weir/gateway/exchange.h"
#include "weir/server/cli.h"

namespace {

class ReadOnlyStage final : public weir::gateway::Stage {
 public:
  std::string_view name() const noexcept override { return "read_only"; }

  weir::gateway::Verdict admit(weir::gateway::Exchange& exchange) override {
    using weir::http::Method;
    const Method method = exchange.request.method;
    if (method == Method::get || method == Method::head || method == Method::options)
      return weir::gateway::Verdict::proceed;
    exchange.refuse(name(), weir::gateway::Problem::forbidden, "read-only while we maintain the database");
    return weir::gateway::Verdict::refuse;
  }
};

}  // namespace

int main(int argc, char** argv) {
  weir::gateway::PlanOptions options;
  const auto make = [](const auto&) { return std::make_unique<ReadOnlyStage>(); };
  if (std::getenv("READ_ONLY") != nullptr) options.custom_stages.push_back({"sanitize", make});
  return weir::server::run_command(argc, argv, options);
}
