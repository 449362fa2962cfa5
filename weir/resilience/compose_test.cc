#include "weir/resilience/compose.h"

#include <gtest/gtest.h>

#include <coroutine>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;

// What a rate limiter looks like to this part.
struct FakeLimiter {
  struct Decision {
    bool allowed = false;
    Duration retry_after{0};
  };
  Decision allow_at(TimePoint) {
    if (left == 0) return {false, 7s};
    --left;
    return {true, 0s};
  }
  int left = 100;
};

// A gate that writes down when it is asked and when it is settled.
struct Recorder {
  struct Token {
    Recorder* gate;
    void settle(Outcome outcome, TimePoint) {
      gate->log->push_back(gate->name + " " + std::string(to_string(outcome)));
    }
  };
  std::optional<Token> enter(TimePoint) {
    log->push_back(name + (open ? " enters" : " refuses"));
    if (!open) return std::nullopt;
    return Token{this};
  }
  std::string name;
  std::vector<std::string>* log;
  bool open = true;
};

using Log = std::vector<std::string>;

// Gates are asked from left to right and settled from right to left, around the call.
TEST(Compose, OrderIsTheOneThatIsRead) {
  Log log;
  Recorder a{"a", &log};
  Recorder b{"b", &log};
  Recorder c{"c", &log};
  auto reply = compose(a, b, c)([&] {
    log.push_back("call");
    return Outcome::failure;
  });
  EXPECT_TRUE(reply);
  EXPECT_EQ(log, (Log{"a enters", "b enters", "c enters", "call", "c failure", "b failure", "a failure"}));
}

// The first gate that refuses ends it: those after it are not asked, the call is not made, nothing is
// settled.
TEST(Compose, RefusalStopsTheChain) {
  Log log;
  Recorder a{"a", &log};
  Recorder b{"b", &log, false};
  Recorder c{"c", &log};
  auto reply = compose(a, b, c)([&] { return log.push_back("call"), 1; });
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.refusal().gate, 1U);
  EXPECT_EQ(log, (Log{"a enters", "b refuses"}));
}

// The chain of the design: a limited request takes no permit, a shed one no ticket, and each says how long to
// wait.
TEST(Compose, LimiterShedderBreaker) {
  ManualClock clock;
  FakeLimiter limiter;
  LoadShedder shedder(1);
  CircuitBreaker breaker({.failures_to_open = 2, .open_for = 30s});
  auto chain = compose(limiter, shedder, breaker).on(clock);

  EXPECT_TRUE(chain([&] {
    EXPECT_EQ(shedder.in_flight(), 1U);
    auto inner = chain([] { return 0; });
    EXPECT_FALSE(inner);
    EXPECT_EQ(inner.refusal().gate, 1U);
    return Outcome::success;
  }));
  EXPECT_EQ(shedder.in_flight(), 0U);
  EXPECT_EQ(limiter.left, 98);

  for (int i = 0; i < 2; ++i) EXPECT_TRUE(chain([] { return Outcome::failure; }));
  clock.advance(10s);
  auto open = chain([] { return Outcome::success; });
  ASSERT_FALSE(open);
  EXPECT_EQ(open.refusal().gate, 2U);
  EXPECT_EQ(open.refusal().retry_after, 20s);
  EXPECT_EQ(shedder.in_flight(), 0U) << "the permit taken before the breaker refused is back";

  limiter.left = 0;
  auto limited = chain([] { return Outcome::success; });
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.refusal().gate, 0U);
  EXPECT_EQ(limited.refusal().retry_after, 7s);
}

// A callable is a gate: the way to give a limiter its key.
TEST(Compose, CallableGate) {
  int asked = 0;
  LoadShedder shedder(1);
  auto reply = compose([&](TimePoint) { return ++asked < 2; }, shedder)([] { return std::string("answer"); });
  ASSERT_TRUE(reply);
  EXPECT_EQ(*reply, "answer");
  EXPECT_EQ(reply->size(), 6U);
  auto second = compose([&](TimePoint) { return ++asked < 2; }, shedder)([] { return 1; });
  EXPECT_FALSE(second);
}

// An error is classified, a value is success, and judge() has the last word.
TEST(Compose, WhatAnAnswerMeans) {
  CircuitBreaker breaker({.failures_to_open = 1});
  auto chain = compose(breaker);
  EXPECT_TRUE(chain([] { return Result<int>(Error(ErrorCode::cancelled)); }));
  EXPECT_TRUE(chain([] { return Result<int>(1); }));
  EXPECT_TRUE(chain([] { return 503; }));
  EXPECT_TRUE(chain([] {}));
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::closed);
  EXPECT_TRUE(chain([] { return Result<int>(Error(ErrorCode::connection_refused)); }));
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::open);

  CircuitBreaker strict({.failures_to_open = 1});
  auto judged = compose(strict).judge([](int status) { return FailureOn().classify_status(status); });
  EXPECT_TRUE(judged([] { return 404; }));
  EXPECT_EQ(strict.state(), CircuitBreaker::State::closed);
  EXPECT_TRUE(judged([] { return 503; }));
  EXPECT_EQ(strict.state(), CircuitBreaker::State::open);
}

// An exception passes through; the permit comes back and the ticket counts as nothing.
TEST(Compose, ExceptionGivesBack) {
  LoadShedder shedder(1);
  CircuitBreaker breaker({.failures_to_open = 1});
  auto chain = compose(shedder, breaker);
  EXPECT_THROW(static_cast<void>(chain([]() -> int { throw std::runtime_error("no"); })), std::runtime_error);
  EXPECT_EQ(shedder.in_flight(), 0U);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::closed);
}

// ---- with a coroutine task

// The least that is a lazy task: this part knows none.
template <class T>
struct Lazy {
  struct promise_type {
    std::optional<T> value;
    std::coroutine_handle<> awaiting = std::noop_coroutine();
    Lazy get_return_object() { return Lazy(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
        return self.promise().awaiting;
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_value(T v) { value.emplace(std::move(v)); }
    void unhandled_exception() { std::terminate(); }
  };

  explicit Lazy(std::coroutine_handle<promise_type> h) : handle(h) {}
  Lazy(Lazy&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  ~Lazy() {
    if (handle) handle.destroy();
  }
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> by) {
    handle.promise().awaiting = by;
    return handle;
  }
  T await_resume() { return std::move(*handle.promise().value); }

  std::coroutine_handle<promise_type> handle;
};

// Suspends until somebody resumes `waiting`.
struct Pause {
  std::coroutine_handle<>* waiting;
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> h) { *waiting = h; }
  void await_resume() {}
};

Lazy<Outcome> slow_call(std::coroutine_handle<>* waiting, Outcome outcome) {
  Pause pause{waiting};
  co_await pause;
  co_return outcome;
}

// With a task, admission happens when it is awaited, the permit is held while it waits, and it settles at its
// end.
TEST(ComposeTask, HoldsItsGatesWhileTheCallWaits) {
  ManualClock clock;
  LoadShedder shedder(1);
  CircuitBreaker breaker({.failures_to_open = 1});
  auto chain = compose(shedder, breaker).on(clock);
  std::coroutine_handle<> waiting;
  Lazy<Reply<Outcome>> task = chain([&waiting] { return slow_call(&waiting, Outcome::failure); });
  EXPECT_EQ(shedder.in_flight(), 0U) << "nothing is taken before somebody awaits";
  task.handle.resume();
  EXPECT_EQ(shedder.in_flight(), 1U);
  Lazy<Reply<Outcome>> second = chain([&waiting] { return slow_call(&waiting, Outcome::success); });
  second.handle.resume();
  ASSERT_TRUE(second.handle.done());
  EXPECT_EQ(second.await_resume().refusal().gate, 0U);
  waiting.resume();
  ASSERT_TRUE(task.handle.done());
  EXPECT_TRUE(task.await_resume());
  EXPECT_EQ(shedder.in_flight(), 0U);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::open);
}

// A task that is destroyed while it waits gives everything back and counts as nothing.
TEST(ComposeTask, AbandonedTaskGivesBack) {
  LoadShedder shedder(1);
  CircuitBreaker breaker({.failures_to_open = 1});
  std::coroutine_handle<> waiting;
  {
    auto task = compose(shedder, breaker)([&waiting] { return slow_call(&waiting, Outcome::failure); });
    task.handle.resume();
    EXPECT_EQ(shedder.in_flight(), 1U);
  }
  EXPECT_EQ(shedder.in_flight(), 0U);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::closed);
}

}  // namespace
}  // namespace weir::resilience
