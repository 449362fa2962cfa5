// Worker: what one worker's thread offers to the exchanges that run on it.
//
// Reactor, buffers, counters, upstream connections, and its view of the current plan. Nothing in it is shared with
// other workers; the plan and the state behind it are.
#ifndef WEIR_GATEWAY_WORKER_H_
#define WEIR_GATEWAY_WORKER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/async/scope.h"
#include "weir/base/intrusive_list.h"
#include "weir/base/random.h"
#include "weir/bff/page.h"
#include "weir/gateway/access_log_writer.h"
#include "weir/gateway/decision_record.h"
#include "weir/io/buffer.h"
#include "weir/io/reactor.h"
#include "weir/io/resolver.h"
#include "weir/metrics/registry.h"
#include "weir/store/redis_client.h"
#include "weir/upstream/upstream.h"

namespace weir::gateway {

struct Plan;
struct Route;
class SharedCalls;
class Tracer;
class Worker;

// One worker's part of a plan: connections and choices that no other thread touches. Lives until the plan has been
// replaced and the last exchange that started on it has ended.
class WorkerPlan : public base::ListNode<> {
 public:
  std::shared_ptr<const Plan> plan;
  std::vector<std::unique_ptr<upstream::WorkerUpstream>> upstreams;  // by the plan's index
  std::shared_ptr<SharedCalls> calls;                                // of pages
  std::shared_ptr<const void> alive =
      std::make_shared<char>();               // for whoever works for this plan beside requests
  std::shared_ptr<store::RedisClient> redis;  // null when the plan has none

 private:
  friend class Worker;

  // Series of a route or upstream that this worker has met: a handful, so a search along a list.
  struct DurationSeries {
    std::uint32_t method_and_status;
    metrics::HistogramId id;
  };
  using SeriesList = std::vector<DurationSeries>;

  std::vector<SeriesList> route_series_;     // by the route's index; the last is for requests without a route
  std::vector<SeriesList> upstream_series_;  // by the upstream's index
  std::vector<std::optional<metrics::CounterId>> joined_series_;
  std::size_t uses_ = 0;
};

class Worker {
 public:
  // `index` is the shard of `metrics` that this worker alone writes. `log` may be null: no access log.
  Worker(io::Reactor& reactor, io::Resolver& resolver, metrics::Registry& metrics, std::size_t index,
         AccessLogWriter::Lane* log, std::uint64_t seed);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // From now on new exchanges use `plan`.
  void adopt(std::shared_ptr<const Plan> plan);
  WorkerPlan* use_plan() noexcept {
    ++current_->uses_;
    return current_;
  }
  void leave_plan(WorkerPlan* plan) noexcept;
  WorkerPlan& current_plan() noexcept { return *current_; }

  // Connections to an endpoint. Thread-safe: for a scrape.
  struct PoolCounts {
    std::size_t open = 0;
    std::size_t idle = 0;
  };
  PoolCounts pool_counts(const upstream::EndpointOptions& endpoint) const;

  // Call objects keep their buffers' capacity; taking and returning allocates nothing once warm.
  std::unique_ptr<upstream::Call> take_call();
  void return_call(std::unique_ptr<upstream::Call> call);

  // Pages likewise.
  std::unique_ptr<bff::Page> take_page();
  void return_page(std::unique_ptr<bff::Page> page);

  // Null when no spans are sent.
  Tracer* tracer() noexcept { return tracer_.get(); }
  // Before the end: spans that wait are sent. `finished` is called when they are, or after some seconds; at once when
  // there are none.
  void finish_tracing(std::function<void()> finished);

  // "Sun, 06 Nov 1994 08:49:37 GMT", rendered once a second (RFC 9110 5.6.7).
  std::string_view http_date();
  // "2026-11-24T12:00:00.123Z"; the part up to the second is rendered once a second.
  std::string_view time_text();

  // Runs to its end, or to the worker's; what it uses must live as long.
  void run_in_background(async::Task<void> task) { background_.spawn(std::move(task)); }

  // Wall time of this turn of the loop: the monotonic clock carried on from one reading a second.
  WallTime wall_now() noexcept;

  // Counts one answered request (http_server_request_duration_seconds; `route` may be null) or one call of the upstream
  // with that index.
  void count_request(WorkerPlan& plan, const Route* route, http::Method method, int status, Duration took);
  void count_call(WorkerPlan& plan, std::size_t upstream, http::Method method, int status, Duration took);
  // One call of a page that another page's call answered.
  void count_joined(WorkerPlan& plan, std::size_t upstream);

  io::Reactor& reactor;
  metrics::Registry& metrics;
  metrics::Shard& shard;
  const std::size_t index;
  AccessLogWriter::Lane* const log;
  io::BufferPool buffers;
  base::Random random;
  bff::JsonValidator json_validator;
  std::string log_line;  // scratch of the access log
  std::string scratch;   // of whoever renders something just now
  DecisionRecords records;

 private:
  void count_in(WorkerPlan::SeriesList& list, metrics::FamilyId family, std::string_view name,
                http::Method method, int status, Duration took);
  void refresh_second();

  void watch_endpoints(const Plan& plan, const std::shared_ptr<const void>& alive);
  std::shared_ptr<store::RedisClient> redis_for(const Plan& plan);
  static std::string pool_key(const upstream::EndpointOptions& endpoint);

  io::Resolver& resolver_;
  // By "host:port". Only this worker changes it, under the mutex; so it reads without, and a scrape reads with it.
  mutable std::mutex pools_mutex_;
  std::map<std::string, std::unique_ptr<upstream::EndpointPool>, std::less<>> pools_;
  WorkerPlan* current_ = nullptr;
  base::IntrusiveList<WorkerPlan, base::DefaultTag> retired_;
  std::vector<std::unique_ptr<upstream::Call>> calls_;
  std::vector<std::unique_ptr<bff::Page>> pages_;
  metrics::FamilyId server_duration_;
  metrics::FamilyId client_duration_;
  WallTime wall_{};  // read at wall_at_
  TimePoint wall_at_{};
  std::int64_t second_ = -1;
  std::string date_;
  std::string iso_;
  void adopt_tracing(const Plan& plan);

  std::shared_ptr<Tracer> tracer_;
  async::Scope background_;  // refreshes of names; last, so that it ends before what it uses
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_WORKER_H_
