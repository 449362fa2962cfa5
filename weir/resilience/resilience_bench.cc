// What a decision costs, beside the same thing behind a std::mutex.
//
//   BM_BreakerAdmit          try_enter on a closed breaker, the ticket dropped
//   BM_BreakerAdmitSettle    try_enter and a success settled; subtract the line above for settle alone
//   BM_BreakerRefuse         try_enter on an open one
//   BM_ShedderPair           a permit taken and given back
//   BM_ShedderRefuse         all places taken
//
// Time is handed in and not read here; BM_ClockRead shows what reading it would add.
#include <benchmark/benchmark.h>

#include <mutex>
#include <optional>
#include <thread>

#include "weir/base/clock.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/compose.h"
#include "weir/resilience/latency_digest.h"
#include "weir/resilience/load_shedder.h"
#include "weir/resilience/retry_budget.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

// The obvious versions: one mutex, plain fields.
class MutexShedder {
 public:
  explicit MutexShedder(std::uint32_t limit) : limit_(limit) {}
  bool acquire() {
    std::lock_guard lock(mutex_);
    if (in_flight_ >= limit_) return false;
    ++in_flight_;
    return true;
  }
  void release() {
    std::lock_guard lock(mutex_);
    --in_flight_;
  }

 private:
  std::mutex mutex_;
  std::uint32_t limit_;
  std::uint32_t in_flight_ = 0;
};

class MutexBreaker {
 public:
  bool enter(TimePoint now) {
    std::lock_guard lock(mutex_);
    return open_until_ <= now;
  }
  void settle(bool success, TimePoint now) {
    std::lock_guard lock(mutex_);
    run_ = success ? 0 : run_ + 1;
    if (run_ >= 5) open_until_ = now + 30s;
  }

 private:
  std::mutex mutex_;
  std::uint32_t run_ = 0;
  TimePoint open_until_{};
};

CircuitBreaker::Options with_ratio() {
  CircuitBreaker::Options options;
  options.failure_ratio = 0.5;
  options.slow_ratio = 0.5;
  options.slow_call = 1s;
  return options;
}

CircuitBreaker shared_breaker;              // NOLINT: one for all threads of a benchmark
CircuitBreaker shared_ratio(with_ratio());  // NOLINT
LoadShedder shared_shedder(1'000);          // NOLINT
MutexBreaker shared_mutex_breaker;          // NOLINT
MutexShedder shared_mutex_shedder(1'000);   // NOLINT

// Time goes on, as in life: 1 us a call.
class Steps {
 public:
  TimePoint next() { return now_ += 1us; }

 private:
  TimePoint now_{1h};
};

void BM_BreakerAdmit(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) {
    auto ticket = shared_breaker.try_enter(steps.next());
    benchmark::DoNotOptimize(ticket);
  }
}
BENCHMARK(BM_BreakerAdmit)->ThreadRange(1, 16)->UseRealTime();

void BM_BreakerAdmitSettle(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) {
    const TimePoint now = steps.next();
    auto ticket = shared_breaker.try_enter(now);
    benchmark::DoNotOptimize(ticket);
    ticket->settle(Outcome::success, now);
  }
}
BENCHMARK(BM_BreakerAdmitSettle)->ThreadRange(1, 16)->UseRealTime();

void BM_BreakerAdmitSettleRatio(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) {
    const TimePoint now = steps.next();
    auto ticket = shared_ratio.try_enter(now);
    benchmark::DoNotOptimize(ticket);
    ticket->settle(Outcome::success, now);
  }
}
BENCHMARK(BM_BreakerAdmitSettleRatio)->ThreadRange(1, 16)->UseRealTime();

// A failure and a success in turn: the path through the mutex.
void BM_BreakerAdmitSettleFailing(benchmark::State& state) {
  CircuitBreaker breaker;
  Steps steps;
  bool failed = false;
  for (auto _ : state) {
    const TimePoint now = steps.next();
    auto ticket = breaker.try_enter(now);
    failed = !failed;
    ticket->settle(failed ? Outcome::failure : Outcome::success, now);
  }
}
BENCHMARK(BM_BreakerAdmitSettleFailing);

void BM_BreakerRefuse(benchmark::State& state) {
  static CircuitBreaker breaker;
  const TimePoint now{1h};
  if (state.thread_index() == 0) {
    breaker.reset(now);
    for (int i = 0; i < 5; ++i) breaker.try_enter(now)->settle(Outcome::failure, now);
  }
  for (auto _ : state) {
    auto ticket = breaker.try_enter(now);
    benchmark::DoNotOptimize(ticket);
  }
}
BENCHMARK(BM_BreakerRefuse)->ThreadRange(1, 16)->UseRealTime();

void BM_MutexBreakerAdmit(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) benchmark::DoNotOptimize(shared_mutex_breaker.enter(steps.next()));
}
BENCHMARK(BM_MutexBreakerAdmit)->ThreadRange(1, 16)->UseRealTime();

void BM_MutexBreakerAdmitSettle(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) {
    const TimePoint now = steps.next();
    benchmark::DoNotOptimize(shared_mutex_breaker.enter(now));
    shared_mutex_breaker.settle(true, now);
  }
}
BENCHMARK(BM_MutexBreakerAdmitSettle)->ThreadRange(1, 16)->UseRealTime();

void BM_ShedderPair(benchmark::State& state) {
  for (auto _ : state) {
    auto permit = shared_shedder.try_acquire();
    benchmark::DoNotOptimize(permit);
  }
}
BENCHMARK(BM_ShedderPair)->ThreadRange(1, 16)->UseRealTime();

void BM_ShedderRefuse(benchmark::State& state) {
  static LoadShedder full(0);
  for (auto _ : state) {
    auto permit = full.try_acquire();
    benchmark::DoNotOptimize(permit);
  }
}
BENCHMARK(BM_ShedderRefuse)->ThreadRange(1, 16)->UseRealTime();

void BM_MutexShedderPair(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(shared_mutex_shedder.acquire());
    shared_mutex_shedder.release();
  }
}
BENCHMARK(BM_MutexShedderPair)->ThreadRange(1, 16)->UseRealTime();

void BM_ShedderPairTiers(benchmark::State& state) {
  LoadShedder shedder(1'000, {.critical = 0.2, .normal = 0.3});
  for (auto _ : state) {
    auto permit = shedder.try_acquire(Priority::low);
    benchmark::DoNotOptimize(permit);
  }
}
BENCHMARK(BM_ShedderPairTiers);

// The chain without a limiter (this part knows none), and with a stand-in that always admits. Time is handed
// in.
void BM_Compose(benchmark::State& state) {
  struct Open {
    struct Decision {
      bool allowed = true;
      Duration retry_after{0};
    };
    Decision allow_at(TimePoint) const { return {}; }
  };
  ManualClock clock;
  Open limiter;
  LoadShedder shedder(50);
  CircuitBreaker breaker;
  for (auto _ : state) {
    clock.advance(1us);
    auto reply = compose(limiter, shedder, breaker).on(clock)([] { return Outcome::success; });
    benchmark::DoNotOptimize(reply);
  }
}
BENCHMARK(BM_Compose);

void BM_ComposeSystemClock(benchmark::State& state) {
  LoadShedder shedder(50);
  CircuitBreaker breaker;
  for (auto _ : state) {
    auto reply = compose(shedder, breaker)([] { return Outcome::success; });
    benchmark::DoNotOptimize(reply);
  }
}
BENCHMARK(BM_ComposeSystemClock);

void BM_ComposeMutex(benchmark::State& state) {
  MutexShedder shedder(50);
  MutexBreaker breaker;
  Steps steps;
  for (auto _ : state) {
    const TimePoint now = steps.next();
    if (!shedder.acquire()) continue;
    if (breaker.enter(now)) {
      benchmark::DoNotOptimize(now);
      breaker.settle(true, now);
    }
    shedder.release();
  }
}
BENCHMARK(BM_ComposeMutex);

void BM_BudgetRequest(benchmark::State& state) {
  RetryBudget budget(TimePoint{1h});
  Steps steps;
  for (auto _ : state) budget.request(steps.next());
}
BENCHMARK(BM_BudgetRequest);

void BM_BudgetSpend(benchmark::State& state) {
  RetryBudget budget(TimePoint{1h});
  Steps steps;
  for (auto _ : state) benchmark::DoNotOptimize(budget.try_spend(steps.next()));
}
BENCHMARK(BM_BudgetSpend);

void BM_DigestRecord(benchmark::State& state) {
  LatencyDigest digest;
  Steps steps;
  Duration latency{1'000'000};
  for (auto _ : state) {
    latency += 7us;
    if (latency > 1s) latency = 1ms;
    digest.record(latency, steps.next());
  }
}
BENCHMARK(BM_DigestRecord);

void BM_DigestQuantile(benchmark::State& state) {
  LatencyDigest digest;
  const TimePoint now{1h};
  for (int i = 0; i < 10'000; ++i) digest.record(1us * i, now);
  for (auto _ : state) benchmark::DoNotOptimize(digest.quantile(0.95, now));
}
BENCHMARK(BM_DigestQuantile);

void BM_ClockRead(benchmark::State& state) {
  const SystemClock clock;
  for (auto _ : state) benchmark::DoNotOptimize(clock.now());
}
BENCHMARK(BM_ClockRead);

}  // namespace
}  // namespace weir::resilience

int main(int argc, char** argv) {
  // A second thread, asleep: in a program with one thread glibc's mutex leaves its atomic operations out, and
  // no gateway has one thread.
  std::mutex done;
  done.lock();
  std::thread sleeper([&done] { std::lock_guard wait(done); });
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  done.unlock();
  sleeper.join();
}
