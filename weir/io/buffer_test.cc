#include "weir/io/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "weir/base/random.h"

namespace weir::io {
namespace {

void append(Buffer& buffer, std::string_view text) {
  const std::span<char> room = buffer.room();
  ASSERT_GE(room.size(), text.size());
  std::copy(text.begin(), text.end(), room.begin());
  buffer.added(text.size());
}

// A buffer holds no block until it is asked for room, and none after release().
TEST(Buffer, AnEmptyOneHoldsNothing) {
  BufferPool pool;
  Buffer buffer(pool);
  EXPECT_FALSE(buffer.holds_block());
  EXPECT_TRUE(buffer.bytes().empty());
  EXPECT_EQ(pool.blocks_out(), 0U);
  append(buffer, "abc");
  EXPECT_EQ(pool.blocks_out(), 1U);
  EXPECT_EQ(buffer.capacity(), BufferPool::kSmall);
  buffer.release();
  EXPECT_FALSE(buffer.holds_block());
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(pool.blocks_out(), 0U);
}

// consume() moves nothing: views stay good; rewind() starts again only when all is consumed.
TEST(Buffer, ConsumeKeepsViews) {
  BufferPool pool;
  Buffer buffer(pool);
  append(buffer, "headbody");
  const std::string_view all = buffer.bytes();
  buffer.consume(4);
  EXPECT_EQ(buffer.bytes(), "body");
  EXPECT_EQ(buffer.bytes().data(), all.data() + 4);
  EXPECT_EQ(buffer.begin_offset(), 4U);
  buffer.rewind();
  EXPECT_EQ(buffer.bytes(), "body");
  buffer.consume(4);
  buffer.rewind(4);
  EXPECT_EQ(buffer.begin_offset(), 4U);
  append(buffer, "more");
  EXPECT_EQ(all, "headmore");
}

// compact() and grow() keep the unread bytes; grow() stops at a large block.
TEST(Buffer, CompactAndGrow) {
  BufferPool pool;
  Buffer buffer(pool);
  append(buffer, std::string(BufferPool::kSmall, 'x'));
  EXPECT_TRUE(buffer.room().empty());
  buffer.consume(10);
  EXPECT_TRUE(buffer.grow());
  EXPECT_EQ(buffer.begin_offset(), 10U) << "offsets are kept";
  EXPECT_EQ(buffer.size(), BufferPool::kSmall - 10);
  buffer.compact();
  EXPECT_EQ(buffer.begin_offset(), 0U);
  EXPECT_EQ(buffer.bytes(), std::string(BufferPool::kSmall - 10, 'x'));
  EXPECT_EQ(buffer.room().size(), BufferPool::kLarge - BufferPool::kSmall + 10);
  EXPECT_FALSE(buffer.grow());
  EXPECT_EQ(pool.blocks_out(), 1U);

  Buffer fresh(pool);
  EXPECT_TRUE(fresh.grow());
  EXPECT_EQ(fresh.capacity(), BufferPool::kLarge);
}

// Moving hands over the block; the source is empty and may be used again.
TEST(Buffer, Move) {
  BufferPool pool;
  Buffer first(pool);
  append(first, "abc");
  Buffer second(std::move(first));
  EXPECT_EQ(second.bytes(), "abc");
  EXPECT_FALSE(first.holds_block());  // NOLINT(bugprone-use-after-move): defined here
  append(first, "xyz");
  first = std::move(second);
  EXPECT_EQ(first.bytes(), "abc");
  EXPECT_EQ(pool.blocks_out(), 1U);
}

// The pool gives blocks out again, and keeps no more than it was told.
TEST(BufferPool, ReusesAndIsBounded) {
  BufferPool pool(16);
  const char* block = nullptr;
  {
    Buffer buffer(pool);
    block = buffer.room().data();
  }
  Buffer again(pool);
  EXPECT_EQ(again.room().data(), block);

  std::vector<Buffer> many;
  for (int i = 0; i < 100; ++i) {
    many.emplace_back(pool);
    many.back().room();
    if (i % 2 == 0) many.back().grow();
  }
  EXPECT_EQ(pool.blocks_out(), 101U);
  many.clear();
  EXPECT_EQ(pool.blocks_out(), 1U);
}

// The obvious twin: a string. Random reads, consumption, growth and compaction leave the same bytes.
TEST(Buffer, AgreesWithAString) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::Random random(seed);
    BufferPool pool;
    Buffer buffer(pool);
    std::string twin;
    for (int step = 0; step < 2000; ++step) {
      switch (random.below(7)) {
        case 0:
          buffer.compact();
          break;
        case 1:
          if (random.chance(1, 20)) buffer.grow();
          break;
        case 2:
          buffer.rewind();
          EXPECT_TRUE(!twin.empty() || buffer.begin_offset() == 0);
          break;
        case 3:
          if (random.chance(1, 50)) {
            buffer.release();
            twin.clear();
          }
          break;
        case 4: {
          const std::size_t n = random.below(twin.size() + 1);
          buffer.consume(n);
          twin.erase(0, n);
          break;
        }
        default: {
          const std::size_t n = random.below(std::min<std::size_t>(buffer.room().size(), 3000) + 1);
          std::string text(n, '\0');
          for (char& c : text) c = static_cast<char>(random());
          append(buffer, text);
          twin += text;
        }
      }
      ASSERT_EQ(buffer.bytes(), twin);
      ASSERT_LE(pool.blocks_out(), 1U);
    }
  }
}

}  // namespace
}  // namespace weir::io
