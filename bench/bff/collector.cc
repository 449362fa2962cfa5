// bench_collector: takes every POST and answers 200, so that what is measured is the exporter.
//
//   bench_collector 127.0.0.1:4318
#include <map>

#include "bench/proxy/common.h"

namespace weir::bench {
namespace {

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";

struct Client {
  std::string head;
  std::uint64_t body_left = 0;
};

// False when the connection is over.
bool serve(int fd, Client& client) {
  char bytes[65536];
  for (;;) {
    const ssize_t got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN;
    std::string_view rest(bytes, static_cast<std::size_t>(got));
    while (!rest.empty()) {
      if (client.body_left > 0) {
        const std::uint64_t taken = client.body_left < rest.size() ? client.body_left : rest.size();
        client.body_left -= taken;
        rest.remove_prefix(taken);
      } else {
        client.head.append(rest);
        rest = {};
        const std::size_t end = client.head.find("\r\n\r\n");
        if (end == std::string::npos) break;
        const std::size_t at = client.head.find("Content-Length: ");
        const std::uint64_t length = at < end ? std::strtoull(client.head.c_str() + at + 16, nullptr, 10) : 0;
        const std::uint64_t come = client.head.size() - end - 4;
        client.body_left = length > come ? length - come : 0;
        client.head.clear();
      }
      if (client.body_left == 0 && ::send(fd, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) < 0) return false;
    }
  }
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  if (argc != 2) usage("usage: bench_collector ADDRESS:PORT\n");
  const int listener = listen_on(parse_address(argv[1]));
  const int epoll = new_epoll();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll_ctl");
  std::map<int, Client> clients;
  for (;;) {
    epoll_event events[64];
    const int count = ::epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        for (int made = accept_from(listener); made >= 0; made = accept_from(listener)) {
          event.data.fd = made;
          if (::epoll_ctl(epoll, EPOLL_CTL_ADD, made, &event) != 0) die("epoll_ctl");
        }
      } else if (!serve(fd, clients[fd])) {
        clients.erase(fd);
        ::close(fd);
      }
    }
  }
}
