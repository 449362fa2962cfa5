#include "weir/resilience/classify.h"

#include <gtest/gtest.h>

#include "weir/base/random.h"

namespace weir::resilience {
namespace {

// The default table: every status has the outcome that the documentation names.
TEST(FailureOn, DefaultStatuses) {
  const FailureOn on;
  for (int status = 100; status < 600; ++status) {
    Outcome expected = Outcome::success;
    if (status >= 500 && status != 501 && status != 505) expected = Outcome::failure;
    if (status == 429) expected = Outcome::throttled;
    if (status == 400 || status == 408 || status == 413) expected = Outcome::neutral;
    EXPECT_EQ(on.classify_status(status), expected) << status;
  }
}

// A status outside 100..599 is in no set.
TEST(FailureOn, StatusOutOfRangeIsNoFailure) {
  const auto on = FailureOn::parse({"1xx", "2xx", "3xx", "4xx", "5xx"});
  ASSERT_TRUE(on);
  for (int status : {-1, 0, 99, 600, 999, 1 << 20}) EXPECT_FALSE(on->has_status(status)) << status;
}

// Errors of the network are failures by default; giving up and local trouble are not.
TEST(FailureOn, DefaultErrors) {
  const FailureOn on;
  const auto of = [&](ErrorCode code, ErrorSource source = ErrorSource::upstream) {
    return on.classify_error(Error(code, "", source));
  };
  for (ErrorCode code : {ErrorCode::connection_refused, ErrorCode::unreachable, ErrorCode::name_not_resolved,
                         ErrorCode::timed_out, ErrorCode::connection_reset, ErrorCode::connection_closed,
                         ErrorCode::malformed}) {
    EXPECT_EQ(of(code), Outcome::failure) << to_string(code);
  }
  for (ErrorCode code : {ErrorCode::cancelled, ErrorCode::deadline_exceeded}) {
    EXPECT_EQ(of(code), Outcome::cancelled) << to_string(code);
  }
  for (ErrorCode code : {ErrorCode::out_of_descriptors, ErrorCode::out_of_memory, ErrorCode::unavailable,
                         ErrorCode::invalid_argument, ErrorCode::unsupported}) {
    EXPECT_EQ(of(code), Outcome::neutral) << to_string(code);
  }
  EXPECT_EQ(of(ErrorCode::connection_reset, ErrorSource::downstream), Outcome::neutral);
  EXPECT_EQ(of(ErrorCode::malformed, ErrorSource::downstream), Outcome::neutral);
}

// Items are read in order; a class may be thinned out, and 429 in the set is a failure, not throttling.
TEST(FailureOn, ParsesItemsInOrder) {
  const auto on = FailureOn::parse({"5xx", "!503", "429", "connect", "reset", "!reset"});
  ASSERT_TRUE(on);
  EXPECT_EQ(on->classify_status(500), Outcome::failure);
  EXPECT_EQ(on->classify_status(501), Outcome::failure);
  EXPECT_EQ(on->classify_status(503), Outcome::success);
  EXPECT_EQ(on->classify_status(429), Outcome::failure);
  EXPECT_TRUE(on->has(FailureKind::connect));
  EXPECT_FALSE(on->has(FailureKind::reset));
  EXPECT_EQ(on->classify_kind(FailureKind::timeout), Outcome::neutral);
}

// What is no item is named, with the nearest word.
TEST(FailureOn, RefusesUnknownItems) {
  for (std::string_view item :
       {"", "!", "6xx", "5x", "5xxx", "99", "600", "0500", "-500", "+500", "conect", "all", "5XX "}) {
    const auto on = FailureOn::parse({item});
    ASSERT_FALSE(on) << item;
    EXPECT_EQ(on.error().code, ErrorCode::invalid_argument);
  }
  const auto on = FailureOn::parse({"5xx", "conect"});
  ASSERT_FALSE(on);
  EXPECT_NE(on.error().detail.find("\"conect\""), std::string::npos) << on.error().detail;
  EXPECT_NE(on.error().detail.find("did you mean connect?"), std::string::npos) << on.error().detail;
}

// The text of a set parses back to the same set.
TEST(FailureOn, TextRoundTrip) {
  EXPECT_EQ(FailureOn().to_text(), "5xx !501 !505 connect timeout reset malformed");
  EXPECT_EQ(FailureOn::nothing().to_text(), "");
  base::Random random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> items;
    for (std::uint64_t n = random.below(12); n > 0; --n) {
      std::string item = random.chance(1, 4) ? "!" : "";
      switch (random.below(3)) {
        case 0:
          item += static_cast<char>('1' + random.below(5));
          item += "xx";
          break;
        case 1:
          item += std::to_string(100 + random.below(500));
          break;
        default:
          item += to_string(static_cast<FailureKind>(random.below(kFailureKinds)));
      }
      items.push_back(item);
    }
    const auto set = FailureOn::parse(std::vector<std::string_view>(items.begin(), items.end()));
    ASSERT_TRUE(set);
    std::vector<std::string_view> again;
    const std::string text = set->to_text();
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t end = std::min(text.find(' ', from), text.size());
      again.push_back(std::string_view(text).substr(from, end - from));
      from = end + 1;
    }
    const auto back = FailureOn::parse(again);
    ASSERT_TRUE(back) << text;
    EXPECT_TRUE(*back == *set) << text;
  }
}

// gRPC verdicts come from the trailers' status, not from HTTP's.
TEST(ClassifyGrpc, EveryStatus) {
  for (int status = 0; status <= 16; ++status) {
    Outcome expected = Outcome::success;
    if (status == 2 || status == 4 || status == 13 || status == 14 || status == 15)
      expected = Outcome::failure;
    if (status == 8) expected = Outcome::throttled;
    if (status == 1) expected = Outcome::cancelled;
    EXPECT_EQ(classify_grpc(status), expected) << status;
  }
}

}  // namespace
}  // namespace weir::resilience
