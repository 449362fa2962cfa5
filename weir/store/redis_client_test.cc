// The client against a Redis of the simulation: virtual time, faults by seed.
#include "weir/store/redis_client.h"

#include <gtest/gtest.h>

#include <optional>

#include "weir/store/testing.h"

namespace weir::store {
namespace {

using namespace std::chrono_literals;
using testing::bulk;
using testing::Command;
using testing::FakeRedis;

io::Address address() {
  io::Address at;
  at.ip = *base::IpAddress::parse("10.0.0.1");
  at.port = 6379;
  return at;
}

RedisOptions options() {
  RedisOptions made;
  made.url.host = "10.0.0.1";
  return made;
}

// One command whose result the test looks at later.
struct Asked {
  std::optional<Result<RedisReply>> result;
  TimePoint at{};
};

async::Task<void> ask(RedisClient& client, std::vector<std::string> words, Deadline deadline, Asked& asked,
                      async::CancelSource* cancel = nullptr) {
  const std::vector<std::string_view> args(words.begin(), words.end());
  Result<RedisReply> reply = co_await client.command(args, deadline, cancel);
  asked.at = client.reactor().now();
  asked.result.emplace(std::move(reply));
}

class RedisClientTest : public ::testing::Test {
 protected:
  Deadline in(Duration time) { return Deadline::after(reactor.now(), time); }
  bool up(RedisClient& client) {
    return reactor.run_until([&] { return client.state() == RedisClient::State::up; }, 10s);
  }

  io::SimulatedReactor reactor;
  io::TableResolver resolver;
};

std::string echo(const Command& command) { return bulk(command.back()); }

// Commands of one turn leave in one write, and each gets its own reply, in order.
TEST_F(RedisClientTest, OneWriteForATurnOfCommands) {
  FakeRedis redis(reactor, address(), echo);
  RedisClient client(reactor, resolver, options(), 1);
  ASSERT_TRUE(up(client));
  std::vector<Asked> asked(100);
  async::Scope scope;
  for (std::size_t i = 0; i < asked.size(); ++i)
    scope.spawn(ask(client, {"ECHO", std::to_string(i)}, in(1s), asked[i]));
  reactor.run_for(100ms);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    ASSERT_TRUE(asked[i].result && asked[i].result->has_value()) << i;
    EXPECT_EQ((*asked[i].result)->text, std::to_string(i));
  }
  EXPECT_EQ(client.stats().writes, 1U);
  EXPECT_EQ(client.stats().commands, 100U);
  EXPECT_EQ(redis.connections, 1);
}

// What is asked before the first connection stands is answered when it does; user, password and database come first.
TEST_F(RedisClientTest, LogsInBeforeAnythingElse) {
  FakeRedis redis(reactor, address(),
                  [](const Command& c) { return c[0] == "ECHO" ? bulk(c[1]) : "+OK\r\n"; });
  RedisOptions with = options();
  with.url.user = "app";
  with.url.password = "secret";
  with.url.database = 3;
  RedisClient client(reactor, resolver, with, 1);
  Asked asked;
  async::Scope scope;
  scope.spawn(ask(client, {"ECHO", "hello"}, in(1s), asked));
  reactor.run_for(100ms);
  ASSERT_TRUE(asked.result && asked.result->has_value());
  EXPECT_EQ((*asked.result)->text, "hello");
  const std::vector<Command> wanted{{"AUTH", "app", "secret"}, {"SELECT", "3"}, {"ECHO", "hello"}};
  EXPECT_EQ(redis.seen, wanted);
}

// A wrong password is no connection: nobody is told to wait for it, and the fault says why without the secret.
TEST_F(RedisClientTest, AWrongPasswordIsDown) {
  FakeRedis redis(reactor, address(), [](const Command&) { return std::string("-WRONGPASS no\r\n"); });
  RedisOptions with = options();
  with.url.password = "secret";
  RedisClient client(reactor, resolver, with, 1);
  Asked asked;
  async::Scope scope;
  scope.spawn(ask(client, {"GET", "a"}, in(1s), asked));
  reactor.run_for(10ms);
  ASSERT_TRUE(asked.result);
  EXPECT_FALSE(asked.result->has_value());
  EXPECT_FALSE(client.may_send());
  EXPECT_NE(client.last_fault().find("WRONGPASS"), std::string::npos);
  EXPECT_EQ(client.last_fault().find("secret"), std::string::npos);
}

// A server that hangs costs each waiting command its deadline, once; then nobody waits until it has answered a PING of
// the client's own.
TEST_F(RedisClientTest, ASilentServerIsWaitedForOnce) {
  FakeRedis redis(reactor, address(), [&](const Command&) { return std::string(); });
  RedisOptions with = options();
  with.stall = 10s;
  RedisClient client(reactor, resolver, with, 1);
  ASSERT_TRUE(up(client));
  redis.mute = true;
  Asked first, second, third;
  async::Scope scope;
  const TimePoint start = reactor.now();
  scope.spawn(ask(client, {"GET", "a"}, in(5ms), first));
  ASSERT_TRUE(reactor.run_until([&] { return first.result.has_value(); }, 1s));
  EXPECT_EQ(first.result->error().code, ErrorCode::deadline_exceeded);
  EXPECT_EQ(first.at - start, 5ms);
  EXPECT_EQ(client.state(), RedisClient::State::suspect);

  scope.spawn(ask(client, {"GET", "b"}, in(5ms), second));
  ASSERT_TRUE(second.result) << "waited although the server is suspect";
  EXPECT_EQ(second.result->error().code, ErrorCode::unavailable);

  // The fake never answers commands, so the old GET stays ahead of the PONG: it is that reply that is dropped.
  redis.close();
  redis.open();
  redis.mute = false;
  ASSERT_TRUE(up(client));
  scope.spawn(ask(client, {"GET", "c"}, in(5ms), third));
  reactor.run_for(1ms);
  EXPECT_FALSE(third.result);
}

// A server that only paused is believed again as soon as the PONG shows that it has caught up.
TEST_F(RedisClientTest, APauseIsForgiven) {
  bool silent = true;
  std::string held;
  FakeRedis redis(reactor, address(), [&](const Command& c) {
    held += bulk(c.back());
    return silent ? std::string() : std::exchange(held, {});
  });
  RedisClient client(reactor, resolver, options(), 1);
  ASSERT_TRUE(up(client));
  Asked late, next;
  async::Scope scope;
  redis.mute = true;
  scope.spawn(ask(client, {"ECHO", "late"}, in(5ms), late));
  reactor.run_for(20ms);
  ASSERT_TRUE(late.result && !late.result->has_value());
  EXPECT_EQ(client.state(), RedisClient::State::suspect);
  // The held reply goes out in front of the PONG, as a server's would.
  silent = false;
  redis.inject(std::exchange(held, {}));
  redis.mute = false;
  ASSERT_TRUE(up(client));
  scope.spawn(ask(client, {"ECHO", "next"}, in(5ms), next));
  reactor.run_for(5ms);
  ASSERT_TRUE(next.result && next.result->has_value());
  EXPECT_EQ((*next.result)->text, "next");
  EXPECT_EQ(redis.connections, 1);
}

// A server that hangs for longer than `stall` gets another connection.
TEST_F(RedisClientTest, AStalledConnectionIsReplaced) {
  FakeRedis redis(reactor, address(), [](const Command&) { return std::string(); });
  RedisClient client(reactor, resolver, options(), 1);
  ASSERT_TRUE(up(client));
  redis.mute = true;
  Asked asked;
  async::Scope scope;
  scope.spawn(ask(client, {"GET", "a"}, in(5ms), asked));
  reactor.run_for(2s);
  EXPECT_GE(redis.connections, 2);
}

// When the connection breaks, everybody who waits is told at once, and nobody waits until there is another.
TEST_F(RedisClientTest, ABrokenConnectionFailsAllAndComesBack) {
  FakeRedis redis(reactor, address(),
                  [](const Command& c) { return c[0] == "HOLD" ? std::string() : bulk(c[1]); });
  RedisClient client(reactor, resolver, options(), 1);
  ASSERT_TRUE(up(client));
  std::vector<Asked> asked(10);
  async::Scope scope;
  for (Asked& one : asked) scope.spawn(ask(client, {"HOLD", "x"}, in(1s), one));
  reactor.run_for(1ms);
  const TimePoint before = reactor.now();
  redis.close();
  ASSERT_TRUE(reactor.run_until([&] { return asked.back().result.has_value(); }, 1s));
  EXPECT_LT(reactor.now() - before, 5ms);
  for (Asked& one : asked) EXPECT_FALSE(one.result->has_value());
  Asked refused;
  scope.spawn(ask(client, {"ECHO", "x"}, in(1s), refused));
  ASSERT_TRUE(refused.result);
  EXPECT_EQ(refused.result->error().code, ErrorCode::unavailable);

  redis.open();
  ASSERT_TRUE(up(client));
  Asked again;
  scope.spawn(ask(client, {"ECHO", "again"}, in(1s), again));
  reactor.run_for(10ms);
  ASSERT_TRUE(again.result && again.result->has_value());
}

// Bytes that are no RESP, a reply that nobody asked for, a list without end: the connection ends, the caller is told.
TEST_F(RedisClientTest, NonsenseEndsTheConnection) {
  for (const std::string nonsense :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n+OK\r\n", "*2147483647\r\n", "$99999999999\r\n",
        ":abc\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"}) {
    io::SimulatedReactor own;
    FakeRedis redis(own, address(), [&](const Command&) { return nonsense; });
    RedisOptions with = options();
    with.reply_max = 1 << 20;
    RedisClient client(own, resolver, with, 1);
    ASSERT_TRUE(own.run_until([&] { return client.state() == RedisClient::State::up; }, 1s));
    Asked asked;
    async::Scope scope;
    scope.spawn(ask(client, {"GET", "a"}, Deadline::after(own.now(), 50ms), asked));
    own.run_for(60ms);
    ASSERT_TRUE(asked.result) << nonsense;
    const bool first_reply_was_whole = nonsense.starts_with("+OK");
    EXPECT_EQ(asked.result->has_value(), first_reply_was_whole) << nonsense;
    EXPECT_FALSE(client.last_fault().empty() && redis.connections == 1 && client.may_send()) << nonsense;
  }
}

// A coroutine that is destroyed while it waits leaves its reply to nobody: the next one gets its own.
TEST_F(RedisClientTest, AnAbandonedCommandTakesNoOthersReply) {
  FakeRedis redis(reactor, address(), echo);
  RedisClient client(reactor, resolver, options(), 1);
  ASSERT_TRUE(up(client));
  Asked gone, cancelled, kept;
  async::CancelSource cancel;
  async::Scope scope;
  {
    async::Scope abandoned;
    abandoned.spawn(ask(client, {"ECHO", "gone"}, in(1s), gone));
    scope.spawn(ask(client, {"ECHO", "cancelled"}, in(1s), cancelled, &cancel));
    scope.spawn(ask(client, {"ECHO", "kept"}, in(1s), kept));
  }
  cancel.cancel();
  reactor.run_for(10ms);
  EXPECT_FALSE(gone.result);
  ASSERT_TRUE(cancelled.result);
  EXPECT_EQ(cancelled.result->error().code, ErrorCode::cancelled);
  ASSERT_TRUE(kept.result && kept.result->has_value());
  EXPECT_EQ((*kept.result)->text, "kept");
}

// No more than pending_max wait, abandoned ones included.
TEST_F(RedisClientTest, WaitingIsBounded) {
  FakeRedis redis(reactor, address(), [](const Command&) { return std::string(); });
  RedisOptions with = options();
  with.pending_max = 4;
  with.timeout = 10s;
  RedisClient client(reactor, resolver, with, 1);
  ASSERT_TRUE(up(client));
  std::vector<Asked> asked(6);
  async::Scope scope;
  for (std::size_t i = 0; i < 4; ++i) scope.spawn(ask(client, {"GET", "a"}, in(1ms), asked[i]));
  scope.spawn(ask(client, {"GET", "a"}, in(1s), asked[4]));
  ASSERT_TRUE(asked[4].result);
  EXPECT_EQ(asked[4].result->error().code, ErrorCode::unavailable);
  reactor.run_for(5ms);
  scope.spawn(ask(client, {"GET", "a"}, in(1s), asked[5]));
  EXPECT_TRUE(asked[5].result) << "replies of abandoned commands are still due";
}

// A script that the server does not know is sent whole, once.
TEST_F(RedisClientTest, EvalFallsBackToTheSource) {
  const RedisScript script("return KEYS[1]");
  bool known = false;
  FakeRedis redis(reactor, address(), [&](const Command& c) {
    if (c[0] == "EVAL") known = true;
    if (!known) return std::string("-NOSCRIPT No matching script.\r\n");
    return bulk(c[3]);
  });
  RedisClient client(reactor, resolver, options(), 1);
  ASSERT_TRUE(up(client));
  const auto run = [&]() -> async::Task<void> {
    const std::array<std::string_view, 1> keys{"k"};
    const std::array<std::string_view, 1> args{"v"};
    for (int i = 0; i < 3; ++i) {
      Result<RedisReply> reply = co_await client.eval(script, keys, args, in(1s));
      EXPECT_TRUE(reply && reply->text == "k");
    }
  };
  async::Scope scope;
  scope.spawn(run());
  reactor.run_for(100ms);
  ASSERT_EQ(redis.seen.size(), 4U);
  EXPECT_EQ(redis.seen[0][0], "EVALSHA");
  EXPECT_EQ(redis.seen[1][0], "EVAL");
  EXPECT_EQ(redis.seen[3][1], script.sha1());
}

// Whatever the network does to the bytes, every command that is answered gets the reply to itself.
TEST_F(RedisClientTest, EveryReplyBelongsToItsCommandUnderFaults) {
  const int seeds = std::getenv("WEIR_LONG") != nullptr ? 2000 : 100;
  for (int seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    io::SimulationOptions world;
    world.seed = static_cast<std::uint64_t>(seed);
    world.faults.split = 300;
    world.faults.short_read = 300;
    world.faults.short_write = 300;
    world.faults.spurious = 100;
    world.faults.reset = 300;
    world.faults.silence = 100;
    world.faults.refuse = 200;
    io::SimulatedReactor own(world);
    FakeRedis redis(own, address(), echo);
    RedisClient client(own, resolver, options(), world.seed);
    async::Scope scope;
    std::vector<std::unique_ptr<Asked>> asked;
    int answered = 0;
    for (int round = 0; round < 60; ++round) {
      for (std::uint64_t i = own.random().below(6); i > 0; --i) {
        asked.push_back(std::make_unique<Asked>());
        const std::string value = std::to_string(asked.size()) + std::string(own.random().below(2000), 'x');
        const Duration time = std::chrono::microseconds{own.random().below(8000)};
        scope.spawn(ask(client, {"ECHO", value}, Deadline::after(own.now(), time), *asked.back()));
      }
      own.run_for(std::chrono::milliseconds{own.random().below(10)});
    }
    own.run_for(20ms);
    for (std::size_t i = 0; i < asked.size(); ++i) {
      ASSERT_TRUE(asked[i]->result) << "command " << i << " was left waiting";
      if (!asked[i]->result->has_value()) continue;
      ++answered;
      const std::string& text = (*asked[i]->result)->text;
      EXPECT_EQ(text.substr(0, text.find('x')), std::to_string(i + 1));
    }
    EXPECT_GT(answered + static_cast<int>(client.stats().failures), 0);
  }
}

}  // namespace
}  // namespace weir::store
