#include "weir/http/parser.h"

#include <gtest/gtest.h>

namespace weir::http {
namespace {

// A plain request gives its parts.
TEST(RequestParser, ReadsAPlainRequest) {
  RequestParser parser;
  RequestHead head;
  const std::string_view bytes = "GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nAccept:  */* \r\n\r\nrest";
  ASSERT_EQ(parser.parse(bytes, head), Parse::done) << parser.fault().what;
  EXPECT_EQ(parser.consumed(), bytes.size() - 4);
  EXPECT_EQ(head.method, Method::get);
  EXPECT_EQ(head.path, "/a/b");
  EXPECT_EQ(head.query, "c=d");
  EXPECT_EQ(head.authority, "example.com");
  EXPECT_EQ(head.fields.value(Name::accept), "*/*");
  EXPECT_TRUE(head.keep_alive);
}

}  // namespace
}  // namespace weir::http
