#include "weir/http/uri.h"

#include <string>

#include <gtest/gtest.h>

namespace weir::http {
namespace {

// Dot segments are resolved and slashes merged.
TEST(CanonicalPath, ResolvesDotSegments) {
  std::string scratch;
  EXPECT_EQ(canonical_path("/a//b/./../c", scratch).path, "/a/c");
  EXPECT_EQ(canonical_path("/%7euser/", scratch).path, "/~user/");
  EXPECT_EQ(canonical_path("/..", scratch).fault, PathFault::above_root);
  EXPECT_EQ(canonical_path("/%2e%2e/a", scratch).fault, PathFault::encoded_dot_segment);
  EXPECT_TRUE(canonical_path("/a%2fb", scratch).encoded_slash);
}

}  // namespace
}  // namespace weir::http
