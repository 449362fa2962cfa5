// ./dev bench ratelimit-redis: decisions of shared limits a second, beside plain INCR, on a Redis of its own.
//
// Starts Debian's redis-server on a free port, empty, on one machine with this program. 64 coroutines on one reactor and one
// connection ask as a worker does: the client collects what one turn of the loop asks and writes it at once. The kinds take
// turns, round by round, so that whatever else the machine does meets all of them; the table has medians over the rounds.
// Read the columns beside INCR, and the processor's time, not decisions a second: server and client share two cores here.
//
//   incr        one INCR a request: the least that any shared counter can cost
//   KIND        a decision by the script, admitted: 50 calls of each client, half of its limit
//   two limits  two limits in one question
//   refused     clients whose refusal still stands: decided here, Redis is not asked
//
//   ./dev bench ratelimit-redis [ROUNDS [CALLS]]
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/redis.h"
#include "weir/async/scope.h"
#include "weir/gateway/internal/shared_limit_script.h"
#include "weir/gateway/shared_limit.h"
#include "weir/io/epoll_reactor.h"
#include "weir/store/redis_client.h"

namespace weir::gateway {
namespace {

using namespace std::chrono_literals;

constexpr int kInFlight = 64;
constexpr int kCallsAClient = 50;
constexpr Duration kPatience = 10s;

std::int64_t thread_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

// Microseconds that the server has computed, by its own account.
double server_time(const testing::RedisServer& server) {
  const std::string info = server.ask("INFO cpu");
  double sum = 0;
  for (const std::string_view name : {"used_cpu_sys:", "used_cpu_user:"}) {
    const std::size_t at = info.find(name);
    if (at != std::string::npos) sum += std::strtod(info.c_str() + at + name.size(), nullptr);
  }
  return sum * 1e6;
}

struct Kind {
  std::string name;
  std::vector<ratelimit::Policy> limits;  // none: INCR
  bool refused = false;
};

std::vector<Kind> kinds() {
  const auto policy = [](std::string name, std::uint32_t limit, ratelimit::Algorithm algorithm) {
    ratelimit::Policy made;
    made.name = std::move(name);
    made.limit = limit;
    made.window = 1h;
    made.algorithm = algorithm;
    return made;
  };
  using ratelimit::Algorithm;
  const ratelimit::Policy exact = policy("exact", 100, Algorithm::exact_window);
  const ratelimit::Policy second = policy("second", 100, Algorithm::exact_window);
  ratelimit::Policy few = policy("few", 1, Algorithm::exact_window);
  return {{"incr", {}},
          {"exact_window", {exact}},
          {"segmented_window", {policy("segmented", 100, Algorithm::segmented_window)}},
          {"gcra", {policy("gcra", 100, Algorithm::gcra)}},
          {"fixed_window", {policy("fixed", 100, Algorithm::fixed_window)}},
          {"two limits", {exact, second}},
          {"refused", {few}, true}};
}

struct Measured {
  double a_second = 0;
  double server_us = 0;  // of the server's processor, a decision
  double own_us = 0;     // of this thread's
};

class Bench {
 public:
  Bench(testing::RedisServer& server, int calls)
      : server_(server), calls_(calls), reactor_(std::move(*io::EpollReactor::create())) {
    store::RedisOptions options;
    options.url = *store::RedisUrl::parse("redis://127.0.0.1:" + std::to_string(server.port()));
    options.timeout = kPatience;
    client_ = std::make_unique<store::RedisClient>(*reactor_, resolver_, options, 1);
  }

  Measured run(const Kind& kind, int round) {
    server_.ask("FLUSHALL");
    limits_.clear();
    for (const ratelimit::Policy& policy : kind.limits)
      limits_.push_back(std::make_shared<SharedLimit>(policy, 1, base::SipKey{1, 2}));
    prefix_ = kind.name + std::to_string(round) + "-";
    if (kind.refused) {  // first every client once admitted and once refused
      drive(kind, std::min(calls_, 2000));
      drive(kind, std::min(calls_, 2000));
    }
    admitted_ = refused_ = failed_ = 0;
    const double server_before = server_time(server_);
    const std::int64_t own_before = thread_time();
    const TimePoint begin = SystemClock().now();
    drive(kind, calls_);
    const auto took = static_cast<double>((SystemClock().now() - begin).count());
    Measured measured;
    measured.a_second = calls_ / took * 1e9;
    measured.own_us = static_cast<double>(thread_time() - own_before) / 1e3 / calls_;
    measured.server_us = (server_time(server_) - server_before) / calls_;
    const int want = kind.refused ? refused_ : admitted_;
    if (want != calls_ || failed_ != 0) {
      std::fprintf(stderr, "%s: %d admitted, %d refused, %d failed of %d: not what was to be measured\n",
                   kind.name.c_str(), admitted_, refused_, failed_, calls_);
      std::exit(1);
    }
    return measured;
  }

 private:
  void drive(const Kind& kind, int calls) {
    left_ = calls;
    running_ = kInFlight;
    async::Scope scope;
    reactor_->post([&] {
      for (int i = 0; i < kInFlight; ++i) scope.spawn(ask(kind));
    });
    reactor_->run();
  }

  async::Task<void> ask(const Kind& kind) {
    while (client_->state() != store::RedisClient::State::up) {
      static_cast<void>(co_await async::sleep_until(*reactor_, reactor_->now() + 5ms, nullptr));
    }
    while (left_ > 0) {
      const int number = --left_;
      const int clients = kind.refused ? 2000 : std::max(1, calls_ / kCallsAClient);
      const std::string client = prefix_ + std::to_string(number % clients);
      if (kind.limits.empty())
        co_await increment(client);
      else
        co_await decide(client);
    }
    if (--running_ == 0) reactor_->stop();
  }

  async::Task<void> increment(const std::string& client) {
    const std::array<std::string_view, 2> args{"INCR", client};
    const Result<store::RedisReply> reply =
        co_await client_->command(args, Deadline::after(reactor_->now(), kPatience));
    ++(reply && reply->is_integer() ? admitted_ : failed_);
  }

  // What stages/shared_ratelimit.cc does for a request.
  async::Task<void> decide(const std::string& client) {
    std::array<SharedLimit::Question, 2> questions;
    std::vector<std::string> keys;
    std::vector<std::string> args{"take", "node"};
    const TimePoint now = reactor_->now();
    for (std::size_t i = 0; i < limits_.size(); ++i) {
      const SharedKey key = shared_key(limits_[i]->policy().name, client);
      if (limits_[i]->standing_refusal(now, key)) {
        ++refused_;
        co_return;
      }
      questions[i] = limits_[i]->ask(now, key, 1);
      keys.push_back(limits_[i]->redis_key(key));
      limits_[i]->append_arguments(questions[i], args);
    }
    const std::vector<std::string_view> key_views(keys.begin(), keys.end());
    const std::vector<std::string_view> arg_views(args.begin(), args.end());
    const Result<store::RedisReply> reply = co_await client_->eval(
        internal::shared_limit_script(), key_views, arg_views, Deadline::after(now, kPatience));
    if (!reply || !reply->is_list() ||
        reply->items.size() != 1 + limits_.size() * internal::kAnswersPerLimit) {
      ++failed_;
      co_return;
    }
    std::vector<std::int64_t> numbers;
    for (const store::RedisReply& item : reply->items) numbers.push_back(item.integer);
    const bool admitted = numbers.front() == 1;
    for (std::size_t i = 0; i < limits_.size(); ++i)
      limits_[i]->answered(reactor_->now(), questions[i], limits_[i]->read_answer(numbers, i, admitted),
                           numbers[i * internal::kAnswersPerLimit + 5], admitted);
    ++(admitted ? admitted_ : refused_);
  }

  testing::RedisServer& server_;
  int calls_;
  std::unique_ptr<io::EpollReactor> reactor_;
  io::TableResolver resolver_;
  std::unique_ptr<store::RedisClient> client_;
  std::vector<std::shared_ptr<SharedLimit>> limits_;
  std::string prefix_;
  int left_ = 0, running_ = 0, admitted_ = 0, refused_ = 0, failed_ = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(int rounds, int calls) {
  testing::RedisServer server;
  if (!server.available()) {
    std::fputs("no redis-server here: install the Debian package of that name\n", stderr);
    return 1;
  }
  const std::vector<Kind> all = kinds();
  std::vector<std::vector<Measured>> measured(all.size());
  Bench bench(server, calls);
  bench.run(all.front(), -1);  // warms up connection and server
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < all.size(); ++i) measured[i].push_back(bench.run(all[i], round));

  std::printf(
      "%d rounds of %d decisions, %d in flight on one connection; medians, and ranges of the ratio\n\n",
      rounds, calls, kInFlight);
  std::printf("%-18s %12s %24s %12s %12s\n", "kind", "decisions/s", "beside INCR", "server us", "own us");
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<double> speed, ratio, server_us, own_us;
    for (std::size_t round = 0; round < measured[i].size(); ++round) {
      const Measured& one = measured[i][round];
      speed.push_back(one.a_second);
      ratio.push_back(one.a_second / measured[0][round].a_second);
      server_us.push_back(one.server_us);
      own_us.push_back(one.own_us);
    }
    std::printf("%-18s %12.0f %8.2f (%5.2f .. %5.2f) %12.2f %12.2f\n", all[i].name.c_str(), median(speed),
                median(ratio), *std::min_element(ratio.begin(), ratio.end()),
                *std::max_element(ratio.begin(), ratio.end()), median(server_us), median(own_us));
  }
  return 0;
}

}  // namespace
}  // namespace weir::gateway

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int calls = argc > 2 ? std::atoi(argv[2]) : 20'000;
  if (rounds < 1 || calls < 100) {
    std::fputs("usage: ratelimit_redis_bench [ROUNDS [CALLS]]; at least 1 and 100\n", stderr);
    return 2;
  }
  return weir::gateway::run(rounds, calls);
}
