#include <benchmark/benchmark.h>

#include <array>

#include "weir/trace/export_queue.h"
#include "weir/trace/span_context.h"

namespace {

using namespace weir;

// A peer's headers read, and the next one written: what every request pays.
void BM_ReadAndWriteTraceparent(benchmark::State& state) {
  base::Random random(1);
  const std::array<std::string_view, 1> parents{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
  std::string kept;
  std::array<char, trace::kTraceparentSize> text;
  for (auto _ : state) {
    const trace::SpanContext context = trace::child_of(trace::read(parents, {}, kept), random);
    trace::write_traceparent(context, text.data());
    benchmark::DoNotOptimize(text);
  }
}
BENCHMARK(BM_ReadAndWriteTraceparent);

// A server's span with the attributes of a proxied request, encoded into the queue: what a sampled request pays.
void BM_QueueSpan(benchmark::State& state) {
  const auto encoding = state.range(0) == 0 ? trace::Encoding::protobuf : trace::Encoding::json;
  trace::ExportQueue queue({}, encoding);
  const std::array<trace::Attribute, 9> attributes{trace::Attribute::of(trace::kHttpMethod, "GET"),
                                                   trace::Attribute::of(trace::kUrlPath, "/orders/17"),
                                                   trace::Attribute::of(trace::kUrlScheme, "http"),
                                                   trace::Attribute::of(trace::kHttpRoute, "/orders/*"),
                                                   trace::Attribute::of_number(trace::kHttpStatus, 200),
                                                   trace::Attribute::of(trace::kServerAddress, "api.example"),
                                                   trace::Attribute::of(trace::kClientAddress, "192.0.2.1"),
                                                   trace::Attribute::of(trace::kProtocolVersion, "1.1"),
                                                   trace::Attribute::of(trace::kUserAgent, "curl/7.88.1")};
  trace::Span span;
  span.context = {1, 2, 3, 1};
  span.parent = 4;
  span.name = "GET /orders/*";
  span.kind = trace::SpanKind::server;
  span.attributes = attributes;
  for (auto _ : state) {
    queue.add(span);
    if (queue.size() == 1024) queue.pop(1024);
  }
}
BENCHMARK(BM_QueueSpan)->Arg(0)->Arg(1);

}  // namespace

BENCHMARK_MAIN();
