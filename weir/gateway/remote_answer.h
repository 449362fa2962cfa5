// RemoteAnswer: what another thread will say, awaited by an exchange on its worker's.
//
// For the few things that weir asks of a thread of its own: keys from a provider, records on a disk. The asking
// coroutine keeps a RemoteAnswer; the other thread holds a Promise, sets it once, and the worker is woken through its
// reactor. Either side may go first: a promise whose asker has gone is dropped, an asker whose promise was destroyed
// unset gets nothing.
//
//   RemoteAnswer<Keys> answer(exchange);
//   fetcher.ask(answer.promise());
//   while (!answer.ready()) { const io::Wake wake = co_await exchange.waiter->wait(deadline); if (...) break; }
//   std::optional<Keys> keys = answer.take();
//
// The asker's side belongs to one worker; set() may be called from any thread as long as the worker's reactor lives,
// so such threads are stopped before reactors go. One allocation a question.
#ifndef WEIR_GATEWAY_REMOTE_ANSWER_H_
#define WEIR_GATEWAY_REMOTE_ANSWER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "weir/gateway/exchange.h"
#include "weir/io/waiter.h"

namespace weir::gateway {

template <class T>
class RemoteAnswer {
  struct State {
    io::Reactor* reactor = nullptr;
    io::Waiter* waiter = nullptr;  // the worker's alone; null once the asker has gone
    std::optional<T> value;        // written before `done`
    std::atomic<bool> done{false};
  };

 public:
  class Promise {
   public:
    explicit Promise(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
    Promise(Promise&&) noexcept = default;
    Promise& operator=(Promise&&) noexcept = default;
    ~Promise() {
      if (state_ != nullptr) finish();
    }
    void set(T value) {
      state_->value = std::move(value);
      finish();
    }

   private:
    void finish() {
      std::shared_ptr<State> state = std::move(state_);
      state->done.store(true, std::memory_order_release);  // the value stands before anybody may look
      io::Reactor& reactor = *state->reactor;
      reactor.post([state = std::move(state)] {
        if (state->waiter != nullptr) state->waiter->notify();
      });
    }
    std::shared_ptr<State> state_;
  };

  explicit RemoteAnswer(Exchange& exchange) : state_(std::make_shared<State>()) {
    state_->reactor = &exchange.worker.reactor;
    state_->waiter = exchange.waiter;
  }
  RemoteAnswer(const RemoteAnswer&) = delete;
  RemoteAnswer& operator=(const RemoteAnswer&) = delete;
  ~RemoteAnswer() { state_->waiter = nullptr; }

  Promise promise() { return Promise(state_); }
  bool ready() const noexcept { return state_->done.load(std::memory_order_acquire); }
  // Nothing when it is not ready, or when the promise was given up.
  std::optional<T> take() { return ready() ? std::exchange(state_->value, std::nullopt) : std::nullopt; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_REMOTE_ANSWER_H_
