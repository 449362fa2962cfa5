#include "weir/io/waiter.h"

#include <utility>

namespace weir::io {

// True: do not suspend.
bool Waiter::begin(Deadline deadline) noexcept {
  timed_out_ = false;
  if (pending_ || (cancel_ != nullptr && cancel_->cancelled())) return true;
  deadline_ = deadline.when();
  if (deadline.expired(loop_.now())) {
    timed_out_ = true;
    return true;
  }
  // Lazy: a timer that is due earlier re-arms itself when it fires (on_timer).
  if (!deadline.is_never() && (!armed() || due() > deadline_)) loop_.arm(*this, deadline_);
  return false;
}

Wake Waiter::end() noexcept {
  if (cancel_ != nullptr && cancel_->cancelled()) return Wake::cancelled;
  if (std::exchange(pending_, false)) return Wake::event;
  return timed_out_ ? Wake::timeout : Wake::event;
}

void Waiter::fire() noexcept {
  pending_ = true;
  if (waiting_ != nullptr) loop_.make_ready(*this);
}

void Waiter::on_timer() noexcept {
  if (waiting_ == nullptr || deadline_ == TimePoint::max()) return;  // nobody waits: the next wait arms anew
  if (loop_.now() < deadline_) {
    loop_.arm(*this, deadline_);
    return;
  }
  timed_out_ = true;
  loop_.make_ready(*this);
}

void Waiter::on_ready() noexcept {
  if (waiting_ != nullptr) std::exchange(waiting_, nullptr).resume();
}

}  // namespace weir::io
