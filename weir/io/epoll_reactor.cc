// The idea: with EPOLLET the kernel tells of a change once, so the flags of a stream can stand for the
// socket's state between two changes, and system calls whose answer the flags already know are left out.
//
//   (1) A read that gives fewer bytes than asked for has emptied the socket. Whatever arrives afterwards,
//       bytes or FIN, is a new edge; whatever arrived before it and is not yet delivered still stands in
//       epoll's list. So the flag can be cleared without a second recv that says EAGAIN. The one exception:
//       when the FIN's event has been delivered already (kHangup), no further edge will come, and the end
//       must be read: the flag stays.
//   (2) A write that takes fewer bytes than offered has filled the socket, and the kernel has noted that
//       somebody waits for room (SOCK_NOSPACE): the next edge comes when there is some.
//   (3) Registration includes EPOLLOUT for good. An edge caused by incoming bytes therefore also says
//       "writable"; that half is dropped where the stream knows it (kWritable set), or every request would
//       wake twice.
//   (4) events_[next_event_ .. event_count_) are the undelivered ones. Destroying anything that is registered
//       clears its entries there (forget), so a tag that is delivered is alive. Work mostly runs after the
//       batch, when that search is over nothing.
//   (5) Reads and writes call the kernel directly. The functions of libc are cancellation points: in a program with
//       threads each pays two atomic operations for pthread_cancel, which weir never uses. Sanitizers look into the
//       buffers of the functions they know, so under them it is libc.
//
// A peer that sends urgent data can make a read stop at its mark with bytes behind it; it only delays itself
// until its next segment, and timeouts bound that.
//
// Proved in epoll_reactor_test.cc, and by the conformance suite that runs the same tests on SimulatedReactor.
#include "weir/io/epoll_reactor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace weir::io {
namespace {

constexpr std::uint32_t kStreamEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::size_t kPiecesMax = 1024;  // IOV_MAX of Linux: sendmsg refuses more

// What a tag points to, in the low bits that alignment leaves free.
enum Kind : std::uint64_t { kStreamKind = 0, kListenerKind = 1, kWatchKind = 2, kWakeKind = 3 };

std::uint64_t tag_of(const void* object, Kind kind) noexcept {
  return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(object)) | kind;
}
template <class T>
T* object_of(std::uint64_t tag) noexcept {
  return reinterpret_cast<T*>(static_cast<std::uintptr_t>(tag & ~std::uint64_t{3}));
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* pointer() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const Address& address) noexcept {
  SocketAddress result;
  if (address.ip.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    std::memcpy(&in.sin_addr, address.ip.bytes().data(), 4);
    std::memcpy(&result.storage, &in, sizeof in);
    result.length = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(address.port);
    std::memcpy(&in.sin6_addr, address.ip.bytes().data(), 16);
    std::memcpy(&result.storage, &in, sizeof in);
    result.length = sizeof in;
  }
  return result;
}

Address from_socket_address(const SocketAddress& address) noexcept {
  Address result;
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address.storage, sizeof in);
    result.ip = base::IpAddress::v4(ntohl(in.sin_addr.s_addr));
    result.port = ntohs(in.sin_port);
  } else if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, &address.storage, sizeof in);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, 16);
    result.ip = base::IpAddress::v6(bytes);  // a mapped address is the IPv4 one
    result.port = ntohs(in.sin6_port);
  }
  return result;
}

Address local_address(int fd) noexcept {
  SocketAddress address;
  if (::getsockname(fd, address.pointer(), &address.length) != 0) return {};
  return from_socket_address(address);
}

int set_option(int fd, int level, int name, int value) noexcept {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

bool is_wildcard_v6(const base::IpAddress& ip) noexcept {
  return !ip.is_v4() &&
         std::all_of(ip.bytes().begin(), ip.bytes().end(), [](std::uint8_t b) { return b == 0; });
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
long receive(int fd, std::span<char> into) noexcept { return ::recv(fd, into.data(), into.size(), 0); }
long send_one(int fd, const iovec& piece) noexcept {
  return ::send(fd, piece.iov_base, piece.iov_len, MSG_NOSIGNAL);
}
long send_pieces(int fd, const msghdr& message) noexcept { return ::sendmsg(fd, &message, MSG_NOSIGNAL); }
#else
long receive(int fd, std::span<char> into) noexcept {  // (5)
  return ::syscall(SYS_recvfrom, fd, into.data(), into.size(), 0, nullptr, nullptr);
}
long send_one(int fd, const iovec& piece) noexcept {
  return ::syscall(SYS_sendto, fd, piece.iov_base, piece.iov_len, MSG_NOSIGNAL, nullptr, 0);
}
long send_pieces(int fd, const msghdr& message) noexcept {
  return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
}
#endif

IoResult moved(std::size_t bytes) noexcept { return {IoStatus::ok, ErrorCode::io_error, bytes}; }
IoResult blocked() noexcept { return {IoStatus::would_block, ErrorCode::io_error, 0}; }
IoResult failed(int number) noexcept { return {IoStatus::error, code_of_errno(number), 0}; }

}  // namespace

class EpollStream final : public Stream {
 public:
  enum class State : std::uint8_t { connecting, connected, refused };

  // Accepted.
  EpollStream(EpollReactor& reactor, int fd, const Address& peer) noexcept
      : fd_(fd), reactor_(reactor), peer_(peer), state_(State::connected), connect_error_(0) {}
  // After connect(), which gave `error`. However it went, the handshake's end comes as an edge.
  EpollStream(EpollReactor& reactor, int fd, const Address& peer, int error) noexcept
      : fd_(fd), reactor_(reactor), peer_(peer), state_(state_after(error)), connect_error_(error) {
    clear_ready(kReadable | kWritable);
  }
  ~EpollStream() override {
    reactor_.forget(tag());
    ::close(fd_);  // leaves epoll by itself: no other descriptor refers to the socket
  }

  IoResult read(std::span<char> into) noexcept override;
  IoResult write(std::span<const iovec> pieces) noexcept override;
  IoResult finish_connect() noexcept override;
  void shutdown_write() noexcept override { ::shutdown(fd_, SHUT_WR); }
  void reset_on_close() noexcept override {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  Address peer() const noexcept override { return peer_; }
  Address local() const noexcept override { return local_address(fd_); }

  std::uint64_t tag() const noexcept { return tag_of(this, kStreamKind); }
  void on_epoll(std::uint32_t events) noexcept;

 private:
  static State state_after(int error) noexcept {
    return error == 0 ? State::connected : error == EINPROGRESS ? State::connecting : State::refused;
  }
  // Nothing blocks any more. What came before the end can still be read, though its event has not been seen yet.
  IoResult broke(int number) noexcept {
    set_ready(kBroken | kReadable | kWritable);
    return failed(number);
  }

  int fd_;
  EpollReactor& reactor_;
  Address peer_;
  State state_;
  int connect_error_;
};

static_assert(sizeof(EpollStream) <= 64, "one size class of the pool, one cache line");

IoResult EpollStream::read(std::span<char> into) noexcept {
  if (!may_read()) return blocked();
  for (;;) {
    const long n = receive(fd_, into);
    if (n > 0) {
      const auto bytes = static_cast<std::size_t>(n);
      if (bytes < into.size() && !hung_up()) clear_ready(kReadable);  // (1)
      return moved(bytes);
    }
    if (n == 0) {
      set_ready(kHangup);
      return {IoStatus::end, ErrorCode::connection_closed, 0};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      clear_ready(kReadable);
      return blocked();
    }
    return broke(errno);
  }
}

IoResult EpollStream::write(std::span<const iovec> pieces) noexcept {
  if (!may_write()) return blocked();
  pieces = pieces.first(std::min(pieces.size(), kPiecesMax));
  std::size_t offered = 0;
  for (const iovec& piece : pieces) offered += piece.iov_len;
  for (;;) {
    long n = 0;
    if (pieces.size() == 1) {
      n = send_one(fd_, pieces[0]);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(pieces.data());  // sendmsg does not write to it
      message.msg_iovlen = pieces.size();
      n = send_pieces(fd_, message);
    }
    if (n >= 0) {
      const auto bytes = static_cast<std::size_t>(n);
      if (bytes < offered) clear_ready(kWritable);  // (2)
      return moved(bytes);
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      clear_ready(kWritable);
      return blocked();
    }
    return broke(errno);
  }
}

IoResult EpollStream::finish_connect() noexcept {
  if (state_ == State::connected) {
    set_ready(kWritable);  // connect() has succeeded at once: no need to wait for the edge
    return moved(0);
  }
  if (state_ == State::refused) return broke(connect_error_);
  if (!may_write() && !broken()) return blocked();
  int number = 0;
  socklen_t length = sizeof number;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &number, &length) != 0) number = errno;
  if (number == 0 && broken())
    number = ECONNABORTED;  // the error was taken elsewhere, but the socket is dead
  if (number != 0) {
    state_ = State::refused;
    connect_error_ = number;
    return broke(number);
  }
  state_ = State::connected;
  return moved(0);
}

void EpollStream::on_epoll(std::uint32_t bits) noexcept {
  unsigned events = 0;
  if ((bits & EPOLLIN) != 0) events |= kReadable;
  if ((bits & EPOLLOUT) != 0) events |= kWritable;
  if ((bits & EPOLLRDHUP) != 0) events |= kHangup | kReadable;
  if ((bits & EPOLLERR) != 0) events |= kBroken | kHangup | kReadable | kWritable;
  // EPOLLHUP: both directions are shut. After an end in good order there may be bytes to read, and no error.
  if ((bits & EPOLLHUP) != 0)
    events |= state_ == State::connected ? kHangup | kReadable | kWritable : kBroken | kReadable | kWritable;
  if (may_write()) events &= ~static_cast<unsigned>(kWritable);  // (3)
  if (events != 0) raise(events);
}

class EpollListener final : public Listener {
 public:
  EpollListener(EpollReactor& reactor, int fd) noexcept
      : reactor_(reactor), fd_(fd), local_(local_address(fd)) {}
  ~EpollListener() override {
    reactor_.forget(tag());
    ::close(fd_);
  }
  EpollListener(const EpollListener&) = delete;
  EpollListener& operator=(const EpollListener&) = delete;

  Result<std::unique_ptr<Stream>> accept() noexcept override;
  Address local() const noexcept override { return local_; }

  std::uint64_t tag() const noexcept { return tag_of(this, kListenerKind); }
  void on_epoll() noexcept {
    if (sink_ != nullptr) sink_->on_acceptable(*this);
  }

 private:
  EpollReactor& reactor_;
  const int fd_;
  const Address local_;
};

Result<std::unique_ptr<Stream>> EpollListener::accept() noexcept {
  for (;;) {
    SocketAddress from;
    const int fd = ::accept4(fd_, from.pointer(), &from.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      switch (errno) {
        case EAGAIN:
          return std::unique_ptr<Stream>{};
        // The client's doing, in the queue before we came; accept(2) lists them. The next one may be good.
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENOPROTOOPT:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENONET:
        case EOPNOTSUPP:
          continue;
        default:
          return Error::from_errno(errno, "accept", ErrorSource::internal);
      }
    }
    // TCP_NODELAY was inherited from the listening socket.
    auto stream = std::make_unique<EpollStream>(reactor_, fd, from_socket_address(from));
    if (const int error = reactor_.add(fd, kStreamEvents, stream->tag()); error != 0)
      return Error::from_errno(error, "epoll_ctl", ErrorSource::internal);
    return std::unique_ptr<Stream>(std::move(stream));
  }
}

Result<std::unique_ptr<EpollReactor>> EpollReactor::create() {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return Error::from_errno(errno, "epoll_create1");
  const int wake_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) {
    const int error = errno;
    ::close(epoll_fd);
    return Error::from_errno(error, "eventfd");
  }
  std::unique_ptr<EpollReactor> reactor(new EpollReactor(epoll_fd, wake_fd));
  // Edge-triggered, so it need not be read: each write to an eventfd is an edge, and the counter has 64 bits.
  if (const int error = reactor->add(wake_fd, EPOLLIN | EPOLLET, tag_of(nullptr, kWakeKind)); error != 0)
    return Error::from_errno(error, "epoll_ctl");
  return reactor;
}

EpollReactor::EpollReactor(int epoll_fd, int wake_fd) noexcept
    : epoll_fd_(epoll_fd), wake_fd_(wake_fd), now_(clock_.now()), timers_(now_) {}

EpollReactor::~EpollReactor() {
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

int EpollReactor::add(int fd, std::uint32_t events, std::uint64_t tag) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  return ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void EpollReactor::forget(std::uint64_t tag) noexcept {
  for (int i = next_event_; i < event_count_; ++i) {
    epoll_event& event = events_[static_cast<std::size_t>(i)];
    if (event.data.u64 == tag) event.events = 0;
  }
}

Result<std::unique_ptr<Listener>> EpollReactor::listen(const Address& address, const ListenOptions& options) {
  const int fd =
      ::socket(address.ip.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error::from_errno(errno, "socket");
  auto refuse = [&](int number, std::string_view call) {
    ::close(fd);
    return Error::from_errno(number, std::string(call) + " " + address.to_text());
  };
  int error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (error == 0 && options.reuse_port) error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (error == 0 && is_wildcard_v6(address.ip)) error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (error == 0) error = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // accepted sockets inherit it
  if (error != 0) return refuse(error, "setsockopt");
  SocketAddress at = to_socket_address(address);
  if (::bind(fd, at.pointer(), at.length) != 0) return refuse(errno, "bind");
  if (::listen(fd, options.backlog) != 0) return refuse(errno, "listen");
  auto made = std::make_unique<EpollListener>(*this, fd);
  error = add(fd, EPOLLIN | EPOLLET, made->tag());
  if (error != 0) return Error::from_errno(error, "epoll_ctl");
  return std::unique_ptr<Listener>(std::move(made));
}

Result<std::unique_ptr<Stream>> EpollReactor::connect(const Address& address) {
  const int fd =
      ::socket(address.ip.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error::from_errno(errno, "socket");
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);  // cannot fail on a TCP socket; without it only slower
  SocketAddress at = to_socket_address(address);
  int error = 0;
  while (::connect(fd, at.pointer(), at.length) != 0) {
    error = errno;
    if (error != EINTR) break;
  }
  auto stream = std::make_unique<EpollStream>(*this, fd, address, error);
  // Also what has failed already is added: epoll reports the dead socket, and its user learns as always.
  if (const int number = add(fd, kStreamEvents, stream->tag()); number != 0)
    return Error::from_errno(number, "epoll_ctl");
  return std::unique_ptr<Stream>(std::move(stream));
}

void EpollReactor::post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (first) wake();  // whoever made it non-empty has woken the loop
}

void EpollReactor::run_posted() noexcept {
  {
    const std::lock_guard lock(posted_mutex_);
    running_.swap(posted_);
  }
  for (auto& work : running_) work();
  running_.clear();
}

void EpollReactor::wake() noexcept {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake.
  if (::write(wake_fd_, &one, sizeof one) < 0) return;
}

void EpollReactor::stop() noexcept {
  stopped_.store(true, std::memory_order_release);  // pairs with run(): what was done before is seen there
  wake();
}

void EpollReactor::run() {
  while (!stopped_.load(std::memory_order_acquire)) turn();
  stopped_.store(false, std::memory_order_relaxed);  // may be run again
}

// Counted from now_, the beginning of the last turn: saves a clock read, and timers are late by a turn's
// length at most.
int EpollReactor::wait_ms() const noexcept {
  if (has_ready()) return 0;
  const TimePoint due = timers_.next_due();
  if (due == TimePoint::max()) return -1;
  if (due <= now_) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(due - now_).count();
  return static_cast<int>(std::min<std::int64_t>(ms, std::numeric_limits<int>::max()));
}

void EpollReactor::turn() noexcept {
  const int n = ::epoll_wait(epoll_fd_, events_.data(), kBatch, wait_ms());
  WEIR_CHECK(n >= 0 || errno == EINTR);
  const std::uint64_t before = activity_.load(std::memory_order_relaxed);
  activity_.store(before + 1, std::memory_order_relaxed);  // a plain add: there is no other writer
  now_ = clock_.now();
  next_event_ = 0;
  event_count_ = std::max(n, 0);  // interrupted by a signal: a turn without events
  deliver_events();
  run_ready();
  timers_.advance(now_);
  run_ready();
  if (woken_) {
    woken_ = false;
    run_posted();
    run_ready();
  }
  activity_.store(before + 2, std::memory_order_relaxed);
}

void EpollReactor::deliver_events() noexcept {
  while (next_event_ < event_count_) {
    const epoll_event event = events_[static_cast<std::size_t>(next_event_++)];
    if (event.events == 0) continue;  // forgotten
    const std::uint64_t tag = event.data.u64;
    switch (tag & 3) {
      case kStreamKind:
        object_of<EpollStream>(tag)->on_epoll(event.events);
        break;
      case kListenerKind:
        object_of<EpollListener>(tag)->on_epoll();
        break;
      case kWatchKind: {
        FdWatch& watch = *object_of<FdWatch>(tag);
        const bool dead = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
        watch.sink_.on_fd(watch.fd_, dead || (event.events & EPOLLIN) != 0,
                          dead || (event.events & EPOLLOUT) != 0);
        break;
      }
      default:
        woken_ = true;
        break;
    }
  }
}

EpollReactor::FdWatch::~FdWatch() {
  reactor_.forget(tag_of(this, kWatchKind));
  // A descriptor that was closed meanwhile is gone from epoll already; the error says only that.
  if (added_) ::epoll_ctl(reactor_.epoll_fd_, EPOLL_CTL_DEL, fd_, nullptr);
}

Result<void> EpollReactor::FdWatch::want(bool readable, bool writable) {
  epoll_event event{};
  event.events = (readable ? static_cast<std::uint32_t>(EPOLLIN) : 0U) |
                 (writable ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
  event.data.u64 = tag_of(this, kWatchKind);
  const bool wanted = event.events != 0;
  if (!wanted && !added_) return {};
  const int operation = !wanted ? EPOLL_CTL_DEL : added_ ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (!wanted) reactor_.forget(event.data.u64);
  const bool done = ::epoll_ctl(reactor_.epoll_fd_, operation, fd_, &event) == 0;
  if (!done && wanted) return Error::from_errno(errno, "epoll_ctl");
  added_ = wanted;
  return {};
}

}  // namespace weir::io
