// The example of README.md, compiled and run by the tests.
#include <iostream>
#include <vector>

#include "weir/trace/export_queue.h"
#include "weir/trace/span_context.h"

int main() {
  using namespace weir;
  base::Random random(base::random_seed());
  std::string state;  // what the caller sent, checked
  const std::vector<std::string_view> traceparent{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
  const trace::SpanContext parent = trace::read(traceparent, {}, state);
  const trace::SpanContext mine =
      parent.valid() ? trace::child_of(parent, random) : trace::new_root(random, true);

  trace::Span span;  // the work that this process does, for a collector
  span.context = mine, span.parent = parent.span, span.name = "GET /home",
  span.kind = trace::SpanKind::server;
  trace::ExportQueue queue({}, trace::Encoding::json);
  queue.add(span);
  const std::vector<std::pair<std::string, std::string>> resource{{"service.name", "shop"}};
  std::string body;  // POST it to /v1/traces
  queue.pop(queue.batch(resource, body));
  std::cout << body << "\n";
  return body.find("0af7651916cd43dd8448eb211c80319c") != std::string::npos ? 0 : 1;
}
