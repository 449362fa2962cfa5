#include "weir/gateway/worker.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "weir/gateway/plan.h"
#include "weir/gateway/service_fetcher.h"
#include "weir/gateway/tracer.h"
#include "weir/upstream/health.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kCallsKept = 1024;  // a worker; above it calls are freed, not kept
constexpr std::size_t kPagesKept = 64;
constexpr std::size_t kPageBytesKept = 1024 * 1024;  // a page

std::uint32_t method_and_status(http::Method method, int status) {
  return static_cast<std::uint32_t>(method) << 16 | static_cast<std::uint32_t>(status);
}

upstream::PoolOptions pool_options(const upstream::EndpointOptions& endpoint) {
  upstream::PoolOptions options;
  options.tls = endpoint.tls;
  return options;
}

std::string_view method_label(http::Method method) {
  const std::string_view text = http::to_string(method);
  return text.empty() ? "_OTHER" : text;  // OTel: http.request.method of an unknown one
}

}  // namespace

Worker::Worker(io::Reactor& loop, io::Resolver& names, metrics::Registry& registry, std::size_t shard_index,
               AccessLogWriter::Lane* lane, std::uint64_t seed)
    : reactor(loop),
      metrics(registry),
      shard(registry.shard(shard_index)),
      index(shard_index),
      log(lane),
      random(seed),
      resolver_(names),
      server_duration_(
          registry.histogram_family("http_server_request_duration_seconds",
                                    "Time from the first byte of a request to the end of its answer.",
                                    {"http_request_method", "http_response_status_code", "http_route"})),
      client_duration_(
          registry.histogram_family("http_client_request_duration_seconds",
                                    "Time from sending a request to an upstream to the end of its answer.",
                                    {"http_request_method", "http_response_status_code", "upstream"})) {}

Worker::~Worker() {
  if (current_ != nullptr) delete current_;
  while (!retired_.empty()) delete &retired_.pop_front();
}

void Worker::adopt(std::shared_ptr<const Plan> plan) {
  auto next = std::make_unique<WorkerPlan>();
  for (const UpstreamPlan& upstream : plan->upstreams) {
    std::vector<upstream::EndpointPool*> endpoint_pools;
    for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints) {
      const std::lock_guard lock(pools_mutex_);
      auto& pool = pools_[pool_key(endpoint)];
      if (pool == nullptr)
        pool = std::make_unique<upstream::EndpointPool>(reactor, resolver_, background_, endpoint.host,
                                                        endpoint.port, pool_options(endpoint));
      endpoint_pools.push_back(pool.get());
    }
    next->upstreams.push_back(std::make_unique<upstream::WorkerUpstream>(upstream.options, upstream.shared,
                                                                         std::move(endpoint_pools)));
  }
  if (index == 0) watch_endpoints(*plan, next->alive);
  next->redis = redis_for(*plan);
  adopt_tracing(*plan);
  records.adopt(plan->names, plan->config.explain);
  next->route_series_.resize(plan->routes.size() + 1);
  next->upstream_series_.resize(plan->upstreams.size());
  next->joined_series_.resize(plan->upstreams.size());
  next->calls = std::make_shared<SharedCalls>(*this, *next);
  next->plan = std::move(plan);
  WorkerPlan* old = std::exchange(current_, next.release());
  if (old == nullptr) return;
  if (old->uses_ == 0)
    delete old;
  else
    retired_.push_back(*old);
}

// One worker asks for all.
void Worker::watch_endpoints(const Plan& plan, const std::shared_ptr<const void>& alive) {
  for (const UpstreamPlan& upstream : plan.upstreams) {
    if (!upstream.options.health_check) continue;
    for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints)
      background_.spawn(upstream::watch_health(reactor, resolver_, background_, buffers, endpoint,
                                               *upstream.options.health_check, upstream.shared, alive,
                                               random()));
  }
}

// The tracer goes on while its settings do; one that is replaced sends what it has and ends.
void Worker::adopt_tracing(const Plan& plan) {
  const auto& tracing = plan.config.tracing;
  const bool on = tracing && tracing->otlp;
  if (on && tracer_ != nullptr && tracer_->is_for(*tracing)) return;
  if (tracer_ != nullptr) std::exchange(tracer_, nullptr)->finish(nullptr);
  if (!on) return;
  upstream::UpstreamOptions options;
  options.name = "otlp";
  upstream::EndpointOptions endpoint;
  endpoint.url = tracing->otlp_url;
  endpoint.host = tracing->otlp->host;
  endpoint.port = tracing->otlp->port;
  endpoint.tls = plan.collector_tls;
  options.endpoints.push_back(endpoint);
  upstream::EndpointPool* to = nullptr;
  {
    const std::lock_guard lock(pools_mutex_);
    auto& pool = pools_[pool_key(endpoint)];
    if (pool == nullptr)
      pool = std::make_unique<upstream::EndpointPool>(reactor, resolver_, background_, endpoint.host,
                                                      endpoint.port, pool_options(endpoint));
    to = pool.get();
  }
  auto collector = std::make_unique<upstream::WorkerUpstream>(
      std::move(options),
      std::make_shared<upstream::SharedUpstream>("otlp", resilience::CircuitBreaker::Options{}, nullptr),
      std::vector{to});
  tracer_ = std::make_shared<Tracer>(*tracing, std::move(collector), *this);
  background_.spawn(Tracer::run(tracer_));
}

void Worker::finish_tracing(std::function<void()> finished) {
  if (tracer_ == nullptr) return finished();
  tracer_->finish(std::move(finished));
}

// The current plan's client when it goes on with the same server, else a new one.
std::shared_ptr<store::RedisClient> Worker::redis_for(const Plan& plan) {
  if (!plan.redis) return nullptr;
  if (current_ != nullptr && current_->redis != nullptr && current_->plan->redis == plan.redis)
    return current_->redis;
  auto client = std::make_shared<store::RedisClient>(reactor, resolver_, *plan.redis, random());
  // One worker keeps watch for all: it brings what the process owes when Redis answers again.
  if (index == 0) background_.spawn(plan.sharing->watch(client));
  return client;
}

std::string Worker::pool_key(const upstream::EndpointOptions& endpoint) {
  std::string key = endpoint.host + ":" + std::to_string(endpoint.port);
  if (endpoint.tls != nullptr) key.append(" tls ").append(endpoint.ca);
  return key;
}

Worker::PoolCounts Worker::pool_counts(const upstream::EndpointOptions& endpoint) const {
  const std::lock_guard lock(pools_mutex_);
  const auto pool = pools_.find(pool_key(endpoint));
  if (pool == pools_.end()) return {};
  return {pool->second->open(), pool->second->idle()};
}

void Worker::leave_plan(WorkerPlan* plan) noexcept {
  if (--plan->uses_ == 0 && plan != current_) delete plan;  // leaves retired_ by itself
}

std::unique_ptr<upstream::Call> Worker::take_call() {
  if (calls_.empty()) return std::make_unique<upstream::Call>(buffers);
  std::unique_ptr<upstream::Call> call = std::move(calls_.back());
  calls_.pop_back();
  return call;
}

void Worker::return_call(std::unique_ptr<upstream::Call> call) {
  call->reset();
  if (calls_.size() < kCallsKept) calls_.push_back(std::move(call));
}

std::unique_ptr<bff::Page> Worker::take_page() {
  if (pages_.empty()) return std::make_unique<bff::Page>();
  std::unique_ptr<bff::Page> page = std::move(pages_.back());
  pages_.pop_back();
  return page;
}

void Worker::return_page(std::unique_ptr<bff::Page> page) {
  // What one large page needed is not held for ever.
  std::size_t held = page->body.capacity();
  for (const bff::Section& section : page->sections)
    held += section.response.body.capacity() + section.built.capacity();
  if (pages_.size() < kPagesKept && held <= kPageBytesKept) pages_.push_back(std::move(page));
}

WallTime Worker::wall_now() noexcept {
  // A step of the wall clock is noticed within a second; more would be paid for by every request.
  const Duration since = reactor.now() - wall_at_;
  if (since >= std::chrono::seconds{1} || wall_ == WallTime{}) {
    wall_ = reactor.wall_now();
    wall_at_ = reactor.now();
    return wall_;
  }
  return wall_ + since;
}

void Worker::refresh_second() {
  const std::int64_t second = std::chrono::floor<std::chrono::seconds>(wall_now().time_since_epoch()).count();
  if (second == second_) return;
  second_ = second;
  const std::time_t time = second;
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  std::array<char, 64> text{};
  // strftime's names follow the locale, which weir never sets: it is "C".
  date_.assign(text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc));
  iso_.assign(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.000Z", &utc));
}

std::string_view Worker::http_date() {
  refresh_second();
  return date_;
}

std::string_view Worker::time_text() {
  refresh_second();
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(wall_now().time_since_epoch()).count() % 1000;
  const std::size_t dot = iso_.size() - 5;
  iso_[dot + 1] = static_cast<char>('0' + ms / 100);
  iso_[dot + 2] = static_cast<char>('0' + ms / 10 % 10);
  iso_[dot + 3] = static_cast<char>('0' + ms % 10);
  return iso_;
}

void Worker::count_request(WorkerPlan& plan, const Route* route, http::Method method, int status,
                           Duration took) {
  const std::string_view name = route == nullptr ? std::string_view{} : std::string_view(route->options.name);
  WorkerPlan::SeriesList& list =
      route == nullptr ? plan.route_series_.back() : plan.route_series_[route->index];
  count_in(list, server_duration_, name, method, status, took);
}

void Worker::count_call(WorkerPlan& plan, std::size_t upstream, http::Method method, int status,
                        Duration took) {
  count_in(plan.upstream_series_[upstream], client_duration_, plan.plan->upstreams[upstream].options.name,
           method, status, took);
}

void Worker::count_joined(WorkerPlan& plan, std::size_t upstream) {
  std::optional<metrics::CounterId>& series = plan.joined_series_[upstream];
  if (!series) {
    const metrics::FamilyId family =
        metrics.counter_family("weir_bff_joined_calls_total",
                               "Calls of pages that were answered by another page's call.", {"upstream"});
    series = metrics.counter(family, {plan.plan->upstreams[upstream].options.name});
  }
  shard.add(*series);
}

void Worker::count_in(WorkerPlan::SeriesList& list, metrics::FamilyId family, std::string_view name,
                      http::Method method, int status, Duration took) {
  const std::uint32_t key = method_and_status(method, status);
  for (const auto& series : list) {
    if (series.method_and_status != key) continue;
    shard.observe(series.id, took);
    return;
  }
  // First of its kind on this worker: the registry finds or makes the series, under its mutex.
  const std::string status_text = std::to_string(status);
  const metrics::HistogramId id = metrics.histogram(family, {method_label(method), status_text, name});
  list.push_back({key, id});
  shard.observe(id, took);
}

}  // namespace weir::gateway
