// One call, driven by hand over a connection that does exactly what the test says.
#include "weir/upstream/call.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "weir/upstream/testing.h"

namespace weir::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::FakeReactor;
using testing::FakeStream;

const std::string kRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

class CallTest : public ::testing::Test {
 protected:
  CallTest() {
    pool_ = std::make_unique<EndpointPool>(reactor_, names_, scope_, "10.0.0.1", std::uint16_t{80});
  }

  FakeStream& start(http::Method method = http::Method::get, http::BodyKind kind = http::BodyKind::none,
                    std::uint64_t length = 0, std::unique_ptr<Connection> connection = nullptr) {
    if (connection == nullptr) connection = pool_->connect(0).value();
    Timeouts timeouts;
    timeouts.connect = seconds{1};
    timeouts.first_byte = seconds{5};
    timeouts.idle = seconds{3};
    call_.start(std::move(connection), method, http::HeadBuffer(kRequest), kind, length, timeouts,
                reactor_.now());
    return *reactor_.streams.back();
  }
  // Pushes and pulls until nothing moves; takes the payload.
  void run(std::string_view body = {}, bool last = true) {
    for (bool moved = true; moved;) {
      std::size_t used = 0;
      moved = call_.push(body, last, reactor_.now(), &used);
      body.remove_prefix(used);
      moved |= call_.pull(reactor_.now());
      moved |= take();
    }
  }
  bool take() {
    const std::size_t waiting = call_.head_ready() ? call_.body().payload().size() : 0;
    if (waiting == 0) return false;
    payload_ += call_.body().payload();
    call_.body().consume(waiting);
    return true;
  }
  // The whole of one call with this answer, in one piece; true if the connection was kept.
  bool answered(const std::string& answer, http::Method method = http::Method::get) {
    payload_.clear();
    FakeStream& stream = start(method);
    stream.incoming.push_back(answer);
    run();
    EXPECT_EQ(call_.failure(), CallFailure::none) << call_.fault().what;
    EXPECT_TRUE(call_.complete());
    const std::size_t idle = pool_->idle();
    call_.release();
    return pool_->idle() == idle + 1;
  }
  CallFailure failed(const std::string& answer, bool ends) {
    payload_.clear();
    FakeStream& stream = start();
    if (!answer.empty()) stream.incoming.push_back(answer);
    stream.ended = ends;
    run();
    const CallFailure failure = call_.failure();
    EXPECT_TRUE(call_.finished());
    const std::size_t idle = pool_->idle();
    call_.release();
    EXPECT_EQ(pool_->idle(), idle) << "a failed connection is not kept";
    return failure;
  }

  FakeReactor reactor_;
  io::TableResolver names_;
  async::Scope scope_;
  io::BufferPool buffers_;
  std::unique_ptr<EndpointPool> pool_;
  Call call_{buffers_};
  std::string payload_;
};

// An answer that ends where its framing says keeps the connection, whatever the framing.
TEST_F(CallTest, KeepsTheConnectionAfterAWholeAnswer) {
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
  EXPECT_EQ(payload_, "hello");
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
  EXPECT_EQ(payload_, "hello");
  EXPECT_TRUE(answered("HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_TRUE(answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"));
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", http::Method::head));
  EXPECT_EQ(payload_, "");
}

// It is closed when the answer says so, is of HTTP/1.0, or is followed by what nobody asked for.
TEST_F(CallTest, ClosesTheConnectionWhenItMust) {
  EXPECT_FALSE(answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"));
  EXPECT_FALSE(answered("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"));
  EXPECT_FALSE(answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(payload_, "ab");
  EXPECT_FALSE(answered("HTTP/1.1 204 No Content\r\n\r\nx"));
  EXPECT_TRUE(reactor_.streams.empty());
}

// Cut at every byte, one piece or two, the answer is the same.
TEST_F(CallTest, EverySplitOfAnAnswer) {
  const std::string answer =
      "HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (std::size_t cut = 1; cut < answer.size(); ++cut) {
    payload_.clear();
    FakeStream& stream = start();
    std::vector<int> interim;
    const auto run_all = [&] {
      for (;;) {
        run();
        if (!call_.head_ready() || call_.head().status >= 200) return;
        interim.push_back(call_.head().status);
        call_.next_head();
      }
    };
    stream.say(answer.substr(0, cut));
    run_all();
    EXPECT_FALSE(call_.complete());
    stream.say(answer.substr(cut));
    run_all();
    ASSERT_TRUE(call_.complete()) << "cut at " << cut;
    EXPECT_EQ(payload_, "abc");
    EXPECT_EQ(interim, std::vector<int>{103});
    call_.release();
    EXPECT_EQ(pool_->idle(), 1U);
    static_cast<void>(pool_->take_idle());
  }
}

// A body until the end of the connection is complete when it ends, and that connection is of no more use.
TEST_F(CallTest, UntilClose) {
  FakeStream& stream = start();
  stream.say("HTTP/1.1 200 OK\r\n\r\nall of ");
  run();
  EXPECT_FALSE(call_.complete());
  stream.say("it");
  stream.finish();
  run();
  EXPECT_TRUE(call_.complete());
  EXPECT_EQ(payload_, "all of it");
  call_.release();
  EXPECT_EQ(pool_->idle(), 0U);
}

// What is not HTTP, or not framed in one single way, is malformed.
TEST_F(CallTest, MalformedAnswers) {
  for (const char* answer :
       {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 99 Low\r\n\r\n"})
    EXPECT_EQ(failed(answer, false), CallFailure::malformed) << answer;
  EXPECT_TRUE(reactor_.streams.empty());
}

// What ends too early is broken: before a byte, in the head, in the body.
TEST_F(CallTest, BrokenAnswers) {
  EXPECT_EQ(failed("", true), CallFailure::broken);
  EXPECT_FALSE(call_.any_byte_received());
  EXPECT_EQ(failed("HTTP/1.1 200 O", true), CallFailure::broken);
  EXPECT_TRUE(call_.any_byte_received());
  EXPECT_EQ(failed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", true), CallFailure::broken);
  EXPECT_EQ(failed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true),
            CallFailure::broken);
}

// A head of 20 KiB is still one; of more than 32 KiB it is malformed, however much more might come.
TEST_F(CallTest, HeadsHaveABound) {
  const auto head = [](std::size_t lines) {
    std::string text = "HTTP/1.1 204 No Content\r\n";
    for (std::size_t i = 0; i < lines; ++i)
      text += "X-" + std::to_string(i) + ": " + std::string(990, 'a') + "\r\n";
    return text + "\r\n";
  };
  FakeStream& stream = start();
  stream.say(head(20));
  run();
  EXPECT_TRUE(call_.complete());
  EXPECT_EQ(failed(head(50), false), CallFailure::malformed);
}

// The connect phase: refused, or too late.
TEST_F(CallTest, ConnectFailures) {
  FakeStream& refused = start();
  refused.connect_error = true;
  run();
  EXPECT_EQ(call_.failure(), CallFailure::connect_failed);
  EXPECT_FALSE(call_.any_byte_sent());

  FakeStream& late = start();
  late.connecting = true;
  run();
  EXPECT_FALSE(call_.connected());
  EXPECT_EQ(call_.due(), Deadline::after(reactor_.now(), seconds{1}));
  reactor_.advance(milliseconds{999});
  call_.expire(reactor_.now());
  EXPECT_FALSE(call_.finished());
  reactor_.advance(milliseconds{1});
  call_.expire(reactor_.now());
  EXPECT_EQ(call_.failure(), CallFailure::connect_timed_out);
}

// From the end of the request to the first byte, then between bytes: each phase has its own limit, and a
// byte renews it.
TEST_F(CallTest, TimeoutsOfEachPhase) {
  start();
  run();
  EXPECT_EQ(call_.due(), Deadline::after(reactor_.now(), seconds{5}));
  reactor_.advance(seconds{5});
  call_.expire(reactor_.now());
  EXPECT_EQ(call_.failure(), CallFailure::first_byte_timed_out);

  FakeStream& stream = start();
  run();
  reactor_.advance(seconds{4});
  stream.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
  run();
  EXPECT_EQ(call_.due(), Deadline::after(reactor_.now(), seconds{3}));
  reactor_.advance(seconds{2});
  stream.say("def");
  run();
  reactor_.advance(seconds{2});
  call_.expire(reactor_.now());
  EXPECT_FALSE(call_.finished());
  reactor_.advance(seconds{1});
  call_.expire(reactor_.now());
  EXPECT_EQ(call_.failure(), CallFailure::idle_timed_out);
}

// While the request is still going out, the upstream's taking it is what counts.
TEST_F(CallTest, UploadThatStandsStillTimesOut) {
  FakeStream& stream = start(http::Method::post, http::BodyKind::length, 100);
  stream.room = 60;
  run(std::string(100, 'x'));
  EXPECT_FALSE(call_.request_sent());
  EXPECT_EQ(call_.due(), Deadline::after(reactor_.now(), seconds{3}));
  reactor_.advance(seconds{3});
  call_.expire(reactor_.now());
  EXPECT_EQ(call_.failure(), CallFailure::idle_timed_out);
}

// The request leaves as its framing says, however little is taken at a time.
TEST_F(CallTest, SendsInPieces) {
  FakeStream& stream = start(http::Method::post, http::BodyKind::chunked);
  stream.room = 0;
  std::string body = "hello";
  for (int i = 0; i < 60 && !call_.request_sent(); ++i) {
    stream.make_room(1);
    std::size_t used = 0;
    call_.push(body, true, reactor_.now(), &used);
    body.erase(0, used);
  }
  EXPECT_TRUE(call_.request_sent());
  EXPECT_EQ(stream.written, kRequest + "5\r\nhello\r\n0\r\n\r\n");
}

// An answer that comes before the request is out is passed on; the connection is then in no known state.
TEST_F(CallTest, EarlyAnswer) {
  FakeStream& stream = start(http::Method::post, http::BodyKind::length, 100);
  stream.room = 40;
  stream.incoming.push_back("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  run(std::string(50, 'x'), false);
  EXPECT_TRUE(call_.complete());
  EXPECT_FALSE(call_.request_sent());
  EXPECT_EQ(payload_, "no");
  call_.release();
  EXPECT_EQ(pool_->idle(), 0U);
}

// A peer that closed its receiving side may have answered first: what it sent counts.
TEST_F(CallTest, AnswerBehindAFailedWrite) {
  FakeStream& stream = start(http::Method::post, http::BodyKind::length, 100);
  stream.write_error = true;
  stream.incoming.push_back("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
  run(std::string(100, 'x'));
  EXPECT_TRUE(call_.complete());
  EXPECT_EQ(call_.failure(), CallFailure::none);
  EXPECT_EQ(call_.head().status, 413);
  call_.release();
  EXPECT_EQ(pool_->idle(), 0U);
}

// Nobody takes the payload: the call stops reading at its buffer's end, takes 64 KiB and more when it may
// grow, and then really stops.
TEST_F(CallTest, StopsReadingWhenNobodyTakes) {
  FakeStream& stream = start();
  stream.incoming.push_back("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
  for (int i = 0; i < 300; ++i) stream.incoming.push_back(std::string(1000, 'x'));
  std::size_t used = 0;
  call_.push({}, true, reactor_.now(), &used);
  while (call_.pull(reactor_.now())) {
  }
  EXPECT_LT(call_.body().payload().size(), io::BufferPool::kSmall);
  call_.head_copied();
  ASSERT_TRUE(call_.make_room());
  while (call_.pull(reactor_.now())) {
  }
  EXPECT_GE(call_.body().payload().size(), 64U * 1024);
  EXPECT_LE(call_.body().payload().size(), io::BufferPool::kLarge);
  EXPECT_FALSE(call_.make_room());
  run();
  EXPECT_TRUE(call_.complete());
  EXPECT_EQ(payload_.size(), 300'000U);
}

// A connection that has served before says so; and a call that is reset holds nothing of the one before.
TEST_F(CallTest, ReusedAndReset) {
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"));
  EXPECT_FALSE(call_.reused());
  start(http::Method::get, http::BodyKind::none, 0, pool_->take_idle());
  EXPECT_TRUE(call_.reused());
  EXPECT_TRUE(call_.connected());
  EXPECT_FALSE(call_.head_ready());
  EXPECT_FALSE(call_.any_byte_received());
  call_.reset();
  EXPECT_FALSE(call_.active());
  EXPECT_TRUE(reactor_.streams.empty());
  EXPECT_EQ(buffers_.blocks_out(), 0U);
}

}  // namespace
}  // namespace weir::upstream
