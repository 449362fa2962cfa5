#include "weir/gateway/terminals/proxy.h"

#include "weir/gateway/answer.h"
#include "weir/gateway/terminals/relay.h"

namespace weir::gateway {
namespace {

// A transfer between two fast peers never has to wait: after so many buffers others get a turn.
constexpr int kStepsATurn = 64;

void count(Exchange& exchange, const StageCounters& counters) {
  const Problem problem = exchange.record.problem;
  if (problem == Problem::none) return exchange.worker.shard.add(counters.pass);
  for (const auto& [known, counter] : counters.refusals)
    if (known == problem) return exchange.worker.shard.add(counter);
}

}  // namespace

async::Task<void> ProxyTerminal::serve(Exchange& exchange) {
  Relay relay(exchange, *exchange.plan->upstreams[upstream_], exchange.plan->plan->upstreams[upstream_]);
  const bool admitted = relay.enter_breaker();
  count(exchange, breaker_counters_);
  if (admitted) {
    do {
      if (relay.needs_address()) {
        const Deadline deadline =
            Deadline::after(exchange.worker.reactor.now(),
                            exchange.plan->plan->upstreams[upstream_].options.timeouts.connect);
        const Result<void> resolved = co_await relay.pool().resolve(deadline);
        if (!resolved) {
          relay.address_failed();
          break;
        }
      }
      if (!relay.start()) break;
      for (int steps = 1; !relay.done(); ++steps) {
        const bool moved = relay.step();
        if (moved && steps % kStepsATurn != 0) continue;
        if (moved) {
          co_await exchange.waiter->yield();
          continue;
        }
        const io::Wake wake = co_await exchange.waiter->wait(relay.due());
        relay.woke(wake);
      }
    } while (relay.retry());
    count(exchange, call_counters_);
  } else {
    exchange.release_stages();
  }
  if (relay.must_refuse()) co_await send_own_answer(exchange);
}

}  // namespace weir::gateway
