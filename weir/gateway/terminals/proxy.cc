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
  std::uint32_t at = exchange.chosen_upstream.value_or(upstream_);  // a variant's, if it names one
  // The breaker of the route's upstream; where that is open and there is another upstream for such times, that one's.
  for (const bool last : {false, true}) {
    const UpstreamPlan& plan = exchange.plan->plan->upstreams[at];
    Relay relay(exchange, *exchange.plan->upstreams[at], plan);
    bool admitted = relay.enter_breaker();
    if (!admitted && plan.fallback && !last) {
      at = *plan.fallback;
      exchange.tee = nullptr;  // what stands in for an answer is not kept as one
      continue;
    }
    if (!admitted && plan.fallback_status) {
      exchange.release_stages();
      exchange.record.stage = "breaker";
      exchange.own.status = *plan.fallback_status;
      exchange.own.body = plan.fallback_body;
      exchange.own.content_type = "text/plain";
      count(exchange, breaker_counters_);
      co_return co_await send_own_answer(exchange);
    }
    if (!admitted) relay.refuse_open();
    count(exchange, breaker_counters_);
    const bool called = admitted;
    while (admitted) {
      while (relay.choose_endpoint()) {
        if (relay.needs_address()) {
          const Deadline deadline =
              Deadline::after(exchange.worker.reactor.now(), plan.options.timeouts.connect)
                  .shrunk_to(exchange.deadline);
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
        if (!relay.retry()) break;
      }
      while (relay.again() && exchange.worker.reactor.now() < relay.retry_at()) {
        const io::Wake wake = co_await exchange.waiter->wait(relay.wait_until());
        relay.waited(wake);
      }
      if (!relay.again()) break;
      relay.begin_again();
      admitted = relay.enter_breaker();
      if (!admitted) relay.refuse_open();
    }
    if (called) count(exchange, call_counters_);
    if (relay.must_refuse()) co_await send_own_answer(exchange);
    co_return;
  }
}

}  // namespace weir::gateway
