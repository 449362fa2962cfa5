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

}  // namespace
}  // namespace weir::http
