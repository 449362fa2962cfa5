#include "weir/gateway/stages/read_body.h"

#include <algorithm>
#include <array>

#include "weir/gateway/client_watch.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

std::span<const Problem> ReadBodyStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::bad_request, Problem::overloaded};
  return kRefusals;
}

bool ReadBodyStage::needs_waiting(const Exchange& exchange) const noexcept {
  return request_buffer_ > 0 && exchange.downstream->body_state() == BodyState::open;
}

// No body, a body that came whole with the head, or one that streams from the start.
Verdict ReadBodyStage::admit(Exchange& exchange) {
  const std::string_view bytes = exchange.downstream->body_bytes();
  if (bytes.empty() || request_buffer_ == 0) return Verdict::proceed;
  exchange.body.assign(bytes.substr(0, std::min<std::uint64_t>(bytes.size(), request_buffer_)));
  exchange.downstream->consume_body(exchange.body.size());
  return Verdict::proceed;
}

async::Task<Verdict> ReadBodyStage::admit_async(Exchange& exchange) {
  Downstream& client = *exchange.downstream;
  ClientWatch watch(exchange);
  for (;;) {
    bool moved = false;
    const BodyState state = client.read_body(&moved);
    const std::string_view bytes = client.body_bytes();
    const std::size_t taken =
        std::min(static_cast<std::size_t>(request_buffer_) - exchange.body.size(), bytes.size());
    exchange.body.append(bytes.substr(0, taken));
    client.consume_body(taken);
    if (state == BodyState::gone || client.gone()) {
      exchange.record.client_gone = true;
      exchange.refuse(name(), Problem::bad_request, "the client went away");
      exchange.own.close = true;
      co_return Verdict::refuse;
    }
    if (state == BodyState::failed) {
      exchange.refuse(name(), Problem::bad_request, client.body_fault().what, client.body_fault().status);
      exchange.own.close = true;
      co_return Verdict::refuse;
    }
    if (state == BodyState::done || exchange.body.size() == request_buffer_) co_return Verdict::proceed;
    // What was taken made room: more may lie there, and no event will say so again.
    if (moved || taken > 0) continue;
    const io::Wake wake = co_await exchange.waiter->wait(watch.read_deadline());
    watch.observe(true);
    if (wake == io::Wake::cancelled) {  // it is not the client's fault
      exchange.refuse(name(), Problem::overloaded, "the gateway is stopping");
      exchange.own.close = true;
      co_return Verdict::refuse;
    }
    if (watch.read_stalled()) {
      exchange.refuse(name(), Problem::bad_request, "the body did not arrive in time", 408);
      exchange.own.close = true;
      co_return Verdict::refuse;
    }
  }
}

}  // namespace weir::gateway
