// c-ares keeps the protocol, retries and the search list; this file gives it descriptors, time and owners.
//
//   (1) Two channels: one that only reads the hosts file (and so answers inside the call), one that only asks
//       DNS. An answer's origin decides its TTL, and c-ares does not tell it.
//   (2) A Query is owned by c-ares: its callback comes exactly once for each ares_getaddrinfo, at the latest
//       from ares_destroy. Query and Wait know each other; whichever goes first clears the other's pointer.
//       So the coroutine may be destroyed, or its deadline may pass, while the query is on its way.
//   (3) After each call into c-ares the timer is armed for ares_timeout(), which tells the next retry.
#include "weir/io/cares_resolver.h"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

namespace weir::io {
namespace {

constexpr std::size_t kNameMax = 255;  // RFC 1035 3.1

Address address_of(const sockaddr* from) noexcept {
  Address address;
  if (from->sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, from, sizeof in);
    address.ip = base::IpAddress::v4(ntohl(in.sin_addr.s_addr));
  } else {
    sockaddr_in6 in;
    std::memcpy(&in, from, sizeof in);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    address.ip = base::IpAddress::v6(bytes);
  }
  return address;
}

// Connecting a datagram socket sends nothing; it asks the routing table.
bool has_route(const sockaddr* to, socklen_t length) noexcept {
  const int fd = ::socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_storage with_port{};
  std::memcpy(&with_port, to, std::min<std::size_t>(length, sizeof with_port));
  const in_port_t any = htons(9);  // the port of IPv4 and IPv6 addresses stands at the same place
  std::memcpy(reinterpret_cast<char*>(&with_port) + offsetof(sockaddr_in, sin_port), &any, sizeof any);
  const bool reached = ::connect(fd, reinterpret_cast<sockaddr*>(&with_port), length) == 0;
  ::close(fd);
  return reached;
}

Resolved to_resolved(const ares_addrinfo& info, bool from_hosts) {
  Resolved routed, all;
  int ttl = std::numeric_limits<int>::max();
  for (const ares_addrinfo_cname* name = info.cnames; name != nullptr; name = name->next)
    ttl = std::min(ttl, name->ttl);
  for (const ares_addrinfo_node* node = info.nodes; node != nullptr; node = node->ai_next) {
    if (node->ai_family != AF_INET && node->ai_family != AF_INET6) continue;
    if (all.addresses.size() >= CaresResolver::kAddressesMax) break;
    ttl = std::min(ttl, node->ai_ttl);
    const base::IpAddress ip = address_of(node->ai_addr).ip;
    if (std::find(all.addresses.begin(), all.addresses.end(), ip) != all.addresses.end()) continue;
    all.addresses.push_back(ip);
    if (has_route(node->ai_addr, node->ai_addrlen)) routed.addresses.push_back(ip);
  }
  Resolved result = routed.addresses.empty() ? std::move(all) : std::move(routed);
  result.ttl = from_hosts ? CaresResolver::kHostsTtl
                          : std::clamp<Duration>(std::chrono::seconds{ttl}, CaresResolver::kTtlMin,
                                                 CaresResolver::kTtlMax);
  return result;
}

Error to_error(int status, const std::string& host) {
  ErrorCode code = ErrorCode::name_not_resolved;
  bool again = false;
  switch (status) {
    case ARES_ETIMEOUT:
      code = ErrorCode::timed_out, again = true;
      break;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
      code = ErrorCode::cancelled;
      break;
    case ARES_ENOMEM:
      code = ErrorCode::out_of_memory, again = true;
      break;
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ECONNREFUSED:
      again = true;
      break;
    default:
      break;  // ENOTFOUND, ENODATA and the like: the name is not there
  }
  return Error(code, host + ": " + ares_strerror(status), ErrorSource::upstream, again);
}

}  // namespace

struct CaresResolver::State final : EpollReactor::FdSink, async::Timer {
  class Wait;
  struct Query {
    State* state;
    Wait* waiting;  // null: nobody waits any more
    bool from_hosts;
  };

  explicit State(EpollReactor& on) : reactor(on) {}

  static int open_channel(ares_channel& channel, const CaresOptions& options, const char* lookups,
                          State* watched);
  static void on_socket(void* self, ares_socket_t fd, int readable, int writable);
  static void on_answer(void* query, int status, int timeouts, ares_addrinfo* info);
  void ask(ares_channel channel, Wait& wait, bool from_hosts);
  void process(ares_socket_t readable, ares_socket_t writable);
  void on_fd(int fd, bool readable, bool writable) noexcept override {
    process(readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
  }
  void on_timer() noexcept override { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }
  void arm_timer();

  EpollReactor& reactor;
  ares_channel hosts = nullptr;
  ares_channel dns = nullptr;
  int status = ARES_SUCCESS;  // of starting
  std::size_t in_flight = 0;
  std::vector<std::unique_ptr<EpollReactor::FdWatch>> watches;  // a few: one a server and query
};

// One look-up and the coroutine that waits for it. Lives in the coroutine's frame.
class CaresResolver::State::Wait final : private async::Timer, private async::Ready {
 public:
  Wait(async::Loop& loop, const std::string& host, Deadline deadline) noexcept
      : loop_(loop), host_(host), deadline_(deadline) {}
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  ~Wait() { leave(); }

  bool await_ready() const noexcept { return result_.has_value(); }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    if (!deadline_.is_never()) loop_.arm(*this, deadline_.when());
  }
  Result<Resolved> await_resume() { return take(); }

  const std::string& host() const noexcept { return host_; }
  bool answered() const noexcept { return result_.has_value(); }
  Result<Resolved> take() { return *std::exchange(result_, std::nullopt); }
  void started(Query* query) noexcept { query_ = query; }
  void answer(Result<Resolved> result) {
    query_ = nullptr;
    result_.emplace(std::move(result));
    if (waiting_ != nullptr) loop_.make_ready(*this);
  }

 private:
  void leave() noexcept {
    if (query_ != nullptr) std::exchange(query_, nullptr)->waiting = nullptr;
  }
  void on_timer() noexcept override {
    if (result_.has_value()) return;
    leave();
    answer(
        Error(ErrorCode::timed_out, host_ + ": no answer within the deadline", ErrorSource::upstream, true));
  }
  void on_ready() noexcept override { waiting_.resume(); }

  async::Loop& loop_;
  const std::string& host_;
  Deadline deadline_;
  Query* query_ = nullptr;
  std::optional<Result<Resolved>> result_;
  std::coroutine_handle<> waiting_ = nullptr;
};

int CaresResolver::State::open_channel(ares_channel& channel, const CaresOptions& options,
                                       const char* lookups, State* watched) {
  std::string order(lookups);
  ares_options with{};
  with.lookups = order.data();
  with.timeout = static_cast<int>(options.attempt_timeout.count());
  with.tries = options.attempts;
  with.sock_state_cb = on_socket;
  with.sock_state_cb_data = watched;
  const int status = ares_init_options(
      &channel, &with, ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS || options.servers.empty()) return status;
  return ares_set_servers_ports_csv(channel, options.servers.c_str());
}

void CaresResolver::State::on_socket(void* self, ares_socket_t fd, int readable, int writable) {
  State& state = *static_cast<State*>(self);
  auto watch =
      std::find_if(state.watches.begin(), state.watches.end(), [&](const auto& w) { return w->fd() == fd; });
  if (readable == 0 && writable == 0) {  // about to be closed
    if (watch != state.watches.end()) state.watches.erase(watch);
    return;
  }
  if (watch == state.watches.end())
    watch = state.watches.insert(watch, std::make_unique<EpollReactor::FdWatch>(state.reactor, fd, state));
  // If it cannot be watched, c-ares' own timeout ends the query.
  static_cast<void>((*watch)->want(readable != 0, writable != 0).has_value());
}

void CaresResolver::State::ask(ares_channel channel, Wait& wait, bool from_hosts) {
  auto* query = new Query{this, &wait, from_hosts};  // deleted by its callback
  wait.started(query);
  ++in_flight;
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel, wait.host().c_str(), nullptr, &hints, on_answer, query);
}

void CaresResolver::State::on_answer(void* argument, int status, int, ares_addrinfo* info) {
  const std::unique_ptr<Query> query(static_cast<Query*>(argument));
  --query->state->in_flight;
  if (Wait* wait = query->waiting) {
    if (status == ARES_SUCCESS && info != nullptr) {
      Resolved resolved = to_resolved(*info, query->from_hosts);
      if (resolved.addresses.empty()) {
        wait->answer(to_error(ARES_ENODATA, wait->host()));
      } else {
        wait->answer(std::move(resolved));
      }
    } else {
      wait->answer(to_error(status, wait->host()));
    }
  }
  if (info != nullptr) ares_freeaddrinfo(info);
}

void CaresResolver::State::process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(dns, readable, writable);
  arm_timer();
}

void CaresResolver::State::arm_timer() {
  timeval until{};
  if (ares_timeout(dns, nullptr, &until) == nullptr) {
    disarm();
    return;
  }
  reactor.arm(*this, reactor.precise_now() + std::chrono::seconds{until.tv_sec} +
                         std::chrono::microseconds{until.tv_usec});
}

CaresResolver::CaresResolver(EpollReactor& reactor, const CaresOptions& options)
    : state_(std::make_unique<State>(reactor)) {
  // ares_library_init() is for Windows alone, and not thread-safe.
  state_->status = State::open_channel(state_->hosts, {}, "f", state_.get());
  if (state_->status == ARES_SUCCESS)
    state_->status = State::open_channel(state_->dns, options, "b", state_.get());
}

CaresResolver::~CaresResolver() {
  if (state_->dns != nullptr) ares_destroy(state_->dns);
  if (state_->hosts != nullptr) ares_destroy(state_->hosts);
}

std::size_t CaresResolver::in_flight() const noexcept { return state_->in_flight; }

async::Task<Result<Resolved>> CaresResolver::resolve(std::string host, Deadline deadline) {
  if (Result<base::IpAddress> literal = base::IpAddress::parse(host)) {
    Resolved itself;
    itself.addresses.push_back(*literal);
    itself.ttl = kTtlMax;
    co_return itself;
  }
  if (host.empty() || host.size() > kNameMax || host.find('\0') != std::string::npos)
    co_return Error(ErrorCode::name_not_resolved, "not a host name");
  State& state = *state_;
  if (state.status != ARES_SUCCESS)
    co_return Error(ErrorCode::unavailable, std::string("c-ares: ") + ares_strerror(state.status));
  if (state.in_flight >= kInFlightMax)
    co_return Error(ErrorCode::unavailable, host + ": too many names are being resolved",
                    ErrorSource::internal, true);

  State::Wait in_hosts(state.reactor, host, deadline);
  state.ask(state.hosts, in_hosts, true);
  WEIR_CHECK(in_hosts.answered());  // (1)
  Result<Resolved> found = in_hosts.take();
  if (found) co_return found;

  State::Wait in_dns(state.reactor, host, deadline);
  state.ask(state.dns, in_dns, false);
  state.arm_timer();
  co_return co_await in_dns;
}

}  // namespace weir::io
