#include "weir/async/scope.h"

#include <utility>

namespace weir::async {
namespace internal {

// The root of one child. Its promise is the list element, so the scope can find and destroy the frame wherever the
// child waits; when the child ends, the frame leaves the list and frees itself.
struct ChildRoot {
  struct promise_type : base::ListNode<> {
    Scope* scope = nullptr;

    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }

    ChildRoot get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct Leave {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) const noexcept {
          Scope& owner = *self.promise().scope;  // the frame is gone in a moment
          self.destroy();
          return owner.child_ended();
        }
        void await_resume() const noexcept {}
      };
      return Leave{};
    }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };

  std::coroutine_handle<promise_type> frame;
};

namespace {

ChildRoot run_child(Task<void> task) { co_await std::move(task); }

}  // namespace
}  // namespace internal

using Promise = internal::ChildRoot::promise_type;

Scope::~Scope() {
  cancel_.cancel();
  while (!children_.empty()) {
    auto& promise = static_cast<Promise&>(children_.pop_front());
    std::coroutine_handle<Promise>::from_promise(promise).destroy();
  }
}

void Scope::spawn(Task<void> task) {
  const internal::ChildRoot root = internal::run_child(std::move(task));
  root.frame.promise().scope = this;
  children_.push_back(root.frame.promise());
  ++running_;
  root.frame.resume();
}

std::coroutine_handle<> Scope::child_ended() noexcept {
  --running_;
  if (running_ == 0 && !joiner_.empty()) return joiner_.pop_front().waiting_;
  return std::noop_coroutine();
}

}  // namespace weir::async
