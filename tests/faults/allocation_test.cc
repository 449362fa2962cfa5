// A request allocates nothing once the worker is warm: limiter, semaphore, breaker, metrics and access log
// on.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/faults/counting_new.h"
#include "tests/faults/quiet_network.h"
#include "weir/config/load.h"
#include "weir/gateway/access_log_writer.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/state.h"
#include "weir/gateway/worker.h"
#include "weir/metrics/registry.h"
#include "weir/server/address_table.h"
#include "weir/server/worker_core.h"

namespace weir::testing {
namespace {

using std::chrono::milliseconds;

constexpr int kWarmUp = 3000;  // a window's worth of bookings, and then some
constexpr int kCounted = 1000;

constexpr std::string_view kConfiguration =
    "listen: 127.0.0.1:8080\n"
    "load_shed: {max_in_flight: 50}\n"
    "rate_limits:\n"
    "  per_client: {key: client_ip, limit: 1000, window: 1s}\n"
    "  per_key: {key: [\"header:X-Key\", path, method], limit: 1000, window: 1s}\n"
    "  none: {key: global, limit: 0, window: 1m}\n"
    "upstreams: {u: {endpoints: [http://10.0.0.1:80], circuit_breaker: {open_for: 1h}}}\n"
    "routes:\n"
    "  - {path: /broken, upstream: u}\n"
    "  - {path: /api/*, upstream: u, rate_limit: [per_client]}\n"
    "  - {path: /two/*, upstream: u, rate_limit: [per_client, per_key]}\n"
    "  - {path: /edited/*, upstream: u, rewrite: /v2/*, headers: {request: {set: {X-A: b}}, response: {set: "
    "{X-C: d}}}}\n"
    "  - {path: /limited, upstream: u, rate_limit: [none]}\n"
    "  - {path: /fixed, respond: {status: 200, body: ok}}\n";

class Gate {
 public:
  Gate() {
    const config::LoadResult loaded =
        config::load_text("test.yaml", kConfiguration, config::system_environment());
    plan_ = gateway::build_plan(loaded.config.value(), state_, registry_).value();
    plan_->publish(reactor.now());
    worker_.adopt(plan_);
    server::CoreOptions options;
    options.addresses = &addresses_;
    core_ = std::make_unique<server::WorkerCore>(reactor, worker_, options);
    core_->add_listener(reactor.listen({}, {}).value());
  }

  // One request and its answer; the answer stays in the pipe until the next. `from_service` "" when none is
  // asked.
  void exchange(std::string_view request, std::string_view from_service) {
    reactor.advance(milliseconds{2});
    reactor.to_client.clear();
    reactor.to_service.clear();
    reactor.from_client.put(request);
    reactor.client_side->arrived();
    reactor.run();
    if (from_service.empty()) return;
    reactor.from_service.put(from_service);
    reactor.service_side->arrived();
    reactor.run();
  }

  QuietReactor reactor;

 private:
  metrics::Registry registry_{1};
  gateway::State state_{base::SipKey{1, 2}};
  server::AddressTable addresses_{base::SipKey{3, 4}};
  io::TableResolver names_;
  std::unique_ptr<gateway::AccessLogWriter> log_ = gateway::AccessLogWriter::open("/dev/null", 1).value();
  gateway::Worker worker_{reactor, names_, registry_, 0, &log_->lane(0), 1};
  std::shared_ptr<const gateway::Plan> plan_;
  std::unique_ptr<server::WorkerCore> core_;
};

// Allocations of so many requests on one keep-alive connection, after a warm-up. The service is asked by the
// first `served` of them.
std::uint64_t allocations(const std::string& request, const std::string& from_service,
                          std::string_view status, int body_bytes = -1, int served = kWarmUp + kCounted) {
  auto gate = std::make_unique<Gate>();
  const std::string nobody;
  for (int i = 0; i < kWarmUp; ++i) gate->exchange(request, i < served ? from_service : nobody);
  const std::string_view answer = gate->reactor.to_client.view();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::string(status))) << answer.substr(0, 500);
  if (body_bytes >= 0) {
    EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, static_cast<std::size_t>(body_bytes)) << answer;
  }
  const std::uint64_t before = heap_of_this_thread().allocations;
  for (int i = 0; i < kCounted; ++i) gate->exchange(request, served > kWarmUp ? from_service : nobody);
  const std::uint64_t counted = heap_of_this_thread().allocations - before;
  EXPECT_LE(gate->reactor.connects, 1);
  EXPECT_TRUE(gate->reactor.to_client.view().starts_with("HTTP/1.1 " + std::string(status)));
  return counted;
}

std::string request(std::string_view method, std::string_view target, std::string_view fields = "",
                    std::string_view body = "") {
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: shop.example\r\n";
  text.append(
      "User-Agent: a-browser/1.0 (of some length, as they have)\r\nAccept: text/html,application/json\r\n");
  text.append("Accept-Encoding: gzip, br\r\nCookie: session=0123456789abcdef; theme=dark\r\n").append(fields);
  return text.append("\r\n").append(body);
}

const std::string kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Cache-Control: no-store\r\nContent-Length: 200\r\n\r\n" +
    std::string(200, 'x');

// The harness itself: 3 bytes from the heap are one allocation.
TEST(Allocation, TheCounterCounts) {
  const Heap before = heap_of_this_thread();
  auto held = std::make_unique<char[]>(3);
  const Heap after = heap_of_this_thread();
  EXPECT_EQ(after.allocations - before.allocations, 1U);
  EXPECT_GE(after.bytes_held - before.bytes_held, 3);
  held.reset();
  EXPECT_EQ(heap_of_this_thread().bytes_held, before.bytes_held);
}

TEST(Allocation, ProxiedRequests) {
  EXPECT_EQ(allocations(request("GET", "/api/orders/7?page=2"), kAnswer, "200", 200), 0U);
  EXPECT_EQ(allocations(request("GET", "/api/./orders//7/../8"), kAnswer, "200", 200), 0U)
      << "a path to be resolved";
  EXPECT_EQ(allocations(request("GET", "/two/a", "X-Key: k\r\n"), kAnswer, "200", 200), 0U)
      << "two limits, a joined key";
  EXPECT_EQ(allocations(request("GET", "/two/a"), kAnswer, "200", 200), 0U) << "a missing key";
  EXPECT_EQ(allocations(request("GET", "/edited/a"), kAnswer, "200", 200), 0U) << "rewritten and edited";
  EXPECT_EQ(
      allocations(request("HEAD", "/api/a"), "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", "200", 0), 0U);
}

TEST(Allocation, ProxiedBodies) {
  const std::string body(3000, 'b');
  EXPECT_EQ(allocations(request("POST", "/api/a", "Content-Length: 3000\r\n", body), kAnswer, "200", 200),
            0U);
  EXPECT_EQ(
      allocations(request("POST", "/api/a", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                  kAnswer, "200", 200),
      0U);
  EXPECT_EQ(
      allocations(request("GET", "/api/a"),
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200", 5),
      0U);
  EXPECT_EQ(allocations(request("GET", "/api/a"),
                        "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + std::string(60'000, 'y'), "200",
                        60'000),
            0U);
}

// A flood of what is refused must cost the heap nothing either.
TEST(Allocation, Refusals) {
  EXPECT_EQ(allocations(request("GET", "/limited"), "", "429"), 0U);
  EXPECT_EQ(allocations(request("GET", "/nowhere"), "", "404"), 0U);
  EXPECT_EQ(allocations(request("GET", "/fixed"), "", "200", 2), 0U);
  EXPECT_EQ(
      allocations(request("GET", "/broken"), "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503", -1, 5),
      0U)
      << "an open breaker";
}

}  // namespace
}  // namespace weir::testing
