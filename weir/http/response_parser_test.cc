#include "weir/http/parser.h"

#include <gtest/gtest.h>

namespace weir::http {
namespace {

// A plain answer gives its parts.
TEST(ResponseParser, ReadsAPlainAnswer) {
  ResponseParser parser;
  ResponseHead head;
  const std::string_view bytes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  ASSERT_EQ(parser.parse(bytes, head), Parse::done) << parser.fault().what;
  EXPECT_EQ(parser.consumed(), bytes.size() - 5);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.reason, "OK");
  EXPECT_EQ(head.body, BodyKind::length);
  EXPECT_EQ(head.content_length, 5U);
}

}  // namespace
}  // namespace weir::http
