// What a KeyedRateLimiter is made of: the shards, the memory they live in, and the steps that one call and
// allow_all() share. Steps that take a Shard& want its lock held, but for refuse_unlocked().
#ifndef WEIR_RATELIMIT_INTERNAL_KEYED_STATE_H_
#define WEIR_RATELIMIT_INTERNAL_KEYED_STATE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string_view>

#include "weir/base/hash.h"
#include "weir/ratelimit/internal/core.h"
#include "weir/ratelimit/internal/shard.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::ratelimit {
namespace internal {

inline constexpr std::uint32_t kStripes = 16;

struct Freed {
  void operator()(void* p) const noexcept { std::free(p); }
};

// Zeroed, cache-line aligned memory whose pages the system hands out when they are touched.
template <class T>
class Zeroed {
 public:
  explicit Zeroed(std::size_t n) : raw_(std::calloc(n * sizeof(T) + kCacheLine, 1)) {
    if (!raw_) throw std::bad_alloc();
    const auto at = reinterpret_cast<std::uintptr_t>(raw_.get());
    data_ = reinterpret_cast<T*>((at + kCacheLine - 1) / kCacheLine * kCacheLine);
  }
  T* data() const noexcept { return data_; }

 private:
  std::unique_ptr<void, Freed> raw_;
  T* data_ = nullptr;
};

struct Layout {
  std::uint32_t max_keys;
  std::uint32_t shards;
  std::uint32_t buckets;       // a shard
  std::uint32_t sketch_width;  // a shard
};

struct alignas(kCacheLine) Stripe {
  std::atomic<std::uint64_t> refused{0};
};

}  // namespace internal

struct KeyedRateLimiter::State {
  State(const Policy& first, const Options& o, const internal::Params& params);

  base::Hash128 hash(std::string_view key) const noexcept { return base::siphash13_128(options.seed, key); }
  internal::Shard& shard(const base::Hash128& key) const noexcept {
    return shards[static_cast<std::uint32_t>(key.low) & (layout.shards - 1)];
  }
  std::int64_t line(Algorithm algorithm, TimePoint now) const noexcept {
    const std::int64_t ns = now.time_since_epoch().count();
    return algorithm == Algorithm::fixed_window ? ns + wall_offset.load() : ns;
  }
  void count_refused() noexcept;

  // *seen = the key's slot, if the table could be read; it may be gone once the lock is held.
  bool refuse_unlocked(const internal::Shard& s, const base::Hash128& key, TimePoint now, std::uint32_t cost,
                       internal::Slot** seen, Decision& d) const noexcept;
  // A slot for a key that has none; null: it is counted in the sketch.
  internal::Slot* place(internal::Shard& s, const base::Hash128& key, std::int64_t now, std::uint32_t cost,
                        std::span<internal::Slot* const> pinned) noexcept;
  // `d` comes fresh.
  void decide(internal::Shard& s, internal::Slot* slot, const base::Hash128& key, TimePoint now,
              std::uint32_t cost, Want want, internal::Book book, Decision& d) noexcept;
  // peek for a key without a slot.
  void peek_unlisted(internal::Shard& s, const base::Hash128& key, TimePoint now, Decision& d) noexcept;
  void refund(internal::Shard& s, internal::Slot* slot, const base::Hash128& key, TimePoint now,
              std::uint32_t cost, TimePoint charged_at) noexcept;
  void migrate(internal::Shard& s, TimePoint now, const internal::Params& next);

  const Options options;
  const internal::Layout layout;
  internal::Zeroed<internal::Slot> slots;
  internal::Zeroed<std::uint64_t> tags;
  internal::Zeroed<std::uint32_t> sketch_cells;
  std::unique_ptr<internal::Shard[]> shards;
  internal::Shared<std::int64_t> wall_offset{};
  internal::Keys keys;
  std::array<internal::Stripe, internal::kStripes> stripes;
  std::atomic<std::uint32_t> evict_cursor{0};
  mutable std::mutex policy_lock;
  Policy policy;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_INTERNAL_KEYED_STATE_H_
