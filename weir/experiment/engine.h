// Engine: the snapshot in use, replaced while others read it.
//
// Readers are wait-free: entering is one addition to a counter, getting the snapshot two more; no reader ever
// waits for a writer or for another reader. A writer swaps the pointer, then waits for those few readers that
// were between their addition and their copy (nanoseconds, unless such a thread was descheduled). A snapshot
// lives as long as anybody holds it, so a request goes on with the one it began with.
//
//   Engine engine(snapshot);
//   FlagHandle checkout = engine.handle("checkout_button");
//   ...
//   auto current = engine.snapshot();             // any thread, wait-free
//   Context context(*current);
//   Decision decision = checkout.evaluate(*current, context);
#ifndef WEIR_EXPERIMENT_ENGINE_H_
#define WEIR_EXPERIMENT_ENGINE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "weir/experiment/snapshot.h"

namespace weir::experiment {

class Engine {
 public:
  explicit Engine(std::shared_ptr<const Snapshot> first = empty_snapshot());
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // Any thread; wait-free.
  std::shared_ptr<const Snapshot> snapshot() const noexcept;
  // Any thread; writers take turns. `next` may not be null.
  void swap(std::shared_ptr<const Snapshot> next);
  // How many times swap() was called: changes whenever the snapshot does.
  std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }

  class FlagHandle handle(std::string_view key) const;

 private:
  struct Node {
    std::shared_ptr<const Snapshot> snapshot;
  };
  // Readers of many threads count in different lines. Two counters each, one an epoch (SRCU): a writer waits
  // for the readers of the epoch that it ended, new ones count in the other.
  struct alignas(64) Readers {
    std::array<std::atomic<std::uint64_t>, 2> inside{};
  };
  static constexpr std::size_t kStripes = 32;  // threads beyond it share a line, which costs speed alone

  Readers& my_readers() const noexcept;
  void wait_for_readers() noexcept;

  mutable std::array<Readers, kStripes> readers_;
  std::atomic<std::uint32_t> epoch_{0};
  std::atomic<const Node*> current_;
  std::atomic<std::uint64_t> generation_{0};
  std::mutex writing_;
};

// A key whose place is known: evaluating it on the snapshot that it was looked up in needs no search; on
// another one the key is looked up there.
class FlagHandle {
 public:
  FlagHandle(std::string key, const Snapshot& snapshot)
      : key_(std::move(key)), snapshot_(&snapshot), id_(snapshot.find(key_)) {}
  std::string_view key() const noexcept { return key_; }
  Decision evaluate(const Snapshot& snapshot, const Context& context) const {
    if (&snapshot == snapshot_ && id_ && snapshot.key(id_) == key_) return snapshot.evaluate(id_, context);
    return snapshot.evaluate(key_, context);
  }

 private:
  std::string key_;
  const Snapshot* snapshot_;  // compared, never followed
  EntryId id_;
};

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_ENGINE_H_
