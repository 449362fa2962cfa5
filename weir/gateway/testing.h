// For tests of this part: a worker on a simulated network with a plan made from a configuration's text, and
// a client's side that does what the test says and remembers what it was given.
//
//   Desk desk("upstreams: {a: {endpoints: [http://10.0.0.1:80]}}\nroutes: [{path: /*, upstream: a}]");
//   desk.receive("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
//   desk.run();                                  // through the whole chain
//   EXPECT_EQ(desk.client.status, 200);
#ifndef WEIR_GATEWAY_TESTING_H_
#define WEIR_GATEWAY_TESTING_H_

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/async/scope.h"
#include "weir/config/load.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/pipeline.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/stages/sanitize.h"
#include "weir/gateway/stages/trace.h"
#include "weir/gateway/worker.h"
#include "weir/http/uri.h"
#include "weir/io/simulated_reactor.h"

namespace weir::gateway::testing {

class FakeDownstream final : public Downstream {
 public:
  std::string_view body_bytes() const noexcept override { return waiting; }
  void consume_body(std::size_t n) noexcept override { waiting.erase(0, n); }
  BodyState read_body(bool* moved) override {
    *moved = false;
    ++reads;
    if (coming.empty()) return state;
    waiting += coming.front();
    received += coming.front().size();
    coming.pop_front();
    *moved = true;
    if (coming.empty()) state = end_state;
    return state;
  }
  BodyState body_state() const noexcept override { return state; }
  const http::Fault& body_fault() const noexcept override { return fault; }
  std::uint64_t body_received() const noexcept override { return received; }

  void send_interim(int interim_status, const http::Fields&) override { interim.push_back(interim_status); }
  void start_answer(const AnswerHead& head) override {
    started = true;
    status = head.status;
    kind = head.body;
    content_length = head.content_length;
    for (const http::Field& field : head.fields)  // what the transport leaves out too
      if (!field.hop_by_hop && field.id != http::Name::content_length &&
          field.id != http::Name::transfer_encoding)
        fields.emplace_back(field.name, field.value);
  }
  std::size_t write_answer(std::string_view bytes, bool last) override {
    if (!started) return 0;
    const std::size_t n = std::min(bytes.size(), takes);
    takes -= n;
    payload += bytes.substr(0, n);
    sent += n;
    blocked = n < bytes.size();
    if (last && n == bytes.size()) finished = true;
    return n;
  }
  bool answer_finished() const noexcept override { return finished; }
  bool answer_started() const noexcept override { return started; }
  void abort_answer() noexcept override { aborted = true; }
  std::uint64_t bytes_sent() const noexcept override { return sent; }
  bool write_blocked() const noexcept override { return blocked; }
  bool gone() const noexcept override { return is_gone; }
  bool half_closed() const noexcept override { return is_half_closed; }

  // A field of the answer; "" when absent.
  std::string value(std::string_view name) const {
    for (const auto& [known, text] : fields)
      if (base::iequals(known, name)) return text;
    return {};
  }
  std::size_t count(std::string_view name) const {
    std::size_t n = 0;
    for (const auto& field : fields) n += base::iequals(field.first, name) ? 1 : 0;
    return n;
  }

  // The request's body: what waits, what is still to come, and how it ends then.
  std::string waiting;
  std::deque<std::string> coming;
  BodyState state = BodyState::done;
  BodyState end_state = BodyState::done;
  http::Fault fault{0, {}, {}};
  std::uint64_t received = 0;
  int reads = 0;
  // The answer.
  std::size_t takes = SIZE_MAX / 2;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  http::BodyKind kind = http::BodyKind::none;
  std::uint64_t content_length = 0;
  std::string payload;
  std::vector<int> interim;
  std::uint64_t sent = 0;
  bool started = false;
  bool finished = false;
  bool aborted = false;
  bool blocked = false;
  bool is_gone = false;
  bool is_half_closed = false;
};

inline config::Environment no_environment() {
  config::Environment environment;
  environment.variable = [](const std::string&) { return std::nullopt; };
  environment.read_file = [](const std::string& path) -> Result<std::string> {
    return Error(ErrorCode::not_found, path);
  };
  environment.glob = [](const std::string&) { return std::vector<std::string>(); };
  return environment;
}

// A whole configuration but for `listen`. Stops the program when it is wrong: a test's own mistake.
inline config::Config config_of(std::string_view text) {
  std::string whole = "listen: 127.0.0.1:8080\n";
  whole.append(text);
  config::LoadResult loaded = config::load_text("test.yaml", whole, no_environment());
  for (const config::Diagnostic& diagnostic : loaded.diagnostics)
    if (!loaded.config) std::fprintf(stderr, "%s\n", config::to_text(diagnostic, loaded.files).c_str());
  return std::move(loaded.config.value());
}

class Desk {
 public:
  explicit Desk(std::string_view configuration, PlanOptions options = {}, std::uint64_t seed = 1)
      : reactor(simulation(seed)),
        registry(1),
        state(base::SipKey{seed, 2}),
        worker(reactor, names, registry, 0, nullptr, seed),
        waiter(reactor, &cancel),
        exchange(worker),
        options_(std::move(options)) {
    load(configuration);
  }

  // What a reload does.
  void load(std::string_view configuration) {
    plan = build_plan(config_of(configuration), state, registry, options_).value();
    plan->publish(reactor.now());
    worker.adopt(plan);
  }

  // Makes the exchange of a request whose head (and perhaps body) these bytes are, as a connection does. A
  // head that does not parse stops the program.
  void receive(std::string bytes, std::string_view from = "192.0.2.1") {
    client = FakeDownstream();
    bytes_ = std::move(bytes);
    peer_text_ = from;
    exchange.begin(client, waiter, reactor.now());
    exchange.plan = worker.use_plan();
    exchange.peer = exchange.client = base::IpAddress::parse(from).value();
    exchange.peer_text = peer_text_;
    parser_.reset();
    WEIR_CHECK(parser_.parse(bytes_, exchange.request) == http::Parse::done);
    client.waiting = bytes_.substr(parser_.consumed());
    client.received = client.waiting.size();
    assign_request_id(exchange);
    exchange.path = http::canonical_path(exchange.request.path, exchange.path_scratch).path;
    find_client(exchange);
    const RouteTable::Match match =
        plan->table.find("a.example", exchange.path, exchange.request.method_text);
    WEIR_CHECK(match.outcome == RouteTable::Outcome::found);
    exchange.route = &plan->routes[match.route];
    exchange.wildcard = match.wildcard;
  }

  // Asks the stages up to the one with that name, as long as they proceed.
  Verdict admit(std::string_view last) {
    Verdict verdict = Verdict::proceed;
    for (std::size_t i = 0; i < exchange.route->stages.size() && verdict == Verdict::proceed; ++i) {
      Stage& stage = *exchange.route->stages[i];
      exchange.stages_entered = i + 1;
      verdict = stage.admit(exchange);
      if (stage.name() == last) break;
    }
    return verdict;
  }
  // Gives back what admit() has taken.
  void settle() {
    exchange.release_stages();
    for (std::size_t i = exchange.stages_entered; i-- > 0;) exchange.route->stages[i]->settle(exchange);
    exchange.end();
  }
  // Through the pipeline to the end, or for a minute.
  void run() {
    scope.spawn(run_pipeline(exchange));
    reactor.run_until([this] { return scope.running() == 0; }, std::chrono::minutes{1});
  }

  // A field as the upstream would get it; "" when absent.
  std::string_view request_field(std::string_view name) const {
    const http::Field* field = exchange.request.fields.find(name);
    return field == nullptr ? std::string_view{} : field->value;
  }
  // A field that weir puts on the answer.
  std::string_view answer_field(std::string_view name) const {
    for (const http::Field& field : exchange.answer_fields())
      if (base::iequals(field.name, name)) return field.value;
    return {};
  }

  io::SimulatedReactor reactor;
  io::TableResolver names;
  metrics::Registry registry;
  State state;
  std::shared_ptr<const Plan> plan;
  Worker worker;
  async::CancelSource cancel;
  io::Waiter waiter;
  FakeDownstream client;
  Exchange exchange;

 private:
  static io::SimulationOptions simulation(std::uint64_t seed) {
    io::SimulationOptions options;
    options.seed = seed;
    return options;
  }

  PlanOptions options_;
  http::RequestParser parser_;
  std::string bytes_;
  std::string peer_text_;

 public:
  async::Scope scope;  // last: what runs ends before what it uses
};

// A service on the desk's network: takes one connection after another, remembers what it reads, and answers
// each read with `answer`.
class Service final : private io::AcceptSink, private io::EventSink {
 public:
  Service(Desk& desk, std::string_view address, std::string answer) : answer_(std::move(answer)) {
    listener_ = desk.reactor.listen(io::Address::parse(address).value(), io::ListenOptions()).value();
    listener_->watch(this);
  }

  // Says something on every connection that is open, asked or not.
  void reply(std::string text) {
    const iovec piece{text.data(), text.size()};
    for (const auto& stream : streams_) static_cast<void>(stream->write({&piece, 1}));
  }

  std::string seen;  // everything, of all connections
  int connections = 0;

 private:
  void on_acceptable(io::Listener& listener) noexcept override {
    for (;;) {
      Result<std::unique_ptr<io::Stream>> stream = listener.accept();
      if (!stream || *stream == nullptr) return;
      ++connections;
      (*stream)->watch(this);
      streams_.push_back(std::move(*stream));
    }
  }
  void on_event(io::Stream& stream, unsigned) noexcept override {
    std::array<char, 4096> bytes;
    bool read = false;
    for (;;) {
      const io::IoResult result = stream.read(bytes);
      if (result.status != io::IoStatus::ok) break;
      seen.append(bytes.data(), result.bytes);
      read = true;
    }
    if (!read || answer_.empty()) return;
    const iovec piece{answer_.data(), answer_.size()};
    static_cast<void>(stream.write({&piece, 1}));
  }

  std::string answer_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<std::unique_ptr<io::Stream>> streams_;
};

inline const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

}  // namespace weir::gateway::testing

#endif  // WEIR_GATEWAY_TESTING_H_
