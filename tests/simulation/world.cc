#include "tests/simulation/world.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "weir/config/load.h"
#include "weir/metrics/exposition.h"

namespace weir::simulation {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kFailuresKept = 20;
constexpr std::size_t kIdleConnections = 0;

io::Address address(std::string_view text) { return io::Address::parse(text).value(); }

const io::Address& gateway_address() {
  static const io::Address kAddress = address("10.9.9.9:8080");
  return kAddress;
}

constexpr std::string_view kSteady[] = {"10.0.0.1:80", "10.0.0.2:80"};
constexpr std::string_view kWild[] = {"10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80"};

io::SimulationOptions simulation(std::uint64_t seed) {
  io::SimulationOptions options;
  options.seed = seed * 2 + 1;
  if (seed % 3 == 0) options.batch = microseconds{300};
  return options;
}

config::Environment no_environment() {
  config::Environment environment;
  environment.variable = [](const std::string&) { return std::nullopt; };
  environment.read_file = [](const std::string& path) -> Result<std::string> {
    return Error(ErrorCode::not_found, path);
  };
  environment.glob = [](const std::string&) { return std::vector<std::string>(); };
  return environment;
}

// Sum of a family's series in a scrape, of those whose labels hold `label`.
std::uint64_t sum_of(const std::string& text, std::string_view family, std::string_view label = {}) {
  double sum = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(family) || line.find(label) == std::string::npos) continue;
    sum += std::stod(line.substr(line.rfind(' ')));
  }
  return static_cast<std::uint64_t>(sum);
}

// The text or number behind `"name":`; "" when there is none.
std::string member(const std::string& line, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":";
  const std::size_t at = line.find(key);
  if (at == std::string::npos) return {};
  std::string value = line.substr(at + key.size());
  if (!value.starts_with('"')) return value.substr(0, value.find_first_of(",}"));
  return value.substr(1, value.find('"', 1) - 1);
}

// A file of our own, empty.
std::string make_file() {
  std::string path = "/tmp/weir-simulation-XXXXXX";
  ::close(::mkstemp(path.data()));
  return path;
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      random_(options.seed),
      reactor_(simulation(options.seed)),
      registry_(2),
      observer_(*this),
      state_(base::SipKey{options.seed, 7},
             [this](const upstream::SharedUpstream& upstream, const auto& change, const auto&) {
               trace("breaker of " + upstream.name() + " goes " + std::string(to_string(change.to)));
               observer_.breaker_moved(upstream.name(), change);
             }),
      addresses_(base::SipKey{options.seed, 8}) {
  draw_weather();
}

World::~World() { ::unlink(log_path_.c_str()); }

void World::draw_weather() {
  weather_.steady_choppy = random_.chance(2, 3);
  weather_.wild_faults = random_.chance(2, 3);
  weather_.client_faults = random_.chance(1, 4);
  weather_.drain_early = random_.chance(1, 3);
  weather_.cut_off = random_.chance(1, 5);
  weather_.reloads = static_cast<int>(random_.below(3));
  weather_.workers = random_.chance(1, 2) ? 1 : 2;
}

void World::set_network() {
  io::Faults calm;
  io::Faults choppy;
  choppy.split = choppy.short_read = choppy.short_write = choppy.spurious = 150;
  choppy.latency_max = milliseconds{2};
  choppy.buffer = 20 * 1024;
  io::Faults stormy = choppy;
  stormy.refuse = stormy.black_hole = 30;
  stormy.reset = 60;
  stormy.reset_on_data = 4;
  stormy.silence = 20;
  stormy.within = milliseconds{400};
  io::Faults clients = weather_.steady_choppy ? choppy : calm;
  if (weather_.client_faults) clients.reset = 80, clients.silence = 30, clients.reset_on_data = 3;
  reactor_.set_rule(gateway_address(), clients);
  for (const std::string_view at : kSteady)
    reactor_.set_rule(address(at), weather_.steady_choppy ? choppy : calm);
  for (const std::string_view at : kWild)
    reactor_.set_rule(address(at), weather_.wild_faults ? stormy : choppy);
  io::Resolved names;
  names.addresses = {base::IpAddress::parse("10.0.0.98").value(), base::IpAddress::parse("10.0.0.1").value()};
  names.ttl = seconds{2};
  resolver_.set("orders.example", names);
}

// Another one each time: what may change in a reload is drawn.
std::string World::configuration() {
  const auto number = [this](std::uint64_t from, std::uint64_t to) {
    return std::to_string(from + random_.below(to - from + 1));
  };
  std::string text =
      "listen: 10.9.9.9:8080\n"
      "access_log: off\n"
      "limits: {header_timeout: 2s, body_timeout: 3s, idle_timeout: 8s, max_body: 300KiB}\n"
      "load_shed: {max_in_flight: " +
      number(2, 6) +
      "}\n"
      "rate_limits:\n"
      "  per_client: {key: client_ip, limit: " +
      number(1, 5) +
      ", window: 1s}\n"
      "  everyone: {key: global, limit: " +
      number(3, 10) +
      ", window: 1s}\n"
      "upstreams:\n"
      "  steady: {endpoints: [http://10.0.0.1:80, {url: http://10.0.0.2:80, weight: 2}], balance: " +
      (random_.chance(1, 2) ? "round_robin" : "least_requests") +
      "}\n"
      "  named: {endpoints: [http://orders.example:80]}\n"
      "  dead: {endpoints: [http://10.0.0.99:80], circuit_breaker: {failures: 3, open_for: 500ms}}\n"
      "  wild:\n"
      "    endpoints: [http://10.0.0.11:80, http://10.0.0.12:80, http://10.0.0.13:80]\n"
      "    timeouts: {connect: 300ms, first_byte: 600ms, idle: 900ms}\n"
      "    circuit_breaker: {failures: " +
      number(2, 6) + ", open_for: " + number(1, 9) + "00ms}\n";
  if (random_.chance(1, 2)) text += "    timeout: 2s\n";
  text +=
      "routes:\n"
      "  - {path: /steady/*, upstream: steady}\n"
      "  - {path: /limited/*, upstream: steady, rate_limit: [per_client]}\n"
      "  - {path: /streamed/*, upstream: steady, request_buffer: 0}\n"
      "  - {path: /small/*, upstream: steady, request_buffer: 1KiB, cache: {max_body: 4KiB}}\n"
      "  - {path: /old/*, upstream: steady, rewrite: /new/*}\n"
      "  - {path: /named/*, upstream: named, cache: {}}\n"
      "  - {name: wild, path: /wild/*, upstream: wild, load_shed: {max_in_flight: " +
      number(1, 3) +
      "}}\n"
      "  - {path: /both/*, upstream: wild, rate_limit: [per_client, everyone]}\n"
      "  - {path: /dead/*, upstream: dead}\n"
      "  - {path: /fixed, respond: {status: 200, body: fixed}}\n"
      "  - {path: /fixed-limited, rate_limit: [per_client, everyone], respond: {status: 200, body: fixed}}\n"
      "  - {path: /denied, deny: [0.0.0.0/0], respond: {status: 200, body: fixed}}\n"
      "  - {path: /get-only, methods: [GET, HEAD], respond: {status: 200, body: fixed}}\n";
  return text;
}

std::shared_ptr<const gateway::Plan> World::build() {
  config::LoadResult loaded = config::load_text("weir.yaml", configuration(), no_environment());
  for (const config::Diagnostic& diagnostic : loaded.diagnostics)
    if (!loaded.config) fail(config::to_text(diagnostic, loaded.files));
  Result<std::shared_ptr<const gateway::Plan>> plan =
      gateway::build_plan(std::move(loaded.config.value()), state_, registry_, observer_.stages());
  return std::move(plan.value());
}

void World::publish() {
  plan_ = build();
  plan_->publish(reactor_.now());
  observer_.published(plan_->config);
  for (const Unit& unit : units_) unit.worker->adopt(plan_);
}

void World::draw_client(ClientScript& client) {
  static constexpr Conduct kConducts[] = {Conduct::serial,       Conduct::serial,    Conduct::serial,
                                          Conduct::pipelined,    Conduct::pipelined, Conduct::dripping,
                                          Conduct::slow_reader,  Conduct::leaving,   Conduct::leaving,
                                          Conduct::half_closing, Conduct::stalling,  Conduct::malformed};
  client.conduct = kConducts[random_.below(std::size(kConducts))];
  client.start = milliseconds{random_.below(3000)};
  client.gap = random_.chance(1, 12) ? Duration{seconds{9}} : Duration{milliseconds{random_.below(200)}};
  client.address = static_cast<std::uint32_t>(1 + random_.below(6));
  client.leave_after = microseconds{random_.below(400'000)};
  client.leave_by_reset = random_.chance(1, 2);
  client.malformed = random_.below(malformed_requests().size());
  if (client.conduct == Conduct::malformed) return;
  const std::uint64_t count = 1 + random_.below(client.conduct == Conduct::stalling ? 2 : 14);
  for (std::uint64_t i = 0; i < count; ++i) {
    Ask& ask = asks_.emplace_back();
    ask.number = static_cast<int>(asks_.size());
    draw_ask(random_, weather_, static_cast<Place>(random_.below(kPlaces)), ask);
    ask.half_closes = client.conduct == Conduct::half_closing;
    if (client.conduct == Conduct::pipelined) ask.expects_continue = false;
    ask.body_stalls = client.conduct == Conduct::stalling && ask.body_bytes > 1;
    client.asks.push_back(&ask);
  }
}

void World::draw_scripts() {
  for (int i = 0; i < options_.clients; ++i) draw_client(scripts_.emplace_back());
}

void World::start() {
  set_network();
  draw_scripts();
  log_path_ = make_file();
  log_ = gateway::AccessLogWriter::open(log_path_, static_cast<std::size_t>(weather_.workers)).value();
  for (int i = 0; i < weather_.workers; ++i) {
    Unit unit;
    const auto index = static_cast<std::size_t>(i);
    unit.worker = std::make_unique<gateway::Worker>(reactor_, resolver_, registry_, index, &log_->lane(index),
                                                    options_.seed + index);
    units_.push_back(std::move(unit));
  }
  publish();
  server::CoreOptions core;
  core.addresses = &addresses_;
  io::ListenOptions listen;
  listen.reuse_port = true;
  for (Unit& unit : units_) {
    unit.core = std::make_unique<server::WorkerCore>(reactor_, *unit.worker, core);
    unit.core->add_listener(std::move(reactor_.listen(gateway_address(), listen).value()));
  }
  for (const std::string_view at : kSteady) origins_.push_back(std::make_unique<Origin>(*this, address(at)));
  for (const std::string_view at : kWild) origins_.push_back(std::make_unique<Origin>(*this, address(at)));
  for (ClientScript& script : scripts_) {
    Client& client = clients_.emplace_back(*this, script);
    ++clients_running_;
    const auto run = [](World& world, Client& one) -> async::Task<void> {
      co_await one.run();
      --world.clients_running_;
    };
    scope_.spawn(run(*this, client));
  }
  scope_.spawn(govern());
}

// Reloads, steps of the wall clock, starvation, and the end.
async::Task<void> World::govern() {
  const auto some_time = [this] { return reactor_.now() + milliseconds{100 + random_.below(2000)}; };
  for (int i = 0; i < weather_.reloads; ++i) {
    const bool slept = co_await async::sleep_until(reactor_, some_time(), nullptr);
    static_cast<void>(slept);
    static_cast<void>(build());  // one that is thrown away changes nothing
    trace("reload");
    publish();
    reactor_.step_wall(hours{1} * static_cast<std::int64_t>(random_.below(7)) - hours{3});
  }
  if (weather_.client_faults) reactor_.fail_accepts(static_cast<unsigned>(random_.below(3)));
  const TimePoint latest =
      reactor_.now() +
      (weather_.drain_early ? Duration{milliseconds{500 + random_.below(2500)}} : Duration{hours{1}});
  while (clients_running_ > 0 && reactor_.now() < latest) {
    const bool slept = co_await async::sleep_until(reactor_, reactor_.now() + milliseconds{50}, nullptr);
    static_cast<void>(slept);
  }
  drain();
  if (!weather_.cut_off) co_return;
  const bool slept =
      co_await async::sleep_until(reactor_, reactor_.now() + milliseconds{random_.below(300)}, nullptr);
  static_cast<void>(slept);
  cancel();
}

void World::drain() {
  trace("drain");
  draining_ = true;
  for (const Unit& unit : units_) unit.core->drain([this] { ++drained_; });
}

void World::cancel() {
  trace("cancel");
  cut_off_ = draining_ = true;
  for (const Unit& unit : units_) unit.core->cancel();
}

void World::run() {
  start();
  if (!reactor_.run_until_idle(hours{2})) fail("it never comes to rest");
  finish();
}

void World::finish() {
  if (drained_ != weather_.workers) fail("drained " + std::to_string(drained_) + " times");
  check_asks();
  observer_.check_empty();
  for (const Unit& unit : units_) {
    if (unit.core->connections() != 0) fail("connections are left");
    if (unit.worker->buffers.blocks_out() != 0) fail("buffers are out");
  }
  for (const auto& [name, shedder] : state_.shedders())
    if (shedder->in_flight() != 0)
      fail("permits of " + name + " are out: " + std::to_string(shedder->in_flight()));
  for (const auto& [name, upstream] : state_.upstreams())
    if (upstream->breaker().snapshot(reactor_.now()).probes_in_flight != 0)
      fail("a probe of " + name + " is out");
  if (reactor_.open_streams() != kIdleConnections)
    fail("streams are open: " + std::to_string(reactor_.open_streams()));
  if (reactor_.open_listeners() != origins_.size()) fail("listeners are open");
  for (std::uint32_t client = 1; client <= 6; ++client) {
    const base::IpAddress ip = base::IpAddress::v4(0x0a010000 + client);
    if (!addresses_.enter(ip, 1)) fail("connections of an address are still counted");
  }
  check_metrics();
  check_log();
}

void World::check_asks() {
  for (const Ask& ask : asks_) {
    const std::string who = "request " + std::to_string(ask.number) + ": ";
    if (ask.fate == Fate::waiting) fail(who + "its client still waits");
    if (ask.entered != ask.settled) fail(who + "entered but not settled");
    if (ask.permit_out) fail(who + "its place is out");
  }
}

// What metrics say is what has happened.
void World::check_metrics() {
  const std::string text = metrics::format_text(registry_.snapshot());
  const auto expect = [&](std::uint64_t got, std::uint64_t want, const std::string& what) {
    if (got != want) fail(what + ": metrics say " + std::to_string(got) + ", it was " + std::to_string(want));
  };
  const auto refused = [&](std::string_view stage) {
    return sum_of(text, "weir_decisions_total", "stage=\"" + std::string(stage) + "\",verdict=\"refuse\"");
  };
  expect(refused("ratelimit"), observer_.limited(), "limited");
  expect(refused("load_shed"), observer_.shed(), "shed");
  expect(refused("breaker"), observer_.broken(), "refused by the breaker");
  const auto entered = static_cast<std::uint64_t>(
      std::count_if(asks_.begin(), asks_.end(), [](const Ask& ask) { return ask.entered > 0; }));
  expect(sum_of(text, "weir_decisions_total", "stage=\"trace\",verdict=\"pass\""),
         entered + observer_.malformed(), "routed");
}

// One line for each exchange, which says what its client saw.
void World::check_log() {
  if (log_->dropped() != 0) fail("log lines were dropped");
  units_.clear();
  log_.reset();  // writes out what it holds
  std::map<std::string, int> lines_of;
  std::uint64_t lines = 0;
  std::ifstream file(log_path_);
  for (std::string line; std::getline(file, line); ++lines) {
    const std::string id = member(line, "id");
    if (!id.starts_with("sim-")) continue;  // malformed: weir's own id
    const Ask* ask = find(id.substr(4));
    if (ask == nullptr) return fail("a log line of nobody: " + line);
    if (++lines_of[id] > 1) fail("logged twice: " + line);
    const std::string status = member(line, "status");
    if (ask->fate == Fate::answered && status != std::to_string(ask->status))
      fail("logged with another status than " + std::to_string(ask->status) + ": " + line);
    if (ask->entered > 0 && (member(line, "reason") != ask->problem || member(line, "stage") != ask->stage))
      fail("logged with another reason than " + ask->stage + " " + ask->problem + ": " + line);
  }
  for (const Ask& ask : asks_)
    if ((ask.fate == Fate::answered || ask.entered > 0) && lines_of["sim-" + std::to_string(ask.number)] != 1)
      fail("request " + std::to_string(ask.number) + " is not in the log");
  const std::string text = metrics::format_text(registry_.snapshot());
  const std::uint64_t counted = sum_of(text, "http_server_request_duration_seconds_count");
  if (counted != lines) fail(std::to_string(lines) + " log lines, but counted " + std::to_string(counted));
}

Result<std::unique_ptr<io::Stream>> World::connect(std::uint32_t client) {
  return reactor_.connect_from(base::IpAddress::v4(0x0a010000 + client), gateway_address());
}

Ask* World::find(std::string_view number) {
  std::size_t n = 0;
  const auto end = std::from_chars(number.data(), number.data() + number.size(), n).ptr;
  const bool known = end == number.data() + number.size() && n >= 1 && n <= asks_.size();
  return known ? &asks_[n - 1] : nullptr;
}

bool World::reliable(const Ask& ask) const {
  return ask.place != Place::wild && ask.place != Place::both && ask.place != Place::dead;
}

void World::check_in_flight() {
  std::uint32_t own = 0;
  std::uint32_t process = 0;
  for (const Ask& ask : asks_)
    if (ask.at_service > 0 && ask.permit_out) ++(ask.place == Place::wild ? own : process);
  if (own > observer_.most_places("wild")) fail("too many at the service of route wild");
  if (process > observer_.most_places("process")) fail("too many at the services");
}

void World::fail(const std::string& what) {
  trace("FAILED: " + what);
  if (++failure_count_ <= kFailuresKept) failures_.push_back(what);
}

void World::trace(const std::string& what) {
  if (!options_.trace) return;
  const auto us =
      std::chrono::duration_cast<microseconds>(reactor_.now().time_since_epoch() - hours{1}).count();
  std::fprintf(stderr, "%9.3f ms  %s\n", static_cast<double>(us) / 1000, what.c_str());
}

std::string World::failures() const {
  std::string all;
  for (const std::string& failure : failures_) all += failure + "\n";
  if (failure_count_ > failures_.size())
    all += "... and " + std::to_string(failure_count_ - failures_.size()) + " more\n";
  return all;
}

std::string World::summary() const {
  std::size_t fates[7] = {};
  for (const Ask& ask : asks_) ++fates[static_cast<std::size_t>(ask.fate)];
  return std::to_string(asks_.size()) + " requests: " + std::to_string(fates[2]) + " answered, " +
         std::to_string(fates[3]) + " cut, " + std::to_string(fates[4]) + " unanswered, " +
         std::to_string(fates[5]) + " left, " + std::to_string(fates[6]) + " lost, " +
         std::to_string(fates[1]) + " unsent; " + std::to_string(observer_.limited()) + " limited, " +
         std::to_string(observer_.shed()) + " shed, " + std::to_string(observer_.broken()) +
         " by the breaker, " + std::to_string(observer_.openings()) + " openings";
}

}  // namespace weir::simulation
