// Abandoning at every await: a world is cancelled, or simply destroyed, after k turns for every k. Whatever
// waits where, nothing leaks and nothing is used after its end (AddressSanitizer sees both).
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/simulation/world.h"

namespace weir::simulation {
namespace {

WorldOptions small_world(std::uint64_t seed) {
  WorldOptions options;
  options.seed = seed;
  options.clients = 3;
  return options;
}

// Turns until a world of its own accord comes to rest.
int turns_of(std::uint64_t seed) {
  World world(small_world(seed));
  world.start();
  int turns = 0;
  while (world.turn()) ++turns;
  return turns;
}

// Destroyed where it stands.
TEST(Abandon, DestroyedAfterEveryTurn) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const int turns = turns_of(seed);
    const int step = std::getenv("WEIR_LONG") != nullptr ? 1 : 1 + turns / 100;
    for (int k = 0; k <= turns; k += step) {
      World world(small_world(seed));
      world.start();
      for (int i = 0; i < k; ++i) world.turn();
    }
  }
}

// Told to end: everything ends by itself, with all it holds given back, and nothing is left.
TEST(Abandon, CancelledAfterEveryTurn) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const int turns = turns_of(seed);
    const int step = std::getenv("WEIR_LONG") != nullptr ? 1 : 1 + turns / 100;
    for (int k = 0; k <= turns; k += step) {
      World world(small_world(seed));
      world.start();
      for (int i = 0; i < k; ++i) world.turn();
      world.cancel();
      while (world.turn()) {
      }
      world.finish();
      ASSERT_EQ(world.failures(), "") << "seed " << seed << ", cancelled after turn " << k;
    }
  }
}

}  // namespace
}  // namespace weir::simulation
