// Nothing is allocated per message once the containers have their capacity: operator new counts.
#include <cstdlib>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/http/uri.h"

namespace {
std::size_t allocations = 0;  // gtest runs the tests one by one
}

// g++ sees malloc behind one of these and free behind the other and believes them mixed up.
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#pragma GCC diagnostic pop

namespace weir::http {
namespace {

constexpr std::string_view kRequest =
    "POST /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nCookie: "
    "a=b\r\n"
    "Accept: */*\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nVary: *\r\n\r\nhello";

// One request in, out and answered.
void exchange(RequestParser& parser, RequestHead& request, ResponseParser& responses, ResponseHead& response,
              std::string& scratch, HeadBuffer& out) {
  parser.reset();
  ASSERT_EQ(parser.parse(kRequest.substr(0, 40), request), Parse::need_more);
  ASSERT_EQ(parser.parse(kRequest, request), Parse::done);
  const CanonicalPath path = canonical_path("/a/%7Eb/../c", scratch);
  out.clear();
  append_request_line(out, request.method_text, path.path, request.query, request.has_query);
  for (const Field& field : request.fields)
    if (!field.hop_by_hop) append_field(out, field.name, field.value);
  append_framing(out, request.body, request.content_length);
  end_head(out);

  BodyDecoder decoder;
  decoder.start(request.body, request.content_length);
  BodyEncoder encoder;
  encoder.start(BodyKind::chunked, 0, std::move(out));
  std::string_view rest = kRequest.substr(parser.consumed());
  iovec pieces[BodyEncoder::kPieces];
  for (;;) {
    const BodyDecoder::Step step = decoder.next(rest);
    rest.remove_prefix(step.consumed);
    const bool last = step.state != BodyDecoder::State::data;
    const std::size_t n = encoder.gather(step.data, last, pieces);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < n; ++i) bytes += pieces[i].iov_len;
    encoder.wrote(bytes);
    if (last) break;
  }
  ASSERT_TRUE(encoder.finished());
  out = encoder.take_buffer();

  responses.reset(request.method);
  ASSERT_EQ(responses.parse(kResponse, response), Parse::done);
  out.clear();
  append_status_line(out, response.status, response.reason);
  append_field(out, "x-count", std::uint64_t{12345});
  append_framing(out, response.body, response.content_length);
  end_head(out);
}

TEST(Allocation, NoneAfterTheFirstMessages) {
  RequestParser parser;
  RequestHead request;
  ResponseParser responses;
  ResponseHead response;
  std::string scratch;
  HeadBuffer out;
  for (int i = 0; i < 3; ++i) exchange(parser, request, responses, response, scratch, out);
  const std::size_t before = allocations;
  for (int i = 0; i < 1000; ++i) exchange(parser, request, responses, response, scratch, out);
  EXPECT_EQ(allocations - before, 0U);
}

// A refusal allocates nothing either.
TEST(Allocation, NoneForARefusal) {
  RequestParser parser;
  RequestHead request;
  for (int i = 0; i < 2; ++i) {
    parser.reset();
    ASSERT_EQ(parser.parse(kRequest, request), Parse::done);
  }
  const std::size_t before = allocations;
  for (int i = 0; i < 1000; ++i) {
    parser.reset();
    ASSERT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", request), Parse::error);
  }
  EXPECT_EQ(allocations - before, 0U);
}

}  // namespace
}  // namespace weir::http
