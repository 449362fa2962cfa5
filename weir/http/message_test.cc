#include "weir/http/message.h"

#include <string>

#include <gtest/gtest.h>

namespace weir::http {
namespace {

// Names are known in any case.
TEST(ParseName, KnowsNamesInAnyCase) {
  EXPECT_EQ(parse_name("Host"), Name::host);
  EXPECT_EQ(parse_name("TRANSFER-ENCODING"), Name::transfer_encoding);
  EXPECT_EQ(parse_name("te"), Name::te);
  EXPECT_EQ(parse_name("x-nobody"), Name::other);
  EXPECT_EQ(parse_name(""), Name::other);
}

}  // namespace
}  // namespace weir::http
