// What the hostile clients' tests share: a gateway before a real service, sockets that read as slowly as sockets can, and
// the bound on memory.
//
// Good clients come from 127.0.0.3, bad ones from 127.0.0.2 (or many addresses above 127.0.1.0): to the gateway they are
// different people.
#ifndef WEIR_TESTS_HOSTILE_HOSTILE_H_
#define WEIR_TESTS_HOSTILE_HOSTILE_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/gateway.h"
#include "tests/support/load.h"

namespace weir::testing {

inline constexpr const char* kGood = "127.0.0.3";
inline constexpr const char* kBad = "127.0.0.2";

inline bool long_run() { return std::getenv("WEIR_LONG") != nullptr; }

// Memory means nothing under a sanitizer, and time little.
inline constexpr bool plain_build() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

// Two workers and at most 50 requests in flight, before `service`.
inline std::string guarded(const DemoService& service) {
  return with(R"(
    load_shed: {max_in_flight: 50}
    upstreams: {users: {endpoints: [$URL]}}
    routes: [{path: /*, upstream: users}]
  )",
              {{"URL", service.url()}});
}

// A socket that advertises the smallest window there is, and never blocks. Empty when refused.
inline Fd slow_socket(std::uint16_t port, const std::string& source) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int smallest = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest);
  const auto address = [](const std::string& ip, std::uint16_t at) {
    sockaddr_in inet{};
    inet.sin_family = AF_INET;
    inet.sin_port = htons(at);
    ::inet_pton(AF_INET, ip.c_str(), &inet.sin_addr);
    sockaddr generic{};
    std::memcpy(&generic, &inet, sizeof inet);
    return generic;
  };
  const sockaddr from = address(source, 0);
  const sockaddr to = address("127.0.0.1", port);
  if (::bind(fd.get(), &from, sizeof from) != 0 || ::connect(fd.get(), &to, sizeof to) != 0) return {};
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

// What the socket takes at once; -1 when the peer has gone.
inline ssize_t push(const Fd& fd, std::string_view bytes) {
  const ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

}  // namespace weir::testing

#endif  // WEIR_TESTS_HOSTILE_HOSTILE_H_
