// Count-min sketch over two windows: who has no place in the table is counted here, in fixed memory.
//
//   (1) Each key has one cell in each of four rows; what others share only makes a cell larger. So the
//       smallest of the four is never less than the key's own count.
//   (2) Counts are kept for the current and the previous window of the calendar floor(t / window). Together
//       they cover every trailing window that ends now. So current + previous is never less than the trailing
//       count.
//   (3) Hence admitting only while estimate + cost <= limit never admits more than the limit in a trailing
//       window. It may refuse early: for keys that share cells, and for up to two windows.
//
// A window is raised conservatively (a cell only as far as the new estimate asks: Estan and Varghese 2002),
// which keeps (1). For concurrency there are no windows and cells are raised one by one, so that remove() can
// undo it. Time never steps back. Used under the lock of its shard. O(1); a new window clears width * 4
// cells.
#ifndef WEIR_RATELIMIT_INTERNAL_SKETCH_H_
#define WEIR_RATELIMIT_INTERNAL_SKETCH_H_

#include <cstdint>
#include <span>

#include "weir/base/hash.h"

namespace weir::ratelimit::internal {

class Sketch {
 public:
  static constexpr std::uint32_t kRows = 4;
  static constexpr std::uint64_t words(std::uint32_t width) noexcept { return 2ULL * kRows * width; }

  // `cells` are words(width) zeros that outlive the sketch; width is a power of two, at most 65,536.
  void use(std::span<std::uint32_t> cells, std::uint32_t width) noexcept;

  // The kind of windows from now on; 0: none (concurrency). What was counted counts on. `wall`: time may be
  // set back.
  void set_window(std::int64_t window_ns, bool wall) noexcept;

  // Brings it to `now`, or stays where it is; returns the present it counts by, which never steps back.
  std::int64_t advance(std::int64_t now) noexcept;
  std::uint32_t estimate(const base::Hash128& key) const noexcept;
  void add(const base::Hash128& key, std::uint32_t units, bool undoable) noexcept;
  void remove(const base::Hash128& key, std::uint32_t units) noexcept;
  bool empty() const noexcept { return !charged_[0] && !charged_[1]; }

  // The moment at which everything counted so far has left.
  std::int64_t clear_at() const noexcept { return (window_ + 2) * window_ns_; }

 private:
  std::uint32_t& cell(int generation, std::uint32_t row, const base::Hash128& key) const noexcept {
    const auto column = static_cast<std::uint32_t>(key.high >> (16 * row)) & (width_ - 1);
    // Both windows of a cell side by side: one line a row.
    return cells_[2 * (row * width_ + column) + static_cast<std::uint32_t>(generation)];
  }
  void clear(int generation) noexcept;

  std::span<std::uint32_t> cells_;
  std::uint32_t width_ = 0;
  int current_ = 0;
  bool charged_[2] = {false, false};
  std::int64_t window_ns_ = 0;
  bool wall_ = false;
  bool anchored_ = false;  // window_ has a meaning
  std::int64_t window_ = 0;
  std::int64_t present_ = 0;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_SKETCH_H_
