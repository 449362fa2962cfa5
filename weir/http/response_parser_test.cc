// Answers: what is refused and why, what is understood, and that cuts change nothing.
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "weir/http/parser.h"
#include "weir/http/testing/read_message.h"
#include "weir/http/testing/responses.h"

namespace weir::http {
namespace {

using testing::accepted_responses;
using testing::AcceptedResponse;
using testing::all_cuts;
using testing::Outcome;
using testing::read_response;
using testing::Reading;
using testing::refused_responses;
using testing::RefusedResponse;

// Every hostile answer is refused by its rule. A fault of the head is a bad gateway.
TEST(RefusedResponses, AreRefusedByTheirRule) {
  const auto cases = refused_responses();
  EXPECT_GE(cases.size(), 70U);
  std::set<std::string_view> names;
  for (const RefusedResponse& one : cases) {
    SCOPED_TRACE(one.name);
    EXPECT_TRUE(names.insert(one.name).second) << "two cases of one name";
    const Reading reading = read_response(one.bytes, one.method);
    EXPECT_EQ(reading.outcome, Outcome::refused) << reading.head;
    if (reading.head.empty()) {
      EXPECT_EQ(reading.status, 502);
    }
    EXPECT_EQ(reading.what, one.rule.what);
    EXPECT_EQ(reading.section, one.rule.section);
  }
}

// However the bytes are cut, and wherever the buffer moves, the verdict is the same.
TEST(RefusedResponses, AreRefusedAlikeAtEveryCut) {
  for (const RefusedResponse& one : refused_responses()) {
    SCOPED_TRACE(one.name);
    const Reading whole = read_response(one.bytes, one.method);
    for (const auto& cuts : all_cuts(one.bytes.size())) {
      const Reading cut = read_response(one.bytes, one.method, false, cuts);
      ASSERT_EQ(cut, whole) << "first cut at " << cuts.front() << ": " << cut.what << " instead of "
                            << whole.what;
    }
  }
}

// Every legitimate answer is understood as the table says, and ends exactly where it ends.
TEST(AcceptedResponses, AreUnderstood) {
  const auto cases = accepted_responses();
  EXPECT_GE(cases.size(), 65U);
  std::set<std::string_view> names;
  for (const AcceptedResponse& one : cases) {
    SCOPED_TRACE(one.name);
    EXPECT_TRUE(names.insert(one.name).second) << "two cases of one name";
    const std::string bytes = one.closed ? one.bytes : one.bytes + "HTTP/1.1 200 OK\r\n";
    const Reading reading = read_response(bytes, one.method, one.closed);
    EXPECT_EQ(reading.outcome, Outcome::complete) << reading.what;
    EXPECT_EQ(reading.head, one.head);
    EXPECT_EQ(reading.fields, one.fields);
    EXPECT_EQ(reading.body, one.body);
    EXPECT_EQ(reading.used, one.bytes.size());
  }
}

// However the bytes are cut, and wherever the buffer moves, the same is understood.
TEST(AcceptedResponses, AreUnderstoodAlikeAtEveryCut) {
  for (const AcceptedResponse& one : accepted_responses()) {
    SCOPED_TRACE(one.name);
    const Reading whole = read_response(one.bytes, one.method, one.closed);
    for (const auto& cuts : all_cuts(one.bytes.size())) {
      const Reading cut = read_response(one.bytes, one.method, one.closed, cuts);
      ASSERT_EQ(cut, whole) << "first cut at " << cuts.front() << ": " << cut.what << cut.head;
    }
  }
}

// A peer that closes in the middle of a framed answer has cut it off: that is never taken for its end.
TEST(AcceptedResponses, AreIncompleteWhenCutOff) {
  for (const AcceptedResponse& one : accepted_responses()) {
    if (one.closed || one.bytes.size() > 1000) continue;
    SCOPED_TRACE(one.name);
    for (std::size_t n = 0; n < one.bytes.size(); ++n) {
      const Reading reading = read_response(std::string_view(one.bytes).substr(0, n), one.method, true);
      ASSERT_EQ(reading.outcome, Outcome::incomplete) << n << " bytes";
    }
  }
}

// After a 1xx the same parser, reset, reads the final answer behind it.
TEST(ResponseParser, ReadsOnBehindInformationalAnswers) {
  const std::string_view bytes =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 x\r\n\r\n";
  ResponseParser parser;
  ResponseHead head;
  std::string_view rest = bytes;
  for (const int status : {100, 103, 204}) {
    parser.reset(Method::get);
    ASSERT_EQ(parser.parse(rest, head), Parse::done);
    EXPECT_EQ(head.status, status);
    rest.remove_prefix(parser.consumed());
  }
  EXPECT_TRUE(rest.empty());
  EXPECT_TRUE(head.fields.empty()) << "fields of the 103 in the 204";
}

// A head of exactly header_bytes passes, one byte less is a bad gateway; all cuts agree.
TEST(ResponseParser, BoundsTheHeadExactly) {
  const std::string bytes = "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n";
  for (std::size_t bound = 1; bound <= bytes.size(); ++bound) {
    ParserLimits limits;
    limits.header_bytes = bound;
    const Reading whole = read_response(bytes, Method::get, false, {}, limits);
    ASSERT_EQ(whole.outcome, bound == bytes.size() ? Outcome::complete : Outcome::refused) << bound;
    if (whole.outcome == Outcome::refused) {
      ASSERT_EQ(whole.status, 502) << bound;
      ASSERT_EQ(whole.what, "head_too_large") << bound;
    }
    for (const auto& cuts : all_cuts(bytes.size()))
      ASSERT_EQ(read_response(bytes, Method::get, false, cuts, limits), whole) << bound;
  }
}

// A reason is a line like any other.
TEST(ResponseParser, BoundsTheReasonExactly) {
  ParserLimits limits;
  limits.line_bytes = 20;
  const std::string fits = "HTTP/1.1 204 1234567\r\n\r\n";
  const std::string too_long = "HTTP/1.1 204 12345678\r\n\r\n";
  EXPECT_EQ(read_response(fits, Method::get, false, {}, limits).outcome, Outcome::complete);
  const Reading whole = read_response(too_long, Method::get, false, {}, limits);
  EXPECT_EQ(whole.what, "line_too_long");
  for (const auto& cuts : all_cuts(too_long.size()))
    ASSERT_EQ(read_response(too_long, Method::get, false, cuts, limits), whole);
}

// A verdict stands until reset().
TEST(ResponseParser, StandsByItsVerdict) {
  ResponseParser parser;
  ResponseHead head;
  const std::string_view good = "HTTP/1.1 204 x\r\n\r\n";
  ASSERT_EQ(parser.parse(good, head), Parse::done);
  EXPECT_EQ(parser.parse(good, head), Parse::done);
  parser.reset(Method::get);
  ASSERT_EQ(parser.parse("HTTP/2", head), Parse::need_more);
  ASSERT_EQ(parser.parse("HTTP/2 200", head), Parse::error);
  EXPECT_EQ(parser.parse(good, head), Parse::error);
}

}  // namespace
}  // namespace weir::http
