// KeyedRateLimiter: one limit for each of many keys (clients, users, tenants), in bounded memory.
//
//   KeyedRateLimiter limiter({.name = "per_client", .limit = 100, .window = 1min},
//                            {.max_keys = 100'000, .seed = seed});
//   if (Decision d = limiter.allow_at(now, client_ip); !d) return refuse(d.retry_after);
//
// A key is any bytes; the table keeps a 128-bit keyed fingerprint (SipHash-1-3) and never the key, so memory
// does not depend on what a stranger sends. `seed` must be secret and random (base::random_seed()).
//
// A new key costs 64 bytes; a key with more than eight bookings gets a block for the rest of the limit. The
// table never holds more than max_keys, and forgets only a key whose state equals that of one never seen.
// When it is full, further keys are counted together in a count-min sketch of fixed size: such a key may be
// refused early (Reason::table_full), but is never unlimited, and no key in the table is ever reset.
//
// Time rules as for RateLimiter, for each key by itself. Thread-safe; allow_at() is O(1): a refusal stores
// nothing that another thread reads, an admission takes the lock of one shard for some 20 ns. Nothing
// allocates after construction but the administrative calls; pages of memory become real when first touched.
#ifndef WEIR_RATELIMIT_KEYED_LIMITER_H_
#define WEIR_RATELIMIT_KEYED_LIMITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/base/result.h"
#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/policy.h"
#include "weir/ratelimit/reservation.h"

namespace weir::ratelimit {

class KeyedRateLimiter;

inline constexpr std::uint32_t kOverridesMax = 1024;  // keys with a limit of their own; each has its own ring
inline constexpr std::uint32_t kTopDeniedMax = 64;    // the list is searched one by one

namespace internal {
class AllOrNothing;
}

// One part of an allow_all(): `cost` units of `key` in `limiter`.
struct Charge {
  KeyedRateLimiter* limiter = nullptr;
  std::string_view key;
  std::uint32_t cost = 1;
};

inline constexpr std::size_t kChargesMax = 16;  // limits on one request; locks held at once

// Takes every charge or none, at one time point. Fills decisions[i] for charges[i] (spans of one length, at
// most kChargesMax): each says what its own limit thinks, and nothing was taken unless the return value is
// true. (With Want::verdict a call that one limit has refused does not ask the others; they are set to
// allowed.) A shadow limit never stops the others. Two charges for one key of one limiter add up. Locks are
// taken in the order of their addresses, so any number of threads may call it with any mixture.
bool allow_all(TimePoint now, std::span<const Charge> charges, std::span<Decision> decisions,
               Want want = Want::verdict) noexcept;

// Gives back what a successful allow_all() took.
void refund_all(TimePoint now, std::span<const Charge> charges, std::span<const Decision> decisions) noexcept;

class KeyedRateLimiter {
 public:
  struct Options {
    std::uint32_t max_keys = 65'536;  // at most this many keys are known at a time
    // Lowers max_keys until all of them fit, each with a full window; 0 = no bound.
    std::size_t max_bytes = 0;
    std::uint32_t shards = 0;      // locks; a power of two. 0 = one for 512 keys, 1 to 1,024
    std::uint32_t top_denied = 0;  // how many of the most refused keys to remember, at most kTopDeniedMax
    base::SipKey seed;             // of the fingerprints
  };

  struct Stats {
    std::uint64_t keys = 0;        // known at this moment
    std::uint64_t capacity = 0;    // max_keys, after max_bytes
    std::uint64_t bytes = 0;       // held now: slots, blocks, sketches
    std::uint64_t bytes_max = 0;   // held when every key has a full window
    std::uint64_t allowed = 0;     // calls, since construction
    std::uint64_t refused = 0;     // calls; includes shadow ones
    std::uint64_t evicted = 0;     // idle keys forgotten
    std::uint64_t overflowed = 0;  // calls decided by the sketch
  };

  struct DeniedKey {
    std::string key;          // its first 64 bytes, as they came: a stranger's
    std::uint64_t count = 0;  // refused calls, at most `error` too many
    std::uint64_t error = 0;
  };

  // `policy` must pass validate().
  KeyedRateLimiter(const Policy& policy, const Options& options);
  ~KeyedRateLimiter();
  KeyedRateLimiter(const KeyedRateLimiter&) = delete;
  KeyedRateLimiter& operator=(const KeyedRateLimiter&) = delete;

  // Takes `cost` units of `key` or refuses and takes nothing. Cost 0 takes nothing and says whether one is
  // free.
  Decision allow_at(TimePoint now, std::string_view key, std::uint32_t cost = 1,
                    Want want = Want::verdict) noexcept;

  // What allow_at(now, key, 1, Want::headers) would answer (remaining before, not after), without a write.
  Decision peek_at(TimePoint now, std::string_view key) const noexcept;

  // Takes `cost` without asking: a price known only afterwards. Above the limit it counts as the limit; a bucket
  // goes below empty by one full bucket at most.
  void charge_at(TimePoint now, std::string_view key, std::uint32_t cost) noexcept;

  // Gives `cost` units back that were booked at `charged_at` (Decision::charged_at). What has left the window
  // by itself is not given back twice; a key counted in the sketch gets nothing back. concurrency: the
  // release.
  void refund_at(TimePoint now, std::string_view key, std::uint32_t cost, TimePoint charged_at) noexcept;

  // As allow_at(), for work that may still be called off: see Reservation.
  Reservation reserve_at(TimePoint now, std::string_view key, std::uint32_t cost = 1,
                         Want want = Want::verdict) noexcept;

  // A limit of its own for one key, with the window and algorithm of the policy; what is booked stays booked.
  // Errors: invalid_argument for a limit that the algorithm cannot have, too_large beyond kOverridesMax.
  Result<void> set_override(TimePoint now, std::string_view key, std::uint32_t limit);
  // Back to the policy's limit; false if the key had no other.
  bool clear_override(TimePoint now, std::string_view key);

  // Takes effect with the next call on each key; what is booked stays booked, also when the window or the
  // algorithm changes. Costs a walk over all keys, one shard locked at a time. An error leaves the old policy
  // in force: invalid_argument, or too_large when the known keys would not fit max_bytes.
  Result<void> set_policy(TimePoint now, const Policy& policy);
  Policy policy() const;

  // As RateLimiter::sync_wall.
  void sync_wall(TimePoint now, WallTime wall) noexcept;

  // Forgets idle keys; looks at `budget` slots at most and goes on where it stopped. Returns how many it
  // forgot. Not needed for correctness (a full table makes room by itself); it only gives memory back sooner.
  std::size_t evict_idle(TimePoint now, std::size_t budget) noexcept;

  // The keys that were refused most, most first (Options::top_denied of them; empty if that is 0).
  // Space-saving (Metwally et al. 2005): a key refused more often than all / top_denied is in it. A refusal
  // that finds the list busy is not counted in it.
  std::vector<DeniedKey> top_denied() const;

  // All keys that hold something, for another process or a later one: fingerprints and bookings by wall time.
  // Only a limiter with the same seed can read it. Not in it: concurrency (what was out is over) and what the
  // sketch counted. Locks one shard at a time.
  std::string snapshot(TimePoint now, WallTime wall) const;
  // Books what a snapshot says, on top of what is there; what has left the window by the wall clock is left
  // out. Returns the number of keys. Errors: malformed (not a whole snapshot), invalid_argument (another
  // seed).
  Result<std::size_t> restore(TimePoint now, WallTime wall, std::string_view snapshot);

  // A sum over the shards, each read at its own moment.
  Stats stats() const noexcept;

 private:
  struct State;
  friend class internal::AllOrNothing;
  friend class Reservation;

  std::unique_ptr<State> state_;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_KEYED_LIMITER_H_
