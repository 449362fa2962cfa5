#include "weir/trace/server_timing.h"

#include <gtest/gtest.h>

namespace weir::trace {
namespace {

using namespace std::chrono_literals;

// One metric after another, names as tokens, descriptions as quoted strings.
TEST(ServerTiming, WritesTheGrammar) {
  std::string out;
  append_server_timing(out, "user", 12'345us);
  append_server_timing(out, "my recs", 0ns, "sta\"le\\\n");
  append_server_timing(out, "", -5ms);
  EXPECT_EQ(out, "user;dur=12.3, my_recs;dur=0.0;desc=\"sta\\\"le\\\\\", _;dur=0.0");
}

}  // namespace
}  // namespace weir::trace
