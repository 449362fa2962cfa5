// The example of README.md, compiled and run by the tests.
#include <array>
#include <cstdio>

#include "weir/io/simulated_reactor.h"
#include "weir/store/redis_client.h"

using namespace std::chrono_literals;

// Runs on any reactor: an EpollReactor in earnest.
weir::async::Task<void> count_visit(weir::store::RedisClient& redis, weir::io::Reactor& reactor) {
  const std::array<std::string_view, 2> args{"INCR", "visits"};
  weir::Result<weir::store::RedisReply> reply =
      co_await redis.command(args, weir::Deadline::after(reactor.now(), 5ms));
  if (reply && reply->is_integer())
    std::printf("visit %lld\n", static_cast<long long>(reply->integer));
  else
    std::printf("Redis is not there: go on without it\n");
}

int main() {
  weir::io::SimulatedReactor reactor;  // a network without a Redis
  weir::io::TableResolver resolver;
  weir::store::RedisOptions options;
  options.url = *weir::store::RedisUrl::parse("redis://127.0.0.1:6379");
  weir::store::RedisClient redis(reactor, resolver, options, 1);
  weir::async::Scope scope;
  scope.spawn(count_visit(redis, reactor));
  reactor.run_for(1s);
  return scope.running() == 0 ? 0 : 1;
}
