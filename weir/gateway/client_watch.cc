#include "weir/gateway/client_watch.h"

#include "weir/gateway/plan.h"

namespace weir::gateway {
namespace {

const config::Limits& limits_of(const Exchange& exchange) { return exchange.plan->plan->config.limits; }

}  // namespace

ClientWatch::ClientWatch(Exchange& exchange) noexcept : exchange_(exchange) {
  const TimePoint now = exchange.worker.reactor.now();
  reading_.moved = reading_.rate_start = now;
  writing_.moved = writing_.rate_start = now;
  reading_.bytes = reading_.rate_bytes = exchange.downstream->body_received();
  writing_.bytes = writing_.rate_bytes = exchange.downstream->bytes_sent();
}

void ClientWatch::note(Flow& flow, std::uint64_t bytes, TimePoint now, bool waited_for) const noexcept {
  if (bytes != flow.bytes || !waited_for) flow.bytes = bytes, flow.moved = now;
  // Time in which weir did not wait for the client is not held against it. A window that was fast enough begins anew;
  // one that was not stays as it is, so that its end, which has passed, is seen.
  const bool window_kept =
      now - flow.rate_start >= kRateWindow && bytes - flow.rate_bytes >= bytes_a_window();
  if (!waited_for || window_kept) flow.rate_bytes = bytes, flow.rate_start = now;
}

void ClientWatch::observe(bool waits_for_body) noexcept {
  const TimePoint now = exchange_.worker.reactor.now();
  note(reading_, exchange_.downstream->body_received(), now, waits_for_body);
  note(writing_, exchange_.downstream->bytes_sent(), now, exchange_.downstream->write_blocked());
}

std::uint64_t ClientWatch::bytes_a_window() const noexcept {
  return limits_of(exchange_).body_rate_min.value_or(0) *
         static_cast<std::uint64_t>(kRateWindow / std::chrono::seconds{1});
}

Deadline ClientWatch::deadline(const Flow& flow) const noexcept {
  const config::Limits& limits = limits_of(exchange_);
  Deadline deadline = Deadline::never();
  if (limits.body_timeout) deadline = Deadline::after(flow.moved, *limits.body_timeout);
  if (flow.bytes - flow.rate_bytes < bytes_a_window())  // too few so far: due at the window's end
    deadline = deadline.shrunk_to(Deadline::after(flow.rate_start, kRateWindow));
  return deadline;
}

bool ClientWatch::read_stalled() const noexcept {
  return read_deadline().expired(exchange_.worker.reactor.now());
}

bool ClientWatch::stalled() const noexcept {
  return exchange_.downstream->write_blocked() && write_deadline().expired(exchange_.worker.reactor.now());
}

Deadline ClientWatch::gone_deadline() noexcept {
  if (!exchange_.downstream->half_closed()) return Deadline::never();
  if (half_closed_at_ == TimePoint::max()) half_closed_at_ = exchange_.worker.reactor.now();
  return Deadline::after(half_closed_at_, kHalfClosedGrace);
}

bool ClientWatch::gone() noexcept {
  return exchange_.downstream->gone() || gone_deadline().expired(exchange_.worker.reactor.now());
}

}  // namespace weir::gateway
