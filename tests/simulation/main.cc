// `simulation_test --seed N` replays one seed and tells what happens in it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; ++i)
    if (std::string_view(argv[i]) == "--seed") ::setenv("WEIR_SEED", argv[i + 1], 1);
  if (std::getenv("WEIR_SEED") != nullptr && ::testing::GTEST_FLAG(filter) == "*")
    ::testing::GTEST_FLAG(filter) = "Simulation.Seeds";
  return RUN_ALL_TESTS();
}
