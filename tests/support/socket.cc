#include "tests/support/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

#include "weir/base/check.h"

namespace weir::testing {
namespace {

sockaddr_in loopback(std::uint16_t port, const std::string& host = "127.0.0.1") {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  WEIR_CHECK(::inet_pton(AF_INET, host.c_str(), &address.sin_addr) == 1);
  return address;
}

const sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

bool can_listen(std::uint16_t port) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  return ::bind(socket.get(), as_sockaddr(address), sizeof address) == 0;
}

}  // namespace

void Fd::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Fd listen_on_loopback(std::uint16_t port, int backlog) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  WEIR_CHECK(socket);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(port);
  WEIR_CHECK(::bind(socket.get(), as_sockaddr(address), sizeof address) == 0);
  WEIR_CHECK(::listen(socket.get(), backlog) == 0);
  return socket;
}

std::uint16_t port_of(const Fd& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  WEIR_CHECK(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

Fd connect_to_loopback(std::uint16_t port, const std::string& source) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  WEIR_CHECK(socket);
  if (source != "127.0.0.1") {
    const sockaddr_in from = loopback(0, source);
    WEIR_CHECK(::bind(socket.get(), as_sockaddr(from), sizeof from) == 0);
  }
  const sockaddr_in to = loopback(port);
  if (::connect(socket.get(), as_sockaddr(to), sizeof to) != 0) return Fd();
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

void reset_connection(Fd& socket) {
  const linger at_once{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.close();
}

std::uint16_t free_port() {
  constexpr std::uint32_t kFirst = 10'000, kCount = 20'000;
  static std::atomic<std::uint32_t> next{
      static_cast<std::uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count() / 1000) ^
      (static_cast<std::uint32_t>(::getpid()) * 7919U)};
  for (std::uint32_t tries = 0; tries < kCount; ++tries) {
    const auto port = static_cast<std::uint16_t>(kFirst + next.fetch_add(1) % kCount);
    if (can_listen(port)) return port;
  }
  WEIR_CHECK(false);
  return 0;
}

void raise_descriptor_limit() {
  rlimit limit{};
  WEIR_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  WEIR_CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

}  // namespace weir::testing
