// What threads share, under as many threads as there are and more. Run under TSan; WEIR_LONG=1 makes it 10^8
// acquisitions.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/base/random.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/hedge.h"
#include "weir/resilience/latency_digest.h"
#include "weir/resilience/load_shedder.h"
#include "weir/resilience/retry_budget.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;
using State = CircuitBreaker::State;

bool long_run() { return std::getenv("WEIR_LONG") != nullptr; }

template <class Work>
void in_threads(int count, Work work) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([i, &work] { work(i); });
}

// Counts who is inside, apart from the shedder, and remembers the most.
struct Gauge {
  void enter() {
    const int inside = now.fetch_add(1, std::memory_order_relaxed) + 1;
    int seen = most.load(std::memory_order_relaxed);
    while (inside > seen && !most.compare_exchange_weak(seen, inside, std::memory_order_relaxed)) {
    }
  }
  void leave() { now.fetch_sub(1, std::memory_order_relaxed); }
  std::atomic<int> now{0};
  std::atomic<int> most{0};
};

// Sixteen threads fight for places: never one above the limit, and at the end all places are back.
TEST(LoadShedderThreads, NeverOneAboveTheLimit) {
  for (const int limit : {1, 5, 12}) {
    LoadShedder shedder(static_cast<std::uint32_t>(limit));
    Gauge gauge;
    std::atomic<std::uint64_t> admitted{0};
    std::atomic<std::uint64_t> above{0};
    const std::uint64_t acquisitions = (long_run() ? 100'000'000 : 1'000'000) / 16 / 3 + 1;
    in_threads(16, [&](int id) {
      base::Random random(static_cast<std::uint64_t>(id) + 1);
      std::deque<LoadShedder::Permit> held;
      std::uint64_t mine = 0;
      for (std::uint64_t i = 0; mine < acquisitions; ++i) {
        if (auto permit = shedder.try_acquire()) {
          gauge.enter();
          if (shedder.in_flight() > static_cast<std::uint32_t>(limit)) above.fetch_add(1);
          ++mine;
          held.push_back(std::move(*permit));
        }
        while (held.size() > random.below(4)) {
          gauge.leave();
          held.pop_front();
        }
        if (i % 64 == 0) std::this_thread::yield();
      }
      for (std::size_t i = 0; i < held.size(); ++i) gauge.leave();
      admitted.fetch_add(mine);
    });
    EXPECT_LE(gauge.most.load(), limit);
    EXPECT_EQ(above.load(), 0U);
    EXPECT_EQ(admitted.load(), acquisitions * 16);
    EXPECT_EQ(shedder.in_flight(), 0U);
  }
}

// The limit moves while threads fight: never above the largest limit that was ever set, nothing lost.
TEST(LoadShedderThreads, LimitMayMove) {
  LoadShedder shedder(8);
  Gauge gauge;
  const int calls = long_run() ? 1'000'000 : 30'000;
  in_threads(8, [&](int id) {
    base::Random random(static_cast<std::uint64_t>(id) + 1);
    for (int i = 0; i < calls; ++i) {
      if (id == 0) {
        shedder.set_limit(static_cast<std::uint32_t>(random.below(9)));
        continue;
      }
      auto permit = shedder.try_acquire();
      if (!permit) continue;
      gauge.enter();
      gauge.leave();
    }
  });
  EXPECT_LE(gauge.most.load(), 8);
  EXPECT_EQ(shedder.in_flight(), 0U);
}

// Collects reports of any thread and checks that they make one chain: each generation once, each from where
// the one before it led.
struct Chain {
  void add(const CircuitBreaker::Transition& t) {
    std::lock_guard lock(mutex);
    steps.push_back(t);
  }
  void check() {
    std::sort(steps.begin(), steps.end(),
              [](const auto& a, const auto& b) { return a.generation < b.generation; });
    State at = State::closed;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      ASSERT_EQ(steps[i].generation, i + 2);
      ASSERT_EQ(steps[i].from, at);
      at = steps[i].to;
    }
  }
  std::mutex mutex;
  std::vector<CircuitBreaker::Transition> steps;
};

// When all calls fail, exactly failures_to_open of them count and every other one that had entered is late.
TEST(CircuitBreakerThreads, OpensOnExactlyTheThreshold) {
  const int rounds = long_run() ? 20'000 : 300;
  for (int round = 0; round < rounds; ++round) {
    Chain chain;
    CircuitBreaker::Options options;
    options.failures_to_open = 5;
    options.open_for = 1h;
    CircuitBreaker breaker(options, [&](const CircuitBreaker::Transition& t) { chain.add(t); });
    std::atomic<std::uint64_t> entered{0};
    in_threads(4, [&](int) {
      for (int i = 0; i < 20; ++i) {
        auto ticket = breaker.try_enter(TimePoint{1h});
        if (!ticket) return;
        entered.fetch_add(1);
        ticket->settle(Outcome::failure, TimePoint{1h});
      }
    });
    ASSERT_EQ(chain.steps.size(), 1U);
    ASSERT_EQ(chain.steps[0].consecutive_failures, 5U);
    ASSERT_EQ(chain.steps[0].tag_count, 5U);
    ASSERT_EQ(breaker.late_results(Outcome::failure) + 5, entered.load());
  }
}

// Calls of all kinds from many threads while time runs: the reports make one chain, never more probes are out
// than permitted, no opening happens below its threshold, and the breaker is not stuck afterwards.
TEST(CircuitBreakerThreads, HoldsItsInvariants) {
  for (const bool ratio : {false, true}) {
    Chain chain;
    CircuitBreaker::Options options;
    options.failures_to_open = ratio ? 0 : 3;
    options.failure_ratio = ratio ? 0.4 : 0;
    options.min_calls = 5;
    options.open_for = 1ms;
    options.probe_timeout = 2ms;
    options.half_open_probes = 2;
    options.success_threshold = 2;
    options.window = 10ms;
    CircuitBreaker breaker(options, [&](const CircuitBreaker::Transition& t) { chain.add(t); });
    std::atomic<std::int64_t> time{3'600'000'000'000};
    // One gauge a generation: a probe whose lease has ended may still be out when the next trial begins.
    std::vector<Gauge> probes(1 << 14);
    const int calls = long_run() ? 2'000'000 : 40'000;
    in_threads(8, [&](int id) {
      base::Random random(static_cast<std::uint64_t>(id) + 100);
      for (int i = 0; i < calls; ++i) {
        // Every thread reads the time a little differently, as real ones do.
        const TimePoint now{Duration{time.fetch_add(500) - static_cast<std::int64_t>(random.below(2000))}};
        auto ticket = breaker.try_enter(now);
        if (!ticket) continue;
        Gauge* const gauge = ticket->is_probe() ? &probes[ticket->generation() % probes.size()] : nullptr;
        if (gauge != nullptr) gauge->enter();
        if (random.chance(1, 64)) std::this_thread::yield();
        // Out of the gauge first: the breaker may give the place to another the moment it is settled.
        if (gauge != nullptr) gauge->leave();
        const std::uint64_t dice = random.below(10);
        if (dice < 5) {
          ticket->settle(Outcome::failure, now, {.tag = dice, .latency = {}, .retry_after = {}});
        } else if (dice < 8) {
          ticket->settle(Outcome::success, now);
        } else if (dice < 9) {
          ticket->settle(Outcome::cancelled, now);
        }
        if (id == 0 && i % 512 == 0) {
          const auto snapshot = breaker.snapshot(now);
          ASSERT_LE(snapshot.probes_in_flight, 2U);
        }
      }
    });
    chain.check();
    for (const Gauge& gauge : probes) ASSERT_LE(gauge.most.load(), 2);
    EXPECT_GT(chain.steps.size(), 10U);
    for (const auto& step : chain.steps) {
      const bool by_run = step.reason == CircuitBreaker::Reason::consecutive_failures;
      const bool by_ratio = step.reason == CircuitBreaker::Reason::failure_ratio;
      EXPECT_TRUE(!by_run || step.consecutive_failures >= 3U);
      EXPECT_TRUE(!by_ratio || step.window.calls >= 5U);
    }
    const TimePoint end{Duration{time.load()} + 1h};
    EXPECT_TRUE(breaker.try_enter(end));
  }
}

// Every call that ends in one bucket is counted, whichever thread brings it.
TEST(CircuitBreakerThreads, WindowLosesNothing) {
  CircuitBreaker::Options options;
  options.failures_to_open = 0;
  options.failure_ratio = 1;
  options.min_calls = 32'767;
  options.window = 24h;
  CircuitBreaker breaker(options);
  const TimePoint now{1h};
  in_threads(8, [&](int) {
    for (int i = 0; i < 3'000; ++i) {
      auto ticket = breaker.try_enter(now);
      ASSERT_TRUE(ticket);
      ticket->settle(i % 3 == 0 ? Outcome::throttled : Outcome::success, now);
    }
  });
  const auto window = breaker.snapshot(now).window;
  EXPECT_EQ(window.calls, 24'000U);
  EXPECT_EQ(window.failures, 8'000U);
}

// An operator forces and resets while traffic runs: one chain of generations, and the breaker works
// afterwards.
TEST(CircuitBreakerThreads, SteeringUnderTraffic) {
  Chain chain;
  CircuitBreaker::Options options;
  options.failures_to_open = 2;
  options.open_for = 1ms;
  CircuitBreaker breaker(options, [&](const CircuitBreaker::Transition& t) { chain.add(t); });
  std::atomic<std::int64_t> time{3'600'000'000'000};
  in_threads(4, [&](int id) {
    base::Random random(static_cast<std::uint64_t>(id) + 7);
    for (int i = 0; i < 5'000; ++i) {
      const TimePoint now{Duration{time.fetch_add(10'000)}};
      if (id == 0) {
        const std::uint64_t dice = random.below(4);
        if (dice == 0) breaker.force(State::forced_open, now, 1ms);
        if (dice == 1) breaker.force(State::disabled, now);
        if (dice == 2) breaker.reset(now);
        if (dice == 3) {
          options.half_open_probes = 1 + static_cast<std::uint32_t>(random.below(4));
          breaker.update(options, now);
        }
        continue;
      }
      if (auto ticket = breaker.try_enter(now)) {
        ticket->settle(random.chance(1, 2) ? Outcome::failure : Outcome::success, now);
      }
      static_cast<void>(breaker.retry_after(now));
      breaker.tick(now);
    }
  });
  chain.check();
  breaker.reset(TimePoint{Duration{time.load()}});
  EXPECT_EQ(breaker.state(), State::closed);
}

// Tiers fight for places: each stays below its ceiling as long as no higher tier is inside.
TEST(LoadShedderThreads, TiersKeepTheirCeilings) {
  LoadShedder shedder(12, {.critical = 0.25, .normal = 0.25});
  Gauge all;
  Gauge low;
  in_threads(8, [&](int id) {
    const Priority priority = id % 2 == 0 ? Priority::low : Priority::critical;
    for (int i = 0; i < 30'000; ++i) {
      auto permit = shedder.try_acquire(priority);
      if (!permit) continue;
      all.enter();
      if (priority == Priority::low) low.enter();
      if (i % 16 == 0) std::this_thread::yield();
      if (priority == Priority::low) low.leave();
      all.leave();
    }
  });
  EXPECT_LE(all.most.load(), 12);
  EXPECT_LE(low.most.load(), 6);
  EXPECT_EQ(shedder.in_flight(), 0U);
}

// Workers earn and spend one budget at once: together never more than its bound, and all of it can be used.
TEST(RetryBudgetThreads, BoundHoldsTogether) {
  const TimePoint start{1h};
  RetryBudget budget({.ratio = 0.2, .min_per_second = 10}, start);
  std::atomic<std::int64_t> time{start.time_since_epoch().count()};
  std::atomic<std::uint64_t> granted{0};
  constexpr int kRequests = 50'000;
  in_threads(8, [&](int) {
    for (int i = 0; i < kRequests; ++i) {
      const TimePoint now{Duration{time.fetch_add(10'000)}};
      budget.request(now);
      if (budget.try_spend(now)) granted.fetch_add(1);
    }
  });
  const double seconds =
      std::chrono::duration<double>(Duration{time.load()} - start.time_since_epoch()).count();
  const double bound = 0.2 * 8 * kRequests + 10 * seconds;
  while (budget.try_spend(TimePoint{Duration{time.load()}})) granted.fetch_add(1);
  EXPECT_LE(static_cast<double>(granted.load()), bound);
  EXPECT_GE(static_cast<double>(granted.load()), bound - 2);
}

// Latencies recorded by many threads within half a window are all there.
TEST(LatencyDigestThreads, LosesNothing) {
  HedgePolicy hedge;
  LatencyDigest digest({.window = 1h, .min_samples = 1});
  const TimePoint start{1h};
  in_threads(8, [&](int id) {
    for (int i = 0; i < 5'000; ++i) {
      const TimePoint now = start + 100us * i;
      digest.record(1ms + 1us * i, now);
      hedge.record(1ms * (id + 1), now);
      static_cast<void>(hedge.delay(now));
      if (i % 1000 == 0) static_cast<void>(digest.quantile(0.95, now));
    }
  });
  EXPECT_EQ(digest.samples(start + 1s), 40'000U);
  EXPECT_TRUE(hedge.delay(start + 2s));
}

}  // namespace
}  // namespace weir::resilience
