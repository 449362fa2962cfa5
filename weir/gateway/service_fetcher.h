// ServiceFetcher: one worker's calls of a plan's upstreams, for pages; and SharedCalls, in which those that are the same
// become one.
//
// It knows no exchange: a shared call goes on when the request that began it is gone, so whatever it uses is in the
// FetchRequest (which the coalescer copies) or belongs to the worker's part of the plan.
//
// One thread: the worker's. Lives as long as that part of the plan.
#ifndef WEIR_GATEWAY_SERVICE_FETCHER_H_
#define WEIR_GATEWAY_SERVICE_FETCHER_H_

#include "weir/bff/coalescer.h"
#include "weir/gateway/worker.h"
#include "weir/http/fetcher.h"

namespace weir::gateway {

struct UpstreamPlan;

class ServiceFetcher final : public http::Fetcher {
 public:
  ServiceFetcher(Worker& worker, WorkerPlan& plan) noexcept : worker_(worker), plan_(plan) {}

  // Fills in `attempts` and `endpoint` whatever comes of the call.
  async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                        http::FetchResponse& response) override;
  // Null: no upstream of that name.
  const UpstreamPlan* find(std::string_view name) const noexcept;

 private:
  Worker& worker_;
  WorkerPlan& plan_;
};

class SharedCalls {
 public:
  SharedCalls(Worker& worker, WorkerPlan& plan)
      : services(worker, plan), coalescer(services, worker.reactor) {}

  ServiceFetcher services;
  bff::Coalescer coalescer;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_SERVICE_FETCHER_H_
