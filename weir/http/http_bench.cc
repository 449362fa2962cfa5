// What a request costs in http alone.
#include <string>

#include <benchmark/benchmark.h>

#include "weir/http/parser.h"

namespace weir::http {
namespace {

constexpr std::string_view kTenHeaders =
    "GET /v1/orders/12345?expand=items&limit=20 HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 "
    "Safari/537.36\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "Referer: https://www.example.com/orders\r\n"
    "X-Request-Id: 0190a5c2-8f6b-7d3e-9a41-2b6c8d0e1f23\r\n"
    "Cache-Control: no-cache\r\n"
    "\r\n";

void BM_ParseTenHeaders(benchmark::State& state) {
  RequestParser parser;
  RequestHead head;
  for (auto _ : state) {
    parser.reset();
    benchmark::DoNotOptimize(parser.parse(kTenHeaders, head));
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kTenHeaders.size()));
}
BENCHMARK(BM_ParseTenHeaders);

}  // namespace
}  // namespace weir::http

BENCHMARK_MAIN();
