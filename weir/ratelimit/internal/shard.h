// Shard: a part of the keyed table with its own lock; a set-associative hash table of cache-line slots.
//
//   (1) A key belongs to two buckets of 16 slots, chosen by its fingerprint, and goes into the emptier one.
//       So buckets fill evenly (Azar et al. 1994: two choices), a look-up reads at most two groups of 16 tag
//       bytes and, but for one in some hundred, only slots that hold its key.
//   (2) Tag byte 0 = free. A slot's fingerprint is written before its tag and stays until the tag is 0 again.
//   (3) Only a key whose cell equals a fresh one is forgotten. Its time, `horizon`, is the earliest present
//       of any key that comes later: a thread whose clock lags cannot see the forgotten bookings as still to
//       come.
//   (4) At most `Keys::max` slots of all shards are taken.
//   (5) A key that finds no slot is counted in the sketch. If it finds one later, what the sketch says of it
//       is booked first; while that is more than fits the cell without a block, it stays in the sketch.
//
// Look-ups from outside the lock read tags, fingerprints and the shared words of cells, and are valid if the
// lock word has not changed (words.h).
#ifndef WEIR_RATELIMIT_INTERNAL_SHARD_H_
#define WEIR_RATELIMIT_INTERNAL_SHARD_H_

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "weir/base/hash.h"
#include "weir/ratelimit/internal/cell.h"
#include "weir/ratelimit/internal/core.h"
#include "weir/ratelimit/internal/params.h"
#include "weir/ratelimit/internal/sketch.h"
#include "weir/ratelimit/internal/words.h"

namespace weir::ratelimit::internal {

struct Slot {
  Shared<std::uint64_t> low;
  Shared<std::uint64_t> high;
  Cell cell;

  bool holds(base::Hash128 key) const noexcept { return low.load() == key.low && high.load() == key.high; }
};
static_assert(sizeof(Slot) == kCacheLine);

// How many keys all shards hold together. Touched only when a key comes or goes.
struct alignas(kCacheLine) Keys {
  std::atomic<std::uint32_t> used{0};
  std::atomic<std::uint32_t> max{0};

  bool reserve() noexcept {
    if (used.load(std::memory_order_relaxed) >= max.load(std::memory_order_relaxed)) return false;
    if (used.fetch_add(1, std::memory_order_relaxed) < max.load(std::memory_order_relaxed)) return true;
    used.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void release() noexcept { used.fetch_sub(1, std::memory_order_relaxed); }
};

class alignas(kCacheLine) Shard {
 public:
  static constexpr std::uint32_t kWays = 16;
  static constexpr std::uint32_t kLooks = 8;  // slots looked at to make room for one key

  // Zeroed memory that outlives the shard: buckets * 16 slots and tag bytes, cells of the sketch.
  void use(Slot* slots, std::uint64_t* tags, std::uint32_t buckets, std::span<std::uint32_t> sketch_cells,
           std::uint32_t sketch_width) noexcept;
  // Forgets blocks, the table must be empty or exported; `blocks` has one for every slot.
  void set_params(const Params& next, std::uint32_t* blocks);
  void set_flags(const Params& next);  // of one shape with the present ones: cells stay as they are

  Slot* find(base::Hash128 key) const noexcept {
    const Home home = home_of(key);
    __builtin_prefetch(&tags_[2 * home.second]);
    if (Slot* slot = find_in(home.first, key, home.tag)) return slot;
    return find_in(home.second, key, home.tag);
  }

  // An admission will need the place in the block where the ring stands. Asking for it before the lock is
  // taken hides most of the wait. What is read may be of any moment: a prefetch of a wrong address does
  // nothing.
  void prefetch_block(const Cell& cell) const noexcept {
    const std::uint32_t block = cell.block.load();
    const auto head = static_cast<std::uint32_t>(cell.meta.load() & 0xffff);
    if (block != kNoBlock) __builtin_prefetch(slab.at(block) + head, 1);
  }

  // The rest wants the lock held.

  // A slot for a key that has none; null if there is no room. Never takes the place of a slot in `pinned`.
  Slot* add(base::Hash128 key, std::int64_t now, Keys& keys, std::span<Slot* const> pinned) noexcept;
  void erase(Slot* slot, Keys& keys) noexcept;
  // Looks at `budget` slots from where it last stopped; returns how many keys it forgot.
  std::uint32_t evict_idle(std::int64_t now, std::uint32_t budget, Keys& keys,
                           std::span<Slot* const> pinned) noexcept;

  bool taken(std::uint32_t i) const noexcept { return tag(i) != 0; }
  Slot* slot(std::uint32_t i) const noexcept { return &slots_[i]; }
  std::uint32_t slot_count() const noexcept { return buckets_ * kWays; }

  // What the sketch answers for a key without a slot.
  Decision decide_in_sketch(base::Hash128 key, std::int64_t now, std::uint32_t cost, Want want,
                            Book book) noexcept;
  // Units that the sketch holds against `key` at `now`; brings the sketch to `now`. If there are any,
  // *present is the latest time they may have been booked at.
  std::uint32_t in_sketch(base::Hash128 key, std::int64_t now, std::int64_t* present) noexcept;

  SeqLock lock;
  FastParams fast{};

 private:
  struct Home {
    std::uint32_t first;
    std::uint32_t second;
    std::uint8_t tag;
  };

  // Multiply-shift in place of a division: buckets need not be a power of two.
  std::uint32_t bucket(std::uint32_t hash) const noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{hash} * buckets_ >> 32);
  }
  // All from the lower half, so that looking begins while the upper half is still being computed. The shard
  // has taken bits 0 to 9.
  Home home_of(base::Hash128 key) const noexcept {
    Home home{bucket(static_cast<std::uint32_t>(key.low >> 32)),
              bucket(static_cast<std::uint32_t>(key.low >> 8)), static_cast<std::uint8_t>(key.low >> 10)};
    if (home.tag == 0) home.tag = 1;
    if (home.second == home.first) home.second = home.first + 1 == buckets_ ? 0 : home.first + 1;
    return home;
  }
  Slot* find_in(std::uint32_t bucket, base::Hash128 key, std::uint8_t tag) const noexcept {
    const std::uint64_t low =
        std::atomic_ref<std::uint64_t>(tags_[2 * bucket]).load(std::memory_order_acquire);
    const std::uint64_t high =
        std::atomic_ref<std::uint64_t>(tags_[2 * bucket + 1]).load(std::memory_order_acquire);
    Slot* slots = &slots_[bucket * kWays];
#ifdef __SSE2__
    const __m128i tags = _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
    const __m128i same = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
    for (auto hits = static_cast<std::uint32_t>(_mm_movemask_epi8(same)); hits != 0; hits &= hits - 1) {
      Slot* slot = &slots[__builtin_ctz(hits)];
      if (slot->holds(key)) return slot;
    }
#else
    for (std::uint32_t half = 0; half < 2; ++half) {
      const std::uint64_t x = (half == 0 ? low : high) ^ 0x0101010101010101ULL * tag;
      // Bytes that are zero in x; a byte above one may be marked wrongly, which holds() finds out.
      for (std::uint64_t hits = (x - 0x0101010101010101ULL) & ~x & 0x8080808080808080ULL; hits != 0;
           hits &= hits - 1) {
        Slot* slot = &slots[half * 8 + static_cast<std::uint32_t>(__builtin_ctzll(hits)) / 8];
        if (slot->holds(key)) return slot;
      }
    }
#endif
    return nullptr;
  }
  std::uint8_t tag(std::uint32_t i) const noexcept;
  void set_tag(std::uint32_t i, std::uint8_t tag) noexcept;
  std::uint32_t free_in(std::uint32_t bucket) const noexcept;
  // Moves a key of a full bucket to its other bucket, if that has room; true = `bucket` has a free slot now.
  bool relieve(std::uint32_t bucket, std::span<Slot* const> pinned) noexcept;
  bool forget_if_idle(std::uint32_t i, std::int64_t now, Keys& keys, std::span<Slot* const> pinned) noexcept;

  Slot* slots_ = nullptr;
  std::uint64_t* tags_ = nullptr;  // 16 bytes a bucket
  std::uint32_t buckets_ = 0;
  std::uint32_t hand_ = 0;  // where evict_idle() goes on

 public:
  // Under the lock.
  Params params;
  Slab slab;
  Sketch sketch;
  std::int64_t horizon = INT64_MIN;  // (3)
  std::uint64_t allowed = 0;
  std::uint64_t evicted = 0;
  std::uint64_t overflowed = 0;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_SHARD_H_
