// fetch: one whole call of an upstream for somebody who wants the answer in memory, through the upstream's own breaker,
// balancing, pools and timeouts.
//
//   Call call(buffers);                                    // reused, as are response and order
//   FetchOrder order;
//   order.host = "users.internal", order.fields = fields, order.deadline = Deadline::after(now, 200ms);
//   const http::FetchFailure failure = co_await fetch(target, std::move(order), response, call, loop, random);
//
//   (1) The breaker is asked first; its ticket is settled when the answer is complete or has failed, and goes back
//       unsettled when the task is destroyed: whoever gives up has not seen a failure.
//   (2) An answer that says or turns out to be larger than `body_max` is broken off at once; with `decode` so is one that
//       unfolds beyond a hundredfold (content_decoder.h). Such an answer, or one in a coding that is not known, is no
//       failure of the upstream.
//   (3) Repeated only as a proxied request is: when a reused connection died before a byte of the answer came and the
//       request may be repeated, when the name has another address, or as the upstream's `retries` allow.
//   (4) With `spare` and the upstream's `hedge`, a second call to another endpoint is begun when the first is late. The
//       first good head decides; the other call is broken off and its ticket goes back unsettled.
//   (5) No call is started after the deadline.
//
// One thread: the worker's. Order, response and call outlive the task.
#ifndef WEIR_UPSTREAM_FETCH_H_
#define WEIR_UPSTREAM_FETCH_H_

#include <span>
#include <string>
#include <string_view>

#include "weir/async/timer.h"
#include "weir/base/random.h"
#include "weir/http/fetcher.h"
#include "weir/upstream/call.h"
#include "weir/upstream/upstream.h"

namespace weir::upstream {

struct FetchOrder {
  http::Method method = http::Method::get;
  std::string_view target;              // path and query
  std::string_view host;                // "": the endpoint's own
  std::span<const http::Field> fields;  // beside Host and framing
  std::span<const http::Field> more_fields;
  std::string_view body;
  Deadline deadline;
  const Deadline* latest = nullptr;    // a further bound, which may move while the call runs; null: none
  std::size_t body_max = 1024 * 1024;  // decoded
  bool decode = false;                 // take gzip and deflate off; else the answer stays as it came
  std::string_view request_id;         // named when a breaker opens
  Call* spare = nullptr;               // for a second call; null: there will be none
  // Read anew at every turn: somebody with more time may have joined the call.
  Deadline until() const noexcept { return latest == nullptr ? deadline : deadline.shrunk_to(*latest); }
  // Filled in on the way, for spans and metrics.
  unsigned attempts = 0;
  const EndpointOptions* endpoint = nullptr;  // of the last attempt
  std::uint32_t endpoint_index = 0;           // likewise
};

async::Task<http::FetchFailure> fetch(WorkerUpstream& target, FetchOrder& order,
                                      http::FetchResponse& response, Call& call, async::Loop& loop,
                                      base::Random& random);

// The Host of an endpoint: "users.internal", "10.0.0.1:9001", "[::1]:80".
std::string host_of(const EndpointOptions& endpoint);

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_FETCH_H_
