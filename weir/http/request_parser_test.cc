// Requests: what is refused and why, what is understood, and that cuts change nothing.
#include "weir/http/parser.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "weir/http/testing/accepted_requests.h"
#include "weir/http/testing/read_message.h"
#include "weir/http/testing/refused_requests.h"

namespace weir::http {
namespace {

using testing::accepted_requests;
using testing::AcceptedRequest;
using testing::all_cuts;
using testing::Outcome;
using testing::read_request;
using testing::Reading;
using testing::refused_requests;
using testing::RefusedRequest;

// Every request of the table is refused with its status, word and section.
TEST(RefusedRequests, AreRefusedByTheirRule) {
  const auto cases = refused_requests();
  EXPECT_GE(cases.size(), 300U);
  std::set<std::string_view> names;
  for (const RefusedRequest& one : cases) {
    SCOPED_TRACE(one.name);
    EXPECT_TRUE(names.insert(one.name).second) << "two cases of one name";
    const Reading reading = read_request(one.bytes);
    EXPECT_EQ(reading.outcome, Outcome::refused) << reading.head;
    EXPECT_EQ(reading.status, one.rule.status);
    EXPECT_EQ(reading.what, one.rule.what);
    EXPECT_EQ(reading.section, one.rule.section);
  }
}

// However the bytes are cut, and wherever the buffer moves, the verdict is the same.
TEST(RefusedRequests, AreRefusedAlikeAtEveryCut) {
  for (const RefusedRequest& one : refused_requests()) {
    SCOPED_TRACE(one.name);
    const Reading whole = read_request(one.bytes);
    for (const auto& cuts : all_cuts(one.bytes.size())) {
      const Reading cut = read_request(one.bytes, cuts);
      ASSERT_EQ(cut, whole) << "first cut at " << cuts.front() << ": " << cut.what << " instead of "
                            << whole.what;
    }
  }
}

// Every legitimate request is understood as the table says, and ends exactly where it ends.
TEST(AcceptedRequests, AreUnderstood) {
  const auto cases = accepted_requests();
  EXPECT_GE(cases.size(), 140U);
  std::set<std::string_view> names;
  for (const AcceptedRequest& one : cases) {
    SCOPED_TRACE(one.name);
    EXPECT_TRUE(names.insert(one.name).second) << "two cases of one name";
    const Reading reading = read_request(one.bytes + "GET /next");
    EXPECT_EQ(reading.outcome, Outcome::complete) << reading.what;
    EXPECT_EQ(reading.head, one.head);
    EXPECT_EQ(reading.fields, one.fields);
    EXPECT_EQ(reading.body, one.body);
    EXPECT_EQ(reading.used, one.bytes.size());
  }
}

// However the bytes are cut, and wherever the buffer moves, the same is understood.
TEST(AcceptedRequests, AreUnderstoodAlikeAtEveryCut) {
  for (const AcceptedRequest& one : accepted_requests()) {
    SCOPED_TRACE(one.name);
    const Reading whole = read_request(one.bytes);
    for (const auto& cuts : all_cuts(one.bytes.size())) {
      const Reading cut = read_request(one.bytes, cuts);
      ASSERT_EQ(cut, whole) << "first cut at " << cuts.front() << ": " << cut.what << cut.head;
    }
  }
}

// No proper prefix of a legitimate request is complete or refused, and every prefix of a refused one has the
// same verdict whole as byte by byte: a fault is raised at the byte that makes it, neither sooner nor later.
TEST(RequestParser, JudgesPrefixesAlike) {
  std::vector<std::pair<std::string, bool>> inputs;
  for (const AcceptedRequest& one : accepted_requests()) inputs.emplace_back(one.bytes, true);
  for (const RefusedRequest& one : refused_requests()) inputs.emplace_back(one.bytes, false);
  for (const auto& [bytes, good] : inputs) {
    if (bytes.size() > 1000) continue;
    testing::MessageReader<RequestParser, RequestHead> bytewise{RequestParser(), ParserLimits()};
    for (std::size_t n = 1; n < bytes.size(); ++n) {
      bytewise.arrive(std::string_view(bytes).substr(n - 1, 1));
      const Reading whole = read_request(std::string_view(bytes).substr(0, n));
      ASSERT_EQ(bytewise.reading().outcome, whole.outcome) << n << " bytes of " << bytes;
      if (good) {
        ASSERT_EQ(whole.outcome, Outcome::incomplete) << n << " bytes of " << bytes;
      }
    }
  }
}

// A head of exactly header_bytes passes, one byte less is refused at the bound whatever the phase; all cuts
// agree.
TEST(RequestParser, BoundsTheHeadExactly) {
  const std::string bytes = "\r\nGET /a HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n";
  for (std::size_t bound = 1; bound <= bytes.size(); ++bound) {
    ParserLimits limits;
    limits.header_bytes = bound;
    const Reading whole = read_request(bytes, {}, limits);
    ASSERT_EQ(whole.outcome, bound == bytes.size() ? Outcome::complete : Outcome::refused) << bound;
    if (whole.outcome == Outcome::refused) {
      const bool in_target = bound > 5 && bound <= 8;
      ASSERT_EQ(whole.status, in_target ? 414 : 431) << bound;
      ASSERT_EQ(whole.what, in_target ? "target_too_long" : "head_too_large") << bound;
    }
    for (const auto& cuts : all_cuts(bytes.size()))
      ASSERT_EQ(read_request(bytes, cuts, limits), whole) << bound;
  }
}

// The other bounds are as exact.
TEST(RequestParser, BoundsLinesTargetsAndFieldsExactly) {
  const std::string bytes = "GET /abcd HTTP/1.1\r\nHost: a\r\nX-A: bcdefg\r\n\r\n";
  const auto what = [&](ParserLimits limits) {
    const Reading whole = read_request(bytes, {}, limits);
    for (const auto& cuts : all_cuts(bytes.size())) EXPECT_EQ(read_request(bytes, cuts, limits), whole);
    return whole.outcome == Outcome::complete ? std::string("complete")
                                              : std::to_string(whole.status) + " " + whole.what;
  };
  ParserLimits limits;
  limits.line_bytes = 11;  // "X-A: bcdefg"
  EXPECT_EQ(what(limits), "complete");
  limits.line_bytes = 10;
  EXPECT_EQ(what(limits), "431 line_too_long");
  limits = {};
  limits.target_bytes = 5;
  EXPECT_EQ(what(limits), "complete");
  limits.target_bytes = 4;
  EXPECT_EQ(what(limits), "414 target_too_long");
  limits = {};
  limits.header_count = 2;
  EXPECT_EQ(what(limits), "complete");
  limits.header_count = 1;
  EXPECT_EQ(what(limits), "431 too_many_fields");
}

// Bounds that are turned off are the largest number: nothing wraps.
TEST(RequestParser, GoesWithoutBounds) {
  ParserLimits limits;
  limits.header_bytes = limits.line_bytes = limits.target_bytes = limits.header_count = SIZE_MAX;
  limits.trailer_bytes = limits.trailer_count = SIZE_MAX;
  const std::string bytes = "POST /" + std::string(100'000, 'a') +
                            " HTTP/1.1\r\nHost: a\r\nX-A: " + std::string(100'000, 'b') +
                            "\r\nTransfer-Encoding: chunked\r\n" + testing::repeat("X-B: c\r\n", 1000) +
                            "\r\n0\r\nX-T: " + std::string(100'000, 'd') + "\r\n\r\n";
  const Reading whole = read_request(bytes, {}, limits);
  EXPECT_EQ(whole.outcome, Outcome::complete) << whole.what;
  EXPECT_EQ(read_request(bytes, {50'000, 150'000, 250'000}, limits), whole);
}

// A verdict stands until reset(), and reset() forgets everything but the limits.
TEST(RequestParser, StandsByItsVerdict) {
  RequestParser parser;
  RequestHead head;
  const std::string_view good = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: b\r\n\r\n";
  ASSERT_EQ(parser.parse(good, head), Parse::done);
  EXPECT_EQ(parser.parse(good, head), Parse::done);
  EXPECT_EQ(parser.consumed(), good.size());
  parser.reset();
  ASSERT_EQ(parser.parse("GET / HTTP/1.1\r\nHost : a", head), Parse::error);
  EXPECT_EQ(parser.parse(good, head), Parse::error);
  EXPECT_EQ(parser.fault().what, "space_in_name");
  parser.reset();
  ASSERT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: b\r\n\r\n", head), Parse::done);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(head.fields.size(), 1U);
  EXPECT_EQ(head.authority, "b");
}

// The log shall say what was asked, also of a request that was refused behind its first line; before that
// line is complete the head is empty, not the last request's.
TEST(RequestParser, TellsTheRequestLineOfARefusedRequest) {
  RequestParser parser;
  RequestHead head;
  ASSERT_EQ(parser.parse("DELETE /a?b HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", head), Parse::error);
  EXPECT_EQ(head.method, Method::delete_);
  EXPECT_EQ(head.target, "/a?b");
  parser.reset();
  ASSERT_EQ(parser.parse("GET  / HTTP/1.1\r\n", head), Parse::error);
  EXPECT_EQ(head.method, Method::other);
  EXPECT_EQ(head.method_text, "");
  EXPECT_EQ(head.target, "");
  EXPECT_TRUE(head.fields.empty());
}

// Pipelined requests are read one by one from the same buffer.
TEST(RequestParser, ReadsPipelinedRequests) {
  const std::string_view bytes =
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n"
      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
  std::string_view rest = bytes;
  RequestParser parser;
  RequestHead head;
  for (const std::string_view path : {"/1", "/2", "/3"}) {
    parser.reset();
    ASSERT_EQ(parser.parse(rest, head), Parse::done) << parser.fault().what;
    EXPECT_EQ(head.path, path);
    rest.remove_prefix(parser.consumed() + static_cast<std::size_t>(head.content_length));
  }
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace weir::http
