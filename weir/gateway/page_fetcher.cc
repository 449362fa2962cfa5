#include "weir/gateway/page_fetcher.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "weir/base/strings.h"
#include "weir/gateway/plan.h"
#include "weir/trace/span_context.h"
#include "weir/upstream/fetch.h"

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

bool carries_the_trace(const http::Field& field) {
  return field.id == http::Name::tracestate || base::iequals(field.name, "baggage");
}

// A call object from the worker, back to it whichever way the call ends.
class BorrowedCall {
 public:
  explicit BorrowedCall(Worker& worker) : worker_(worker), call_(worker.take_call()) {}
  BorrowedCall(const BorrowedCall&) = delete;
  BorrowedCall& operator=(const BorrowedCall&) = delete;
  ~BorrowedCall() { worker_.return_call(std::move(call_)); }
  upstream::Call& operator*() noexcept { return *call_; }

 private:
  Worker& worker_;
  std::unique_ptr<upstream::Call> call_;
};

std::string_view write_number(std::span<char> to, std::int64_t number, std::string_view unit) {
  char* end = std::to_chars(to.data(), to.data() + to.size(), number).ptr;
  end = std::copy(unit.begin(), unit.end(), end);
  return {to.data(), static_cast<std::size_t>(end - to.data())};
}

}  // namespace

PageFetcher::PageFetcher(Exchange& exchange) : exchange_(exchange) {
  external_.push_back({"X-Request-Id", exchange.id, http::Name::x_request_id, false});
  external_.push_back({"Via", "1.1 weir", http::Name::via, false});
  for (const http::Field& field : exchange.request.fields)
    if (carries_the_trace(field)) external_.push_back(field);
  internal_ = external_;
  for (const http::Field& field : exchange.request.fields)
    if (tells_the_way(field.id)) internal_.push_back(field);
  for (const http::Field& field : exchange.identity_fields()) internal_.push_back(field);
  for (const auto& [name, value] : exchange.route->options.request_headers.set) {
    internal_.push_back({name, value, http::Name::other, false});
    external_.push_back({name, value, http::Name::other, false});
  }
}

const UpstreamPlan* PageFetcher::find(std::string_view name) const noexcept {
  for (const UpstreamPlan& upstream : exchange_.plan->plan->upstreams)
    if (upstream.options.name == name) return &upstream;
  return nullptr;
}

async::Task<http::FetchFailure> PageFetcher::fetch(const http::FetchRequest& request,
                                                   http::FetchResponse& response) {
  const UpstreamPlan* plan = find(request.upstream);
  if (plan == nullptr) co_return http::FetchFailure::unknown;
  Worker& worker = exchange_.worker;
  const TimePoint begin = worker.reactor.now();

  // Each call is a span of its own, below the request's.
  std::array<char, trace::kTraceparentSize> traceparent;
  trace::SpanContext context = exchange_.tracing.context;
  const std::uint64_t section_span = worker.random() | 1;
  context.span = worker.random() | 1;
  trace::write_traceparent(context, traceparent.data());
  const Duration left = request.deadline.remaining(begin);
  std::array<char, 24> left_ms, left_grpc;
  std::array<http::Field, 8> more;
  std::size_t count = 0;
  for (const http::Field& field : request.fields) more[count++] = field;
  more[count++] = {"traceparent", {traceparent.data(), traceparent.size()}, http::Name::traceparent, false};
  if (!plan->external && !request.deadline.is_never()) {
    // How much time is worth spending, in the two spellings that services know.
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    more[count++] = {"X-Envoy-Expected-Rq-Timeout-Ms", write_number(left_ms, ms, ""), http::Name::other,
                     false};
    more[count++] = {"grpc-timeout", write_number(left_grpc, ms, "m"), http::Name::other, false};
  }

  upstream::FetchOrder order;
  order.method = request.method;
  order.target = request.target;
  order.host = plan->host == config::Upstream::Host::name       ? std::string_view(plan->host_name)
               : plan->host == config::Upstream::Host::preserve ? exchange_.request.authority
                                                                : std::string_view{};
  order.fields = plan->external ? external_ : internal_;
  order.more_fields = std::span(more).first(count);
  order.body = request.body;
  order.deadline = request.deadline;
  if (plan->options.total) order.deadline = order.deadline.shrunk_to(begin + *plan->options.total);
  order.body_max = request.body_max;
  order.request_id = exchange_.id;

  BorrowedCall call(worker);
  std::optional<BorrowedCall> spare;
  if (exchange_.plan->upstreams[plan->index]->hedge() != nullptr) order.spare = &*spare.emplace(worker);
  const http::FetchFailure failure = co_await upstream::fetch(*exchange_.plan->upstreams[plan->index], order,
                                                              response, *call, worker.reactor, worker.random);
  attempts_ += order.attempts;
  worker.count_call(*exchange_.plan, plan->index, request.method, response.status,
                    worker.reactor.now() - begin);
  note_spans(request, order, section_span, context.span, begin, failure, response.status);
  co_return failure;
}

void PageFetcher::note_spans(const http::FetchRequest& request, const upstream::FetchOrder& order,
                             std::uint64_t section_span, std::uint64_t call_span, TimePoint begin,
                             http::FetchFailure failure, int status) {
  if (!exchange_.tracing.recording) return;
  CallSpan section;
  section.span = section_span;
  section.parent = exchange_.tracing.context.span;
  section.start = begin;
  section.end = exchange_.worker.reactor.now();
  section.section = exchange_.arena.keep(request.label.empty() ? request.upstream : request.label);
  section.error = http::proxy_error(failure);
  CallSpan call = section;
  call.section = {};
  call.span = call_span;
  call.parent = section_span;
  call.method = request.method;
  call.status = status;
  call.endpoint = order.endpoint;
  if (order.endpoint != nullptr) call.url = exchange_.arena.concat({order.endpoint->url, request.target});
  if (order.attempts > 1) call.resent = order.attempts - 1;
  exchange_.tracing.calls.push_back(section);
  exchange_.tracing.calls.push_back(call);
}

}  // namespace weir::gateway
