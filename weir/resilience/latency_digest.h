// The distribution of recent latencies, for questions such as "how long does 95 % take?".
//
// Counts in buckets that grow with the value: sixteen to each power of two, so a quantile is at most 1/16
// above the true one (interpolation inside the bucket usually brings it nearer). Values below 1 us count as 1
// us, above 18 min as 18 min.
//
//   (1) Two half-windows: recording goes to the running one, questions read both. What is older than `window`
//       is gone, what is younger than half of it is always there.
//   (2) A quantile needs `min_samples`; below that the answer is nothing, never a guess.
//
//   LatencyDigest digest;
//   digest.record(now - start, now);
//   std::optional<Duration> p95 = digest.quantile(0.95, now);
//
// Thread-safe. record() is one relaxed addition (and once in half a window a mutex); quantile() reads 1,000
// counters, about 1 us: ask once in a while, not for each call (HedgePolicy does so). 4 KiB.
#ifndef WEIR_RESILIENCE_LATENCY_DIGEST_H_
#define WEIR_RESILIENCE_LATENCY_DIGEST_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "weir/base/clock.h"

namespace weir::resilience {

class LatencyDigest {
 public:
  struct Options {
    Duration window = std::chrono::seconds{60};
    std::uint32_t min_samples = 100;
    friend bool operator==(const Options&, const Options&) = default;
  };

  LatencyDigest() noexcept : LatencyDigest(Options()) {}
  explicit LatencyDigest(const Options& options) noexcept;  // window above zero, or the program stops
  LatencyDigest(const LatencyDigest&) = delete;
  LatencyDigest& operator=(const LatencyDigest&) = delete;

  void record(Duration latency, TimePoint now) noexcept;
  // `q` in [0, 1]. Nothing while fewer than min_samples are in the window.
  std::optional<Duration> quantile(double q, TimePoint now) noexcept;
  std::uint64_t samples(TimePoint now) noexcept;

 private:
  static constexpr unsigned kSubBits = 4;   // 16 buckets to a power of two
  static constexpr unsigned kLowest = 10;   // 2^10 ns, about 1 us
  static constexpr unsigned kHighest = 40;  // 2^40 ns, about 18 min
  static constexpr std::size_t kBuckets = (kHighest - kLowest) << kSubBits;
  using Half = std::array<std::atomic<std::uint32_t>, kBuckets>;

  static std::size_t bucket_of(Duration latency) noexcept;
  static double lower_bound_of(std::size_t bucket) noexcept;
  void turn(TimePoint now) noexcept;

  Options options_;
  std::array<Half, 2> halves_{};
  std::atomic<std::uint32_t> running_{0};  // which half records
  std::atomic<Duration::rep> half_end_;
  std::mutex mutex_;
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_LATENCY_DIGEST_H_
