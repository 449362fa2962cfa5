#include "weir/gateway/terminals/relay.h"

#include <algorithm>

#include "weir/base/hash.h"
#include "weir/gateway/answer.h"
#include "weir/gateway/stages/limit_keys.h"
#include "weir/gateway/stages/trace.h"
#include "weir/gateway/to_upstream.h"
#include "weir/resilience/classify.h"
#include "weir/upstream/fetch.h"

namespace weir::gateway {
namespace {

resilience::FailureKind kind_of(upstream::CallFailure failure) {
  switch (failure) {
    case upstream::CallFailure::connect_failed:
    case upstream::CallFailure::connect_timed_out:
      return resilience::FailureKind::connect;
    case upstream::CallFailure::first_byte_timed_out:
    case upstream::CallFailure::idle_timed_out:
      return resilience::FailureKind::timeout;
    case upstream::CallFailure::malformed:
      return resilience::FailureKind::malformed;
    case upstream::CallFailure::none:
    case upstream::CallFailure::broken:
      break;
  }
  return resilience::FailureKind::reset;
}

}  // namespace

Relay::Relay(Exchange& exchange, upstream::WorkerUpstream& target, const UpstreamPlan& plan)
    : exchange_(exchange), target_(target), plan_(plan), watch_(exchange) {
  exchange.record.upstream = plan.options.name;
  exchange.record.stage = "upstream";
  if (plan.options.total) {
    const TimePoint end = now() + *plan.options.total;
    own_limit_ = end <= exchange.deadline.when();
    exchange.deadline = exchange.deadline.shrunk_to(end);
  }
  if (plan.options.retries || target.hedge() != nullptr) target.shared().budget().request(now());
  const Downstream& client = *exchange.downstream;
  whole_body_ = client.body_state() == BodyState::done && client.body_bytes().empty();
}

Relay::~Relay() {
  // Abandoned in mid-flight: the ticket goes back unsettled, the connection closes.
  if (second_ != nullptr) drop_second(upstream::HedgeEnd::abandoned);
  if (counted_) --endpoint_->in_flight;
  if (call_ != nullptr) exchange_.worker.return_call(std::move(call_));
}

inline void Relay::note_breaker() {
  const resilience::CircuitBreaker& breaker = target_.shared().breaker();
  std::uint32_t bits = 0;
  if (ticket_) bits |= kBreakerAdmitted;
  if (ticket_ && ticket_->is_probe()) bits |= kBreakerProbe;
  Note& note = exchange_.notes.add<Note::Kind::breaker>(bits, plan_.index);
  note.set_wide(0, breaker.word());
  if (ticket_) return;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(breaker.retry_after(now())).count();
  note.n[2] = static_cast<std::uint32_t>(std::min<std::int64_t>(wait, UINT32_MAX));
}

bool Relay::enter_breaker() {
  if (!target_.options().breaker) return true;
  ticket_ = target_.shared().breaker().try_enter(now());
  note_breaker();
  return ticket_.has_value();
}

// One attempt, for the decision record. `running`: its end will be noted later. Written straight into its place: an
// Attempt on the way would cost as much again.
inline void Relay::note_attempt(resilience::Outcome outcome, int status, bool running) {
  if (!attempt_open_) return;
  attempt_open_ = running;
  const upstream::Call& call = *call_;
  std::uint32_t bits = 0;
  if (call.reused()) bits |= Attempt::kReused;
  if (running) bits |= Attempt::kRunning;
  if (asked_at_ != TimePoint{} && call_started_ > asked_at_) bits |= Attempt::kHedge;
  Note& note = exchange_.notes.add<Note::Kind::attempt>(bits, plan_.index);
  note.n[0] = endpoint_->index << 16 | static_cast<std::uint32_t>(status);
  note.n[1] = static_cast<std::uint32_t>(outcome) << 8;
  if (status == 0) note.n[1] |= static_cast<std::uint32_t>(attempt_error(outcome));
  const TimePoint from = call_started_;
  note.n[2] = to_ticks(from - exchange_.started);
  note.n[3] = call.reused() ? 0 : call.connected() ? to_ticks(call.connected_at() - from) : Attempt::kNever;
  note.n[4] = head_at_ != TimePoint{} ? to_ticks(head_at_ - from) : Attempt::kNever;
  note.n[5] = to_ticks(exchange_.record.upstream_time);
}

void Relay::refuse_open() {
  exchange_.set_retry_after(target_.shared().breaker().retry_after(now()));
  exchange_.refuse("breaker", Problem::circuit_open);
  upstream_done_ = done_ = true;
  exchange_.release_stages();
}

bool Relay::choose_endpoint() {
  if (endpoint_ != nullptr) return true;
  upstream::WorkerUpstream::Choice choice;
  choice.now = now();
  choice.tried = {tried_.data(), tried_count_};
  if (target_.options().balance == upstream::Balance::hash) choice.hash = hash_of_key();
  endpoint_ = target_.pick(exchange_.worker.random, choice);
  if (endpoint_ != nullptr) {
    if (endpoint_->ejects) endpoint_ticket_ = endpoint_->enter(now());
    return true;
  }
  upstream_failed(Problem::no_endpoint, "every endpoint is drained", resilience::Outcome::neutral);
  return false;
}

std::uint64_t Relay::hash_of_key() {
  std::string_view key;
  if (!limit_key(exchange_, plan_.hash_key, exchange_.route->options.name, &key))
    return exchange_.worker.random();
  const base::SipKey fixed{0x77656972, 0x6b657973};  // the same in every gateway
  return base::siphash13(fixed, key);
}

bool Relay::needs_address() { return !endpoint_->pool->resolved(); }

void Relay::address_failed() {
  if (second_ != nullptr) drop_second(upstream::HedgeEnd::abandoned);
  upstream_failed(Problem::upstream_unreachable, "the endpoint's name does not resolve",
                  target_.options().failure_on.classify_kind(resilience::FailureKind::connect));
}

bool Relay::start() {
  upstream_done_ = done_ = retry_ = false;
  body_sent_ = 0;
  if (exchange_.deadline.expired(now())) {  // no call begins after its deadline
    if (second_ != nullptr) drop_second(upstream::HedgeEnd::abandoned);
    upstream_failed(own_limit_ ? Problem::upstream_timeout : Problem::deadline_exceeded,
                    "the time is used up", resilience::Outcome::cancelled);
    return false;
  }
  if (call_ == nullptr) call_ = exchange_.worker.take_call();
  if (++exchange_.record.attempts > 1) {
    note_span(0);  // of a connection that had died while it was idle
    begin_call(exchange_);
  }
  span_open_ = exchange_.tracing.recording;
  attempt_open_ = true;
  start_error_ = ErrorCode::timed_out;
  call_started_ = now();
  head_at_ = {};
  if (target_.hedge() != nullptr && second_ == nullptr) plan_hedge();
  if (const auto& retries = target_.options().retries; retries && retries->per_try)
    try_deadline_ = Deadline::after(call_started_, *retries->per_try);
  std::unique_ptr<upstream::Connection> connection = fresh_only_ ? nullptr : endpoint_->pool->take_idle();
  if (connection == nullptr) {
    Result<std::unique_ptr<upstream::Connection>> made = endpoint_->pool->connect(address_tries_++);
    if (!made) {
      const bool ours =
          made.error().code == ErrorCode::out_of_descriptors || made.error().code == ErrorCode::out_of_memory;
      start_error_ = made.error().code;
      upstream_failed(ours ? Problem::overloaded : Problem::upstream_unreachable,
                      to_string(made.error().code),
                      target_.options().failure_on.classify_error(made.error()));
      return !done_;  // a second call may still be under way
    }
    connection = std::move(*made);
  }
  begin_call_on(std::move(connection));
  return true;
}

void Relay::begin_call_on(std::unique_ptr<upstream::Connection> connection) {
  if (!counted_) ++endpoint_->in_flight, counted_ = true;
  http::HeadBuffer head = call_->take_buffer();
  render_request(head);
  const http::RequestHead& request = exchange_.request;
  http::BodyKind kind = request.body;
  std::uint64_t length = request.content_length;
  if (whole_body_ && kind != http::BodyKind::none)
    kind = http::BodyKind::length, length = exchange_.body.size();
  http::append_framing(head, kind, length);
  http::end_head(head);
  call_->start(std::move(connection), request.method, std::move(head), kind, length,
               target_.options().timeouts, now());
  call_->watch(exchange_.waiter);
}

void Relay::render_request(http::HeadBuffer& head) {
  const http::RequestHead& request = exchange_.request;
  http::append_request_line(head, request.method_text, upstream_path(exchange_), request.query,
                            request.has_query);
  switch (plan_.host) {
    case config::Upstream::Host::preserve:
      if (!request.authority.empty()) {
        http::append_field(head, "Host", request.authority);
        break;
      }
      [[fallthrough]];  // HTTP/1.0 without Host: the endpoint's own name is better than none
    case config::Upstream::Host::upstream: {
      http::append_field(head, "Host", upstream::host_of(endpoint_->options));
      break;
    }
    case config::Upstream::Host::name:
      http::append_field(head, "Host", plan_.host_name);
      break;
  }
  each_upstream_field(exchange_, plan_, [&](std::string_view name, std::string_view value, http::Name) {
    head.add_field(name, value);
  });
  http::append_field(head, "Via", request.version_minor == 0 ? "1.0 weir" : "1.1 weir");
}

bool Relay::step() {
  bool moved = false;
  if (!upstream_done_) {
    moved |= push_request();
    if (!upstream_done_) moved |= pull_answer();
    if (second_ != nullptr && !upstream_done_) moved |= step_second();
  }
  if (!done_) moved |= push_answer();
  return moved || done_;
}

bool Relay::push_request() {
  bool moved = false;
  Downstream& client = *exchange_.downstream;
  while (!call_->request_sent()) {
    std::string_view payload = std::string_view(exchange_.body).substr(body_sent_);
    bool last = whole_body_;
    const bool from_buffer = !payload.empty() || whole_body_;
    if (!from_buffer) {
      if (client.body_bytes().empty() && client.body_state() == BodyState::open) {
        bool read = false;
        client.read_body(&read);
        moved |= read;
      }
      if (body_failed(client.body_state())) return true;
      payload = client.body_bytes();
      last = client.body_state() == BodyState::done;
    }
    std::size_t used = 0;
    const bool pushed = call_->push(payload, last, now(), &used);
    if (from_buffer)
      body_sent_ += used;
    else
      client.consume_body(used);
    if (!pushed) break;
    moved = true;
  }
  return moved;
}

// A body that goes wrong behind the buffer: the upstream has seen a part of it, so its call is broken off.
bool Relay::body_failed(BodyState state) {
  if (state == BodyState::gone) return client_left(), true;
  if (state != BodyState::failed) return false;
  const http::Fault& fault = exchange_.downstream->body_fault();
  finish_call(resilience::Outcome::neutral);
  exchange_.refuse("sanitize", Problem::bad_request, fault.what, fault.status);
  exchange_.own.close = true;
  if (exchange_.downstream->answer_started()) exchange_.downstream->abort_answer();
  done_ = true;
  return true;
}

bool Relay::pull_answer() {
  bool moved = call_->pull(now());
  while (call_->head_ready() && call_->head().status < 200) {
    pass_interim();
    call_->next_head();
    moved |= call_->pull(now());
  }
  Downstream& client = *exchange_.downstream;
  if (call_->failure() != upstream::CallFailure::none) {
    const upstream::CallFailure failure = call_->failure();
    retry_ = failure == upstream::CallFailure::broken && call_->reused() && !call_->any_byte_received() &&
             whole_body_ && (http::is_idempotent(exchange_.request.method) || !call_->any_byte_sent());
    const bool next_address =
        failure == upstream::CallFailure::connect_failed && address_tries_ < endpoint_->pool->addresses();
    if (retry_ || next_address) {
      exchange_.record.upstream_time = now() - call_started_;
      note_attempt(resilience::Outcome::neutral, 0, false);
      fresh_only_ = retry_ = done_ = upstream_done_ = true;
      return true;
    }
    const std::string_view detail = failure == upstream::CallFailure::malformed ? call_->fault().what
                                    : !call_->detail().empty()                  ? call_->detail()
                                                                                : to_string(call_->error());
    upstream_failed(problem_of(failure), detail,
                    target_.options().failure_on.classify_kind(kind_of(failure)));
    return true;
  }
  if (call_->head_ready() && head_at_ == TimePoint{}) {
    head_at_ = now();
    if (second_ != nullptr && is_failure(*call_) &&
        go_on_with_second(target_.options().failure_on.classify_status(call_->head().status)))
      return true;
    if (plan_.retry && answer_is_failure()) return true;
    hedge_at_ = TimePoint::max();
    if (second_ != nullptr) drop_second(upstream::HedgeEnd::lost);
    if (resilience::HedgePolicy* hedge = target_.hedge(); hedge != nullptr && !is_failure(*call_))
      hedge->record(now() - asked_at_, now());
  }
  if (call_->head_ready() && !client.answer_started()) start_answer();
  if (call_->complete()) {
    upstream_complete();
    return true;
  }
  // The client does not keep up and the buffer is full: a larger one, so that upstream, ticket and place come free.
  if (!moved && call_->head_ready() && client.write_blocked() && call_->make_room())
    moved = call_->pull(now());
  if (call_->complete()) upstream_complete();
  return moved;
}

void Relay::pass_interim() {
  const http::ResponseHead& head = call_->head();
  // 100 answers an Expect that weir has dealt with itself.
  if (head.status != 100) exchange_.downstream->send_interim(head.status, head.fields);
}

// What is for upstreams stays behind the gate, also when one of them sends it back.
bool Relay::is_owned(const http::Field& field) const noexcept {
  return field.id == http::Name::other && exchange_.plan->plan->owned_names.owns(field.name);
}

void Relay::start_answer() {
  const http::ResponseHead& head = call_->head();
  AnswerHead& answer = exchange_.answer;
  answer.clear();
  answer.status = head.status;
  answer.reason = head.reason;
  call_->swap_fields(answer.fields);  // what of them is hop by hop stays behind in start_answer()
  const auto owned = [&](const http::Field& field) { return is_owned(field); };
  if (std::any_of(answer.fields.begin(), answer.fields.end(), owned)) answer.fields.remove_if(owned);
  answer.body = head.body;
  answer.content_length = head.content_length;
  if (head.body == http::BodyKind::none && head.said_length) {
    answer.says_length = true;
    answer.content_length = *head.said_length;
  } else if (head.body == http::BodyKind::chunked || head.body == http::BodyKind::until_close) {
    // Complete already: its length is known after all.
    answer.body = call_->complete() ? http::BodyKind::length : http::BodyKind::until_close;
    answer.content_length = call_->body().payload().size();
  }
  if (exchange_.tee != nullptr) discards_ = exchange_.tee->head(answer, head.body);
  if (exchange_.explain) [[unlikely]] {
    exchange_.record.upstream_time = now() - call_started_;
    note_attempt(resilience::Outcome::success, head.status, true);
    finish_answer_head(exchange_, answer);
    exchange_.notes.drop_attempt();
  } else {
    finish_answer_head(exchange_, answer);
  }
  exchange_.record.status = answer.status;
  exchange_.downstream->start_answer(answer);
  call_->head_copied();
}

// All that waits: before it is thrown away, or before the call's end lets others look at what was kept.
void Relay::tee_rest() {
  const std::string_view payload = call_->body().payload();
  if (payload.size() > teed_) exchange_.tee->body(payload.substr(teed_));
  teed_ = payload.size();
}

bool Relay::push_answer() {
  Downstream& client = *exchange_.downstream;
  if (!client.answer_started()) return false;
  const std::uint64_t before = client.bytes_sent();
  const bool last = call_->complete();
  if (discards_) {
    tee_rest();
    const std::size_t seen = std::exchange(teed_, 0);
    call_->body().consume(seen);
    if (!client.answer_finished()) client.write_answer({}, true);
    if (client.gone()) return client_left(), true;
    if (client.answer_finished() && last) done_ = true;
    return seen != 0 || client.bytes_sent() != before || done_;
  }
  const std::string_view payload = call_->body().payload();
  const std::size_t taken = client.write_answer(payload, last);
  if (exchange_.tee != nullptr) {
    if (taken > teed_) exchange_.tee->body(payload.substr(teed_, taken - teed_));
    teed_ -= std::min(teed_, taken);
  }
  call_->body().consume(taken);
  if (client.gone()) {
    client_left();
    return true;
  }
  if (client.answer_finished()) done_ = true;
  return client.bytes_sent() != before || done_;
}

bool Relay::waits_for_body() noexcept {
  const Downstream& client = *exchange_.downstream;
  return !upstream_done_ && !whole_body_ && body_sent_ == exchange_.body.size() && !call_->request_sent() &&
         client.body_state() == BodyState::open && client.body_bytes().empty();
}

Deadline Relay::due() noexcept {
  Deadline deadline = Deadline::never();
  const bool blocked = exchange_.downstream->write_blocked();
  if (!upstream_done_) {
    deadline = exchange_.deadline.shrunk_to(watch_.gone_deadline());
    const bool client_holds_it_up = waits_for_body() || (blocked && call_->head_ready());
    if (!client_holds_it_up || !call_->connected()) deadline = deadline.shrunk_to(call_->due());
    if (!call_->head_ready()) deadline = deadline.shrunk_to(try_deadline_).shrunk_to(hedge_at_);
    if (second_ != nullptr)
      deadline = deadline.shrunk_to(second_->call->due()).shrunk_to(second_->try_deadline);
    if (waits_for_body()) deadline = deadline.shrunk_to(watch_.read_deadline());
  }
  if (blocked) deadline = deadline.shrunk_to(watch_.write_deadline());
  return deadline;
}

void Relay::woke(io::Wake wake) {
  const bool waited_for_body = waits_for_body();
  watch_.observe(waited_for_body);
  Downstream& client = *exchange_.downstream;
  if (wake == io::Wake::cancelled || client.gone() || watch_.stalled()) return client_left();
  if (upstream_done_) return;
  if (watch_.gone()) return client_left();
  if (exchange_.deadline.expired(now())) {
    if (second_ != nullptr) drop_second(upstream::HedgeEnd::abandoned);
    // The client's own budget says nothing about the upstream; a limit set for this call does.
    if (own_limit_)
      return upstream_failed(Problem::upstream_timeout, "the time is used up",
                             target_.options().failure_on.classify_kind(resilience::FailureKind::timeout));
    return upstream_failed(Problem::deadline_exceeded, "the time is used up", resilience::Outcome::cancelled);
  }
  if (!call_->head_ready() && try_deadline_.expired(now()))
    return upstream_failed(Problem::upstream_timeout, "this try took too long",
                           target_.options().failure_on.classify_kind(resilience::FailureKind::timeout));
  if (waited_for_body && watch_.read_stalled()) {
    finish_call(resilience::Outcome::neutral);
    exchange_.refuse("sanitize", Problem::bad_request, "the body did not arrive in time", 408);
    exchange_.own.close = true;
    if (client.answer_started()) client.abort_answer();
    done_ = true;
    return;
  }
  if (second_ != nullptr) second_->call->expire(now());
  if (hedge_at_ <= now() && !call_->head_ready()) begin_second();
  if (wake == io::Wake::timeout && !waited_for_body) call_->expire(now());
  if (wake == io::Wake::timeout && !call_->connected()) call_->expire(now());
}

bool Relay::retry() { return retry_; }

void Relay::upstream_complete() {
  if (upstream_done_) return;
  if (exchange_.tee != nullptr) {
    tee_rest();
    exchange_.tee->complete();
  }
  finish_call(target_.options().failure_on.classify_status(call_->head().status));
}

void Relay::upstream_failed(Problem problem, std::string_view detail, resilience::Outcome outcome) {
  if (second_ != nullptr && go_on_with_second(outcome)) return;
  if (try_again(outcome)) return;
  finish_call(outcome);
  if (exchange_.downstream->answer_started()) {
    exchange_.record.problem = problem;
    exchange_.downstream->abort_answer();
  } else {
    exchange_.refuse("upstream", problem, detail);
  }
  done_ = true;
}

void Relay::client_left() {
  if (!upstream_done_) finish_call(resilience::Outcome::cancelled);
  exchange_.record.client_gone = true;
  exchange_.downstream->abort_answer();
  done_ = true;
}

// An answer that is a failure, and the policy allows another try: the client never sees it.
bool Relay::answer_is_failure() {
  return is_failure(*call_) && try_again(target_.options().failure_on.classify_status(call_->head().status));
}

bool Relay::is_failure(const upstream::Call& call) const {
  const resilience::Outcome outcome = target_.options().failure_on.classify_status(call.head().status);
  return outcome == resilience::Outcome::failure || outcome == resilience::Outcome::throttled;
}

// Whether, and when, this call will be too late to be waited for alone.
void Relay::plan_hedge() {
  asked_at_ = call_started_;
  hedge_at_ = TimePoint::max();
  const bool covered = target_.options().hedge->covers(exchange_.request.method) && whole_body_ &&
                       exchange_.body.size() <= upstream::kHedgedBody;
  if (!covered || attempt_ > 0) return;
  const std::optional<Duration> after = target_.hedge()->delay(now());
  if (after && !exchange_.deadline.expired(now() + *after)) hedge_at_ = now() + *after;
}

// The same request to another endpoint, if there is one, the breaker admits it and the budget pays for it.
void Relay::begin_second() {
  hedge_at_ = TimePoint::max();
  upstream::WorkerUpstream::Choice choice;
  choice.now = now();
  tried_[tried_count_] = endpoint_;  // for this choice; it counts as tried only when it has failed
  choice.tried = {tried_.data(), tried_count_ + 1};
  if (target_.options().balance == upstream::Balance::hash) choice.hash = hash_of_key();
  upstream::WorkerUpstream::Endpoint* other = target_.pick(exchange_.worker.random, choice);
  const auto tried = std::find(choice.tried.begin(), choice.tried.end(), other);
  if (other == nullptr || tried != choice.tried.end() || !other->pool->resolved()) return;
  auto second = std::make_unique<Second>();
  if (target_.options().breaker) {
    second->ticket = target_.shared().breaker().try_enter(now());
    if (!second->ticket) return;
  }
  if (!target_.shared().budget().try_spend(now()))
    return target_.shared().count(upstream::HedgeEnd::no_budget);
  std::unique_ptr<upstream::Connection> connection = other->pool->take_idle();
  if (connection == nullptr) {
    Result<std::unique_ptr<upstream::Connection>> made = other->pool->connect(0);
    if (!made) return target_.shared().count(upstream::HedgeEnd::failed);
    connection = std::move(*made);
  }
  second->endpoint = other;
  second->endpoint_ticket = other->enter(now());
  second->call = exchange_.worker.take_call();
  second->started = now();
  if (const auto& retries = target_.options().retries; retries && retries->per_try)
    second->try_deadline = Deadline::after(now(), *retries->per_try);
  second->span = exchange_.tracing.call;  // swapped back below
  second_ = std::move(second);
  ++exchange_.record.attempts;
  begin_call(exchange_);
  std::swap(second_->span, exchange_.tracing.call);
  swap_calls();
  begin_call_on(std::move(connection));
  swap_calls();
}

void Relay::swap_calls() noexcept {
  Second& other = *second_;
  std::swap(ticket_, other.ticket);
  std::swap(endpoint_ticket_, other.endpoint_ticket);
  std::swap(endpoint_, other.endpoint);
  std::swap(call_, other.call);
  std::swap(call_started_, other.started);
  std::swap(head_at_, other.head_at);
  std::swap(try_deadline_, other.try_deadline);
  std::swap(body_sent_, other.body_sent);
  std::swap(address_tries_, other.address_tries);
  std::swap(counted_, other.counted);
  std::swap(fresh_only_, other.fresh_only);
  std::swap(exchange_.tracing.call, other.span);
}

// Moves the second call. When its head is there and good it becomes the call, and the late one is dropped.
bool Relay::step_second() {
  Second& second = *second_;
  const std::string_view rest = std::string_view(exchange_.body).substr(second.body_sent);
  std::size_t used = 0;
  bool moved = second.call->push(rest, true, now(), &used);
  second.body_sent += used;
  moved |= second.call->pull(now());
  while (second.call->head_ready() && second.call->head().status < 200) {
    second.call->next_head();  // hints of a call that may lose are nobody's
    moved |= second.call->pull(now());
  }
  const upstream::CallFailure failure = second.call->failure();
  const bool late = !second.call->head_ready() && second.try_deadline.expired(now());
  if (failure != upstream::CallFailure::none || late ||
      (second.call->head_ready() && is_failure(*second.call))) {
    const resilience::FailureOn& judge = target_.options().failure_on;
    const resilience::Outcome outcome = late ? judge.classify_kind(resilience::FailureKind::timeout)
                                        : failure != upstream::CallFailure::none
                                            ? judge.classify_kind(kind_of(failure))
                                            : judge.classify_status(second.call->head().status);
    swap_calls();
    end_attempt(outcome);
    swap_calls();
    span_open_ = exchange_.tracing.recording;
    attempt_open_ = true;
    drop_second(upstream::HedgeEnd::failed);
    return true;
  }
  if (!second.call->head_ready()) return moved;
  swap_calls();
  drop_second(upstream::HedgeEnd::won);
  return true;
}

// The first call has failed; true: the second one is the call from now on.
bool Relay::go_on_with_second(resilience::Outcome outcome) {
  if (exchange_.downstream->answer_started()) return false;
  end_attempt(outcome);
  if (tried_count_ < kTriedMax - 1) tried_[tried_count_++] = endpoint_;
  swap_calls();
  drop_second(upstream::HedgeEnd::won);
  upstream_done_ = done_ = retry_ = false;
  span_open_ = exchange_.tracing.recording;
  attempt_open_ = true;
  return true;
}

// Whatever stands in second_ is over: its ticket goes back unsettled, its connection closes.
void Relay::drop_second(upstream::HedgeEnd end) {
  if (second_->call != nullptr && second_->call->active() && exchange_.tracing.recording) {
    CallSpan span = span_of_call();
    span.span = second_->span;
    span.start = second_->started;
    span.endpoint = &second_->endpoint->options;
    span.error = "cancelled";
    exchange_.tracing.calls.push_back(span);
  }
  if (second_->call != nullptr && second_->call->active()) {
    swap_calls();
    const bool open = std::exchange(attempt_open_, true);
    exchange_.record.upstream_time = now() - call_started_;
    note_attempt(resilience::Outcome::cancelled, 0, false);
    attempt_open_ = open;
    swap_calls();
  }
  if (second_->counted) --second_->endpoint->in_flight;
  if (second_->call != nullptr) exchange_.worker.return_call(std::move(second_->call));
  second_.reset();
  target_.shared().count(end);
}

// What the upstream asks for in Retry-After (RFC 9110 10.2.3), where it is a number of seconds.
Duration Relay::asked_wait() const {
  if (call_ == nullptr || !call_->head_ready()) return {};
  const http::Field* field = call_->head().fields.find("Retry-After");
  if (field == nullptr) return {};
  const std::optional<std::uint64_t> seconds = base::parse_u64(base::trim(field->value));
  constexpr std::uint64_t kMost = 86'400;  // beyond a day nobody waits
  return std::chrono::seconds{std::min(seconds.value_or(0), kMost)};
}

bool Relay::try_again(resilience::Outcome outcome) {
  if (!plan_.retry || upstream_done_) return false;
  resilience::FailedAttempt failed;
  failed.number = attempt_;
  failed.outcome = outcome;
  failed.progress = resilience::progress_of(call_ != nullptr && call_->active() && call_->any_byte_sent(),
                                            exchange_.request.method_text);
  failed.answer_started = exchange_.downstream->answer_started();
  failed.body_kept = whole_body_;
  failed.retry_after = asked_wait();
  const resilience::RetryDecision decision = plan_.retry->decide(
      failed, exchange_.deadline, now(), target_.shared().budget(), exchange_.worker.random);
  if (!decision.retry) return false;
  end_attempt(outcome);
  again_ = done_ = true;
  retry_at_ = now() + decision.wait;
  return true;
}

void Relay::waited(io::Wake wake) {
  watch_.observe(false);
  if (wake != io::Wake::cancelled && !exchange_.downstream->gone() && !watch_.gone()) return;
  again_ = false;
  client_left();
}

void Relay::begin_again() {
  if (tried_count_ < kTriedMax - 1) tried_[tried_count_++] = endpoint_;
  ++attempt_;
  if (call_ != nullptr) call_->reset();
  endpoint_ = nullptr;
  address_tries_ = 0;
  again_ = fresh_only_ = retry_ = done_ = upstream_done_ = false;
}

// One attempt, for the trace.
void Relay::note_span(int status) {
  if (!std::exchange(span_open_, false) || call_ == nullptr) return;
  CallSpan span = span_of_call();
  span.status = status;
  if (status == 0) span.error = to_string(call_->error());
  exchange_.tracing.calls.push_back(span);
}

CallSpan Relay::span_of_call() const {
  CallSpan span;
  span.span = exchange_.tracing.call;
  span.parent = exchange_.tracing.context.span;
  span.start = call_started_;
  span.end = now();
  span.method = exchange_.request.method;
  if (endpoint_ != nullptr) span.endpoint = &endpoint_->options;
  span.resent = exchange_.record.attempts > 1 ? exchange_.record.attempts - 1 : 0;
  return span;
}

ErrorCode Relay::attempt_error(resilience::Outcome outcome) const noexcept {
  if (call_->failure() != upstream::CallFailure::none) return call_->error();
  return outcome == resilience::Outcome::cancelled ? ErrorCode::cancelled : start_error_;
}

// One attempt is over: its ticket and its connection go back.
void Relay::end_attempt(resilience::Outcome outcome) {
  if (call_ != nullptr) exchange_.record.upstream_time = now() - call_started_;
  const int status = call_ != nullptr && call_->head_ready() ? call_->head().status : 0;
  if (endpoint_ticket_) {
    resilience::CircuitBreaker::Detail detail;
    detail.tag = 1;
    endpoint_ticket_->settle(outcome, now(), detail);
    endpoint_ticket_.reset();
  }
  if (ticket_) {
    resilience::CircuitBreaker::Detail detail;
    if (outcome == resilience::Outcome::failure || outcome == resilience::Outcome::throttled) {
      target_.shared().note_failure(exchange_.id, status != 0 && (call_->complete() || again_ || plan_.retry)
                                                      ? std::to_string(status)
                                                  : call_ != nullptr ? std::string(to_string(call_->error()))
                                                                     : std::string("unresolved"));
      detail.tag = base::fnv1a64(exchange_.id) | 1U;
      detail.retry_after = asked_wait();
    }
    if (head_at_ != TimePoint{}) detail.latency = head_at_ - call_started_;
    ticket_->settle(outcome, now(), detail);
    ticket_.reset();
  }
  note_span(status);
  note_attempt(outcome, status, false);
  if (call_ != nullptr) call_->release();
  if (counted_) --endpoint_->in_flight, counted_ = false;
  exchange_.worker.count_call(*exchange_.plan, plan_.index, exchange_.request.method, status,
                              exchange_.record.upstream_time);
}

// The upstream's part is over: ticket, connection and place go back now, whatever is still to be written.
void Relay::finish_call(resilience::Outcome outcome) {
  if (second_ != nullptr) drop_second(upstream::HedgeEnd::abandoned);
  upstream_done_ = true;
  end_attempt(outcome);
  exchange_.release_stages();
}

}  // namespace weir::gateway
