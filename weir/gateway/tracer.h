// Tracer: one worker's spans, from the end of a request to a collector.
//
// A request's server span and the spans of its calls are encoded when the request ends (record()); the exporter, a
// coroutine on the same worker, sends them in batches over the worker's own pools. Nobody waits for a collector: what
// finds no room, or is refused for good, is dropped and counted (weir_trace_spans_total).
//
// Numbers are OpenTelemetry's: 2048 spans wait at most, 512 a batch, one every 5 s or as soon as one is full, one request
// at a time, 10 s each, repeated with backoff on 429, 502, 503, 504 and when the collector is not there, five times in
// all.
//
// One thread: the worker's.
#ifndef WEIR_GATEWAY_TRACER_H_
#define WEIR_GATEWAY_TRACER_H_

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
  static constexpr Duration kTimeout = std::chrono::seconds{10};
  static constexpr int kTries = 5;

  // `collector`: an upstream with the collector's endpoint; outlives the tracer.
  Tracer(const config::Tracing& options, std::unique_ptr<upstream::WorkerUpstream> collector, Worker& worker);

  bool sample(std::uint64_t trace_low) const noexcept { return sampler_.sample(trace_low); }
  // The request has ended: queues its spans if its trace is sampled, or if it is worth keeping anyway.
  void record(Exchange& exchange);
  // Runs until it is destroyed.
  async::Task<void> run();
  // Every batch that waits goes out without waiting for its time.
  void flush() noexcept { waiter_.notify(); }

 private:
  async::Task<void> send(std::size_t spans);
  void queue(const trace::Span& span);
  void add_server_span(Exchange& exchange);
  void add_call_span(Exchange& exchange, const CallSpan& call);
  WallTime wall(TimePoint time);

  Worker& worker_;
  std::unique_ptr<upstream::WorkerUpstream> collector_;
  trace::Sampler sampler_;
  Duration delay_;
  trace::ExportQueue queue_;
  std::vector<std::pair<std::string, std::string>> resource_;
  io::Waiter waiter_;
  std::string body_;
  std::vector<trace::Attribute> attributes_;
  metrics::CounterId exported_;
  metrics::CounterId dropped_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TRACER_H_
