// Requests that are not what they should be: each gets its status, the connection closes, nothing goes
// upstream. The cases are those of RFC 9112 and RFC 9110 where two servers could disagree on where a request
// ends or where it goes, and the bounds of `limits`.
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

using namespace std::string_literals;

struct Malformed {
  const char* name;
  int status;
  std::string bytes;
};

std::string head(std::string_view line, std::string_view fields = {}, std::string_view body = {}) {
  return std::string(line) + "\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string post(std::string_view fields, std::string_view body = {}) {
  return head("POST / HTTP/1.1", fields, body);
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string many_fields(int count) {
  std::string fields;
  for (int i = 0; i < count; ++i) fields += "X-" + std::to_string(i) + ": y\r\n";
  return fields;
}

std::vector<Malformed> malformed_requests() {
  const std::string nul(1, '\0');
  return {
      // Framing: RFC 9112 6.1, 6.3
      {"LengthAndChunked", 400, post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"ChunkedAndLength", 400, post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")},
      {"OtherCodingAndLength", 400, post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", "hello")},
      {"OtherCoding", 400, post("Transfer-Encoding: gzip\r\n")},
      {"NearlyChunked", 400, post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")},
      {"ChunkedTwice", 400, post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")},
      {"ChunkedInTwoFields", 400,
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"GzipThenChunked", 400, post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")},
      {"ChunkedNotLast", 400, post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")},
      {"QuotedChunked", 400, post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")},
      {"EmptyCoding", 400, post("Transfer-Encoding:\r\n", "0\r\n\r\n")},
      {"CodingOnHttp10", 400, head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"LengthList", 400, post("Content-Length: 5, 5\r\n", "hello")},
      {"LengthTwice", 400, post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")},
      {"TwoLengths", 400, post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")},
      {"LengthWithSign", 400, post("Content-Length: +5\r\n", "hello")},
      {"NegativeLength", 400, post("Content-Length: -5\r\n")},
      {"HexLength", 400, post("Content-Length: 0x5\r\n", "hello")},
      {"EmptyLength", 400, post("Content-Length:\r\n")},
      {"LengthWithSpace", 400, post("Content-Length: 5 5\r\n", "hello")},
      {"HugeLength", 400, post("Content-Length: 99999999999999999999\r\n")},
      // Chunks: RFC 9112 7.1
      {"ChunkSizeNotHex", 400, chunked("xyz\r\n")},
      {"ChunkSizeEmpty", 400, chunked("\r\n\r\n")},
      {"ChunkSizeWithPrefix", 400, chunked("0x3\r\nabc\r\n0\r\n\r\n")},
      {"ChunkSizeNegative", 400, chunked("-1\r\n")},
      {"ChunkSizeTooLong", 400, chunked("00000000000000003\r\nabc\r\n0\r\n\r\n")},
      {"ChunkSizeWithSpace", 400, chunked("3 \r\nabc\r\n0\r\n\r\n")},
      {"ChunkLineBareLf", 400, chunked("3\nabc\r\n0\r\n\r\n")},
      {"ChunkExtensionBareLf", 400, chunked("3;a=b\nabc\r\n0\r\n\r\n")},
      {"ChunkExtensionTooLong", 400, chunked("3;a=" + std::string(300, 'b') + "\r\nabc\r\n0\r\n\r\n")},
      {"ChunkLongerThanItsSize", 400, chunked("3\r\nabcd\r\n0\r\n\r\n")},
      {"ChunkEndBareLf", 400, chunked("3\r\nabc\n0\r\n\r\n")},
      {"TrailerFrames", 400, chunked("0\r\nContent-Length: 5\r\n\r\n")},
      {"TrailerRoutes", 400, chunked("0\r\nHost: b\r\n\r\n")},
      // Field lines: RFC 9112 5, RFC 9110 5.5
      {"SpaceBeforeColon", 400, post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")},
      {"SpaceInName", 400, head("GET / HTTP/1.1", "X Y: z\r\n")},
      {"EmptyName", 400, head("GET / HTTP/1.1", ": z\r\n")},
      {"NoColon", 400, head("GET / HTTP/1.1", "nonsense\r\n")},
      {"Folded", 400, head("GET / HTTP/1.1", "X-A: b\r\n c\r\n")},
      {"FoldedWithTab", 400, head("GET / HTTP/1.1", "X-A: b\r\n\tc\r\n")},
      {"FoldedAtFirst", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
      {"NulInValue", 400, head("GET / HTTP/1.1", "X-A: b" + nul + "c\r\n")},
      {"ControlInValue", 400,
       head("GET / HTTP/1.1",
            "X-A: b\x01"
            "c\r\n")},
      {"DeleteInValue", 400, head("GET / HTTP/1.1", "X-A: b\x7f\r\n")},
      {"BareCrInValue", 400, head("GET / HTTP/1.1", "X-A: b\rc\r\n")},
      {"NonAsciiInName", 400, head("GET / HTTP/1.1", "X-\xc3\xa9: b\r\n")},
      {"BareLfAfterField", 400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
      {"BareLfEverywhere", 400, "GET / HTTP/1.1\nHost: a\n\n"},
      {"BareLfAfterLine", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
      // Host: RFC 9112 3.2
      {"NoHost", 400, "GET / HTTP/1.1\r\n\r\n"},
      {"TwoHosts", 400, head("GET / HTTP/1.1", "Host: a\r\n")},
      {"HostList", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
      {"HostWithPath", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {"HostWithUser", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
      {"HostWithBadPort", 400, "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"},
      {"AbsoluteTargetForAnotherHost", 400, head("GET http://b/ HTTP/1.1")},
      // Start line: RFC 9112 3
      {"TwoSpaces", 400, head("GET  / HTTP/1.1")},
      {"TabInsteadOfSpace", 400, head("GET\t/ HTTP/1.1")},
      {"LeadingSpace", 400, head(" GET / HTTP/1.1")},
      {"TrailingSpace", 400, head("GET / HTTP/1.1 ")},
      {"NoVersion", 400, "GET /\r\nHost: a\r\n\r\n"},
      {"LowerCaseVersion", 400, head("GET / http/1.1")},
      {"VersionWithTwoDigits", 400, head("GET / HTTP/1.10")},
      {"HttpTwo", 505, head("GET / HTTP/2.0")},
      {"HttpThree", 505, head("GET / HTTP/3.0")},
      {"BadMethod", 400, head("G(T / HTTP/1.1")},
      {"SpaceInTarget", 400, head("GET /a b HTTP/1.1")},
      {"FragmentInTarget", 400, head("GET /a#b HTTP/1.1")},
      {"NonAsciiTarget", 400, head("GET /caf\xc3\xa9 HTTP/1.1")},
      {"ControlInTarget", 400, head("GET /a\x01 HTTP/1.1")},
      {"RelativeTarget", 400, head("GET a HTTP/1.1")},
      {"StarForGet", 400, head("GET * HTTP/1.1")},
      {"NotHttpAtAll", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n"s},
      {"PriorKnowledgeHttp2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      // Bounds: `limits`
      {"TooManyFields", 431, head("GET / HTTP/1.1", many_fields(101))},
      {"LineTooLong", 431, head("GET / HTTP/1.1", "X-A: " + std::string(9000, 'a') + "\r\n")},
      {"HeadTooLarge", 431,
       head("GET / HTTP/1.1",
            [] {
              std::string fields;
              for (int i = 0; i < 6; ++i)
                fields += "X-" + std::to_string(i) + ": " + std::string(7000, 'a') + "\r\n";
              return fields;
            }())},
      {"TargetTooLong", 414, head("GET /" + std::string(8200, 'a') + " HTTP/1.1")},
  };
}

class MalformedRequests : public ::testing::TestWithParam<Malformed> {
 protected:
  // One gateway for all of them: that it lives on is part of the rule.
  static void SetUpTestSuite() {
    origin_ = new Origin;
    gateway_ = new Gateway(with(R"(
      upstreams: {origin: {endpoints: [$ORIGIN]}}
      routes: [{path: /*, upstream: origin}]
    )",
                                {{"ORIGIN", origin_->url()}}));
  }
  static void TearDownTestSuite() {
    delete gateway_;
    delete origin_;
  }
  static Origin* origin_;
  static Gateway* gateway_;
};
Origin* MalformedRequests::origin_ = nullptr;
Gateway* MalformedRequests::gateway_ = nullptr;

// The status of the contract, `Connection: close`, the end of the connection, a line in the log, and an
// upstream that has seen nothing. Another connection is not concerned.
TEST_P(MalformedRequests, AreRefusedAndClosed) {
  const std::size_t reached = origin_->count();
  Client client(gateway_->port());
  client.send(GetParam().bytes);
  const Answer answer = client.read();
  expect_problem(answer, GetParam().status, "bad-request");
  EXPECT_EQ(answer.field("Connection"), "close") << answer;
  EXPECT_TRUE(client.ended_by_peer());
  EXPECT_EQ(origin_->count(), reached) << "something reached the upstream: " << origin_->last().head;
  const std::string id = answer.field("X-Request-Id");
  EXPECT_EQ(
      gateway_->wait_for_log([&](const Json& line) { return line["id"].text() == id; })["status"].number(),
      GetParam().status);
  EXPECT_EQ(gateway_->get("/next").status, 200);
}

// What follows a malformed request on its connection is never read as a request of its own.
TEST_P(MalformedRequests, EndTheirConnection) {
  const std::size_t reached = origin_->count("/smuggled");
  Client client(gateway_->port());
  client.send(GetParam().bytes + request_text("GET", "/smuggled"));
  client.read();
  EXPECT_TRUE(client.ended_by_peer());
  EXPECT_EQ(origin_->count("/smuggled"), reached);
}

INSTANTIATE_TEST_SUITE_P(All, MalformedRequests, ::testing::ValuesIn(malformed_requests()),
                         [](const ::testing::TestParamInfo<Malformed>& each) {
                           return std::string(each.param.name);
                         });

// A head that does not end, and a body that does not come, are given up with 408.
TEST(SlowRequests, AreGivenUp) {
  Origin origin;
  Gateway gateway(with(R"(
    limits: {header_timeout: 200ms, body_timeout: 200ms, idle_timeout: 200ms}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  Client in_head(gateway.port());
  in_head.send("GET / HTTP/1.1\r\nHost: a\r\n");
  expect_problem(in_head.read(), 408, "bad-request");
  EXPECT_TRUE(in_head.ended_by_peer());

  Client in_body(gateway.port());
  in_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
  expect_problem(in_body.read(), 408, "bad-request");
  EXPECT_TRUE(in_body.ended_by_peer());
  EXPECT_EQ(origin.count(), 0U);
}

// A connection that is idle, before or between requests, is closed without a word.
TEST(SlowRequests, CloseIdleConnectionsSilently) {
  Gateway gateway(R"(
    limits: {idle_timeout: 200ms}
    routes: [{path: /*, respond: {status: 200}}]
  )");
  Client fresh(gateway.port());
  Client used(gateway.port());
  EXPECT_EQ(used.get("/").status, 200);
  EXPECT_TRUE(fresh.ended_by_peer());
  EXPECT_TRUE(used.ended_by_peer());
}

// The head's timeout runs from its first byte: dripping does not prolong it.
TEST(SlowRequests, AreNotProlongedByDripping) {
  Gateway gateway(R"(
    limits: {header_timeout: 300ms}
    routes: [{path: /*, respond: {status: 200}}]
  )");
  Client client(gateway.port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n");
  int dripped = 0;
  eventually([&] {
    if (!client.silent()) return true;
    client.send("X: y\r\n");
    ::poll(nullptr, 0,
           20);  // an attacker's patience, not the test's: without it the head would be too large first
    return ++dripped > 1400;
  });
  EXPECT_EQ(client.read().status, 408);
}

}  // namespace
}  // namespace weir::testing
