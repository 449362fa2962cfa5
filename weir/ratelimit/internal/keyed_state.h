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
#include <vector>

#include "weir/base/hash.h"
#include "weir/ratelimit/internal/core.h"
#include "weir/ratelimit/internal/shard.h"
#include "weir/ratelimit/internal/top_denied.h"
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

std::uint64_t bytes_max(const Layout& layout, std::uint32_t block_words) noexcept;
std::uint64_t sketch_bytes(const Layout& layout) noexcept;
// The largest table of at most max_keys keys that stays within max_bytes.
Layout fitted(const KeyedRateLimiter::Options& options, std::uint32_t block_words);

// A key with a limit of its own lives apart from the table, since its ring has another size.
struct Override {
  base::Hash128 key;
  Params params;
  Cell cell{};
  Slab slab;
};

// Where a key's state is. Without a cell: nowhere but in the sketch, if at all.
struct Place {
  const Params* params = nullptr;
  Cell* cell = nullptr;
  Slab* slab = nullptr;
  Slot* slot = nullptr;  // null for an override
};

struct alignas(kCacheLine) Stripe {
  std::atomic<std::uint64_t> refused{0};
};

}  // namespace internal

struct KeyedRateLimiter::State {
  State(const Policy& first, const Options& o, const internal::Params& params);

  base::Hash128 hash(std::string_view key) const noexcept { return base::siphash13_128(options.seed, key); }
  internal::Shard& shard(const base::Hash128& key) const noexcept { return shards[shard_index(key)]; }
  std::uint32_t shard_index(const base::Hash128& key) const noexcept {
    return static_cast<std::uint32_t>(key.low) & (layout.shards - 1);
  }
  std::int64_t line(Algorithm algorithm, TimePoint now) const noexcept {
    const std::int64_t ns = now.time_since_epoch().count();
    return algorithm == Algorithm::fixed_window ? ns + wall_offset.load() : ns;
  }
  // One refused call of `key`: the total, and the list of the most refused.
  void count_refused(std::string_view key, const base::Hash128& hash) noexcept;

  // *seen = the key's slot, if the table could be read; it may be gone once the lock is held.
  bool refuse_unlocked(const internal::Shard& s, const base::Hash128& key, TimePoint now, std::uint32_t cost,
                       internal::Slot** seen, Decision& d) const noexcept;
  internal::Place at(internal::Shard& s, internal::Slot* slot) const noexcept {
    return {&s.params, &slot->cell, &s.slab, slot};
  }
  // Where the key is now.
  internal::Place find(internal::Shard& s, const base::Hash128& key) const noexcept;
  // The same; a key that is nowhere gets a slot, if it may have one.
  internal::Place find_or_add(internal::Shard& s, const base::Hash128& key, TimePoint now, std::uint32_t cost,
                              std::span<internal::Slot* const> pinned) noexcept;
  // `d` comes fresh.
  void decide(internal::Shard& s, const internal::Place& place, const base::Hash128& key, TimePoint now,
              std::uint32_t cost, Want want, internal::Book book, Decision& d) noexcept;
  void peek(internal::Shard& s, const internal::Place& place, const base::Hash128& key, TimePoint now,
            Decision& d) noexcept;
  void charge(internal::Shard& s, const internal::Place& place, const base::Hash128& key, std::int64_t at,
              std::uint32_t cost) noexcept;
  void refund(internal::Shard& s, const internal::Place& place, const base::Hash128& key, TimePoint now,
              std::uint32_t cost, TimePoint charged_at) noexcept;
  // Books what a key brings with it, wherever it finds a place.
  void import(internal::Shard& s, const base::Hash128& key, TimePoint now,
              const internal::Events& events) noexcept;
  // From the present policy to `next_policy`, whose numbers are `next`.
  void migrate(internal::Shard& s, TimePoint now, const Policy& next_policy, const internal::Params& next);

  const Options options;
  const internal::Layout layout;
  internal::Zeroed<internal::Slot> slots;
  internal::Zeroed<std::uint64_t> tags;
  internal::Zeroed<std::uint32_t> sketch_cells;
  std::unique_ptr<internal::Shard[]> shards;
  std::vector<std::vector<std::unique_ptr<internal::Override>>> overridden;  // by shard, under its lock
  internal::Shared<std::int64_t> wall_offset{};
  internal::Keys keys;
  std::array<internal::Stripe, internal::kStripes> stripes;
  std::atomic<std::uint32_t> evict_cursor{0};
  internal::TopDenied top_denied;
  std::uint32_t overrides = 0;  // under policy_lock
  mutable std::mutex policy_lock;
  Policy policy;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_INTERNAL_KEYED_STATE_H_
