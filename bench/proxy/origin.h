// An HTTP/1.1 service that costs as little as a service can, so that what is measured is the proxy.
//
// Any request gets 200 with a body of the given size; a target of /bytes/N gets N bytes, one of /json/N a JSON text of
// so many. Keep-alive,
// pipelining in order, no request bodies. Edge-triggered, one recv and one send for each request; the answer
// is rendered once and sent again as it is. It lives on somebody's epoll: bench_origin's own, or that of the
// load generator.
#ifndef WEIR_BENCH_PROXY_ORIGIN_H_
#define WEIR_BENCH_PROXY_ORIGIN_H_

#include <string>
#include <unordered_map>

#include "bench/proxy/common.h"

namespace weir::bench {

class Origin final : public Watched {
 public:
  Origin(int epoll, const sockaddr_in& address, std::size_t body)
      : epoll_(epoll), body_(body), listener_(listen_on(address)) {
    watch(epoll_, listener_, EPOLLIN, this);
  }
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  void on_events() override {
    for (int fd = accept_from(listener_); fd >= 0; fd = accept_from(listener_)) {
      auto* connection = new Connection(*this, fd);  // deletes itself when its client closes
      watch(epoll_, fd, EPOLLIN | EPOLLOUT | EPOLLET, connection);
    }
  }

 private:
  static constexpr std::size_t kHeadMax = 8 * 1024;

  struct Connection final : Watched {
    Connection(Origin& owner, int socket) : origin(owner), fd(socket) {}
    void on_events() override { origin.serve(this); }

    Origin& origin;
    int fd;
    std::size_t filled = 0;
    std::size_t unsent_from = 0;  // into *unsent
    std::string* unsent = nullptr;
    char buffer[kHeadMax];
  };

  void close(Connection* connection) {
    ::close(connection->fd);
    delete connection;
  }

  // A short read says that the socket is empty: the next event
  // comes with the next bytes, so one recv is enough.
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
    std::string& text = json_asked(head) ? json_of(size_asked(head)) : answer_of(size_asked(head));
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

  static bool asks_for(std::string_view head, std::string_view prefix) {
    const std::size_t at = head.find(' ');
    return at != std::string_view::npos && head.substr(at + 1, prefix.size()) == prefix;
  }
  static bool json_asked(std::string_view head) { return asks_for(head, "/json/"); }

  std::size_t size_asked(std::string_view head) const {
    if (!asks_for(head, "/bytes/") && !json_asked(head)) return body_;
    return std::strtoull(head.data() + head.find('/', head.find(' ') + 2) + 1, nullptr, 10);
  }

  // A list of small objects, filled up with space.
  std::string& json_of(std::size_t body) {
    std::string& text = json_answers_[body];
    if (!text.empty()) return text;
    std::string json = "[0";
    for (int i = 0; json.size() + 110 < body; ++i)
      json +=
          ",{\"id\":" + std::to_string(1000 + i) +
          ",\"name\":\"A product with a name\",\"price\":12.50,\"tags\":[\"new\",\"sale\"],\"stock\":true}";
    if (json.size() + 1 < body) json.append(body - json.size() - 1, ' ');
    json += "]";
    text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(json.size()) + "\r\n\r\n" + json;
    return text;
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

  int epoll_;
  std::size_t body_;
  int listener_;
  std::unordered_map<std::size_t, std::string> answers_;  // node-based: an answer stays where it is
  std::unordered_map<std::size_t, std::string> json_answers_;
  std::string* last_ = nullptr;
  std::size_t last_size_ = 0;
};

}  // namespace weir::bench

#endif  // WEIR_BENCH_PROXY_ORIGIN_H_
