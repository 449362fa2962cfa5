// A whole call for somebody who wants the answer in memory, over a connection that does exactly what the test says.
#include "weir/upstream/fetch.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <array>

#include "weir/upstream/testing.h"

namespace weir::upstream {
namespace {

using namespace std::chrono_literals;
using testing::FakeReactor;
using testing::FakeStream;

class FetchTest : public ::testing::Test {
 protected:
  FetchTest() {
    pool_ = std::make_unique<EndpointPool>(reactor_, names_, background_, "10.0.0.1", std::uint16_t{80});
    resilience::CircuitBreaker::Options breaker;
    breaker.failures_to_open = 2;
    UpstreamOptions options;
    options.name = "users";
    EndpointOptions endpoint;
    endpoint.url = "http://10.0.0.1:80";
    endpoint.host = "10.0.0.1";
    options.endpoints = {endpoint};
    options.breaker = breaker;
    options.timeouts.first_byte = 5s;
    options.timeouts.idle = 3s;
    target_ = std::make_unique<WorkerUpstream>(std::move(options),
                                               std::make_shared<SharedUpstream>("users", breaker, nullptr),
                                               std::vector{pool_.get()});
    order_.target = "/v1/users/17?full=1";
  }

  void begin() {
    scope_.emplace();
    done_ = false;
    scope_->spawn(run());
    reactor_.run();
  }
  async::Task<void> run() {
    failure_ = co_await fetch(*target_, order_, response_, call_, reactor_, random_);
    done_ = true;
  }
  // The answer in pieces, each in a turn of its own.
  http::FetchFailure answered(std::vector<std::string> pieces, bool ends = false) {
    begin();
    if (done_) return failure_;
    FakeStream& stream = *reactor_.streams.back();
    for (std::string& piece : pieces) {
      if (done_) break;
      stream.say(std::move(piece));
      reactor_.run();
    }
    if (ends && !done_) stream.finish(), reactor_.run();
    EXPECT_TRUE(done_);
    return failure_;
  }
  resilience::CircuitBreaker::State breaker() {
    return target_->shared().breaker().snapshot(reactor_.now()).state;
  }

  FakeReactor reactor_;
  io::TableResolver names_;
  async::Scope background_;
  io::BufferPool buffers_;
  base::Random random_{7};
  std::unique_ptr<EndpointPool> pool_;
  std::unique_ptr<WorkerUpstream> target_;
  Call call_{buffers_};
  FetchOrder order_;
  http::FetchResponse response_;
  http::FetchFailure failure_ = http::FetchFailure::unknown;
  bool done_ = false;
  std::optional<async::Scope> scope_;  // last: the call ends before what it uses
};

std::string gzip(std::string_view text) {
  z_stream z{};
  ::deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  ::deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  return out;
}

std::string with_length(const std::string& body, const std::string& fields = "") {
  return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

// The request goes out whole, the answer comes back whole, and the connection is kept.
TEST_F(FetchTest, BringsTheWholeAnswer) {
  const http::Field field{"X-A", "1", http::Name::other, false};
  const http::Field more{"X-B", "2", http::Name::other, false};
  order_.fields = std::span(&field, 1);
  order_.more_fields = std::span(&more, 1);
  order_.method = http::Method::post;
  order_.body = "{}";
  begin();
  EXPECT_EQ(reactor_.streams.back()->written,
            "POST /v1/users/17?full=1 HTTP/1.1\r\nHost: 10.0.0.1\r\nX-A: 1\r\nX-B: 2\r\ncontent-length: "
            "2\r\n\r\n{}");
  const std::array<std::string, 2> pieces{
      "HTTP/1.1 201 C\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,", "\r\n2\r\n2]\r\n0\r\n\r\n"};
  for (const std::string& piece : pieces) {
    reactor_.streams.back()->say(piece);
    reactor_.run();
  }
  EXPECT_TRUE(done_);
  EXPECT_EQ(failure_, http::FetchFailure::none);
  EXPECT_EQ(response_.status, 201);
  EXPECT_EQ(response_.body, "[1,2]");
  EXPECT_GE(response_.body.capacity(), response_.body.size() + http::kBodyPadding);
  EXPECT_EQ(response_.fields.find("ETag")->value, "x");
  EXPECT_EQ(order_.attempts, 1U);
  EXPECT_EQ(pool_->idle(), 1U);
}

// Every way in which an answer can fail has its name.
TEST_F(FetchTest, NamesEveryFailure) {
  EXPECT_EQ(answered({"no HTTP\r\n\r\n"}), http::FetchFailure::malformed);
  EXPECT_EQ(answered({"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1"}, true), http::FetchFailure::broken);
  EXPECT_EQ(answered({}), http::FetchFailure::unavailable) << "two failures have opened the breaker";
  EXPECT_EQ(breaker(), resilience::CircuitBreaker::State::open);
}

TEST_F(FetchTest, NamesARefusal) {
  begin();
  reactor_.streams.back()->connect_error = true;
  reactor_.streams.back()->break_off();
  reactor_.run();
  EXPECT_TRUE(done_);
  reactor_.refuse_connect = true;
  EXPECT_EQ(answered({}), http::FetchFailure::overloaded);
}

// Too large by what it says, and by what comes: broken off at once, and no failure of the service.
TEST_F(FetchTest, BreaksOffWhatIsTooLarge) {
  order_.body_max = 10;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answered({"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n"}),
              http::FetchFailure::too_large);
    EXPECT_EQ(
        answered({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n", "6\r\n123456\r\n"}),
        http::FetchFailure::too_large);
  }
  EXPECT_EQ(breaker(), resilience::CircuitBreaker::State::closed);
  EXPECT_EQ(reactor_.streams.size(), 0U);
}

// The deadline ends the call as a failure of the service; who gives up before has seen none.
TEST_F(FetchTest, KeepsItsDeadline) {
  order_.deadline = Deadline::after(reactor_.now(), 200ms);
  begin();
  reactor_.advance(199ms);
  EXPECT_FALSE(done_);
  reactor_.advance(1ms);
  EXPECT_TRUE(done_);
  EXPECT_EQ(failure_, http::FetchFailure::timeout);
  EXPECT_EQ(reactor_.streams.size(), 0U) << "the service sees its connection close";
  for (int i = 0; i < 5; ++i) {
    order_.deadline = Deadline::after(reactor_.now(), 200ms);
    begin();
    EXPECT_FALSE(done_);
    scope_.reset();
    EXPECT_EQ(reactor_.streams.size(), 0U);
  }
  EXPECT_EQ(breaker(), resilience::CircuitBreaker::State::closed) << "one failure, five that were given up";
  order_.deadline = Deadline::after(reactor_.now(), 200ms);
  begin();
  reactor_.advance(200ms);
  EXPECT_EQ(breaker(), resilience::CircuitBreaker::State::open);
}

// Somebody with more time has joined while the call ran: it goes on for as long as he waits.
TEST_F(FetchTest, GoesOnForWhoeverHasJoined) {
  Deadline latest = Deadline::after(reactor_.now(), 100ms);
  order_.latest = &latest;
  begin();
  reactor_.advance(50ms);
  latest = Deadline::after(reactor_.now(), 100ms);
  reactor_.advance(99ms);
  EXPECT_FALSE(done_);
  reactor_.advance(1ms);
  EXPECT_TRUE(done_);
  EXPECT_EQ(failure_, http::FetchFailure::timeout);
}

// A reused connection that dies before a byte of the answer: once more on a new one, when the request may be repeated.
TEST_F(FetchTest, AsksAgainOnADeadConnection) {
  EXPECT_EQ(answered({with_length("1")}), http::FetchFailure::none);
  begin();
  ASSERT_EQ(reactor_.connected.size(), 1U) << "reused";
  reactor_.streams.back()->finish();
  reactor_.run();
  ASSERT_EQ(reactor_.connected.size(), 2U);
  reactor_.streams.back()->say(with_length("2"));
  reactor_.run();
  EXPECT_TRUE(done_);
  EXPECT_EQ(response_.body, "2");
  EXPECT_EQ(order_.attempts, 3U) << "of both calls";
}

// Packed answers are unpacked while they come; a bomb, half a stream and an unknown coding end the call, and are no
// failures of the service. Who does not ask for it gets the bytes as they are.
TEST_F(FetchTest, TakesCodingsOff) {
  order_.decode = true;
  const std::string body = R"({"id":17,"name":"Ann"})";
  const std::string packed = gzip(body);
  for (std::size_t cut = 1; cut < packed.size(); cut += 3) {
    const std::string all = with_length(packed, "Content-Encoding: gzip\r\nETag: x\r\n");
    const std::size_t at = all.size() - packed.size() + cut;
    ASSERT_EQ(answered({all.substr(0, at), all.substr(at)}), http::FetchFailure::none);
    ASSERT_EQ(response_.body, body);
    EXPECT_EQ(response_.fields.value(http::Name::content_encoding), "");
    EXPECT_EQ(response_.fields.find("ETag")->value, "x");
  }
  const std::string bomb = gzip("[" + std::string(30'000'000, ' ') + "]");
  EXPECT_EQ(answered({with_length(bomb, "Content-Encoding: gzip\r\n")}), http::FetchFailure::too_large);
  EXPECT_LE(response_.body.size(), order_.body_max);
  order_.body_max = std::size_t{1} << 30;
  EXPECT_EQ(answered({with_length(bomb, "Content-Encoding: gzip\r\n")}), http::FetchFailure::too_large);
  order_.body_max = 1 << 20;
  EXPECT_EQ(answered({with_length(packed.substr(0, packed.size() - 4), "Content-Encoding: gzip\r\n")}),
            http::FetchFailure::unencoded);
  EXPECT_EQ(answered({with_length("\x1f\x8b", "Content-Encoding: gzip\r\n")}), http::FetchFailure::unencoded);
  EXPECT_EQ(answered({with_length("x", "Content-Encoding: br\r\n")}), http::FetchFailure::unencoded);
  EXPECT_EQ(breaker(), resilience::CircuitBreaker::State::closed);
  order_.decode = false;
  EXPECT_EQ(answered({with_length(packed, "Content-Encoding: gzip\r\n")}), http::FetchFailure::none);
  EXPECT_EQ(response_.body, packed);
}

}  // namespace
}  // namespace weir::upstream
