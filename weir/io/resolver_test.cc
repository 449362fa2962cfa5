#include "weir/io/resolver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "weir/async/scope.h"
#include "weir/io/cares_resolver.h"

namespace weir::io {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

using Answer = std::optional<Result<Resolved>>;

async::Task<void> ask(Resolver& resolver, std::string host, Deadline deadline, Answer& answer) {
  answer.emplace(co_await resolver.resolve(std::move(host), deadline));
}

base::IpAddress ip(std::string_view text) { return *base::IpAddress::parse(text); }

// The table answers what it was told, and an address in text form is itself.
TEST(TableResolver, AnswersFromItsTable) {
  TableResolver resolver;
  Resolved entry;
  entry.addresses = {ip("10.0.0.1"), ip("10.0.0.2")};
  entry.ttl = seconds{5};
  resolver.set("orders", entry);
  async::Scope scope;
  Answer known, unknown, literal;
  scope.spawn(ask(resolver, "orders", Deadline::never(), known));
  scope.spawn(ask(resolver, "nobody", Deadline::never(), unknown));
  scope.spawn(ask(resolver, "::1", Deadline::never(), literal));
  EXPECT_EQ((*known)->addresses, entry.addresses);
  EXPECT_EQ((*known)->ttl, entry.ttl);
  EXPECT_EQ(unknown->error().code, ErrorCode::name_not_resolved);
  EXPECT_EQ((*literal)->addresses, std::vector{ip("::1")});
}

// A DNS server on a UDP socket of the same loop: answers A queries from a table, AAAA with nothing.
class NameServer final : public EpollReactor::FdSink {
 public:
  struct Record {
    std::vector<std::string> addresses;
    std::uint32_t ttl = 0;
    unsigned code = 0;  // RFC 1035 4.1.1: 2 server failure, 3 no such name
    bool silent = false;
  };

  explicit NameServer(EpollReactor& reactor)
      : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    socklen_t length = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &length);
    port_ = ntohs(at.sin_port);
    watch_ = std::make_unique<EpollReactor::FdWatch>(reactor, fd_, *this);
    EXPECT_TRUE(watch_->want(true, false));
  }
  ~NameServer() {
    watch_.reset();
    ::close(fd_);
  }
  CaresOptions options() const {
    CaresOptions made;
    made.servers = "127.0.0.1:" + std::to_string(port_);
    made.attempt_timeout = milliseconds{50};
    made.attempts = 2;
    return made;
  }

  void on_fd(int fd, bool, bool) noexcept override {
    std::string query(1500, '\0');
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const ssize_t n =
        ::recvfrom(fd, query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 17) return;
    query.resize(static_cast<std::size_t>(n));
    ++queries;
    std::string name;
    std::size_t at = 12;
    while (query[at] != '\0') {
      const auto label = static_cast<std::size_t>(query[at]);
      if (!name.empty()) name += '.';
      name += query.substr(at + 1, label);
      at += label + 1;
    }
    const std::size_t question_end = at + 5;
    const bool wants_a = query[at + 2] == 1;
    const auto found = records.find(name);
    Record record;
    record.code = 3;
    if (found != records.end()) record = found->second;
    if (record.silent) return;
    std::string answer = query.substr(0, question_end);
    answer[2] = static_cast<char>(0x84);  // an answer, authoritative
    answer[3] = static_cast<char>(record.code);
    std::string body;
    std::uint16_t count = 0;
    for (const std::string& text : record.addresses) {
      if (!wants_a) break;
      body += std::string("\xc0\x0c\0\1\0\1", 6);
      for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(record.ttl >> shift);
      body += std::string("\0\4", 2);
      body.append(reinterpret_cast<const char*>(ip(text).bytes().data()), 4);
      ++count;
    }
    answer[6] = 0, answer[7] = static_cast<char>(count);
    answer[8] = answer[9] = answer[10] = answer[11] = 0;
    answer += body;
    ::sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }

  std::map<std::string, Record> records;
  int queries = 0;

 private:
  int fd_;
  std::uint16_t port_ = 0;
  std::unique_ptr<EpollReactor::FdWatch> watch_;
};

class CaresResolverTest : public ::testing::Test {
 protected:
  Result<Resolved> resolve(const std::string& host, Deadline deadline = Deadline::never()) {
    Answer answer;
    async::Scope scope;
    scope.spawn(ask(resolver, host, deadline, answer));
    while (!answer) reactor->turn();
    return *answer;
  }

  std::unique_ptr<EpollReactor> reactor = std::move(*EpollReactor::create());
  NameServer server{*reactor};
  CaresResolver resolver{*reactor, server.options()};
};

// An address in text form answers at once, without asking anybody.
TEST_F(CaresResolverTest, AnAddressIsItself) {
  Answer answer;
  async::Scope scope;
  scope.spawn(ask(resolver, "127.0.0.9", Deadline::never(), answer));
  ASSERT_TRUE(answer);
  EXPECT_EQ((*answer)->addresses, std::vector{ip("127.0.0.9")});
  EXPECT_EQ(server.queries, 0);
}

// The hosts file is asked before DNS, and its answers live for a minute.
TEST_F(CaresResolverTest, TheHostsFile) {
  const Result<Resolved> localhost = resolve("localhost");
  ASSERT_TRUE(localhost) << localhost.error().to_text();
  EXPECT_TRUE(std::all_of(localhost->addresses.begin(), localhost->addresses.end(),
                          [](const base::IpAddress& address) { return address.is_loopback(); }));
  EXPECT_EQ(localhost->ttl, seconds{60});
  EXPECT_EQ(server.queries, 0);
}

// DNS gives every address, with the record's TTL held between a second and an hour.
TEST_F(CaresResolverTest, DnsWithTtl) {
  server.records["orders.example"] = {.addresses = {"127.0.0.1", "127.0.0.2"}, .ttl = 30};
  Result<Resolved> orders = resolve("orders.example");
  ASSERT_TRUE(orders) << orders.error().to_text();
  std::sort(orders->addresses.begin(), orders->addresses.end(),
            [](const auto& a, const auto& b) { return a.bytes() < b.bytes(); });
  EXPECT_EQ(orders->addresses, (std::vector{ip("127.0.0.1"), ip("127.0.0.2")}));
  EXPECT_EQ(orders->ttl, seconds{30});

  server.records["zero.example"] = {.addresses = {"127.0.0.1"}, .ttl = 0};
  EXPECT_EQ(resolve("zero.example")->ttl, seconds{1});
  server.records["day.example"] = {.addresses = {"127.0.0.1"}, .ttl = 86400};
  EXPECT_EQ(resolve("day.example")->ttl, hours{1});
  EXPECT_EQ(resolver.in_flight(), 0U);
}

// The same address twice counts once.
TEST_F(CaresResolverTest, NoAddressTwice) {
  NameServer::Record record;
  record.ttl = 10;
  for (int i = 0; i < 28; ++i)
    record.addresses.push_back("127.0.1." + std::to_string(i / 2));  // fit 512 bytes
  server.records["many.example"] = record;
  const Result<Resolved> many = resolve("many.example");
  ASSERT_TRUE(many) << many.error().to_text();
  EXPECT_EQ(many->addresses.size(), 14U);
}

// A name that is not there is not resolved, and asking again does not help; a failing server may recover.
TEST_F(CaresResolverTest, Failures) {
  const Result<Resolved> missing = resolve("missing.example");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::name_not_resolved);
  EXPECT_FALSE(missing.error().retryable);
  EXPECT_NE(missing.error().detail.find("missing.example"), std::string::npos);

  server.records["ill.example"] = {.addresses = {}, .ttl = 0, .code = 2};
  const Result<Resolved> ill = resolve("ill.example");
  ASSERT_FALSE(ill);
  EXPECT_TRUE(ill.error().retryable);

  server.records["empty.example"] = {};
  EXPECT_EQ(resolve("empty.example").error().code, ErrorCode::name_not_resolved);

  for (const std::string& bad : {std::string(), std::string(300, 'a'), std::string("a\0b", 3)})
    EXPECT_EQ(resolve(bad).error().code, ErrorCode::name_not_resolved);
}

// A server that does not answer: the attempts run out, or the deadline passes first.
TEST_F(CaresResolverTest, Silence) {
  server.records["silent.example"] = {.addresses = {}, .ttl = 0, .code = 0, .silent = true};
  const Result<Resolved> silent = resolve("silent.example");
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::timed_out);
  EXPECT_GT(server.queries, 2) << "the question was not repeated";

  const TimePoint start = reactor->now();
  const Result<Resolved> late = resolve("silent.example", Deadline::at(start + milliseconds{5}));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::timed_out);
  EXPECT_GE(reactor->now(), start + milliseconds{5});
}

// Whoever waits may be destroyed; the query ends by itself, and the next one works.
TEST_F(CaresResolverTest, AbandonedQueries) {
  server.records["orders.example"] = {.addresses = {"127.0.0.1"}, .ttl = 30};
  Answer abandoned;
  {
    async::Scope scope;
    scope.spawn(ask(resolver, "orders.example", Deadline::after(reactor->now(), seconds{1}), abandoned));
    EXPECT_EQ(resolver.in_flight(), 1U);
  }
  EXPECT_TRUE(resolve("orders.example"));
  EXPECT_FALSE(abandoned);
  EXPECT_EQ(resolver.in_flight(), 0U);
}

// Destroying the resolver ends what still waits.
TEST_F(CaresResolverTest, DestroyedWhileAsked) {
  server.records["silent.example"] = {.addresses = {}, .ttl = 0, .code = 0, .silent = true};
  auto own = std::make_unique<CaresResolver>(*reactor, server.options());
  Answer answer;
  async::Scope scope;
  scope.spawn(ask(*own, "silent.example", Deadline::never(), answer));
  own.reset();
  while (!answer) reactor->turn();
  EXPECT_EQ(answer->error().code, ErrorCode::cancelled);
}

// Many names at once, each with its own answer.
TEST_F(CaresResolverTest, ManyAtOnce) {
  std::vector<Answer> answers(200);
  async::Scope scope;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    server.records[name] = {.addresses = {"127.0.0." + std::to_string(1 + i)}, .ttl = 30};
    scope.spawn(ask(resolver, name, Deadline::never(), answers[i]));
  }
  while (scope.running() > 0) reactor->turn();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    ASSERT_TRUE(answers[i].has_value());
    ASSERT_TRUE(*answers[i]) << answers[i]->error().to_text();
    EXPECT_EQ((*answers[i])->addresses, std::vector{ip("127.0.0." + std::to_string(1 + i))});
  }
}

}  // namespace
}  // namespace weir::io
