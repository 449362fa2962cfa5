// A shared limit and limits by hand, used by many threads at once as workers and the admin do. ThreadSanitizer looks on; what
// can be said of the outcome whatever the order is said.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "weir/gateway/limit_overrides.h"
#include "weir/gateway/shared_limit.h"

namespace weir::gateway {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

ratelimit::Policy policy(std::uint32_t limit) {
  ratelimit::Policy made;
  made.name = "shared";
  made.limit = limit;
  made.window = 1h;
  return made;
}

template <class F>
void in_threads(unsigned count, F f) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) threads.emplace_back([&f, i] { f(i); });
  for (std::thread& thread : threads) thread.join();
}

// While Redis cannot be asked, sixteen threads get exactly this node's share, on one key and on many, and every unit of it is
// owed once.
TEST(SharedLimitThreads, AloneExactlyTheShare) {
  for (const unsigned keys : {1U, 50U}) {
    SharedLimit limit(policy(100), 2, base::SipKey{1, 2});
    std::vector<std::atomic<int>> admitted(keys);
    in_threads(16, [&](unsigned me) {
      for (unsigned i = 0; i < 50 * keys; ++i) {
        const unsigned key = (i + me) % keys;
        const SharedKey name = shared_key("shared", std::to_string(key));
        if (limit.decide_alone(kStart, name, 1).allowed) ++admitted[key];
      }
    });
    for (const auto& one : admitted) EXPECT_EQ(one, 50) << keys;
    std::uint32_t owed = 0;
    for (const SharedLimit::Question& question : limit.debts(kStart, false)) owed += question.owed;
    EXPECT_EQ(owed, 50 * keys);
    EXPECT_TRUE(limit.debts(kStart, false).empty());
    EXPECT_EQ(limit.stats().allowed, 50U * keys);
    EXPECT_EQ(limit.stats().alone, 16U * 50 * keys);
  }
}

// Questions, answers, debts, changes of the limit and looks at once: what was owed is asked for once, or still owed.
TEST(SharedLimitThreads, NothingOwedIsLostOrAskedTwice) {
  auto limit = std::make_shared<SharedLimit>(policy(1000), 1, base::SipKey{1, 2});
  LimitOverrides overrides;
  std::weak_ptr<SharedLimit> weak = limit;
  overrides.publish(kStart, limit, policy(1000), [weak](TimePoint now, const ratelimit::Policy& in_force) {
    if (const auto alive = weak.lock()) alive->update(now, in_force, 1);
  });
  std::atomic<std::uint64_t> owed{0}, asked{0};
  in_threads(8, [&](unsigned me) {
    for (int i = 0; i < 2000; ++i) {
      const SharedKey key = shared_key("shared", std::to_string(i % 7));
      if (me == 0) {
        if (i % 50 == 0)
          static_cast<void>(overrides.set(kStart, "shared", static_cast<std::uint32_t>(900 + i % 100),
                                          Duration{i % 2 * 1min}));
        if (i % 70 == 0) static_cast<void>(overrides.clear(kStart, "shared"));
        static_cast<void>(overrides.expire(kStart + i * 1s));
        static_cast<void>(limit->stats());
        static_cast<void>(overrides.find(kStart, "shared"));
      } else if (me == 1) {
        for (const SharedLimit::Question& question : limit->debts(kStart, false)) asked += question.owed;
      } else if (i % 3 == 0) {
        limit->owe(kStart, key, 1);
        ++owed;
      } else if (!limit->standing_refusal(kStart, key)) {
        const SharedLimit::Question question = limit->ask(kStart, key, 1);
        if (i % 5 == 0) {
          limit->not_asked(question);
          continue;
        }
        asked += question.owed;
        ratelimit::Decision decision;
        decision.allowed = i % 11 != 0;
        decision.reason = decision.allowed ? ratelimit::Reason::ok : ratelimit::Reason::over_limit;
        decision.retry_after = decision.allowed ? Duration{0} : Duration{1ms};
        limit->answered(kStart, question, decision, i, decision.allowed);
      }
    }
  });
  for (const SharedLimit::Question& question : limit->debts(kStart, false)) asked += question.owed;
  EXPECT_EQ(asked, owed);
}

}  // namespace
}  // namespace weir::gateway
