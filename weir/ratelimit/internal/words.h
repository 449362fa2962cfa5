// Words that one thread writes under a lock while others read them without it.
//
//   SeqLock      a spin lock whose word counts: odd while held. A reader notes the word, reads, and looks
//                again: unchanged and even means that nobody wrote in between.
//   Shared<T>    a word that may be read outside the lock. Loads acquire and stores release, which is what
//                makes the second look sufficient: who sees a new value also sees the odd word stored before
//                it, and the second look cannot move before the reads. On x86 both are plain moves. (Fences
//                would do as well, but ThreadSanitizer does not know them.)
//
// Shared<T> is trivial, so that zeroed memory holds valid ones.
#ifndef WEIR_RATELIMIT_INTERNAL_WORDS_H_
#define WEIR_RATELIMIT_INTERNAL_WORDS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace weir::ratelimit::internal {

inline constexpr std::size_t kCacheLine = 64;

template <class T>
struct Shared {
  T raw;

  T load() const noexcept { return std::atomic_ref<T>(const_cast<T&>(raw)).load(std::memory_order_acquire); }
  void store(T value) noexcept { std::atomic_ref<T>(raw).store(value, std::memory_order_release); }
  // Under the lock nobody else writes: the read needs no order.
  T mine() const noexcept { return std::atomic_ref<T>(const_cast<T&>(raw)).load(std::memory_order_relaxed); }
};

class SeqLock {
 public:
  void lock() noexcept {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    if ((seen & 1) == 0 &&
        word_.compare_exchange_strong(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed))
      return;
    lock_slow();
  }
  void unlock() noexcept {
    word_.store(word_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  std::uint64_t read_begin() const noexcept { return word_.load(std::memory_order_acquire); }
  static bool held(std::uint64_t seen) noexcept { return (seen & 1) != 0; }
  bool unchanged(std::uint64_t seen) const noexcept { return word_.load(std::memory_order_relaxed) == seen; }

 private:
  // The holder works for some 20 ns, so spinning nearly always wins; when the holder has lost its core,
  // yielding lets it finish.
  void lock_slow() noexcept {
    for (unsigned spins = 0;; ++spins) {
      std::uint64_t seen = word_.load(std::memory_order_relaxed);
      if ((seen & 1) == 0 &&
          word_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return;
      if (spins < 64) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      } else {
        std::this_thread::yield();
      }
    }
  }

  std::atomic<std::uint64_t> word_{0};
};

// Holds a SeqLock for a scope.
class Held {
 public:
  explicit Held(SeqLock& lock) noexcept : lock_(lock) { lock_.lock(); }
  ~Held() { lock_.unlock(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  SeqLock& lock_;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_WORDS_H_
