#include "weir/ratelimit/internal/cell.h"

#include <algorithm>

namespace weir::ratelimit::internal {
namespace {

constexpr std::uint32_t kChunkWords =
    1020;  // a page less what malloc adds: little is lost when a shard has few blocks

std::uint32_t blocks_per_chunk(std::uint32_t words) {
  return std::clamp(words == 0 ? 1U : kChunkWords / words, 1U, 256U);
}

}  // namespace

void Slab::reset(std::uint32_t block_words) {
  words_ = block_words;
  per_chunk_ = blocks_per_chunk(block_words);
  unused_ = 0;
  free_ = kNoBlock;
  chunks_.clear();
  chunks_.shrink_to_fit();
}

std::uint32_t Slab::take() noexcept {
  if (free_ != kNoBlock) {
    const std::uint32_t block = free_;
    free_ = *at(block);
    return block;
  }
  if (unused_ == 0) {
    std::unique_ptr<std::uint32_t[]> chunk(new (std::nothrow)
                                               std::uint32_t[std::size_t{words_} * per_chunk_]);
    if (!chunk) return kNoBlock;
    try {
      chunks_.push_back(std::move(chunk));
    } catch (const std::bad_alloc&) {
      return kNoBlock;
    }
    unused_ = per_chunk_;
  }
  const std::uint32_t place = per_chunk_ - unused_--;
  return static_cast<std::uint32_t>(chunks_.size()) << 8 | place;
}

void Slab::give(std::uint32_t block) noexcept {
  if (block == kNoBlock) return;
  *at(block) = free_;
  free_ = block;
}

std::uint64_t Slab::bytes() const noexcept {
  return chunks_.size() * (std::uint64_t{words_} * per_chunk_ * 4 + sizeof(void*));
}

std::uint64_t Slab::bytes_for(std::uint32_t block_words, std::uint64_t blocks) noexcept {
  if (block_words == 0) return 0;
  const std::uint64_t per_chunk = blocks_per_chunk(block_words);
  return (blocks + per_chunk - 1) / per_chunk * (per_chunk * block_words * 4 + sizeof(void*));
}

}  // namespace weir::ratelimit::internal
