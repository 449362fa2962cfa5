#include "weir/upstream/pool.h"

#include <cstdint>
#include <utility>

namespace weir::upstream {

namespace {

// How long a failed look-up of a name is waited for before it is tried again beside the old addresses.
constexpr Duration kRetryAfterFailure = std::chrono::seconds{5};
constexpr std::size_t kMinusOne = SIZE_MAX;  // unsigned arithmetic wraps
constexpr Duration kRefreshTimeout = std::chrono::seconds{5};

}  // namespace

Connection::Connection(EndpointPool& pool, std::unique_ptr<io::Stream> stream, TimePoint now) noexcept
    : pool_(pool), stream_(std::move(stream)), created_(now) {
  EndpointPool::bump(pool_.open_, 1);
}

Connection::~Connection() { EndpointPool::bump(pool_.open_, kMinusOne); }

// Only idle connections are watched by themselves; a call watches its own.
void Connection::on_event(io::Stream&, unsigned events) noexcept {
  if ((events & (io::kReadable | io::kHangup | io::kBroken)) != 0) pool_.drop_idle(*this);
}

EndpointPool::EndpointPool(io::Reactor& reactor, io::Resolver& resolver, async::Scope& background,
                           std::string host, std::uint16_t port, const PoolOptions& options)
    : reactor_(reactor),
      resolver_(resolver),
      background_(background),
      host_(std::move(host)),
      port_(port),
      options_(options) {
  if (Result<base::IpAddress> ip = base::IpAddress::parse(host_)) {
    literal_ = true;
    addresses_.push_back(*ip);
  }
}

EndpointPool::~EndpointPool() {
  while (!idle_list_.empty()) delete &idle_list_.pop_front();
}

std::unique_ptr<Connection> EndpointPool::take_idle() noexcept {
  while (!idle_list_.empty()) {
    std::unique_ptr<Connection> connection(&idle_list_.pop_front());
    bump(idle_count_, kMinusOne);
    connection->stream_->watch(nullptr);
    const bool fresh = reactor_.now() - connection->created_ < options_.age_max;
    if (fresh && !connection->stream_->hung_up()) return connection;
  }
  return nullptr;
}

Result<std::unique_ptr<Connection>> EndpointPool::connect(std::size_t attempt) {
  WEIR_CHECK(!addresses_.empty());
  io::Address to;
  to.ip = addresses_[attempt % addresses_.size()];
  to.port = port_;
  Result<std::unique_ptr<io::Stream>> stream = reactor_.connect(to);
  if (!stream) return stream.error();
  if (options_.tls != nullptr) *stream = options_.tls->wrap(std::move(*stream), host_, tls_session_);
  return std::make_unique<Connection>(*this, std::move(*stream), reactor_.now());
}

void EndpointPool::give_back(std::unique_ptr<Connection> connection) noexcept {
  ++connection->served_;
  if (connection->stream_->hung_up() || idle() >= options_.idle_max) return;
  connection->idle_since_ = reactor_.now();
  connection->stream_->watch(connection.get());
  idle_list_.push_front(*connection.release());
  bump(idle_count_, 1);
  if (!armed()) reactor_.arm(*this, reactor_.now() + options_.idle_for);
}

void EndpointPool::drop_idle(Connection& connection) noexcept {
  connection.unlink();
  bump(idle_count_, kMinusOne);
  delete &connection;
}

void EndpointPool::on_timer() noexcept {
  const TimePoint now = reactor_.now();
  while (!idle_list_.empty() && idle_list_.back().idle_since_ + options_.idle_for <= now)
    drop_idle(idle_list_.back());
  if (!idle_list_.empty()) reactor_.arm(*this, idle_list_.back().idle_since_ + options_.idle_for);
}

bool EndpointPool::resolved() noexcept {
  if (literal_) return true;
  if (!addresses_.empty() && reactor_.now() >= fresh_until_ && !refreshing_) {
    refreshing_ = true;
    background_.spawn(refresh());
  }
  return !addresses_.empty();
}

async::Task<Result<void>> EndpointPool::resolve(Deadline deadline) {
  if (resolved()) co_return Result<void>{};
  Result<io::Resolved> answer = co_await resolver_.resolve(host_, deadline);
  if (!answer) co_return answer.error();
  keep(*answer);
  co_return Result<void>{};
}

async::Task<void> EndpointPool::refresh() {
  Result<io::Resolved> answer =
      co_await resolver_.resolve(host_, Deadline::after(reactor_.now(), kRefreshTimeout));
  if (answer)
    keep(*answer);
  else
    fresh_until_ = reactor_.now() + kRetryAfterFailure;
  refreshing_ = false;
}

void EndpointPool::keep(const io::Resolved& answer) {
  addresses_ = answer.addresses;
  fresh_until_ = reactor_.now() + answer.ttl;
}

}  // namespace weir::upstream
