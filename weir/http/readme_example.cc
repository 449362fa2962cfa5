// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/http/parser.h"
#include "weir/http/serializer.h"

int main() {
  weir::http::RequestParser parser;
  weir::http::RequestHead head;
  const std::string_view bytes =
      "GET http://a.example/b?c=d HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
  if (parser.parse(bytes, head) != weir::http::Parse::done)
    return std::cerr << parser.fault().what << "\n", 1;

  weir::http::HeadBuffer out;
  weir::http::append_request_line(out, head.method_text, head.path, head.query, head.has_query);
  for (const weir::http::Field& field : head.fields)
    if (!field.hop_by_hop) weir::http::append_field(out, field.name, field.value);
  weir::http::end_head(out);
  std::cout << out.view();
  return out.view() == "GET /b?c=d HTTP/1.1\r\nHost: a.example\r\n\r\n" ? 0 : 1;
}
