// Bodies whose framing is taken off. Chunked bodies have their cases in the tables of request_parser_test.cc
// and their twin in differential_test.cc; here are the states and bounds of the decoder itself.
#include <string>

#include <gtest/gtest.h>

#include "weir/http/parser.h"

namespace weir::http {
namespace {

using State = BodyDecoder::State;

// Feeds everything and returns what came out; `state` is the last one.
std::string decode(BodyDecoder& decoder, std::string_view bytes, State& state, std::size_t* used = nullptr) {
  std::string out;
  std::size_t consumed = 0;
  for (;;) {
    const BodyDecoder::Step step = decoder.next(bytes.substr(consumed));
    if (!step.data.empty()) {
      // Data lies inside the bytes that its step consumed.
      EXPECT_GE(step.data.data(), bytes.data() + consumed);
      EXPECT_LE(step.data.data() + step.data.size(), bytes.data() + consumed + step.consumed);
    }
    EXPECT_EQ(step.state == State::data, !step.data.empty());
    consumed += step.consumed;
    out += step.data;
    state = step.state;
    if (used != nullptr) *used = consumed;
    if (step.state != State::data) return out;
  }
}

// No body is done before it begins, and takes nothing of what follows.
TEST(BodyDecoder, NoBodyTakesNothing) {
  for (const BodyKind kind : {BodyKind::none, BodyKind::length}) {
    BodyDecoder decoder;
    decoder.start(kind, 0);
    EXPECT_TRUE(decoder.done());
    const BodyDecoder::Step step = decoder.next("GET /next");
    EXPECT_EQ(step.state, State::done);
    EXPECT_EQ(step.consumed, 0U);
    EXPECT_EQ(decoder.end_of_input(), State::done);
  }
}

// A body of known length ends exactly there, and knows what is due.
TEST(BodyDecoder, CountsALength) {
  BodyDecoder decoder;
  decoder.start(BodyKind::length, 10);
  State state = State::error;
  EXPECT_EQ(decode(decoder, "hello", state), "hello");
  EXPECT_EQ(state, State::need_more);
  EXPECT_EQ(decoder.remaining(), 5U);
  std::size_t used = 0;
  EXPECT_EQ(decode(decoder, "worldGET /", state, &used), "world");
  EXPECT_EQ(state, State::done);
  EXPECT_EQ(used, 5U);
  EXPECT_EQ(decoder.remaining(), 0U);
}

// The largest length that the parsers let through counts down like any other.
TEST(BodyDecoder, CountsTheLargestLength) {
  BodyDecoder decoder;
  decoder.start(BodyKind::length, INT64_MAX);
  State state = State::error;
  EXPECT_EQ(decode(decoder, "x", state), "x");
  EXPECT_EQ(decoder.remaining(), static_cast<std::uint64_t>(INT64_MAX) - 1);
}

// A peer that closes too early has sent no complete body.
TEST(BodyDecoder, TellsATruncatedBody) {
  for (const BodyKind kind : {BodyKind::length, BodyKind::chunked}) {
    BodyDecoder decoder;
    decoder.start(kind, 5);
    State state = State::error;
    decode(decoder, kind == BodyKind::length ? "hell" : "5\r\nhello\r\n0\r\n", state);
    EXPECT_EQ(state, State::need_more);
    EXPECT_EQ(decoder.end_of_input(), State::error);
    EXPECT_EQ(decoder.fault().what, "truncated");
    EXPECT_EQ(decoder.next("o").state, State::error) << "a refused body goes on";
    EXPECT_EQ(decoder.end_of_input(), State::error);
  }
}

// Until close: every byte is body, and the close is its end.
TEST(BodyDecoder, ReadsUntilClose) {
  BodyDecoder decoder;
  decoder.start(BodyKind::until_close, 0);
  State state = State::error;
  EXPECT_EQ(decode(decoder, "hello", state), "hello");
  EXPECT_EQ(state, State::need_more);
  EXPECT_FALSE(decoder.done());
  EXPECT_EQ(decoder.end_of_input(), State::done);
  EXPECT_TRUE(decoder.done());
}

// Chunk sizes at the edges of integer widths are read in full: none wraps.
TEST(BodyDecoder, ReadsChunkSizesOfEveryWidth) {
  for (const std::uint64_t size :
       {0x7fULL, 0x80ULL, 0x3fffULL, 0x4000ULL, 0xffffULL, 0x10000ULL, 0x7fffffffULL, 0x80000000ULL,
        0xffffffffULL, 0x100000000ULL, 0x7fffffffffffffffULL}) {
    char line[32];
    std::snprintf(line, sizeof line, "%llx\r\n", static_cast<unsigned long long>(size));
    BodyDecoder decoder;
    decoder.start(BodyKind::chunked, 0);
    State state = State::error;
    decode(decoder, line, state);
    EXPECT_EQ(state, State::need_more);
    // All but one byte of a small chunk leaves it open; the last one closes it.
    if (size > 0x10000) continue;
    decode(decoder, std::string(static_cast<std::size_t>(size) - 1, 'x'), state);
    EXPECT_EQ(state, State::need_more);
    EXPECT_EQ(decode(decoder, "y\r\n0\r\n\r\n", state), "y");
    EXPECT_EQ(state, State::done);
  }
}

// Data that earns them makes extensions free: a long upload with signed chunks is not refused.
TEST(BodyDecoder, BearsExtensionsThatDataPaysFor) {
  BodyDecoder decoder;
  decoder.start(BodyKind::chunked, 0);
  const std::string chunk =
      "80;chunk-signature=" + std::string(64, 'f') + "\r\n" + std::string(128, 'x') + "\r\n";
  State state = State::error;
  for (int i = 0; i < 10'000; ++i) {
    decode(decoder, chunk, state);
    ASSERT_EQ(state, State::need_more) << i << decoder.fault().what;
  }
}

// The bounds of trailers are those that were set.
TEST(BodyDecoder, BoundsTrailers) {
  ParserLimits limits;
  limits.trailer_bytes = 12;
  limits.trailer_count = 2;
  const auto fault = [&](std::string_view trailers) {
    BodyDecoder decoder;
    decoder.start(BodyKind::chunked, 0, limits);
    State state = State::error;
    decode(decoder, "0\r\n", state);
    decode(decoder, trailers, state);
    return state == State::done ? std::string_view("done") : decoder.fault().what;
  };
  EXPECT_EQ(fault("a:\r\nb:\r\n\r\n"), "done");
  EXPECT_EQ(fault("a:\r\nb:\r\nc:\r\n\r\n"), "too_many_trailers");
  EXPECT_EQ(fault("a: 12345\r\n\r\n"), "done");
  EXPECT_EQ(fault("a: 123456\r\n\r\n"), "trailers_too_large");
}

// A decoder that is started again remembers nothing.
TEST(BodyDecoder, StartsAnew) {
  BodyDecoder decoder;
  State state = State::error;
  decoder.start(BodyKind::chunked, 0);
  decode(decoder, "zz", state);
  EXPECT_EQ(state, State::error);
  decoder.start(BodyKind::chunked, 0);
  EXPECT_EQ(decode(decoder, "2\r\nhi\r\n0\r\n\r\n", state), "hi");
  EXPECT_EQ(state, State::done);
  EXPECT_EQ(decoder.kind(), BodyKind::chunked);
}

}  // namespace
}  // namespace weir::http
