// Floods of connections, of idle ones, of heads that never end, of keys: memory within its bound, good clients served.
//
// The bounds, of user memory above what the gateway holds at rest:
//   an idle connection        2 KiB     (1 KiB by its own count, faults_test; the rest is the allocator's)
//   a head that is being sent 40 KiB    (limits.header_bytes and a buffer's own words)
//   a key of a limiter        256 bytes (an exact window of 4; keys above the table's bound evict the oldest)
// and 8 MiB for what the machine rounds up.
#include <iostream>

#include "tests/hostile/hostile.h"

namespace weir::testing {
namespace {

constexpr std::size_t kSlackKib = 8 * 1024;

class Floods : public ::testing::Test {
 protected:
  Floods() {
    GatewayOptions options;
    options.workers = 2;
    gateway_ = std::make_unique<Gateway>(with(R"(
      load_shed: {max_in_flight: 50}
      rate_limits: {per_key: {key: "header:K", limit: 4, window: 1h}}
      upstreams: {users: {endpoints: [$URL]}}
      routes:
        - {path: /keyed, rate_limit: [per_key], respond: {status: 200}}
        - {path: /*, upstream: users}
    )",
                                              {{"URL", service_.url()}}),
                                         options);
    LoadOptions good;
    good.source = kGood;
    load_ = std::make_unique<Load>(gateway_->port(), good);
    requests_ = long_run() ? 6'000 : 1'000;
    gateway_->get("/keyed", {{"K", "first"}});  // the limiter's table is there from its first key on
    before_ = load_->run(requests_);
    rest_ = usage_of(gateway_->process().pid());
  }

  // The good clients beside the flood, and what the flood may have cost. Times are printed; a machine that does other
  // things may double them by itself, so only a long run, which is for that, holds them to 2x (and 2 ms).
  void judge(const char* what, std::size_t budget_kib) {
    const Served during = load_->run(requests_);
    const Usage now = usage_of(gateway_->process().pid());
    std::cout << what << "\n  alone: " << before_ << "\n  beside it: " << during
              << "\n  weir at rest: " << rest_ << "\n  in the flood: " << now
              << "\n  its bound: " << rest_.rss_kib + budget_kib + kSlackKib << " KiB\n";
    EXPECT_GE(during.share(), 0.99) << during;
    if (plain_build()) {
      EXPECT_LE(now.rss_kib, rest_.rss_kib + budget_kib + kSlackKib);
      if (long_run()) {
        EXPECT_LE(during.p99.count(), 2 * before_.p99.count() + 2'000);
      }
    }
    EXPECT_EQ(gateway_->admin("/readyz").status, 200);
  }

  static std::string address_of(std::size_t i) {
    return "127.0." + std::to_string(1 + i / 200) + "." + std::to_string(1 + i % 200);
  }

  std::size_t many_ = long_run() ? 4'000 : 1'500;
  std::size_t requests_;
  DemoService service_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Load> load_;
  Served before_;
  Usage rest_;
};

// One address gets 256 connections and no more; whatever else it opens is closed unanswered and counted.
TEST_F(Floods, OfConnections) {
  std::vector<Fd> flood;
  for (std::size_t i = 0; i < many_; ++i) flood.push_back(slow_socket(gateway_->port(), kBad));
  judge("a flood of connections of one address", 256 * 2);
  EXPECT_TRUE(eventually([&] {
    return gateway_->metrics().value("weir_connections_refused_total").value_or(0) >=
           static_cast<double>(many_ - 256);
  })) << gateway_->metrics().text();
}

// Connections of many addresses that have asked once and then say nothing. Their answers are waited for: while they are
// due, these clients are not idle, and the shedder rightly turns some away.
TEST_F(Floods, OfIdleConnections) {
  const auto answered = [&] {
    return gateway_->metrics().value("http_server_request_duration_seconds_count").value_or(0);
  };
  const double before = answered();
  std::vector<Fd> flood;
  for (std::size_t i = 0; i < many_; ++i) {
    flood.push_back(slow_socket(gateway_->port(), address_of(i)));
    ASSERT_TRUE(flood.back()) << i;
    push(flood.back(), request_text("GET", "/users/1"));
  }
  EXPECT_TRUE(eventually([&] { return answered() >= before + static_cast<double>(many_); }))
      << answered() - before;
  judge("a flood of idle connections", many_ * 2);
}

// Heads that go on and on, just short of their bound.
TEST_F(Floods, OfHeads) {
  std::vector<Fd> flood;
  const std::string field(1'000, 'h');
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 30; ++i) head += "X-" + std::to_string(i) + ": " + field + "\r\n";
  for (std::size_t i = 0; i < many_ / 3; ++i) {
    flood.push_back(slow_socket(gateway_->port(), address_of(i)));
    ASSERT_TRUE(flood.back()) << i;
    push(flood.back(), head);
  }
  judge("a flood of heads that never end", many_ / 3 * 40);
  // One that passes the bound is told so, and its connection ends.
  Client client(gateway_->port(), kBad);
  client.send(head + "Y: " + field + "\r\nZ: " + field + "\r\nA: " + field + "\r\nB: " + field + "\r\n\r\n");
  EXPECT_EQ(client.read().status, 431);
}

// Keys that nobody has seen before, each with an entry in the limiter's table.
TEST_F(Floods, OfKeys) {
  const std::size_t keys = long_run() ? 400'000 : 20'000;
  Client client(gateway_->port(), kBad);
  constexpr std::size_t kBatch = 50;
  for (std::size_t i = 0; i < keys; i += kBatch) {
    std::string batch;
    for (std::size_t k = i; k < i + kBatch; ++k)
      batch += request_text("GET", "/keyed", {{"K", "stranger-" + std::to_string(k)}});
    ASSERT_TRUE(client.send(batch));
    for (std::size_t k = 0; k < kBatch; ++k) ASSERT_EQ(client.read().status, 200);
  }
  judge("a flood of keys", keys / 4);
}

// Names that would fall into one bucket of a table hashed by plain FNV-1a (the last eleven bits are the same), in one head and
// as keys: work stays in proportion to their number.
TEST_F(Floods, OfCollidingNames) {
  std::vector<std::string> names;
  for (std::uint32_t i = 0; names.size() < 80; ++i) {
    const std::string name = "x-" + std::to_string(i);
    std::uint32_t hash = 2'166'136'261U;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619U;
    if ((hash & 2'047) == 7) names.push_back(name);
  }
  Fields fields;
  for (const std::string& name : names) fields.emplace_back(name, "v");
  Client client(gateway_->port(), kBad);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(client.get("/users/1", fields).status, 200);
  for (const std::string& name : names) ASSERT_EQ(client.get("/keyed", {{"K", name}}).status, 200);
  judge("a flood of names that collide", 0);
}

}  // namespace
}  // namespace weir::testing
