#include "weir/gateway/answer.h"

#include <algorithm>

#include "weir/gateway/client_watch.h"
#include "weir/gateway/plan.h"

namespace weir::gateway {
namespace {

// Fields of which an answer may hold several: weir's own stand beside the upstream's. RFC 6265 4.1, RFC 9110
// 12.5.5, RFC 9211 2 (each cache behind the one before it).
bool stands_beside(const http::Field& field) {
  return field.id == http::Name::set_cookie || field.id == http::Name::vary ||
         (field.id == http::Name::other && base::iequals(field.name, "Cache-Status"));
}

bool same_name(const http::Field& a, const http::Field& b) {
  if (a.id != http::Name::other || b.id != http::Name::other) return a.id == b.id;
  return base::iequals(a.name, b.name);
}

// RFC 9110 6.4.1 and 8.6: these never have a body, and 1xx and 204 no Content-Length either.
bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

// RFC 9110 15.4.5: what a 304 says of the answer that the client has.
bool belongs_to_304(const http::Field& field) {
  if (field.id == http::Name::cache_control || field.id == http::Name::date || field.id == http::Name::vary)
    return true;
  if (field.id != http::Name::other) return false;
  return base::iequals(field.name, "ETag") || base::iequals(field.name, "Expires") ||
         base::iequals(field.name, "Content-Location") || base::iequals(field.name, "Cache-Status");
}

// A kept answer has a date of its own.
void add_kept_fields(AnswerHead& head, const std::vector<http::Field>& fields) {
  for (const http::Field& field : fields)
    if (head.status != 304 || belongs_to_304(field)) head.fields.add(field);
}

// What is decided so far; the answer's end is still to come.
void add_explanation(Exchange& exchange, AnswerHead& head) {
  DecisionRecord record;
  const int status = std::exchange(exchange.record.status, head.status);
  fill(record, exchange, Duration{});
  add_path(record, exchange);
  exchange.record.status = status;
  RecordContext context;
  context.names = exchange.worker.records.names(record.plan);
  context.started = exchange.worker.wall_now() - (exchange.worker.reactor.now() - exchange.started);
  head.fields.add({"Weir-Explain", exchange.arena.keep(to_field(record, context)), http::Name::other, false});
}

}  // namespace

void make_not_modified(AnswerHead& head) {
  head.status = 304;
  head.reason = {};
  head.body = http::BodyKind::none;
  head.says_length = false;
  head.fields.remove_if([](const http::Field& field) { return !belongs_to_304(field); });
}

void finish_answer_head(Exchange& exchange, AnswerHead& head) {
  if (exchange.route != nullptr)
    for (Stage* stage : exchange.route->answer_watchers) stage->answered(exchange, head);
  const auto& added = exchange.answer_fields();
  const bool collides = std::any_of(added.begin(), added.end(), [&](const http::Field& ours) {
    if (stands_beside(ours)) return false;
    return ours.id != http::Name::other ? head.fields.has(ours.id) : head.fields.find(ours.name) != nullptr;
  });
  if (collides) {
    head.fields.remove_if([&](const http::Field& field) {
      return std::any_of(added.begin(), added.end(), [&](const http::Field& ours) {
        return !stands_beside(ours) && same_name(field, ours);
      });
    });
  }
  for (const http::Field& field : added) head.fields.add(field);
  if (exchange.route != nullptr) {
    const config::HeaderEdit& edit = exchange.route->options.response_headers;
    if (!edit.remove.empty() || !edit.set.empty()) {
      head.fields.remove_if([&](const http::Field& field) {
        for (const std::string& name : edit.remove)
          if (base::iequals(field.name, name)) return true;
        for (const auto& [name, value] : edit.set)
          if (base::iequals(field.name, name)) return true;
        return false;
      });
      for (const auto& [name, value] : edit.set)
        head.fields.add({name, value, http::parse_name(name), false});
    }
  }
  head.fields.add({"Via", "1.1 weir", http::Name::via, false});
  if (exchange.explain) [[unlikely]]
    add_explanation(exchange, head);
}

async::Task<void> send_own_answer(Exchange& exchange) {
  AnswerHead& head = exchange.answer;
  head.clear();
  head.status = exchange.own.status;
  exchange.record.status = head.status;
  const bool body = status_has_body(head.status);
  if (body) {
    if (!exchange.own.content_type.empty())
      head.fields.add({"Content-Type", exchange.own.content_type, http::Name::content_type, false});
    head.content_length = exchange.own.body.size();
    head.says_length = true;
  }
  if (exchange.own.fields != nullptr) add_kept_fields(head, *exchange.own.fields);
  if (!head.fields.has(http::Name::date))
    head.fields.add({"Date", exchange.worker.http_date(), http::Name::date, false});
  finish_answer_head(exchange, head);
  const bool send_body = body && exchange.request.method != http::Method::head;
  head.body = send_body ? http::BodyKind::length : http::BodyKind::none;
  exchange.downstream->start_answer(head);
  co_await drain_answer(exchange, send_body ? exchange.own.body : std::string_view{});
}

async::Task<void> drain_answer(Exchange& exchange, std::string_view payload) {
  Downstream& client = *exchange.downstream;
  ClientWatch watch(exchange);
  for (;;) {
    payload.remove_prefix(client.write_answer(payload, true));
    if (client.answer_finished() || client.gone()) break;
    const io::Wake wake = co_await exchange.waiter->wait(watch.write_deadline());
    watch.observe(false);
    if (wake == io::Wake::cancelled || watch.stalled()) {
      client.abort_answer();
      break;
    }
  }
  if (!client.answer_finished()) exchange.record.client_gone = true;
}

}  // namespace weir::gateway
