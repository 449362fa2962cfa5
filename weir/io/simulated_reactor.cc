// The network is a set of connections of two pipes each, and one queue of events ordered by moment and by the
// order in which they were caused. Nothing else decides what comes next: no address of an object, no hash
// order.
//
//   (1) Side 0 of a connection has connected, side 1 was accepted. pipes[i] carries what side i writes.
//   (2) A pipe keeps order: nothing arrives before what was sent earlier (last_arrival). Only RST overtakes,
//       as it does where the sender drops its queue.
//   (3) on_the_way + unread never exceeds Faults::buffer. A writer that found no room is told when at least a
//       third is free again (Linux' rule, so that a slow reader does not wake it for each byte).
//   (4) Events refer to a connection by shared_ptr and to its ends through Connection::ends, null once
//       destroyed: an event that comes too late finds nobody and changes nothing.
#include "weir/io/simulated_reactor.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <string>

#include "weir/base/check.h"
#include "weir/base/hash.h"

namespace weir::io {
namespace {

constexpr Duration kSynRetry = std::chrono::seconds{1};  // TCP_TIMEOUT_INIT: a full backlog drops the SYN
constexpr unsigned kAllEvents = kReadable | kWritable | kHangup | kBroken;

IoResult moved(std::size_t bytes) noexcept { return {IoStatus::ok, ErrorCode::io_error, bytes}; }
IoResult blocked() noexcept { return {IoStatus::would_block, ErrorCode::io_error, 0}; }

bool is_wildcard(const base::IpAddress& ip) noexcept {
  return std::all_of(ip.bytes().begin(), ip.bytes().end(), [](std::uint8_t b) { return b == 0; });
}

// A dual-stack wildcard listens for both families.
bool listens_for(const base::IpAddress& listening, const base::IpAddress& ip) noexcept {
  return listening == ip || (is_wildcard(listening) && (!listening.is_v4() || ip.is_v4()));
}

}  // namespace

class SimulatedStream;

struct SimulatedReactor::Connection {
  struct Pipe {
    std::string unread;          // arrived, not yet read
    std::size_t on_the_way = 0;  // bytes
    TimePoint last_arrival{};    // of what was sent so far
    bool writer_waits = false;   // for room
    bool fin_sent = false;
    bool fin_arrived = false;
  };

  std::uint64_t id = 0;
  Faults faults;
  std::array<Address, 2> addresses;
  std::array<SimulatedStream*, 2> ends{};  // null: not yet accepted, or destroyed
  std::array<bool, 2> closed{};            // destroyed
  std::array<bool, 2> reset{};             // has been told of a RST, or has sent one
  std::array<Pipe, 2> pipes;
  bool established = false;  // side 0 has had the SYN-ACK
  bool silent = false;

  std::size_t room(int side) const noexcept {
    const Pipe& pipe = pipes[static_cast<std::size_t>(side)];
    const std::size_t used = pipe.on_the_way + pipe.unread.size();
    return used >= faults.buffer ? 0 : faults.buffer - used;
  }
};

namespace {

std::size_t index(int side) noexcept { return static_cast<std::size_t>(side); }

}  // namespace

class SimulatedStream final : public Stream {
 public:
  enum class State : std::uint8_t { connecting, connected, refused };
  using ConnectionPtr = SimulatedReactor::ConnectionPtr;

  SimulatedStream(SimulatedReactor& reactor, ConnectionPtr connection, int side) noexcept
      : reactor_(reactor),
        connection_(std::move(connection)),
        side_(side),
        state_(side == 0 ? State::connecting : State::connected) {
    connection_->ends[index(side_)] = this;
    ++reactor_.open_streams_;
    if (state_ == State::connecting) clear_ready(kReadable | kWritable);
  }
  ~SimulatedStream() override {
    --reactor_.open_streams_;
    reactor_.close(connection_, side_, reset_on_close_);
  }

  IoResult read(std::span<char> into) noexcept override;
  IoResult write(std::span<const iovec> pieces) noexcept override;
  IoResult finish_connect() noexcept override;
  void shutdown_write() noexcept override {
    if (state_ == State::connected) reactor_.send_fin(connection_, side_);
  }
  void reset_on_close() noexcept override { reset_on_close_ = true; }
  Address peer() const noexcept override { return connection_->addresses[index(1 - side_)]; }
  Address local() const noexcept override { return connection_->addresses[index(side_)]; }

  // As the epoll reactor: "writable" only where a write was refused before.
  void deliver(unsigned events) noexcept {
    if (may_write()) events &= ~static_cast<unsigned>(kWritable);
    if (events != 0) raise(events);
  }
  void connected() noexcept {
    state_ = State::connected;
    deliver(kWritable);
  }
  void refused() noexcept {
    state_ = State::refused;
    deliver(kAllEvents);
  }

 private:
  IoResult broke(ErrorCode code) noexcept {
    set_ready(kBroken | kReadable | kWritable);
    return {IoStatus::error, code, 0};
  }

  SimulatedReactor& reactor_;
  ConnectionPtr connection_;
  int side_;
  State state_;
  bool reset_on_close_ = false;
};

IoResult SimulatedStream::read(std::span<char> into) noexcept {
  if (!may_read()) return blocked();
  if (state_ == State::refused) return broke(ErrorCode::connection_refused);
  auto& pipe = connection_->pipes[index(1 - side_)];
  if (!pipe.unread.empty()) {
    std::size_t n = std::min(into.size(), pipe.unread.size());
    if (reactor_.chance(connection_->faults.short_read)) n = 1 + reactor_.random_.below(n);
    std::memcpy(into.data(), pipe.unread.data(), n);
    pipe.unread.erase(0, n);
    reactor_.note("read", *connection_, n);
    if (pipe.unread.empty() && n < into.size() && !hung_up()) clear_ready(kReadable);
    if (pipe.writer_waits &&
        connection_->room(1 - side_) >= std::max<std::size_t>(1, connection_->faults.buffer / 3)) {
      pipe.writer_waits = false;
      reactor_.tell_writable(connection_, 1 - side_);
    }
    return moved(n);
  }
  if (connection_->reset[index(side_)]) return broke(ErrorCode::connection_reset);
  if (pipe.fin_arrived) {
    set_ready(kHangup);
    return {IoStatus::end, ErrorCode::connection_closed, 0};
  }
  clear_ready(kReadable);
  return blocked();
}

IoResult SimulatedStream::write(std::span<const iovec> pieces) noexcept {
  if (!may_write()) return blocked();
  if (state_ == State::refused) return broke(ErrorCode::connection_refused);
  auto& pipe = connection_->pipes[index(side_)];
  if (connection_->reset[index(side_)] || pipe.fin_sent) return broke(ErrorCode::connection_reset);
  std::string bytes;
  for (const iovec& piece : pieces) bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  if (bytes.empty()) return moved(0);

  const std::size_t room = connection_->room(side_);
  if (room == 0) {
    clear_ready(kWritable);
    pipe.writer_waits = true;
    return blocked();
  }
  std::size_t n = std::min(bytes.size(), room);
  if (reactor_.chance(connection_->faults.short_write)) n = 1 + reactor_.random_.below(n);
  if (n < bytes.size()) {
    clear_ready(kWritable);
    if (n < room) {  // short by chance: there is room, so no reader will make any
      reactor_.tell_writable(connection_, side_);
    } else {
      pipe.writer_waits = true;
    }
    bytes.resize(n);
  }
  reactor_.note("write", *connection_, n);
  reactor_.send(connection_, side_, std::move(bytes));
  return moved(n);
}

IoResult SimulatedStream::finish_connect() noexcept {
  // A RST that comes instead of the SYN-ACK is a refusal.
  const bool reset = side_ == 0 && connection_->reset[0];
  if (state_ == State::refused || (reset && !connection_->established))
    return broke(ErrorCode::connection_refused);
  if (reset) return broke(ErrorCode::connection_reset);
  if (state_ == State::connecting) return blocked();
  set_ready(kWritable);
  return moved(0);
}

class SimulatedListener final : public Listener {
 public:
  using ConnectionPtr = SimulatedReactor::ConnectionPtr;

  SimulatedListener(SimulatedReactor& reactor, const Address& local, const ListenOptions& options)
      : reactor_(reactor), local_(local), options_(options) {
    reactor_.listeners_.push_back(this);
  }
  // Those who were never accepted are reset, as Linux does.
  ~SimulatedListener() override {
    std::erase(reactor_.listeners_, this);
    for (const ConnectionPtr& waiting : backlog_) reactor_.close(waiting, 1, true);
  }
  SimulatedListener(const SimulatedListener&) = delete;
  SimulatedListener& operator=(const SimulatedListener&) = delete;

  Result<std::unique_ptr<Stream>> accept() noexcept override;
  Address local() const noexcept override { return local_; }

  const ListenOptions& options() const noexcept { return options_; }
  bool full() const noexcept {
    return backlog_.size() >= static_cast<std::size_t>(std::max(options_.backlog, 1));
  }
  void arrived(ConnectionPtr connection) {
    backlog_.push_back(std::move(connection));
    if (sink_ != nullptr) sink_->on_acceptable(*this);
  }

 private:
  SimulatedReactor& reactor_;
  const Address local_;
  const ListenOptions options_;
  std::deque<ConnectionPtr> backlog_;
};

Result<std::unique_ptr<Stream>> SimulatedListener::accept() noexcept {
  if (reactor_.failing_accepts_ > 0) {
    --reactor_.failing_accepts_;
    return Error(ErrorCode::out_of_descriptors, "accept", ErrorSource::internal, true);
  }
  if (backlog_.empty()) return std::unique_ptr<Stream>{};
  ConnectionPtr connection = std::move(backlog_.front());
  backlog_.pop_front();
  auto stream = std::make_unique<SimulatedStream>(reactor_, connection, 1);
  // A socket that is registered with something to report reports it in the next turn.
  const auto& pipe = connection->pipes[0];
  unsigned events = 0;
  if (!pipe.unread.empty()) events |= kReadable;
  if (pipe.fin_arrived) events |= kReadable | kHangup;
  if (connection->reset[1]) events |= kAllEvents;
  if (events != 0)
    reactor_.at(reactor_.now(), [connection, events] {
      if (connection->ends[1] != nullptr) connection->ends[1]->deliver(events);
    });
  return std::unique_ptr<Stream>(std::move(stream));
}

// ---- loop

SimulatedReactor::SimulatedReactor(const SimulationOptions& options)
    : random_(options.seed),
      faults_(options.faults),
      batch_(options.batch),
      start_(options.start),
      now_(options.start),
      wall_(options.wall),
      digest_(base::kFnv64Offset) {}

SimulatedReactor::~SimulatedReactor() {
  events_.clear();
  posted_.clear();
  WEIR_CHECK(open_streams_ == 0);
  WEIR_CHECK(listeners_.empty());
}

void SimulatedReactor::schedule(async::Timer& timer) noexcept { timers_[timer.due()].push_back(timer); }

TimePoint SimulatedReactor::next_moment() {
  while (!timers_.empty() && timers_.begin()->second.empty()) timers_.erase(timers_.begin());
  TimePoint next = TimePoint::max();
  if (!events_.empty()) next = events_.begin()->first.first;
  if (!timers_.empty()) next = std::min(next, timers_.begin()->first);
  return next;
}

bool SimulatedReactor::turn() {
  const bool posted = run_posted();
  if (run_ready() || posted) return true;
  const TimePoint next = next_moment();
  if (next == TimePoint::max()) return false;
  now_ = std::max(now_, next);
  if (batch_ > Duration{0})
    now_ +=
        Duration{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(batch_.count()) + 1))};
  deliver_events();
  run_ready();
  fire_timers();
  run_ready();
  return true;
}

// What these events cause comes in a later turn, even without latency: one epoll_wait does not see its own
// effects.
void SimulatedReactor::deliver_events() {
  const std::uint64_t end = next_event_;
  while (!events_.empty()) {
    const auto first = events_.begin();
    if (first->first.first > now_ || first->first.second >= end) return;
    const std::function<void()> event = std::move(first->second);
    events_.erase(first);
    event();
  }
}

void SimulatedReactor::fire_timers() {
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    firing_.splice_back(timers_.begin()->second);
    timers_.erase(timers_.begin());
  }
  while (!firing_.empty()) firing_.pop_front().on_timer();
}

void SimulatedReactor::post(std::function<void()> work) {
  const std::lock_guard lock(posted_mutex_);
  posted_.push_back(std::move(work));
}

bool SimulatedReactor::run_posted() {
  std::vector<std::function<void()>> running;
  {
    const std::lock_guard lock(posted_mutex_);
    running.swap(posted_);
  }
  for (auto& work : running) work();
  return !running.empty();
}

void SimulatedReactor::run() {
  while (!stopped_.load(std::memory_order_relaxed) && turn()) {
  }
  stopped_.store(false, std::memory_order_relaxed);
}

bool SimulatedReactor::run_until_idle(Duration longest) {
  return !run_until([] { return false; }, longest) && next_moment() == TimePoint::max();
}

bool SimulatedReactor::run_until(const std::function<bool()>& done, Duration longest) {
  const TimePoint end = now_ + longest;
  while (!done()) {
    const bool posted = run_posted();
    if (run_ready() || posted) continue;
    if (next_moment() > end || !turn()) return done();
  }
  return true;
}

void SimulatedReactor::run_for(Duration time) {
  const TimePoint end = now_ + time;
  run_until([] { return false; }, time);
  now_ = std::max(now_, end);
}

// ---- network

void SimulatedReactor::at(TimePoint when, std::function<void()> event) {
  events_.emplace(std::pair(std::max(when, now_), next_event_++), std::move(event));
}

Duration SimulatedReactor::latency(const Faults& faults) {
  const auto spread = std::max<std::int64_t>(0, (faults.latency_max - faults.latency_min).count());
  return faults.latency_min +
         Duration{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(spread) + 1))};
}

const Faults& SimulatedReactor::faults_for(const Address& address) const {
  const auto rule =
      std::find_if(rules_.begin(), rules_.end(), [&](const auto& r) { return r.first == address; });
  return rule == rules_.end() ? faults_ : rule->second;
}

void SimulatedReactor::set_rule(const Address& address, const Faults& faults) {
  std::erase_if(rules_, [&](const auto& rule) { return rule.first == address; });
  rules_.emplace_back(address, faults);
}

void SimulatedReactor::note(std::string_view what, const Connection& connection, std::uint64_t number) {
  const std::array<std::uint64_t, 3> words{static_cast<std::uint64_t>(now_.time_since_epoch().count()),
                                           connection.id, number};
  char bytes[sizeof words];
  std::memcpy(bytes, words.data(), sizeof words);
  digest_ = base::fnv1a64({bytes, sizeof bytes}, base::fnv1a64(what, digest_));
  if (!trace_) return;
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now_ - start_).count();
  trace_(std::to_string(us) + "us #" + std::to_string(connection.id) + " " +
         connection.addresses[0].to_text() + " -> " + connection.addresses[1].to_text() + " " +
         std::string(what) + " " + std::to_string(number));
}

Result<std::unique_ptr<Listener>> SimulatedReactor::listen(const Address& address,
                                                           const ListenOptions& options) {
  Address local = address;
  while (local.port == 0 || (address.port == 0 && listener_for(local) != nullptr)) local.port = next_port_++;
  for (const SimulatedListener* other : listeners_) {
    const Address there = other->local();
    const bool same =
        there.port == local.port && (listens_for(there.ip, local.ip) || listens_for(local.ip, there.ip));
    if (same && !(options.reuse_port && other->options().reuse_port))
      return Error(ErrorCode::address_in_use, "bind " + local.to_text());
  }
  return std::unique_ptr<Listener>(std::make_unique<SimulatedListener>(*this, local, options));
}

// An exact address before a wildcard; by lot among listeners that share one (SO_REUSEPORT).
SimulatedListener* SimulatedReactor::listener_for(const Address& address) {
  std::vector<SimulatedListener*> exact;
  std::vector<SimulatedListener*> wildcard;
  for (SimulatedListener* listener : listeners_) {
    const Address there = listener->local();
    if (there.port != address.port || !listens_for(there.ip, address.ip)) continue;
    (there.ip == address.ip ? exact : wildcard).push_back(listener);
  }
  const auto& found = exact.empty() ? wildcard : exact;
  if (found.empty()) return nullptr;
  return found.size() == 1 ? found.front() : found[random_.below(found.size())];
}

Result<std::unique_ptr<Stream>> SimulatedReactor::connect(const Address& address) {
  std::array<std::uint8_t, 16> loopback{};
  loopback[15] = 1;
  return connect_from(address.ip.is_v4() ? base::IpAddress::v4(0x7f000001) : base::IpAddress::v6(loopback),
                      address);
}

Result<std::unique_ptr<Stream>> SimulatedReactor::connect_from(const base::IpAddress& from,
                                                               const Address& address) {
  if (failing_connects_ > 0) {
    --failing_connects_;
    return Error(ErrorCode::out_of_descriptors, "socket", ErrorSource::internal, true);
  }
  auto connection = std::make_shared<Connection>();
  connection->id = ++connects_;
  connection->faults = faults_for(address);
  connection->addresses[0].ip = from;
  connection->addresses[0].port = next_port_;
  if (++next_port_ < 32768) next_port_ = 32768;  // the ephemeral range, round and round
  connection->addresses[1] = address;
  std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
  connections_.push_back(connection);
  auto stream = std::make_unique<SimulatedStream>(*this, connection, 0);
  const bool vanishes = chance(connection->faults.black_hole);
  note(vanishes ? "vanish" : "connect", *connection, address.port);
  if (!vanishes) at(now_ + latency(connection->faults), [this, connection] { arrive_syn(connection); });
  return std::unique_ptr<Stream>(std::move(stream));
}

void SimulatedReactor::arrive_syn(const ConnectionPtr& connection) {
  if (connection->closed[0] || connection->silent) return;
  const Faults& faults = connection->faults;
  SimulatedListener* listener = listener_for(connection->addresses[1]);
  if (listener == nullptr || chance(faults.refuse)) {
    note("refuse", *connection, 0);
    at(now_ + latency(faults), [connection] {
      if (connection->ends[0] != nullptr) connection->ends[0]->refused();
    });
    return;
  }
  if (listener->full()) {
    at(now_ + kSynRetry, [this, connection] { arrive_syn(connection); });
    return;
  }
  note("accept", *connection, 0);
  const TimePoint answer = now_ + latency(faults);
  connection->pipes[1].last_arrival = answer;  // nothing of the server's overtakes its SYN-ACK
  at(answer, [this, connection] {
    if (connection->silent || connection->reset[0] || connection->ends[0] == nullptr) return;
    note("connected", *connection, 0);
    connection->established = true;
    connection->ends[0]->connected();
  });
  plan_accidents(connection);
  listener->arrived(connection);
}

void SimulatedReactor::plan_accidents(const ConnectionPtr& connection) {
  const Faults& faults = connection->faults;
  const auto some_time = [&] {
    return Duration{
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(faults.within.count()) + 1))};
  };
  if (chance(faults.reset)) at(now_ + some_time(), [this, connection] { break_both(connection); });
  if (chance(faults.silence)) at(now_ + some_time(), [connection] { connection->silent = true; });
}

void SimulatedReactor::send(const ConnectionPtr& connection, int side, std::string bytes) {
  auto& pipe = connection->pipes[index(side)];
  const Faults& faults = connection->faults;
  while (!bytes.empty()) {
    const std::size_t n = chance(faults.split) ? 1 + random_.below(bytes.size()) : bytes.size();
    std::string piece = bytes.substr(0, n);
    bytes.erase(0, n);
    pipe.on_the_way += n;
    pipe.last_arrival = std::max(pipe.last_arrival, now_ + latency(faults));
    at(pipe.last_arrival,
       [this, connection, side, piece = std::move(piece)] { arrive_bytes(connection, side, piece); });
  }
}

void SimulatedReactor::arrive_bytes(const ConnectionPtr& connection, int from, const std::string& bytes) {
  const int to = 1 - from;
  // Silence: the bytes stay on the way for ever, and so the sender runs out of room as with TCP.
  if (connection->silent || connection->reset[index(to)]) return;
  if (chance(connection->faults.reset_on_data)) return break_both(connection);
  auto& pipe = connection->pipes[index(from)];
  pipe.on_the_way -= bytes.size();
  note("arrive", *connection, bytes.size());
  if (connection->closed[index(to)]) return send_rst(connection, from);
  pipe.unread += bytes;
  SimulatedStream* end = connection->ends[index(to)];
  if (end == nullptr) return;  // waits to be accepted
  if (chance(connection->faults.spurious))
    at(now_ + latency(connection->faults), [connection, to] {
      if (SimulatedStream* late = connection->ends[index(to)]) late->deliver(kReadable);
    });
  end->deliver(kReadable);
}

void SimulatedReactor::send_fin(const ConnectionPtr& connection, int side) {
  auto& pipe = connection->pipes[index(side)];
  if (pipe.fin_sent || connection->reset[index(side)]) return;
  pipe.fin_sent = true;
  pipe.last_arrival = std::max(pipe.last_arrival, now_ + latency(connection->faults));
  at(pipe.last_arrival, [this, connection, side] { arrive_fin(connection, side); });
}

void SimulatedReactor::arrive_fin(const ConnectionPtr& connection, int from) {
  const int to = 1 - from;
  if (connection->silent || connection->reset[index(to)] || connection->closed[index(to)]) return;
  note("fin", *connection, static_cast<std::uint64_t>(from));
  connection->pipes[index(from)].fin_arrived = true;
  if (SimulatedStream* end = connection->ends[index(to)]) end->deliver(kReadable | kHangup);
}

void SimulatedReactor::send_rst(const ConnectionPtr& connection, int to) {
  connection->reset[index(1 - to)] = true;
  at(now_ + latency(connection->faults), [this, connection, to] { arrive_rst(connection, to); });
}

void SimulatedReactor::arrive_rst(const ConnectionPtr& connection, int to) {
  if (connection->silent || connection->reset[index(to)]) return;
  note("rst", *connection, static_cast<std::uint64_t>(to));
  connection->reset[index(to)] = true;
  if (SimulatedStream* end = connection->ends[index(to)]) end->deliver(kAllEvents);
}

void SimulatedReactor::break_both(const ConnectionPtr& connection) {
  for (const int side : {0, 1}) arrive_rst(connection, side);
}

void SimulatedReactor::tell_writable(const ConnectionPtr& connection, int side) {
  at(now_ + latency(connection->faults), [connection, side] {
    SimulatedStream* end = connection->ends[index(side)];
    if (end != nullptr && !connection->silent) end->deliver(kWritable);
  });
}

void SimulatedReactor::close(const ConnectionPtr& connection, int side, bool abort) {
  connection->ends[index(side)] = nullptr;
  connection->closed[index(side)] = true;
  note("close", *connection, static_cast<std::uint64_t>(side));
  if (connection->reset[index(side)]) return;
  // RFC 2525 2.17, and Linux: whoever closes with unread bytes tells the peer that they were lost. And a
  // handshake that nobody waits for any more is answered with RST.
  if (abort || (side == 0 && !connection->established) || !connection->pipes[index(1 - side)].unread.empty())
    send_rst(connection, 1 - side);
  else
    send_fin(connection, side);
}

void SimulatedReactor::reset_connections(const Address& address) {
  const auto live = connections_;  // events may make new ones
  for (const auto& weak : live)
    if (const ConnectionPtr connection = weak.lock(); connection && connection->addresses[1] == address)
      break_both(connection);
}

void SimulatedReactor::silence_connections(const Address& address) {
  for (const auto& weak : connections_)
    if (const ConnectionPtr connection = weak.lock(); connection && connection->addresses[1] == address)
      connection->silent = true;
}

}  // namespace weir::io
