// Tracer: one worker's spans, from the end of a request to a collector.
//
// A request's server span and the spans of its calls are encoded when the request ends (record()); the exporter, a
// coroutine on the same worker, sends them in batches over the worker's own pools. Nobody waits for a collector: what
// finds no room, or is refused for good, is dropped and counted (weir_trace_spans_total).
//
// Numbers are OpenTelemetry's, unless the configuration has others: 2048 spans wait at most, 512 a batch, one every 5 s or
// as soon as one is full, one request at a time, 10 s each, repeated with backoff on 429, 502, 503, 504 and when the
// collector is not there, five times or 30 s in all.
//
// finish() sends what waits, each batch once, and ends: at a drain, or when a reload brings other settings. One thread: the
// worker's.
#ifndef WEIR_GATEWAY_TRACER_H_
#define WEIR_GATEWAY_TRACER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/config/config.h"
#include "weir/gateway/exchange.h"
#include "weir/io/waiter.h"
#include "weir/metrics/registry.h"
#include "weir/metrics/shard.h"
#include "weir/trace/export_queue.h"
#include "weir/trace/sampler.h"
#include "weir/upstream/upstream.h"

namespace weir::gateway {

class Tracer {
 public:
  static constexpr int kTries = 5;
  // How long a process that drains waits for a collector: a dead one must not hold up the end.
  static constexpr Duration kFinish = std::chrono::seconds{3};

  // `collector`: an upstream with the collector's endpoint; outlives the tracer.
  Tracer(const config::Tracing& options, std::unique_ptr<upstream::WorkerUpstream> collector, Worker& worker);

  bool sample(std::uint64_t trace_low) const noexcept { return sampler_.sample(trace_low); }
  // A trusted caller's decision counts; else every trace is decided here.
  bool parent_based() const noexcept { return options_.parent_based; }
  // The settings are those it was made with.
  bool is_for(const config::Tracing& options) const;
  // The request has ended: queues its spans if its trace is sampled, or if it is worth keeping anyway.
  void record(Exchange& exchange);
  // Runs until finish(), and keeps the tracer for so long.
  static async::Task<void> run(std::shared_ptr<Tracer> self);
  // What waits goes out now; then `finished` (may be null) is called, from the loop, after kFinish at the latest.
  void finish(std::function<void()> finished);

 private:
  // Calls back once, after a time at the latest.
  class Finished final : private async::Timer {
   public:
    void start(async::Loop& loop, std::function<void()> call);
    void now();

   private:
    void on_timer() noexcept override { now(); }
    std::function<void()> call_;
  };

  async::Task<void> export_all();
  async::Task<void> send(std::size_t spans);
  async::Task<bool> try_once(Deadline until, std::size_t spans, bool& again);
  void queue(const trace::Span& span);
  void add_server_span(Exchange& exchange);
  void add_call_span(Exchange& exchange, const CallSpan& call);
  WallTime wall(TimePoint time);

  Worker& worker_;
  config::Tracing options_;
  std::unique_ptr<upstream::WorkerUpstream> collector_;
  trace::Sampler sampler_;
  trace::ExportQueue queue_;
  std::vector<std::pair<std::string, std::string>> resource_;
  io::Waiter waiter_;
  std::string body_;
  bool finishing_ = false;
  Finished finished_;
  std::vector<trace::Attribute> attributes_;
  metrics::CounterId exported_;
  metrics::CounterId dropped_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TRACER_H_
