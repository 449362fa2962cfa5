#include "weir/resilience/internal/outcome_window.h"

#include <algorithm>

namespace weir::resilience::internal {
namespace {

constexpr std::uint64_t kCountMax = 0xffff;
constexpr std::uint64_t kCall = 1;
constexpr std::uint64_t kFailure = std::uint64_t{1} << 16;
constexpr std::uint64_t kSlow = std::uint64_t{1} << 32;
constexpr std::uint64_t kStampMask = std::uint64_t{0xffff} << 48;
// The top bit of each count after a shift by one would be its neighbour's lowest: mask it out.
constexpr std::uint64_t kHalves = 0x7fff'7fff'7fffULL;

constexpr std::uint64_t stamp_of(std::uint32_t generation, std::int64_t epoch) noexcept {
  return std::uint64_t{generation & 0xff} << 56 | (static_cast<std::uint64_t>(epoch) & 0xff) << 48;
}

constexpr std::size_t index_of(std::int64_t epoch) noexcept {
  // A window that begins before time zero has epochs below zero; `%` alone would put two of them into one
  // bucket.
  constexpr auto kCount = static_cast<std::int64_t>(OutcomeWindow::kBuckets);
  return static_cast<std::size_t>((epoch % kCount + kCount) % kCount);
}

constexpr std::uint64_t halved(std::uint64_t word) noexcept {
  return (word & kStampMask) | ((word & ~kStampMask) >> 1 & kHalves);
}

}  // namespace

bool OutcomeWindow::add(std::uint32_t generation, bool failed, bool slow) noexcept {
  const std::uint64_t one = kCall + (failed ? kFailure : 0) + (slow ? kSlow : 0);
  for (;;) {
    const std::int64_t epoch = epoch_.load(std::memory_order_acquire);
    const std::uint64_t stamp = stamp_of(generation, epoch);
    Atomic<std::uint64_t>& bucket = buckets_[index_of(epoch)];
    std::uint64_t word = bucket.load(std::memory_order_relaxed);
    while ((word & kStampMask) == stamp) {
      // Calls are the largest of the three counts, so they alone tell when the word is full.
      const std::uint64_t room = (word & kCountMax) == kCountMax ? halved(word) : word;
      if (bucket.compare_exchange_weak(word, room + one, std::memory_order_relaxed)) return true;
    }
    // Another stamp and another epoch: the running bucket has moved on, and the next turn finds it. Another
    // stamp alone: the generation has ended, or rotate() is at work.
    if (epoch_.load(std::memory_order_acquire) == epoch) return false;
  }
}

OutcomeWindow::Counts OutcomeWindow::sum(std::uint32_t generation) const noexcept {
  Counts counts;
  for (std::size_t i = 0; i < kBuckets; ++i) add_bucket(i, generation, counts);
  return counts;
}

OutcomeWindow::Counts OutcomeWindow::sum_at(std::uint32_t generation, TimePoint now) const noexcept {
  Counts counts;
  const std::int64_t newest = epoch_.load(std::memory_order_relaxed);
  const std::int64_t target = std::max<std::int64_t>(newest, now.time_since_epoch() / bucket_);
  for (std::int64_t epoch = target - static_cast<std::int64_t>(kBuckets) + 1; epoch <= newest; ++epoch) {
    add_bucket(index_of(epoch), generation, counts);
  }
  return counts;
}

void OutcomeWindow::add_bucket(std::size_t i, std::uint32_t generation, Counts& counts) const noexcept {
  const std::uint64_t word = buckets_[i].load(std::memory_order_relaxed);
  if (word >> 56 != (generation & 0xff)) return;
  counts.calls += static_cast<std::uint32_t>(word & kCountMax);
  counts.failures += static_cast<std::uint32_t>(word >> 16 & kCountMax);
  counts.slow += static_cast<std::uint32_t>(word >> 32 & kCountMax);
}

void OutcomeWindow::clear_bucket(std::int64_t epoch) noexcept {
  buckets_[index_of(epoch)].store(stamp_of(generation_, epoch), std::memory_order_relaxed);
}

void OutcomeWindow::rotate(TimePoint now) noexcept {
  if (!behind(now)) return;
  const std::int64_t target = now.time_since_epoch() / bucket_;
  std::int64_t epoch = epoch_.load(std::memory_order_relaxed);
  // After a pause longer than the window every bucket begins anew; no need to walk through the pause.
  if (target - epoch > static_cast<std::int64_t>(kBuckets))
    epoch = target - static_cast<std::int64_t>(kBuckets);
  while (epoch < target) clear_bucket(++epoch);
  // Release: whoever sees the epoch sees its cleared bucket.
  epoch_.store(target, std::memory_order_release);
  bucket_end_.store((bucket_ * (target + 1)).count(), std::memory_order_relaxed);
}

void OutcomeWindow::reset(std::uint32_t generation, Duration bucket, TimePoint now) noexcept {
  generation_ = generation;
  bucket_ = bucket;
  const std::int64_t epoch = now.time_since_epoch() / bucket_;
  for (std::size_t i = 0; i < kBuckets; ++i) clear_bucket(epoch - static_cast<std::int64_t>(i));
  epoch_.store(epoch, std::memory_order_release);
  bucket_end_.store((bucket_ * (epoch + 1)).count(), std::memory_order_relaxed);
}

}  // namespace weir::resilience::internal
