#include "weir/resilience/latency_digest.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "weir/base/check.h"

namespace weir::resilience {

LatencyDigest::LatencyDigest(const Options& options) noexcept : options_(options), half_end_(0) {
  WEIR_CHECK(options.window > Duration{1});
}

std::size_t LatencyDigest::bucket_of(Duration latency) noexcept {
  constexpr std::uint64_t kFirst = std::uint64_t{1} << kLowest;
  const auto value =
      std::max(kFirst, static_cast<std::uint64_t>(std::max<Duration::rep>(0, latency.count())));
  const unsigned power = static_cast<unsigned>(std::bit_width(value)) - 1;
  if (power >= kHighest) return kBuckets - 1;
  // The bits after the leading one choose among the sixteen.
  const std::uint64_t sub = value >> (power - kSubBits) & ((1U << kSubBits) - 1);
  return (std::size_t{power} - kLowest) << kSubBits | sub;
}

double LatencyDigest::lower_bound_of(std::size_t bucket) noexcept {
  const auto power = static_cast<int>((bucket >> kSubBits) + kLowest);
  const auto sub = static_cast<double>(bucket & ((1U << kSubBits) - 1));
  return std::ldexp(1.0 + sub / (1U << kSubBits), power);
}

void LatencyDigest::record(Duration latency, TimePoint now) noexcept {
  if (now.time_since_epoch().count() >= half_end_.load(std::memory_order_relaxed)) turn(now);
  // Relaxed: a count that lands in the half that has just stopped running is a little old, no more.
  Half& half = halves_[running_.load(std::memory_order_relaxed)];
  half[bucket_of(latency)].fetch_add(1, std::memory_order_relaxed);
}

void LatencyDigest::turn(TimePoint now) noexcept {
  const Duration half = options_.window / 2;
  std::lock_guard lock(mutex_);
  const Duration::rep end = half_end_.load(std::memory_order_relaxed);
  const Duration::rep at = now.time_since_epoch().count();
  if (at < end) return;
  const std::uint32_t next = 1 - running_.load(std::memory_order_relaxed);
  const auto clear = [this](std::uint32_t which) {
    for (auto& count : halves_[which]) count.store(0, std::memory_order_relaxed);
  };
  clear(next);
  // After a pause of a half-window or more the other half is old, too.
  if (at - end >= half.count()) clear(1 - next);
  running_.store(next, std::memory_order_relaxed);
  half_end_.store(at + half.count(), std::memory_order_relaxed);
}

std::uint64_t LatencyDigest::samples(TimePoint now) noexcept {
  if (now.time_since_epoch().count() >= half_end_.load(std::memory_order_relaxed)) turn(now);
  std::uint64_t count = 0;
  for (const Half& half : halves_) {
    for (const auto& n : half) count += n.load(std::memory_order_relaxed);
  }
  return count;
}

std::optional<Duration> LatencyDigest::quantile(double q, TimePoint now) noexcept {
  if (now.time_since_epoch().count() >= half_end_.load(std::memory_order_relaxed)) turn(now);
  std::array<std::uint32_t, kBuckets> counts;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    counts[i] = halves_[0][i].load(std::memory_order_relaxed) + halves_[1][i].load(std::memory_order_relaxed);
    total += counts[i];
  }
  if (total == 0 || total < options_.min_samples) return std::nullopt;
  // The smallest value that at least a share q of the samples does not exceed.
  const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(total);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (counts[i] == 0) continue;
    if (static_cast<double>(below + counts[i]) >= rank) {
      const double low = lower_bound_of(i);
      const double part = std::clamp((rank - static_cast<double>(below)) / counts[i], 0.0, 1.0);
      return Duration{static_cast<Duration::rep>(low + (lower_bound_of(i + 1) - low) * part)};
    }
    below += counts[i];
  }
  return Duration{static_cast<Duration::rep>(lower_bound_of(kBuckets))};
}

}  // namespace weir::resilience
