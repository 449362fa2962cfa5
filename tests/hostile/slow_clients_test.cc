// Readers that do not read and senders that hardly send: they hold no place, and good clients are served.
#include <atomic>
#include <iostream>
#include <thread>

#include "tests/hostile/hostile.h"
#include "tests/support/origin.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

// Moves the drips on until told to stop: one byte of each at a time.
class Drips {
 public:
  Drips(std::uint16_t port, std::size_t count, std::string head) {
    for (std::size_t i = 0; i < count; ++i) {
      sockets_.push_back(slow_socket(port, kBad));
      if (sockets_.back()) push(sockets_.back(), head);
    }
    thread_ = std::thread([this] {
      while (!stop_) {
        for (const Fd& fd : sockets_)
          if (fd) push(fd, "x");
        ::poll(nullptr, 0, 100);
      }
    });
  }
  ~Drips() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::vector<Fd> sockets_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Case {
  const char* name;
  std::size_t answer_bytes;  // what the slow readers ask for
};

class SlowReaders : public ::testing::TestWithParam<Case> {};

// 200 that ask and do not read, 200 that upload a byte at a time, all from one address, 50 places: of the good clients of
// another address at least 99 % are served.
TEST_P(SlowReaders, LeaveTheGoodOnesServed) {
  const DemoService service;
  GatewayOptions options;
  options.workers = 2;
  options.extra = "limits: {connections_per_address: off}\n";
  Gateway gateway(guarded(service), options);
  LoadOptions good;
  good.source = kGood;
  const Load load(gateway.port(), good);
  const std::size_t requests = long_run() ? 8'000 : 3'000;
  const Served before = load.run(requests);

  std::vector<Fd> readers;
  for (int i = 0; i < 200; ++i) {
    readers.push_back(slow_socket(gateway.port(), kBad));
    ASSERT_TRUE(readers.back());
    push(readers.back(), request_text("GET", "/users/1?bytes=" + std::to_string(GetParam().answer_bytes)));
  }
  const Drips uploads(gateway.port(), 200,
                      "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
  // 200 at once are a burst, for which the semaphore is there; what follows is about slowness.
  EXPECT_TRUE(eventually([&] { return gateway.metrics().value("weir_in_flight").value_or(50) < 25; }));
  const Served during = load.run(requests);
  std::cout << GetParam().name << "\n  alone: " << before << "\n  beside them: " << during
            << "\n  weir: " << usage_of(gateway.process().pid())
            << ", places held: " << gateway.metrics().value("weir_in_flight").value_or(-1) << "\n";
  EXPECT_GE(before.share(), 0.999) << before;
  EXPECT_GE(during.share(), 0.99) << during;
}

INSTANTIATE_TEST_SUITE_P(Answers, SlowReaders,
                         ::testing::Values(Case{"Of60KiB", 60'000}, Case{"Of1MiB", 1'048'576}),
                         [](const auto& each) { return std::string(each.param.name); });

// Answers that no socket's buffer takes hold their place for as long as the client may be slow (limits.body_timeout), so one
// address must not have all places: a limit on parallel requests of a client is what keeps the others served.
TEST(SlowClients, OfHugeAnswersNeedALimitOnParallelRequests) {
  Origin origin;
  const std::string huge(32 << 20, 'h');
  origin.on("/huge", [&](Call& call) { call.reply(200, huge); });
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(with(R"(
    load_shed: {max_in_flight: 50}
    rate_limits: {parallel: {key: client_ip, algorithm: concurrency, limit: 20}}
    upstreams: {origin: {endpoints: [$URL]}}
    routes: [{path: /*, rate_limit: [parallel], upstream: origin}]
  )",
                       {{"URL", origin.url()}}),
                  options);
  std::vector<Fd> readers;
  for (int i = 0; i < 200; ++i) {
    readers.push_back(slow_socket(gateway.port(), kBad));
    ASSERT_TRUE(readers.back());
    push(readers.back(), request_text("GET", "/huge"));
  }
  LoadOptions good;
  good.source = kGood;
  const Served during = Load(gateway.port(), good).run(1'500);
  const double held = gateway.metrics().value("weir_in_flight").value_or(-1);
  std::cout << during << "\n  weir: " << usage_of(gateway.process().pid()) << ", places held: " << held
            << "\n";
  EXPECT_GE(during.share(), 0.99) << during;
  EXPECT_LE(held, 20);
}

}  // namespace
}  // namespace weir::testing
