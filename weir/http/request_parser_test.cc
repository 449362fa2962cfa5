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

}  // namespace
}  // namespace weir::http
