// Buffer: contiguous bytes to read into and parse from, taken from a worker's pool while there is something to hold.
//
// Views into it stay good until it grows, is compacted or released; an idle connection holds no block at all (release()).
// Two block sizes: kSmall for nearly every message, kLarge for big heads and for answers that are taken off the
// upstream at once (64 KiB of body behind a 32 KiB head). That is the bound on what one message may make weir hold per
// direction, unless a configuration raises the limit of a head above it.
//
//   [ begin_ ... end_ )  unread bytes       [ end_ ... capacity )  room to read into
#ifndef WEIR_IO_BUFFER_H_
#define WEIR_IO_BUFFER_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/check.h"

namespace weir::io {

// Free blocks of one worker. Keeps at most `kept` small ones and a sixteenth as many large ones: 16 and 6.4 MiB by
// default, so that a burst does not hold memory for ever. Not thread-safe; outlives its buffers.
class BufferPool {
 public:
  static constexpr std::size_t kSmall = 16 * 1024;
  static constexpr std::size_t kLarge = 100 * 1024;

  explicit BufferPool(std::size_t kept = 1024) : kept_(kept) {}

  std::unique_ptr<char[]> take(std::size_t size) {
    auto& list = size == kSmall ? small_ : large_;
    ++out_;
    if (list.empty() || size > kLarge) return std::unique_ptr<char[]>(new char[size]);
    std::unique_ptr<char[]> block = std::move(list.back());
    list.pop_back();
    return block;
  }
  void give(std::unique_ptr<char[]> block, std::size_t size) {
    auto& list = size == kSmall ? small_ : large_;
    --out_;
    if (size <= kLarge && list.size() < (size == kSmall ? kept_ : kept_ / 16))
      list.push_back(std::move(block));
  }
  std::size_t blocks_out() const noexcept { return out_; }

 private:
  std::size_t kept_;
  std::size_t out_ = 0;
  std::vector<std::unique_ptr<char[]>> small_;
  std::vector<std::unique_ptr<char[]>> large_;
};

class Buffer {
 public:
  explicit Buffer(BufferPool& pool) noexcept : pool_(&pool) {}
  Buffer(Buffer&& other) noexcept
      : pool_(other.pool_),
        block_(std::move(other.block_)),
        capacity_(std::exchange(other.capacity_, 0)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      release();
      pool_ = other.pool_;
      block_ = std::move(other.block_);
      capacity_ = std::exchange(other.capacity_, 0);
      begin_ = std::exchange(other.begin_, 0);
      end_ = std::exchange(other.end_, 0);
    }
    return *this;
  }
  ~Buffer() { release(); }

  std::string_view bytes() const noexcept { return {block_.get() + begin_, end_ - begin_}; }
  bool empty() const noexcept { return begin_ == end_; }
  std::size_t size() const noexcept { return end_ - begin_; }
  std::size_t capacity() const noexcept { return capacity_; }
  bool holds_block() const noexcept { return capacity_ != 0; }

  // Room behind the bytes; takes a small block if there is none. May be empty: grow(), compact() or consume first.
  std::span<char> room() {
    if (capacity_ == 0) acquire(BufferPool::kSmall);
    return {block_.get() + end_, capacity_ - end_};
  }
  void added(std::size_t n) noexcept {
    WEIR_DCHECK(n <= capacity_ - end_);
    end_ += n;
  }
  // Drops bytes from the front. Does not move anything.
  void consume(std::size_t n) noexcept {
    WEIR_DCHECK(n <= size());
    begin_ += n;
  }
  // When empty, starts again at `from` (the end of a head that must stay); 0 for the front.
  void rewind(std::size_t from = 0) noexcept {
    if (empty()) begin_ = end_ = from;
  }
  std::size_t begin_offset() const noexcept { return begin_; }
  // For those who keep their own offsets into the block while a body passes (upstream/body_window.h).
  char* block() noexcept { return block_.get(); }
  const char* block() const noexcept { return block_.get(); }
  void set_window(std::size_t begin, std::size_t end) noexcept {
    WEIR_DCHECK(begin <= end && end <= capacity_);
    begin_ = begin;
    end_ = end;
  }
  // Moves the unread bytes to the front. Views become invalid.
  void compact() noexcept {
    if (begin_ == 0) return;
    std::memmove(block_.get(), block_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
  }
  // To a large block, and beyond it, doubling, where `bound` (a limit that somebody raised) allows. Keeps offsets; false
  // when it is that large already. Views become invalid.
  bool grow(std::size_t bound = BufferPool::kLarge) {
    if (capacity_ >= std::max(bound, BufferPool::kLarge)) return false;
    const std::size_t size =
        capacity_ < BufferPool::kLarge ? BufferPool::kLarge : std::min(2 * capacity_, bound);
    std::unique_ptr<char[]> larger = pool_->take(size);
    if (capacity_ != 0) {
      std::memcpy(larger.get(), block_.get(), end_);
      pool_->give(std::move(block_), capacity_);
    }
    block_ = std::move(larger);
    capacity_ = size;
    return true;
  }
  // Gives the block back; the bytes are gone.
  void release() noexcept {
    if (capacity_ != 0) pool_->give(std::move(block_), capacity_);
    capacity_ = begin_ = end_ = 0;
  }

 private:
  void acquire(std::size_t size) {
    block_ = pool_->take(size);
    capacity_ = size;
    begin_ = end_ = 0;
  }

  BufferPool* pool_;
  std::unique_ptr<char[]> block_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace weir::io

#endif  // WEIR_IO_BUFFER_H_
