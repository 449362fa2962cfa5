// Ring<T>: a first-in-first-out queue of fixed capacity, in one allocation made at construction.
//
// push() on a full ring returns false and changes nothing: a bound that silently grew would be none. Not thread-safe.
// Every operation is O(1).
#ifndef WEIR_BASE_RING_H_
#define WEIR_BASE_RING_H_

#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

#include "weir/base/check.h"

namespace weir::base {

template <class T>
class Ring {
 public:
  explicit Ring(std::size_t capacity)
      : slots_(std::bit_ceil(capacity == 0 ? std::size_t{1} : capacity)), capacity_(capacity) {}

  std::size_t size() const noexcept { return tail_ - head_; }
  std::size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return head_ == tail_; }
  bool full() const noexcept { return size() == capacity_; }

  [[nodiscard]] bool push(T value) {
    if (full()) return false;
    slots_[tail_++ & (slots_.size() - 1)] = std::move(value);
    return true;
  }

  T& front() { return WEIR_CHECK(!empty()), slots_[head_ & (slots_.size() - 1)]; }
  // The i-th oldest.
  const T& operator[](std::size_t i) const {
    WEIR_CHECK(i < size());
    return slots_[(head_ + i) & (slots_.size() - 1)];
  }

  T pop() {
    WEIR_CHECK(!empty());
    return std::exchange(slots_[head_++ & (slots_.size() - 1)], T{});
  }

 private:
  std::vector<T> slots_;
  std::size_t capacity_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

}  // namespace weir::base

#endif  // WEIR_BASE_RING_H_
