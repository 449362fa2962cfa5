// A body through one buffer: whatever the pieces it arrives in and the pieces it is passed on in, the
// payload is the same bytes, the head in front of it stays, and what lies behind it is untouched.
#include "weir/upstream/body_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "weir/base/random.h"

namespace weir::upstream {
namespace {

using State = BodyWindow::State;

const std::string kHead = "HTTP/1.1 200 OK\r\nX: the head that must stay\r\n\r\n";

struct Message {
  http::BodyKind kind = http::BodyKind::length;
  std::uint64_t length = 0;
  std::string wire;
  std::string payload;
  std::string surplus;
  bool ends_by_close = false;
};

Message with_length(std::string payload, std::string surplus) {
  return {http::BodyKind::length, payload.size(), payload + surplus, payload, surplus, false};
}

Message chunked(const std::vector<std::string>& chunks, std::string surplus) {
  Message message;
  message.kind = http::BodyKind::chunked;
  for (const std::string& chunk : chunks) {
    std::array<char, 32> line;
    message.wire.append(line.data(), static_cast<std::size_t>(
                                         std::snprintf(line.data(), line.size(), "%zx\r\n", chunk.size())));
    message.wire += chunk + "\r\n";
    message.payload += chunk;
  }
  message.wire += "0\r\n\r\n" + surplus;
  message.surplus = std::move(surplus);
  return message;
}

Message until_close(std::string payload) {
  return {http::BodyKind::until_close, 0, payload, payload, {}, true};
}

// How much of what waits is passed on after each piece.
enum class Taking { all, nothing, half };

struct Outcome {
  State state = State::open;
  std::string payload;
  std::string surplus;
  bool head_kept = false;
};

Outcome pass(const Message& message, const std::vector<std::size_t>& cuts, Taking taking) {
  io::BufferPool pool;
  io::Buffer buffer(pool);
  BodyWindow window;
  Outcome outcome;
  std::size_t at = 0;
  const auto take = [&](Taking how) {
    std::string_view waiting = window.payload();
    if (how == Taking::nothing) return;
    if (how == Taking::half) waiting = waiting.substr(0, waiting.size() / 2);
    outcome.payload += waiting;
    window.consume(waiting.size());
  };
  // The first piece comes in one read with the head.
  const std::size_t first = cuts.empty() ? message.wire.size() : cuts.front();
  const std::string start = kHead + message.wire.substr(0, first);
  std::memcpy(buffer.room().data(), start.data(), start.size());
  buffer.added(start.size());
  buffer.consume(kHead.size());
  at = first;
  window.start(buffer, message.kind, message.length, http::ParserLimits(), true);
  window.decode();
  take(taking);
  for (std::size_t i = 1; i <= cuts.size(); ++i) {
    const std::size_t end = i < cuts.size() ? cuts[i] : message.wire.size();
    while (at < end && window.state() == State::open) {
      std::span<char> room = window.room();
      if (room.empty()) take(Taking::all), room = window.room();
      const std::size_t n = std::min(room.size(), end - at);
      std::memcpy(room.data(), message.wire.data() + at, n);
      at += n;
      window.added(n);
      take(taking);
    }
  }
  if (message.ends_by_close) window.end_of_input();
  EXPECT_EQ(window.received(), message.payload.size());
  outcome.state = window.state();
  outcome.surplus = window.surplus();
  outcome.head_kept = std::string_view(buffer.block(), kHead.size()) == kHead;
  take(Taking::all);
  outcome.surplus += message.wire.substr(at);  // what was not even read in
  window.finish();
  return outcome;
}

void expect_passes(const Message& message, const std::vector<std::size_t>& cuts) {
  for (const Taking taking : {Taking::all, Taking::nothing, Taking::half}) {
    const Outcome outcome = pass(message, cuts, taking);
    ASSERT_EQ(outcome.state, State::done);
    ASSERT_EQ(outcome.payload, message.payload);
    ASSERT_EQ(outcome.surplus, message.surplus);
    ASSERT_TRUE(outcome.head_kept);
  }
}

std::string letters(std::size_t count) {
  std::string text(count, '\0');
  for (std::size_t i = 0; i < count; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

// Every way to cut a body in two or three.
TEST(BodyWindow, EverySplit) {
  const std::vector<Message> messages{with_length("hello, window", "GET /next"), with_length("", "surplus"),
                                      chunked({"a", "bcdefghi", "jk"}, "HTTP/1.1"), chunked({}, "x"),
                                      until_close("to the end")};
  for (const Message& message : messages) {
    expect_passes(message, {});
    for (std::size_t i = 0; i <= message.wire.size(); ++i) {
      expect_passes(message, {i});
      for (std::size_t j = i; j <= message.wire.size(); ++j) expect_passes(message, {i, j});
    }
  }
}

// Bodies larger than the buffer, in random pieces.
TEST(BodyWindow, LargeBodiesInRandomPieces) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    std::vector<std::string> chunks;
    for (std::size_t total = 0; total < 60'000;) {
      chunks.push_back(letters(1 + random.below(random.chance(1, 3) ? 20'000 : 50)));
      total += chunks.back().size();
    }
    const Message message =
        random.chance(1, 2) ? chunked(chunks, "next") : with_length(letters(60'000), "next");
    std::vector<std::size_t> cuts;
    for (int i = 0; i < 40; ++i) cuts.push_back(random.below(message.wire.size()));
    std::sort(cuts.begin(), cuts.end());
    cuts.front() = std::min<std::size_t>(cuts.front(), 10'000);  // it comes with the head, in one small block
    std::sort(cuts.begin(), cuts.end());
    expect_passes(message, cuts);
  }
}

// Nobody takes the payload: the window fills its block, then stands still; a larger block makes room up to
// its bound.
TEST(BodyWindow, StandsStillWhenFullAndGrowsOnce) {
  io::BufferPool pool;
  io::Buffer buffer(pool);
  BodyWindow window;
  const std::string body = letters(200'000);
  std::memcpy(buffer.room().data(), kHead.data(), kHead.size());
  buffer.added(kHead.size());
  buffer.consume(kHead.size());
  window.start(buffer, http::BodyKind::length, body.size(), http::ParserLimits(), true);
  std::size_t at = 0;
  const auto fill = [&] {
    for (;;) {
      const std::span<char> room = window.room();
      if (room.empty()) return;
      const std::size_t n = std::min({room.size(), body.size() - at, std::size_t{777}});
      std::memcpy(room.data(), body.data() + at, n);
      at += n;
      window.added(n);
    }
  };
  fill();
  EXPECT_EQ(at, io::BufferPool::kSmall - kHead.size());
  window.drop_head();
  fill();
  EXPECT_EQ(at, io::BufferPool::kSmall);
  ASSERT_TRUE(window.grow());
  EXPECT_EQ(window.payload(), std::string_view(body).substr(0, at));
  fill();
  EXPECT_EQ(at, io::BufferPool::kLarge);
  EXPECT_FALSE(window.grow());
  EXPECT_EQ(window.payload(), std::string_view(body).substr(0, at));
  // As soon as something is taken it goes on.
  window.consume(1000);
  fill();
  EXPECT_EQ(at, io::BufferPool::kLarge + 1000);
  window.finish();
}

// Faults of the framing are found, and good bytes before them are still there.
TEST(BodyWindow, FaultsAreFound) {
  Message bad = chunked({"good"}, "");
  bad.wire = "4\r\ngood\r\nzz\r\n";
  for (std::size_t cut = 0; cut <= bad.wire.size(); ++cut) {
    const Outcome outcome = pass(bad, {cut}, Taking::all);
    EXPECT_EQ(outcome.state, State::failed);
    EXPECT_EQ(outcome.payload, "good");
  }
  Message cut_short = with_length("hello", "");
  cut_short.wire = "hel";
  cut_short.payload = "hel";
  cut_short.ends_by_close = true;
  EXPECT_EQ(pass(cut_short, {}, Taking::all).state, State::failed);
}

// finish() leaves just the surplus, where a next message is parsed.
TEST(BodyWindow, FinishLeavesTheNextMessage) {
  io::BufferPool pool;
  io::Buffer buffer(pool);
  const std::string bytes = "2\r\nab\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
  std::memcpy(buffer.room().data(), bytes.data(), bytes.size());
  buffer.added(bytes.size());
  BodyWindow window;
  window.start(buffer, http::BodyKind::chunked, 0, http::ParserLimits(), true);
  EXPECT_EQ(window.decode(), State::done);
  EXPECT_EQ(window.payload(), "ab");
  window.finish();
  EXPECT_EQ(buffer.bytes(), "GET / HTTP/1.1\r\n");
  window.finish();  // a second time changes nothing
  EXPECT_EQ(buffer.bytes(), "GET / HTTP/1.1\r\n");
}

}  // namespace
}  // namespace weir::upstream
