// What a line of the access log costs the worker that writes it.
#include <benchmark/benchmark.h>

#include <string>

#include "weir/gateway/access_log_writer.h"

namespace weir::gateway {
namespace {

// Argument: bytes a line. The thread writes to /dev/null meanwhile, so the lane is empty most of the time;
// refusals of a full lane are counted beside.
void BM_AccessLogLine(benchmark::State& state) {
  auto log = AccessLogWriter::open("/dev/null", 1);
  if (!log) return state.SkipWithError(log.error().to_text().c_str());
  AccessLogWriter::Lane& lane = (*log)->lane(0);
  const std::string line(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(lane.write(line));
  state.counters["dropped"] =
      benchmark::Counter(static_cast<double>((*log)->dropped()) / static_cast<double>(state.iterations()));
}
BENCHMARK(BM_AccessLogLine)->Arg(250)->Arg(1000);

// A full lane that nobody empties: what a refusal costs.
void BM_AccessLogRefusal(benchmark::State& state) {
  AccessLogOptions options;
  options.lane_bytes = 64;
  auto log = AccessLogWriter::open("/dev/null", 1, options);
  if (!log) return state.SkipWithError(log.error().to_text().c_str());
  AccessLogWriter::Lane& lane = (*log)->lane(0);
  const std::string line(100, 'x');  // longer than the lane
  for (auto _ : state) benchmark::DoNotOptimize(lane.write(line));
}
BENCHMARK(BM_AccessLogRefusal);

}  // namespace
}  // namespace weir::gateway

BENCHMARK_MAIN();
