// The snapshot is swapped while many threads read it: nobody sees half of one, and old ones go away.
#include "weir/experiment/engine.h"

#include <atomic>
#include <thread>
#include <vector>

#include "weir/experiment/testing.h"

namespace weir::experiment {
namespace {

std::shared_ptr<const Snapshot> version(int number) {
  const std::string n = std::to_string(number);
  return testing::compiled(R"({"flags": [{"key": "first", "type": "number", "default": )" + n +
                           R"(}, {"key": "second", "type": "number", "default": )" + n + "}]}");
}

// A reader that holds a snapshot sees one version in all its keys, whatever the writer does meanwhile.
TEST(Engine, TenThousandSwapsUnderLoad) {
  Engine engine(version(0));
  std::atomic<bool> ended{false};
  std::atomic<std::uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 4; ++t)
    readers.emplace_back([&] {
      FlagHandle second = engine.handle("second");
      double newest = 0;
      while (!ended.load(std::memory_order_relaxed)) {
        const auto snapshot = engine.snapshot();
        const Context context(*snapshot);
        const double a = snapshot->evaluate("first", context).value->number;
        const double b = second.evaluate(*snapshot, context).value->number;
        EXPECT_EQ(a, b);
        EXPECT_GE(a, newest);  // never back to an older one
        newest = a;
        reads.fetch_add(1, std::memory_order_relaxed);
      }
    });
  std::weak_ptr<const Snapshot> first = engine.snapshot();
  for (int i = 1; i <= 10'000; ++i) engine.swap(version(i));
  while (reads.load() < 1'000) std::this_thread::yield();
  ended = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(engine.generation(), 10'000U);
  EXPECT_TRUE(first.expired());
}

// A snapshot lives as long as somebody holds it, and no longer.
TEST(Engine, HeldSnapshotsStay) {
  Engine engine(version(1));
  auto held = engine.snapshot();
  const std::weak_ptr<const Snapshot> watch = held;
  engine.swap(version(2));
  Context context(*held);
  EXPECT_EQ(held->evaluate("first", context).value->number, 1);
  held.reset();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace weir::experiment
