// What a decision costs. Time is handed in and moves with the calls, so that admitted calls are always
// admitted and refused ones always refused; BM_Clock tells what reading it would add. The rival is what one
// writes in an afternoon: a mutex and an unordered_map of deques.
//
// Run with --benchmark_repetitions=5 and read the medians. allocs is the number of allocations a decision,
// counted in operator new.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include "weir/base/random.h"
#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/keyed_limiter.h"
#include "weir/ratelimit/limiter.h"

namespace {
std::atomic<std::uint64_t> allocations{0};
}

// Not inlined: g++ 12 would otherwise take the free() of an inlined delete for one of memory from a new it
// cannot see.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};
constexpr base::SipKey kSeed{1, 2};

Policy policy(Algorithm algorithm, std::uint32_t limit = 100, Duration window = 1min) {
  return {.name = "bench", .limit = limit, .window = window, .algorithm = algorithm};
}

class CountAllocations {
 public:
  explicit CountAllocations(benchmark::State& state) : state_(state), before_(allocations) {}
  ~CountAllocations() {
    state_.counters["allocs"] =
        static_cast<double>(allocations - before_) / static_cast<double>(state_.iterations());
  }

 private:
  benchmark::State& state_;
  std::uint64_t before_;
};

// Addresses as text, the usual key, in an order that no cache can guess.
const std::vector<std::string>& keys(std::size_t n) {
  static std::unordered_map<std::size_t, std::vector<std::string>> made;
  std::vector<std::string>& all = made[n];
  if (!all.empty()) return all;
  base::Random random(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto a = static_cast<unsigned>(i);
    all.push_back(std::to_string(10 + (a >> 24)) + "." + std::to_string(a >> 16 & 255) + "." +
                  std::to_string(a >> 8 & 255) + "." + std::to_string(a & 255));
  }
  for (std::size_t i = n; i > 1; --i) std::swap(all[i - 1], all[random.below(i)]);
  return all;
}

void BM_Clock(benchmark::State& state) {
  const SystemClock clock;
  for (auto _ : state) benchmark::DoNotOptimize(clock.now());
}
BENCHMARK(BM_Clock);

void BM_AllowOneKey(benchmark::State& state, Algorithm algorithm) {
  RateLimiter limiter(policy(algorithm));
  TimePoint t = kStart;
  for (int i = 0; i < 500; ++i) limiter.allow_at(t += 620ms);
  CountAllocations count(state);
  bool all = true;
  for (auto _ : state) all &= limiter.allow_at(t += 620ms).allowed;
  if (!all) state.SkipWithError("refused");
}
BENCHMARK_CAPTURE(BM_AllowOneKey, exact, Algorithm::exact_window);
BENCHMARK_CAPTURE(BM_AllowOneKey, segmented, Algorithm::segmented_window);
BENCHMARK_CAPTURE(BM_AllowOneKey, gcra, Algorithm::gcra);
BENCHMARK_CAPTURE(BM_AllowOneKey, token_bucket, Algorithm::token_bucket);
BENCHMARK_CAPTURE(BM_AllowOneKey, fixed, Algorithm::fixed_window);

void BM_RefuseOneKey(benchmark::State& state, Algorithm algorithm) {
  RateLimiter limiter(policy(algorithm));
  for (int i = 0; i < 1000; ++i) limiter.allow_at(kStart);
  TimePoint t = kStart;
  CountAllocations count(state);
  bool any = false;
  for (auto _ : state) any |= limiter.allow_at(t).allowed;
  if (any) state.SkipWithError("admitted");
}
BENCHMARK_CAPTURE(BM_RefuseOneKey, exact, Algorithm::exact_window);
BENCHMARK_CAPTURE(BM_RefuseOneKey, segmented, Algorithm::segmented_window);
BENCHMARK_CAPTURE(BM_RefuseOneKey, gcra, Algorithm::gcra);
BENCHMARK_CAPTURE(BM_RefuseOneKey, token_bucket, Algorithm::token_bucket);

void BM_Hash(benchmark::State& state) {
  const auto& names = keys(10'000);
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(base::siphash13_128(kSeed, names[i]));
    if (++i == names.size()) i = 0;
  }
}
BENCHMARK(BM_Hash);

// A table whose n keys all have full rings. Made once and used by every repetition, for filling takes a
// while.
struct Filled {
  Filled(Algorithm a, std::uint32_t keys_wanted)
      : algorithm(a),
        n(keys_wanted),
        limiter(policy(a), {.max_keys = keys_wanted + keys_wanted / 8, .seed = kSeed}) {
    // A call a key and round of 0.62 s never reaches a hundred a minute.
    for (int round = 0; round < 102; ++round, t += 620ms)
      for (const std::string& name : keys(n)) limiter.allow_at(t, name);
  }
  static Filled& with(Algorithm a, std::uint32_t keys_wanted) {
    static std::unique_ptr<Filled> last;
    if (!last || last->algorithm != a || last->n != keys_wanted) {
      last.reset();
      last = std::make_unique<Filled>(a, keys_wanted);
    }
    return *last;
  }

  Algorithm algorithm;
  std::uint32_t n;
  KeyedRateLimiter limiter;
  TimePoint t = kStart;
  std::size_t next = 0;
};

void BM_AllowKeyed(benchmark::State& state, Algorithm algorithm, Want want) {
  Filled& filled = Filled::with(algorithm, static_cast<std::uint32_t>(state.range(0)));
  const auto& names = keys(filled.n);
  CountAllocations count(state);
  bool all = true;
  TimePoint t = filled.t;
  std::size_t i = filled.next;
  for (auto _ : state) {
    all &= filled.limiter.allow_at(t, names[i], 1, want).allowed;
    if (++i == names.size()) i = 0, t += 620ms;
  }
  filled.t = t, filled.next = i;
  if (!all) state.SkipWithError("refused");
}
BENCHMARK_CAPTURE(BM_AllowKeyed, exact, Algorithm::exact_window, Want::verdict)
    ->Arg(1)
    ->Arg(10'000)
    ->Arg(1'000'000);
BENCHMARK_CAPTURE(BM_AllowKeyed, exact_headers, Algorithm::exact_window, Want::headers)->Arg(10'000);
BENCHMARK_CAPTURE(BM_AllowKeyed, segmented, Algorithm::segmented_window, Want::verdict)->Arg(10'000);
BENCHMARK_CAPTURE(BM_AllowKeyed, gcra, Algorithm::gcra, Want::verdict)->Arg(10'000)->Arg(1'000'000);

void BM_RefuseKeyed(benchmark::State& state) {
  const auto n = static_cast<std::uint32_t>(state.range(0));
  const auto& names = keys(n);
  KeyedRateLimiter limiter(policy(Algorithm::exact_window), {.max_keys = n + n / 8, .seed = kSeed});
  for (const std::string& name : names) limiter.allow_at(kStart, name, 100);
  CountAllocations count(state);
  bool any = false;
  std::size_t i = 0;
  for (auto _ : state) {
    any |= limiter.allow_at(kStart, names[i]).allowed;
    if (++i == names.size()) i = 0;
  }
  if (any) state.SkipWithError("admitted");
}
BENCHMARK(BM_RefuseKeyed)->Arg(1)->Arg(10'000);

// Three limits on one request, all or nothing.
void BM_AllowAllThree(benchmark::State& state) {
  const auto& names = keys(10'000);
  KeyedRateLimiter a(policy(Algorithm::exact_window), {.max_keys = 12'000, .seed = kSeed});
  KeyedRateLimiter b(policy(Algorithm::exact_window), {.max_keys = 12'000, .seed = kSeed});
  KeyedRateLimiter c(policy(Algorithm::segmented_window, 1'000'000'000), {.max_keys = 16, .seed = kSeed});
  TimePoint t = kStart;
  std::size_t i = 0;
  for (auto _ : state) {
    const Charge charges[] = {{&a, names[i], 1}, {&b, names[i], 1}, {&c, "", 1}};
    Decision decisions[3];
    benchmark::DoNotOptimize(allow_all(t, charges, decisions));
    if (++i == names.size()) i = 0, t += 620ms;
  }
}
BENCHMARK(BM_AllowAllThree);

// Nothing but keys never seen before, into a full table.
void BM_Flood(benchmark::State& state) {
  KeyedRateLimiter limiter(policy(Algorithm::exact_window), {.max_keys = 100'000, .seed = kSeed});
  std::uint64_t i = 0;
  TimePoint t = kStart;
  const auto next = [&] {
    ++i;
    t += 1us;
    return std::string_view(reinterpret_cast<const char*>(&i), sizeof i);
  };
  for (int n = 0; n < 300'000; ++n) limiter.allow_at(t, next());
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(limiter.allow_at(t, next()));
}
BENCHMARK(BM_Flood);

void BM_Headers(benchmark::State& state) {
  const Policy p = policy(Algorithm::exact_window);
  RateLimiter limiter(p);
  const LimitReport reports[] = {{&p, limiter.allow_at(kStart, 1, Want::headers)}};
  std::string buffer;
  buffer.reserve(256);
  CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(format_headers(reports, {}, buffer));
}
BENCHMARK(BM_Headers);

// All threads on one key: refusals only read, admissions queue for its lock.
void BM_HotKeyRefuse(benchmark::State& state) {
  static KeyedRateLimiter* limiter = nullptr;
  if (state.thread_index() == 0) {
    limiter = new KeyedRateLimiter(policy(Algorithm::exact_window), {.max_keys = 1000, .seed = kSeed});
    limiter->allow_at(kStart, "hot", 100);
  }
  for (auto _ : state) benchmark::DoNotOptimize(limiter->allow_at(kStart, "hot"));
  if (state.thread_index() == 0) delete limiter;
}
BENCHMARK(BM_HotKeyRefuse)->Threads(1)->Threads(2);

void BM_HotKeyAllow(benchmark::State& state) {
  static KeyedRateLimiter* limiter = nullptr;
  if (state.thread_index() == 0)
    limiter =
        new KeyedRateLimiter(policy(Algorithm::exact_window, 1000, 1ms), {.max_keys = 1000, .seed = kSeed});
  TimePoint t = kStart;
  for (auto _ : state) benchmark::DoNotOptimize(limiter->allow_at(t += 2us, "hot"));
  if (state.thread_index() == 0) delete limiter;
}
BENCHMARK(BM_HotKeyAllow)->Threads(1)->Threads(2);

// The rival.
class MutexMapOfDeques {
 public:
  bool allow(std::int64_t now, const std::string& key) {
    std::lock_guard guard(lock_);
    std::deque<std::int64_t>& times = map_[key];
    while (!times.empty() && times.front() <= now - 60'000'000'000) times.pop_front();
    if (times.size() >= 100) return false;
    times.push_back(now);
    return true;
  }

 private:
  std::mutex lock_;
  std::unordered_map<std::string, std::deque<std::int64_t>> map_;
};

void BM_RivalAllow(benchmark::State& state) {
  const auto& names = keys(static_cast<std::size_t>(state.range(0)));
  MutexMapOfDeques rival;
  std::int64_t t = 3'600'000'000'000;
  for (int round = 0; round < 102; ++round, t += 620'000'000)
    for (const std::string& name : names) rival.allow(t, name);
  CountAllocations count(state);
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(rival.allow(t, names[i]));
    if (++i == names.size()) i = 0, t += 620'000'000;
  }
}
BENCHMARK(BM_RivalAllow)->Arg(1)->Arg(10'000);

}  // namespace
}  // namespace weir::ratelimit

BENCHMARK_MAIN();
