// What a sound file says.
#include "weir/config/load.h"

#include <gtest/gtest.h>

namespace weir::config {
namespace {

// The file that `./dev run` uses loads without a word.
TEST(Load, Quickstart) {
  const LoadResult result = load_file(WEIR_SOURCE_DIR "/examples/quickstart/weir.yaml", system_environment());
  for (const Diagnostic& diagnostic : result.diagnostics) ADD_FAILURE() << to_text(diagnostic, result.files);
  ASSERT_TRUE(result.config);
  EXPECT_EQ(result.config->upstreams.size(), 3U);
  EXPECT_EQ(result.config->max_in_flight, 50U);
}

}  // namespace
}  // namespace weir::config
