// Cell: what is known about one key, in 48 bytes; with the fingerprint of the keyed table, one cache line.
// Slab: the blocks of keys that need more.
//
// A cell of zeros is a key never seen, for every algorithm. What the words mean is told by the algorithm's
// header; `newest` and `meta` are all that a refusal reads, so they may be read without the lock. The rest
// may not.
#ifndef WEIR_RATELIMIT_INTERNAL_CELL_H_
#define WEIR_RATELIMIT_INTERNAL_CELL_H_

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "weir/ratelimit/internal/words.h"

namespace weir::ratelimit::internal {

inline constexpr std::uint32_t kNoBlock = 0;

struct Cell {
  Shared<std::int64_t> newest;
  Shared<std::uint64_t> meta;
  std::uint32_t block;  // of the slab; kNoBlock = none yet
  std::uint32_t inline_[7];
};
static_assert(sizeof(Cell) == 48);

inline void reset(Cell& cell) noexcept {
  cell.newest.store(0);
  cell.meta.store(0);
  cell.block = kNoBlock;
  for (std::uint32_t& word : cell.inline_) word = 0;
}

// Blocks of one size, in chunks of about a page. A block's number is never 0. Freed blocks are used again;
// chunks go back only with reset(). Not thread-safe: used under the lock of its owner.
class Slab {
 public:
  void reset(std::uint32_t block_words);  // forgets every block

  std::uint32_t* at(std::uint32_t block) const noexcept {
    return chunks_[(block >> 8) - 1].get() + (block & 0xff) * words_;
  }
  std::uint32_t take() noexcept;  // kNoBlock: out of memory. Contents are undefined
  void give(std::uint32_t block) noexcept;

  std::uint64_t bytes() const noexcept;
  // What `blocks` blocks take at most.
  static std::uint64_t bytes_for(std::uint32_t block_words, std::uint64_t blocks) noexcept;

 private:
  std::uint32_t words_ = 0;
  std::uint32_t per_chunk_ = 1;
  std::uint32_t unused_ = 0;       // blocks of the last chunk not yet handed out
  std::uint32_t free_ = kNoBlock;  // list of freed blocks, linked through their first word
  std::vector<std::unique_ptr<std::uint32_t[]>> chunks_;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_CELL_H_
