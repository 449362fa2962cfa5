#include "weir/gateway/terminals/experiments.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "weir/experiment/growthbook.h"
#include "weir/gateway/answer.h"
#include "weir/gateway/client_watch.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {
namespace {

using experiment::Decision;
using experiment::EntryId;
using experiment::Reason;
using experiment::Value;

constexpr std::string_view kStage = "experiment";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kEvents = "/ofrep/v1/events";

void append_text(std::string& out, std::string_view text) {
  out += '"';
  base::append_json_escaped(out, text);
  out += '"';
}

void answer_json(Exchange& exchange, int status) {
  exchange.own.status = status;
  exchange.own.body = exchange.own_body;
  exchange.own.content_type = kJson;
}

// OFREP 0.3.0: what a decision is called there.
std::string_view ofrep_reason(Reason reason) {
  switch (reason) {
    case Reason::split:
      return "SPLIT";
    case Reason::rule:
    case Reason::forced:
    case Reason::overridden:
    case Reason::allow_list:
    case Reason::sticky:
      return "TARGETING_MATCH";
    case Reason::constant:
      return "STATIC";
    case Reason::disabled:
      return "DISABLED";
    default:
      return "DEFAULT";
  }
}

// Members of a flag's answer without braces. Who is not in an experiment gets neither value nor variant.
void append_flag(std::string& out, std::string_view key, const Decision& decision) {
  out.append("\"key\":");
  append_text(out, key);
  out.append(",\"reason\":\"").append(ofrep_reason(decision.reason)).append("\"");
  if (!decision.variant.empty()) {
    out.append(",\"variant\":");
    append_text(out, decision.variant);
  }
  if (decision.value != nullptr) {
    out.append(",\"value\":");
    experiment::append_json(out, *decision.value);
  }
}

bool lacks_unit(const Decision& decision) {
  return decision.reason == Reason::missing_unit || decision.reason == Reason::invalid_unit;
}

void append_ofrep_error(std::string& out, std::string_view key, std::string_view code,
                        std::string_view details) {
  out.append("{");
  if (!key.empty()) {
    out.append("\"key\":");
    append_text(out, key);
    out += ',';
  }
  out.append("\"errorCode\":\"").append(code).append("\",\"errorDetails\":");
  append_text(out, details);
  out += '}';
}

void ofrep_error(Exchange& exchange, int status, std::string_view key, std::string_view code,
                 std::string_view details) {
  exchange.own_body.clear();
  append_ofrep_error(exchange.own_body, key, code, details);
  answer_json(exchange, status);
}

// {"context": {...}}; an empty body is an empty context. Null, with the answer given, when it is not that.
const Value* ofrep_context(Exchange& exchange, std::string_view key, Result<Value>& body) {
  static const Value kEmpty = Value::map();
  if (exchange.body.empty()) return &kEmpty;
  body = experiment::parse_json(exchange.body);
  if (!body) {
    ofrep_error(exchange, 400, key, "PARSE_ERROR", body.error().detail);
    return nullptr;
  }
  const Value* context = body->find("context");
  if (context == nullptr && body->is(Value::Kind::map)) return &kEmpty;
  if (context != nullptr && context->is(Value::Kind::map)) return context;
  ofrep_error(exchange, 400, key, "INVALID_CONTEXT", "`context` must be a map");
  return nullptr;
}

// The last segment behind `before`, when the path is just that.
bool key_behind(std::string_view path, std::string_view before, std::string_view* key) {
  if (!path.starts_with(before) || path.size() == before.size()) return false;
  *key = path.substr(before.size());
  return key->find('/') == std::string_view::npos;
}

bool only_method(Exchange& exchange, http::Method wanted, std::string_view allow) {
  const http::Method method = exchange.request.method;
  if (method == wanted || (wanted == http::Method::get && method == http::Method::head)) return true;
  exchange.add_answer_field("Allow", allow, http::Name::allow);
  exchange.refuse(kStage, Problem::method_not_allowed);
  return false;
}

}  // namespace

ExperimentsTerminal::Answer ExperimentsTerminal::answer(Exchange& exchange) {
  if (exchange.downstream->body_state() != BodyState::done) {
    exchange.refuse(kStage, Problem::bad_request, "the body is larger than 1 MiB", 413);
    exchange.own.close = true;
    return Answer::whole;
  }
  exchange.add_answer_field("Cache-Control", "no-store", http::Name::cache_control);
  const std::string_view path = exchange.path;
  std::string_view key;
  constexpr std::string_view kFlags = "/ofrep/v1/evaluate/flags";
  constexpr std::string_view kAssign = "/assign";
  if (path == kFlags) {
    if (only_method(exchange, http::Method::post, "POST")) evaluate_all(exchange);
  } else if (key_behind(path, "/ofrep/v1/evaluate/flags/", &key)) {
    if (only_method(exchange, http::Method::post, "POST")) evaluate_one(exchange, key);
  } else if (path == kEvents) {
    if (only_method(exchange, http::Method::get, "GET")) return Answer::ofrep_events;
  } else if (path.ends_with(kAssign) &&
             key_behind(path.substr(0, path.size() - kAssign.size()), "/v1/experiments/", &key)) {
    if (only_method(exchange, http::Method::post, "POST")) assign(exchange, key);
  } else if (key_behind(path, "/api/features/", &key)) {
    if (only_method(exchange, http::Method::get, "GET, HEAD")) growthbook_features(exchange);
  } else if (key_behind(path, "/api/eval/", &key)) {
    if (only_method(exchange, http::Method::post, "POST")) growthbook_evaluate(exchange);
  } else if (key_behind(path, "/sub/", &key)) {
    if (only_method(exchange, http::Method::get, "GET")) {
      if (state_->engine().snapshot()->payload() != nullptr) return Answer::growthbook_events;
      exchange.refuse(kStage, Problem::no_route, "no GrowthBook payload is loaded");
    }
  } else {
    exchange.refuse(kStage, Problem::no_route);
  }
  return Answer::whole;
}

void ExperimentsTerminal::evaluate_one(Exchange& exchange, std::string_view key) {
  const auto snapshot = state_->engine().snapshot();
  const EntryId id = snapshot->find(key);
  if (!id) return ofrep_error(exchange, 404, key, "FLAG_NOT_FOUND", "no flag or experiment has this key");
  Result<Value> body = Value{};
  const Value* attributes = ofrep_context(exchange, key, body);
  if (attributes == nullptr) return;
  experiment::Context context(*snapshot);
  context.set_now(exchange.worker.wall_now());
  context.set_all(*attributes);
  const Decision decision = snapshot->evaluate(id, context);
  if (decision.reason == Reason::missing_unit)
    return ofrep_error(exchange, 400, key, "TARGETING_KEY_MISSING", "the context has no targetingKey");
  if (decision.reason == Reason::invalid_unit)
    return ofrep_error(exchange, 400, key, "INVALID_CONTEXT", "the targetingKey is no text of up to 1 KiB");
  exchange.own_body.assign("{");
  append_flag(exchange.own_body, key, decision);
  exchange.own_body.append("}");
  answer_json(exchange, 200);
}

void ExperimentsTerminal::evaluate_all(Exchange& exchange) {
  const std::uint64_t generation = state_->engine().generation();
  const auto snapshot = state_->engine().snapshot();
  // The tag names the snapshot and the question, so that a repeat is answered without evaluating anything.
  // Where rules begin and end, it holds for a second.
  base::SipKey key{generation ^ std::hash<std::string>{}(state_->random_secret()), 0};
  if (snapshot->scheduled())
    key.k1 = static_cast<std::uint64_t>(
        std::chrono::floor<std::chrono::seconds>(exchange.worker.wall_now()).time_since_epoch().count());
  const base::Hash128 hash = base::siphash13_128(key, exchange.body);
  std::array<char, 40> text;
  char* at = text.data();
  *at++ = '"';
  at = std::to_chars(at, at + 17, hash.high, 16).ptr;
  *at++ = '-';
  at = std::to_chars(at, at + 17, hash.low, 16).ptr;
  *at++ = '"';
  const std::string_view tag = exchange.arena.keep({text.data(), static_cast<std::size_t>(at - text.data())});
  exchange.add_answer_field("Access-Control-Expose-Headers", "ETag");  // a page of another origin compares it
  const http::Field* given = exchange.request.fields.find("If-None-Match");
  if (given != nullptr && given->value.find(tag) != std::string_view::npos) {
    exchange.add_answer_field("ETag", tag);
    exchange.own.status = 304;
    return;
  }
  Result<Value> body = Value{};
  const Value* attributes = ofrep_context(exchange, {}, body);
  if (attributes == nullptr) return;
  experiment::Context context(*snapshot);
  context.set_now(exchange.worker.wall_now());
  context.set_all(*attributes);
  std::string& out = exchange.own_body;
  out.assign("{\"flags\":[");
  std::array<EntryId, 64> ids;
  std::array<Decision, 64> decisions;
  const auto all = static_cast<std::uint32_t>(snapshot->size());
  for (std::uint32_t i = 0; i < all; ++i) {
    const std::uint32_t place = i % ids.size();
    if (place == 0) {
      const std::size_t count = std::min<std::size_t>(ids.size(), all - i);
      for (std::uint32_t k = 0; k < count; ++k) ids[k] = {i + k};
      snapshot->evaluate(std::span(ids).first(count), context, decisions.data());
    }
    if (i > 0) out += ',';
    const Decision& decision = decisions[place];
    const std::string_view flag = decision.key;
    if (lacks_unit(decision)) {
      append_ofrep_error(
          out, flag, decision.reason == Reason::missing_unit ? "TARGETING_KEY_MISSING" : "INVALID_CONTEXT",
          "the context has no valid targetingKey");
      continue;
    }
    out += '{';
    append_flag(out, flag, decision);
    out += '}';
  }
  // On this origin, at this path: a page resolves it against the address that it asks anyway.
  out.append(R"(],"eventStreams":[{"type":"sse","endpoint":{"requestUri":")")
      .append(kEvents)
      .append("\"}}]}");
  exchange.add_answer_field("ETag", tag);
  answer_json(exchange, 200);
}

void ExperimentsTerminal::assign(Exchange& exchange, std::string_view key) {
  const auto snapshot = state_->engine().snapshot();
  const EntryId id = snapshot->find(key);
  if (!id) return exchange.refuse(kStage, Problem::no_route, "no experiment or flag has this key");
  const Result<Value> body = experiment::parse_json(exchange.body);
  if (!body || !body->is(Value::Kind::map))
    return exchange.refuse(
        kStage, Problem::bad_request,
        body ? std::string_view("the body must be a map") : exchange.arena.keep(body.error().detail));
  experiment::Context context(*snapshot);
  context.set_now(exchange.worker.wall_now());
  if (const Value* attributes = body->find("attributes")) context.set_all(*attributes);
  if (const Value* unit = body->find("unit")) context.set(experiment::Context::kTargetingKey, *unit);
  exchange.own_body.assign("{");
  append_decision_json(exchange.own_body, snapshot->evaluate(id, context));
  exchange.own_body.append("}");
  answer_json(exchange, 200);
}

void ExperimentsTerminal::growthbook_features(Exchange& exchange) {
  const auto snapshot = state_->engine().snapshot();
  if (snapshot->payload() == nullptr)
    return exchange.refuse(kStage, Problem::no_route, "no GrowthBook payload is loaded");
  exchange.own_body = experiment::to_json(snapshot->payload()->payload());
  exchange.add_answer_field("x-sse-support", "enabled");
  exchange.add_answer_field("Access-Control-Expose-Headers", "x-sse-support");
  answer_json(exchange, 200);
}

// {"attributes", ...} to features with values alone: what GrowthBook's own server answers to its SDKs.
void ExperimentsTerminal::growthbook_evaluate(Exchange& exchange) {
  const Result<Value> body = experiment::parse_json(exchange.body);
  const Value* attributes = body ? body->find("attributes") : nullptr;
  if (attributes == nullptr || !attributes->is(Value::Kind::map))
    return exchange.refuse(kStage, Problem::bad_request, "the body must hold a map of `attributes`");
  const auto snapshot = state_->engine().snapshot();
  experiment::Context context(*snapshot);
  context.set_now(exchange.worker.wall_now());
  // GrowthBook's SDKs call the unit `id`.
  if (const Value* unit = attributes->find("id")) context.set(experiment::Context::kTargetingKey, *unit);
  context.set_all(*attributes);
  std::string& out = exchange.own_body;
  out.assign("{\"status\":200,\"features\":{");
  for (std::uint32_t i = 0; i < snapshot->size(); ++i) {
    const std::string_view key = snapshot->key({i});
    const Decision decision = snapshot->evaluate(EntryId{i}, context);
    out.append(i == 0 ? "" : ",");
    append_text(out, key);
    out.append(":{\"defaultValue\":");
    if (decision.value != nullptr)
      experiment::append_json(out, *decision.value);
    else
      out.append("null");
    out += '}';
  }
  out.append("},\"experiments\":[]}");
  answer_json(exchange, 200);
}

async::Task<void> ExperimentsTerminal::serve(Exchange& exchange) {
  const Answer kind = answer(exchange);
  if (kind == Answer::whole) {
    co_await send_own_answer(exchange);
  } else {
    co_await stream(exchange, kind);
  }
}

std::string ExperimentsTerminal::config_tag() const {
  const base::SipKey key{state_->engine().generation(), 0};
  std::array<char, 17> text;
  const std::uint64_t hash = base::siphash13(key, state_->random_secret());
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), hash, 16).ptr};
}

void ExperimentsTerminal::append_event(std::string& out, Answer kind) const {
  if (kind == Answer::ofrep_events) {
    const std::string tag = config_tag();
    out.append("id: ").append(tag).append("\ndata: {\"type\":\"refetchEvaluation\",\"etag\":\"").append(tag);
    out.append("\"}\n\n");
    return;
  }
  const auto snapshot = state_->engine().snapshot();
  out.append("event: features\ndata: ");
  out.append(snapshot->payload() == nullptr ? "{}" : experiment::to_json(snapshot->payload()->payload()));
  out.append("\n\n");
}

// GrowthBook's clients get the payload at once and again whenever the snapshot is another, OFREP's are told to
// ask again; at first only those who come back and have missed a change (Last-Event-ID). A comment every 15
// seconds tells a client that has gone from one that is quiet.
async::Task<void> ExperimentsTerminal::stream(Exchange& exchange, Answer kind) {
  constexpr auto kLook = std::chrono::milliseconds{200};
  constexpr auto kQuiet = std::chrono::seconds{15};
  AnswerHead& head = exchange.answer;
  head.clear();
  head.status = 200;
  exchange.record.status = 200;
  head.fields.add({"Content-Type", "text/event-stream", http::Name::content_type, false});
  head.body = http::BodyKind::until_close;
  finish_answer_head(exchange, head);
  Downstream& client = *exchange.downstream;
  client.start_answer(head);
  std::uint64_t told = ~std::uint64_t{0};
  TimePoint last = exchange.worker.reactor.now();
  std::string pending;
  if (kind == Answer::ofrep_events) {
    const std::uint64_t generation = state_->engine().generation();
    const std::string tag = config_tag();
    const http::Field* seen = exchange.request.fields.find("Last-Event-ID");
    if (seen == nullptr || seen->value == tag) {
      told = generation;
      pending.append("id: ").append(tag).append("\n\n");  // no data: remembered, not told to the page
    }
  }
  for (;;) {
    const std::uint64_t generation = state_->engine().generation();
    const TimePoint now = exchange.worker.reactor.now();
    if (pending.empty() && generation != told) {
      append_event(pending, kind);
      told = generation;
      last = now;
    } else if (pending.empty() && now - last >= kQuiet) {
      pending = ":\n\n";
      last = now;
    }
    const std::size_t taken = client.write_answer(pending, false);
    pending.erase(0, taken);
    if (client.gone()) break;
    const io::Wake wake = co_await exchange.waiter->wait(Deadline::after(now, kLook));
    if (wake == io::Wake::cancelled || client.gone() || client.half_closed()) break;
  }
  exchange.record.client_gone = client.gone();
  client.abort_answer();
}

}  // namespace weir::gateway
