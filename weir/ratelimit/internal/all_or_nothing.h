// AllOrNothing: one allow_all() from locks to bookings.
//
//   (1) All shards concerned are locked, in the order of their addresses, before anything is asked. So nobody
//       sees a part of it, and calls with any mixture of limiters cannot wait for each other in a circle.
//   (2) First every key gets its slot, then every limit is asked, then everything is booked. Slots that were
//       made for a call that is refused are given up again: a refusal leaves no trace.
#ifndef WEIR_RATELIMIT_INTERNAL_ALL_OR_NOTHING_H_
#define WEIR_RATELIMIT_INTERNAL_ALL_OR_NOTHING_H_

#include <array>
#include <cstdint>
#include <span>

#include "weir/base/hash.h"
#include "weir/ratelimit/internal/keyed_state.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::ratelimit::internal {

class AllOrNothing {
 public:
  AllOrNothing(TimePoint now, std::span<const Charge> charges, std::span<Decision> decisions,
               Want want) noexcept
      : now_(now), charges_(charges), decisions_(decisions), want_(want) {}

  bool run() noexcept;

 private:
  // Left unset until its charge is looked at: most calls have two or three of sixteen.
  struct Part {
    std::uint64_t low;  // the key's fingerprint
    std::uint64_t high;
    Shard* shard;
    const Params* params;  // this and the next three: its Place
    Cell* cell;
    Slab* slab;
    Slot* slot;
    bool added;

    base::Hash128 key() const noexcept { return {low, high}; }
    Place place() const noexcept { return {params, cell, slab, slot}; }
    void put(const Place& p) noexcept { params = p.params, cell = p.cell, slab = p.slab, slot = p.slot; }
  };

  bool refused_unlocked() noexcept;
  void lock() noexcept;
  void place() noexcept;
  bool ask() noexcept;
  void book() noexcept;
  void withdraw() noexcept;
  void unlock() noexcept;
  // Units of earlier charges for the key of charge i.
  std::uint32_t earlier(std::size_t i) const noexcept;

  TimePoint now_;
  std::span<const Charge> charges_;
  std::span<Decision> decisions_;
  Want want_;
  std::array<Part, kChargesMax> parts_;
  std::array<Shard*, kChargesMax> locks_;
  std::size_t lock_count_ = 0;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_ALL_OR_NOTHING_H_
