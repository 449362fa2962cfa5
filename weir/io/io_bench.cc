// What the engine itself costs: timers, wakes, turns, and an echo over loopback beside the bare system calls.
//
// BM_EchoBare is the floor: the same number of epoll_wait, recv and send calls in a plain loop. BM_EchoStream
// is the reactor with two coroutines. Only their ratio means anything on a shared machine.
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include "weir/async/scope.h"
#include "weir/base/random.h"
#include "weir/io/epoll_reactor.h"
#include "weir/io/simulated_reactor.h"
#include "weir/io/timer_wheel.h"
#include "weir/io/waiter.h"

namespace weir::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class NullTimer final : public async::Timer {
 public:
  void on_timer() noexcept override {}
};

class WheelLoop final : public async::Loop {
 public:
  TimePoint now() const noexcept override { return now_; }
  void advance(Duration by) {
    now_ += by;
    wheel.advance(now_);
  }
  TimePoint now_{seconds{1000}};
  TimerWheel wheel{now_};

 private:
  void schedule(async::Timer& timer) noexcept override { wheel.schedule(timer); }
};

// Arm and disarm one of 10,000 timers, at usual distances (1 ms to 60 s).
void BM_TimerArmDisarm(benchmark::State& state) {
  WheelLoop loop;
  base::Random random(1);
  std::vector<NullTimer> timers(10'000);
  std::vector<TimePoint> dues(4096);
  for (TimePoint& due : dues) due = loop.now() + milliseconds{1 + random.below(60'000)};
  for (std::size_t i = 0; i < timers.size(); ++i) loop.arm(timers[i], dues[i % dues.size()]);
  std::size_t i = 0;
  for (auto _ : state) {
    NullTimer& timer = timers[i % 64];
    timer.disarm();
    loop.arm(timer, dues[i++ & (dues.size() - 1)]);
  }
}
BENCHMARK(BM_TimerArmDisarm);

// The whole life of a timer that does fire: arm, move down, fire. Time goes on by a millisecond a turn.
void BM_TimerArmFire(benchmark::State& state) {
  WheelLoop loop;
  base::Random random(1);
  std::vector<NullTimer> timers(10'000);
  for (auto _ : state) {
    for (NullTimer& timer : timers) loop.arm(timer, loop.now() + milliseconds{1 + random.below(1000)});
    for (int ms = 0; ms < 1002; ++ms) loop.advance(milliseconds{1});
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(timers.size()));
}
BENCHMARK(BM_TimerArmFire);

// What a turn asks of the wheel when no timer is due, with 10,000 armed.
void BM_WheelIdleTurn(benchmark::State& state) {
  WheelLoop loop;
  std::vector<NullTimer> timers(10'000);
  for (NullTimer& timer : timers) loop.arm(timer, loop.now() + std::chrono::hours{1000});
  for (auto _ : state) {
    loop.advance(Duration{100});
    benchmark::DoNotOptimize(loop.wheel.next_due());
  }
}
BENCHMARK(BM_WheelIdleTurn);

class ReadyLoop final : public async::Loop {
 public:
  TimePoint now() const noexcept override { return TimePoint{seconds{1000}}; }
  void run() { run_ready(); }

 private:
  void schedule(async::Timer& timer) noexcept override { timers_.push_back(timer); }
  base::IntrusiveList<async::Timer, async::Timer> timers_;
};

async::Task<void> wait_for_ever(Waiter& waiter, Deadline deadline) {
  for (;;) co_await waiter.wait(deadline);
}

// An event, the ready list, the coroutine's resumption and its next wait, with a deadline that is armed
// already.
void BM_WaiterWake(benchmark::State& state) {
  ReadyLoop loop;
  Waiter waiter(loop);
  async::Scope scope;
  scope.spawn(wait_for_ever(waiter, Deadline::after(loop.now(), seconds{60})));
  for (auto _ : state) {
    waiter.notify();
    loop.run();
  }
}
BENCHMARK(BM_WaiterWake);

constexpr int kPairs = 64;
constexpr std::size_t kMessage = 200;
constexpr std::int64_t kRound = 1024;  // messages an iteration

int bare_socket() { return ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

// 64 connections over loopback; each end answers each message with a message.
void BM_EchoBare(benchmark::State& state) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const int listening = bare_socket();
  const int on = 1;
  ::setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  if (::bind(listening, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || ::listen(listening, kPairs) != 0)
    std::abort();
  ::getsockname(listening, reinterpret_cast<sockaddr*>(&at), &length);
  std::vector<int> fds;
  for (int i = 0; i < kPairs; ++i) {
    const int client = bare_socket();
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    static_cast<void>(::connect(client, reinterpret_cast<sockaddr*>(&at), sizeof at));
    int server = -1;
    while (server < 0) server = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    for (const int fd : {client, server}) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLET;
      event.data.fd = fd;
      ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
      fds.push_back(fd);
    }
  }
  std::array<char, 4096> bytes{};
  for (int i = 0; i < kPairs; ++i)
    if (::send(fds[static_cast<std::size_t>(2 * i)], bytes.data(), kMessage, MSG_NOSIGNAL) < 0) std::abort();
  std::array<epoll_event, 256> events;
  int left = 0, next = 0;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < kRound; ++i, --left) {
      if (left == 0) left = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1), next = 0;
      const int fd = events[static_cast<std::size_t>(next++)].data.fd;
      const ssize_t n = ::recv(fd, bytes.data(), bytes.size(), 0);
      if (n > 0 && ::send(fd, bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) < 0) std::abort();
    }
  }
  state.SetItemsProcessed(state.iterations() * kRound);
  for (const int fd : fds) ::close(fd);
  ::close(listening);
  ::close(epoll);
}
BENCHMARK(BM_EchoBare);

struct Count {
  std::int64_t messages = 0;
  std::int64_t until = 0;
};

async::Task<void> echo(Reactor& reactor, Stream& stream, Count& count) {
  Waiter waiter(reactor);
  stream.watch(&waiter);
  std::array<char, 4096> bytes;
  for (;;) {
    const IoResult got = stream.read(bytes);
    if (got.status == IoStatus::would_block) {
      co_await waiter.wait(Deadline::after(reactor.now(), seconds{60}));
      continue;
    }
    if (got.status != IoStatus::ok) co_return;
    const iovec piece{bytes.data(), got.bytes};
    if (stream.write({&piece, 1}).bytes != got.bytes) std::abort();
    if (++count.messages == count.until) reactor.stop();  // the rest of the turn still runs
  }
}

// The same with streams, waiters and a deadline for each wait, on the reactor.
void BM_EchoStream(benchmark::State& state) {
  auto reactor = std::move(*EpollReactor::create());
  Address at;
  at.ip = base::IpAddress::v4(INADDR_LOOPBACK);
  auto listener = std::move(*reactor->listen(at, {}));
  std::vector<std::unique_ptr<Stream>> streams;
  Count count;
  for (int i = 0; i < kPairs; ++i) {
    streams.push_back(std::move(*reactor->connect(listener->local())));
    while (!streams.back()->may_write()) reactor->turn();
    std::unique_ptr<Stream> server;
    while (server == nullptr) server = std::move(*listener->accept());
    streams.push_back(std::move(server));
  }
  async::Scope scope;
  for (auto& stream : streams) scope.spawn(echo(*reactor, *stream, count));
  std::array<char, kMessage> bytes{};
  const iovec piece{bytes.data(), bytes.size()};
  for (int i = 0; i < kPairs; ++i)
    if (streams[static_cast<std::size_t>(2 * i)]->write({&piece, 1}).bytes != kMessage) std::abort();
  for (auto _ : state) {
    count.until = count.messages + kRound;
    reactor->run();
  }
  state.SetItemsProcessed(count.messages);
  for (auto& stream : streams) stream->watch(nullptr);
}
BENCHMARK(BM_EchoStream);

}  // namespace
}  // namespace weir::io

BENCHMARK_MAIN();
