#include "weir/ratelimit/internal/sketch.h"

#include <algorithm>
#include <limits>

#include "weir/ratelimit/internal/params.h"

namespace weir::ratelimit::internal {
namespace {

std::uint32_t plus(std::uint32_t a, std::uint32_t b) {
  return a > std::numeric_limits<std::uint32_t>::max() - b ? std::numeric_limits<std::uint32_t>::max()
                                                           : a + b;
}

}  // namespace

void Sketch::use(std::span<std::uint32_t> cells, std::uint32_t width) noexcept {
  cells_ = cells;
  width_ = width;
}

void Sketch::clear(int generation) noexcept {
  if (!charged_[generation]) return;
  for (std::size_t i = static_cast<std::size_t>(generation); i < 2ULL * kRows * width_; i += 2) cells_[i] = 0;
  charged_[generation] = false;
}

void Sketch::set_window(std::int64_t window_ns, bool wall) noexcept {
  // Where the new windows begin is not known yet: all that was counted goes into the first of them.
  for (std::size_t i = 0; charged_[1 - current_] && i < 2ULL * kRows * width_; i += 2) {
    std::uint32_t& mine = cells_[i + static_cast<std::size_t>(current_)];
    mine = plus(mine, cells_[i + static_cast<std::size_t>(1 - current_)]);
    charged_[current_] = true;
  }
  clear(1 - current_);
  window_ns_ = window_ns;
  wall_ = wall;
  anchored_ = false;
}

std::int64_t Sketch::advance(std::int64_t now) noexcept {
  if (window_ns_ == 0) return now;
  if (!anchored_ || (wall_ && wall_was_wrong(window_, now, window_ns_))) {
    anchored_ = true;
    present_ = now;
    window_ = divide_down(now, window_ns_);
    return now;
  }
  present_ = std::max(present_, now);
  const std::int64_t window = divide_down(present_, window_ns_);
  if (window == window_) return present_;
  if (window > window_ + 1) clear(current_);
  current_ = 1 - current_;
  clear(current_);
  window_ = window;
  return present_;
}

std::uint32_t Sketch::estimate(const base::Hash128& key) const noexcept {
  std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t row = 0; row < kRows; ++row)
    least = std::min(least, plus(cell(0, row, key), cell(1, row, key)));
  return least;
}

void Sketch::add(const base::Hash128& key, std::uint32_t units, bool undoable) noexcept {
  charged_[current_] = true;
  std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t row = 0; row < kRows; ++row) least = std::min(least, cell(current_, row, key));
  for (std::uint32_t row = 0; row < kRows; ++row) {
    std::uint32_t& c = cell(current_, row, key);
    c = undoable ? plus(c, units) : std::max(c, plus(least, units));
  }
}

void Sketch::remove(const base::Hash128& key, std::uint32_t units) noexcept {
  for (std::uint32_t row = 0; row < kRows; ++row) {
    std::uint32_t& c = cell(current_, row, key);
    c -= std::min(c, units);
  }
}

}  // namespace weir::ratelimit::internal
