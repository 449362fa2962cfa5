#include "weir/gateway/stages/trace.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "weir/gateway/exchange.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/tracer.h"

namespace weir::gateway {
namespace {

constexpr std::size_t kIdMax = 128;

bool is_request_id(std::string_view text) {
  if (text.empty() || text.size() > kIdMax) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return base::is_alpha(c) || base::is_digit(c) || c == '.' || c == '_' || c == '~' || c == '-';
  });
}

// "00" to "ff", two characters a byte.
constexpr std::array<char, 512> kHexPairs = [] {
  std::array<char, 512> pairs{};
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < 256; ++i) pairs[2 * i] = digits[i >> 4], pairs[2 * i + 1] = digits[i & 15];
  return pairs;
}();

// The low `digits` (an even number) hexadecimal digits of `value`.
void put_hex(char* to, std::uint64_t value, int digits) {
  for (int i = digits - 2; i >= 0; i -= 2, value >>= 8) std::memcpy(to + i, &kHexPairs[2 * (value & 255)], 2);
}

// RFC 9562 5.7: 48 bits of Unix milliseconds, version 7, 74 random bits with the variant between them.
std::string_view new_uuid7(Exchange& exchange) {
  const auto ms = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(exchange.worker.wall_now().time_since_epoch()).count());
  const std::uint64_t a = exchange.worker.random();
  const std::uint64_t b = exchange.worker.random();
  char* text = exchange.arena.allocate(36);
  put_hex(text, ms >> 16, 8);
  text[8] = '-';
  put_hex(text + 9, ms & 0xffff, 4);
  text[13] = '-';
  put_hex(text + 14, 0x7000 | (a & 0xfff), 4);
  text[18] = '-';
  put_hex(text + 19, 0x8000 | (b >> 50 & 0x3fff), 4);
  text[23] = '-';
  put_hex(text + 24, b & 0xffffffffffffULL, 12);
  return {text, 36};
}

// What a caller sent that says something about its trace or its patience.
struct Sent {
  static constexpr std::size_t kValuesMax = 8;  // more fields of one name are no trace that anybody means
  std::array<std::string_view, kValuesMax> traceparents;
  std::array<std::string_view, kValuesMax> tracestates;
  std::size_t traceparent_count = 0;
  std::size_t tracestate_count = 0;
  Duration budget = Duration::max();
  bool any = false;
};

enum class Said : std::uint8_t { nothing, traceparent, tracestate, baggage, budget_ms, grpc_timeout };

Said kind_of(const http::Field& field) noexcept {
  if (field.id == http::Name::traceparent) return Said::traceparent;
  if (field.id == http::Name::tracestate) return Said::tracestate;
  if (field.id != http::Name::other) return Said::nothing;
  switch (field.name.size()) {
    case 7:
      return base::iequals(field.name, "baggage") ? Said::baggage : Said::nothing;
    case 12:
      return base::iequals(field.name, "grpc-timeout") ? Said::grpc_timeout : Said::nothing;
    case 30:
      return base::iequals(field.name, "x-envoy-expected-rq-timeout-ms") ? Said::budget_ms : Said::nothing;
    default:
      return Said::nothing;
  }
}

// gRPC over HTTP/2: at most eight digits and a unit.
Duration grpc_timeout(std::string_view text) noexcept {
  if (text.size() < 2 || text.size() > 9) return Duration::max();
  const auto count = base::parse_u64(text.substr(0, text.size() - 1));
  if (!count) return Duration::max();
  const auto n = static_cast<std::int64_t>(*count);
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(n);
    case 'M':
      return std::chrono::minutes(n);
    case 'S':
      return std::chrono::seconds(n);
    case 'm':
      return std::chrono::milliseconds(n);
    case 'u':
      return std::chrono::microseconds(n);
    case 'n':
      return std::chrono::nanoseconds(n);
    default:
      return Duration::max();
  }
}

// The names that kind_of() knows, and those that it has to read.
constexpr http::NameSet kTelling{http::Name::traceparent, http::Name::tracestate, http::Name::other};

Sent look(const http::Fields& fields) noexcept {
  Sent sent;
  if (!fields.has_any(kTelling)) return sent;
  for (const http::Field& field : fields) {
    const Said kind = kind_of(field);
    if (kind == Said::nothing) continue;
    sent.any = true;
    if (kind == Said::traceparent && sent.traceparent_count < Sent::kValuesMax)
      sent.traceparents[sent.traceparent_count++] = field.value;
    if (kind == Said::tracestate && sent.tracestate_count < Sent::kValuesMax)
      sent.tracestates[sent.tracestate_count++] = field.value;
    if (kind == Said::grpc_timeout) sent.budget = std::min(sent.budget, grpc_timeout(field.value));
    if (kind == Said::budget_ms) {
      const auto ms = base::parse_u64(field.value);
      if (ms && *ms < 86'400'000)
        sent.budget =
            std::min<Duration>(sent.budget, std::chrono::milliseconds(static_cast<std::int64_t>(*ms)));
    }
  }
  return sent;
}

bool is_trusted(const Exchange& exchange) {
  const auto& tracing = exchange.plan->plan->config.tracing;
  return tracing && std::any_of(tracing->trust.begin(), tracing->trust.end(),
                                [&](const base::Cidr& cidr) { return cidr.contains(exchange.peer); });
}

std::string_view write_traceparent(Exchange& exchange, std::uint64_t span) {
  trace::SpanContext context = exchange.tracing.context;
  context.span = span;
  char* text = exchange.arena.allocate(trace::kTraceparentSize);
  trace::write_traceparent(context, text);
  return {text, trace::kTraceparentSize};
}

}  // namespace

void assign_request_id(Exchange& exchange) {
  const std::string_view inbound = exchange.request.fields.value(http::Name::x_request_id);
  const bool keep = exchange.request.fields.count(http::Name::x_request_id) == 1 && is_request_id(inbound);
  exchange.id = keep ? inbound : new_uuid7(exchange);
  exchange.add_answer_field("X-Request-Id", exchange.id, http::Name::x_request_id);
}

Verdict TraceStage::admit(Exchange& exchange) {
  http::Fields& fields = exchange.request.fields;
  if (fields.value(http::Name::x_request_id) != exchange.id)
    exchange.set_request_field(http::Name::x_request_id, "X-Request-Id", exchange.id);
  Worker& worker = exchange.worker;
  Trace& mine = exchange.tracing;
  const Sent sent = look(fields);
  trace::SpanContext caller;
  if (sent.any) {
    const bool trusted = is_trusted(exchange);
    std::string& state = worker.scratch;
    caller = trace::read({sent.traceparents.data(), sent.traceparent_count},
                         {sent.tracestates.data(), sent.tracestate_count}, state);
    if (trusted && caller.valid()) {
      trace::limit_tracestate(state);
      mine.state = exchange.arena.keep(state);
      mine.parent = caller.span;
    } else {
      // A stranger's trace is not taken over, or he could switch ours off; that he had one is worth knowing.
      mine.link = std::exchange(caller, trace::SpanContext{});
    }
    if (trusted && sent.budget != Duration::max())
      exchange.deadline = exchange.deadline.shrunk_to(Deadline::after(exchange.started, sent.budget));
    fields.remove_if([&](const http::Field& field) {
      const Said kind = kind_of(field);
      return kind != Said::nothing && !(kind == Said::baggage && trusted);
    });
  }
  Tracer* tracer = worker.tracer();
  mine.recording = tracer != nullptr;
  if (caller.valid()) {
    mine.context = trace::child_of(caller, worker.random);
    if (tracer != nullptr && !tracer->parent_based()) {
      mine.context.flags &= trace::kFlagRandom;
      if (tracer->sample(mine.context.trace_low)) mine.context.flags |= trace::kFlagSampled;
    }
  } else {
    mine.context = trace::new_root(worker.random, true);
    if (tracer != nullptr && !tracer->sample(mine.context.trace_low))
      mine.context.flags &= trace::kFlagRandom;
  }
  begin_call(exchange);
  if (!mine.state.empty()) fields.add({"tracestate", mine.state, http::Name::tracestate, false});
  return Verdict::proceed;
}

void TraceStage::settle(Exchange& exchange) noexcept {
  if (Tracer* tracer = exchange.worker.tracer(); tracer != nullptr && exchange.tracing.context.valid())
    tracer->record(exchange);
}

void begin_call(Exchange& exchange) {
  exchange.tracing.call = exchange.worker.random() | 1;
  exchange.traceparent = write_traceparent(exchange, exchange.tracing.call);
  exchange.set_request_field(http::Name::traceparent, "traceparent", exchange.traceparent);
}

}  // namespace weir::gateway
