// Memory for coroutine frames: a free list per size class and thread.
//
// A request starts and ends a few coroutines; going to malloc for each would cost more than the request's parsing.
// Freed frames go to a list of their class and come back without a lock. The lists belong to the thread, which is
// allocator state like malloc's own caches, not program state: a frame freed on another thread simply joins that
// thread's list.
//
// Classes are multiples of 64 bytes up to 4 KiB; larger frames go to operator new. A list keeps at most
// kKeptPerClass blocks, so a burst does not hold memory for ever. Not for anything whose address must be unique
// across threads.
#ifndef WEIR_ASYNC_FRAME_POOL_H_
#define WEIR_ASYNC_FRAME_POOL_H_

#include <cstddef>

namespace weir::async {

inline constexpr std::size_t kKeptPerClass = 4096;  // blocks a class and thread

void* allocate_frame(std::size_t bytes);
void free_frame(void* frame, std::size_t bytes) noexcept;

// Derive from it to take objects of a class from the same lists: connections, exchanges, upstream streams.
struct Pooled {
  static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
  static void operator delete(void* object, std::size_t bytes) noexcept { free_frame(object, bytes); }
};

}  // namespace weir::async

#endif  // WEIR_ASYNC_FRAME_POOL_H_
