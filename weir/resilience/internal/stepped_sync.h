// Atomics and a mutex that run under a scheduler, for interleaving_test only.
//
// Threads are real, but only the one that holds the baton runs. Before each step on an Atomic or a Mutex it
// asks the Stepper who goes next. The Stepper tries every answer, depth first, with at most `preemptions`
// switches away from a thread that could have gone on (Musuvathi and Qadeer, "Iterative Context Bounding",
// PLDI 2007: few are enough to show most races). Memory is sequentially consistent here; orders weaker than
// that are TSan's part.
//
// Outside of Stepper::run() the steps are plain operations.
#ifndef WEIR_RESILIENCE_INTERNAL_STEPPED_SYNC_H_
#define WEIR_RESILIENCE_INTERNAL_STEPPED_SYNC_H_

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <thread>
#include <vector>

namespace weir::resilience::internal {

class Mutex;

class Stepper {
 public:
  explicit Stepper(int preemptions) : preemptions_max_(preemptions) {}

  // Runs the bodies once, in the order that is due. `watch` is called between steps.
  void run(const std::vector<std::function<void()>>& bodies, std::function<void()> watch = {}) {
    threads_.clear();
    for (std::size_t i = 0; i < bodies.size(); ++i) threads_.push_back(std::make_unique<Thread>());
    watch_ = std::move(watch);
    position_ = 0;
    preemptions_ = 0;
    std::vector<std::jthread> workers;
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      workers.emplace_back([this, i, &bodies] {
        threads_[i]->go.acquire();
        active() = this;
        self() = i;
        bodies[i]();
        active() = nullptr;
        threads_[i]->done = true;
        hand_over(i);
      });
    }
    threads_[choose(bodies.size())]->go.release();
    finished_.acquire();
  }

  // Turns to the next order; false when all have been tried.
  bool next() {
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().options) choices_.pop_back();
    if (choices_.empty()) return false;
    ++choices_.back().taken;
    return true;
  }

  // Called by Atomic and Mutex.
  static void step() {
    if (active() != nullptr) active()->point(self());
  }
  static void wait_for(const Mutex& mutex) {
    active()->threads_[self()]->waits = &mutex;
    active()->point(self());
    active()->threads_[self()]->waits = nullptr;
  }
  static bool stepping() { return active() != nullptr; }

 private:
  struct Thread {
    std::binary_semaphore go{0};
    bool done = false;
    const Mutex* waits = nullptr;
  };
  struct Choice {
    std::size_t taken;
    std::size_t options;
  };

  static Stepper*& active() {
    thread_local Stepper* stepper = nullptr;
    return stepper;
  }
  static std::size_t& self() {
    thread_local std::size_t index = 0;
    return index;
  }

  bool runnable(std::size_t i) const;

  void point(std::size_t me) {
    if (watch_) {
      active() = nullptr;  // what the watcher reads is no step
      watch_();
      active() = this;
    }
    const std::size_t chosen = choose(me);
    if (chosen == me) return;
    threads_[chosen]->go.release();
    threads_[me]->go.acquire();
  }

  void hand_over(std::size_t me) {
    bool all_done = true;
    for (const auto& thread : threads_) all_done = all_done && thread->done;
    if (all_done) return finished_.release();
    threads_[choose(me)]->go.release();
  }

  std::size_t choose(std::size_t current) {
    const bool may_stay = current < threads_.size() && runnable(current);
    std::vector<std::size_t> options;
    if (may_stay) options.push_back(current);
    if (!may_stay || preemptions_ < preemptions_max_) {
      for (std::size_t i = 0; i < threads_.size(); ++i) {
        if (i != current && runnable(i)) options.push_back(i);
      }
    }
    if (options.empty()) {
      std::fprintf(stderr, "deadlock: every thread waits\n");
      std::abort();
    }
    if (options.size() == 1) return options[0];
    if (position_ == choices_.size()) choices_.push_back({0, options.size()});
    const std::size_t chosen = options[choices_[position_++].taken];
    if (may_stay && chosen != current) ++preemptions_;
    return chosen;
  }

  int preemptions_max_;
  int preemptions_ = 0;
  std::vector<Choice> choices_;
  std::size_t position_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::function<void()> watch_;
  std::binary_semaphore finished_{0};
};

template <class T>
class Atomic {
 public:
  constexpr Atomic() noexcept = default;
  constexpr Atomic(T value) noexcept : value_(value) {}  // NOLINT: like std::atomic
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order) const noexcept {
    Stepper::step();
    return value_;
  }
  void store(T value, std::memory_order) noexcept {
    Stepper::step();
    value_ = value;
  }
  T fetch_add(T by, std::memory_order) noexcept {
    Stepper::step();
    const T before = value_;
    value_ += by;
    return before;
  }
  T fetch_sub(T by, std::memory_order) noexcept {
    Stepper::step();
    const T before = value_;
    value_ -= by;
    return before;
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order,
                             std::memory_order = std::memory_order_relaxed) noexcept {
    Stepper::step();
    if (value_ == expected) {
      value_ = desired;
      return true;
    }
    expected = value_;
    return false;
  }

 private:
  T value_{};
};

class Mutex {
 public:
  void lock() {
    if (!Stepper::stepping()) return;  // one thread: nobody to keep out
    Stepper::step();
    while (held_) Stepper::wait_for(*this);
    held_ = true;
  }
  void unlock() { held_ = false; }
  bool held() const noexcept { return held_; }

 private:
  bool held_ = false;
};

inline bool Stepper::runnable(std::size_t i) const {
  const Thread& thread = *threads_[i];
  return !thread.done && (thread.waits == nullptr || !thread.waits->held());
}

}  // namespace weir::resilience::internal

#endif  // WEIR_RESILIENCE_INTERNAL_STEPPED_SYNC_H_
