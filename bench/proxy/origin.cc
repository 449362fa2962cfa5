// bench_origin: an HTTP/1.1 service that costs as little as a service can, so that what is measured is the
// proxy.
//
//   bench_origin 127.0.0.1:9000 [--body 200]
//
// Any request gets 200 with a body of --body bytes; a target of /bytes/N gets N bytes. Keep-alive, pipelining
// in order, no request bodies. One thread, edge-triggered epoll, one recv and one send for each request. The
// answer is rendered once and sent again as it is.
#include <string>
#include <unordered_map>

#include "bench/proxy/common.h"

namespace weir::bench {
namespace {

constexpr std::size_t kHeadMax = 8 * 1024;

struct Connection {
  int fd = -1;
  std::size_t filled = 0;
  std::size_t unsent_from = 0;  // into *unsent
  std::string* unsent = nullptr;
  char buffer[kHeadMax];
};

class Origin {
 public:
  Origin(const sockaddr_in& address, std::size_t body) : body_(body), listener_(listen_on(address)) {
    watch(epoll_, listener_, EPOLLIN, nullptr);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int count = ::epoll_wait(epoll_, events, 256, -1);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.ptr == nullptr) {
          accept_all();
        } else {
          serve(static_cast<Connection*>(events[i].data.ptr));
        }
      }
    }
  }

 private:
  void accept_all() {
    for (int fd = accept_from(listener_); fd >= 0; fd = accept_from(listener_)) {
      auto* connection = new Connection;
      connection->fd = fd;
      watch(epoll_, fd, EPOLLIN | EPOLLOUT | EPOLLET, connection);
    }
  }

  void close(Connection* connection) {
    ::close(connection->fd);
    delete connection;
  }

  // A short read says that the socket is empty: the next event comes with the next bytes, so one recv is
  // enough.
  void serve(Connection* connection) {
    if (connection->unsent != nullptr && !flush(*connection)) return;
    const ssize_t got =
        ::recv(connection->fd, connection->buffer + connection->filled, kHeadMax - connection->filled, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close(connection);
    connection->filled += static_cast<std::size_t>(got);
    std::string_view rest(connection->buffer, connection->filled);
    for (;;) {
      const std::size_t end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      answer(*connection, rest.substr(0, end));
      rest.remove_prefix(end + 4);
    }
    std::memmove(connection->buffer, rest.data(), rest.size());
    connection->filled = rest.size();
    if (connection->filled == kHeadMax) close(connection);
  }

  void answer(Connection& connection, std::string_view head) {
    std::string& text = answer_of(size_asked(head));
    // A client that pipelines past an unsent answer would need a queue; the load generator does not.
    if (connection.unsent != nullptr) return;
    connection.unsent = &text;
    connection.unsent_from = 0;
    flush(connection);
  }

  bool flush(Connection& connection) {
    std::string_view rest(*connection.unsent);
    rest.remove_prefix(connection.unsent_from);
    const ssize_t sent = ::send(connection.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent > 0) connection.unsent_from += static_cast<std::size_t>(sent);
    if (connection.unsent_from < connection.unsent->size()) return false;
    connection.unsent = nullptr;
    return true;
  }

  std::size_t size_asked(std::string_view head) const {
    constexpr std::string_view kPrefix = "/bytes/";
    const std::size_t at = head.find(' ');
    if (at == std::string_view::npos || head.substr(at + 1, kPrefix.size()) != kPrefix) return body_;
    return std::strtoull(head.data() + at + 1 + kPrefix.size(), nullptr, 10);
  }

  std::string& answer_of(std::size_t body) {
    if (body == last_size_ && last_ != nullptr) return *last_;
    std::string& text = answers_[body];
    if (text.empty()) {
      text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body) +
             "\r\n\r\n";
      text.append(body, 'x');
    }
    last_ = &text;
    last_size_ = body;
    return text;
  }

  std::size_t body_;
  int epoll_ = new_epoll();
  int listener_;
  std::unordered_map<std::size_t, std::string> answers_;  // node-based: an answer stays where it is
  std::string* last_ = nullptr;
  std::size_t last_size_ = 0;
};

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  if (argc != 2 && !(argc == 4 && std::string_view(argv[2]) == "--body"))
    usage("usage: bench_origin ADDRESS:PORT [--body BYTES]\n");
  raise_descriptor_limit();
  Origin origin(parse_address(argv[1]), argc == 4 ? parse_number(argv[3]) : 200);
  origin.run();
}
