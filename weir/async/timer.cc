#include "weir/async/timer.h"

namespace weir::async {

bool Loop::run_ready() noexcept {
  base::IntrusiveList<Ready, Ready> batch;
  batch.splice_back(ready_);
  const bool any = !batch.empty();
  while (!batch.empty()) batch.pop_front().on_ready();
  return any;
}

void ManualLoop::schedule(Timer& timer) noexcept {
  // Insertion sort by rebuilding: the list is short in tests.
  base::IntrusiveList<Timer, Timer> later;
  base::IntrusiveList<Timer, Timer> earlier;
  while (!timers_.empty()) {
    Timer& other = timers_.pop_front();
    (other.due() <= timer.due() ? earlier : later).push_back(other);
  }
  timers_.splice_back(earlier);
  timers_.push_back(timer);
  timers_.splice_back(later);
}

void ManualLoop::advance(Duration by) {
  const TimePoint until = now_ + by;
  run();
  while (!timers_.empty() && timers_.front().due() <= until) {
    if (timers_.front().due() > now_) now_ = timers_.front().due();
    timers_.pop_front().on_timer();
    run();
  }
  now_ = until;
}

namespace {

class Sleep final : private Timer, private CancelHook, private Ready {
 public:
  Sleep(Loop& loop, TimePoint due, CancelSource* cancel) noexcept : loop_(loop), due_(due), cancel_(cancel) {}

  bool await_ready() const noexcept {
    return (cancel_ != nullptr && cancel_->cancelled()) || due_ <= loop_.now();
  }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    loop_.arm(*this, due_);
    if (cancel_ != nullptr) cancel_->add(*this);
  }
  bool await_resume() const noexcept { return !(cancel_ != nullptr && cancel_->cancelled()); }

 private:
  void on_timer() noexcept override { loop_.make_ready(*this); }
  void on_cancel() noexcept override {
    disarm();
    loop_.make_ready(*this);
  }
  void on_ready() noexcept override { waiting_.resume(); }

  Loop& loop_;
  TimePoint due_;
  CancelSource* cancel_;
  std::coroutine_handle<> waiting_;
};

}  // namespace

Task<bool> sleep_until(Loop& loop, TimePoint due, CancelSource* cancel) {
  Sleep sleep(loop, due, cancel);
  co_return co_await sleep;
}

}  // namespace weir::async
