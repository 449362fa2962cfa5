// What was written by hand, decoded by protobuf's own parser; the JSON form against its text.
#include "weir/trace/otlp.h"

#include <gtest/gtest.h>

#include "otlp.pb.h"
#include "weir/base/random.h"
#include "weir/trace/export_queue.h"

namespace weir::trace {
namespace {

using Resource = std::vector<std::pair<std::string, std::string>>;

WallTime at(std::int64_t nanos) { return WallTime{Duration{nanos}}; }

std::string big_endian(std::uint64_t word) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(word >> shift & 0xff));
  return bytes;
}

// Every field of random spans comes back from protobuf's parser as it went in.
TEST(Otlp, IsReadByProtobufsOwnParser) {
  base::Random random(20261124);
  const Resource resource{{"service.name", "weir"}, {"empty", ""}};
  for (int round = 0; round < 300; ++round) {
    const std::string long_text(random.below(400), 'x');
    const std::vector<Attribute> attributes{
        Attribute::of(kHttpMethod, "GET"),
        Attribute::of(kUrlFull, long_text),
        Attribute::of_number(kHttpStatus, static_cast<std::int64_t>(random())),
        Attribute::of_flag("on", true),
        Attribute::of_flag("off", false),
        Attribute::of("not utf-8", "a\xff b")};
    const std::vector<SpanContext> links{new_root(random, true)};
    Span span;
    span.context = new_root(random, random.chance(1, 2));
    span.parent = random.chance(1, 2) ? random() : 0;
    span.parent_is_remote = random.chance(1, 2);
    span.state = random.chance(1, 2) ? "a=1" : "";
    span.name = "GET /home/{id}";
    span.kind = SpanKind::server;
    span.start = at(static_cast<std::int64_t>(random() >> 2));
    span.end = span.start + std::chrono::milliseconds{3};
    span.attributes = attributes;
    if (random.chance(1, 2)) span.links = links;
    span.status = random.chance(1, 2) ? SpanStatus::error : SpanStatus::unset;
    span.status_message = long_text;

    std::string one, body;
    append_span(Encoding::protobuf, span, one);
    BatchWriter batch(Encoding::protobuf, resource, body);
    batch.add(one);
    batch.add(one);
    batch.finish();

    weir_otlp::ExportTraceServiceRequest decoded;
    ASSERT_TRUE(decoded.ParseFromString(body));
    ASSERT_EQ(decoded.resource_spans_size(), 1);
    const auto& spans = decoded.resource_spans(0);
    ASSERT_EQ(spans.resource().attributes_size(), 2);
    EXPECT_EQ(spans.resource().attributes(0).value().string_value(), "weir");
    EXPECT_EQ(spans.resource().attributes(1).value().value_case(), weir_otlp::AnyValue::kStringValue);
    EXPECT_EQ(spans.scope_spans(0).scope().name(), "weir");
    ASSERT_EQ(spans.scope_spans(0).spans_size(), 2);
    const auto& got = spans.scope_spans(0).spans(1);
    EXPECT_EQ(got.trace_id(), big_endian(span.context.trace_high) + big_endian(span.context.trace_low));
    EXPECT_EQ(got.span_id(), big_endian(span.context.span));
    EXPECT_EQ(got.parent_span_id(), span.parent == 0 ? "" : big_endian(span.parent));
    EXPECT_EQ(got.trace_state(), span.state);
    EXPECT_EQ(got.name(), span.name);
    EXPECT_EQ(got.kind(), 2);
    EXPECT_EQ(got.start_time_unix_nano(), static_cast<std::uint64_t>(span.start.time_since_epoch().count()));
    EXPECT_EQ(got.end_time_unix_nano() - got.start_time_unix_nano(), 3'000'000U);
    ASSERT_EQ(got.attributes_size(), 6);
    EXPECT_EQ(got.attributes(1).value().string_value(), long_text);
    EXPECT_EQ(got.attributes(1).value().value_case(), weir_otlp::AnyValue::kStringValue);
    EXPECT_EQ(got.attributes(2).value().int_value(), attributes[2].number);
    EXPECT_TRUE(got.attributes(3).value().bool_value());
    EXPECT_EQ(got.attributes(4).value().value_case(), weir_otlp::AnyValue::kBoolValue);
    EXPECT_EQ(got.attributes(5).value().string_value(), "a\xef\xbf\xbd b");
    EXPECT_EQ(got.links_size(), static_cast<int>(span.links.size()));
    EXPECT_EQ(got.status().code(), static_cast<int>(span.status));
    EXPECT_EQ(got.has_status(), span.status != SpanStatus::unset);
    EXPECT_EQ(got.flags() & 0xff, span.context.flags);
    EXPECT_EQ((got.flags() & 0x200) != 0, span.parent_is_remote);
  }
}

// The JSON form: camel case, hexadecimal ids, numbers of enums, 64 bits as strings.
TEST(Otlp, WritesTheJsonOfTheSpecification) {
  const std::vector<Attribute> attributes{Attribute::of(kHttpRoute, "/a\"b"),
                                          Attribute::of_number(kHttpStatus, 200)};
  Span span;
  span.context = {1, 2, 3, 1};
  span.parent = 4;
  span.name = "GET";
  span.kind = SpanKind::client;
  span.start = at(5);
  span.end = at(6);
  span.attributes = attributes;
  span.status = SpanStatus::error;
  std::string one, body;
  append_span(Encoding::json, span, one);
  const Resource resource{{"service.name", "weir"}};
  BatchWriter batch(Encoding::json, resource, body);
  batch.add(one);
  batch.finish();
  EXPECT_EQ(body,
            "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
            "\"stringValue\":"
            "\"weir\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":[{\"traceId\":"
            "\"00000000000000010000000000000002\",\"spanId\":\"0000000000000003\",\"parentSpanId\":"
            "\"0000000000000004\",\"flags\":257,\"name\":\"GET\",\"kind\":3,\"startTimeUnixNano\":\"5\","
            "\"endTimeUnixNano\":\"6\",\"attributes\":[{\"key\":\"http.route\",\"value\":{\"stringValue\":\"/"
            "a\\\"b\"}},"
            "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"200\"}}],\"status\":{\"code\":"
            "2}}]}]}]}");
}

// A collector's partial success is counted, and nothing else is taken for one.
TEST(Otlp, ReadsWhatACollectorRejected) {
  weir_otlp::ExportTraceServiceResponse response;
  EXPECT_EQ(rejected_spans(Encoding::protobuf, response.SerializeAsString()), 0);
  response.mutable_partial_success()->set_rejected_spans(300);
  response.mutable_partial_success()->set_error_message("full");
  EXPECT_EQ(rejected_spans(Encoding::protobuf, response.SerializeAsString()), 300);
  EXPECT_EQ(rejected_spans(Encoding::json, R"({"partialSuccess":{"rejectedSpans":"7","errorMessage":"x"}})"),
            7);
  for (const std::string_view text :
       {"", "{}", "\x0a", "\x0a\x05\x08", "rejectedSpans", "\"rejectedSpans\""}) {
    EXPECT_EQ(rejected_spans(Encoding::protobuf, text), 0);
    EXPECT_EQ(rejected_spans(Encoding::json, text), 0);
  }
}

// The queue gives out the oldest first, batch by batch, and drops what finds no room, counting it.
TEST(ExportQueue, IsBoundedAndInOrder) {
  const ExportQueue::Options options{.spans_max = 5, .bytes_max = 1 << 20, .batch_max = 2};
  ExportQueue queue(options, Encoding::protobuf);
  std::string body;
  EXPECT_EQ(queue.batch({}, body), 0U);
  Span span;
  for (std::uint64_t i = 1; i <= 7; ++i) {
    span.context = {1, 1, i, 1};
    EXPECT_EQ(queue.add(span), i <= 5);
  }
  EXPECT_EQ(queue.dropped(), 2U);
  std::uint64_t next = 1;
  while (const std::size_t count = queue.batch({}, body)) {
    weir_otlp::ExportTraceServiceRequest decoded;
    ASSERT_TRUE(decoded.ParseFromString(body));
    for (const auto& got : decoded.resource_spans(0).scope_spans(0).spans())
      EXPECT_EQ(got.span_id(), big_endian(next++));
    queue.pop(count);
  }
  EXPECT_EQ(next, 6U);
  EXPECT_EQ(queue.size(), 0U);
}

// The bound in bytes holds too, and a long run through the queue keeps its memory.
TEST(ExportQueue, IsBoundedInBytes) {
  const ExportQueue::Options options{.spans_max = 1000, .bytes_max = 1000, .batch_max = 100};
  ExportQueue queue(options, Encoding::json);
  Span span;
  span.context = {1, 1, 1, 1};
  int taken = 0;
  while (queue.add(span)) ++taken;
  EXPECT_GT(taken, 3);
  EXPECT_LT(taken, 12);
  for (int i = 0; i < 10'000; ++i) {
    queue.pop(1);
    EXPECT_TRUE(queue.add(span));
  }
}

}  // namespace
}  // namespace weir::trace
