// Services read only what weir writes, so they look for the end of the head and believe Content-Length.
#include "weir/server/page_trial.h"

#include <algorithm>
#include <array>
#include <optional>

#include "weir/base/strings.h"
#include "weir/io/waiter.h"
#include "weir/upstream/fetch.h"

namespace weir::server {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kSeenMax = 1'000;
constexpr std::string_view kGateway = "10.9.9.9:80";

io::Address address(std::string_view text) { return io::Address::parse(text).value(); }

// Services are 10.0.0.1, 10.0.0.2 and so on, in the order of the file.
std::string service_host(std::size_t index) {
  return "10.0." + std::to_string(index / 250) + "." + std::to_string(1 + index % 250);
}

io::SimulationOptions simulation(std::uint64_t seed) {
  io::SimulationOptions options;
  options.seed = seed;
  return options;
}

// The value of a field, and the request's target, in the text of a head.
std::string_view field_of(std::string_view head, std::string_view name) {
  for (std::string_view rest = head; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    if (line.size() > name.size() && line[name.size()] == ':' &&
        base::iequals(line.substr(0, name.size()), name))
      return base::trim(line.substr(name.size() + 1));
    rest.remove_prefix(std::min(line.size() + 2, rest.size()));
  }
  return {};
}

std::string_view target_of(std::string_view head) {
  const std::size_t from = head.find(' ');
  const std::size_t to = head.find(' ', from + 1);
  return to == std::string_view::npos ? std::string_view{} : head.substr(from + 1, to - from - 1);
}

std::string head_of(const config::ServiceReply& reply, std::uint64_t length) {
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Declared\r\n";
  bool typed = false;
  for (const auto& [name, value] : reply.headers) {
    head.append(name).append(": ").append(value).append("\r\n");
    typed = typed || base::iequals(name, "Content-Type");
  }
  if (!typed) head.append("Content-Type: application/json\r\n");
  if (reply.status != 204 && reply.status != 304)
    head.append("Content-Length: ").append(std::to_string(length)).append("\r\n");
  return head.append("\r\n");
}

// One end of a simulated connection, as a service uses it.
class Line {
 public:
  Line(io::SimulatedReactor& reactor, std::unique_ptr<io::Stream> stream, Duration patience)
      : reactor_(reactor), patience_(patience), waiter_(reactor), stream_(std::move(stream)) {
    stream_->watch(&waiter_);
  }

  // False: nothing more comes.
  async::Task<bool> read(std::string& in) {
    for (;;) {
      std::array<char, 4096> bytes;
      const io::IoResult result = stream_->read(bytes);
      if (result.status == io::IoStatus::ok) {
        in.append(bytes.data(), result.bytes);
        co_return true;
      }
      if (result.status != io::IoStatus::would_block) co_return false;
      const io::Wake wake = co_await waiter_.wait(Deadline::after(reactor_.now(), patience_));
      if (wake == io::Wake::timeout) co_return false;
    }
  }
  // False: the other end is gone.
  async::Task<bool> write(std::string bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const iovec piece{bytes.data() + sent, bytes.size() - sent};
      const io::IoResult result = stream_->write({&piece, 1});
      if (result.status == io::IoStatus::error) co_return false;
      if (result.status == io::IoStatus::ok) {
        sent += result.bytes;
        continue;
      }
      const io::Wake wake = co_await waiter_.wait(Deadline::after(reactor_.now(), patience_));
      if (wake == io::Wake::timeout) co_return false;
    }
    co_return true;
  }
  // Lets time pass; false when the other end goes meanwhile.
  async::Task<bool> pause(Duration time) {
    const Deadline until = Deadline::after(reactor_.now(), time);
    std::string surplus;
    while (!until.expired(reactor_.now())) {
      std::array<char, 256> bytes;
      const io::IoResult result = stream_->read(bytes);
      if (result.status == io::IoStatus::end || result.status == io::IoStatus::error) co_return false;
      const io::Wake wake = co_await waiter_.wait(until);
      static_cast<void>(wake);
    }
    co_return true;
  }
  void reset_on_close() noexcept { stream_->reset_on_close(); }

 private:
  io::SimulatedReactor& reactor_;
  Duration patience_;
  io::Waiter waiter_;
  std::unique_ptr<io::Stream> stream_;  // behind the waiter that it tells
};

// What a service does with one request, once its head and body are there. False: the connection is over.
async::Task<bool> act(Line& line, const config::ServiceReply& reply) {
  using config::ServiceFault;
  const Duration after = reply.fault == ServiceFault::hang ? Duration::max() / 4 : reply.after;
  const bool there = co_await line.pause(after);
  if (!there) co_return false;
  const std::string& body = reply.body;
  const std::string half = body.substr(0, body.size() / 2);
  switch (reply.fault) {
    case ServiceFault::none: {
      const bool bodiless = reply.status == 204 || reply.status == 304;
      std::string all = head_of(reply, body.size());
      if (!bodiless) all += body;
      co_return co_await line.write(std::move(all));
    }
    case ServiceFault::drip: {
      std::string head = head_of(reply, body.size());
      bool more = co_await line.write(std::move(head));
      for (std::size_t i = 0; i < body.size() && more; ++i) {
        more = co_await line.pause(milliseconds{50});
        if (!more) break;
        std::string byte(1, body[i]);
        more = co_await line.write(std::move(byte));
      }
      co_return more;
    }
    case ServiceFault::oversized: {
      std::string all = head_of(reply, std::uint64_t{2} << 30) + body;
      const bool written = co_await line.write(std::move(all));
      if (!written) co_return false;
      co_return co_await line.pause(Duration::max() / 4);
    }
    case ServiceFault::garbage: {
      std::string nonsense = "this is no HTTP\r\n\r\n";
      const bool written = co_await line.write(std::move(nonsense));
      static_cast<void>(written);
      co_return false;
    }
    case ServiceFault::truncated:
    case ServiceFault::reset: {
      std::string some = head_of(reply, body.size() + 1) + half;
      const bool written = co_await line.write(std::move(some));
      static_cast<void>(written);
      if (reply.fault == ServiceFault::reset) line.reset_on_close();
      co_return false;
    }
    case ServiceFault::refused:
    case ServiceFault::black_hole:
    case ServiceFault::hang:
    case ServiceFault::closed:
      break;
  }
  co_return false;
}

}  // namespace

class PageTrial::Origin final : private io::AcceptSink {
 public:
  Origin(PageTrial& trial, std::string name, const io::Address& at)
      : name_(std::move(name)), trial_(trial), at_(at) {
    listener_ = std::move(trial.reactor_.listen(at, io::ListenOptions()).value());
    listener_->watch(this);
  }

  void set(config::Service service) {
    service_ = std::move(service);
    io::Faults faults;
    if (service_.any.fault == config::ServiceFault::refused) faults.refuse = 1000;
    if (service_.any.fault == config::ServiceFault::black_hole) faults.black_hole = 1000;
    trial_.reactor_.set_rule(at_, faults);
  }
  const config::Service& service() const noexcept { return service_; }
  const std::string& name() const noexcept { return name_; }

 private:
  void on_acceptable(io::Listener& listener) noexcept override {
    for (;;) {
      Result<std::unique_ptr<io::Stream>> stream = listener.accept();
      if (!stream || *stream == nullptr) return;
      trial_.services_.spawn(trial_.serve(*this, std::move(*stream)));
    }
  }

  std::string name_;
  PageTrial& trial_;
  io::Address at_;
  config::Service service_;
  std::unique_ptr<io::Listener> listener_;
};

async::Task<void> PageTrial::serve(Origin& origin, std::unique_ptr<io::Stream> stream) {
  struct Open {
    explicit Open(std::size_t& of) : count(of) { ++count; }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    ~Open() { --count; }
    std::size_t& count;
  };
  Line line(reactor_, std::move(stream), options_.patience);
  std::string in;
  for (;;) {
    std::size_t end = in.find("\r\n\r\n");
    while (end == std::string::npos) {
      const bool more = co_await line.read(in);
      if (!more) co_return;
      end = in.find("\r\n\r\n");
    }
    std::string head = in.substr(0, end + 4);
    in.erase(0, end + 4);
    const std::uint64_t length = base::parse_u64(field_of(head, "Content-Length")).value_or(0);
    while (in.size() < length) {
      const bool more = co_await line.read(in);
      if (!more) co_return;
    }
    in.erase(0, length);
    ++calls_;
    const config::ServiceReply reply = origin.service().reply_to(target_of(head));
    if (seen_.size() < kSeenMax) seen_.push_back({origin.name(), std::move(head), reactor_.now()});
    const Open open(open_);
    const bool goes_on = co_await act(line, reply);
    if (!goes_on && reply.fault <= config::ServiceFault::drip) ++hung_up_;
    if (!goes_on) co_return;
  }
}

std::string PageTrial::build(config::Config config) {
  keep_pages_only(config);
  for (std::size_t i = 0; i < config.upstreams.size(); ++i) {
    config::Upstream& upstream = config.upstreams[i];
    config::Endpoint endpoint;
    endpoint.address.host = service_host(i);
    endpoint.address.port = 80;
    endpoint.url = "http://" + endpoint.address.host + ":80";
    upstream.endpoints = {endpoint};
    upstream.ca.clear();
    origins_[upstream.name] =
        std::make_unique<Origin>(*this, upstream.name, address(endpoint.address.host + ":80"));
  }
  gateway::PlanOptions options;
  options.custom_stages.push_back(known_caller(callers_));
  Result<std::shared_ptr<const gateway::Plan>> plan =
      gateway::build_plan(std::move(config), state_, registry_, options);
  if (!plan) return plan.error().detail;
  (*plan)->publish(reactor_.now());
  worker_->adopt(std::move(*plan));
  return {};
}

PageTrial::PageTrial(config::Config config, const Options& options)
    : options_(options),
      reactor_(simulation(options.seed)),
      registry_(1),
      state_(base::SipKey{options.seed, 7}, nullptr),
      random_(options.seed) {
  worker_ = std::make_unique<gateway::Worker>(reactor_, resolver_, registry_, 0, nullptr, options.seed);
  error_ = build(std::move(config));
  if (!error_.empty()) return;
  core_ = std::make_unique<WorkerCore>(reactor_, *worker_, CoreOptions());
  core_->add_listener(std::move(reactor_.listen(address(kGateway), io::ListenOptions()).value()));
  upstream::UpstreamOptions to;
  to.name = "gateway";
  upstream::EndpointOptions endpoint;
  endpoint.url = "http://" + std::string(kGateway);
  endpoint.host = "10.9.9.9";
  to.endpoints = {endpoint};
  to.timeouts.first_byte = to.timeouts.idle = options.patience;
  pool_ = std::make_unique<upstream::EndpointPool>(reactor_, resolver_, background_, endpoint.host,
                                                   endpoint.port);
  gateway_ = std::make_unique<upstream::WorkerUpstream>(
      std::move(to),
      std::make_shared<upstream::SharedUpstream>("gateway", resilience::CircuitBreaker::Options{}, nullptr),
      std::vector{pool_.get()});
}

PageTrial::~PageTrial() = default;

bool PageTrial::set_service(const std::string& upstream, config::Service service) {
  const auto origin = origins_.find(upstream);
  if (origin == origins_.end()) return false;
  origin->second->set(std::move(service));
  return true;
}

std::unique_ptr<PageTrial::Client> PageTrial::begin(const Request& request) {
  return std::make_unique<Client>(*this, request);
}

PageTrial::Answer PageTrial::ask(const Request& request) {
  Client client(*this, request);
  reactor_.run_until([&] { return client.answer().done; }, options_.patience);
  return client.take();
}

PageTrial::Client::Client(PageTrial& trial, const Request& request)
    : trial_(trial),
      id_("trial-" + std::to_string(++trial.next_id_)),
      request_(request),
      call_(std::make_unique<upstream::Call>(trial.buffers_)) {
  trial_.callers_.emplace(id_, request.caller);
  scope_.spawn(run());
}

PageTrial::Client::~Client() { trial_.callers_.erase(id_); }

async::Task<void> PageTrial::Client::run() {
  std::vector<http::Field> fields{{"X-Request-Id", id_, http::Name::x_request_id, false}};
  for (const auto& [name, value] : request_.headers)
    fields.push_back({name, value, http::parse_name(name), false});
  upstream::FetchOrder order;
  order.method = http::parse_method(request_.method);
  order.target = request_.target;
  order.host = "shop.example";
  order.fields = fields;
  order.body = request_.body;
  order.body_max = 64 * 1024 * 1024;
  order.deadline = Deadline::after(trial_.reactor_.now(), trial_.options_.patience);
  const TimePoint begin = trial_.reactor_.now();
  answer_.failure = co_await upstream::fetch(*trial_.gateway_, order, answer_.response, *call_,
                                             trial_.reactor_, trial_.random_);
  answer_.took = trial_.reactor_.now() - begin;
  answer_.done = true;
}

}  // namespace weir::server
