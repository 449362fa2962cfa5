// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/http/parser.h"

int main() {
  weir::http::RequestParser parser;
  weir::http::RequestHead head;
  const std::string_view bytes = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n\r\n";
  if (parser.parse(bytes, head) != weir::http::Parse::done) return 1;
  std::cout << head.method_text << " " << head.path << " of " << head.authority << "\n";
  return head.path == "/a" ? 0 : 1;
}
