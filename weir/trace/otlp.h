// OTLP: spans as OpenTelemetry collectors take them, in protobuf or JSON.
//
// A span is encoded once, where it ends, into bytes that can be queued; a batch is a frame around such bytes. So the
// queue holds no objects, and sending copies what is there.
//
//   std::string one;
//   trace::append_span(trace::Encoding::protobuf, span, one);
//   std::string body;
//   trace::BatchWriter batch(trace::Encoding::protobuf, resource, body);
//   batch.add(one);
//   batch.finish();                          // POST body to /v1/traces as content_type(encoding)
//
// Pure; appends to the strings it is given. A span of a dozen attributes takes some hundred nanoseconds.
// Source: opentelemetry-proto trace/v1/trace.proto and the OTLP specification's JSON mapping (hexadecimal ids, numbers
// of enums, 64-bit integers as strings).
#ifndef WEIR_TRACE_OTLP_H_
#define WEIR_TRACE_OTLP_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "weir/trace/span.h"

namespace weir::trace {

enum class Encoding : std::uint8_t { protobuf, json };

// "application/x-protobuf" or "application/json".
std::string_view content_type(Encoding encoding) noexcept;

// Appends one Span message (protobuf: without its tag and length) or one JSON object.
void append_span(Encoding encoding, const Span& span, std::string& out);

// Writes an ExportTraceServiceRequest around encoded spans.
class BatchWriter {
 public:
  // `resource`: attributes of the process, "service.name" among them.
  BatchWriter(Encoding encoding, std::span<const std::pair<std::string, std::string>> resource,
              std::string& out);

  // `encoded`: what append_span() of the same encoding made.
  void add(std::string_view encoded);
  // Completes the message in `out`.
  void finish();

 private:
  Encoding encoding_;
  std::span<const std::pair<std::string, std::string>> resource_;
  std::string& out_;
  std::string spans_;
  bool first_ = true;
};

// How many spans a collector says it did not take (ExportTracePartialSuccess.rejected_spans); 0 for anything that is
// not such an answer.
std::int64_t rejected_spans(Encoding encoding, std::string_view answer) noexcept;

}  // namespace weir::trace

#endif  // WEIR_TRACE_OTLP_H_
