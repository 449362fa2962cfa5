#include "weir/gateway/tracer.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "weir/gateway/plan.h"
#include "weir/upstream/fetch.h"

namespace weir::gateway {
namespace {

using trace::Attribute;

// OTLP/HTTP: these answers ask for another try; all others are final.
bool asks_again(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

// "http_response_timeout" of a failed call, "503" of an answered one (error.type of the conventions).
std::string_view status_text(int status, std::array<char, 4>& buffer) {
  buffer = {static_cast<char>('0' + status / 100 % 10), static_cast<char>('0' + status / 10 % 10),
            static_cast<char>('0' + status % 10), '\0'};
  return {buffer.data(), 3};
}

trace::ExportQueue::Options queue_options(const config::Tracing& options) {
  trace::ExportQueue::Options queue;
  // The bytes grow with the number: a kilobyte and a half for each span.
  queue.bytes_max = queue.bytes_max / queue.spans_max * options.queue;
  queue.spans_max = options.queue;
  queue.batch_max = options.batch;
  return queue;
}

}  // namespace

Tracer::Tracer(const config::Tracing& options, std::unique_ptr<upstream::WorkerUpstream> collector,
               Worker& worker)
    : worker_(worker),
      options_(options),
      collector_(std::move(collector)),
      sampler_({.ratio = options.sample, .slow = options.slow, .keep_failed = true}),
      queue_(queue_options(options), options.json ? trace::Encoding::json : trace::Encoding::protobuf),
      resource_{{"service.name", options.service}},
      waiter_(worker.reactor) {
  resource_.insert(resource_.end(), options.resource.begin(), options.resource.end());
  const metrics::FamilyId family =
      worker.metrics.counter_family("weir_trace_spans_total", "What became of recorded spans.", {"result"});
  exported_ = worker.metrics.counter(family, {"exported"});
  dropped_ = worker.metrics.counter(family, {"dropped"});
}

WallTime Tracer::wall(TimePoint time) { return worker_.wall_now() - (worker_.reactor.now() - time); }

void Tracer::queue(const trace::Span& span) {
  if (!queue_.add(span)) worker_.shard.add(dropped_);
}

void Tracer::record(Exchange& exchange) {
  const Duration took = worker_.reactor.now() - exchange.started;
  const bool sampled = exchange.tracing.context.sampled();
  const bool degraded = exchange.record.degraded || exchange.record.problem == Problem::section_required;
  if (!sampled && !sampler_.keep_anyway(exchange.record.status, degraded, took)) return;
  add_server_span(exchange);
  for (const CallSpan& call : exchange.tracing.calls) add_call_span(exchange, call);
  if (queue_.batch_ready()) waiter_.notify();
}

void Tracer::add_server_span(Exchange& exchange) {
  const http::RequestHead& request = exchange.request;
  const std::string_view method = http::to_string(request.method);
  const int status = exchange.record.status;
  std::array<char, 4> digits;
  attributes_.clear();
  attributes_.push_back(Attribute::of(trace::kHttpMethod, method.empty() ? "_OTHER" : method));
  if (method.empty()) attributes_.push_back(Attribute::of(trace::kHttpMethodOriginal, request.method_text));
  attributes_.push_back(Attribute::of(trace::kUrlPath, exchange.path));
  attributes_.push_back(Attribute::of(trace::kUrlScheme, exchange.secure ? "https" : "http"));
  attributes_.push_back(Attribute::of(trace::kHttpRoute, exchange.route->options.path));
  if (status != 0) attributes_.push_back(Attribute::of_number(trace::kHttpStatus, status));
  if (!request.authority.empty())
    attributes_.push_back(Attribute::of(trace::kServerAddress, request.authority));
  attributes_.push_back(Attribute::of(trace::kClientAddress, exchange.client_text()));
  attributes_.push_back(Attribute::of(trace::kPeerAddress, exchange.peer_text));
  attributes_.push_back(Attribute::of(trace::kProtocolVersion, request.version_minor == 0 ? "1.0" : "1.1"));
  if (const http::Field* agent = request.fields.find(http::Name::user_agent))
    attributes_.push_back(Attribute::of(trace::kUserAgent, agent->value));
  attributes_.push_back(Attribute::of("weir.request_id", exchange.id));
  if (exchange.record.problem != Problem::none)
    attributes_.push_back(Attribute::of(trace::kErrorType, describe(exchange.record.problem).name));
  else if (status >= 500)
    attributes_.push_back(Attribute::of(trace::kErrorType, status_text(status, digits)));

  std::string& name = worker_.scratch;
  name.assign(method.empty() ? "HTTP" : method).append(" ").append(exchange.route->options.path);
  trace::Span span;
  span.context = exchange.tracing.context;
  span.parent = exchange.tracing.parent;
  span.parent_is_remote = exchange.tracing.parent != 0;
  span.state = exchange.tracing.state;
  span.name = name;
  span.kind = trace::SpanKind::server;
  span.start = wall(exchange.started);
  span.end = wall(worker_.reactor.now());
  span.attributes = attributes_;
  if (exchange.tracing.link.valid()) span.links = std::span(&exchange.tracing.link, 1);
  // What the client did wrong is no error of the server's; what it did not wait for neither.
  if (status >= 500) span.status = trace::SpanStatus::error;
  queue(span);
}

void Tracer::add_call_span(Exchange& exchange, const CallSpan& call) {
  const std::string_view method = http::to_string(call.method);
  std::array<char, 4> digits;
  attributes_.clear();
  trace::Span span;
  span.context = exchange.tracing.context;
  span.context.span = call.span;
  span.parent = call.parent;
  span.start = wall(call.start);
  span.end = wall(call.end);
  if (call.section.empty()) {
    span.name = method.empty() ? std::string_view("HTTP") : method;
    span.kind = trace::SpanKind::client;
    attributes_.push_back(Attribute::of(trace::kHttpMethod, method.empty() ? "_OTHER" : method));
    if (call.endpoint != nullptr) {
      attributes_.push_back(Attribute::of(trace::kServerAddress, call.endpoint->host));
      attributes_.push_back(Attribute::of_number(trace::kServerPort, call.endpoint->port));
    }
    if (!call.url.empty()) attributes_.push_back(Attribute::of(trace::kUrlFull, call.url));
    if (call.resent != 0) attributes_.push_back(Attribute::of_number(trace::kHttpResendCount, call.resent));
  } else {
    span.name = call.section;
    if (call.joined) attributes_.push_back(Attribute::of_flag("weir.joined", true));
  }
  if (call.status != 0) attributes_.push_back(Attribute::of_number(trace::kHttpStatus, call.status));
  if (!call.error.empty())
    attributes_.push_back(Attribute::of(trace::kErrorType, call.error));
  else if (call.status >= 400)
    attributes_.push_back(Attribute::of(trace::kErrorType, status_text(call.status, digits)));
  if (!call.error.empty() || call.status >= 400) span.status = trace::SpanStatus::error;
  span.attributes = attributes_;
  queue(span);
}

bool Tracer::is_for(const config::Tracing& options) const {
  const auto all = [](const config::Tracing& of) {
    return std::tie(of.otlp_url, of.otlp_path, of.headers, of.resource, of.timeout, of.export_timeout,
                    of.queue, of.batch, of.parent_based, of.sample, of.slow, of.delay, of.json, of.service);
  };
  return all(options) == all(options_);
}

void Tracer::Finished::start(async::Loop& loop, std::function<void()> call) {
  call_ = std::move(call);
  loop.arm(*this, loop.now() + kFinish);
}

void Tracer::Finished::now() {
  disarm();
  if (call_) std::exchange(call_, nullptr)();
}

void Tracer::finish(std::function<void()> finished) {
  finishing_ = true;
  if (finished) finished_.start(worker_.reactor, std::move(finished));
  waiter_.notify();
}

async::Task<void> Tracer::run(std::shared_ptr<Tracer> self) {
  co_await self->export_all();
  self->finished_.now();
}

async::Task<void> Tracer::export_all() {
  while (!finishing_) {
    const Deadline next = Deadline::after(worker_.reactor.now(), options_.delay);
    while (!finishing_ && !queue_.batch_ready() && !next.expired(worker_.reactor.now())) {
      const io::Wake wake = co_await waiter_.wait(next);
      static_cast<void>(wake);
    }
    while (const std::size_t spans = queue_.batch(resource_, body_)) {
      co_await send(spans);
      if (!finishing_ && !queue_.batch_ready()) break;
    }
  }
}

// One request to the collector. True: the spans are done with, taken or refused for good.
async::Task<bool> Tracer::try_once(Deadline until, std::size_t spans, bool& again) {
  std::vector<http::Field> fields;
  fields.push_back({"Content-Type", trace::content_type(queue_.encoding()), http::Name::content_type, false});
  for (const auto& [name, value] : options_.headers)
    fields.push_back({name, value, http::parse_name(name), false});
  upstream::FetchOrder order;
  order.method = http::Method::post;
  order.target = options_.otlp_path;
  order.fields = fields;
  order.body = body_;
  order.deadline = until.shrunk_to(worker_.reactor.now() + options_.timeout);
  order.body_max = 4 * 1024 * 1024;  // OTLP's bound on an answer
  http::FetchResponse response;
  std::unique_ptr<upstream::Call> call = worker_.take_call();
  const http::FetchFailure failure =
      co_await upstream::fetch(*collector_, order, response, *call, worker_.reactor, worker_.random);
  worker_.return_call(std::move(call));
  const bool answered = failure == http::FetchFailure::none;
  again = !answered || asks_again(response.status);
  if (!answered || response.status < 200 || response.status > 299) co_return false;
  // Partial success is final: what was rejected would be rejected again.
  const auto rejected =
      std::min<std::uint64_t>(spans, static_cast<std::uint64_t>(std::max<std::int64_t>(
                                         0, trace::rejected_spans(queue_.encoding(), response.body))));
  worker_.shard.add(exported_, spans - rejected);
  worker_.shard.add(dropped_, rejected);
  co_return true;
}

async::Task<void> Tracer::send(std::size_t spans) {
  const Deadline end = Deadline::after(worker_.reactor.now(), options_.export_timeout);
  Duration backoff = std::chrono::seconds{1};
  bool taken = false;
  for (int attempt = 1; attempt <= kTries && !taken; ++attempt, backoff *= 2) {
    bool again = false;
    taken = co_await try_once(end, spans, again);
    if (taken || !again || attempt == kTries || finishing_) break;
    const Deadline until = end.shrunk_to(worker_.reactor.now() + backoff);
    while (!finishing_ && !until.expired(worker_.reactor.now())) {
      const io::Wake wake = co_await waiter_.wait(until);
      static_cast<void>(wake);
    }
    if (end.expired(worker_.reactor.now())) break;
  }
  if (!taken) worker_.shard.add(dropped_, spans);
  queue_.pop(spans);
}

}  // namespace weir::gateway
