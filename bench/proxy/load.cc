// bench_load: asks an HTTP/1.1 service over many keep-alive connections and says what came of it.
//
//   closed loop   each connection sends its next request when the answer to the last has arrived:
//                   bench_load 127.0.0.1:8080 --connections 64 --requests 200000 --warmup 5000 --watch-pid 12
//   open loop     requests leave by the clock, so a slow answer does not slow the questions down; latency
//                 counts from the moment the request was due:
//                   bench_load 127.0.0.1:8080 --connections 10000 --rate 16700 --seconds 60
//   in one piece  the service behind the proxy lives in this program too, on the same thread, which never
//                 sleeps:
//                   bench_load 127.0.0.1:8080 --requests 200000 --origin 127.0.0.1:9000 --body 200
//   idle          one request a connection, then all are held open until stdin ends, then one more each:
//                   bench_load 127.0.0.1:8080 --connections 10000 --idle
//
// --field "Name: value" and --post JSON (a POST, of JSON) go with every request; ######## in them is the request's
// number, so that no two are alike, or its remainder by --numbers N. --awake never sleeps, as with --origin.
// --tokens FILE sends `Authorization: Bearer T`, T from the lines of FILE: the first --known lines in turn, but every
// --fresh-th request the next of the others. --any-status takes every answer for a good one (a flood).
//
// --client-header sends `X-Client: i` on connection i. --limit L --window-ms W expects the service to admit L
// requests a connection in any W ms (200) and to refuse the rest (429), and judges every answer by that
// (measure.h). Prints one line of name=value. Exit 0 when nothing went wrong, 1 when an answer was wrong or
// missing, 2 on misuse.
//
// One thread, epoll, one send and one recv for each request. Answers must carry Content-Length.
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/proxy/common.h"
#include "bench/proxy/measure.h"
#include "bench/proxy/origin.h"

namespace weir::bench {
namespace {

constexpr const char* kUsage =
    "usage: bench_load ADDRESS:PORT [--connections N] [--requests N | --seconds N] [--warmup N] [--rate N]\n"
    "                  [--path /P] [--client-header] [--limit L --window-ms W] [--slack-us U]\n"
    "                  [--tokens FILE [--known N] [--fresh N]] [--any-status]\n"
    "                  [--watch-pid PID] [--origin ADDRESS:PORT [--body BYTES]] [--idle]\n"
    "                  [--field 'Name: value'] [--post JSON] [--numbers N] [--awake]\n"
    "       bench_load --free-ports N\n";

struct Options {
  sockaddr_in address{};
  std::size_t connections = 64;
  std::uint64_t requests = 0;  // 0: bounded by seconds
  std::uint64_t seconds = 0;
  std::uint64_t warmup = 0;  // requests before anything is counted (closed loop)
  std::uint64_t rate = 0;    // requests a second; 0: closed loop
  std::string path = "/";
  bool client_header = false;
  std::string fields;  // lines, each with its end
  std::string post;    // "": GET
  bool awake = false;
  std::uint64_t numbers = 100'000'000;
  std::vector<std::string> tokens;
  std::size_t known = 0;    // 0: all
  std::uint64_t fresh = 0;  // 0: only known ones
  bool any_status = false;
  std::uint32_t limit = 0;  // 0: every answer must be 200
  std::uint64_t window_ns = 0;
  std::uint64_t slack_ns =
      0;  // what the gateway's own clock may be off (it reads it once a turn of its loop)
  int watch_pid = 0;
  std::optional<sockaddr_in> origin;
  std::size_t body = 200;
  bool idle = false;
};

// Stands for the request's number in what is sent, eight digits.
constexpr std::string_view kNumber = "########";

class Load;

struct Connection final : Watched {
  void on_events() override;

  Load* load = nullptr;
  int fd = -1;
  bool waiting = false;  // a request is out
  std::uint64_t sent_at = 0;
  std::uint64_t due_at = 0;
  std::uint64_t sent =
      0;  // requests so far: its next one is due at start + (sent * connections + index) / rate
  std::size_t index = 0;
  std::size_t received = 0;  // bytes of the answer
  std::size_t expected = 0;  // all of its bytes; 0 while the head is incomplete
  int status = 0;
  std::string head;  // only while an answer's head is split over several reads
  std::string request;
  std::vector<std::size_t> numbers;  // where it says the request's number
  std::optional<WindowCheck> check;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options), connections_(options.connections) {
    if (options_.origin) origin_.emplace(epoll_, *options_.origin, options_.body);
  }

  void connect_all() {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      Connection& connection = connections_[i];
      connection.load = this;
      connection.index = i;
      connection.fd = connect_to(options_.address);
      if (connection.fd < 0) die("connect");
      connection.request = (options_.post.empty() ? "GET " : "POST ") + options_.path +
                           " HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: bench_load\r\nAccept: */*\r\n" +
                           options_.fields;
      if (options_.client_header) connection.request += "X-Client: " + std::to_string(i) + "\r\n";
      if (!options_.post.empty())
        connection.request +=
            "Content-Type: application/json\r\nContent-Length: " + std::to_string(options_.post.size()) +
            "\r\n";
      connection.request += "\r\n" + options_.post;
      for (std::size_t at = 0; (at = connection.request.find(kNumber, at)) != std::string::npos; ++at)
        connection.numbers.push_back(at);
      if (options_.limit > 0) connection.check.emplace(options_.limit, options_.window_ns);
      watch(epoll_, connection.fd, EPOLLIN | EPOLLET, &connection);
    }
    open_ = connections_.size();
  }

  void closed_loop() {
    goal_ = options_.requests > 0 ? options_.warmup + options_.requests : ~std::uint64_t{0};
    begin_counting(options_.warmup == 0);
    const std::uint64_t end_at =
        options_.seconds > 0 ? now_ns() + options_.seconds * 1'000'000'000ULL : ~std::uint64_t{0};
    for (Connection& connection : connections_) send_request(connection, now_ns());
    while (in_flight_ > 0) {
      wait(100'000'000);
      if (now_ns() >= end_at) goal_ = issued_;
    }
    end_counting();
  }

  void open_loop() {
    const std::uint64_t total = options_.rate * options_.seconds;
    begin_counting(true);
    start_ = now_ns();
    for (scheduled_ = 0; scheduled_ < total;) {
      const std::uint64_t now = now_ns();
      while (scheduled_ < total && due_at(scheduled_) <= now) {
        Connection& connection = connections_[scheduled_ % connections_.size()];
        ++scheduled_;
        if (!connection.waiting && connection.fd >= 0) send_request(connection, due_of(connection));
      }
      if (scheduled_ < total) wait(due_at(scheduled_) - std::min(due_at(scheduled_), now_ns()));
    }
    const std::uint64_t patience = now_ns() + 10'000'000'000ULL;
    while (in_flight_ > 0 && now_ns() < patience) wait(100'000'000);
    missing_ = total - counted_;
    end_counting();
  }

  // Holds connections that have each had one answer; afterwards each must still give another.
  void idle() {
    goal_ = connections_.size();
    begin_counting(true);
    one_round();
    std::printf("idle=%zu\n", open_);
    std::fflush(stdout);
    char byte;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    goal_ += connections_.size();
    one_round();
    end_counting();
  }

  // True when all went well.
  bool report() const {
    const double seconds = static_cast<double>(ended_ - began_) / 1e9;
    std::printf("requests=%lu ok=%lu limited=%lu errors=%lu missing=%lu seconds=%.3f rps=%.0f", counted_, ok_,
                limited_, errors_, missing_, seconds, static_cast<double>(counted_) / seconds);
    std::printf(" bytes_per_answer=%lu", counted_ > 0 ? bytes_ / counted_ : 0);
    std::printf(" p50_us=%.0f p90_us=%.0f p99_us=%.0f p999_us=%.0f max_us=%.0f", us(0.5), us(0.9), us(0.99),
                us(0.999), static_cast<double>(latency_.max()) / 1e3);
    if (options_.limit > 0)
      std::printf(" over_admitted=%lu wrongly_refused=%lu worst_early_us=%.0f worst_late_us=%.0f",
                  over_admitted_, wrongly_refused_, static_cast<double>(worst_early_) / 1e3,
                  static_cast<double>(worst_late_) / 1e3);
    if (options_.watch_pid > 0)
      std::printf(" cpu_us_per_request=%.3f cpu_share=%.2f",
                  static_cast<double>(cpu_) / 1e3 / static_cast<double>(counted_),
                  static_cast<double>(cpu_) / static_cast<double>(ended_ - began_));
    std::printf("\n");
    return errors_ == 0 && missing_ == 0 && over_admitted_ == 0 && wrongly_refused_ == 0 && counted_ > 0;
  }

  void receive(Connection& connection);

 private:
  std::uint64_t due_at(std::uint64_t k) const {
    return start_ +
           static_cast<std::uint64_t>(static_cast<double>(k) * 1e9 / static_cast<double>(options_.rate));
  }
  std::uint64_t due_of(const Connection& connection) const {
    return due_at(connection.sent * connections_.size() + connection.index);
  }
  double us(double share) const { return static_cast<double>(latency_.quantile(share)) / 1e3; }

  void begin_counting(bool now) {
    counting_ = now;
    if (!now) return;
    began_ = now_ns();
    if (options_.watch_pid > 0) cpu_ = cpu_ns_of(options_.watch_pid);
  }
  void end_counting() {
    ended_ = now_ns();
    if (options_.watch_pid > 0) cpu_ = cpu_ns_of(options_.watch_pid) - cpu_;
  }

  void one_round() {
    for (Connection& connection : connections_) {
      if (connection.fd < 0) continue;
      send_request(connection, now_ns());
      while (connection.waiting) wait(100'000'000);
    }
  }

  void send_request(Connection& connection, std::uint64_t due) {
    if (issued_ >= goal_) return;
    ++issued_;
    ++connection.sent;
    ++in_flight_;
    connection.waiting = true;
    connection.due_at = due;
    connection.sent_at = now_ns();
    connection.received = connection.expected = 0;
    connection.head.clear();
    if (!connection.numbers.empty()) write_number(connection);
    const std::string& text = options_.tokens.empty() ? connection.request : with_token(connection);
    const ssize_t sent = ::send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != static_cast<ssize_t>(text.size())) lose(connection, "send");
  }

  const std::string& with_token(const Connection& connection) {
    const std::size_t known = options_.known == 0 ? options_.tokens.size() : options_.known;
    std::size_t index = issued_ % known;
    if (options_.fresh > 0 && issued_ % options_.fresh == 0 && known < options_.tokens.size())
      index = known + next_fresh_++ % (options_.tokens.size() - known);
    authorized_.assign(connection.request, 0, connection.request.size() - 2);
    authorized_.append("Authorization: Bearer ").append(options_.tokens[index]).append("\r\n\r\n");
    return authorized_;
  }

  void write_number(Connection& connection) const {
    char digits[24];
    std::snprintf(digits, sizeof digits, "%08lu", issued_ % options_.numbers);
    for (const std::size_t at : connection.numbers)
      connection.request.replace(at, kNumber.size(), digits, kNumber.size());
  }

  // Together with the origin it never sleeps. A peer that sleeps has to be woken, by the proxy, in whose time
  // that counts; and the slower a proxy is, the more often its peers sleep. Peers that are always awake cost
  // every proxy the same: nothing.
  void wait(std::uint64_t ns) { turn(epoll_, origin_ || options_.awake ? 0 : static_cast<std::int64_t>(ns)); }

  void take(Connection& connection, std::string_view bytes) {
    if (connection.expected == 0) {
      std::string_view head = bytes;
      if (!connection.head.empty()) head = connection.head.append(bytes);
      const std::size_t end = head.find("\r\n\r\n");
      if (end == std::string_view::npos) {
        if (connection.head.empty()) connection.head = bytes;
        if (connection.head.size() > 32 * 1024) lose(connection, "head too long");
        return;
      }
      if (!read_head(connection, head.substr(0, end)))
        return lose(connection, "no status or no Content-Length");
      connection.received = head.size();
      connection.expected += end + 4;
    } else {
      connection.received += bytes.size();
    }
    if (connection.received > connection.expected) return lose(connection, "more bytes than announced");
    if (connection.received == connection.expected) complete(connection);
  }

  static bool read_head(Connection& connection, std::string_view head) {
    constexpr std::string_view kVersion = "HTTP/1.1 ";
    constexpr std::string_view kLength = "\r\ncontent-length: ";
    if (!head.starts_with(kVersion)) return false;
    connection.status = std::atoi(head.data() + kVersion.size());
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
      if (head.size() - at < kLength.size()) return false;
      if (::strncasecmp(head.data() + at, kLength.data(), kLength.size()) != 0) continue;
      connection.expected = std::strtoull(head.data() + at + kLength.size(), nullptr, 10);
      return true;
    }
    return false;
  }

  void complete(Connection& connection) {
    connection.waiting = false;
    --in_flight_;
    const std::uint64_t now = now_ns();
    if (counting_) {
      ++counted_;
      bytes_ += connection.expected;
      latency_.add(now - connection.due_at);
      judge(connection, now);
    } else if (++warmed_ == options_.warmup) {
      begin_counting(true);
    }
    if (options_.idle) return;
    if (options_.rate == 0) return send_request(connection, now);
    // A request that fell due while the last answer was out leaves now, and counts from when it was due.
    if (connection.sent * connections_.size() + connection.index < scheduled_)
      send_request(connection, due_of(connection));
  }

  // Whatever is not a 429 has passed the limiter, also when it failed further behind.
  void judge(Connection& connection, std::uint64_t now) {
    if (connection.status == 429 && connection.check) {
      ++limited_;
      const std::uint64_t late = connection.check->refused(connection.sent_at);
      worst_late_ = std::max(worst_late_, late);
      wrongly_refused_ += late > options_.slack_ns ? 1 : 0;
      return;
    }
    if (connection.check) {
      const std::uint64_t early = connection.check->admitted(connection.sent_at, now);
      worst_early_ = std::max(worst_early_, early);
      over_admitted_ += early > options_.slack_ns ? 1 : 0;
    }
    if (connection.status == 200 || options_.any_status) {
      ++ok_;
    } else if (errors_++ < 5) {
      std::fprintf(stderr, "connection %zu: status %d\n", connection.index, connection.status);
    }
  }

  void lose(Connection& connection, const char* why) {
    if (errors_++ < 5) std::fprintf(stderr, "connection %zu lost: %s\n", connection.index, why);
    if (connection.waiting) --in_flight_;
    connection.waiting = false;
    ::close(connection.fd);
    connection.fd = -1;
    if (--open_ == 0) {
      std::fprintf(stderr, "every connection is lost\n");
      std::exit(1);
    }
  }

  const Options options_;
  std::vector<Connection> connections_;
  int epoll_ = new_epoll();
  std::optional<Origin> origin_;
  std::size_t open_ = 0;
  std::uint64_t goal_ = ~std::uint64_t{0};  // requests that may be issued
  std::uint64_t issued_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t scheduled_ = 0;  // open loop: requests that have fallen due
  std::uint64_t start_ = 0;

  bool counting_ = false;
  std::uint64_t warmed_ = 0;
  std::uint64_t began_ = 0, ended_ = 0, cpu_ = 0;
  std::uint64_t counted_ = 0, bytes_ = 0, ok_ = 0, limited_ = 0, errors_ = 0, missing_ = 0;
  std::uint64_t over_admitted_ = 0, wrongly_refused_ = 0, worst_early_ = 0, worst_late_ = 0;
  Histogram latency_;
  std::string authorized_;  // the request that is sent just now
  std::size_t next_fresh_ = 0;
  char buffer_[64 * 1024];
};

void Connection::on_events() { load->receive(*this); }

// A short read says that the socket is empty.
void Load::receive(Connection& connection) {
  for (;;) {
    if (connection.fd < 0) return;
    const ssize_t got = ::recv(connection.fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return lose(connection, got == 0 ? "closed" : "recv");
    if (!connection.waiting) return lose(connection, "bytes without a question");
    take(connection, std::string_view(buffer_, static_cast<std::size_t>(got)));
    if (static_cast<std::size_t>(got) < sizeof buffer_) return;
  }
}

// Ports that nobody listens on, from below the range that the kernel gives to outgoing connections: a port
// from inside it could be taken by one of our own connections before its server has started.
int free_ports(std::uint64_t count) {
  std::vector<int> held;
  std::uint32_t candidate =
      10'000 +
      static_cast<std::uint32_t>(now_ns() / 1000 ^ static_cast<std::uint64_t>(::getpid()) * 7919) % 20'000;
  while (held.size() < count) {
    candidate = candidate >= 31'000 ? 10'000 : candidate + 1;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = parse_address("127.0.0.1:" + std::to_string(candidate));
    if (::bind(fd, as_sockaddr(address), sizeof address) != 0) {
      ::close(fd);
      continue;
    }
    held.push_back(fd);
    std::printf("%u\n", candidate);
  }
  for (const int fd : held) ::close(fd);
  return 0;
}

std::vector<std::string> lines_of(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  if (lines.empty()) die(path);
  return lines;
}

Options parse(int argc, char** argv) {
  if (argc < 2) usage(kUsage);
  Options options;
  options.address = parse_address(argv[1]);
  for (int i = 2; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--any-status") {
      options.any_status = true;
    } else if (name == "--client-header") {
      options.client_header = true;
    } else if (name == "--awake") {
      options.awake = true;
    } else if (name == "--idle") {
      options.idle = true;
    } else if (i + 1 == argc) {
      usage(kUsage);
    } else if (name == "--field") {
      options.fields.append(argv[++i]).append("\r\n");
    } else if (name == "--post") {
      options.post = argv[++i];
    } else if (name == "--path") {
      options.path = argv[++i];
    } else if (name == "--tokens") {
      options.tokens = lines_of(argv[++i]);
    } else if (name == "--origin") {
      options.origin = parse_address(argv[++i]);
    } else {
      const std::uint64_t value = parse_number(argv[++i]);
      if (name == "--connections")
        options.connections = value;
      else if (name == "--requests")
        options.requests = value;
      else if (name == "--seconds")
        options.seconds = value;
      else if (name == "--warmup")
        options.warmup = value;
      else if (name == "--rate")
        options.rate = value;
      else if (name == "--known")
        options.known = value;
      else if (name == "--fresh")
        options.fresh = value;
      else if (name == "--limit")
        options.limit = static_cast<std::uint32_t>(value);
      else if (name == "--window-ms")
        options.window_ns = value * 1'000'000;
      else if (name == "--numbers" && value > 0)
        options.numbers = std::min<std::uint64_t>(value, 100'000'000);
      else if (name == "--body")
        options.body = value;
      else if (name == "--slack-us")
        options.slack_ns = value * 1'000;
      else if (name == "--watch-pid")
        options.watch_pid = static_cast<int>(value);
      else
        usage(kUsage);
    }
  }
  const bool bounded = options.requests > 0 || options.seconds > 0 || options.idle;
  if (!bounded || options.connections == 0 || (options.rate > 0 && options.seconds == 0)) usage(kUsage);
  if (options.known > options.tokens.size()) usage(kUsage);
  if ((options.limit > 0) != (options.window_ns > 0)) usage(kUsage);
  return options;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  if (argc == 3 && std::string_view(argv[1]) == "--free-ports") return free_ports(parse_number(argv[2]));
  const Options options = parse(argc, argv);
  raise_descriptor_limit();
  const auto load = std::make_unique<Load>(options);
  load->connect_all();
  if (options.idle) {
    load->idle();
  } else if (options.rate > 0) {
    load->open_loop();
  } else {
    load->closed_loop();
  }
  return load->report() ? 0 : 1;
}
