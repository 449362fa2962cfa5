// PageFetcher: the calls of one page, each through its upstream's own breaker, balancing and pools.
//
// Every call carries the request's id, its trace and what is left of its time; upstreams that are not external also get
// the caller's identity (Exchange::identity_fields) and where the request came from. Lives as long as the page.
#ifndef WEIR_GATEWAY_PAGE_FETCHER_H_
#define WEIR_GATEWAY_PAGE_FETCHER_H_

#include <vector>

#include "weir/gateway/exchange.h"
#include "weir/http/fetcher.h"
#include "weir/upstream/fetch.h"

namespace weir::gateway {

struct UpstreamPlan;

class PageFetcher final : public http::Fetcher {
 public:
  explicit PageFetcher(Exchange& exchange);

  async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                        http::FetchResponse& response) override;
  unsigned attempts() const noexcept { return attempts_; }

 private:
  // The section's span and its call's, for the trace.
  void note_spans(const http::FetchRequest& request, const upstream::FetchOrder& order,
                  std::uint64_t section_span, std::uint64_t call_span, TimePoint begin,
                  http::FetchFailure failure, int status);
  const UpstreamPlan* find(std::string_view name) const noexcept;

  Exchange& exchange_;
  std::vector<http::Field> internal_;  // what every call carries
  std::vector<http::Field> external_;
  unsigned attempts_ = 0;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_PAGE_FETCHER_H_
