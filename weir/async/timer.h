// Timers and the list of coroutines that are ready to go on: what async code needs of an event loop.
//
// A Timer is a node that its owner keeps (in a connection, in a frame); arming it allocates nothing. Loop is the
// interface that io/ implements with a timer wheel and a real or simulated clock; ManualLoop below is the smallest
// one, for tests: time moves by hand.
//
//   async::ManualLoop loop;
//   Task<void> nap = async::sleep_until(loop, loop.now() + 10ms, nullptr);
#ifndef WEIR_ASYNC_TIMER_H_
#define WEIR_ASYNC_TIMER_H_

#include <coroutine>
#include <cstdint>

#include "weir/async/cancel.h"
#include "weir/async/task.h"
#include "weir/base/clock.h"
#include "weir/base/intrusive_list.h"

namespace weir::async {

class Loop;

namespace internal {

// The moment a timer is armed for; only a loop sets it. Apart from Timer, because a class with virtual functions that
// names a friend must have a virtual destructor (-Wnon-virtual-dtor).
class Due {
 public:
  TimePoint due() const noexcept { return due_; }

 private:
  friend class async::Loop;
  TimePoint due_{};
};

}  // namespace internal

// Calls on_timer() once, at or after the moment it was armed for. Disarmed by its destructor.
class Timer : public base::ListNode<Timer>, public internal::Due {
 public:
  virtual void on_timer() noexcept = 0;

  bool armed() const noexcept { return linked(); }
  void disarm() noexcept { unlink(); }

 protected:
  ~Timer() = default;
};

// A suspended coroutine, or any other piece of work, that can be put on a loop's ready list. Destroying it takes it off.
class Ready : public base::ListNode<Ready> {
 public:
  virtual void on_ready() noexcept = 0;

 protected:
  ~Ready() = default;
};

// What async code may ask of the event loop it runs on. One thread.
class Loop {
 public:
  virtual ~Loop() = default;

  // The time of this turn of the loop: it does not move while one event is handled.
  virtual TimePoint now() const noexcept = 0;

  // Arms `timer` for `due` (again, if it was armed). The loop's resolution applies, never early.
  void arm(Timer& timer, TimePoint due) noexcept {
    timer.unlink();
    static_cast<internal::Due&>(timer).due_ = due;
    schedule(timer);
  }
  // Runs `work` after the event that is being handled, in the order of the calls. No effect if it is waiting already.
  void make_ready(Ready& work) noexcept {
    if (!work.linked()) ready_.push_back(work);
  }

 protected:
  virtual void schedule(Timer& timer) noexcept = 0;
  // Runs what is on the ready list now; what is added meanwhile waits for the next call, so that whoever makes himself
  // ready again and again lets events in between. False if there was nothing.
  bool run_ready() noexcept;
  bool has_ready() const noexcept { return !ready_.empty(); }

 private:
  base::IntrusiveList<Ready, Ready> ready_;
};

// Sorted list, time by hand. For tests of async code; O(n) to arm.
class ManualLoop final : public Loop {
 public:
  TimePoint now() const noexcept override { return now_; }
  // Moves time, firing each timer at its own moment, and runs what becomes ready.
  void advance(Duration by);
  void run() {
    while (run_ready()) {
    }
  }

 private:
  void schedule(Timer& timer) noexcept override;

  TimePoint now_{std::chrono::hours{1}};
  base::IntrusiveList<Timer, Timer> timers_;
};

// Waits until `due`; false if `cancel` (may be null) was cancelled first.
Task<bool> sleep_until(Loop& loop, TimePoint due, CancelSource* cancel);

}  // namespace weir::async

#endif  // WEIR_ASYNC_TIMER_H_
