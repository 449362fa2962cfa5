// What only sockets have. The rules that hold on every network are in reactor_conformance_test.cc.
#include "weir/io/epoll_reactor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "weir/async/scope.h"
#include "weir/io/waiter.h"

namespace {
std::atomic<std::size_t> allocations{0};  // other tests have threads
}

// Counts what the program takes from the heap; not under AddressSanitizer, whose own operators check more.
// Not inlined: g++ would see a new that is freed by std::free.
#if !defined(__SANITIZE_ADDRESS__)
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes == 0 ? 1 : bytes)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
#endif

namespace weir::io {
namespace {

Address loopback(std::uint16_t port = 0) {
  Address address;
  address.ip = base::IpAddress::v4(0x7f000001);
  address.port = port;
  return address;
}

class Doorman final : public AcceptSink {
 public:
  void on_acceptable(Listener& listener) noexcept override {
    for (;;) {
      auto stream = listener.accept();
      if (!stream) errors.push_back(stream.error());
      if (!stream || *stream == nullptr) return;
      accepted.push_back(std::move(*stream));
    }
  }
  std::vector<std::unique_ptr<Stream>> accepted;
  std::vector<Error> errors;
};

class EpollReactorTest : public ::testing::Test {
 protected:
  EpollReactorTest() { listener->watch(&doorman); }
  void until(const std::function<bool()>& done) {
    while (!done()) reactor->turn();
  }
  void settle() {
    for (int i = 0; i < 4; ++i) {
      bool ran = false;
      reactor->post([&] { ran = true; });
      until([&] { return ran; });
    }
  }

  std::unique_ptr<EpollReactor> reactor = std::move(*EpollReactor::create());
  std::unique_ptr<Listener> listener = std::move(*reactor->listen(loopback(), {}));
  Doorman doorman;
};

// The number that the next descriptor will get.
int lowest_free() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(fd);
  return fd;
}

// The descriptor whose own end is `local` and whose other end is `peer`.
int descriptor_of(const Address& local, const Address& peer) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in own{}, other{};
    socklen_t own_length = sizeof own, other_length = sizeof other;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_length) != 0 || own.sin_family != AF_INET)
      continue;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&other), &other_length) != 0) continue;
    if (ntohs(own.sin_port) == local.port && ntohs(other.sin_port) == peer.port) return fd;
  }
  return -1;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

// Both ends send at once (TCP_NODELAY), never block, and are not inherited by other programs.
TEST_F(EpollReactorTest, SocketsAreSetUp) {
  const auto client = std::move(*reactor->connect(listener->local()));
  until([&] { return !doorman.accepted.empty() && client->may_write(); });
  for (const Stream* stream : {client.get(), doorman.accepted.front().get()}) {
    const int fd = descriptor_of(stream->local(), stream->peer());
    ASSERT_GE(fd, 0);
    EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
}

// Without a descriptor accept() says so and takes nobody; whoever waited gets in later.
TEST_F(EpollReactorTest, DescriptorsRunOut) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // First once with descriptors to spare: UBSan looks at types through a pipe when it sees them for the first
  // time.
  const auto first = std::move(*reactor->connect(listener->local()));
  until([&] { return !doorman.accepted.empty(); });
  doorman.accepted.clear();

  const auto client = std::move(*reactor->connect(listener->local()));
  const int next = lowest_free();
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  until([&] { return !doorman.errors.empty(); });
  const auto refused = reactor->connect(listener->local());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);

  EXPECT_EQ(doorman.errors.front().code, ErrorCode::out_of_descriptors);
  EXPECT_TRUE(doorman.errors.front().retryable);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_descriptors);
  EXPECT_TRUE(doorman.accepted.empty());
  doorman.on_acceptable(*listener);
  EXPECT_EQ(doorman.accepted.size(), 1U);
}

// What is destroyed leaves no descriptor behind.
TEST_F(EpollReactorTest, NothingStaysOpen) {
  const int before = lowest_free();
  {
    const auto second = std::move(*EpollReactor::create());
    const auto listening = std::move(*second->listen(loopback(), {}));
    Doorman door;
    listening->watch(&door);
    std::vector<std::unique_ptr<Stream>> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(std::move(*second->connect(listening->local())));
    while (door.accepted.size() < clients.size()) second->turn();
    EXPECT_FALSE(second->listen(listening->local(), {}));
    EXPECT_FALSE(second->listen({base::IpAddress::v4(0xc0000201), 1}, {})) << "192.0.2.1 is nobody's address";
  }
  EXPECT_EQ(lowest_free(), before);
}

// A client that goes away before it is accepted disturbs nobody.
TEST_F(EpollReactorTest, AClientThatLeavesBeforeAccept) {
  listener->watch(nullptr);
  auto gone = std::move(*reactor->connect(listener->local()));
  until([&] { return gone->may_write(); });
  gone->reset_on_close();
  gone.reset();
  listener->watch(&doorman);
  const auto stays = std::move(*reactor->connect(listener->local()));
  until([&] { return stays->may_write() && !doorman.accepted.empty(); });
  settle();
  EXPECT_TRUE(doorman.errors.empty());
  EXPECT_TRUE(std::any_of(doorman.accepted.begin(), doorman.accepted.end(),
                          [&](const auto& stream) { return stream->peer() == stays->local(); }));
}

// A foreign descriptor is watched by level: the event comes again until the cause is gone, and no more after
// that.
TEST_F(EpollReactorTest, ForeignDescriptors) {
  class Sink final : public EpollReactor::FdSink {
   public:
    void on_fd(int, bool readable, bool writable) noexcept override {
      reads += readable ? 1 : 0;
      writes += writable ? 1 : 0;
      if (watch_to_drop != nullptr) watch_to_drop->reset();
    }
    int reads = 0;
    int writes = 0;
    std::unique_ptr<EpollReactor::FdWatch>* watch_to_drop = nullptr;
  };
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  Sink sink;
  auto watch = std::make_unique<EpollReactor::FdWatch>(*reactor, fd, sink);
  ASSERT_TRUE(watch->want(true, false));
  settle();
  EXPECT_EQ(sink.reads, 0);
  std::uint64_t one = 1;
  ASSERT_EQ(::write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  until([&] { return sink.reads >= 3; });
  ASSERT_EQ(::read(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  const int reads = sink.reads;
  settle();
  EXPECT_EQ(sink.reads, reads);

  ASSERT_TRUE(watch->want(false, true));
  until([&] { return sink.writes > 0; });
  ASSERT_TRUE(watch->want(false, false));
  const int writes = sink.writes;
  settle();
  EXPECT_EQ(sink.writes, writes);

  ASSERT_TRUE(watch->want(true, true));
  sink.watch_to_drop = &watch;
  until([&] { return watch == nullptr; });
  settle();
  EXPECT_EQ(sink.writes, writes + 1);
  ::close(fd);

  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  EpollReactor::FdWatch impossible(*reactor, file, sink);
  EXPECT_FALSE(impossible.want(true, false)) << "a plain file cannot be polled";
  ::close(file);
}

// Reads and writes whose answer is known make no system call: one that would block would set errno.
TEST_F(EpollReactorTest, KnownAnswersNeedNoSystemCall) {
  const auto client = std::move(*reactor->connect(listener->local()));
  until([&] { return !doorman.accepted.empty() && client->may_write(); });
  Stream& server = *doorman.accepted.front();
  std::array<char, 64> bytes;
  char text[] = "four";
  const iovec piece{text, 4};
  ASSERT_EQ(client->write({&piece, 1}).bytes, 4U);
  until([&] { return server.may_read(); });
  ASSERT_EQ(server.read(bytes).bytes, 4U);
  EXPECT_FALSE(server.may_read()) << "a short read has emptied the socket";
  errno = 0;
  EXPECT_EQ(server.read(bytes).status, IoStatus::would_block);
  EXPECT_EQ(errno, 0);

  ASSERT_EQ(client->write({&piece, 1}).bytes, 4U);
  until([&] { return server.may_read(); });
  ASSERT_EQ(server.read({bytes.data(), 4}).bytes, 4U);
  EXPECT_TRUE(server.may_read()) << "a full read says nothing about what is left";

  std::string much(1 << 20, 'x');
  const iovec all{much.data(), much.size()};
  std::size_t taken = much.size();
  while (taken == much.size()) taken = client->write({&all, 1}).bytes;
  EXPECT_FALSE(client->may_write()) << "a short write has filled the socket";
}

// After the first message, streams, waiters, timers and turns take nothing from the heap.
TEST_F(EpollReactorTest, NoAllocationForAMessage) {
  struct Echo {
    static async::Task<void> run(EpollReactor& on, Stream& stream, int messages, std::size_t& at_start) {
      Waiter waiter(on);
      stream.watch(&waiter);
      std::array<char, 64> bytes;
      for (int i = 0; i < messages;) {
        const IoResult got = stream.read(bytes);
        if (got.status == IoStatus::would_block) {
          co_await waiter.wait(Deadline::after(on.now(), std::chrono::seconds{60}));
          continue;
        }
        const iovec piece{bytes.data(), got.bytes};
        EXPECT_EQ(stream.write({&piece, 1}).bytes, got.bytes);
        if (++i == 10) at_start = allocations;
      }
      EXPECT_EQ(allocations, at_start);
      stream.watch(nullptr);
      on.stop();
    }
  };
  const auto client = std::move(*reactor->connect(listener->local()));
  until([&] { return !doorman.accepted.empty() && client->may_write(); });
  std::size_t at_client = 0, at_server = 0;
  async::Scope scope;
  scope.spawn(Echo::run(*reactor, *client, 2000, at_client));
  scope.spawn(Echo::run(*reactor, *doorman.accepted.front(), 1000, at_server));
  char text[] = "ping";
  const iovec piece{text, 4};
  ASSERT_EQ(client->write({&piece, 1}).bytes, 4U);
  reactor->run();
  EXPECT_EQ(scope.running(), 1U);
}

// A peer that answers and closes with bytes unread resets the connection. Whoever learns of it from a failed write,
// before any event, may still read the answer.
TEST_F(EpollReactorTest, AFailedWriteLeavesTheAnswerReadable) {
  const auto client = std::move(*reactor->connect(listener->local()));
  until([&] { return !doorman.accepted.empty() && client->may_write(); });
  std::array<char, 16> bytes;
  ASSERT_EQ(client->read(bytes).status, IoStatus::would_block);
  ASSERT_FALSE(client->may_read());
  char text[] = "ask";
  const iovec piece{text, 3};
  ASSERT_EQ(client->write({&piece, 1}).bytes, 3U);
  ASSERT_EQ(doorman.accepted.front()->write({&piece, 1}).bytes, 3U);
  doorman.accepted.clear();
  while (client->write({&piece, 1}).status == IoStatus::ok) {
  }
  EXPECT_TRUE(client->broken());
  ASSERT_TRUE(client->may_read());
  EXPECT_EQ(client->read(bytes).bytes, 3U);
  EXPECT_NE(client->read(bytes).status, IoStatus::ok);
}

// A timer that was armed while the loop slept long ago is still counted from the present.
TEST_F(EpollReactorTest, SleepsUntilTheNextTimerOnly) {
  bool done = false;
  struct Nap {
    static async::Task<void> run(EpollReactor& on, bool& ended) {
      for (int i = 0; i < 3; ++i) {
        const TimePoint due = on.now() + std::chrono::milliseconds{2};
        co_await async::sleep_until(on, due, nullptr);
        EXPECT_GE(on.precise_now(), due);
      }
      ended = true;
      on.stop();
    }
  };
  async::Scope scope;
  scope.spawn(Nap::run(*reactor, done));
  reactor->run();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace weir::io
