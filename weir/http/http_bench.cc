// What a message costs in http alone. BM_ParseTenHeaders is the figure that the README and design speak of;
// the benchmarks with a size must grow in proportion to it (the last lines print the fitted order).
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/http/uri.h"

namespace weir::http {
namespace {

constexpr std::string_view kTenHeaders =
    "GET /v1/orders/12345?expand=items&limit=20 HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "Referer: https://www.example.com/orders\r\n"
    "X-Request-Id: 0190a5c2-8f6b-7d3e-9a41-2b6c8d0e1f23\r\n"
    "Cache-Control: no-cache\r\n"
    "\r\n";
constexpr std::string_view kTwoHeaders = "GET /orders HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx/1.22.1\r\n"
    "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 200\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: no-store\r\n"
    "\r\n";

void count_bytes(benchmark::State& state, std::size_t size) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(size));
}

void parse_requests(benchmark::State& state, std::string_view bytes, Parse expected) {
  RequestParser parser;
  RequestHead head;
  for (auto _ : state) {
    parser.reset();
    const Parse verdict = parser.parse(bytes, head);
    benchmark::DoNotOptimize(head);
    if (verdict != expected) state.SkipWithError("another verdict");
  }
  count_bytes(state, bytes.size());
}

void BM_ParseTenHeaders(benchmark::State& state) { parse_requests(state, kTenHeaders, Parse::done); }
BENCHMARK(BM_ParseTenHeaders);

void BM_ParseTwoHeaders(benchmark::State& state) { parse_requests(state, kTwoHeaders, Parse::done); }
BENCHMARK(BM_ParseTwoHeaders);

// Two Content-Lengths: the way of an attack.
void BM_Refuse(benchmark::State& state) {
  parse_requests(state, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                 Parse::error);
}
BENCHMARK(BM_Refuse);

void BM_ParseResponse(benchmark::State& state) {
  ResponseParser parser;
  ResponseHead head;
  for (auto _ : state) {
    parser.reset(Method::get);
    if (parser.parse(kResponse, head) != Parse::done) state.SkipWithError("refused");
    benchmark::DoNotOptimize(head);
  }
  count_bytes(state, kResponse.size());
}
BENCHMARK(BM_ParseResponse);

// A head of n bytes in fields of 40.
std::string head_of(std::size_t n) {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  while (head.size() + 40 < n) head += "X-Some-Field: some value of thirty bytes\r\n";
  return head + "\r\n";
}

ParserLimits wide() {
  ParserLimits limits;
  limits.header_count = 10'000;
  limits.header_bytes = limits.line_bytes = 1 << 20;
  return limits;
}

void BM_ParseHead(benchmark::State& state) {
  const std::string bytes = head_of(static_cast<std::size_t>(state.range(0)));
  RequestParser parser(wide());
  RequestHead head;
  for (auto _ : state) {
    parser.reset();
    if (parser.parse(bytes, head) != Parse::done) state.SkipWithError("refused");
  }
  state.SetComplexityN(state.range(0));
  count_bytes(state, bytes.size());
}
BENCHMARK(BM_ParseHead)->RangeMultiplier(2)->Range(1024, 32 * 1024)->Complexity();

// The same, one byte more at a time: every byte is still scanned once.
void BM_ParseHeadBytewise(benchmark::State& state) {
  const std::string bytes = head_of(static_cast<std::size_t>(state.range(0)));
  RequestParser parser(wide());
  RequestHead head;
  for (auto _ : state) {
    parser.reset();
    for (std::size_t n = 1; n < bytes.size(); ++n)
      benchmark::DoNotOptimize(parser.parse({bytes.data(), n}, head));
    if (parser.parse(bytes, head) != Parse::done) state.SkipWithError("refused");
  }
  state.SetComplexityN(state.range(0));
}
BENCHMARK(BM_ParseHeadBytewise)->RangeMultiplier(2)->Range(1024, 32 * 1024)->Complexity();

// One long line that drips in.
void BM_ParseLineBytewise(benchmark::State& state) {
  const std::string bytes =
      "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(static_cast<std::size_t>(state.range(0)), 'a') +
      "\r\n\r\n";
  RequestParser parser(wide());
  RequestHead head;
  for (auto _ : state) {
    parser.reset();
    for (std::size_t n = 1; n < bytes.size(); ++n)
      benchmark::DoNotOptimize(parser.parse({bytes.data(), n}, head));
    if (parser.parse(bytes, head) != Parse::done) state.SkipWithError("refused");
  }
  state.SetComplexityN(state.range(0));
}
BENCHMARK(BM_ParseLineBytewise)->RangeMultiplier(2)->Range(1024, 32 * 1024)->Complexity();

void BM_ParseName(benchmark::State& state) {
  const std::vector<std::string> names = {
      "Host",       "User-Agent", "Accept",  "Accept-Language", "Accept-Encoding",
      "Connection", "Cookie",     "Referer", "X-Request-Id",    "Cache-Control"};
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(parse_name(names[i]));
    i = i + 1 == names.size() ? 0 : i + 1;
  }
}
BENCHMARK(BM_ParseName);

void BM_DecodeChunks(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  char line[24];
  std::snprintf(line, sizeof line, "%zx\r\n", size);
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes += line + std::string(size, 'x') + "\r\n";
  bytes += "0\r\n\r\n";
  for (auto _ : state) {
    BodyDecoder decoder;
    decoder.start(BodyKind::chunked, 0);
    std::string_view rest = bytes;
    for (;;) {
      const BodyDecoder::Step step = decoder.next(rest);
      rest.remove_prefix(step.consumed);
      benchmark::DoNotOptimize(step.data.data());
      if (step.state != BodyDecoder::State::data) break;
    }
  }
  count_bytes(state, bytes.size());
}
BENCHMARK(BM_DecodeChunks)->Arg(16)->Arg(1024)->Arg(16 * 1024);

// The request of BM_ParseTenHeaders written anew.
void BM_WriteHead(benchmark::State& state) {
  RequestParser parser;
  RequestHead head;
  parser.parse(kTenHeaders, head);
  HeadBuffer out;
  for (auto _ : state) {
    out.clear();
    append_request_line(out, head.method_text, head.path, head.query, head.has_query);
    for (const Field& field : head.fields)
      if (!field.hop_by_hop) append_field(out, field.name, field.value);
    append_framing(out, head.body, head.content_length);
    end_head(out);
    benchmark::DoNotOptimize(out.data());
  }
  count_bytes(state, out.size());
}
BENCHMARK(BM_WriteHead);

// Head and a chunk, gathered and written whole.
void BM_EncodeChunk(benchmark::State& state) {
  const std::string payload(200, 'x');
  HeadBuffer head;
  iovec pieces[BodyEncoder::kPieces];
  BodyEncoder encoder;
  for (auto _ : state) {
    head.clear();
    std::memset(head.extend(300), 'h', 300);
    encoder.start(BodyKind::chunked, 0, std::move(head));
    const std::size_t n = encoder.gather(payload, true, pieces);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < n; ++i) bytes += pieces[i].iov_len;
    benchmark::DoNotOptimize(encoder.wrote(bytes));
    head = encoder.take_buffer();
  }
}
BENCHMARK(BM_EncodeChunk);

void canonical(benchmark::State& state, std::string_view raw) {
  std::string scratch;
  for (auto _ : state) benchmark::DoNotOptimize(canonical_path(raw, scratch));
  count_bytes(state, raw.size());
}
void BM_CanonicalPath(benchmark::State& state) { canonical(state, "/v1/orders/12345/items/67890"); }
BENCHMARK(BM_CanonicalPath);
void BM_RebuildPath(benchmark::State& state) { canonical(state, "/v1//orders/./%7Euser/../12345%20x"); }
BENCHMARK(BM_RebuildPath);

void BM_RebuildLongPath(benchmark::State& state) {
  std::string raw;
  while (raw.size() < static_cast<std::size_t>(state.range(0))) raw += "/a/%41/./b/..";
  canonical(state, raw);
  state.SetComplexityN(state.range(0));
}
BENCHMARK(BM_RebuildLongPath)->RangeMultiplier(2)->Range(1024, 8 * 1024)->Complexity();

void BM_ParseAuthority(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(parse_authority("api.example.com:8080"));
}
BENCHMARK(BM_ParseAuthority);

// 32 options that each want a field taken off 100: the most that a Connection may cost.
void BM_Nominations(benchmark::State& state) {
  std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a";
  for (int i = 0; i < 31; ++i) bytes += ",x-a";
  bytes += "\r\n";
  for (int i = 0; i < 98; ++i) bytes += "X-B: c\r\n";
  parse_requests(state, bytes + "\r\n", Parse::done);
}
BENCHMARK(BM_Nominations);

}  // namespace
}  // namespace weir::http

BENCHMARK_MAIN();
