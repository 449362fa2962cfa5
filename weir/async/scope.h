// Scope: owns coroutines that run on their own, and joins them.
//
// Nothing in weir is fire-and-forget: whoever starts a child keeps it in a Scope, and the Scope outlives it. spawn()
// runs the child until it first waits. join() waits until all have ended. cancel() asks them to end. Destroying a
// Scope that still has children abandons them: their frames are destroyed where they wait.
//
//   Scope scope;
//   scope.spawn(serve(connection, scope.cancel_source()));
//   scope.cancel();
//   co_await scope.join();
//
// One thread. A finished child's frame is freed at once, not at join. O(1) to spawn and to end.
#ifndef WEIR_ASYNC_SCOPE_H_
#define WEIR_ASYNC_SCOPE_H_

#include <coroutine>
#include <cstddef>

#include "weir/async/cancel.h"
#include "weir/async/task.h"
#include "weir/base/intrusive_list.h"

namespace weir::async {

namespace internal {
struct ChildRoot;
}

class Scope {
 public:
  // Cancelled when `parent` is; `parent` may be null.
  explicit Scope(CancelSource* parent = nullptr) noexcept : cancel_(parent) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  void spawn(Task<void> task);
  std::size_t running() const noexcept { return running_; }
  CancelSource& cancel_source() noexcept { return cancel_; }
  void cancel() noexcept { cancel_.cancel(); }

  class Join;
  // Resumes when no child is left (at once if there is none). One waiter at a time. Whoever waits may be destroyed
  // there, and so may the scope.
  Join join() noexcept;

 private:
  friend struct internal::ChildRoot;

  std::coroutine_handle<> child_ended() noexcept;

  CancelSource cancel_;
  base::IntrusiveList<base::ListNode<>> children_;
  std::size_t running_ = 0;
  base::IntrusiveList<Join> joiner_;  // none or one
};

class [[nodiscard]] Scope::Join final : public base::ListNode<> {
 public:
  explicit Join(Scope& scope) noexcept : scope_(scope) {}

  bool await_ready() const noexcept { return scope_.running_ == 0; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    WEIR_CHECK(scope_.joiner_.empty());
    waiting_ = waiting;
    scope_.joiner_.push_back(*this);
  }
  void await_resume() const noexcept {}

 private:
  friend class Scope;

  Scope& scope_;
  std::coroutine_handle<> waiting_;
};

inline Scope::Join Scope::join() noexcept { return Join(*this); }

}  // namespace weir::async

#endif  // WEIR_ASYNC_SCOPE_H_
