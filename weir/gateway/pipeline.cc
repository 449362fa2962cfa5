#include "weir/gateway/pipeline.h"

#include "weir/gateway/answer.h"
#include "weir/gateway/plan.h"

namespace weir::gateway {
namespace {

// Settles what was entered, in reverse, when the frame goes: also when it is destroyed while something waits in it.
class Settle {
 public:
  explicit Settle(Exchange& exchange) noexcept : exchange_(exchange) {}
  Settle(const Settle&) = delete;
  Settle& operator=(const Settle&) = delete;
  ~Settle() {
    exchange_.release_stages();
    for (std::size_t i = exchange_.stages_entered; i-- > 0;) exchange_.route->stages[i]->settle(exchange_);
  }

 private:
  Exchange& exchange_;
};

void count(Exchange& exchange, std::size_t stage, Verdict verdict) {
  const StageCounters& counters = exchange.route->counters[stage];
  metrics::Shard& shard = exchange.worker.shard;
  if (verdict == Verdict::proceed) return shard.add(counters.pass);
  if (verdict == Verdict::answer) return shard.add(counters.answer);
  for (const auto& [problem, counter] : counters.refusals)
    if (problem == exchange.record.problem) return shard.add(counter);
}

}  // namespace

async::Task<void> run_pipeline(Exchange& exchange) {
  const Settle settle(exchange);
  const Route& route = *exchange.route;
  for (std::size_t i = 0; i < route.stages.size(); ++i) {
    Stage& stage = *route.stages[i];
    exchange.stages_entered = i + 1;
    Verdict verdict = Verdict::proceed;
    AsyncStage* waits = stage.as_async();
    if (waits != nullptr && waits->needs_waiting(exchange))
      verdict = co_await waits->admit_async(exchange);
    else
      verdict = stage.admit(exchange);
    count(exchange, i, verdict);
    if (verdict == Verdict::proceed) continue;
    exchange.record.stage = stage.name();
    exchange.notes.add<Note::Kind::decided>(static_cast<std::uint32_t>(verdict),
                                            static_cast<std::uint32_t>(i));
    exchange.release_stages();
    co_return co_await send_own_answer(exchange);
  }
  co_await route.terminal->serve(exchange);
}

}  // namespace weir::gateway
