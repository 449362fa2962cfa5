// Waiter: lets one coroutine wait for whatever comes first of several streams, a deadline and a cancellation.
//
// It watches any number of streams for as long as a piece of work lasts; waiting registers nothing. A coroutine
// tries everything it could do, and when nothing moved:
//
//   Waiter waiter(reactor, cancel);
//   client.watch(&waiter);
//   upstream.watch(&waiter);
//   for (;;) {
//     if (pump(client, upstream)) continue;
//     switch (co_await waiter.wait(deadline)) { case Wake::event: continue; case Wake::timeout: ...; case Wake::cancelled: ... }
//   }
//
// An event between two waits is not lost: the next wait returns at once. Wake-ups may be spurious; try again.
// The timer is lazy: a later deadline than the armed one costs nothing, so a busy connection does not touch the wheel
// for each request. Destroying a Waiter while a coroutine waits in it is safe. The streams must not outlive it while
// they watch it: unwatch (watch(nullptr)) or destroy them first.
#ifndef WEIR_IO_WAITER_H_
#define WEIR_IO_WAITER_H_

#include <coroutine>
#include <cstdint>

#include "weir/async/cancel.h"
#include "weir/async/timer.h"
#include "weir/base/deadline.h"
#include "weir/io/stream.h"

namespace weir::io {

enum class Wake : std::uint8_t { event, timeout, cancelled };

class Waiter final : public EventSink, private async::Timer, private async::CancelHook, private async::Ready {
 public:
  explicit Waiter(async::Loop& loop, async::CancelSource* cancel = nullptr) noexcept
      : loop_(loop), cancel_(cancel) {
    if (cancel_ != nullptr && !cancel_->cancelled()) cancel_->add(*this);
  }

  auto wait(Deadline deadline) noexcept {
    struct Awaiter {
      Waiter& waiter;
      Deadline deadline;
      bool await_ready() const noexcept { return waiter.begin(deadline); }
      void await_suspend(std::coroutine_handle<> waiting) const noexcept { waiter.waiting_ = waiting; }
      Wake await_resume() const noexcept { return waiter.end(); }
    };
    return Awaiter{*this, deadline};
  }
  // Lets everybody else on the loop have a turn, then goes on: for those who could go on and on.
  auto yield() noexcept {
    struct Awaiter {
      Waiter& waiter;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> waiting) const noexcept {
        waiter.waiting_ = waiting;
        waiter.fire();
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
  // Ends the current wait, or the next one, with Wake::event.
  void notify() noexcept { fire(); }

 private:
  bool begin(Deadline deadline) noexcept;
  Wake end() noexcept;
  void fire() noexcept;
  void on_event(Stream&, unsigned) noexcept override { fire(); }
  void on_timer() noexcept override;
  void on_cancel() noexcept override { fire(); }
  void on_ready() noexcept override;

  async::Loop& loop_;
  async::CancelSource* cancel_;
  std::coroutine_handle<> waiting_ = nullptr;
  TimePoint deadline_ = TimePoint::max();
  bool pending_ = false;  // an event has come since the last wait
  bool timed_out_ = false;
};

}  // namespace weir::io

#endif  // WEIR_IO_WAITER_H_
