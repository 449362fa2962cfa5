// Ten buckets of {calls, failures, slow}, written by many threads without a lock.
//
// Each bucket is one 64-bit word: 8 bits of generation, 8 bits of epoch (number of the bucket on the time
// line) and three counts of 16 bits.
//
//   (1) A writer adds by compare-exchange against the stamp it expects. A bucket that was handed to another
//       epoch or generation in the meantime has another stamp, so a writer that slept cannot spoil it.
//   (2) The buckets always hold the ten epochs up to `epoch_`: rotate() clears those that begin, under the
//       caller's mutex. A sum therefore needs no look at the time.
//   (3) A bucket that is full is halved: the share stays, only its weight falls. Counts up to 32767 a bucket
//   are exact.
//
// The window covers the running bucket and the nine before it: between nine tenths and all of its length.
// add() is one compare-exchange, sum() ten loads.
#ifndef WEIR_RESILIENCE_INTERNAL_OUTCOME_WINDOW_H_
#define WEIR_RESILIENCE_INTERNAL_OUTCOME_WINDOW_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "weir/base/clock.h"
#include "weir/resilience/internal/sync.h"

namespace weir::resilience::internal {

class OutcomeWindow {
 public:
  static constexpr std::size_t kBuckets = 10;

  struct Counts {
    std::uint32_t calls = 0;
    std::uint32_t failures = 0;
    std::uint32_t slow = 0;
  };

  // Does `now` lie past the running bucket, so that rotate() is due?
  bool behind(TimePoint now) const noexcept {
    return now.time_since_epoch().count() >= bucket_end_.load(std::memory_order_relaxed);
  }

  // Adds one call to the running bucket. False when the window no longer belongs to `generation`, or when it
  // is just being rotated: look again under the mutex. Any thread.
  [[nodiscard]] bool add(std::uint32_t generation, bool failed, bool slow) noexcept;
  Counts sum(std::uint32_t generation) const noexcept;

  // The next three only under the owner's mutex.
  void rotate(TimePoint now) noexcept;
  // What sum() would be after rotate(now), without the rotation.
  Counts sum_at(std::uint32_t generation, TimePoint now) const noexcept;
  // Empties the window and gives it to `generation`. `bucket` is the length of one bucket, above zero.
  void reset(std::uint32_t generation, Duration bucket, TimePoint now) noexcept;

 private:
  void clear_bucket(std::int64_t epoch) noexcept;
  void add_bucket(std::size_t i, std::uint32_t generation, Counts& counts) const noexcept;

  alignas(64) std::array<Atomic<std::uint64_t>, kBuckets> buckets_{};
  Atomic<std::int64_t> epoch_{0};
  Atomic<Duration::rep> bucket_end_{0};
  std::uint32_t generation_ = 0;  // under the mutex, like the next
  Duration bucket_{1};
};

}  // namespace weir::resilience::internal

#endif  // WEIR_RESILIENCE_INTERNAL_OUTCOME_WINDOW_H_
