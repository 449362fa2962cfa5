// Mixed load with faults for as long as one likes: memory, descriptors and threads stay flat, and whoever behaves is served.
//
// WEIR_SOAK_MINUTES=30 is the full length; without it a few seconds, so that the test itself stays sound.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "tests/support/gateway.h"
#include "tests/support/load.h"
#include "weir/base/random.h"

namespace weir::testing {
namespace {

std::chrono::seconds length() {
  const char* minutes = std::getenv("WEIR_SOAK_MINUTES");
  return minutes == nullptr ? std::chrono::seconds{6} : std::chrono::seconds{60 * std::atol(minutes)};
}

std::string configuration(const DemoService& service, const DemoService& failing, std::uint16_t dead,
                          int number) {
  return with(R"(
    load_shed: {max_in_flight: 50}
    rate_limits:
      per_client: {key: client_ip, limit: 50/s}
      per_key: {key: "header:K", limit: 5/s}
    upstreams:
      users: {endpoints: [$URL]}
      failing: {endpoints: [$FAILING], circuit_breaker: {failures: 5, open_for: 500ms}, retries: {attempts: 1}}
      dead: {endpoints: ["http://127.0.0.1:$DEAD"], circuit_breaker: {open_for: 300ms}}
    routes:
      - {path: /plan/$NUMBER, respond: {status: 200}}
      - {path: /limited, rate_limit: [per_client, per_key], respond: {status: 200}}
      - {path: /dead/*, upstream: dead}
      - {path: /failing/*, strip_prefix: true, upstream: failing}
      - path: /page
        bff:
          deadline: 300ms
          sections:
            user: {upstream: users, path: /users/1}
            late: {upstream: users, path: "/recs?sleep=400", timeout: 50ms}
            gone: {upstream: dead, path: /x, on_error: []}
      - {path: /*, upstream: users}
  )",
              {{"URL", service.url()},
               {"FAILING", failing.url()},
               {"DEAD", std::to_string(dead)},
               {"NUMBER", std::to_string(number)}});
}

// One client that does all there is to do wrong, by seed; every answer that comes must be HTTP.
void misbehave(std::uint16_t port, std::uint64_t seed, const std::atomic<bool>& over,
               std::atomic<std::size_t>& turns) {
  base::Random random(seed);
  const std::string source = "127.0.9." + std::to_string(1 + seed % 200);
  while (!over) {
    ++turns;
    Client client(port, source);
    switch (random.below(10)) {
      case 0:  // goes before the answer
        client.send(request_text("GET", "/users/1?sleep=50"));
        client.reset();
        break;
      case 1:  // half a request
        client.send("GET /users/1 HTTP/1.1\r\nHos");
        break;
      case 2:  // no request at all
        client.send("\x16\x03\x01 hello\r\n\r\n");
        client.read();
        break;
      case 3:  // half a body, then gone
        client.send("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" +
                    std::string(random.below(90'000), 'b'));
        client.reset();
        break;
      case 4:  // a large answer, not read
        client.send(request_text("GET", "/users/1?bytes=300000"));
        client.read_head();
        break;
      case 5:
        client.ask("POST", "/orders", {{"Transfer-Encoding", "chunked"}}, "4\r\nbody\r\n0\r\n\r\n");
        break;
      case 6:
        for (int i = 0; i < 20; ++i)
          client.get("/limited", {{"K", "k" + std::to_string(random.below(5'000))}});
        break;
      case 7:
        client.get("/failing/users/1?status=" + std::to_string(random.below(2) == 0 ? 500 : 200));
        break;
      case 8:
        client.get("/dead/x");
        break;
      default:
        client.get("/page");
        break;
    }
  }
}

TEST(Soak, StaysFlat) {
  const DemoService service;
  const DemoService failing("orders");
  const std::uint16_t dead = free_port();
  GatewayOptions options;
  options.workers = 2;
  options.extra = "log: {level: \"off\"}\n";
  Gateway gateway(configuration(service, failing, dead, 0), options);
  LoadOptions good;
  good.source = "127.0.0.3";
  good.threads = 2;
  good.pause = std::chrono::milliseconds{2};
  const Load load(gateway.port(), good);
  std::atomic<bool> over{false};
  std::atomic<std::size_t> turns{0};
  Served served;
  std::vector<std::thread> threads;
  threads.emplace_back([&] { served = load.run_until(over); });
  for (std::uint64_t i = 1; i <= 4; ++i)
    threads.emplace_back([&, i] { misbehave(gateway.port(), i, over, turns); });

  const SteadyTime begin = std::chrono::steady_clock::now();
  const SteadyTime end = begin + length();
  Usage early;
  Usage most;
  int reloads = 0;
  while (std::chrono::steady_clock::now() < end) {
    EXPECT_EQ(gateway.reload(configuration(service, failing, dead, ++reloads)).status, 200);
    eventually([&] { return std::chrono::steady_clock::now() >= end; }, std::chrono::milliseconds{1'000});
    const Usage now = usage_of(gateway.process().pid());
    // The first fifth fills pools and tables.
    if (std::chrono::steady_clock::now() < begin + length() / 5 || early.rss_kib == 0) early = now;
    most.rss_kib = std::max(most.rss_kib, now.rss_kib);
    most.descriptors = std::max(most.descriptors, now.descriptors);
    most.threads = std::max(most.threads, now.threads);
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  // Those who left have been let go.
  EXPECT_TRUE(eventually([&] { return gateway.metrics().value("weir_in_flight") == 0; }));
  const Usage late = usage_of(gateway.process().pid());
  std::cout << length().count() << " s, " << reloads << " reloads, " << turns
            << " faults; good clients: " << served << "\n  weir after a fifth: " << early
            << "\n  at most: " << most << "\n  at the end: " << late << "\n";
  EXPECT_GE(served.share(), 0.999) << served;
  EXPECT_EQ(late.threads, early.threads);
  EXPECT_LE(late.descriptors, early.descriptors + 32);  // connections of upstreams that happen to be open
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(late.rss_kib, early.rss_kib + early.rss_kib / 10 + 8 * 1024);
#endif
  EXPECT_EQ(gateway.metrics().value("weir_worker_stalls_total"), 0);
}

}  // namespace
}  // namespace weir::testing
