// bench_page_latency: what a page adds to the slowest of its services.
//
//   bench_page_latency SERVICES:PORT GATEWAY:PORT [--delay-us 20000] [--pairs 500] [--path /page]
//
// One thread that never sleeps is both the services and the client. A service answers exactly `delay` after a request has
// come. In turn it asks the services directly, three at once on three connections, and the gateway for its page of the same
// three; the difference of the two, pair by pair, is what the gateway adds. One request at a time: latency, not queueing.
// Prints the percentiles of both and of the difference, in microseconds.
#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "bench/proxy/common.h"

namespace weir::bench {
namespace {

constexpr int kServices = 3;
constexpr const char* kUsage =
    "usage: bench_page_latency SERVICES:PORT GATEWAY:PORT [--delay-us 20000] [--pairs 500] [--path /page]\n";

struct Options {
  sockaddr_in services{}, gateway{};
  std::uint64_t delay_ns = 20'000'000;
  std::size_t pairs = 500;
  std::string path = "/page";
};

// The delayed services: every whole head gets the same answer, later.
class Services {
 public:
  Services(const sockaddr_in& address, std::uint64_t delay_ns)
      : listener_(listen_on(address)), delay_ns_(delay_ns) {
    const std::string body = R"({"id":17,"name":"A name of ordinary length","tags":["new","sale"]})";
    answer_ = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  void turn() {
    for (int fd = accept_from(listener_); fd >= 0; fd = accept_from(listener_)) clients_.push_back({fd, {}});
    for (Client& client : clients_) {
      if (client.fd < 0) continue;
      char bytes[4096];
      const ssize_t got = ::recv(client.fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got == 0) ::close(client.fd), client.fd = -1;
      if (got <= 0) continue;
      client.in.append(bytes, static_cast<std::size_t>(got));
      for (std::size_t end = client.in.find("\r\n\r\n"); end != std::string::npos;
           end = client.in.find("\r\n\r\n")) {
        client.in.erase(0, end + 4);
        due_.push_back({now_ns() + delay_ns_, client.fd});
      }
    }
    while (!due_.empty() && due_.front().first <= now_ns()) {
      if (::send(due_.front().second, answer_.data(), answer_.size(), MSG_NOSIGNAL) < 0) die("send");
      due_.pop_front();
    }
  }

 private:
  struct Client {
    int fd;
    std::string in;
  };
  int listener_;
  std::uint64_t delay_ns_;
  std::string answer_;
  std::deque<Client> clients_;
  std::deque<std::pair<std::uint64_t, int>> due_;  // the delay is one: in order
};

// One keep-alive connection with one request at a time.
class Line {
 public:
  Line(const sockaddr_in& to, const std::string& path) : fd_(connect_to(to)) {
    if (fd_ < 0) die("connect");
    request_ = "GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n";
  }
  void ask() {
    in_.clear();
    if (::send(fd_, request_.data(), request_.size(), MSG_NOSIGNAL) < 0) die("send");
  }
  // True once the whole answer is there.
  bool answered() {
    char bytes[65536];
    const ssize_t got = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0) die("closed");
    if (got > 0) in_.append(bytes, static_cast<std::size_t>(got));
    const std::size_t end = in_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t at = in_.find("Content-Length: ");
    if (at == std::string::npos) die("no length");
    if (in_.size() < end + 4 + std::strtoull(in_.c_str() + at + 16, nullptr, 10)) return false;
    if (!in_.starts_with("HTTP/1.1 200")) {
      std::fprintf(stderr, "%s\n", in_.c_str());
      std::exit(1);
    }
    return true;
  }
  const std::string& text() const { return in_; }

 private:
  int fd_;
  std::string request_, in_;
};

double ask_all(Services& services, std::vector<std::unique_ptr<Line>>& lines) {
  const std::uint64_t begin = now_ns();
  for (const auto& line : lines) line->ask();
  std::vector<bool> done(lines.size());
  for (std::size_t left = lines.size(); left > 0;) {
    services.turn();
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (!done[i] && lines[i]->answered()) done[i] = true, --left;
  }
  return static_cast<double>(now_ns() - begin) / 1000;
}

void print(const char* name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[std::min(values.size() - 1,
                           static_cast<std::size_t>(share * static_cast<double>(values.size())))];
  };
  std::printf("%s p50_us=%.0f p90_us=%.0f p99_us=%.0f max_us=%.0f\n", name, at(0.5), at(0.9), at(0.99),
              values.back());
}

int run(const Options& options) {
  Services services(options.services, options.delay_ns);
  std::vector<std::unique_ptr<Line>> direct, page;
  for (int i = 0; i < kServices; ++i) direct.push_back(std::make_unique<Line>(options.services, "/"));
  page.push_back(std::make_unique<Line>(options.gateway, options.path));
  for (int i = 0; i < 20; ++i) ask_all(services, direct), ask_all(services, page);
  if (page.front()->text().find("Weir-Complete: ?0") != std::string::npos) {
    std::fprintf(stderr, "the page is not complete: %s\n", page.front()->text().c_str());
    return 1;
  }
  std::vector<double> alone, through, added;
  for (std::size_t i = 0; i < options.pairs; ++i) {
    alone.push_back(ask_all(services, direct));
    through.push_back(ask_all(services, page));
    added.push_back(through.back() - alone.back());
  }
  print("direct", alone);
  print("page", through);
  print("added", added);
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  if (argc < 3) usage(kUsage);
  Options options;
  options.services = parse_address(argv[1]);
  options.gateway = parse_address(argv[2]);
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--delay-us")
      options.delay_ns = parse_number(argv[i + 1]) * 1000;
    else if (name == "--pairs")
      options.pairs = parse_number(argv[i + 1]);
    else if (name == "--path")
      options.path = argv[i + 1];
    else
      usage(kUsage);
  }
  return run(options);
}
