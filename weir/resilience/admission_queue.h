// A bounded place to wait for a permit, for callers that would rather wait a few milliseconds than be
// refused.
//
// Off unless somebody wants it: a queue turns overload into latency first and refusals later. This one gives
// up early. Nobody waits who cannot be served before its deadline, nor longer than a limit that shrinks to
// `target` while the queue stands; then the newest goes first, because it is the one whose caller is still
// there (controlled delay and adaptive LIFO: Maurer, "Fail at Scale", ACM Queue 2015).
//
//   (1) At most `capacity` wait. Higher tiers go first; within a tier the oldest, or the newest while
//       overloaded.
//   (2) Overloaded: the queue has not been empty for `interval`. Then the longest wait is `target`, else
//       `max_wait`.
//   (3) next() never returns a waiter whose deadline could not be met after `service_time`, nor one that has
//       waited too long: those come out of next_dropped(), to be refused.
//   (4) A waiter that is destroyed (its client has gone) leaves the queue by itself.
//
// A pure state machine: it holds no permit, wakes nobody, reads no clock. Not thread-safe; each worker owns
// one:
//
//   auto permit = queue.empty() ? shedder.try_acquire(tier) : std::nullopt;      // no overtaking
//   if (!permit && queue.push(waiter, now, service_time) != Refusal::none) return refuse(503);
//   ... whenever a permit may have come free, and at queue.next_timeout():
//   while (Waiter* late = queue.next_dropped(now, service_time)) refuse(*late);
//   while (!queue.empty() && (permit = shedder.try_acquire(tier))) {
//     if (Waiter* waiter = queue.next(now, service_time)) resume(*waiter, std::move(*permit));
//   }
//
// push, next and leaving are O(1); next_dropped and next_timeout look at each waiter: O(capacity).
#ifndef WEIR_RESILIENCE_ADMISSION_QUEUE_H_
#define WEIR_RESILIENCE_ADMISSION_QUEUE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "weir/base/clock.h"
#include "weir/base/deadline.h"
#include "weir/base/intrusive_list.h"
#include "weir/base/result.h"
#include "weir/resilience/load_shedder.h"

namespace weir::resilience {

class AdmissionQueue {
 public:
  struct Options {
    std::uint32_t capacity = 0;                          // 0: nobody waits
    Duration max_wait = std::chrono::milliseconds{100};  // while the queue empties now and then
    Duration target = std::chrono::milliseconds{5};      // while it does not
    Duration interval = std::chrono::milliseconds{100};  // how long it must stand to count as overloaded
  };

  // Error invalid_argument: a wait of zero, target above max_wait.
  static Result<void> validate(const Options& options);

  enum class Refusal : std::uint8_t {
    none,      // it waits
    full,      // capacity waiters are there
    hopeless,  // its deadline could not be met even if it were next
  };

  // Derive from it, or hold one. In one queue at a time; stays where it is while it waits.
  class Waiter : public base::ListNode<AdmissionQueue> {
   public:
    explicit Waiter(Deadline deadline = Deadline::never(), Priority priority = Priority::normal) noexcept
        : deadline_(deadline), priority_(priority) {}
    ~Waiter() { leave(); }

    // Gives up waiting; nothing if it does not wait.
    void leave() noexcept;
    bool waiting() const noexcept { return queue_ != nullptr; }
    Deadline deadline() const noexcept { return deadline_; }
    Priority priority() const noexcept { return priority_; }
    TimePoint since() const noexcept { return since_; }

   private:
    friend class AdmissionQueue;
    AdmissionQueue* queue_ = nullptr;
    Deadline deadline_;
    TimePoint since_{};
    Priority priority_;
  };

  // Options that validate() refuses stop the program.
  explicit AdmissionQueue(const Options& options) noexcept;
  AdmissionQueue(const AdmissionQueue&) = delete;
  AdmissionQueue& operator=(const AdmissionQueue&) = delete;
  ~AdmissionQueue();

  // `service_time` is what a call usually takes (a median); zero when unknown.
  [[nodiscard]] Refusal push(Waiter& waiter, TimePoint now, Duration service_time) noexcept;
  // Takes out who goes next, or nothing when none of those who wait may still go.
  [[nodiscard]] Waiter* next(TimePoint now, Duration service_time) noexcept;
  // Takes out one who has waited too long or can no longer be served in time; nothing when there is none.
  [[nodiscard]] Waiter* next_dropped(TimePoint now, Duration service_time) noexcept;

  // The earliest moment at which next_dropped() may have somebody; TimePoint::max() when nobody waits.
  TimePoint next_timeout(Duration service_time) noexcept;

  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  bool overloaded(TimePoint now) const noexcept {
    return size_ != 0 && now - standing_since_ >= options_.interval;
  }

 private:
  using List = base::IntrusiveList<Waiter, AdmissionQueue>;
  static constexpr std::size_t kTiers = 3;

  Duration wait_limit(TimePoint now) const noexcept {
    return overloaded(now) ? options_.target : options_.max_wait;
  }
  bool may_go(const Waiter& waiter, TimePoint now, Duration service_time) const noexcept;
  void take_out(Waiter& waiter) noexcept;

  Options options_;
  std::array<List, kTiers> tiers_;  // by Priority; oldest at the front
  std::size_t size_ = 0;
  TimePoint standing_since_{};  // since when it has not been empty
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_ADMISSION_QUEUE_H_
