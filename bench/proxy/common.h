// What the three benchmark programs share: loopback sockets, arguments, clocks. Nothing of weir is in here,
// so that a change of weir can never change what it is measured with.
//
// Every failure of a system call that should not fail ends the program with one line: a benchmark that goes
// on after an error measures something else.
#ifndef WEIR_BENCH_PROXY_COMMON_H_
#define WEIR_BENCH_PROXY_COMMON_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>

namespace weir::bench {

[[noreturn]] inline void die(std::string_view what) {
  const int number = errno;
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(what.size()), what.data(), std::strerror(number));
  std::exit(2);
}

[[noreturn]] inline void usage(const char* text) {
  std::fputs(text, stderr);
  std::exit(2);
}

inline std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

// 10,000 connections need more than the usual soft limit.
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
}

inline std::uint64_t parse_number(std::string_view text) {
  char* end = nullptr;
  const std::string copy(text);
  const unsigned long long value = std::strtoull(copy.c_str(), &end, 10);
  if (copy.empty() || *end != '\0') {
    std::fprintf(stderr, "not a number: %s\n", copy.c_str());
    std::exit(2);
  }
  return value;
}

// "127.0.0.1:8080"
inline sockaddr_in parse_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const std::string host(text.substr(0, colon));
  if (colon == std::string_view::npos || ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    std::fprintf(stderr, "not an IPv4 address with a port: %.*s\n", static_cast<int>(text.size()),
                 text.data());
    std::exit(2);
  }
  address.sin_port = htons(static_cast<std::uint16_t>(parse_number(text.substr(colon + 1))));
  return address;
}

// sockaddr_in seen as the sockaddr that the socket calls ask for.
inline const sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

inline void set_nodelay(int fd) {
  const int on = 1;
  if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("TCP_NODELAY");
}

inline int listen_on(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, as_sockaddr(address), sizeof address) != 0) die("bind");
  if (::listen(fd, 4096) != 0) die("listen");
  return fd;
}

// On loopback a connection is there at once, or -1: nobody listens.
inline int connect_to(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (::connect(fd, as_sockaddr(address), sizeof address) != 0) {
    ::close(fd);
    return -1;
  }
  set_nodelay(fd);
  return fd;
}

inline int accept_from(int listener) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) set_nodelay(fd);
  return fd;
}

inline int new_epoll() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) die("epoll_create1");
  return fd;
}

// Whom an event is for.
class Watched {
 public:
  virtual void on_events() = 0;

 protected:
  ~Watched() = default;
};

inline void watch(int epoll, int fd, std::uint32_t events, Watched* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

// Waits for events, for at most `timeout_ns` (below 0: as long as it takes), and delivers them.
inline void turn(int epoll, std::int64_t timeout_ns) {
  epoll_event events[256];
  const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  const int count = ::epoll_pwait2(epoll, events, 256, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  for (int i = 0; i < count; ++i) static_cast<Watched*>(events[i].data.ptr)->on_events();
}

}  // namespace weir::bench

#endif  // WEIR_BENCH_PROXY_COMMON_H_
