// The verdicts of the public trace-context test suite as a table, the grammar against a slow twin, and what weir writes.
#include "weir/trace/span_context.h"

#include <gtest/gtest.h>

#include <regex>

#include "weir/base/strings.h"

namespace weir::trace {
namespace {

using Values = std::vector<std::string_view>;

constexpr std::string_view kParent = "00-12345678901234567890123456789012-1234567890123456-00";
const std::string kTraceId = "12345678901234567890123456789012";

std::string text_of(const SpanContext& context) {
  std::string text(kTraceparentSize, ' ');
  write_traceparent(context, text.data());
  return text;
}

bool continues(const Values& traceparents) {
  std::string state;
  const SpanContext context = read(traceparents, {}, state);
  return context.valid() && text_of(context).substr(3, 32) == kTraceId;
}

std::optional<std::string> state_of(const Values& tracestates) {
  std::string state;
  const Values parents{kParent};
  EXPECT_TRUE(read(parents, tracestates, state).valid()) << "tracestate never spoils traceparent";
  if (state.empty()) return std::nullopt;
  return state;
}

// Every verdict of the suite on traceparent: continued, or a new trace begins.
TEST(Traceparent, IsTakenOverExactlyWhenThePublicSuiteSaysSo) {
  struct Case {
    Values values;
    bool taken;
  };
  const std::vector<Case> cases = {
      {{}, false},
      {{"00-12345678901234567890123456789012-1234567890123456-01"}, true},
      {{"00-12345678901234567890123456789011-1234567890123456-01",
        "00-12345678901234567890123456789012-1234567890123456-01"},
       false},
      {{"00-12345678901234567890123456789012-1234567890123456-01."}, false},
      {{"00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like"}, false},
      {{"cc-12345678901234567890123456789012-1234567890123456-01"}, true},
      {{"cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like"}, true},
      {{"cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-not-be-like"}, false},
      {{"ff-12345678901234567890123456789012-1234567890123456-01"}, false},
      {{".0-12345678901234567890123456789012-1234567890123456-01"}, false},
      {{"0.-12345678901234567890123456789012-1234567890123456-01"}, false},
      {{"000-12345678901234567890123456789012-1234567890123456-01"}, false},
      {{"0000-12345678901234567890123456789012-1234567890123456-01"}, false},
      {{"0-12345678901234567890123456789012-1234567890123456-01"}, false},
      {{"00-00000000000000000000000000000000-1234567890123456-01"}, false},
      {{"00-.2345678901234567890123456789012-1234567890123456-01"}, false},
      {{"00-1234567890123456789012345678901.-1234567890123456-01"}, false},
      {{"00-123456789012345678901234567890123-1234567890123456-01"}, false},
      {{"00-1234567890123456789012345678901-1234567890123456-01"}, false},
      {{"00-12345678901234567890123456789012-0000000000000000-01"}, false},
      {{"00-12345678901234567890123456789012-.234567890123456-01"}, false},
      {{"00-12345678901234567890123456789012-123456789012345.-01"}, false},
      {{"00-12345678901234567890123456789012-12345678901234567-01"}, false},
      {{"00-12345678901234567890123456789012-123456789012345-01"}, false},
      {{"00-12345678901234567890123456789012-1234567890123456-.0"}, false},
      {{"00-12345678901234567890123456789012-1234567890123456-0."}, false},
      {{"00-12345678901234567890123456789012-1234567890123456-001"}, false},
      {{"00-12345678901234567890123456789012-1234567890123456-1"}, false},
      {{" 00-12345678901234567890123456789012-1234567890123456-01"}, true},
      {{"\t00-12345678901234567890123456789012-1234567890123456-01"}, true},
      {{"00-12345678901234567890123456789012-1234567890123456-01 "}, true},
      {{"\t 00-12345678901234567890123456789012-1234567890123456-01 \t"}, true},
      {{"00-ABCDEF78901234567890123456789012-1234567890123456-01"}, false},
  };
  for (const Case& one : cases)
    EXPECT_EQ(continues(one.values), one.taken) << (one.values.empty() ? "none" : one.values.front());
}

// And on tracestate: passed on as this text, or dropped whole.
TEST(Tracestate, IsPassedOnExactlyWhenThePublicSuiteSaysSo) {
  struct Case {
    Values values;
    std::optional<std::string> kept;
  };
  const std::string letters = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
  std::string printable;
  for (char c = 0x20; c <= 0x7e; ++c)
    if (c != ',' && c != '=') printable.push_back(c);
  const std::string every = letters + "@a-z0-9_-*/=" + printable;
  std::string many, toomany;
  for (int i = 1; i <= 33; ++i) {
    toomany += (i == 1 ? "bar" : ",bar") + std::to_string(i) + "=" + std::to_string(i);
    if (i == 32) many = toomany;
  }
  const std::string key256 = std::string(256, 'z') + "=1", key257 = std::string(257, 'z') + "=1";
  const std::string value256 = "a=" + std::string(256, 'v'), value257 = "a=" + std::string(257, 'v');
  const std::vector<Case> cases = {
      {{}, std::nullopt},
      {{""}, std::nullopt},
      {{"foo=1,bar=2"}, "foo=1,bar=2"},
      {{"foo=1", ""}, "foo=1"},
      {{"", "foo=1"}, "foo=1"},
      {{"foo=1,bar=2", "rojo=1,congo=2", "baz=3"}, "foo=1,bar=2,rojo=1,congo=2,baz=3"},
      {{"foo=1,foo=1"}, "foo=1,foo=1"},
      {{"foo=1", "foo=2"}, "foo=1,foo=2"},
      {{every}, every},
      {{"foo=1 \t , \t bar=2, \t baz=3"}, "foo=1,bar=2,baz=3"},
      {{"\t foo=1 \t"}, "foo=1"},
      {{"foo =1"}, std::nullopt},
      {{"FOO=1"}, std::nullopt},
      {{"foo.bar=1"}, std::nullopt},
      {{"foo@=1,bar=2"}, "foo@=1,bar=2"},
      {{"@foo=1,bar=2"}, std::nullopt},
      {{"foo@@bar=1,bar=2"}, "foo@@bar=1,bar=2"},
      {{"foo=bar=baz"}, std::nullopt},
      {{"foo=,bar=3"}, std::nullopt},
      {{"foo"}, std::nullopt},
      {{"foo= leading"}, "foo= leading"},
      {{many}, many},
      {{toomany}, std::nullopt},
      {{key256}, key256},
      {{key257}, std::nullopt},
      {{value256}, value256},
      {{value257}, std::nullopt},
  };
  for (const Case& one : cases)
    EXPECT_EQ(state_of(one.values), one.kept) << (one.values.empty() ? "" : one.values[0]);
}

// A tracestate without a usable traceparent is dropped.
TEST(Tracestate, MeansNothingWithoutATraceparent) {
  std::string state = "left over";
  const Values states{"foo=1"};
  EXPECT_FALSE(read({}, states, state).valid());
  EXPECT_TRUE(state.empty());
}

// Every one-character change of a valid traceparent is judged like the grammar written as a regular expression.
TEST(Traceparent, AgreesWithTheGrammarOnEveryNeighbour) {
  const std::regex grammar("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?");
  const std::string valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const auto judge = [&](const std::string& text) {
    const bool longer_00 = text.size() > kTraceparentSize && text.starts_with("00");
    EXPECT_EQ(parse_traceparent(text).has_value(), std::regex_match(text, grammar) && !longer_00) << text;
  };
  for (std::size_t i = 0; i < valid.size(); ++i) {
    for (int c = 1; c < 128; ++c) {
      if (c == '\n' || c == '\r') continue;  // no field value has them, and '.' matches neither
      std::string changed = valid;
      changed[i] = static_cast<char>(c);
      judge(changed);
    }
    judge(valid.substr(0, i));
    std::string longer = valid;
    judge(longer.insert(i, "-"));
  }
  judge(valid + "-");
  judge("01" + valid.substr(2) + "-x");
}

// What is written is read back as it was, for any ids; unknown flags are dropped, random and sampled are kept.
TEST(Traceparent, RoundTrips) {
  base::Random random(7);
  for (int i = 0; i < 1000; ++i) {
    SpanContext context{random(), random(), random() | 1, static_cast<std::uint8_t>(random() & 3)};
    EXPECT_EQ(parse_traceparent(text_of(context)), context);
  }
  EXPECT_EQ(parse_traceparent("00-12345678901234567890123456789012-1234567890123456-ff")->flags,
            kFlagSampled | kFlagRandom);
}

// Level 2: the random flag is copied while continuing, set when weir makes the ids; a child has an id of its own.
TEST(Traceparent, KeepsFlagsAndGivesEveryChildItsOwnId) {
  base::Random random(1);
  const SpanContext root = new_root(random, false);
  EXPECT_TRUE(root.valid());
  EXPECT_EQ(root.flags, kFlagRandom);
  EXPECT_EQ(new_root(random, true).flags, kFlagRandom | kFlagSampled);
  for (const std::uint8_t flags : {0, 1, 2, 3}) {
    const SpanContext parent{1, 2, 3, flags};
    const SpanContext child = child_of(parent, random);
    EXPECT_EQ(child.flags, flags);
    EXPECT_EQ(child.trace_low, 2U);
    EXPECT_NE(child.span, 3U);
  }
}

// Cut to 512: whole members, the long ones first, then from the end.
TEST(Tracestate, IsCutByWholeMembers) {
  std::string small = "a=1,b=2";
  limit_tracestate(small);
  EXPECT_EQ(small, "a=1,b=2");
  const std::string longer = "long=" + std::string(200, 'x');
  std::string state = "a=1," + longer + ",b=2," + longer + ",c=3," + longer;
  limit_tracestate(state);
  EXPECT_EQ(state, "a=1," + longer + ",b=2," + longer + ",c=3");
  std::string many;
  for (int i = 0; i < 32; ++i)
    many += (many.empty() ? "k" : ",k") + std::to_string(i) + "=" + std::string(30, 'v');
  limit_tracestate(many);
  EXPECT_LE(many.size(), kTracestateKept);
  EXPECT_TRUE(many.starts_with("k0="));
  EXPECT_TRUE(many.ends_with(std::string(30, 'v')));
}

}  // namespace
}  // namespace weir::trace
