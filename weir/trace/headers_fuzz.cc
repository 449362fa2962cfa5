// Trace headers of strangers: any bytes, split at newlines into a traceparent, tracestates and baggage. What is taken
// over must be valid again when it is written and read once more.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/strings.h"
#include "weir/trace/baggage.h"
#include "weir/trace/span_context.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace weir;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string_view> lines = base::split(text, '\n');
  const std::vector<std::string_view> first{lines.front()};
  const std::vector<std::string_view> rest(lines.begin() + 1, lines.end());
  std::string state;
  const trace::SpanContext context = trace::read(first, rest, state);
  if (context.valid()) {
    char written[trace::kTraceparentSize];
    trace::write_traceparent(context, written);
    const auto again = trace::parse_traceparent({written, sizeof written});
    if (!again || !(*again == context)) std::abort();
    trace::limit_tracestate(state);
    const std::vector<std::string_view> kept{state};
    std::string joined;
    if (!trace::join_tracestate(kept, joined) || joined != state) std::abort();
  }
  const trace::Baggage baggage = trace::Baggage::parse(rest);
  const std::string header = baggage.to_header();
  if (header.size() > trace::Baggage::kBytesMax) std::abort();
  const std::vector<std::string_view> once{header};
  if (trace::Baggage::parse(once).to_header() != header) std::abort();
  return 0;
}
