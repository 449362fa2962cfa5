#include "weir/gateway/page_fetcher.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "weir/base/strings.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/service_fetcher.h"
#include "weir/trace/span_context.h"

namespace weir::gateway {
namespace {

// Of the request as the stages left it: what services are told about where it came from.
bool tells_the_way(http::Name name) {
  switch (name) {
    case http::Name::forwarded:
    case http::Name::x_forwarded_for:
    case http::Name::x_forwarded_host:
    case http::Name::x_forwarded_proto:
      return true;
    default:
      return false;
  }
}

// What a service answers may depend on it also where it is everybody's: who has another variant asks another question.
bool says_variant(const http::Field& field) {
  return field.id == http::Name::other &&
         (base::iequals(field.name, "X-Experiments") || base::iequals(field.name, "X-Flags"));
}

bool carries_the_trace(const http::Field& field) {
  return field.id == http::Name::tracestate || base::iequals(field.name, "baggage");
}

std::string_view write_number(std::span<char> to, std::int64_t number, std::string_view unit) {
  char* end = std::to_chars(to.data(), to.data() + to.size(), number).ptr;
  end = std::copy(unit.begin(), unit.end(), end);
  return {to.data(), static_cast<std::size_t>(end - to.data())};
}

}  // namespace

// The section's span and its call's below it. A call that is given up has ended too, and was no error.
class PageFetcher::Spans {
 public:
  Spans(Exchange& exchange, const http::FetchRequest& request, const http::FetchResponse& response)
      : exchange_(exchange), request_(request), response_(response), begin_(exchange.worker.reactor.now()) {
    section_ = exchange.worker.random() | 1;
    call_ = exchange.worker.random() | 1;
  }
  Spans(const Spans&) = delete;
  Spans& operator=(const Spans&) = delete;
  ~Spans() {
    if (exchange_.tracing.recording) note();
  }
  std::uint64_t call() const noexcept { return call_; }
  void end(http::FetchFailure failure) noexcept { failure_ = failure; }

 private:
  void note() {
    CallSpan section;
    section.span = section_;
    section.parent = exchange_.tracing.context.span;
    section.start = begin_;
    section.end = exchange_.worker.reactor.now();
    section.section = exchange_.arena.keep(request_.label.empty() ? request_.upstream : request_.label);
    section.error = http::proxy_error(failure_);
    section.joined = response_.joined;
    exchange_.tracing.calls.push_back(section);
    if (response_.joined) return;  // the call is in the trace of whoever made it
    CallSpan call = section;
    call.section = {};
    call.span = call_;
    call.parent = section_;
    call.method = request_.method;
    call.status = response_.status;
    call.endpoint = endpoint();
    if (call.endpoint != nullptr) call.url = exchange_.arena.concat({call.endpoint->url, request_.target});
    if (response_.attempts > 1) call.resent = response_.attempts - 1;
    exchange_.tracing.calls.push_back(call);
  }
  const upstream::EndpointOptions* endpoint() const noexcept {
    for (const UpstreamPlan& upstream : exchange_.plan->plan->upstreams)
      for (const upstream::EndpointOptions& one : upstream.options.endpoints)
        if (one.url == response_.endpoint) return &one;
    return nullptr;
  }

  Exchange& exchange_;
  const http::FetchRequest& request_;
  const http::FetchResponse& response_;
  TimePoint begin_;
  std::uint64_t section_ = 0;
  std::uint64_t call_ = 0;
  http::FetchFailure failure_ = http::FetchFailure::none;
};

PageFetcher::PageFetcher(Exchange& exchange)
    : exchange_(exchange),
      route_(exchange, 1 + exchange.route->options.request_headers.set.size()),
      own_(exchange, 1 + exchange.request.fields.size()),
      caller_(exchange, exchange.request.fields.size() + exchange.identity_fields().size()) {
  route_.add({"Via", "1.1 weir", http::Name::via, false});
  for (const auto& [name, value] : exchange.route->options.request_headers.set)
    route_.add({name, value, http::Name::other, false});
  own_.add({"X-Request-Id", exchange.id, http::Name::x_request_id, false});
  for (const http::Field& field : exchange.request.fields) {
    if (carries_the_trace(field)) own_.add(field);
    if (tells_the_way(field.id)) caller_.add(field);
  }
  caller_.add(exchange.identity_fields());
}

async::Task<http::FetchFailure> PageFetcher::fetch(const http::FetchRequest& request,
                                                   http::FetchResponse& response) {
  SharedCalls& calls = *exchange_.plan->calls;
  const UpstreamPlan* plan = calls.services.find(request.upstream);
  if (plan == nullptr) co_return http::FetchFailure::unknown;
  Worker& worker = exchange_.worker;
  Spans spans(exchange_, request, response);

  // Each call is a span of its own, below the request's.
  std::array<char, trace::kTraceparentSize> traceparent;
  trace::SpanContext context = exchange_.tracing.context;
  context.span = spans.call();
  trace::write_traceparent(context, traceparent.data());
  const std::size_t callers = plan->external ? 0 : caller_.all().size();
  const bool everybodys = request.share && request.share->empty();
  List fields(exchange_, request.fields.size() + route_.all().size() + callers);
  List own(exchange_, own_.all().size() + 3 + callers);
  own.add(own_.all());
  own.add({"traceparent", {traceparent.data(), traceparent.size()}, http::Name::traceparent, false});
  std::array<char, 24> left_ms, left_grpc;
  if (!plan->external && !request.deadline.is_never()) {
    // How much time is worth spending, in the two spellings that services know.
    const Duration left = request.deadline.remaining(worker.reactor.now());
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    own.add({"X-Envoy-Expected-Rq-Timeout-Ms", write_number(left_ms, ms, ""), http::Name::other, false});
    own.add({"grpc-timeout", write_number(left_grpc, ms, "m"), http::Name::other, false});
  }
  fields.add(request.fields);
  fields.add(route_.all());
  if (callers != 0)
    for (const http::Field& field : caller_.all())
      (everybodys && !says_variant(field) ? own : fields).add(field);

  http::FetchRequest call = request;
  call.host = plan->host == config::Upstream::Host::name       ? std::string_view(plan->host_name)
              : plan->host == config::Upstream::Host::preserve ? exchange_.request.authority
                                                               : std::string_view{};
  call.fields = fields.all();
  call.own_fields = own.all();
  const TimePoint begin = worker.reactor.now();
  const http::FetchFailure failure = co_await calls.coalescer.fetch(call, response);
  attempts_ += response.attempts;
  if (response.joined) worker.count_joined(*exchange_.plan, plan->index);
  spans.end(failure);
  if (!response.joined && response.attempts > 0) {
    const auto& endpoints = plan->options.endpoints;
    const auto asked =
        std::find_if(endpoints.begin(), endpoints.end(),
                     [&](const upstream::EndpointOptions& one) { return one.url == response.endpoint; });
    note_fetch(exchange_, plan->index, static_cast<std::uint32_t>(asked - endpoints.begin()), failure,
               response.status, begin);
  }
  co_return failure;
}

void note_fetch(Exchange& exchange, std::uint32_t upstream, std::uint32_t endpoint,
                http::FetchFailure failure, int status, TimePoint begin) noexcept {
  Attempt attempt;
  attempt.upstream = upstream;
  attempt.endpoint = endpoint;
  attempt.status = static_cast<std::uint32_t>(status);
  const ErrorCode error = http::is_timeout(failure)                   ? ErrorCode::timed_out
                          : failure == http::FetchFailure::refused    ? ErrorCode::connection_refused
                          : failure == http::FetchFailure::malformed  ? ErrorCode::malformed
                          : failure == http::FetchFailure::too_large  ? ErrorCode::too_large
                          : failure == http::FetchFailure::unresolved ? ErrorCode::name_not_resolved
                          : failure == http::FetchFailure::overloaded ? ErrorCode::out_of_descriptors
                                                                      : ErrorCode::connection_reset;
  attempt.error = static_cast<std::uint8_t>(error);
  const resilience::FailureOn& judge = exchange.plan->plan->upstreams[upstream].options.failure_on;
  const resilience::Outcome outcome =
      failure == http::FetchFailure::none ? judge.classify_status(status) : resilience::Outcome::failure;
  attempt.outcome = static_cast<std::uint8_t>(outcome);
  attempt.start = to_ticks(begin - exchange.started);
  attempt.total = to_ticks(exchange.worker.reactor.now() - begin);
  exchange.notes.add(attempt);
}

}  // namespace weir::gateway
