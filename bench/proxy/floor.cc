// bench_floor: what the kernel alone costs a proxy.
//
//   bench_floor 127.0.0.1:8080 127.0.0.1:9000
//
// For each client connection one connection to the upstream; what arrives on one side is
// sent on the other, unread. A request and its answer cost four system calls (recv and
// send on both sides) and their share of epoll_wait: no proxy that moves bytes through
// user space can do with less. One thread, edge-triggered epoll.
#include <string>
#include <vector>

#include "bench/proxy/common.h"

namespace weir::bench {
namespace {

struct Pair;

struct Side {
  int fd = -1;
  Pair* pair = nullptr;
  Side* other = nullptr;
  std::string unsent;  // bytes for this side that it did not take at once
};

struct Pair {
  Side client;
  Side upstream;
};

class Floor {
 public:
  Floor(const sockaddr_in& address, const sockaddr_in& upstream)
      : upstream_(upstream), listener_(listen_on(address)) {
    add(listener_, EPOLLIN, nullptr);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int count = ::epoll_wait(epoll_, events, 256, -1);
      for (int i = 0; i < count; ++i) {
        auto* side = static_cast<Side*>(events[i].data.ptr);
        if (side == nullptr) {
          accept_all();
        } else if (side->fd >= 0) {
          relay(*side, events[i].events);
        }
      }
      for (Pair* pair : closed_) delete pair;  // now no event of this batch can name it any more
      closed_.clear();
    }
  }

 private:
  void add(int fd, std::uint32_t events, Side* side) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = side;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
  }

  void accept_all() {
    for (int fd = accept_from(listener_); fd >= 0; fd = accept_from(listener_)) {
      const int upstream = connect_to(upstream_);
      if (upstream < 0) {
        ::close(fd);
        continue;
      }
      auto* pair = new Pair;
      pair->client = {fd, pair, &pair->upstream, {}};
      pair->upstream = {upstream, pair, &pair->client, {}};
      add(pair->client.fd, EPOLLIN | EPOLLOUT | EPOLLET, &pair->client);
      add(pair->upstream.fd, EPOLLIN | EPOLLOUT | EPOLLET, &pair->upstream);
    }
  }

  void relay(Side& from, std::uint32_t events) {
    if ((events & EPOLLOUT) != 0 && !from.unsent.empty()) {
      flush(from);
      if (from.unsent.empty()) pump(*from.other);  // whose bytes were left in the socket meanwhile
    }
    if (from.fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) pump(from);
  }

  // A short read says that the socket is empty, so the usual message costs one recv and one send.
  void pump(Side& from) {
    Side& to = *from.other;
    while (to.unsent.empty()) {
      const ssize_t got = ::recv(from.fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return close(*from.pair);
      const ssize_t sent = ::send(to.fd, buffer_, static_cast<std::size_t>(got), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN) return close(*from.pair);
      const ssize_t taken = sent < 0 ? 0 : sent;
      if (taken < got) to.unsent.assign(buffer_ + taken, static_cast<std::size_t>(got - taken));
      if (static_cast<std::size_t>(got) < sizeof buffer_) return;
    }
  }

  void flush(Side& side) {
    const ssize_t sent = ::send(side.fd, side.unsent.data(), side.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) side.unsent.erase(0, static_cast<std::size_t>(sent));
  }

  void close(Pair& pair) {
    if (pair.client.fd < 0) return;
    ::close(pair.client.fd);
    ::close(pair.upstream.fd);
    pair.client.fd = pair.upstream.fd = -1;
    closed_.push_back(&pair);
  }

  sockaddr_in upstream_;
  int epoll_ = new_epoll();
  int listener_;
  std::vector<Pair*> closed_;
  char buffer_[64 * 1024];
};

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  if (argc != 3) usage("usage: bench_floor LISTEN:PORT UPSTREAM:PORT\n");
  raise_descriptor_limit();
  Floor(parse_address(argv[1]), parse_address(argv[2])).run();
}
