// Cell: what is known about one key, in 48 bytes; with the fingerprint of the keyed table, one cache line.
// Slab: the blocks of keys that need more.
//
// A cell of zeros is a key never seen, for every algorithm. What the words mean is told by the algorithm's
// header; `newest`, `meta` and `block` may be read without the lock, the rest may not.
#ifndef WEIR_RATELIMIT_INTERNAL_CELL_H_
#define WEIR_RATELIMIT_INTERNAL_CELL_H_

#include <cstddef>
#include <cstdint>

#include "weir/ratelimit/internal/words.h"

namespace weir::ratelimit::internal {

inline constexpr std::uint32_t kNoBlock = 0;

struct Cell {
  Shared<std::int64_t> newest;
  Shared<std::uint64_t> meta;
  Shared<std::uint32_t> block;  // of the slab; kNoBlock = none yet
  std::uint32_t inline_[7];
};
static_assert(sizeof(Cell) == 48);

inline void reset(Cell& cell) noexcept {
  cell.newest.store(0);
  cell.meta.store(0);
  cell.block.store(kNoBlock);
  for (std::uint32_t& word : cell.inline_) word = 0;
}

// Blocks of one size, in memory that its owner provides: enough for every key to have one, so take() never
// fails. A block's number is never 0. Freed blocks are used again. Used under the lock of its owner, but for
// at().
class Slab {
 public:
  // Forgets every block. `memory` outlives the slab or the next use().
  void use(std::uint32_t* memory, std::uint32_t block_words) noexcept {
    memory_.store(memory);
    words_.store(block_words);
    used_ = 0;
    free_ = kNoBlock;
  }

  // Only an address: it may be asked for without the lock, to be prefetched.
  std::uint32_t* at(std::uint32_t block) const noexcept {
    return memory_.load() + std::size_t{block - 1} * words_.load();
  }
  // Contents are undefined.
  std::uint32_t take() noexcept {
    if (free_ == kNoBlock) return ++used_;
    const std::uint32_t block = free_;
    free_ = *at(block);
    return block;
  }
  void give(std::uint32_t block) noexcept {
    if (block == kNoBlock) return;
    *at(block) = free_;
    free_ = block;
  }

  // Memory that has been handed out at least once.
  std::uint64_t bytes() const noexcept { return 4ULL * used_ * words_.mine(); }

 private:
  Shared<std::uint32_t*> memory_{};
  Shared<std::uint32_t> words_{};
  std::uint32_t used_ = 0;
  std::uint32_t free_ = kNoBlock;  // list of freed blocks, linked through their first word
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_CELL_H_
