// One limit for several gateways: two and three processes on one Redis of Debian, killed, frozen and started again.
#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/proxy/measure.h"
#include "tests/acceptance/acceptance.h"
#include "tests/support/redis.h"

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kSecond{1000};

std::string sharing(const RedisServer& redis, int nodes, const std::string& limits,
                    const std::string& timeout = "200ms") {
  return "redis: {url: " + redis.url() + ", nodes: " + std::to_string(nodes) + ", timeout: " + timeout +
         "}\n" + limits + "routes: [{path: /*, rate_limit: [shared], respond: {status: 200}}]\n";
}

// What was asked, and when; for all gateways on one time line.
struct Asked {
  SteadyTime sent;
  SteadyTime received;
  int status = 0;
};

// Requests from two threads a gateway until `until`.
std::vector<Asked> load(const std::vector<Gateway*>& gateways, SteadyTime until) {
  std::mutex mutex;
  std::vector<Asked> all;
  std::vector<std::thread> threads;
  for (Gateway* gateway : gateways) {
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&, gateway] {
        Client client(gateway->port());
        std::vector<Asked> mine;
        while (std::chrono::steady_clock::now() < until) {
          Asked asked;
          asked.sent = std::chrono::steady_clock::now();
          asked.status = client.get("/").status;
          asked.received = std::chrono::steady_clock::now();
          mine.push_back(asked);
        }
        const std::lock_guard lock(mutex);
        all.insert(all.end(), mine.begin(), mine.end());
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  std::sort(all.begin(), all.end(), [](const Asked& a, const Asked& b) { return a.sent < b.sent; });
  return all;
}

// The most admissions that must have been within one window: each was decided between `sent` and `received`, so those
// that were received by some moment and sent less than a window before it. (Answers overtake each other: the order of
// one is not the order of the other.)
std::size_t most_in_a_window(const std::vector<Asked>& all, std::chrono::milliseconds window) {
  std::vector<Asked> admitted;
  for (const Asked& one : all)
    if (one.status == 200) admitted.push_back(one);
  std::size_t most = 0;
  for (const Asked& last : admitted) {
    const auto inside = std::count_if(admitted.begin(), admitted.end(), [&](const Asked& one) {
      return one.received <= last.received && last.received - one.sent < window;
    });
    most = std::max(most, static_cast<std::size_t>(inside));
  }
  return most;
}

std::size_t count(const std::vector<Asked>& all, int status) {
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [&](const Asked& one) { return one.status == status; }));
}

#define NEEDS_REDIS(redis) \
  if (!(redis).available()) GTEST_SKIP() << "no redis-server here"

// The 101st of a minute is refused whichever of two gateways it goes to, and the fields count all of them.
TEST(SharedLimit, TwoGatewaysCountTogether) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  const std::string text =
      sharing(redis, 2, "rate_limits: {shared: {key: client_ip, limit: 100/min, store: redis}}\n");
  Gateway one(text), two(text);
  Client first(one.port()), second(two.port());
  for (int i = 1; i <= 100; ++i) {
    const Answer answer = (i % 3 == 0 ? first : second).get("/");
    ASSERT_EQ(answer.status, 200) << i << "\n" << answer;
    EXPECT_EQ(answer.field("RateLimit-Policy"), R"("shared";q=100;w=60)");
    const std::string prefix = "\"shared\";r=" + std::to_string(100 - i);
    EXPECT_EQ(answer.field("RateLimit").substr(0, prefix.size()), prefix) << answer;
  }
  for (Client* client : {&first, &second}) {
    const Answer refused = client->get("/");
    expect_problem(refused, 429, "rate-limited");
    EXPECT_LE(number_of(refused, "Retry-After"), 60);
    EXPECT_GE(number_of(refused, "Retry-After"), 55);
  }
  // Redis knows neither the address nor any other part of the key, and keeps nothing for longer than the window.
  const std::string keys = redis.ask("KEYS *");
  EXPECT_NE(keys.find("weir:shared:{"), std::string::npos) << keys;
  EXPECT_EQ(keys.find("127.0.0.1"), std::string::npos);
}

// A refused key is answered here until its time has come: Redis is not asked.
TEST(SharedLimit, RefusalsCostRedisNothing) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  Gateway gateway(sharing(redis, 1, "rate_limits: {shared: {key: client_ip, limit: 5/min, store: redis}}\n"));
  Client client(gateway.port());
  for (int i = 0; i < 6; ++i) client.get("/");
  const auto commands = [&] {
    const std::string stats = redis.ask("INFO commandstats");
    const std::size_t at = stats.find("cmdstat_evalsha:calls=");
    return at == std::string::npos ? 0 : std::stoi(stats.substr(at + 22));
  };
  const int before = commands();
  for (int i = 0; i < 200; ++i) EXPECT_EQ(client.get("/").status, 429);
  EXPECT_EQ(commands(), before);
}

// Under load on two and on three gateways, no trailing window ever holds more than the limit, and every window's
// places are used.
TEST(SharedLimit, NoTrailingWindowHoldsMore) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  for (const std::string algorithm : {"exact_window", "segmented_window"}) {
    for (const int nodes : {2, 3}) {
      redis.ask("FLUSHALL");
      const std::string text =
          sharing(redis, nodes,
                  "rate_limits: {shared: {key: global, limit: 50, window: 1s, algorithm: " + algorithm +
                      ", store: redis}}\n",
                  "10s");  // a loaded machine must not look like a Redis that is gone
      std::vector<std::unique_ptr<Gateway>> owned;
      std::vector<Gateway*> gateways;
      for (int i = 0; i < nodes; ++i) {
        owned.push_back(std::make_unique<Gateway>(text));
        gateways.push_back(owned.back().get());
      }
      const std::vector<Asked> all = load(gateways, std::chrono::steady_clock::now() + 4s);
      const std::size_t most = most_in_a_window(all, kSecond);
      const std::size_t admitted = count(all, 200);
      std::printf("%s, %d gateways: %zu asked, %zu admitted, at most %zu in a second of 50\n",
                  algorithm.c_str(), nodes, all.size(), admitted, most);
      for (const Gateway* gateway : gateways)
        EXPECT_EQ(gateway->metrics().value("weir_shared_limit_failures_total"), 0);
      EXPECT_LE(most, 50U) << algorithm << " " << nodes;
      EXPECT_GE(admitted, 150U) << algorithm << " " << nodes;
      EXPECT_EQ(admitted + count(all, 429), all.size());
    }
  }
}

// Killed and started again, empty: nobody waits for Redis, each gateway keeps to its share meanwhile, and what was
// admitted before still counts afterwards.
TEST(SharedLimit, SurvivesTheDeathOfRedis) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  const std::string text =
      sharing(redis, 2, "rate_limits: {shared: {key: global, limit: 40, window: 5s, store: redis}}\n");
  Gateway one(text), two(text);
  std::atomic<bool> killed{false};
  std::thread killer([&] {
    until(std::chrono::steady_clock::now() + 1500ms);
    redis.kill();
    killed = true;
    until(std::chrono::steady_clock::now() + 1500ms);
    redis.start();
  });
  const std::vector<Asked> all = load({&one, &two}, std::chrono::steady_clock::now() + 12s);
  killer.join();
  const std::size_t most = most_in_a_window(all, 5 * kSecond);
  std::chrono::nanoseconds longest{0};
  for (const Asked& asked : all)
    longest = std::max(longest, std::chrono::nanoseconds(asked.received - asked.sent));
  std::printf("%zu asked, %zu admitted, at most %zu in five seconds of 40, longest answer %.1f ms\n",
              all.size(), count(all, 200), most, std::chrono::duration<double, std::milli>(longest).count());
  EXPECT_LE(most, 40U);
  EXPECT_GE(count(all, 200), 60U);
  EXPECT_EQ(count(all, 200) + count(all, 429), all.size());
}

// What Redis forgets (FLUSHALL) the gateways tell it again with the next question.
TEST(SharedLimit, ChargesItsOwnWindowAgainAfterALoss) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  Gateway gateway(
      sharing(redis, 1, "rate_limits: {shared: {key: client_ip, limit: 10/min, store: redis}}\n"));
  Client client(gateway.port());
  for (int i = 0; i < 6; ++i) ASSERT_EQ(client.get("/").status, 200);
  redis.ask("FLUSHALL");
  for (int i = 0; i < 4; ++i) ASSERT_EQ(client.get("/").status, 200) << i;
  EXPECT_EQ(client.get("/").status, 429);
}

// Without a Redis each mode does what it says, at once.
TEST(SharedLimit, ModesWithoutRedis) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  redis.kill();
  for (const auto& [mode, admitted] :
       std::vector<std::pair<std::string, int>>{{"local", 5}, {"allow", 30}, {"deny", 0}}) {
    Gateway gateway(sharing(
        redis, 2,
        "rate_limits: {shared: {key: client_ip, limit: 10/min, store: redis, on_backend_error: " + mode +
            "}}\n"));
    Client client(gateway.port());
    int passed = 0;
    for (int i = 0; i < 30; ++i) passed += client.get("/").status == 200;
    EXPECT_EQ(passed, admitted) << mode;
  }
}

// A Redis that hangs is waited for once.
TEST(SharedLimit, AHangingRedisIsWaitedForOnce) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  Gateway gateway(
      sharing(redis, 1, "rate_limits: {shared: {key: client_ip, limit: 1000/min, store: redis}}\n"));
  Client client(gateway.port());
  ASSERT_EQ(client.get("/").status, 200);
  redis.freeze();
  int slow = 0;
  for (int i = 0; i < 50; ++i) {
    const SteadyTime start = std::chrono::steady_clock::now();
    EXPECT_EQ(client.get("/").status, 200);
    if (std::chrono::steady_clock::now() - start >= 190ms) ++slow;
  }
  EXPECT_EQ(slow, 1);
  EXPECT_EQ(gateway.metrics().value("weir_shared_limits_together"), 0);
  EXPECT_EQ(gateway.metrics().value("weir_shared_limit_failures_total"), 1);
  redis.thaw();
  EXPECT_TRUE(gateway.wait_for_metric("weir_shared_limits_together", {}, 1));
}

// Shared and local limits on one route: all or none.
TEST(SharedLimit, AllOrNothingWithLocalLimits) {
  RedisServer redis;
  NEEDS_REDIS(redis);
  Gateway gateway("redis: {url: " + redis.url() + ", timeout: 200ms}\n" + R"(
rate_limits:
  here: {key: client_ip, limit: 6/min}
  there: {key: client_ip, limit: 3/min, store: redis}
  also: {key: global, limit: 4/min, store: redis}
routes:
  - {path: /both, rate_limit: [here, there], respond: {status: 200}}
  - {path: /here, rate_limit: [here], respond: {status: 200}}
  - {path: /two, rate_limit: [there, also], respond: {status: 200}}
  - {path: /also, rate_limit: [also], respond: {status: 200}}
)");
  Client client(gateway.port());
  for (int i = 0; i < 3; ++i) ASSERT_EQ(client.get("/both").status, 200);
  for (int i = 0; i < 5; ++i)
    ASSERT_EQ(client.get("/both").status, 429);  // `there` says no: `here` is not charged
  for (int i = 0; i < 3; ++i) ASSERT_EQ(client.get("/here").status, 200) << i;
  EXPECT_EQ(client.get("/here").status, 429);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(client.get("/two").status, 429);  // nor is `also`
  for (int i = 0; i < 4; ++i) ASSERT_EQ(client.get("/also").status, 200) << i;
}

}  // namespace
}  // namespace weir::testing
