#include "weir/server/server.h"

#include <algorithm>
#include <array>
#include <future>
#include <utility>

#include "weir/base/random.h"
#include "weir/config/schema.h"
#include "weir/io/cares_resolver.h"
#include "weir/io/epoll_reactor.h"
#include "weir/metrics/exposition.h"
#include "weir/server/admin.h"
#include "weir/server/cgroup.h"
#include "weir/server/upstream_writes.h"

namespace weir::server {
namespace {

constexpr Duration kAdoptWithin = std::chrono::seconds{1};

// For a whole key set from a provider.
constexpr Duration kKeyPatience = std::chrono::seconds{5};

void append_json_field(std::string& out, std::string_view name, std::string_view text) {
  out.append("\"").append(name).append("\":\"");
  base::append_json_escaped(out, text);
  out.push_back('"');
}

void append_json_number(std::string& out, std::string_view name, std::uint64_t number) {
  out.append(",\"").append(name).append("\":").append(std::to_string(number));
}

std::string join(const std::vector<std::string>& items) {
  std::string all;
  for (const std::string& item : items) all.append(all.empty() ? "" : ", ").append(item);
  return all;
}

std::string report_of(const config::LoadResult& result) {
  std::string report;
  for (const config::Diagnostic& diagnostic : result.diagnostics)
    report.append(report.empty() ? "" : "\n").append(config::to_text(diagnostic, result.files));
  return report;
}

}  // namespace

// One thread: a reactor and what runs on it. A worker has one unit; the admin has one for each of its
// addresses.
struct Server::Thread {
  struct Unit {
    std::unique_ptr<gateway::Worker> worker;
    std::unique_ptr<WorkerCore> core;
  };
  std::unique_ptr<io::EpollReactor> reactor;
  std::unique_ptr<io::CaresResolver> resolver;
  std::vector<Unit> units;
  std::thread thread;

  Unit& add_unit(metrics::Registry& registry, std::size_t shard, gateway::AccessLogWriter::Lane* lane,
                 const CoreOptions& options, std::shared_ptr<const gateway::Plan> plan) {
    Unit unit;
    unit.worker =
        std::make_unique<gateway::Worker>(*reactor, *resolver, registry, shard, lane, base::random_seed());
    unit.worker->adopt(std::move(plan));
    unit.core = std::make_unique<WorkerCore>(*reactor, *unit.worker, options);
    return units.emplace_back(std::move(unit));
  }
};

Server::Server(ServerOptions options, Log& log)
    : options_(std::move(options)),
      log_(log),
      seed_{base::random_seed(), base::random_seed()},
      state_(seed_, [this](const auto& upstream, const auto& change,
                           const auto& failed) { on_transition(upstream, change, failed); }),
      addresses_(seed_),
      watchdog_({}, [this](const std::string& line) { log_.warn(line); }) {
  state_.limit_overrides()->set_log([this](const std::string& line) { log_.info(line); });
}

Server::~Server() {
  experiment_watch_.reset();
  watchdog_.stop();
  // Every thread first, then what they run on: a scrape on the admin's thread looks into the workers.
  const auto stop = [](const std::unique_ptr<Thread>& thread) {
    if (thread == nullptr || !thread->thread.joinable()) return;
    thread->reactor->stop();
    thread->thread.join();
  };
  stop(admin_);
  for (const auto& worker : workers_) stop(worker);
  state_.stop_records();
  state_.auth.stop();  // its thread wakes workers through their reactors, which are still there
  collectors_.clear();
  admin_.reset();
  workers_.clear();
}

Result<void> Server::start(config::Config config) {
  const std::size_t worker_count = config.workers.value_or(usable_cores());
  registry_ = std::make_unique<metrics::Registry>(worker_count + 1);
  log_.set_level(config.log_level);
  if (config.access_log.to != "off") {
    Result<std::unique_ptr<gateway::AccessLogWriter>> opened =
        gateway::AccessLogWriter::open(config.access_log.to, worker_count);
    if (!opened) return Error(opened.error().code, "access_log: " + opened.error().detail);
    access_log_ = std::move(*opened);
  }
  state_.auth.set_outside(
      clock_, [](const std::string& url) { return gateway::http_get(url, kKeyPatience); },
      [this](const std::string& line) { log_.info(line); });
  Result<std::shared_ptr<const gateway::Plan>> plan =
      gateway::build_plan(std::move(config), state_, *registry_, options_.plan);
  if (!plan) return plan.error();
  (*plan)->publish(clock_.now());
  plan_ = *plan;

  for (std::size_t i = 0; i < worker_count; ++i) {
    Result<std::unique_ptr<Thread>> made = make_thread(i, false);
    if (!made) return made.error();
    workers_.push_back(std::move(*made));
  }
  if (plan_->config.admin || plan_->config.health) {
    Result<std::unique_ptr<Thread>> made = make_thread(worker_count, true);
    if (!made) return made.error();
    admin_ = std::move(*made);
  }
  if (Result<void> bound = bind(plan_->config); !bound) return bound.error();
  declare_metrics();
  threads_running_ = workers_.size();
  for (const auto& worker : workers_)
    worker->thread = std::thread([this, thread = worker.get()] {
      thread->reactor->run();
      thread_drained();
    });
  if (admin_ != nullptr) admin_->thread = std::thread([thread = admin_.get()] { thread->reactor->run(); });
  for (std::size_t i = 0; i < workers_.size(); ++i)
    watchdog_.watch("worker " + std::to_string(i), *workers_[i]->reactor,
                    workers_[i]->thread.native_handle());
  watchdog_.start();
  watch_experiments();
  log_.info("serving on " + join([this] {
              std::vector<std::string> all;
              for (const io::Address& address : listening_) all.push_back(address.to_text());
              return all;
            }()) +
            " with " + std::to_string(worker_count) + (worker_count == 1 ? " worker" : " workers"));
  return {};
}

Result<std::unique_ptr<Server::Thread>> Server::make_thread(std::size_t index, bool admin) {
  auto thread = std::make_unique<Thread>();
  Result<std::unique_ptr<io::EpollReactor>> reactor = io::EpollReactor::create();
  if (!reactor) return reactor.error();
  thread->reactor = std::move(*reactor);
  thread->resolver = std::make_unique<io::CaresResolver>(*thread->reactor);
  CoreOptions options;
  if (!admin) {
    options.addresses = &addresses_;
    gateway::AccessLogWriter::Lane* lane = access_log_ == nullptr ? nullptr : &access_log_->lane(index);
    thread->add_unit(*registry_, index, lane, options, plan_);
    return thread;
  }
  options.observed = false;
  if (plan_->config.admin)
    thread->add_unit(*registry_, index, nullptr, options,
                     make_admin_plan(*this, plan_->config.admin->token, true));
  if (plan_->config.health)
    thread->add_unit(*registry_, index, nullptr, options, make_admin_plan(*this, {}, false));
  return thread;
}

namespace {

// The configuration knows an address as text; "" is every IPv4 address.
Result<io::Address> to_address(const config::HostPort& at) {
  io::Address address;
  address.port = at.port;
  if (at.host.empty()) return address;
  Result<base::IpAddress> ip = base::IpAddress::parse(at.host);
  if (!ip) return Error(ErrorCode::invalid_argument, "listen on an IP address, not on a name: " + at.host);
  address.ip = *ip;
  return address;
}

Error with_address(const Error& error, const io::Address& address) {
  Error named = error;
  named.detail = "cannot listen on " + address.to_text() + ": " +
                 (error.code == ErrorCode::address_in_use      ? "the address is in use"
                  : error.code == ErrorCode::permission_denied ? "no permission for this port"
                                                               : error.detail);
  return named;
}

}  // namespace

Result<void> Server::bind(const config::Config& config) {
  for (const config::Listen& listen : config.listen) {
    Result<io::Address> address = to_address(listen.address);
    if (!address) return address.error();
    io::ListenOptions options;
    options.reuse_port = workers_.size() > 1;
    // SO_REUSEPORT would let two gateways share the port in silence: see first whether it is free for one.
    if (options.reuse_port && address->port != 0) {
      Result<std::unique_ptr<io::Listener>> probe =
          workers_.front()->reactor->listen(*address, io::ListenOptions{});
      if (!probe) return with_address(probe.error(), *address);
    }
    for (const auto& worker : workers_) {
      Result<std::unique_ptr<io::Listener>> listener = worker->reactor->listen(*address, options);
      if (!listener) return with_address(listener.error(), *address);
      address->port = (*listener)->local().port;  // port 0: the others take what the first was given
      worker->units.front().core->add_listener(std::move(*listener));
    }
    listening_.push_back(*address);
  }
  std::size_t unit = 0;
  for (const std::optional<config::HostPort>& at :
       {config.admin ? std::optional(config.admin->address) : std::nullopt, config.health}) {
    if (!at) continue;
    Result<io::Address> address = to_address(*at);
    if (!address) return address.error();
    Result<std::unique_ptr<io::Listener>> listener = admin_->reactor->listen(*address, io::ListenOptions{});
    if (!listener) return with_address(listener.error(), *address);
    listening_.push_back((*listener)->local());
    admin_->units[unit++].core->add_listener(std::move(*listener));
  }
  return {};
}

std::shared_ptr<const gateway::Plan> Server::plan() const {
  const std::lock_guard lock(mutex_);
  return plan_;
}

void Server::publish(std::shared_ptr<const gateway::Plan> plan) {
  plan->publish(clock_.now());
  {
    const std::lock_guard lock(mutex_);
    plan_ = plan;
  }
  // Whoever is told that a reload is done finds the new plan on every worker. One that is stuck is not waited for long: it
  // takes the plan when it goes on.
  struct Adopted {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t count = 0;
  };
  const auto adopted = std::make_shared<Adopted>();
  for (const auto& worker : workers_)
    worker->reactor->post([unit = &worker->units.front(), plan, adopted] {
      unit->worker->adopt(plan);
      const std::lock_guard lock(adopted->mutex);
      ++adopted->count;
      adopted->changed.notify_one();
    });
  {
    std::unique_lock lock(adopted->mutex);
    adopted->changed.wait_for(lock, kAdoptWithin, [&] { return adopted->count == workers_.size(); });
  }
  watch_experiments();
}

// The plan brought the file as it was when it was read; from then on its own changes are followed.
void Server::watch_experiments() {
  const std::shared_ptr<const gateway::Plan> now = plan();
  if (!now->config.experiments) {
    experiment_watch_.reset();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    experiments_read_ = now->config.experiments->fingerprint;
  }
  const std::string& file = now->config.experiments->file;
  if (experiment_watch_ != nullptr && experiment_watch_->path() == file)
    return experiment_watch_->look_again();
  experiment_watch_ = std::make_unique<FileWatch>(file, [this, file] { reload_experiments(file); });
}

void Server::reload_experiments(const std::string& file) {
  const config::ExperimentsResult loaded = config::load_experiments(file, config::system_environment());
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(experiments_read_, loaded.fingerprint) == loaded.fingerprint) return;
  }
  std::string report;
  for (const config::Diagnostic& diagnostic : loaded.diagnostics)
    report.append("\n").append(config::to_text(diagnostic, loaded.files));
  if (loaded.snapshot != nullptr) {
    state_.experiments()->use(loaded.snapshot);
    log_.info("reloaded " + file + report);
  } else {
    log_.error("experiments refused, the old ones go on" + report);
  }
  const std::lock_guard lock(mutex_);
  ++(loaded.snapshot != nullptr ? experiment_reloads_ok_ : experiment_reloads_failed_);
}

Server::Reload Server::reload() {
  const std::lock_guard one_at_a_time(reload_mutex_);
  Reload result;
  if (options_.config_file.empty()) {
    result.report = "there is no configuration file to reload";
  } else if (draining()) {
    result.report = "the gateway is draining";
  } else {
    config::LoadResult loaded = config::load_file(options_.config_file, config::system_environment());
    result.report = report_of(loaded);
    if (loaded.config) {
      const config::Config& now = plan()->config;
      if (loaded.config->workers != now.workers || loaded.config->access_log.to != now.access_log.to ||
          loaded.config->listen.size() != now.listen.size() ||
          !std::equal(
              now.listen.begin(), now.listen.end(), loaded.config->listen.begin(),
              [](const auto& a, const auto& b) { return a.address.to_text() == b.address.to_text(); }))
        result.report.append(result.report.empty() ? "" : "\n")
            .append("listen, workers and access_log take effect with the next start");
      log_.set_level(loaded.config->log_level);
      Result<std::shared_ptr<const gateway::Plan>> built =
          gateway::build_plan(std::move(*loaded.config), state_, *registry_, options_.plan);
      result.ok = built.has_value();
      if (built)
        publish(std::move(*built));
      else
        result.report = built.error().detail;
    }
  }
  {
    const std::lock_guard lock(mutex_);
    ++(result.ok ? reloads_ok_ : reloads_failed_);
  }
  if (result.ok)
    log_.info("reloaded " + options_.config_file + (result.report.empty() ? "" : "\n" + result.report));
  else
    log_.error("reload refused, the old configuration goes on serving\n" + result.report);
  return result;
}

void Server::reopen_logs() {
  if (access_log_ == nullptr) return;
  if (const Result<void> opened = access_log_->reopen(); !opened)
    log_.error("access log: " + opened.error().to_text() + "; the old file stays in use");
}

void Server::drain() {
  if (draining_.exchange(true)) {
    log_.warn("asked again: cutting off what still runs");
    for (const auto& worker : workers_)
      worker->reactor->post([thread = worker.get()] {
        Thread::Unit& unit = thread->units.front();
        if (unit.core->connections() == 0) return thread->reactor->stop();  // it only waits for a collector
        unit.core->cancel();
      });
    return;
  }
  log_.info("draining");
  for (const auto& worker : workers_)
    worker->reactor->post([thread = worker.get()] {
      Thread::Unit& unit = thread->units.front();
      unit.core->drain(
          [thread, &unit] { unit.worker->finish_tracing([thread] { thread->reactor->stop(); }); });
    });
}

void Server::thread_drained() {
  const std::lock_guard lock(mutex_);
  --threads_running_;
  ended_.notify_all();
}

void Server::wait() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return draining() || threads_running_ == 0; });
  if (!ended_.wait_for(lock, options_.drain_for, [this] { return threads_running_ == 0; })) {
    lock.unlock();
    log_.warn("drain time is over: cutting off what still runs");
    for (const auto& worker : workers_)
      worker->reactor->post([unit = &worker->units.front()] { unit->core->cancel(); });
    lock.lock();
    ended_.wait(lock, [this] { return threads_running_ == 0; });
  }
  log_.info("stopped");
  all_ended_.store(true);
}

void Server::post_to_workers(const std::function<void(gateway::Worker&)>& what) {
  for (const auto& worker : workers_)
    worker->reactor->post([unit = &worker->units.front(), what] { what(*unit->worker); });
}

std::string Server::not_ready() const {
  if (draining()) return "draining";
  for (const auto& worker : workers_)
    if (worker->units.front().core->starved()) return "out of descriptors or memory: new connections wait";
  return {};
}

void Server::on_transition(const upstream::SharedUpstream& upstream,
                           const resilience::CircuitBreaker::Transition& change,
                           const std::vector<std::string>& failed) {
  const std::string from(to_string(change.from));
  const std::string to(to_string(change.to));
  const std::string reason(to_string(change.reason));
  {
    const std::lock_guard lock(mutex_);
    ++transitions_[{upstream.name(), from, to, reason}];
  }
  std::string line =
      "circuit breaker of upstream " + upstream.name() + ": " + from + " -> " + to + " (" + reason + ")";
  if (!failed.empty()) line.append(", failed requests: ").append(join(failed));
  log_.write(change.to == resilience::CircuitBreaker::State::open ? Log::Level::warn : Log::Level::info,
             line);
}

void Server::read_connections(metrics::Sink& sink) const {
  const std::shared_ptr<const gateway::Plan> now = plan();
  for (const gateway::UpstreamPlan& upstream : now->upstreams) {
    double idle = 0;
    double open = 0;
    for (const auto& worker : workers_)
      for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints) {
        const gateway::Worker::PoolCounts counts = worker->units.front().worker->pool_counts(endpoint);
        idle += static_cast<double>(counts.idle);
        open += static_cast<double>(counts.open);
      }
    sink.add({upstream.options.name, "idle"}, idle);
    sink.add({upstream.options.name, "active"}, open - idle);
  }
}

Server::Answered Server::log_write(WriteAnswer answer, std::string_view who) {
  if (!answer.done.empty()) log_.info("admin (" + std::string(who) + "): " + answer.done);
  return {answer.status, std::move(answer.body)};
}

Server::Answered Server::set_breaker(std::string_view upstream, std::string_view json, std::string_view who) {
  return log_write(write_breaker(*plan(), upstream, json, clock_.now()), who);
}

Server::Answered Server::set_endpoint(std::string_view upstream, std::string_view endpoint,
                                      std::string_view json, std::string_view who) {
  return log_write(write_endpoint(*plan(), upstream, endpoint, json), who);
}

Server::Answered Server::revoke(std::string_view json) {
  const auto refused = [](std::string_view why) {
    std::string body = R"({"refused":")";
    base::append_json_escaped(body, why);
    return Answered{400, body.append("\"}\n")};
  };
  const std::int64_t now_s =
      std::chrono::duration_cast<std::chrono::seconds>(clock_.wall_now().time_since_epoch()).count();
  const Result<passport::Json> parsed = passport::Json::parse(json);
  if (!parsed) return refused("the body is no JSON");
  const Result<passport::Revocation> revocation = passport::Revocation::from_json(*parsed, now_s);
  if (!revocation) return refused(revocation.error().detail);
  const Result<void> done = state_.auth.revoke(*revocation, now_s);
  if (!done && done.error().code == ErrorCode::too_large) return refused(done.error().detail);
  if (!done) log_.error("revocations: " + done.error().to_text() + "; it counts until the next start");
  return {200, R"({"revoked":)" + revocation->to_json().to_text() + ",\"kept\":" + (done ? "true" : "false") +
                   "}\n"};
}

namespace {

std::string hex_of(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

constexpr std::size_t kUnknownListed = 1000;

}  // namespace

Server::Answered Server::unknown_outcomes() {
  const auto records = state_.current_records();
  passport::Json::Array list;
  if (records != nullptr) {
    const std::int64_t now_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall_now().time_since_epoch()).count();
    const auto unknown = records->unknown(now_ms, kUnknownListed);
    if (!unknown)
      return {503, R"({"refused":"the store does not answer"})"
                   "\n"};
    for (const store::UnknownOutcome& each : *unknown) {
      passport::Json item;
      item.set("id", passport::Json(hex_of(std::string_view(each.id.data(), each.id.size()))));
      item.set("request", passport::Json(each.label));
      item.set("started_ms", passport::Json(each.created_ms));
      list.push_back(std::move(item));
    }
  }
  passport::Json json;
  json.set("unknown", passport::Json(std::move(list)));
  return {200, json.to_text() + "\n"};
}

Server::Answered Server::resolve_outcome(std::string_view id, std::string_view json) {
  const auto refused = [](int status, std::string_view why) {
    passport::Json body;
    body.set("refused", passport::Json(why));
    return Answered{status, body.to_text() + "\n"};
  };
  store::Operation resolve;
  resolve.kind = store::Operation::Kind::resolve;
  const auto digit = [](char c) {
    return base::is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (id.size() != 2 * resolve.ticket.id.size()) return refused(404, "no such key");
  for (std::size_t i = 0; i < resolve.ticket.id.size(); ++i) {
    if (digit(id[2 * i]) < 0 || digit(id[2 * i + 1]) < 0) return refused(404, "no such key");
    resolve.ticket.id[i] = static_cast<char>(digit(id[2 * i]) * 16 + digit(id[2 * i + 1]));
  }
  passport::Json::Limits limits;
  limits.bytes = 64 * 1024;
  const Result<passport::Json> parsed = passport::Json::parse(json, limits);
  const passport::Json* outcome = parsed ? parsed->find("outcome") : nullptr;
  if (outcome == nullptr || (outcome->text() != "executed" && outcome->text() != "not_executed"))
    return refused(400, "write {\"outcome\": \"not_executed\"}, or \"executed\" with status and body");
  if (outcome->text() == "executed") {
    const passport::Json* status = parsed->find("status");
    const passport::Json* body = parsed->find("body");
    passport::StoredAnswer answer;
    answer.status = status == nullptr ? 200 : static_cast<int>(status->integer().value_or(0));
    if (answer.status < 200 || answer.status > 599) return refused(400, "status is 200 to 599");
    if (body != nullptr) answer.body = body->is_string() ? std::string(body->text()) : body->to_text();
    if (body != nullptr)
      answer.fields.emplace_back("Content-Type", body->is_string() ? "text/plain" : "application/json");
    resolve.answer = std::move(answer);
  }
  const auto records = state_.current_records();
  if (records == nullptr) return refused(404, "no such key");
  resolve.times.now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall_now().time_since_epoch()).count();
  resolve.times.ttl_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(plan()->config.idempotency.ttl).count();
  // The admin's thread waits for one commit: a write by a person's hand.
  std::promise<store::Outcome> done;
  std::future<store::Outcome> told = done.get_future();
  resolve.done = [&done](store::Outcome each) { done.set_value(std::move(each)); };
  records->submit(std::move(resolve));
  const store::Outcome result = told.get();
  if (result.failed) return refused(503, "the store does not answer");
  if (!result.changed) return refused(409, "the outcome of this key is not unknown");
  return {200, "{\"resolved\":true}\n"};
}

void Server::declare_auth_metrics() {
  using metrics::Sink;
  metrics::Registry& registry = *registry_;
  const auto gauge = [&](metrics::FamilyId family, auto read) {
    collectors_.push_back(registry.collect(family, std::function<double()>([this, read] {
                                             const auto plan = state_.auth.current();
                                             return plan == nullptr
                                                        ? 0.0
                                                        : static_cast<double>(read(plan->tokens->stats()));
                                           })));
  };
  using Stats = passport::Authenticator::Stats;
  gauge(registry.counter_family("weir_auth_cache_hits_total", "Tokens found verified already."),
        [](const Stats& stats) { return stats.hits; });
  gauge(registry.counter_family("weir_auth_cache_misses_total", "Tokens that were not known."),
        [](const Stats& stats) { return stats.misses; });
  gauge(registry.gauge_family("weir_auth_cache_bytes", "What verified tokens take in memory."),
        [](const Stats& stats) { return stats.bytes; });
  collectors_.push_back(registry.collect(
      registry.gauge_family("weir_proxy_states", "About how many values X-Proxy-State had in five minutes."),
      std::function<double()>([this] {
        const auto plan = state_.auth.current();
        return plan == nullptr ? 0.0 : plan->tokens->proxy_states().estimate();
      })));
  collectors_.push_back(registry.collect(
      registry.counter_family("weir_key_fetches_total", "Key sets asked for.", {"provider", "result"}),
      std::function<void(Sink&)>([this](Sink& sink) {
        for (const gateway::KeyFetcher::Status& status : state_.auth.key_statuses()) {
          sink.add({status.provider, "ok"}, static_cast<double>(status.fetches - status.failures));
          sink.add({status.provider, "failed"}, static_cast<double>(status.failures));
        }
      })));
}

void Server::declare_cache_metrics() {
  metrics::Registry& registry = *registry_;
  const auto collect = [&](metrics::FamilyId family, auto read) {
    collectors_.push_back(registry.collect(family, std::function<double()>([this, read] {
                                             const auto cache = state_.current_response_cache();
                                             return cache == nullptr ? 0.0
                                                                     : static_cast<double>(read(*cache));
                                           })));
  };
  using Cache = gateway::ResponseCache;
  collect(registry.gauge_family("weir_cache_bytes", "What kept answers take in memory."),
          [](const Cache& cache) { return cache.counts().bytes; });
  collect(registry.gauge_family("weir_cache_entries", "Answers that are kept, notes about them included."),
          [](const Cache& cache) { return cache.counts().entries; });
  collect(registry.counter_family("weir_cache_evictions_total", "Answers that made room for others."),
          [](const Cache& cache) { return cache.counts().evicted; });
  collect(
      registry.counter_family("weir_cache_invalidations_total", "Unsafe requests that ended what was kept."),
      [](const Cache& cache) { return cache.invalidations(); });
}

void Server::declare_metrics() {
  declare_auth_metrics();
  declare_cache_metrics();
  using metrics::Sink;
  const auto collect = [this](metrics::FamilyId family, auto read) {
    collectors_.push_back(registry_->collect(family, std::move(read)));
  };
  metrics::Registry& registry = *registry_;
  collect(
      registry.gauge_family("weir_in_flight", "Requests that hold a place of the process's load shedder."),
      std::function<double()>([this] {
        for (const auto& [name, shedder] : state_.shedders())
          if (name == "process") return static_cast<double>(shedder->in_flight());
        return 0.0;
      }));
  collect(registry.gauge_family("weir_circuit_breaker_state", "0 closed, 1 open, 2 half-open.", {"upstream"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            using State = resilience::CircuitBreaker::State;
            for (const auto& [name, upstream] : state_.upstreams()) {
              const State state = upstream->breaker().state();
              const bool open = state == State::open || state == State::forced_open;
              sink.add({name}, state == State::half_open ? 2 : open ? 1 : 0);
            }
          }));
  collect(registry.gauge_family("weir_upstream_endpoint_ejected",
                                "1 while its failures keep an endpoint out.", {"upstream", "endpoint"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            const std::shared_ptr<const gateway::Plan> now = plan();
            for (const gateway::UpstreamPlan& upstream : now->upstreams)
              for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints)
                if (upstream.options.ejection)
                  sink.add({upstream.options.name, endpoint.url},
                           upstream.shared->endpoint(endpoint.url).ejected_until.load() != 0 ? 1 : 0);
          }));
  collect(registry.counter_family("weir_upstream_ejections_total", "Times that an endpoint was taken out.",
                                  {"upstream", "endpoint"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            const std::shared_ptr<const gateway::Plan> now = plan();
            for (const gateway::UpstreamPlan& upstream : now->upstreams)
              for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints)
                if (upstream.options.ejection)
                  sink.add({upstream.options.name, endpoint.url},
                           static_cast<double>(upstream.shared->endpoint(endpoint.url).ejections.load()));
          }));
  collect(registry.counter_family("weir_hedges_total", "Second calls, and what became of them.",
                                  {"upstream", "result"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            const std::shared_ptr<const gateway::Plan> now = plan();
            for (const gateway::UpstreamPlan& upstream : now->upstreams)
              for (std::size_t end = 0; upstream.options.hedge && end < upstream::kHedgeEnds; ++end) {
                const auto which = static_cast<upstream::HedgeEnd>(end);
                sink.add({upstream.options.name, to_string(which)},
                         static_cast<double>(upstream.shared->counted(which)));
              }
          }));
  collect(
      registry.counter_family("weir_circuit_breaker_transitions_total",
                              "Changes of state of circuit breakers.", {"upstream", "from", "to", "reason"}),
      std::function<void(Sink&)>([this](Sink& sink) {
        const std::shared_ptr<const gateway::Plan> now = plan();
        const std::lock_guard lock(mutex_);
        // A series that appears with its first change hides that change from rate(): the usual ones begin at 0.
        for (const gateway::UpstreamPlan& upstream : now->upstreams) {
          if (!upstream.options.breaker) continue;
          const std::string& name = upstream.options.name;
          transitions_.try_emplace({name, "closed", "open", "consecutive_failures"}, 0);
          if (upstream.options.breaker->failure_ratio > 0)
            transitions_.try_emplace({name, "closed", "open", "failure_ratio"}, 0);
          if (upstream.options.breaker->slow_ratio > 0)
            transitions_.try_emplace({name, "closed", "open", "slow_ratio"}, 0);
          transitions_.try_emplace({name, "open", "half_open", "open_time_over"}, 0);
          transitions_.try_emplace({name, "half_open", "closed", "probes_succeeded"}, 0);
          transitions_.try_emplace({name, "half_open", "open", "probe_failed"}, 0);
        }
        for (const auto& [labels, count] : transitions_) {
          const auto& [upstream, from, to, reason] = labels;
          sink.add({upstream, from, to, reason}, static_cast<double>(count));
        }
      }));
  collect(registry.counter_family(
              "weir_shared_limit_failures_total",
              "Times that Redis could not be asked and each limit's on_backend_error took over.", {}),
          std::function<void(Sink&)>(
              [this](Sink& sink) { sink.add({}, static_cast<double>(state_.sharing()->failures())); }));
  collect(
      registry.gauge_family("weir_shared_limits_together",
                            "1 while limits in Redis are decided there, 0 while this process decides alone.",
                            {}),
      std::function<void(Sink&)>([this](Sink& sink) { sink.add({}, state_.sharing()->together() ? 1 : 0); }));
  collect(
      registry.gauge_family("weir_upstream_connections", "Connections to upstreams.", {"upstream", "state"}),
      std::function<void(Sink&)>([this](Sink& sink) { read_connections(sink); }));
  collect(
      registry.gauge_family("weir_upstream_endpoints",
                            "Endpoints by what is known of them: usable, failing their checks, or drained.",
                            {"upstream", "state"}),
      std::function<void(Sink&)>([this](Sink& sink) {
        const std::shared_ptr<const gateway::Plan> now = plan();
        for (const gateway::UpstreamPlan& upstream : now->upstreams) {
          std::array<double, 3> counts{};
          for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints) {
            const upstream::EndpointState& state = upstream.shared->endpoint(endpoint.url);
            const bool drained = state.drained.load(std::memory_order_relaxed);
            ++counts[drained ? 2 : state.failing.load(std::memory_order_relaxed) ? 1 : 0];
          }
          sink.add({upstream.options.name, "usable"}, counts[0]);
          sink.add({upstream.options.name, "failing"}, counts[1]);
          sink.add({upstream.options.name, "drained"}, counts[2]);
        }
      }));
  collect(registry.counter_family("weir_config_reloads_total", "Reloads of the configuration.", {"result"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            const std::lock_guard lock(mutex_);
            sink.add({"ok"}, static_cast<double>(reloads_ok_));
            sink.add({"failed"}, static_cast<double>(reloads_failed_));
          }));
  collect(registry.counter_family("weir_experiment_reloads_total", "Changes of the file of experiments.",
                                  {"result"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            const std::lock_guard lock(mutex_);
            sink.add({"ok"}, static_cast<double>(experiment_reloads_ok_));
            sink.add({"failed"}, static_cast<double>(experiment_reloads_failed_));
          }));
  collect(registry.counter_family("weir_experiment_exposures_total",
                                  "Units that met a variant for the first time.", {"experiment", "variant"}),
          std::function<void(Sink&)>([this](Sink& sink) {
            for (const auto& count : state_.experiments()->recorder().counts())
              sink.add({count.experiment, count.variant}, static_cast<double>(count.units));
          }));
  collect(
      registry.counter_family("weir_experiment_exposures_dropped_total",
                              "Lines of exposures that were dropped."),
      std::function<double()>([this] { return static_cast<double>(state_.experiments()->log().dropped()); }));
  collect(registry.counter_family("weir_log_dropped_total", "Access log lines that were dropped."),
          std::function<double()>(
              [this] { return access_log_ == nullptr ? 0.0 : static_cast<double>(access_log_->dropped()); }));
  declare_worker_metrics();
}

void Server::declare_worker_metrics() {
  metrics::Registry& registry = *registry_;
  const auto collect = [this](metrics::FamilyId family, std::function<double()> read) {
    collectors_.push_back(registry_->collect(family, std::move(read)));
  };
  collect(registry.counter_family("weir_connections_refused_total",
                                  "Connections closed unanswered: their address had too many."),
          [this] {
            double refused = 0;
            for (const auto& worker : workers_)
              refused += static_cast<double>(worker->units.front().core->refused_connections());
            return refused;
          });
  collect(registry.gauge_family("weir_workers_stuck",
                                "Workers whose loop has not turned for more than a second."),
          [this] { return static_cast<double>(watchdog_.stuck()); });
  collect(registry.counter_family("weir_worker_stalls_total", "Times that a worker was stuck so."),
          [this] { return static_cast<double>(watchdog_.stalls()); });
}

std::string Server::metrics_text() { return metrics::format_text(registry_->snapshot()); }

std::string Server::config_json() const { return config::to_json(plan()->config); }

std::string Server::upstreams_json() const {
  const std::shared_ptr<const gateway::Plan> now = plan();
  std::string out = "{\"upstreams\":[";
  for (const gateway::UpstreamPlan& upstream : now->upstreams) {
    const resilience::CircuitBreaker::Snapshot snapshot = upstream.shared->breaker().snapshot(clock_.now());
    out.append(out.back() == '[' ? "{" : ",{");
    append_json_field(out, "name", upstream.options.name);
    out.append(",\"circuit_breaker\":{");
    append_json_field(out, "state", upstream.options.breaker ? to_string(snapshot.state) : "off");
    append_json_number(out, "consecutive_failures", snapshot.consecutive_failures);
    append_json_number(out, "probes_in_flight", snapshot.probes_in_flight);
    append_json_number(out, "late_results", snapshot.late_results);
    const Duration wait = upstream.shared->breaker().retry_after(clock_.now());
    append_json_number(
        out, "retry_after_ms",
        static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(wait).count()));
    out.append("},\"endpoints\":[");
    for (const upstream::EndpointOptions& endpoint : upstream.options.endpoints) {
      std::uint64_t open = 0;
      std::uint64_t idle = 0;
      for (const auto& worker : workers_) {
        const gateway::Worker::PoolCounts counts = worker->units.front().worker->pool_counts(endpoint);
        open += counts.open;
        idle += counts.idle;
      }
      out.append(out.back() == '[' ? "{" : ",{");
      append_json_field(out, "url", endpoint.url);
      append_json_number(out, "weight", endpoint.weight);
      const upstream::EndpointState& state = upstream.shared->endpoint(endpoint.url);
      const bool drained = state.drained.load(std::memory_order_relaxed);
      const bool failing = state.failing.load(std::memory_order_relaxed);
      out.append(",\"drained\":").append(drained ? "true" : "false");
      out.append(",\"failing\":").append(failing ? "true" : "false");
      append_json_number(out, "connections", open);
      append_json_number(out, "idle", idle);
      out.push_back('}');
    }
    out.append("]}");
  }
  return out.append("]}\n");
}

}  // namespace weir::server
