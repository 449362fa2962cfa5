#include "tests/faults/counting_new.h"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace weir::testing {
namespace {

constexpr std::int64_t kChunkHeader = 8;  // of glibc's malloc, in front of each block

thread_local Heap heap;  // trivially made, so it may be used from the first allocation on

void* take(std::size_t bytes) {
  void* block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) throw std::bad_alloc();
  ++heap.allocations;
  heap.bytes_held += static_cast<std::int64_t>(::malloc_usable_size(block)) + kChunkHeader;
  return block;
}

void give(void* block) noexcept {
  if (block == nullptr) return;
  heap.bytes_held -= static_cast<std::int64_t>(::malloc_usable_size(block)) + kChunkHeader;
  std::free(block);
}

}  // namespace

Heap heap_of_this_thread() noexcept { return heap; }

}  // namespace weir::testing

void* operator new(std::size_t bytes) { return weir::testing::take(bytes); }
void* operator new[](std::size_t bytes) { return weir::testing::take(bytes); }
void operator delete(void* block) noexcept { weir::testing::give(block); }
void operator delete[](void* block) noexcept { weir::testing::give(block); }
void operator delete(void* block, std::size_t) noexcept { weir::testing::give(block); }
void operator delete[](void* block, std::size_t) noexcept { weir::testing::give(block); }
