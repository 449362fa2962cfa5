#include "weir/gateway/stages/idempotency.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "weir/gateway/plan.h"
#include "weir/gateway/remote_answer.h"

namespace weir::gateway {
namespace {

using Kind = passport::IdempotencyDecision::Kind;
using store::Operation;
using store::Outcome;

constexpr std::array kRefusals{Problem::idempotency_key_missing,
                               Problem::idempotency_key_invalid,
                               Problem::idempotency_in_flight,
                               Problem::idempotency_outcome_unknown,
                               Problem::idempotency_mismatch,
                               Problem::idempotency_store_unavailable,
                               Problem::bad_request};
// Between two looks at a key that somebody else is serving.
constexpr Duration kLookAgain = std::chrono::milliseconds{25};

std::int64_t milliseconds_of(WallTime now) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
}

// The stored answer, as weir's own; its texts go to the arena.
void replay(Exchange& exchange, const passport::StoredAnswer& answer) {
  exchange.own_body = answer.body;
  exchange.own.status = answer.status;
  exchange.own.body = exchange.own_body;
  for (const auto& [name, value] : answer.fields)
    exchange.add_answer_field(exchange.arena.keep(name), exchange.arena.keep(value), http::parse_name(name));
  exchange.add_answer_field("Idempotent-Replayed", "true");
}

// What a decision other than `run` means to the client.
Verdict tell(Exchange& exchange, std::string_view stage, Outcome& outcome) {
  if (outcome.failed) {
    exchange.record.why = "store-failed";
    exchange.set_retry_after(std::chrono::seconds{1});
    exchange.refuse(stage, Problem::idempotency_store_unavailable);
    return Verdict::refuse;
  }
  switch (outcome.decision.kind) {
    case Kind::run:
      return Verdict::proceed;
    case Kind::replay:
      if (!outcome.answer.body_kept) {
        exchange.refuse(stage, Problem::idempotency_outcome_unknown,
                        "the request was carried out, and its answer was too long to be kept");
        return Verdict::refuse;
      }
      replay(exchange, outcome.answer);
      return Verdict::answer;
    case Kind::in_flight:
      exchange.set_retry_after(std::chrono::seconds{1});
      exchange.refuse(stage, Problem::idempotency_in_flight);
      return Verdict::refuse;
    case Kind::mismatch:
      exchange.refuse(stage, Problem::idempotency_mismatch);
      return Verdict::refuse;
    case Kind::unknown:
      exchange.refuse(stage, Problem::idempotency_outcome_unknown);
      return Verdict::refuse;
  }
  return Verdict::refuse;
}

template <Note::Kind kKind>
void note_outcome(Exchange& exchange, const Outcome& outcome) noexcept {
  constexpr std::uint8_t kStoreFailed = 0xff;
  const auto code = outcome.failed ? kStoreFailed : static_cast<std::uint8_t>(outcome.decision.kind);
  exchange.notes.add<kKind>(code, 0).n[0] = static_cast<std::uint32_t>(outcome.decision.attempt);
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace

KeyedRequest::~KeyedRequest() {
  if (claimed) release_or_unknown(sent);
}

void KeyedRequest::release_or_unknown(bool executed_perhaps) {
  Operation end;
  end.kind = executed_perhaps ? Operation::Kind::unknown : Operation::Kind::release;
  end.ticket = ticket;
  end.times = times_;
  claimed = false;
  store_->submit(std::move(end));
}

Operation KeyedRequest::operation(Operation::Kind kind, Exchange& exchange) {
  times_.now_ms = milliseconds_of(exchange.worker.wall_now());
  Operation out;
  out.kind = kind;
  out.ticket = ticket;
  out.fingerprint = fingerprint;
  out.label = label;
  out.times = times_;
  return out;
}

async::Task<Outcome> ask_store(Exchange& exchange, store::IdempotencyStore& store, Operation operation) {
  RemoteAnswer<Outcome> answer(exchange);
  auto promise = std::make_shared<RemoteAnswer<Outcome>::Promise>(answer.promise());
  operation.done = [promise = std::move(promise)](Outcome outcome) { promise->set(std::move(outcome)); };
  store.submit(std::move(operation));
  // The store answers every operation; only the gateway's own end may come first. A client that leaves changes nothing.
  bool cancelled = false;
  while (!answer.ready() && !cancelled) {
    const io::Wake wake = co_await exchange.waiter->wait(Deadline::never());
    cancelled = wake == io::Wake::cancelled;
  }
  Outcome gone;
  gone.failed = true;
  gone.fault = "the gateway is stopping";
  std::optional<Outcome> told = answer.take();
  co_return told ? std::move(*told) : std::move(gone);
}

std::span<const Problem> IdempotencyLookUpStage::refusals() const noexcept { return kRefusals; }
std::span<const Problem> IdempotencyClaimStage::refusals() const noexcept { return kRefusals; }

bool IdempotencyLookUpStage::needs_waiting(const Exchange& exchange) const noexcept {
  const auto& methods = options_.rules.methods;
  return std::find(methods.begin(), methods.end(), exchange.request.method_text) != methods.end();
}

Verdict IdempotencyLookUpStage::refuse(Exchange& exchange, Problem problem, std::string_view detail,
                                       int status) {
  exchange.refuse(name(), problem, detail, status);
  return Verdict::refuse;
}

bool IdempotencyLookUpStage::read_key(Exchange& exchange) {
  const http::Fields& fields = exchange.request.fields;
  if (!fields.has(http::Name::idempotency_key)) {
    if (options_.rules.require == config::Require::required)
      refuse(exchange, Problem::idempotency_key_missing, {});
    return false;
  }
  const Result<std::string> key =
      fields.count(http::Name::idempotency_key) == 1
          ? passport::parse_idempotency_key(fields.value(http::Name::idempotency_key))
          : Result<std::string>(Error(ErrorCode::malformed));
  if (!key) return refuse(exchange, Problem::idempotency_key_invalid, {}), false;
  const bool known = exchange.identity != nullptr && !exchange.identity->anonymous;
  if (!known && !options_.rules.anonymous)
    return refuse(exchange, Problem::idempotency_key_invalid, "a key belongs to somebody, and nobody asks"),
           false;
  const Downstream& client = *exchange.downstream;
  if (client.body_state() != BodyState::done || !client.body_bytes().empty()) {
    refuse(exchange, Problem::bad_request, "the body is too long to be told from another", 413);
    exchange.own.close = true;
    return false;
  }
  auto keyed = std::make_unique<KeyedRequest>(options_.store, options_.times);
  const std::string_view principal =
      known ? std::string_view(exchange.identity->principal) : std::string_view{};
  keyed->ticket.id = passport::idempotency_id(options_.route, principal, *key);
  // Unlike any other attempt's, here or in another process.
  std::array<char, 40> owner;
  char* end = std::to_chars(owner.data(), owner.data() + 17, exchange.worker.random(), 16).ptr;
  *end++ = '-';
  end = std::to_chars(end, end + 17, exchange.worker.random(), 16).ptr;
  keyed->ticket.owner.assign(owner.data(), end);
  passport::Fingerprint print;
  for (const std::string_view piece : {exchange.request.method_text, exchange.path, exchange.request.query,
                                       fields.value(http::Name::content_type)})
    print.add_piece(piece);
  print.add_body(exchange.body);
  keyed->fingerprint = print.finish();
  keyed->label = options_.route + " " + hex(std::string_view(keyed->ticket.id.data(), 8));
  exchange.keep(options_.keyed, std::move(keyed));
  return true;
}

async::Task<Verdict> IdempotencyLookUpStage::admit_async(Exchange& exchange) {
  const bool keyed_request = read_key(exchange);
  if (!keyed_request) co_return exchange.own.status != 0 ? Verdict::refuse : Verdict::proceed;
  KeyedRequest& keyed = **exchange.get(options_.keyed);
  const Deadline until = Deadline::after(exchange.worker.reactor.now(), options_.rules.wait);
  for (;;) {
    Operation look = keyed.operation(Operation::Kind::look_up, exchange);
    Outcome outcome = co_await ask_store(exchange, *keyed.store(), std::move(look));
    const TimePoint now = exchange.worker.reactor.now();
    const bool waits = !outcome.failed && outcome.decision.kind == Kind::in_flight && !until.expired(now) &&
                       !exchange.downstream->gone();
    if (!waits) {
      note_outcome<Note::Kind::lookup>(exchange, outcome);
      co_return tell(exchange, name(), outcome);
    }
    const io::Wake wake = co_await exchange.waiter->wait(until.shrunk_to(now + kLookAgain));
    if (wake == io::Wake::cancelled) co_return tell(exchange, name(), outcome);
  }
}

bool IdempotencyClaimStage::needs_waiting(const Exchange& exchange) const noexcept {
  return const_cast<Exchange&>(exchange).get(keyed_) != nullptr;
}

async::Task<Verdict> IdempotencyClaimStage::admit_async(Exchange& exchange) {
  KeyedRequest& keyed = **exchange.get(keyed_);
  Operation claim = keyed.operation(Operation::Kind::claim, exchange);
  // From here on the claim may stand whatever happens to this exchange, so its end gives it back; the store keeps the
  // order, and whoever was refused owns nothing that could be given back.
  keyed.ticket.attempt = 1;
  keyed.claimed = true;
  Outcome outcome = co_await ask_store(exchange, *keyed.store(), std::move(claim));
  note_outcome<Note::Kind::claim>(exchange, outcome);
  keyed.claimed = !outcome.failed && outcome.decision.kind == Kind::run;
  if (keyed.claimed) keyed.ticket.attempt = outcome.decision.attempt;
  co_return tell(exchange, name(), outcome);
}

}  // namespace weir::gateway
