// PageFetcher: the calls of one page, each through its upstream's own breaker, balancing and pools; the same call made
// for another page of the same caller at the same time is joined (bff::Coalescer, one a worker).
//
// Every call carries the request's id, its trace and what is left of its time; upstreams that are not external also get
// the caller's identity (Exchange::identity_fields) and where the request came from. What makes calls different is all
// that is said to the service but id, trace and patience; of a section that is everybody's (`shared: true`) also but who
// asks and from where, but not his variants and flags. Lives as long as the page.
#ifndef WEIR_GATEWAY_PAGE_FETCHER_H_
#define WEIR_GATEWAY_PAGE_FETCHER_H_

#include <new>
#include <span>

#include "weir/gateway/exchange.h"
#include "weir/http/fetcher.h"

namespace weir::gateway {

struct UpstreamPlan;

class PageFetcher final : public http::Fetcher {
 public:
  explicit PageFetcher(Exchange& exchange);

  async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                        http::FetchResponse& response) override;
  unsigned attempts() const noexcept { return attempts_; }

 private:
  class Spans;

  // Fields in the exchange's arena; room for so many as are asked for.
  class List {
   public:
    List(Exchange& exchange, std::size_t room)
        : first_(static_cast<http::Field*>(exchange.arena.allocate_aligned(room * sizeof(http::Field)))) {}
    void add(const http::Field& field) { ::new (first_ + count_++) http::Field(field); }
    void add(std::span<const http::Field> fields) {
      for (const http::Field& field : fields) add(field);
    }
    std::span<const http::Field> all() const noexcept { return {first_, count_}; }

   private:
    http::Field* first_;
    std::size_t count_ = 0;
  };

  Exchange& exchange_;
  // What every call carries: said by the route; of this request's id and trace; about who asks and from where.
  List route_;
  List own_;
  List caller_;
  unsigned attempts_ = 0;
};

// A call that fetch() made, for the decision record of `exchange`: its last attempt, which stands for those that died
// with an idle connection.
void note_fetch(Exchange& exchange, std::uint32_t upstream, std::uint32_t endpoint, http::FetchFailure failure,
                int status, TimePoint begin) noexcept;

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_PAGE_FETCHER_H_
