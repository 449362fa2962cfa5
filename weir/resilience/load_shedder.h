// A cap on work in flight, for one process.
//
// Protects this server (and what stands behind it) from more concurrency than it can bear. It never queues:
// who finds no room is refused at once, because a short refusal beats a long wait. To cap requests *per
// second* use ratelimit; to wait a bounded time for a place, put an AdmissionQueue (admission_queue.h) in
// front.
//
//   LoadShedder shedder(50);
//   auto permit = shedder.try_acquire();
//   if (!permit) return refuse(request, 503);
//   return serve(request);                    // the place is given back when `permit` goes out of scope
//
// Some work matters more: with Shares, places are kept for the higher tiers. A tier is refused at its own
// ceiling, the critical one only at the limit, so under overload the lowest is shed first.
//
//   LoadShedder shedder(50, {.critical = 0.2, .normal = 0.3});
//   shedder.try_acquire(Priority::low);   // refused from 25 in flight on; normal from 40, critical from 50
//
//   (1) At no moment are more permits out than the limit that held when the newest of them was taken: never
//       51 of 50. Limit and count share one 64-bit word, so no thread can see one without the other.
//   (2) A refusal writes nothing: one relaxed load, and the shared cache line stays shared.
//   (3) Every permit comes back exactly once: by the destructor, by release(), or never if the process ends.
//
// Thread-safe, lock-free, no allocation. One compare-exchange to enter, one subtraction to leave. Proved in
// load_shedder_test.cc (against a counting twin) and threads_test.cc (16 threads, under TSan).
#ifndef WEIR_RESILIENCE_LOAD_SHEDDER_H_
#define WEIR_RESILIENCE_LOAD_SHEDDER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "weir/base/check.h"
#include "weir/resilience/internal/sync.h"

namespace weir::resilience {

// Who is shed last. What decides it (a route, a claim, a header of a trusted peer) is the caller's business.
enum class Priority : std::uint8_t { low, normal, critical };

class LoadShedder {
 public:
  class Permit;

  // Shares of the limit, 0 to 1 together, rounded up to whole places; while the limit is above zero every
  // tier can use at least one place. Zeros: all tiers are alike.
  struct Shares {
    double critical = 0;  // only for critical
    double normal = 0;    // only for critical and normal
  };

  // `max_in_flight` 0 refuses everybody. The shedder must outlive its permits and stays where it is.
  explicit LoadShedder(std::uint32_t max_in_flight) noexcept : word_(std::uint64_t{max_in_flight} << 32) {}
  // Shares outside their range stop the program.
  LoadShedder(std::uint32_t max_in_flight, Shares shares) noexcept : LoadShedder(max_in_flight) {
    set_shares(shares);
  }
  LoadShedder(const LoadShedder&) = delete;
  LoadShedder& operator=(const LoadShedder&) = delete;

  // A permit, or nothing when as many permits are out as this tier may fill up to.
  [[nodiscard]] std::optional<Permit> try_acquire(Priority priority = Priority::normal) noexcept;

  // Permits out at this moment. Another thread may change it before you look.
  std::uint32_t in_flight() const noexcept { return count_of(word_.load(std::memory_order_relaxed)); }
  std::uint32_t limit() const noexcept { return limit_of(word_.load(std::memory_order_relaxed)); }

  // How many may be in flight for this tier to be let in.
  std::uint32_t ceiling(Priority priority) const noexcept { return ceiling_of(limit(), kept_from(priority)); }

  // A lower limit takes no permit back: nobody enters until enough have left.
  void set_limit(std::uint32_t max_in_flight) noexcept;
  void set_shares(Shares shares) noexcept;

 private:
  static constexpr std::uint32_t limit_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
  }
  static constexpr std::uint32_t count_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }
  // `kept` is in 1/10000 of the limit. From the limit of the same word, so that a ceiling never belongs to
  // another.
  static constexpr std::uint32_t ceiling_of(std::uint32_t limit, std::uint32_t kept) noexcept {
    if (kept == 0 || limit == 0) return limit;
    const auto places = static_cast<std::uint32_t>((std::uint64_t{limit} * kept + 9'999) / 10'000);
    return places < limit ? limit - places : 1;
  }
  std::uint32_t kept_from(Priority priority) const noexcept {
    const std::uint32_t kept = kept_.load(std::memory_order_relaxed);
    switch (priority) {
      case Priority::critical:
        return 0;
      case Priority::normal:
        return kept & 0xffff;
      case Priority::low:
        break;
    }
    return kept >> 16;
  }
  bool enter(Priority priority) noexcept;
  void leave() noexcept;

  // Own cache line: what stands beside a shedder must not be slowed by its traffic.
  alignas(64) internal::Atomic<std::uint64_t> word_;  // limit << 32 | in flight
  internal::Atomic<std::uint32_t> kept_{0};           // kept from low << 16 | kept from normal, in 1/10000
};

// One place, for as long as it lives. Move-only, 8 bytes; an empty one (moved from, released) holds nothing.
class [[nodiscard]] LoadShedder::Permit {
 public:
  Permit() noexcept = default;
  Permit(Permit&& other) noexcept : shedder_(std::exchange(other.shedder_, nullptr)) {}
  Permit& operator=(Permit&& other) noexcept {
    if (this != &other) {
      release();
      shedder_ = std::exchange(other.shedder_, nullptr);
    }
    return *this;
  }
  ~Permit() { release(); }

  // Gives the place back before the end of scope; further calls do nothing.
  void release() noexcept {
    if (shedder_ != nullptr) std::exchange(shedder_, nullptr)->leave();
  }
  explicit operator bool() const noexcept { return shedder_ != nullptr; }

 private:
  friend class LoadShedder;
  explicit Permit(LoadShedder* shedder) noexcept : shedder_(shedder) {}
  LoadShedder* shedder_ = nullptr;
};

inline std::optional<LoadShedder::Permit> LoadShedder::try_acquire(Priority priority) noexcept {
  if (!enter(priority)) return std::nullopt;
  return Permit(this);
}

inline bool LoadShedder::enter(Priority priority) noexcept {
  const std::uint32_t kept = kept_from(priority);
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  while (count_of(word) < ceiling_of(limit_of(word), kept)) {
    // Acquire pairs with leave(): what the leaving holder wrote is visible to who takes its place.
    if (word_.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

inline void LoadShedder::leave() noexcept {
  const std::uint64_t before = word_.fetch_sub(1, std::memory_order_release);
  WEIR_DCHECK(count_of(before) > 0);
  static_cast<void>(before);
}

inline void LoadShedder::set_limit(std::uint32_t max_in_flight) noexcept {
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(word, (std::uint64_t{max_in_flight} << 32) | count_of(word),
                                      std::memory_order_relaxed)) {
  }
}

inline void LoadShedder::set_shares(Shares shares) noexcept {
  WEIR_CHECK(shares.critical >= 0 && shares.normal >= 0 && shares.critical + shares.normal <= 1);
  const auto critical = static_cast<std::uint32_t>(shares.critical * 10'000 + 0.5);
  const auto normal = static_cast<std::uint32_t>(shares.normal * 10'000 + 0.5);
  kept_.store((critical + normal) << 16 | critical, std::memory_order_relaxed);
}

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_LOAD_SHEDDER_H_
