#include "weir/gateway/service_fetcher.h"

#include <algorithm>
#include <optional>

#include "weir/gateway/plan.h"
#include "weir/upstream/fetch.h"

namespace weir::gateway {
namespace {

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

std::string_view request_id(const http::FetchRequest& request) noexcept {
  for (const http::Field& field : request.own_fields)
    if (field.id == http::Name::x_request_id) return field.value;
  return {};
}

}  // namespace

const UpstreamPlan* ServiceFetcher::find(std::string_view name) const noexcept {
  const auto& upstreams = plan_.plan->upstreams;
  const auto found = std::find_if(upstreams.begin(), upstreams.end(), [&](const UpstreamPlan& upstream) {
    return upstream.options.name == name;
  });
  return found == upstreams.end() ? nullptr : &*found;
}

async::Task<http::FetchFailure> ServiceFetcher::fetch(const http::FetchRequest& request,
                                                      http::FetchResponse& response) {
  const UpstreamPlan* plan = find(request.upstream);
  if (plan == nullptr) co_return http::FetchFailure::unknown;
  const TimePoint begin = worker_.reactor.now();
  upstream::FetchOrder order;
  order.method = request.method;
  order.target = request.target;
  order.host = request.host;
  order.fields = request.fields;
  order.more_fields = request.own_fields;
  order.body = request.body;
  order.deadline = request.latest == nullptr ? request.deadline : Deadline::never();
  order.latest = request.latest;
  if (plan->options.total) order.deadline = order.deadline.shrunk_to(begin + *plan->options.total);
  order.body_max = request.body_max;
  order.decode = true;
  order.request_id = request_id(request);

  BorrowedCall call(worker_);
  std::optional<BorrowedCall> spare;
  if (plan_.upstreams[plan->index]->hedge() != nullptr) order.spare = &*spare.emplace(worker_);
  const http::FetchFailure failure = co_await upstream::fetch(*plan_.upstreams[plan->index], order, response,
                                                              *call, worker_.reactor, worker_.random);
  response.attempts = order.attempts;
  if (order.endpoint != nullptr) response.endpoint = order.endpoint->url;
  worker_.count_call(plan_, plan->index, request.method, response.status, worker_.reactor.now() - begin);
  co_return failure;
}

}  // namespace weir::gateway
