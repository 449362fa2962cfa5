// Second calls through the whole chain, in virtual time: when they are sent, which answer is used, what they cost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "weir/async/timer.h"
#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Desk;

// A service whose answers come when, and as, the test says. One request a connection at a time.
class TimedService final : private io::AcceptSink {
 public:
  struct Answer {
    Duration after{};
    std::string bytes = testing::kOk;  // "": the connection closes
  };
  using Decide = std::function<Answer()>;

  TimedService(Desk& desk, std::string_view address, Decide decide)
      : desk_(desk), decide_(std::move(decide)) {
    listener_ = desk.reactor.listen(io::Address::parse(address).value(), io::ListenOptions()).value();
    listener_->watch(this);
  }

  int requests = 0;
  int cut = 0;  // connections that ended while an answer was due
  std::vector<TimePoint> times;
  std::string seen;

 private:
  void on_acceptable(io::Listener& listener) noexcept override {
    for (;;) {
      Result<std::unique_ptr<io::Stream>> stream = listener.accept();
      if (!stream || *stream == nullptr) return;
      desk_.scope.spawn(serve(std::move(*stream)));
      --served_;
    }
  }
  async::Task<void> serve(std::unique_ptr<io::Stream> stream) {
    io::Waiter waiter(desk_.reactor);
    stream->watch(&waiter);
    std::array<char, 4096> bytes;
    Deadline answer_at = Deadline::never();
    Answer answer;
    for (;;) {
      const io::IoResult read = stream->read(bytes);
      if (read.status == io::IoStatus::ok) {
        seen.append(bytes.data(), read.bytes);
        if (!answer_at.is_never()) continue;  // more of the same request
        ++requests;
        times.push_back(desk_.reactor.now());
        answer = decide_();
        answer_at = Deadline::after(desk_.reactor.now(), answer.after);
        continue;
      }
      if (read.status != io::IoStatus::would_block) {
        if (!answer_at.is_never()) ++cut;
        co_return;
      }
      if (answer_at.expired(desk_.reactor.now())) {
        if (answer.bytes.empty()) co_return;
        const iovec piece{answer.bytes.data(), answer.bytes.size()};
        static_cast<void>(stream->write({&piece, 1}));
        answer_at = Deadline::never();
        continue;
      }
      const io::Wake wake = co_await waiter.wait(answer_at);
      static_cast<void>(wake);
    }
  }

  Desk& desk_;
  Decide decide_;
  int served_ = 0;
  std::unique_ptr<io::Listener> listener_;
};

std::string two(std::string_view more) {
  return "upstreams: {u: {endpoints: [http://10.0.0.1:80, http://10.0.0.2:80], " + std::string(more) +
         "}}\nroutes: [{name: r, path: /*, upstream: u}]";
}

// One request, to its end; what the client waited.
Duration ask(Desk& desk, const std::string& request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n") {
  desk.receive(request);
  const TimePoint start = desk.reactor.now();
  bool over = false;
  const auto run = [](Desk& at, bool& done) -> async::Task<void> {
    co_await run_pipeline(at.exchange);
    done = true;
  };
  desk.scope.spawn(run(desk, over));
  desk.reactor.run_until([&over] { return over; }, std::chrono::minutes{2});
  EXPECT_TRUE(over);
  const Duration took = desk.reactor.now() - start;
  desk.exchange.end();
  return took;
}

std::uint64_t counted(const Desk& desk, upstream::HedgeEnd end) {
  return desk.plan->upstreams[0].shared->counted(end);
}

void expect_nothing_left(Desk& desk) {
  for (const auto& endpoint : desk.worker.current_plan().upstreams[0]->endpoints())
    EXPECT_EQ(endpoint.in_flight, 0U) << endpoint.options.url;
  for (const auto& [name, shedder] : desk.state.shedders()) EXPECT_EQ(shedder->in_flight(), 0U);
}

// Late calls are asked of the other endpoint; its answer is used, the first one's connection closes and its ticket
// counts for nothing.
TEST(Hedge, TheQuickAnswerIsUsedAndTheLateCallBrokenOff) {
  Desk desk(two("hedge: {after: 50ms}, circuit_breaker: {failures: 1}"));
  bool first = true;
  const auto slow_once = [&] {
    const bool slow = std::exchange(first, false);
    return TimedService::Answer{slow ? Duration{seconds{10}} : Duration{milliseconds{10}}};
  };
  TimedService one(desk, "10.0.0.1:80", slow_once);
  TimedService other(desk, "10.0.0.2:80", slow_once);
  const Duration took = ask(desk);
  EXPECT_EQ(desk.client.status, 200);
  EXPECT_EQ(desk.client.payload, "ok");
  EXPECT_GE(took, milliseconds{60});
  EXPECT_LE(took, milliseconds{70});
  EXPECT_EQ(one.requests, 1);
  EXPECT_EQ(other.requests, 1);
  EXPECT_EQ(counted(desk, upstream::HedgeEnd::won), 1U);
  desk.reactor.run_until([&] { return one.cut + other.cut == 1; }, seconds{1});
  EXPECT_EQ(one.cut + other.cut, 1) << "the loser's connection is closed";
  const auto snapshot = desk.plan->upstreams[0].shared->breaker().snapshot(desk.reactor.now());
  EXPECT_EQ(snapshot.consecutive_failures, 0U);
  EXPECT_EQ(snapshot.state, resilience::CircuitBreaker::State::closed);
  expect_nothing_left(desk);
}

// An answer in time needs no second call; one that is a little later than the second call's begin is used all the same.
TEST(Hedge, TheFirstAnswerWinsWhenItComesFirst) {
  Desk desk(two("hedge: {after: 50ms}"));
  Duration takes = milliseconds{10};
  const auto same = [&] { return TimedService::Answer{takes}; };
  TimedService one(desk, "10.0.0.1:80", same);
  TimedService other(desk, "10.0.0.2:80", same);
  EXPECT_LE(ask(desk), milliseconds{15});
  EXPECT_EQ(one.requests + other.requests, 1);
  takes = milliseconds{80};
  const Duration took = ask(desk);
  EXPECT_LE(took, milliseconds{85});
  EXPECT_EQ(one.requests + other.requests, 3);
  EXPECT_EQ(counted(desk, upstream::HedgeEnd::lost), 1U);
  expect_nothing_left(desk);
}

// A second call that fails is a failure of its endpoint, and the first goes on.
TEST(Hedge, AFailedSecondCallChangesNothing) {
  for (const std::string bad : {"", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "garbage\r\n\r\n"}) {
    Desk desk(two("hedge: {after: 50ms}, circuit_breaker: {failures: 10}"));
    int asked = 0;
    const auto decide = [&] {
      if (++asked == 1) return TimedService::Answer{milliseconds{200}};
      return TimedService::Answer{milliseconds{5}, bad};
    };
    TimedService one(desk, "10.0.0.1:80", decide);
    TimedService other(desk, "10.0.0.2:80", decide);
    EXPECT_GE(ask(desk), milliseconds{200});
    EXPECT_EQ(desk.client.status, 200) << bad;
    EXPECT_EQ(counted(desk, upstream::HedgeEnd::failed), 1U);
    expect_nothing_left(desk);
  }
}

// When the first fails while the second is under way, the second one's answer is the answer: nothing is tried again.
TEST(Hedge, AFailedFirstCallLeavesTheSecond) {
  for (const std::string bad : {"", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "garbage\r\n\r\n"}) {
    Desk desk(two("hedge: {after: 50ms}, retries: {attempts: 1}, circuit_breaker: {failures: 10}"));
    int asked = 0;
    const auto decide = [&] {
      if (++asked == 1) return TimedService::Answer{milliseconds{100}, bad};
      return TimedService::Answer{milliseconds{100}};
    };
    TimedService one(desk, "10.0.0.1:80", decide);
    TimedService other(desk, "10.0.0.2:80", decide);
    const Duration took = ask(desk);
    EXPECT_EQ(desk.client.status, 200) << bad;
    EXPECT_LE(took, milliseconds{160});
    EXPECT_EQ(asked, 2);
    expect_nothing_left(desk);
  }
}

// Both fail: the client is told of the last failure; with retries left a third try follows.
TEST(Hedge, WhenBothFail) {
  for (const bool retries : {false, true}) {
    Desk desk(two(std::string("hedge: {after: 50ms}, circuit_breaker: {failures: 10}") +
                  (retries ? ", retries: {attempts: 1}" : "")));
    int asked = 0;
    const auto decide = [&] {
      ++asked;
      if (asked == 1) return TimedService::Answer{milliseconds{100}, ""};
      if (asked == 2) return TimedService::Answer{milliseconds{100}, ""};
      return TimedService::Answer{milliseconds{10}};
    };
    TimedService one(desk, "10.0.0.1:80", decide);
    TimedService other(desk, "10.0.0.2:80", decide);
    ask(desk);
    EXPECT_EQ(desk.client.started ? desk.client.status : 0, retries ? 200 : 502);
    EXPECT_EQ(asked, retries ? 3 : 2);
    expect_nothing_left(desk);
  }
}

// What would happen twice is sent once: POST never, PUT only where it is named, large bodies never.
TEST(Hedge, OnlyWhatMayHappenTwice) {
  const auto request = [](std::string_view method, std::size_t body) {
    std::string text(method);
    text += " /x HTTP/1.1\r\nHost: a\r\n";
    if (body > 0) text += "Content-Length: " + std::to_string(body) + "\r\n";
    return text + "\r\n" + std::string(body, 'b');
  };
  const auto asked = [&](std::string_view hedge, const std::string& text) {
    Desk desk(two("hedge: {after: 50ms" + std::string(hedge) + "}"));
    const auto slow = [] { return TimedService::Answer{milliseconds{200}}; };
    TimedService one(desk, "10.0.0.1:80", slow);
    TimedService other(desk, "10.0.0.2:80", slow);
    ask(desk, text);
    EXPECT_EQ(desk.client.status, 200);
    if (one.requests + other.requests == 2 && text.find("bbb") != std::string::npos) {
      const auto body_of = [](const std::string& seen) { return seen.substr(seen.find("\r\n\r\n") + 4); };
      EXPECT_EQ(body_of(one.seen), body_of(other.seen));
    }
    expect_nothing_left(desk);
    return one.requests + other.requests;
  };
  EXPECT_EQ(asked("", request("GET", 0)), 2);
  EXPECT_EQ(asked("", request("HEAD", 0)), 2);
  EXPECT_EQ(asked("", request("POST", 3)), 1);
  EXPECT_EQ(asked("", request("PUT", 3)), 1);
  EXPECT_EQ(asked(", methods: [GET, PUT]", request("PUT", 3)), 2);
  EXPECT_EQ(asked(", methods: [PUT]", request("GET", 0)), 1);
  EXPECT_EQ(asked(", methods: [PUT]", request("PUT", 60'000)), 2);
  EXPECT_EQ(asked(", methods: [PUT]", request("PUT", 70'000)), 1);
}

// No second call begins when the time is used up, when the breaker is open or when the budget has nothing left.
TEST(Hedge, IsSentOnlyWhenThereIsTimeAndBudget) {
  {
    Desk desk(two("hedge: {after: 50ms}, timeout: 60ms"));
    const auto never = [] { return TimedService::Answer{seconds{20}}; };
    TimedService one(desk, "10.0.0.1:80", never);
    TimedService other(desk, "10.0.0.2:80", never);
    EXPECT_LE(ask(desk), milliseconds{65});
    EXPECT_EQ(one.requests + other.requests, 2);
    EXPECT_EQ(counted(desk, upstream::HedgeEnd::abandoned), 1U);
    expect_nothing_left(desk);
  }
  Desk desk(two("hedge: {after: 20ms}, retries: {attempts: 1, budget: 10%, min_per_second: 0}"));
  const auto slow = [] { return TimedService::Answer{milliseconds{40}}; };
  TimedService one(desk, "10.0.0.1:80", slow);
  TimedService other(desk, "10.0.0.2:80", slow);
  for (int i = 0; i < 100; ++i) ask(desk);
  EXPECT_EQ(one.requests + other.requests, 110);
  EXPECT_EQ(counted(desk, upstream::HedgeEnd::no_budget), 90U);
  expect_nothing_left(desk);
}

// A client that leaves while both calls run leaves nothing behind.
TEST(Hedge, AbandonedCallsLeaveNothing) {
  for (const int turns : {1, 2, 3, 5, 8, 13}) {
    Desk desk(two("hedge: {after: 5ms}"));
    const auto slow = [] { return TimedService::Answer{seconds{5}}; };
    TimedService one(desk, "10.0.0.1:80", slow);
    TimedService other(desk, "10.0.0.2:80", slow);
    desk.receive("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    {
      async::Scope scope;
      scope.spawn(run_pipeline(desk.exchange));
      for (int i = 0; i < turns; ++i) desk.reactor.turn();
    }
    expect_nothing_left(desk);
    desk.exchange.end();
  }
}

// A service with a tail of 5 % at 500 ms: hedged after p95, p99 is at most twice the p95 for at most 6 % more calls.
TEST(Hedge, CutsATailOfFivePercent) {
  for (const bool hedged : {false, true}) {
    Desk desk(two(hedged ? "hedge: {after: p95}" : "hedge: off"));
    base::Random random(11);
    const auto tail = [&] {
      return TimedService::Answer{random.chance(5, 100)
                                      ? Duration{milliseconds{500}}
                                      : Duration{milliseconds{10}} + microseconds{random.below(10'000)}};
    };
    TimedService one(desk, "10.0.0.1:80", tail);
    TimedService other(desk, "10.0.0.2:80", tail);
    constexpr int kWarm = 2000;
    constexpr int kCalls = 12'000;
    std::vector<Duration> took;
    int before = 0;
    for (int i = 0; i < kCalls; ++i) {
      if (i == kWarm) before = one.requests + other.requests;
      const Duration each = ask(desk);
      if (i >= kWarm) took.push_back(each);
    }
    std::sort(took.begin(), took.end());
    const double extra = static_cast<double>(one.requests + other.requests - before) / (kCalls - kWarm) - 1;
    const auto ms = [&](std::size_t permille) {
      return std::chrono::duration<double, std::milli>(took[took.size() * permille / 1000]).count();
    };
    std::printf("%s: p50 %.1f ms, p94 %.1f ms, p95 %.1f ms, p99 %.1f ms, extra calls %.1f %%\n",
                hedged ? "hedged" : "plain", ms(500), ms(940), ms(950), ms(990), extra * 100);
    if (!hedged) continue;
    EXPECT_LE(ms(990), 2 * ms(950));
    EXPECT_LE(extra, 0.06);
    expect_nothing_left(desk);
  }
}

}  // namespace
}  // namespace weir::gateway
