#include "weir/bff/coalescer.h"

#include <gtest/gtest.h>

#include "weir/base/random.h"
#include "weir/bff/memory_fetcher.h"

namespace weir::bff {
namespace {

using namespace std::chrono_literals;

struct CoalescerTest : ::testing::Test {
  struct Caller {
    http::FetchRequest request;
    http::FetchResponse response;
    http::FetchFailure failure = http::FetchFailure::unknown;
    std::unique_ptr<async::Scope> scope = std::make_unique<async::Scope>();
    bool done = false;
  };

  std::unique_ptr<Caller> begin(std::string_view target, std::optional<std::string_view> share = "alice",
                                Duration time = 1s) {
    auto caller = std::make_unique<Caller>();
    caller->request.upstream = "users";
    caller->request.target = target;
    caller->request.share = share;
    caller->request.deadline = Deadline::after(loop.now(), time);
    caller->scope->spawn(run(*caller));
    return caller;
  }
  async::Task<void> run(Caller& caller) {
    caller.failure = co_await once.fetch(caller.request, caller.response);
    caller.done = true;
  }
  void pass(Duration time) {
    loop.run();
    loop.advance(time);
    loop.run();
  }

  async::ManualLoop loop;
  MemoryFetcher services{loop};
  Coalescer once{services, loop};
};

// A thousand identical calls in flight are one; the one who began it leaves, and all the others are answered by it.
TEST_F(CoalescerTest, MakesOneCallOfAThousandAndSurvivesTheLeader) {
  services.on("users").reply("[1]").after(50ms).field("ETag", "\"x\"");
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 1000; ++i) callers.push_back(begin("/v1"));
  pass(10ms);
  callers.erase(callers.begin());
  pass(40ms);
  EXPECT_EQ(services.calls().size(), 1U);
  EXPECT_EQ(services.abandoned(), 0U);
  for (const auto& caller : callers) {
    ASSERT_TRUE(caller->done);
    EXPECT_EQ(caller->failure, http::FetchFailure::none);
    EXPECT_EQ(caller->response.body, "[1]");
    EXPECT_EQ(caller->response.fields.find("etag")->value, "\"x\"");
  }
  EXPECT_EQ(once.in_flight(), 0U);
  EXPECT_EQ(once.shared(), 999U);
}

// When nobody waits any more the call ends.
TEST_F(CoalescerTest, EndsTheCallWithTheLastCaller) {
  services.on("users").after(50ms);
  auto one = begin("/v1"), two = begin("/v1");
  pass(1ms);
  one.reset();
  EXPECT_EQ(services.in_flight(), 1U);
  two.reset();
  EXPECT_EQ(services.in_flight(), 0U);
  EXPECT_EQ(services.abandoned(), 1U);
  EXPECT_EQ(once.in_flight(), 0U);
}

// Nobody gets what was made for another: not another subject, not another target; a call that says nothing is alone.
TEST_F(CoalescerTest, SharesNothingBetweenSubjects) {
  services.on("users").after(50ms);
  auto a = begin("/v1", "alice"), b = begin("/v1", "bob"), c = begin("/v2", "alice");
  auto d = begin("/v1", std::nullopt), e = begin("/v1", std::nullopt);
  pass(60ms);
  EXPECT_EQ(services.calls().size(), 5U);
}

// Everybody keeps his own deadline, and the call goes on for as long as the most patient one waits: nobody asks twice.
TEST_F(CoalescerTest, KeepsEveryDeadline) {
  services.on("users").reply("1").after(80ms);
  auto leader = begin("/v1", "alice", 100ms);
  pass(20ms);
  auto hasty = begin("/v1", "alice", 30ms);
  pass(30ms + Coalescer::kGrace);
  EXPECT_TRUE(hasty->done);
  EXPECT_EQ(hasty->failure, http::FetchFailure::timeout);
  pass(30ms);
  EXPECT_EQ(leader->failure, http::FetchFailure::none);

  services.on("users").after(90ms);
  auto short_one = begin("/v1", "alice", 50ms);
  pass(40ms);
  auto long_one = begin("/v1", "alice", 500ms);
  pass(10ms + Coalescer::kGrace);
  EXPECT_EQ(short_one->failure, http::FetchFailure::timeout);
  pass(40ms);
  EXPECT_EQ(long_one->failure, http::FetchFailure::none);
  EXPECT_EQ(services.calls().size(), 2U);
  EXPECT_EQ(services.abandoned(), 0U);
}

// A service that never answers is asked once, and the call itself ends with a timeout at the last caller's deadline: it is
// not given up, so its breaker learns of it.
TEST_F(CoalescerTest, EndsTheCallItselfAtTheLastDeadline) {
  services.on("users").after(10s);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 100; ++i) {
    callers.push_back(begin("/v1", "alice", 50ms));
    pass(1ms);
  }
  pass(50ms + Coalescer::kGrace);
  for (const auto& caller : callers) {
    ASSERT_TRUE(caller->done);
    EXPECT_EQ(caller->failure, http::FetchFailure::timeout);
  }
  EXPECT_EQ(services.calls().size(), 1U);
  EXPECT_EQ(services.abandoned(), 0U);
}

// A fetcher with a bound of its own ends a call that somebody has just joined: he asks again.
TEST_F(CoalescerTest, AsksAgainWhenTheTimeWasNotItsOwn) {
  struct Impatient final : http::Fetcher {
    Impatient(http::Fetcher& to, async::Loop& its) : inner(to), loop(its) {}
    async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                          http::FetchResponse& response) override {
      http::FetchRequest bounded = request;
      bounded.latest = nullptr;
      bounded.deadline = Deadline::after(loop.now(), 20ms);
      co_return co_await inner.fetch(bounded, response);
    }
    http::Fetcher& inner;
    async::Loop& loop;
  } impatient(services, loop);
  Coalescer table(impatient, loop);
  services.on("users").after(1s);
  const auto ask = [&](Caller& caller) -> async::Task<void> {
    caller.failure = co_await table.fetch(caller.request, caller.response);
    caller.done = true;
  };
  Caller one, two;
  const auto start = [&](Caller& caller) {
    caller.request.upstream = "users", caller.request.target = "/v1", caller.request.share = "x";
    caller.request.deadline = Deadline::after(loop.now(), 100ms);
    caller.scope->spawn(ask(caller));
  };
  start(one);
  pass(10ms);
  start(two);
  services.on("users").reply("2").after(5ms);  // the next call is quick
  pass(10ms);
  EXPECT_EQ(one.failure, http::FetchFailure::timeout);
  EXPECT_FALSE(two.done);
  pass(5ms);
  EXPECT_EQ(two.failure, http::FetchFailure::none);
  EXPECT_EQ(two.response.body, "2");
  EXPECT_EQ(services.calls().size(), 2U);
  EXPECT_EQ(table.in_flight(), 0U);
}

// The host and every field make a call another; what is of one call alone (ids, traces) does not, and the call carries
// what its first caller said.
TEST_F(CoalescerTest, TellsFieldsFromOnesOwn) {
  services.on("users").after(50ms);
  const http::Field german{"Accept-Language", "de", http::Name::other, false};
  const http::Field id_a{"X-Request-Id", "a", http::Name::x_request_id, false};
  const http::Field id_b{"X-Request-Id", "b", http::Name::x_request_id, false};
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 4; ++i) {
    auto caller = std::make_unique<Caller>();
    caller->request.upstream = "users", caller->request.target = "/v1", caller->request.share = "";
    caller->request.deadline = Deadline::after(loop.now(), 1s);
    caller->request.own_fields = std::span(i == 0 ? &id_a : &id_b, 1);
    if (i == 2) caller->request.fields = std::span(&german, 1);
    if (i == 3) caller->request.host = "other.example";
    caller->scope->spawn(run(*caller));
    callers.push_back(std::move(caller));
  }
  pass(60ms);
  EXPECT_EQ(services.calls().size(), 3U);
  EXPECT_FALSE(callers[0]->response.joined);
  EXPECT_TRUE(callers[1]->response.joined);
  EXPECT_FALSE(callers[2]->response.joined);
}

// Callers come, go and wait at random: nothing is left behind, and answers are the target's own.
TEST_F(CoalescerTest, LeavesNothingBehind) {
  const std::uint64_t seed = 20261124;
  SCOPED_TRACE(seed);
  base::Random random(seed);
  services.record_calls(false);
  for (const char* target : {"/0", "/1", "/2"}) services.on("users", target).reply(target).after(7ms);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int step = 0; step < 20'000; ++step) {
    switch (random.below(4)) {
      case 0:
      case 1: {
        static constexpr std::string_view kTargets[] = {"/0", "/1", "/2"};
        callers.push_back(begin(kTargets[random.below(3)], "x",
                                Duration(1ms) * static_cast<std::int64_t>(1 + random.below(20))));
        break;
      }
      case 2:
        if (!callers.empty())
          callers.erase(callers.begin() + static_cast<std::ptrdiff_t>(random.below(callers.size())));
        break;
      default:
        pass(1ms);
    }
    std::erase_if(callers, [](const auto& caller) {
      const bool good = caller->done && caller->failure == http::FetchFailure::none;
      EXPECT_TRUE(!good || caller->response.body == caller->request.target);
      return caller->done;
    });
  }
  callers.clear();
  EXPECT_EQ(services.in_flight(), 0U);
  EXPECT_EQ(once.in_flight(), 0U);
}

}  // namespace
}  // namespace weir::bff
