// The chain for users of the libraries: limiter, shedder, breaker and a call, in the order in which they are
// read.
//
//   auto reply = compose(limiter, shedder, breaker)([&] { return client.get("/orders"); });
//   if (!reply) return refuse(reply.refusal().gate, reply.refusal().retry_after);
//   use(*reply);
//
// Gates are asked from left to right; the first that refuses ends it, and what the ones before it gave is
// given back (a limiter's token stays spent). After the call they are settled from right to left with its
// Outcome. An exception or an abandoned coroutine settles nothing: tickets count as neither outcome, permits
// come back.
//
// A gate is
//   a LoadShedder, a CircuitBreaker,
//   whatever has allow_at(TimePoint) with `allowed` and `retry_after` (a rate limiter, say),
//   whatever has enter(TimePoint) -> std::optional<Token>, where token.settle(Outcome, TimePoint) ends it,
//   or a callable from TimePoint to something like bool: [&](TimePoint now) { return l.allow_at(now, key); }
//
// The call may return any value, nothing, or a lazy coroutine task `Task<T>`: then so does the chain, and
// admission happens when the task is awaited. judge() says what an answer means; without it a Result's error
// is classified by the default FailureOn, an Outcome stands for itself and everything else is success. on()
// hands in a clock; without it the system's is read twice.
//
// A chain holds references to its gates, copies nothing, allocates nothing, and is inlined whole. Thread-safe
// as the gates are.
#ifndef WEIR_RESILIENCE_COMPOSE_H_
#define WEIR_RESILIENCE_COMPOSE_H_

#include <coroutine>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/classify.h"
#include "weir/resilience/load_shedder.h"
#include "weir/resilience/outcome.h"

namespace weir::resilience {

struct Refusal {
  std::size_t gate = 0;     // position in compose(), from 0
  Duration retry_after{0};  // zero when the gate cannot say
};

// What a chain returns: the call's value, or who refused.
template <class T>
class [[nodiscard]] Reply {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  explicit Reply(Value value) : state_(std::in_place_index<0>, std::move(value)) {}
  explicit Reply(Refusal refusal) : state_(std::in_place_index<1>, refusal) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }
  Value& operator*() { return WEIR_CHECK(state_.index() == 0), *std::get_if<0>(&state_); }
  Value* operator->() { return &**this; }
  const Refusal& refusal() const { return WEIR_CHECK(state_.index() == 1), *std::get_if<1>(&state_); }

 private:
  std::variant<Value, Refusal> state_;
};

namespace internal {

struct Nothing {};

template <class Gate>
concept Limiter = requires(Gate& gate, TimePoint now) {
  gate.allow_at(now).allowed;
  gate.allow_at(now).retry_after;
};

template <class Gate>
concept TokenGate = requires(Gate& gate, TimePoint now) { gate.enter(now)->settle(Outcome::success, now); };

// enter(gate, now, wait): a token, or nothing and the time to wait.
inline std::optional<LoadShedder::Permit> enter(LoadShedder& gate, TimePoint, Duration&) noexcept {
  return gate.try_acquire();
}

inline std::optional<CircuitBreaker::Ticket> enter(CircuitBreaker& gate, TimePoint now,
                                                   Duration& wait) noexcept {
  auto ticket = gate.try_enter(now);
  if (!ticket) wait = gate.retry_after(now);
  return ticket;
}

template <Limiter Gate>
std::optional<Nothing> enter(Gate& gate, TimePoint now, Duration& wait) {
  const auto decision = gate.allow_at(now);
  if (decision.allowed) return Nothing{};
  wait = decision.retry_after;
  return std::nullopt;
}

template <TokenGate Gate>
auto enter(Gate& gate, TimePoint now, Duration&) {
  return gate.enter(now);
}

template <class Gate>
  requires(!Limiter<Gate> && !TokenGate<Gate> && std::is_invocable_v<Gate&, TimePoint>)
std::optional<Nothing> enter(Gate& gate, TimePoint now, Duration& wait) {
  const auto answer = gate(now);
  if (static_cast<bool>(answer)) return Nothing{};
  if constexpr (requires { wait = answer.retry_after; }) wait = answer.retry_after;
  return std::nullopt;
}

inline void settle(Nothing&, Outcome, TimePoint) noexcept {}
inline void settle(LoadShedder::Permit& permit, Outcome, TimePoint) noexcept { permit.release(); }
template <class Token>
void settle(Token& token, Outcome outcome, TimePoint now) {
  token.settle(outcome, now);
}

struct DefaultJudge {
  template <class T>
  Outcome operator()(const T&) const noexcept {
    return Outcome::success;
  }
  template <class T>
  Outcome operator()(const Result<T>& result) const noexcept {
    return result ? Outcome::success : FailureOn().classify_error(result.error());
  }
  Outcome operator()(Outcome outcome) const noexcept { return outcome; }
};

// Is R a Task<T> that can be awaited and returned from a coroutine?
template <class R>
struct TaskShape {
  static constexpr bool value = false;
};
template <template <class> class Task, class T>
  requires requires { typename std::coroutine_traits<Task<T>>::promise_type; }
struct TaskShape<Task<T>> {
  static constexpr bool value = true;
  using Value = T;
  using Reply = Task<resilience::Reply<T>>;
};

}  // namespace internal

template <class Judge, class... Gates>
class Chain {
 public:
  explicit Chain(Judge judge, const Clock* clock, Gates&... gates)
      : judge_(std::move(judge)), clock_(clock), gates_(gates...) {}

  // The same chain with another clock; it must outlive the calls.
  Chain on(const Clock& clock) const {
    Chain other = *this;
    other.clock_ = &clock;
    return other;
  }

  // The same chain with a function (const T&) -> Outcome.
  template <class Other>
  Chain<Other, Gates...> judge(Other other) const {
    return std::apply(
        [&](Gates&... gates) { return Chain<Other, Gates...>(std::move(other), clock_, gates...); }, gates_);
  }

  template <class Call>
  auto operator()(Call&& call) const {
    using R = std::invoke_result_t<Call&>;
    if constexpr (internal::TaskShape<R>::value) {
      return run_task<typename internal::TaskShape<R>::Reply, typename internal::TaskShape<R>::Value>(
          *this, std::forward<Call>(call));
    } else {
      return run<R>(call);
    }
  }

 private:
  // Optionals: a token that was never given is empty.
  using Held = std::tuple<decltype(internal::enter(std::declval<Gates&>(), TimePoint{},
                                                   std::declval<Duration&>()))...>;

  TimePoint now() const noexcept { return clock_ != nullptr ? clock_->now() : SystemClock().now(); }

  // Left to right; stops at the first that refuses.
  template <std::size_t... I>
  std::optional<Refusal> admit(Held& held, TimePoint at, std::index_sequence<I...>) const {
    Refusal refusal;
    const auto ask = [&](auto& token, auto& gate, std::size_t position) {
      token = internal::enter(gate, at, refusal.retry_after);
      refusal.gate = position;
      return token.has_value();
    };
    if ((ask(std::get<I>(held), std::get<I>(gates_), I) && ...)) return std::nullopt;
    return refusal;
  }

  // Right to left.
  template <std::size_t... I>
  static void settle(Held& held, Outcome outcome, TimePoint at, std::index_sequence<I...>) {
    (internal::settle(*std::get<sizeof...(I) - 1 - I>(held), outcome, at), ...);
  }

  template <class R, class Call>
  Reply<R> run(Call& call) const {
    constexpr auto kAll = std::index_sequence_for<Gates...>{};
    Held held;
    if (const auto refusal = admit(held, now(), kAll)) return Reply<R>(*refusal);
    if constexpr (std::is_void_v<R>) {
      call();
      settle(held, Outcome::success, now(), kAll);
      return Reply<R>(std::monostate{});
    } else {
      R value = call();
      settle(held, judge_(std::as_const(value)), now(), kAll);
      return Reply<R>(std::move(value));
    }
  }

  // Static and by value: the coroutine owns all that it needs.
  template <class TaskReply, class R, class Call>
  static TaskReply run_task(Chain chain, Call call) {
    constexpr auto kAll = std::index_sequence_for<Gates...>{};
    Held held;
    const std::optional<Refusal> refusal = chain.admit(held, chain.now(), kAll);
    if (refusal) co_return Reply<R>(*refusal);
    auto task = call();
    if constexpr (std::is_void_v<R>) {
      co_await std::move(task);
      settle(held, Outcome::success, chain.now(), kAll);
      co_return Reply<R>(std::monostate{});
    } else {
      R value = co_await std::move(task);
      settle(held, chain.judge_(std::as_const(value)), chain.now(), kAll);
      co_return Reply<R>(std::move(value));
    }
  }

  [[no_unique_address]] Judge judge_;
  const Clock* clock_;
  std::tuple<Gates&...> gates_;
};

// Outermost first. The gates must outlive the chain and its calls; a callable gate may be a temporary only if
// the chain is called in the same expression.
template <class... Gates>
auto compose(Gates&&... gates) {
  return Chain<internal::DefaultJudge, std::remove_reference_t<Gates>...>(internal::DefaultJudge{}, nullptr,
                                                                          gates...);
}

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_COMPOSE_H_
