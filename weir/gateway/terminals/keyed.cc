#include "weir/gateway/terminals/keyed.h"

#include <algorithm>
#include <array>

#include "weir/gateway/answer.h"
#include "weir/gateway/page_fetcher.h"
#include "weir/gateway/to_upstream.h"
#include "weir/upstream/fetch.h"

namespace weir::gateway {
namespace {

using store::Operation;
using store::Outcome;

// What of an answer is kept: enough to be the same answer, nothing that belongs to one delivery of it.
constexpr std::array kKept{http::Name::content_type, http::Name::content_encoding, http::Name::location};
constexpr std::array<std::string_view, 3> kKeptByName{"content-language", "etag", "link"};

bool is_kept(const http::Field& field) {
  if (std::find(kKept.begin(), kKept.end(), field.id) != kKept.end()) return true;
  return std::any_of(kKeptByName.begin(), kKeptByName.end(),
                     [&](std::string_view name) { return base::iequals(field.name, name); });
}

// Whether a byte of the request may have reached the upstream.
bool may_have_been_sent(http::FetchFailure failure) {
  switch (failure) {
    case http::FetchFailure::unresolved:
    case http::FetchFailure::refused:
    case http::FetchFailure::connect_timeout:
    case http::FetchFailure::unavailable:
    case http::FetchFailure::unknown:
      return false;
    default:
      return true;
  }
}

Problem problem_of(http::FetchFailure failure) {
  switch (failure) {
    case http::FetchFailure::unavailable:
      return Problem::circuit_open;
    case http::FetchFailure::connect_timeout:
    case http::FetchFailure::timeout:
      return Problem::upstream_timeout;
    case http::FetchFailure::malformed:
    case http::FetchFailure::too_large:
    case http::FetchFailure::unencoded:
      return Problem::upstream_malformed;
    case http::FetchFailure::overloaded:
      return Problem::overloaded;
    default:
      return Problem::upstream_unreachable;
  }
}

passport::StoredAnswer to_store(const http::FetchResponse& response, std::uint64_t max_response) {
  passport::StoredAnswer answer;
  answer.status = response.status;
  for (const http::Field& field : response.fields)
    if (is_kept(field)) answer.fields.emplace_back(field.name, field.value);
  answer.body_kept = response.body.size() <= max_response;
  if (answer.body_kept) answer.body = response.body;
  return answer;
}

}  // namespace

// A variant may have chosen another one than the route's.
std::uint32_t KeyedTerminal::upstream_of(const Exchange& exchange) const {
  return exchange.chosen_upstream.value_or(upstream_);
}

async::Task<http::FetchFailure> KeyedTerminal::call_upstream(Exchange& exchange,
                                                             http::FetchResponse& response) const {
  const UpstreamPlan& plan = exchange.plan->plan->upstreams[upstream_of(exchange)];
  std::vector<http::Field> fields;
  each_upstream_field(exchange, plan, [&](std::string_view name, std::string_view value, http::Name id) {
    fields.push_back({name, value, id, false});
  });
  fields.push_back({"Via", "1.1 weir", http::Name::via, false});

  upstream::FetchOrder order;
  order.method = exchange.request.method;
  const std::string_view path = upstream_path(exchange);
  order.target =
      exchange.request.has_query ? exchange.arena.concat({path, "?", exchange.request.query}) : path;
  order.host = plan.host == config::Upstream::Host::name       ? std::string_view(plan.host_name)
               : plan.host == config::Upstream::Host::preserve ? exchange.request.authority
                                                               : std::string_view{};
  order.fields = fields;
  order.body = exchange.body;
  const TimePoint begin = exchange.worker.reactor.now();
  order.deadline = exchange.deadline.shrunk_to(begin + run_for_);
  order.body_max = static_cast<std::size_t>(std::max<std::uint64_t>(max_response_, 1)) * 4;
  order.request_id = exchange.id;
  std::unique_ptr<upstream::Call> call = exchange.worker.take_call();
  const http::FetchFailure failure =
      co_await upstream::fetch(*exchange.plan->upstreams[upstream_of(exchange)], order, response, *call,
                               exchange.worker.reactor, exchange.worker.random);
  exchange.worker.return_call(std::move(call));
  exchange.record.attempts += order.attempts;
  if (order.attempts > 0)
    note_fetch(exchange, plan.index, order.endpoint_index, failure, response.status, begin);
  exchange.record.upstream_time = exchange.worker.reactor.now() - begin;
  exchange.worker.count_call(*exchange.plan, upstream_of(exchange), exchange.request.method, response.status,
                             exchange.record.upstream_time);
  co_return failure;
}

void KeyedTerminal::answer_with(Exchange& exchange, http::FetchResponse& response) const {
  for (const http::Field& field : response.fields) {
    if (field.hop_by_hop || field.id == http::Name::content_length ||
        field.id == http::Name::transfer_encoding)
      continue;
    if (field.id == http::Name::other && exchange.plan->plan->owned_names.owns(field.name)) continue;
    exchange.add_answer_field(exchange.arena.keep(field.name), exchange.arena.keep(field.value), field.id);
  }
  exchange.own_body = std::move(response.body);
  exchange.own.status = response.status;
  exchange.own.body = exchange.own_body;
}

void KeyedTerminal::answer_failure(Exchange& exchange, http::FetchFailure failure) const {
  const Problem problem = problem_of(failure);
  if (problem == Problem::circuit_open)
    exchange.set_retry_after(exchange.plan->upstreams[upstream_of(exchange)]->shared().breaker().retry_after(
        exchange.worker.reactor.now()));
  exchange.refuse(problem == Problem::circuit_open ? "breaker" : "upstream", problem);
}

async::Task<void> KeyedTerminal::serve(Exchange& exchange) {
  std::unique_ptr<KeyedRequest>* slot = exchange.get(keyed_);
  if (slot == nullptr || !(*slot)->claimed) {
    co_await plain_->serve(exchange);
    co_return;
  }
  KeyedRequest& keyed = **slot;
  exchange.record.upstream = exchange.plan->plan->upstreams[upstream_of(exchange)].options.name;
  exchange.record.stage = "upstream";
  keyed.sent = true;  // from here on, whoever abandons this has perhaps executed it
  http::FetchResponse response;
  const http::FetchFailure failure = co_await call_upstream(exchange, response);
  exchange.release_stages();
  if (failure != http::FetchFailure::none) {
    keyed.release_or_unknown(may_have_been_sent(failure));
    answer_failure(exchange, failure);
    co_await send_own_answer(exchange);
    co_return;
  }
  if (passport::is_retry_signal(response.status)) {
    keyed.release_or_unknown(false);
  } else {
    Operation complete = keyed.operation(Operation::Kind::complete, exchange);
    complete.answer = to_store(response, max_response_);
    const Outcome stored = co_await ask_store(exchange, *keyed.store(), std::move(complete));
    keyed.claimed = false;
    // Executed, and known to be; only the record is missing. The answer is worth more to the client than an error, and
    // a repeat will be told that the outcome is unknown.
    if (stored.failed || !stored.changed) exchange.add_answer_field("Idempotency-Status", "bypassed");
  }
  answer_with(exchange, response);
  co_await send_own_answer(exchange);
}

}  // namespace weir::gateway
