#include "weir/async/frame_pool.h"

#include <array>
#include <new>

// AddressSanitizer must see every frame as its own allocation, or a use after free inside a recycled block would pass.
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_FRAME_POOL_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_FRAME_POOL_OFF 1
#endif
#endif

namespace weir::async {
#ifndef WEIR_FRAME_POOL_OFF
namespace {

constexpr std::size_t kStep = 64;
constexpr std::size_t kLargest = 4096;

struct Block {
  Block* next;
};

struct FreeList {
  Block* first = nullptr;
  std::size_t count = 0;
};

struct FrameLists {
  std::array<FreeList, kLargest / kStep> lists;
  ~FrameLists() {
    for (FreeList& list : lists) {
      while (list.first != nullptr) {
        Block* block = list.first;
        list.first = block->next;
        ::operator delete(block);
      }
    }
  }
};

FrameLists& frame_lists() {
  thread_local FrameLists lists;
  return lists;
}

constexpr std::size_t class_of(std::size_t bytes) { return (bytes + kStep - 1) / kStep - 1; }

}  // namespace

void* allocate_frame(std::size_t bytes) {
  if (bytes == 0 || bytes > kLargest) return ::operator new(bytes);
  FreeList& list = frame_lists().lists[class_of(bytes)];
  if (list.first == nullptr) return ::operator new((class_of(bytes) + 1) * kStep);
  Block* block = list.first;
  list.first = block->next;
  --list.count;
  return block;
}

void free_frame(void* frame, std::size_t bytes) noexcept {
  if (bytes == 0 || bytes > kLargest) return ::operator delete(frame);
  FreeList& list = frame_lists().lists[class_of(bytes)];
  if (list.count >= kKeptPerClass) return ::operator delete(frame);
  auto* block = static_cast<Block*>(frame);
  block->next = list.first;
  list.first = block;
  ++list.count;
}

#else

void* allocate_frame(std::size_t bytes) { return ::operator new(bytes); }
void free_frame(void* frame, std::size_t) noexcept { ::operator delete(frame); }

#endif

}  // namespace weir::async
