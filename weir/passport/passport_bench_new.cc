// Counts allocations of the benchmark. A file of its own, so that the compiler cannot see through new and delete.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

extern std::atomic<std::uint64_t> allocations;
std::atomic<std::uint64_t> allocations{0};

void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
