// Task<T>: a coroutine that somebody awaits.
//
// Lazy: nothing runs until it is awaited. Awaiting transfers control symmetrically (no stack growth, no scheduler),
// and the frame comes from the thread's frame pool. Destroying a Task destroys its frame and everything in it,
// wherever it is suspended: that is how work is abandoned. So every awaitable of weir must be safe to destroy while
// something waits in it (timers and sockets unlink themselves).
//
//   Task<Result<Reply>> call(Client& client, Call call);
//   Result<Reply> reply = co_await call(client, std::move(prepared));
//
// Move-only, awaited once, on one thread. Failures travel as Result values; an exception that reaches a frame's end
// is a bug and stops the program.
//
// g++ 12 destroys some temporaries twice in an expression that holds co_await (brace-built aggregates, lambdas that
// capture by value), and never starts what some conditions await (`if (co_await f())`): name things first.
// tools/lint_coroutines.cc looks for these shapes.
#ifndef WEIR_ASYNC_TASK_H_
#define WEIR_ASYNC_TASK_H_

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "weir/async/frame_pool.h"
#include "weir/base/check.h"

namespace weir::async {

template <class T>
class Task;

namespace internal {

struct TaskPromiseBase {
  std::coroutine_handle<> awaiting = std::noop_coroutine();

  static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      return self.promise().awaiting;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;

  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    WEIR_CHECK(value.has_value());
    return std::move(*value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace internal

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() noexcept = default;
  explicit Task(Handle frame) noexcept : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~Task() { reset(); }

  bool valid() const noexcept { return frame_ != nullptr; }
  bool done() const noexcept { return frame_ != nullptr && frame_.done(); }
  // Destroys the frame: abandons the work.
  void reset() noexcept {
    if (frame_ != nullptr) std::exchange(frame_, nullptr).destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle frame;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        frame.promise().awaiting = awaiting;
        return frame;
      }
      T await_resume() const { return frame.promise().take(); }
    };
    WEIR_DCHECK(frame_ != nullptr);
    return Awaiter{frame_};
  }

  // For those who run a task to its end by themselves (when_all, Scope, tests).
  Handle handle() const noexcept { return frame_; }

 private:
  Handle frame_ = nullptr;
};

namespace internal {

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>{std::coroutine_handle<TaskPromise>::from_promise(*this)};
}
inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>{std::coroutine_handle<TaskPromise>::from_promise(*this)};
}

}  // namespace internal
}  // namespace weir::async

#endif  // WEIR_ASYNC_TASK_H_
