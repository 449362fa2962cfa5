#include "tests/faults/fault_proxy.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "weir/base/check.h"

namespace weir::testing {
namespace {

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

// One connection through the proxy.
struct FaultProxy::Line {
  Fd client;
  Fd service;
  std::mt19937_64 random;
  std::size_t answered = 0;  // bytes
};

FaultProxy::FaultProxy(std::uint16_t to, std::uint64_t seed)
    : to_(to),
      seed_(seed),
      listener_(listen_on_loopback()),
      port_(port_of(listener_)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  WEIR_CHECK(static_cast<bool>(stop_));
  acceptor_ = std::thread([this] { accept_loop(); });
}

FaultProxy::~FaultProxy() {
  const std::uint64_t one = 1;
  WEIR_CHECK(::write(stop_.get(), &one, sizeof one) == sizeof one);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
}

void FaultProxy::set(const Network& network) {
  const std::lock_guard lock(mutex_);
  network_ = network;
}

Network FaultProxy::network() const {
  const std::lock_guard lock(mutex_);
  return network_;
}

bool FaultProxy::pause(std::chrono::microseconds time) const {
  if (time.count() <= 0) return true;
  pollfd stop{stop_.get(), POLLIN, 0};
  const timespec wait{time.count() / 1'000'000, time.count() % 1'000'000 * 1000};
  return ::ppoll(&stop, 1, &wait, nullptr) == 0;
}

void FaultProxy::accept_loop() {
  for (;;) {
    std::array<pollfd, 2> wait{pollfd{listener_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(wait.data(), wait.size(), -1) < 0 || (wait[1].revents & POLLIN) != 0) return;
    Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    const std::uint64_t number = ++accepted_;
    threads_.emplace_back([this, fd = std::move(client), number]() mutable { serve(std::move(fd), number); });
  }
}

// A piece of an answer, with whatever goes wrong on its way. False: the connection is over.
bool FaultProxy::pass_answer(Line& line, std::string bytes) {
  while (!bytes.empty()) {
    const Network now = network();
    if (now.black_hole) return true;  // swallowed
    const auto draw = [&](std::size_t most) { return most == 0 ? 0 : line.random() % (most + 1); };
    std::size_t size = bytes.size();
    if (now.slice != 0) size = std::min<std::size_t>(size, 1 + draw(now.slice - 1));
    std::chrono::microseconds wait = now.latency;
    wait += std::chrono::milliseconds{draw(static_cast<std::size_t>(now.jitter.count()))};
    if (now.bytes_per_second != 0) {
      size = std::min(size, std::max<std::size_t>(1, now.bytes_per_second / 50));  // fifty pieces a second
      wait += std::chrono::microseconds{size * 1'000'000 / now.bytes_per_second};
    }
    if (!pause(wait)) return false;
    for (const std::optional<std::size_t>& end : {now.reset_after, now.cut_after})
      if (end) size = std::min(size, *end - std::min(*end, line.answered));
    std::string piece = bytes.substr(0, size);
    bytes.erase(0, size);
    if (now.corrupt_one_in != 0)
      for (char& c : piece)
        if (line.random() % now.corrupt_one_in == 0) c = static_cast<char>(c ^ (1 << line.random() % 8));
    line.answered += size;
    if (!send_all(line.client.get(), piece)) return false;
    if (now.reset_after && line.answered >= *now.reset_after) return reset_connection(line.client), false;
    if (now.cut_after && line.answered >= *now.cut_after) return false;
  }
  return true;
}

void FaultProxy::serve(Fd client, std::uint64_t number) {
  Line line{std::move(client), connect_to_loopback(to_), std::mt19937_64(seed_ * 1'000'003 + number), 0};
  if (!line.service) return reset_connection(line.client);
  std::array<char, 16 * 1024> bytes;
  bool client_open = true;
  for (;;) {
    std::array<pollfd, 3> wait{pollfd{client_open ? line.client.get() : -1, POLLIN, 0},
                               pollfd{line.service.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(wait.data(), wait.size(), -1) < 0 || (wait[2].revents & POLLIN) != 0) return;
    if (wait[0].revents != 0) {
      const ssize_t got = ::recv(line.client.get(), bytes.data(), bytes.size(), 0);
      if (got < 0) return;
      if (got == 0) {
        client_open = false;
        ::shutdown(line.service.get(), SHUT_WR);
      } else if (!send_all(line.service.get(), {bytes.data(), static_cast<std::size_t>(got)})) {
        return;
      }
    }
    if (wait[1].revents == 0) continue;
    const ssize_t got = ::recv(line.service.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      while (network().black_hole)
        if (!pause(std::chrono::milliseconds{10})) return;
      static_cast<void>(pause(network().slow_close));
      return;
    }
    if (!pass_answer(line, std::string(bytes.data(), static_cast<std::size_t>(got)))) return;
  }
}

}  // namespace weir::testing
