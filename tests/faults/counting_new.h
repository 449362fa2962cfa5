// operator new, counted for the calling thread: what one thread asks of the heap between two moments.
#ifndef WEIR_TESTS_FAULTS_COUNTING_NEW_H_
#define WEIR_TESTS_FAULTS_COUNTING_NEW_H_

#include <cstddef>
#include <cstdint>

namespace weir::testing {

struct Heap {
  std::uint64_t allocations = 0;
  std::int64_t bytes_held = 0;  // as the allocator counts them, its own words included
};

// Of this thread, since its start.
Heap heap_of_this_thread() noexcept;

}  // namespace weir::testing

#endif  // WEIR_TESTS_FAULTS_COUNTING_NEW_H_
