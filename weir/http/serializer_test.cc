// Heads as text, and the body encoder in every state that partial writes and late payload can bring it into.
#include "weir/http/serializer.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "weir/http/testing/plain_reader.h"

namespace weir::http {
namespace {

// Start lines, fields and framing come out as RFC 9112 writes them.
TEST(Serializer, RendersHeads) {
  HeadBuffer out;
  append_request_line(out, "GET", "/a", "b=c", true);
  append_request_line(out, "GET", "/a", "", true);
  append_request_line(out, "OPTIONS", "*", "", false);
  append_field(out, "host", "example.com");
  append_field(out, "x-empty", "");
  append_field(out, "max-forwards", std::uint64_t{0});
  append_field(out, "x-most", UINT64_MAX);
  end_head(out);
  EXPECT_EQ(
      out.view(),
      "GET /a?b=c HTTP/1.1\r\nGET /a? HTTP/1.1\r\nOPTIONS * HTTP/1.1\r\nhost: example.com\r\nx-empty: \r\n"
      "max-forwards: 0\r\nx-most: 18446744073709551615\r\n\r\n");
}

// A status without reason gets its registered one; an unregistered one keeps the space that RFC 9112 4 asks
// for.
TEST(Serializer, RendersStatusLines) {
  HeadBuffer out;
  append_status_line(out, 404);
  append_status_line(out, 503, "Breaker Open");
  append_status_line(out, 299);
  EXPECT_EQ(out.view(), "HTTP/1.1 404 Not Found\r\nHTTP/1.1 503 Breaker Open\r\nHTTP/1.1 299 \r\n");
}

TEST(Serializer, RendersFraming) {
  const auto framing = [](BodyKind kind, std::uint64_t length) {
    HeadBuffer out;
    append_framing(out, kind, length);
    return std::string(out.view());
  };
  EXPECT_EQ(framing(BodyKind::none, 0), "");
  EXPECT_EQ(framing(BodyKind::until_close, 0), "");
  EXPECT_EQ(framing(BodyKind::length, 0), "content-length: 0\r\n");
  EXPECT_EQ(framing(BodyKind::length, 1234567890123), "content-length: 1234567890123\r\n");
  EXPECT_EQ(framing(BodyKind::chunked, 7), "transfer-encoding: chunked\r\n");
}

// What may stand in a value or be a token, for every byte, alone and in the middle of a long text (the wide
// scan).
TEST(Serializer, KnowsCleanText) {
  const std::string marks = "!#$%&'*+-.^_`|~";
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    const bool clean = (byte >= 0x20 && byte != 0x7f) || byte == '\t';
    const bool token =
        (byte < 0x80 && std::isalnum(byte) != 0) || (byte != 0 && marks.find(one) != std::string::npos);
    for (const std::size_t before : {0U, 1U, 15U, 16U, 17U, 40U}) {
      const std::string text = std::string(before, 'a') + one + std::string(20, 'a');
      EXPECT_EQ(is_field_value(text), clean) << byte;
      EXPECT_EQ(is_token(text), token) << byte;
    }
    EXPECT_EQ(is_field_value(one), clean) << byte;
    EXPECT_EQ(is_token(one), token) << byte;
  }
  EXPECT_TRUE(is_field_value(""));
  EXPECT_FALSE(is_token(""));
}

// The sender of one body: payload becomes available, writes take what they take.
struct Sender {
  BodyEncoder encoder;
  std::string out;
  std::size_t available = 0;  // of the payload, from its start
  std::size_t used = 0;
  bool last = false;

  std::string_view pending(const std::string& payload) const {
    return std::string_view(payload).substr(used, available - used);
  }
  std::string offered(const std::string& payload) {
    iovec pieces[BodyEncoder::kPieces];
    const std::size_t n = encoder.gather(pending(payload), last, pieces);
    EXPECT_LE(n, BodyEncoder::kPieces);
    std::string all;
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_GT(pieces[i].iov_len, 0U);
      all.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    }
    return all;
  }
  void write(const std::string& payload, std::size_t bytes) {
    out += offered(payload).substr(0, bytes);
    used += encoder.wrote(bytes);
  }
};

std::string expected_body(BodyKind kind, const std::string& out, const std::string& head) {
  EXPECT_EQ(out.substr(0, head.size()), head);
  const std::string framed = out.substr(head.size());
  if (kind != BodyKind::chunked) return framed;
  testing::PlainMessage message;
  EXPECT_TRUE(testing::plain::dechunk(framed, message)) << framed;
  EXPECT_EQ(message.used, framed.size());
  return message.body;
}

// All states that can be reached: from each, one more byte may become available, the end may be announced,
// and a write may take any number of the bytes offered, none included. Every way ends in the same stream, and
// no way gets stuck.
void explore(BodyKind kind, const std::string& head, const std::string& payload) {
  Sender first;
  first.encoder.start(kind, payload.size(), HeadBuffer(head));
  std::vector<Sender> open = {first};
  std::set<std::string> seen;
  std::size_t ends = 0;
  while (!open.empty()) {
    Sender at = open.back();
    open.pop_back();
    const std::string offered = at.offered(payload);
    const std::string key =
        at.out + "|" + offered + "|" + std::to_string(at.available) + (at.last ? "!" : "");
    if (!seen.insert(key).second) continue;
    EXPECT_EQ(at.encoder.started(), !head.empty() && !at.out.empty());
    if (at.encoder.finished()) {
      ++ends;
      ASSERT_EQ(offered, "");
      ASSERT_EQ(expected_body(kind, at.out, head), payload);
      ASSERT_TRUE(at.encoder.idle());
      continue;
    }
    if (at.last && at.available == payload.size()) {
      ASSERT_FALSE(offered.empty()) << "stuck after " << at.out;
    }
    if (at.encoder.idle()) {
      ASSERT_GE(at.out.size(), head.size()) << "idle with a head to send";
    }
    for (std::size_t bytes = 0; bytes <= offered.size(); ++bytes) {
      Sender next = at;
      next.write(payload, bytes);
      open.push_back(next);
    }
    if (at.available < payload.size()) {
      Sender next = at;
      ++next.available;
      open.push_back(next);
    } else if (!at.last) {
      Sender next = at;
      next.last = true;
      open.push_back(next);
    }
  }
  EXPECT_GT(ends, 0U);
}

TEST(BodyEncoder, EveryStateEndsInTheSameStream) {
  for (const std::string head : {"", "H\r\n"}) {
    explore(BodyKind::none, head, "");
    for (const std::string payload : {"", "a", "abc"}) {
      explore(BodyKind::length, head, payload);
      explore(BodyKind::chunked, head, payload);
      explore(BodyKind::until_close, head, payload);
    }
    explore(BodyKind::length, head, "abcdefgh");
    explore(BodyKind::until_close, head, "abcdefgh");
    explore(BodyKind::chunked, head, "abcde");
  }
}

// Large payloads that are there at once travel as one chunk, the last chunk in the same write.
TEST(BodyEncoder, SendsAWholeBodyInOneWrite) {
  const std::string payload(100'000, 'x');
  Sender sender;
  sender.encoder.start(BodyKind::chunked, 0, HeadBuffer("HEAD\r\n\r\n"));
  sender.available = payload.size();
  sender.last = true;
  const std::string all = sender.offered(payload);
  EXPECT_EQ(all, "HEAD\r\n\r\n186a0\r\n" + payload + "\r\n0\r\n\r\n");
  EXPECT_EQ(sender.encoder.wrote(all.size()), payload.size());
  EXPECT_TRUE(sender.encoder.finished());
}

// An event of a stream leaves with the CRLF of its chunk: no reader waits for the next event to see this one
// end.
TEST(BodyEncoder, EndsAChunkWithItsPayload) {
  const std::string payload = "data: 1\n\n";
  Sender sender;
  sender.encoder.start(BodyKind::chunked, 0, HeadBuffer(""));
  sender.available = payload.size();
  EXPECT_EQ(sender.offered(payload), "9\r\ndata: 1\n\n\r\n");
}

// A chunk grows as long as nothing of its line has left.
TEST(BodyEncoder, GrowsAnUnsentChunk) {
  const std::string payload = "abcdef";
  Sender sender;
  sender.encoder.start(BodyKind::chunked, 0, HeadBuffer("HEAD"));
  sender.available = 2;
  sender.write(payload, 3);  // EAGAIN inside the head
  sender.available = 6;
  EXPECT_EQ(sender.offered(payload), "D6\r\nabcdef\r\n");
}

// take_buffer() gives the head's memory back for the next message.
TEST(BodyEncoder, GivesTheBufferBack) {
  HeadBuffer head(std::string(500, 'h'));
  const char* memory = head.data();
  BodyEncoder encoder;
  encoder.start(BodyKind::none, 0, std::move(head));
  iovec pieces[BodyEncoder::kPieces];
  ASSERT_EQ(encoder.gather({}, true, pieces), 1U);
  encoder.wrote(500);
  EXPECT_TRUE(encoder.finished());
  HeadBuffer buffer = encoder.take_buffer();
  EXPECT_EQ(buffer.data(), memory);
  EXPECT_TRUE(buffer.empty());
  EXPECT_TRUE(encoder.started()) << "the head did leave";
  EXPECT_TRUE(encoder.finished());
}

// A body that does not add up to its length is a bug, not a message.
TEST(BodyEncoderDeathTest, RefusesABodyOfAnotherLength) {
  iovec pieces[BodyEncoder::kPieces];
  BodyEncoder encoder;
  encoder.start(BodyKind::length, 5, HeadBuffer(""));
  EXPECT_DEATH(encoder.gather("hello!", false, pieces), "payload.size");
  EXPECT_DEATH(encoder.gather("hell", true, pieces), "payload.size");
  encoder.gather("hello", true, pieces);
  EXPECT_DEATH(encoder.wrote(6), "bytes == 0");
  encoder.start(BodyKind::none, 0, HeadBuffer(""));
  EXPECT_DEATH(encoder.gather("x", true, pieces), "payload.empty");
  encoder.start(BodyKind::chunked, 0, HeadBuffer(""));
  ASSERT_EQ(encoder.gather({}, true, pieces), 1U);
  encoder.wrote(2);  // "0\r" of the last chunk
  EXPECT_DEATH(encoder.gather("x", true, pieces), "tail_sent_");
}

}  // namespace
}  // namespace weir::http
