// What a KeyedRateLimiter is made of: the shards, the memory they live in, and the steps that one call and
// allow_all() share. Steps that take a Shard& want its lock held, but for refuse_unlocked().
#ifndef WEIR_RATELIMIT_INTERNAL_KEYED_STATE_H_
#define WEIR_RATELIMIT_INTERNAL_KEYED_STATE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/hash.h"
#include "weir/ratelimit/internal/core.h"
#include "weir/ratelimit/internal/shard.h"
#include "weir/ratelimit/internal/top_denied.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::ratelimit {
namespace internal {

inline constexpr std::uint32_t kStripes = 16;

// Zeroed pages, that the system provides when they are touched: what is never used costs address space only.
class Pages {
 public:
  // Throws bad_alloc. `dense`: all of it will be used, so large pages lose nothing and save look-ups of
  // addresses.
  explicit Pages(std::size_t bytes, bool dense = false);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  void swap(Pages& other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
  }

  template <class T>
  T* as() const noexcept {
    return static_cast<T*>(data_);
  }

 private:
  void* mapping_ = nullptr;
  std::size_t bytes_ = 0;
  void* data_ = nullptr;
};

struct Layout {
  std::uint32_t max_keys;
  std::uint32_t shards;
  std::uint32_t buckets;       // a shard
  std::uint32_t sketch_width;  // a shard
};

std::uint64_t bytes_max(const Layout& layout, std::uint32_t block_words) noexcept;
std::uint64_t sketch_bytes(const Layout& layout) noexcept;
std::size_t blocks_bytes(const Layout& layout, std::uint32_t block_words) noexcept;  // of address space
// The largest table of at most max_keys keys that stays within max_bytes.
Layout fitted(const KeyedRateLimiter::Options& options, std::uint32_t block_words);

// A key with a limit of its own lives apart from the table, since its ring has another size.
struct Override {
  base::Hash128 key;
  Params params;
  Cell cell{};
  Slab slab;  // of one block
  std::unique_ptr<std::uint32_t[]> block;

  void use(const Params& next) {
    params = next;
    reset(cell);
    block = std::make_unique<std::uint32_t[]>(next.block_words);
    slab.use(block.get(), next.block_words);
  }
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
  internal::Shard& shard(base::Hash128 key) const noexcept { return shards[shard_index(key)]; }
  std::uint32_t shard_index(base::Hash128 key) const noexcept {
    return static_cast<std::uint32_t>(key.low) & (layout.shards - 1);
  }
  std::int64_t line(Algorithm algorithm, TimePoint now) const noexcept {
    const std::int64_t ns = now.time_since_epoch().count();
    return algorithm == Algorithm::fixed_window ? ns + wall_offset.load() : ns;
  }
  // One refused call of `key`: the total, and the list of the most refused.
  void count_refused(std::string_view key, base::Hash128 hash) noexcept;

  // *seen = the key's slot, if the table could be read; it may be gone once the lock is held.
  bool refuse_unlocked(const internal::Shard& s, base::Hash128 key, TimePoint now, std::uint32_t cost,
                       internal::Slot** seen, Decision& d) const noexcept {
    const std::uint64_t word = s.lock.read_begin();
    if (internal::SeqLock::held(word)) [[unlikely]]
      return false;
    internal::Slot* slot = s.find(key);
    *seen = slot;
    if (slot == nullptr) return false;
    const std::uint64_t head = s.fast.head.load();
    if (!internal::refuses(s.fast, head, slot->cell, line(internal::algorithm_of(head), now), cost, d)) {
      s.prefetch_block(slot->cell);
      return false;
    }
    if (s.lock.unchanged(word)) [[likely]]
      return true;
    d = Decision{};
    return false;
  }
  internal::Place at(internal::Shard& s, internal::Slot* slot) const noexcept {
    return {&s.params, &slot->cell, &s.slab, slot};
  }
  // Where the key is now.
  internal::Place find(internal::Shard& s, base::Hash128 key) const noexcept;
  // The same; a key that is nowhere gets a slot, if it may have one.
  internal::Place find_or_add(internal::Shard& s, base::Hash128 key, TimePoint now, std::uint32_t cost,
                              std::span<internal::Slot* const> pinned) noexcept;
  // The whole of a call that has no shorter way; `seen` is what refuse_unlocked() found. `d` comes fresh.
  void allow(internal::Shard& s, internal::Slot* seen, base::Hash128 hash, std::string_view key,
             TimePoint now, std::uint32_t cost, Want want, Decision& d) noexcept;
  void decide(internal::Shard& s, const internal::Place& place, base::Hash128 key, TimePoint now,
              std::uint32_t cost, Want want, internal::Book book, Decision& d) noexcept;
  void peek(internal::Shard& s, const internal::Place& place, base::Hash128 key, TimePoint now,
            Decision& d) noexcept;
  void charge(internal::Shard& s, const internal::Place& place, base::Hash128 key, std::int64_t at,
              std::uint32_t cost) noexcept;
  void refund(internal::Shard& s, const internal::Place& place, base::Hash128 key, TimePoint now,
              std::uint32_t cost, TimePoint charged_at) noexcept;
  // Books what a key brings with it, wherever it finds a place.
  void import(internal::Shard& s, base::Hash128 key, TimePoint now, const internal::Events& events) noexcept;
  // From the present policy to `next_policy`, whose numbers are `next`. `fresh` has blocks for all shards;
  // null if cells mean the same under both.
  void migrate(std::uint32_t shard_at, TimePoint now, const Policy& next_policy, const internal::Params& next,
               const internal::Pages* fresh);

  std::uint32_t slots_per_shard() const noexcept { return layout.buckets * internal::Shard::kWays; }
  std::uint32_t* blocks_of(const internal::Pages& pages, std::uint32_t shard_at,
                           std::uint32_t words) const noexcept {
    return pages.as<std::uint32_t>() + std::size_t{shard_at} * slots_per_shard() * words;
  }

  const Options options;
  const internal::Layout layout;
  internal::Pages slots;
  internal::Pages tags;
  internal::Pages sketch_cells;
  internal::Pages blocks;
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
