// Accepting, the limit of connections an address may hold, and draining, on a simulated network.
#include "weir/server/worker_core.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::string_view kConfiguration =
    "limits: {connections_per_address: 2, header_timeout: 10s, idle_timeout: 60s}\n"
    "trusted_proxies: {cidrs: [10.0.0.9/32]}\n"
    "upstreams: {u: {endpoints: [http://10.0.0.1:80]}}\n"
    "routes:\n"
    "  - {path: /slow, upstream: u}\n"
    "  - {path: /upload, upstream: u, request_buffer: 1KiB}\n"
    "  - {path: /*, respond: {status: 200, body: ok}}\n";

// A client by hand.
class Caller final : private io::EventSink {
 public:
  Caller(io::SimulatedReactor& reactor, const io::Address& to, std::string_view from = "192.0.2.1")
      : stream_(reactor.connect_from(base::IpAddress::parse(from).value(), to).value()) {
    stream_->watch(this);
  }
  void send(std::string_view text) {
    std::string copy(text);
    const iovec piece{copy.data(), copy.size()};
    static_cast<void>(stream_->write({&piece, 1}));
  }
  void finish() { stream_->shutdown_write(); }
  void close() { stream_.reset(); }

  std::string got;
  bool ended = false;  // by FIN
  bool broken = false;

 private:
  void on_event(io::Stream& stream, unsigned) noexcept override {
    std::array<char, 4096> bytes;
    for (;;) {
      const io::IoResult result = stream.read(bytes);
      if (result.status == io::IoStatus::end) ended = true;
      if (result.status == io::IoStatus::error) broken = true;
      if (result.status != io::IoStatus::ok) return;
      got.append(bytes.data(), result.bytes);
    }
  }
  std::unique_ptr<io::Stream> stream_;
};

class Core {
 public:
  explicit Core(std::string_view configuration = kConfiguration) : desk(configuration) {
    CoreOptions options;
    options.addresses = &addresses;
    core = std::make_unique<WorkerCore>(desk.reactor, desk.worker, options);
    core->add_listener(desk.reactor.listen(at, io::ListenOptions()).value());
  }
  std::unique_ptr<Caller> call(std::string_view from = "192.0.2.1") {
    auto caller = std::make_unique<Caller>(desk.reactor, at, from);
    pass(milliseconds{1});
    return caller;
  }
  void pass(Duration time) { desk.reactor.run_for(time); }

  const io::Address at = io::Address::parse("10.9.9.9:8080").value();
  gateway::testing::Desk desk;
  AddressTable addresses{base::SipKey{1, 2}};
  std::unique_ptr<WorkerCore> core;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::size_t answers(const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find("HTTP/1.1 "); at != std::string::npos; at = text.find("HTTP/1.1 ", at + 1))
    ++count;
  return count;
}

// One answer for each request, in order, on one connection; pipelined or not.
TEST(WorkerCore, KeepAliveAndPipelining) {
  Core it;
  auto caller = it.call();
  caller->send(kGet);
  it.pass(milliseconds{1});
  EXPECT_EQ(answers(caller->got), 1U);
  caller->send(std::string(kGet) + std::string(kGet) + "GET /nowhere HTTP/1.0\r\n\r\n");
  it.pass(milliseconds{1});
  EXPECT_EQ(answers(caller->got), 4U);
  EXPECT_TRUE(caller->ended) << "HTTP/1.0 ends its connection";
  caller.reset();
  it.pass(milliseconds{1});
  EXPECT_EQ(it.desk.worker.buffers.blocks_out(), 0U);
}

// The third connection of an address is closed unanswered and counted; one that closes makes room. A trusted
// proxy's connections are everybody's, so they have no limit.
TEST(WorkerCore, ConnectionsPerAddress) {
  Core it;
  auto first = it.call();
  auto second = it.call();
  auto third = it.call();
  third->send(kGet);
  it.pass(milliseconds{1});
  EXPECT_TRUE(third->got.empty());
  EXPECT_TRUE(third->ended || third->broken);
  EXPECT_EQ(it.core->refused_connections(), 1U);
  auto other = it.call("192.0.2.2");
  other->send(kGet);
  it.pass(milliseconds{1});
  EXPECT_EQ(answers(other->got), 1U);
  first->close();
  it.pass(milliseconds{1});
  auto fourth = it.call();
  fourth->send(kGet);
  it.pass(milliseconds{1});
  EXPECT_EQ(answers(fourth->got), 1U);
  std::vector<std::unique_ptr<Caller>> proxies;
  for (int i = 0; i < 5; ++i) {
    proxies.push_back(it.call("10.0.0.9"));
    proxies.back()->send(kGet);
    it.pass(milliseconds{1});
    EXPECT_EQ(answers(proxies.back()->got), 1U);
  }
}

// Without descriptors nobody is accepted, that is said, and it is tried again.
TEST(WorkerCore, OutOfDescriptors) {
  Core it;
  it.desk.reactor.fail_accepts(3);
  auto caller = it.call();
  EXPECT_TRUE(it.core->starved());
  caller->send(kGet);
  it.pass(milliseconds{150});
  EXPECT_TRUE(it.core->starved());
  it.pass(seconds{1});
  EXPECT_FALSE(it.core->starved());
  EXPECT_EQ(answers(caller->got), 1U);
}

// And no call can be made: that is the gateway's own lack, not the upstream's failure.
TEST(WorkerCore, OutOfDescriptorsForCalls) {
  Core it;
  auto caller = it.call();
  for (int i = 0; i < 10; ++i) {
    caller->got.clear();
    it.desk.reactor.fail_connects(1);
    caller->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    it.pass(milliseconds{1});
    EXPECT_TRUE(caller->got.starts_with("HTTP/1.1 503 ")) << caller->got;
    EXPECT_NE(caller->got.find("urn:weir:problem:overloaded"), std::string::npos);
  }
  const auto& breaker = it.desk.plan->upstreams[0].shared->breaker();
  EXPECT_EQ(breaker.state(), resilience::CircuitBreaker::State::closed);
}

// Drained with nobody there: at once. No new connection is taken.
TEST(WorkerCore, DrainsAtOnceWhenIdle) {
  Core it;
  int drained = 0;
  it.core->drain([&] { ++drained; });
  EXPECT_EQ(drained, 1);
  auto caller = it.call();
  EXPECT_TRUE(caller->broken) << "refused";
}

// Idle connections close at once, busy ones after their answer, which says so; then, once, it is drained.
TEST(WorkerCore, DrainsWhenTheLastAnswerIsOut) {
  Core it;
  gateway::testing::Service service(it.desk, "10.0.0.1:80", "");
  auto idle = it.call("192.0.2.3");
  idle->send(kGet);
  auto fresh = it.call("192.0.2.4");
  auto busy = it.call("192.0.2.5");
  busy->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  it.pass(milliseconds{10});
  ASSERT_FALSE(service.seen.empty());
  int drained = 0;
  it.core->drain([&] { ++drained; });
  it.pass(milliseconds{10});
  EXPECT_TRUE(idle->ended);
  EXPECT_TRUE(fresh->ended);
  EXPECT_FALSE(busy->ended);
  EXPECT_EQ(drained, 0);
  service.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  it.pass(milliseconds{10});
  EXPECT_NE(busy->got.find("onnection: close\r\n"), std::string::npos) << busy->got;
  EXPECT_TRUE(busy->got.ends_with("ok"));
  EXPECT_TRUE(busy->ended);
  busy->close();
  it.pass(seconds{5});
  EXPECT_EQ(drained, 1);
  EXPECT_EQ(it.core->connections(), 0U);
}

// Cut off: whatever runs ends now.
TEST(WorkerCore, Cancel) {
  Core it;
  gateway::testing::Service service(it.desk, "10.0.0.1:80", "");
  auto busy = it.call("192.0.2.5");
  busy->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  auto uploading = it.call("192.0.2.6");
  uploading->send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nstart");
  auto idle = it.call("192.0.2.7");
  it.pass(milliseconds{10});
  EXPECT_EQ(it.core->connections(), 3U);
  int drained = 0;
  it.core->drain([&] { ++drained; });
  it.core->cancel();
  it.pass(milliseconds{10});
  EXPECT_EQ(it.core->connections(), 0U);
  EXPECT_EQ(drained, 1);
  for (const auto& [name, shedder] : it.desk.state.shedders()) EXPECT_EQ(shedder->in_flight(), 0U) << name;
}

// Time limits of a connection: no first byte, no whole head.
TEST(WorkerCore, IdleAndHeaderTimeouts) {
  Core it;
  auto silent = it.call("192.0.2.3");
  auto slow = it.call("192.0.2.4");
  slow->send("GET / HTTP/1.1\r\nHo");
  it.pass(seconds{9});
  EXPECT_TRUE(slow->got.empty());
  it.pass(milliseconds{1020});  // timers may be late by a turn of the wheel
  EXPECT_TRUE(slow->got.starts_with("HTTP/1.1 408 ")) << slow->got;
  EXPECT_TRUE(slow->ended);
  it.pass(seconds{49});
  EXPECT_FALSE(silent->ended);
  it.pass(seconds{1});
  EXPECT_TRUE(silent->ended);
  EXPECT_TRUE(silent->got.empty()) << "nothing was asked, so nothing is answered";
}

// A body that is refused is read on for a while, so that the answer arrives; then the connection ends.
TEST(WorkerCore, AnswersBeforeTheWholeBody) {
  Core it("limits: {max_body: 1KiB}\nroutes: [{path: /*, respond: {status: 200, body: ok}}]");
  auto caller = it.call();
  caller->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
  caller->send(std::string(30'000, 'x'));
  it.pass(milliseconds{10});
  EXPECT_TRUE(caller->got.starts_with("HTTP/1.1 413 ")) << caller->got;
  EXPECT_TRUE(caller->ended);
  EXPECT_FALSE(caller->broken);
  it.pass(minutes{1});
  EXPECT_EQ(it.core->connections(), 0U);
}

}  // namespace
}  // namespace weir::server
