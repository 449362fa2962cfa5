// The client against Debian's redis-server.
#include <gtest/gtest.h>

#include "tests/support/redis.h"
#include "weir/base/strings.h"
#include "weir/io/epoll_reactor.h"
#include "weir/store/redis_client.h"

namespace weir::store {
namespace {

using namespace std::chrono_literals;

RedisOptions options_for(const weir::testing::RedisServer& server, const std::string& credentials = "") {
  RedisOptions options;
  options.url = *RedisUrl::parse("redis://" + credentials + "127.0.0.1:" + std::to_string(server.port()));
  options.timeout = 2s;  // of a loaded machine; the rule is tested in virtual time
  return options;
}

// Runs `work` on the reactor to its end.
void drive(io::EpollReactor& reactor, async::Task<void> work) {
  const auto then_stop = [](io::EpollReactor& loop, async::Task<void> inner) -> async::Task<void> {
    co_await std::move(inner);
    loop.stop();
  };
  async::Scope scope;
  reactor.post([&] { scope.spawn(then_stop(reactor, std::move(work))); });
  reactor.run();
}

// The words of `line`, which are separated by single spaces, as one command.
async::Task<Result<RedisReply>> ask(RedisClient& client, std::string line) {
  const std::vector<std::string_view> args = base::split(line, ' ');
  Result<RedisReply> reply = co_await client.command(args, Deadline::after(client.reactor().now(), 5s));
  co_return reply;
}

async::Task<void> until_up(RedisClient& client) {
  while (client.state() != RedisClient::State::up)
    static_cast<void>(co_await async::sleep_until(client.reactor(), client.reactor().now() + 5ms, nullptr));
}

// Every kind of reply arrives as what it is.
TEST(RedisServer, AnswersEveryKindOfReply) {
  weir::testing::RedisServer server;
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  const std::unique_ptr<io::EpollReactor> owned = std::move(*io::EpollReactor::create());
  io::EpollReactor& reactor = *owned;
  io::TableResolver resolver;
  RedisClient client(reactor, resolver, options_for(server), 1);
  const auto work = [&]() -> async::Task<void> {
    const std::string binary("\0\r\n$3", 5);
    Result<RedisReply> reply = co_await ask(client, "SET key " + binary);
    EXPECT_TRUE(reply && reply->is_status("OK"));
    reply = co_await ask(client, "GET key");
    EXPECT_TRUE(reply && reply->text == binary);
    reply = co_await ask(client, "GET nobody");
    EXPECT_TRUE(reply && reply->is_nil());
    reply = co_await ask(client, "INCRBY n -5");
    EXPECT_TRUE(reply && reply->is_integer() && reply->integer == -5);
    reply = co_await ask(client, "GET n too many");
    EXPECT_TRUE(reply && reply->is_error());
    const RedisScript script("return {1, KEYS[1], {ARGV[1], false}}");
    const std::vector<std::string_view> keys{"k"};
    const std::vector<std::string_view> args{"a"};
    for (int i = 0; i < 2; ++i) {  // unknown, then known
      reply = co_await client.eval(script, keys, args, Deadline::after(reactor.now(), 5s));
      EXPECT_TRUE(reply && reply->is_list());
      if (!reply || reply->items.size() != 3) continue;
      EXPECT_EQ(reply->items[0].integer, 1);
      EXPECT_EQ(reply->items[1].text, "k");
      EXPECT_TRUE(reply->items[2].items.at(1).is_nil());
    }
    server.ask("SCRIPT FLUSH");
    reply = co_await client.eval(script, keys, args, Deadline::after(reactor.now(), 5s));
    EXPECT_TRUE(reply && reply->is_list());
  };
  drive(reactor, work());
}

// A password is needed where the server wants one; without it nothing is up.
TEST(RedisServer, WantsItsPassword) {
  weir::testing::RedisServer server({"--requirepass", "se:cret"});
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  const std::unique_ptr<io::EpollReactor> owned = std::move(*io::EpollReactor::create());
  io::EpollReactor& reactor = *owned;
  io::TableResolver resolver;
  RedisClient with(reactor, resolver, options_for(server, ":se%3Acret@"), 1);
  RedisClient without(reactor, resolver, options_for(server), 1);
  const auto work = [&]() -> async::Task<void> {
    Result<RedisReply> reply = co_await ask(with, "PING");
    EXPECT_TRUE(reply && reply->is_status("PONG"));
    reply = co_await ask(without, "PING");
    EXPECT_FALSE(reply);
    EXPECT_NE(without.last_fault().find("NOAUTH"), std::string::npos);
  };
  drive(reactor, work());
}

// Killed and started again, the server is found again; frozen, it is left alone until it answers.
TEST(RedisServer, IsFoundAgain) {
  weir::testing::RedisServer server;
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  const std::unique_ptr<io::EpollReactor> owned = std::move(*io::EpollReactor::create());
  io::EpollReactor& reactor = *owned;
  io::TableResolver resolver;
  RedisOptions options = options_for(server);
  options.timeout = 50ms;
  RedisClient client(reactor, resolver, options, 1);
  const auto work = [&]() -> async::Task<void> {
    Result<RedisReply> reply = co_await ask(client, "SET a 1");
    EXPECT_TRUE(reply);
    server.kill();
    reply = co_await ask(client, "GET a");
    EXPECT_FALSE(reply);
    server.start();
    co_await until_up(client);
    reply = co_await ask(client, "GET a");
    EXPECT_TRUE(reply && reply->is_nil());

    server.freeze();
    const std::vector<std::string_view> args{"GET", "a"};
    reply = co_await client.command(args, Deadline::after(reactor.now(), 50ms));
    EXPECT_TRUE(!reply && reply.error().code == ErrorCode::deadline_exceeded);
    EXPECT_FALSE(client.may_send());
    server.thaw();
    co_await until_up(client);
    reply = co_await ask(client, "GET a");
    EXPECT_TRUE(reply.has_value());
  };
  drive(reactor, work());
}

}  // namespace
}  // namespace weir::store
