// Sleepable RCU in small (McKenney 2006): the writer flips the epoch and waits until nobody counts in the old
// one.
//
//   (1) A reader adds to the counter of the epoch it saw, then loads the pointer. Both are sequentially
//       consistent, as are the writer's swap and its reading of the counters: either the writer sees the
//       addition and waits, or the reader's load comes after the swap and finds the new node.
//   (2) A reader may have loaded the epoch and be late with its addition. Hence two flips: whoever counts
//       late in the old epoch after the first flip is seen by the second.
//   (3) Inside, a reader only copies a shared_ptr. After that it holds the snapshot by its count.
#include "weir/experiment/engine.h"

#include <functional>
#include <thread>

#include "weir/base/check.h"

namespace weir::experiment {

Engine::Engine(std::shared_ptr<const Snapshot> first) {
  WEIR_CHECK(first != nullptr);
  current_.store(new Node{std::move(first)});
}

Engine::~Engine() { delete current_.load(); }

Engine::Readers& Engine::my_readers() const noexcept {
  // Any spread will do: it decides which line is written, nothing else.
  thread_local const std::size_t stripe = std::hash<std::thread::id>{}(std::this_thread::get_id());
  return readers_[(stripe ^ stripe >> 12) % kStripes];
}

std::shared_ptr<const Snapshot> Engine::snapshot() const noexcept {
  std::atomic<std::uint64_t>& inside = my_readers().inside[epoch_.load() & 1U];
  inside.fetch_add(1);
  std::shared_ptr<const Snapshot> copy = current_.load()->snapshot;
  inside.fetch_sub(1, std::memory_order_release);  // the writer's load sees the copy made
  return copy;
}

void Engine::wait_for_readers() noexcept {
  for (int flip = 0; flip < 2; ++flip) {
    const std::uint32_t old = epoch_.fetch_add(1) & 1U;
    for (Readers& readers : readers_)
      while (readers.inside[old].load() != 0) std::this_thread::yield();
  }
}

void Engine::swap(std::shared_ptr<const Snapshot> next) {
  WEIR_CHECK(next != nullptr);
  const std::lock_guard lock(writing_);
  const Node* old = current_.exchange(new Node{std::move(next)});
  generation_.fetch_add(1, std::memory_order_release);
  wait_for_readers();
  delete old;
}

FlagHandle Engine::handle(std::string_view key) const { return FlagHandle(std::string(key), *snapshot()); }

}  // namespace weir::experiment
