// How long a load takes: it happens at start and at every reload, beside the workers.
#include <benchmark/benchmark.h>

#include <string>

#include "weir/config/load.h"
#include "weir/config/schema.h"

namespace {

using namespace weir::config;

std::string file_with_routes(int routes) {
  std::string text =
      "listen: 127.0.0.1:8080\nrate_limits: {l: {key: client_ip, limit: 100/min}}\n"
      "upstreams: {u: {endpoints: [http://127.0.0.1:9001]}}\nroutes:\n";
  for (int i = 0; i < routes; ++i)
    text += "- {path: /api/v1/r" + std::to_string(i) + "/*, upstream: u, rate_limit: [l]}\n";
  return text;
}

void BM_Load(benchmark::State& state) {
  const std::string text = file_with_routes(static_cast<int>(state.range(0)));
  const Environment environment = system_environment();
  for (auto _ : state) benchmark::DoNotOptimize(load_text("weir.yaml", text, environment));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(BM_Load)->Arg(1)->Arg(100)->Arg(1'000)->Arg(10'000)->Unit(benchmark::kMicrosecond);

void BM_Dump(benchmark::State& state) {
  const LoadResult result = load_text("weir.yaml", file_with_routes(100), system_environment());
  for (auto _ : state) benchmark::DoNotOptimize(to_json(*result.config));
}
BENCHMARK(BM_Dump)->Unit(benchmark::kMicrosecond);

void BM_Schema(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(json_schema());
}
BENCHMARK(BM_Schema)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
