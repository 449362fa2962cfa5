// The figures of the part: one flag with three conditions and a split (bar 150 ns), 350 flags for one user
// (bar 40 us), at least 5 million evaluations a second, and no allocation in any of them (the counter
// `allocations` is per iteration).
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "weir/experiment/analysis.h"
#include "weir/experiment/engine.h"
#include "weir/experiment/exposure.h"
#include "weir/experiment/growthbook.h"
#include "weir/experiment/snapshot.h"

namespace {
std::atomic<std::uint64_t> allocated{0};
}  // namespace

__attribute__((noinline)) void* operator new(std::size_t size) {
  allocated.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace weir::experiment {
namespace {

constexpr std::string_view kUser = "0190f3a1-7c1e-4d0a-9b1f-3c5d7e9f1a2b";

std::shared_ptr<const Snapshot> flags(int count) {
  std::string text = R"({"flags": [)";
  for (int i = 0; i < count; ++i)
    text += std::string(i == 0 ? "" : ",") + R"({"key": "flag_)" + std::to_string(i) +
            R"(", "type": "string", "default": "off", "rules": [{
      "when": {"country": {"in": ["US", "CA"]}, "app_version": {"semver_gte": "2.1.0"}, "beta": {"eq": true}},
      "variants": [{"name": "control", "weight": 50}, {"name": "treatment", "weight": 50}]}]})";
  Issues issues;
  auto snapshot = compile(read_native(*parse_json(text + "]}"), issues), issues);
  if (snapshot == nullptr) std::abort();
  return snapshot;
}

std::shared_ptr<const Snapshot> experiments(int count) {
  std::string text = R"({"experiments": [)";
  for (int i = 0; i < count; ++i)
    text += std::string(i == 0 ? "" : ",") + R"({"key": "experiment_)" + std::to_string(i) +
            R"(", "variants": [{"name": "control", "weight": 50}, {"name": "treatment", "weight": 50}]})";
  Issues issues;
  return compile(read_native(*parse_json(text + "]}"), issues), issues);
}

std::vector<EntryId> all_of(const Snapshot& snapshot) {
  std::vector<EntryId> ids(snapshot.size());
  for (std::uint32_t i = 0; i < ids.size(); ++i) ids[i] = EntryId{i};
  return ids;
}

void fill(Context& context) {
  context.set("country", "CA");
  context.set("app_version", "2.10.3");
  context.set("beta", true);
  context.set_unit(kUser);
}

class CountAllocations {
 public:
  explicit CountAllocations(benchmark::State& state) : state_(state), before_(allocated.load()) {}
  ~CountAllocations() {
    state_.counters["allocations"] = benchmark::Counter(static_cast<double>(allocated.load() - before_),
                                                        benchmark::Counter::kAvgIterations);
  }

 private:
  benchmark::State& state_;
  std::uint64_t before_;
};

void BM_OneFlagThreeConditionsSplit(benchmark::State& state) {
  const auto snapshot = flags(1);
  Context context(*snapshot);
  fill(context);
  const EntryId id = snapshot->find("flag_0");
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(snapshot->evaluate(id, context));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_OneFlagThreeConditionsSplit);

// The same with everything that a caller does for one request: snapshot, context, look-up by key.
void BM_OneFlagFromScratch(benchmark::State& state) {
  Engine engine(flags(350));
  Context context(*engine.snapshot());
  const CountAllocations count(state);
  for (auto _ : state) {
    const auto snapshot = engine.snapshot();
    context.reset(*snapshot);
    fill(context);
    benchmark::DoNotOptimize(snapshot->evaluate("flag_17", context));
  }
}
BENCHMARK(BM_OneFlagFromScratch);

void BM_350Flags(benchmark::State& state) {
  const auto snapshot = flags(350);
  Context context(*snapshot);
  const std::vector<EntryId> ids = all_of(*snapshot);
  std::vector<Decision> decisions(ids.size());
  const CountAllocations count(state);
  for (auto _ : state) {
    context.reset(*snapshot);
    fill(context);
    snapshot->evaluate(ids, context, decisions.data());
    benchmark::DoNotOptimize(decisions.data());
  }
  state.SetItemsProcessed(state.iterations() * 350);
}
BENCHMARK(BM_350Flags);

void BM_50Experiments(benchmark::State& state) {
  const auto snapshot = experiments(50);
  Context context(*snapshot);
  const std::vector<EntryId> ids = all_of(*snapshot);
  std::vector<Decision> decisions(ids.size());
  const CountAllocations count(state);
  for (auto _ : state) {
    context.reset(*snapshot);
    context.set_unit(kUser);
    snapshot->evaluate(ids, context, decisions.data());
    benchmark::DoNotOptimize(decisions.data());
  }
  state.SetItemsProcessed(state.iterations() * 50);
}
BENCHMARK(BM_50Experiments);

void BM_Snapshot(benchmark::State& state) {
  static Engine engine(flags(1));
  for (auto _ : state) benchmark::DoNotOptimize(engine.snapshot());
}
BENCHMARK(BM_Snapshot)->Threads(1)->Threads(2);

void BM_Hash36Bytes(benchmark::State& state) {
  const Salt salt = make_salt(HashKind::fnv1a_mix, "checkout_button");
  std::string_view unit = kUser;
  for (auto _ : state) {
    benchmark::DoNotOptimize(unit);
    benchmark::DoNotOptimize(bucket(salt, unit));
  }
}
BENCHMARK(BM_Hash36Bytes);

void BM_GrowthBookFeature(benchmark::State& state) {
  Issues issues;
  Definitions all;
  all.growthbook = GrowthBook::read(
      *parse_json(R"({"features": {"f": {"defaultValue": "off", "rules": [{"condition": {"country":
    {"$in": ["US", "CA"]}, "app_version": {"$vgte": "2.1.0"}}, "variations": ["a", "b"], "hashVersion": 2}]}}})"),
      issues);
  const auto snapshot = compile(std::move(all), issues);
  Context context(*snapshot);
  fill(context);
  for (auto _ : state) benchmark::DoNotOptimize(snapshot->evaluate("f", context));
}
BENCHMARK(BM_GrowthBookFeature);

// A unit that was exposed before in the window: what nearly every request finds.
void BM_ExposureSeenBefore(benchmark::State& state) {
  const auto snapshot = experiments(50);
  Context context(*snapshot);
  context.set_unit(kUser);
  std::vector<Decision> decisions;
  for (std::uint32_t i = 0; i < 50; ++i) decisions.push_back(snapshot->evaluate(EntryId{i}, context));
  ExposureRecorder recorder({}, base::SipKey{1, 2}, [](const Exposure&) {});
  TimePoint now{std::chrono::hours(1)};
  recorder.record(kUser, decisions, now, WallTime{});
  const CountAllocations count(state);
  for (auto _ : state) recorder.record(kUser, decisions, now, WallTime{});
}
BENCHMARK(BM_ExposureSeenBefore);

}  // namespace
}  // namespace weir::experiment

BENCHMARK_MAIN();
