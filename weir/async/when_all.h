// when_all: runs tasks side by side on one thread and resumes when the last has ended.
//
//   std::vector<Task<Result<Section>>> calls = ...;
//   std::vector<Result<Section>> sections = co_await when_all(std::move(calls));
//
// Each task runs until it first waits before the next one starts. Results keep the order of the tasks. An error is a
// value: one task's failure neither cancels nor hides the others. Abandoning the awaiting coroutine destroys all.
// One allocation for the vector and one small frame a task.
#ifndef WEIR_ASYNC_WHEN_ALL_H_
#define WEIR_ASYNC_WHEN_ALL_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "weir/async/scope.h"
#include "weir/async/task.h"

namespace weir::async {

namespace internal {

template <class T>
Task<void> keep_result(Task<T> task, std::optional<T>& into) {
  into.emplace(co_await std::move(task));
}

}  // namespace internal

template <class T>
Task<std::vector<T>> when_all(std::vector<Task<T>> tasks) {
  std::vector<std::optional<T>> results(tasks.size());
  {
    Scope scope;
    for (std::size_t i = 0; i < tasks.size(); ++i)
      scope.spawn(internal::keep_result(std::move(tasks[i]), results[i]));
    co_await scope.join();
  }
  std::vector<T> values;
  values.reserve(results.size());
  for (auto& result : results) values.push_back(std::move(*result));
  co_return values;
}

inline Task<void> when_all(std::vector<Task<void>> tasks) {
  Scope scope;
  for (auto& task : tasks) scope.spawn(std::move(task));
  co_await scope.join();
}

}  // namespace weir::async

#endif  // WEIR_ASYNC_WHEN_ALL_H_
