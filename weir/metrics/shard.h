// Shard: the counts of one thread.
//
// Every worker owns one and is its only writer, so adding is a load, an addition and a store: no lock, no
// shared cache line, no allocation. The cells are atomics with relaxed order only so that a scrape may read
// them meanwhile; nothing else is published through them, hence no stronger order is needed.
//
//   shard.add(requests);                 // CounterId from Registry::counter
//   shard.observe(duration, 12ms);       // HistogramId from Registry::histogram
//
// Not thread-safe between writers: one thread per shard. About 1 ns to add, 5 ns to observe
// (README, "Figures").
#ifndef WEIR_METRICS_SHARD_H_
#define WEIR_METRICS_SHARD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "weir/base/check.h"
#include "weir/base/clock.h"
#include "weir/metrics/snapshot.h"

namespace weir::metrics {

class Registry;

// A series, as a place in every shard. Valid as long as the registry that gave it; copy it freely.
// A default one counts nothing.
struct CounterId {
  std::uint32_t cell = UINT32_MAX;
};
struct HistogramId {
  std::uint32_t cell = UINT32_MAX;
};

class Shard {
 public:
  Shard(const Shard&) = delete;  // an id means a place in one particular shard
  Shard& operator=(const Shard&) = delete;

  void add(CounterId id, std::uint64_t n = 1) noexcept {
    if (id.cell == UINT32_MAX) [[unlikely]]
      return;
    bump(*cell(id.cell), n);
  }

  // A negative duration counts as zero: a caller's clock that stepped back must not spoil the sum.
  void observe(HistogramId id, Duration took) noexcept {
    if (id.cell == UINT32_MAX) [[unlikely]]
      return;
    const auto ns = took.count() < 0 ? Duration::rep{0} : took.count();
    std::atomic<std::uint64_t>* cells = cell(id.cell);
    // Bounds are inclusive ("le"): the number of bounds below the value is its bucket. Most values are in the first.
    std::size_t bucket = 0;
    if (ns > kDurationBounds.front().count())
      for (const Duration bound : kDurationBounds) bucket += static_cast<std::size_t>(bound.count() < ns);
    bump(cells[bucket], 1);
    bump(cells[kBuckets], static_cast<std::uint64_t>(ns));
  }

 private:
  friend class Registry;

  using Cell = std::atomic<std::uint64_t>;
  static constexpr std::size_t kChunkCells = 1024;  // 8 KiB: a small set of series costs two pages a shard
  struct alignas(64) Chunk {
    std::array<Cell, kChunkCells> cells{};
  };

  explicit Shard(std::size_t chunks) : chunks_(chunks) {}

  // The table of chunks never grows and an entry is written before any id that leads to it is given out.
  // Hence an id that reached this thread in an orderly way finds its entry in place without an atomic read.
  Cell* cell(std::uint32_t index) const noexcept {
    WEIR_DCHECK(chunks_[index / kChunkCells] != nullptr);
    return &chunks_[index / kChunkCells]->cells[index % kChunkCells];
  }

  // One writer, so load and store need not be one step; a locked addition would cost about five times as
  // much.
  static void bump(Cell& cell, std::uint64_t n) noexcept {
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace weir::metrics

#endif  // WEIR_METRICS_SHARD_H_
