// Cancellation: one CancelSource says "no longer wanted"; everything that waits under it wakes.
//
// Whoever waits registers a CancelHook; cancel() calls each once, in the order of registration. A hook unlinks itself
// when destroyed. Cancelling wakes, it does not destroy: the waiter returns ErrorCode::cancelled, and its callers
// unwind in good order, giving back what they hold.
//
// Single-threaded: a source and its hooks belong to one worker. A source is in the parent's chain: cancelling a
// parent cancels its children.
#ifndef WEIR_ASYNC_CANCEL_H_
#define WEIR_ASYNC_CANCEL_H_

#include "weir/base/intrusive_list.h"

namespace weir::async {

class CancelHook : public base::ListNode<CancelHook> {
 public:
  virtual void on_cancel() noexcept = 0;

 protected:
  ~CancelHook() = default;
};

class CancelSource final : private CancelHook {
 public:
  CancelSource() noexcept = default;
  // A child: cancelled when `parent` is. `parent` may be null.
  explicit CancelSource(CancelSource* parent) noexcept;

  bool cancelled() const noexcept { return cancelled_; }
  // Idempotent. Hooks may destroy themselves or other hooks of this source while they run.
  void cancel() noexcept;
  // Calls `hook` when cancelled; at once, before add() returns, if that has happened already.
  void add(CancelHook& hook) noexcept;

 private:
  void on_cancel() noexcept override { cancel(); }

  bool cancelled_ = false;
  base::IntrusiveList<CancelHook, CancelHook> hooks_;
};

}  // namespace weir::async

#endif  // WEIR_ASYNC_CANCEL_H_
