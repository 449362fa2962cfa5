// The same call as a relay's, with a string in place of a client.
#include "weir/upstream/fetch.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "weir/base/strings.h"
#include "weir/http/serializer.h"
#include "weir/io/waiter.h"
#include "weir/resilience/classify.h"
#include "weir/upstream/content_decoder.h"

namespace weir::upstream {
namespace {

// A body that two fast peers push never has to wait: after so many buffers others get a turn.
constexpr int kStepsATurn = 64;

class Fetch {
 public:
  Fetch(WorkerUpstream& target, FetchOrder& order, http::FetchResponse& response, Call& call,
        async::Loop& loop, io::Waiter& waiter)
      : target_(target), order_(order), response_(response), call_(call), loop_(loop), waiter_(waiter) {}
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;
  ~Fetch() {
    if (counted_) --endpoint_->in_flight;
    call_.reset();
  }

  bool enter_breaker() {
    if (!target_.options().breaker) return true;
    ticket_ = target_.shared().breaker().try_enter(loop_.now());
    return ticket_.has_value();
  }

  // False: every endpoint is drained.
  bool pick(base::Random& random, std::span<const WorkerUpstream::Endpoint* const> tried) {
    WorkerUpstream::Choice choice;
    choice.now = loop_.now();
    choice.hash = random();
    choice.tried = tried;
    endpoint_ = target_.pick(random, choice);
    if (endpoint_ == nullptr) return false;
    endpoint_ticket_ = endpoint_->enter(loop_.now());
    return true;
  }
  const WorkerUpstream::Endpoint* endpoint() const noexcept { return endpoint_; }
  EndpointPool& pool() noexcept { return *endpoint_->pool; }

  bool start() {
    if (order_.until().expired(loop_.now())) {
      fail(http::FetchFailure::timeout, resilience::Outcome::cancelled);
      return false;
    }
    order_.endpoint = &endpoint_->options;
    order_.endpoint_index = endpoint_->index;
    ++order_.attempts;
    started_ = loop_.now();
    if (const auto& retries = target_.options().retries; retries && retries->per_try)
      try_deadline_ = Deadline::after(started_, *retries->per_try);
    std::unique_ptr<Connection> connection = fresh_only_ ? nullptr : pool().take_idle();
    if (connection == nullptr) {
      Result<std::unique_ptr<Connection>> made = pool().connect(address_tries_++);
      if (!made) {
        const bool ours = made.error().code == ErrorCode::out_of_descriptors ||
                          made.error().code == ErrorCode::out_of_memory;
        fail(ours ? http::FetchFailure::overloaded : http::FetchFailure::refused,
             target_.options().failure_on.classify_error(made.error()));
        return false;
      }
      connection = std::move(*made);
    }
    if (!counted_) ++endpoint_->in_flight, counted_ = true;
    http::HeadBuffer head = call_.take_buffer();
    head.clear();
    const http::BodyKind kind = order_.body.empty() ? http::BodyKind::none : http::BodyKind::length;
    render(head, kind);
    body_sent_ = 0;
    call_.start(std::move(connection), order_.method, std::move(head), kind, order_.body.size(),
                target_.options().timeouts, loop_.now());
    call_.watch(&waiter_);
    return true;
  }

  // Broken off because another call was better: nobody's failure.
  void abandon() {
    ticket_.reset();
    endpoint_ticket_.reset();
    call_.reset();
    if (counted_) --endpoint_->in_flight, counted_ = false;
    done_ = true;
  }
  bool head_taken() const noexcept { return head_taken_; }
  TimePoint started() const noexcept { return started_; }
  // Also of an answer that came whole: it says 5xx, say.
  bool failed_answer() const {
    const resilience::Outcome outcome = head_taken_
                                            ? target_.options().failure_on.classify_status(response_.status)
                                            : resilience::Outcome::success;
    return outcome == resilience::Outcome::failure || outcome == resilience::Outcome::throttled;
  }
  resilience::FailedAttempt failed_attempt() const {
    resilience::FailedAttempt failed;
    failed.outcome = outcome_;
    failed.progress = resilience::progress_of(byte_sent_, http::to_string(order_.method));
    if (const http::Field* field = response_.fields.find("Retry-After")) {
      constexpr std::uint64_t kMost = 86'400;  // beyond a day nobody waits
      failed.retry_after =
          std::chrono::seconds{std::min(base::parse_u64(base::trim(field->value)).value_or(0), kMost)};
    }
    return failed;
  }

  // False: nothing could move.
  bool step() {
    const TimePoint now = loop_.now();
    std::size_t used = 0;
    bool moved = call_.push(order_.body.substr(body_sent_), true, now, &used);
    body_sent_ += used;
    moved |= call_.pull(now);
    while (call_.head_ready() && call_.head().status < 200) {
      call_.next_head();
      moved |= call_.pull(now);
    }
    if (call_.failure() != CallFailure::none) return failed(), true;
    if (call_.head_ready() && !head_taken_ && !take_head()) return true;
    if (head_taken_) {
      const std::string_view payload = call_.body().payload();
      const ContentDecoder::Fed fed = decoder_.feed(payload, response_.body, order_.body_max);
      if (fed == ContentDecoder::Fed::too_large) return too_large(), true;
      if (fed == ContentDecoder::Fed::broken) return undecodable(), true;
      moved |= !payload.empty();
      call_.body().consume(payload.size());
    }
    if (call_.complete()) {
      if (decoder_.complete())
        succeed();
      else
        undecodable();
      moved = true;
    }
    return moved;
  }

  Deadline due() const {
    const Deadline due = order_.until().shrunk_to(call_.due());
    return head_taken_ ? due : due.shrunk_to(try_deadline_);
  }

  void woke(io::Wake wake) {
    if (order_.until().expired(loop_.now()) || (!head_taken_ && try_deadline_.expired(loop_.now())))
      return fail(http::FetchFailure::timeout,
                  target_.options().failure_on.classify_kind(resilience::FailureKind::timeout));
    if (wake == io::Wake::timeout) call_.expire(loop_.now());
  }

  bool done() const noexcept { return done_; }
  // The connection was dead, or the name has another address: start() is next.
  bool again() const noexcept { return again_; }
  bool take_again() noexcept { return std::exchange(again_, false); }
  // Ends a call whose answer is not wanted: it is a failure, or its connection was dead.
  void settle_failure() {
    if (done_) return;
    if (failed_answer())
      finish(target_.options().failure_on.classify_status(response_.status));
    else
      fail(http::FetchFailure::broken,
           target_.options().failure_on.classify_kind(resilience::FailureKind::reset));
  }
  http::FetchFailure result() const noexcept { return result_; }

  void fail(http::FetchFailure failure, resilience::Outcome outcome) {
    result_ = failure;
    finish(outcome);
  }

 private:
  void render(http::HeadBuffer& head, http::BodyKind kind) {
    const std::size_t mark = order_.target.find('?');
    const bool has_query = mark != std::string_view::npos;
    const std::string_view query = has_query ? order_.target.substr(mark + 1) : std::string_view{};
    http::append_request_line(head, http::to_string(order_.method), order_.target.substr(0, mark), query,
                              has_query);
    http::append_field(head, "Host",
                       order_.host.empty() ? host_of(endpoint_->options) : std::string(order_.host));
    for (const auto& fields : {order_.fields, order_.more_fields})
      for (const http::Field& field : fields) http::append_field(head, field.name, field.value);
    http::append_framing(head, kind, order_.body.size());
    http::end_head(head);
  }

  bool take_head() {
    const http::ResponseHead& head = call_.head();
    if (head.body == http::BodyKind::length && head.content_length > order_.body_max)
      return too_large(), false;
    response_.status = head.status;
    response_.copy_fields(head.fields);
    if (order_.decode) {
      if (decoder_.begin(response_.fields.value(http::Name::content_encoding)) ==
          ContentDecoder::Coding::unknown)
        return undecodable(), false;
      response_.fields.remove_if(
          [](const http::Field& field) { return field.id == http::Name::content_encoding; });
    }
    if (head.body == http::BodyKind::length)
      response_.body.reserve(static_cast<std::size_t>(head.content_length) + http::kBodyPadding);
    call_.head_copied();
    head_taken_ = true;
    return true;
  }

  void undecodable() { fail(http::FetchFailure::unencoded, resilience::Outcome::neutral); }

  void too_large() {
    // The service did what it always does; that we do not want so much is no failure of its.
    fail(http::FetchFailure::too_large, resilience::Outcome::neutral);
  }

  void failed() {
    const CallFailure failure = call_.failure();
    const bool safe = http::is_idempotent(order_.method) || !call_.any_byte_sent();
    const bool stale = failure == CallFailure::broken && call_.reused() && !call_.any_byte_received() && safe;
    const bool next_address = failure == CallFailure::connect_failed && address_tries_ < pool().addresses();
    if (stale || next_address) {
      fresh_only_ = again_ = true;
      return;
    }
    const resilience::FailureOn& judge = target_.options().failure_on;
    switch (failure) {
      case CallFailure::connect_failed:
        return fail(http::FetchFailure::refused, judge.classify_kind(resilience::FailureKind::connect));
      case CallFailure::connect_timed_out:
        return fail(http::FetchFailure::connect_timeout,
                    judge.classify_kind(resilience::FailureKind::connect));
      case CallFailure::first_byte_timed_out:
      case CallFailure::idle_timed_out:
        return fail(http::FetchFailure::timeout, judge.classify_kind(resilience::FailureKind::timeout));
      case CallFailure::malformed:
        return fail(http::FetchFailure::malformed, judge.classify_kind(resilience::FailureKind::malformed));
      case CallFailure::broken:
      case CallFailure::none:
        break;
    }
    fail(http::FetchFailure::broken, judge.classify_kind(resilience::FailureKind::reset));
  }

  void succeed() {
    response_.body.reserve(response_.body.size() + http::kBodyPadding);
    result_ = http::FetchFailure::none;
    finish(target_.options().failure_on.classify_status(response_.status));
  }

  void finish(resilience::Outcome outcome) {
    done_ = true;
    outcome_ = outcome;
    byte_sent_ = call_.active() && call_.any_byte_sent();
    if (endpoint_ticket_) {
      resilience::CircuitBreaker::Detail detail;
      detail.tag = 1;
      endpoint_ticket_->settle(outcome, loop_.now(), detail);
      endpoint_ticket_.reset();
    }
    if (ticket_) {
      if (outcome == resilience::Outcome::failure)
        target_.shared().note_failure(order_.request_id, result_ == http::FetchFailure::none
                                                             ? std::to_string(response_.status)
                                                             : std::string(http::proxy_error(result_)));
      resilience::CircuitBreaker::Detail detail;
      detail.tag = 1;
      ticket_->settle(outcome, loop_.now(), detail);
      ticket_.reset();
    }
    call_.release();
    if (counted_) --endpoint_->in_flight, counted_ = false;
  }

  WorkerUpstream& target_;
  FetchOrder& order_;
  http::FetchResponse& response_;
  Call& call_;
  async::Loop& loop_;
  io::Waiter& waiter_;
  std::optional<resilience::CircuitBreaker::Ticket> ticket_;
  std::optional<resilience::CircuitBreaker::Ticket> endpoint_ticket_;
  WorkerUpstream::Endpoint* endpoint_ = nullptr;
  ContentDecoder decoder_;
  std::size_t address_tries_ = 0;
  std::size_t body_sent_ = 0;
  TimePoint started_{};
  Deadline try_deadline_;
  http::FetchFailure result_ = http::FetchFailure::none;
  resilience::Outcome outcome_ = resilience::Outcome::neutral;
  bool byte_sent_ = false;
  bool counted_ = false;
  bool fresh_only_ = false;
  bool head_taken_ = false;
  bool again_ = false;
  bool done_ = false;
};

// The second call and where its answer goes.
struct Spare {
  Spare(WorkerUpstream& target, FetchOrder& order, async::Loop& loop, io::Waiter& waiter)
      : work(target, order, response, *order.spare, loop, waiter) {}
  http::FetchResponse response;
  Fetch work;
};

// One attempt: the call, and perhaps a second one beside it.
class Attempt {
 public:
  Attempt(WorkerUpstream& target, FetchOrder& order, http::FetchResponse& response, Call& call,
          async::Loop& loop, base::Random& random, io::Waiter& waiter)
      : target_(target),
        order_(order),
        response_(response),
        loop_(loop),
        random_(random),
        waiter_(waiter),
        first_(target, order, response, call, loop, waiter) {}

  Fetch& first() noexcept { return first_; }

  // After the first call has started.
  void plan_hedge() {
    resilience::HedgePolicy* hedge = target_.hedge();
    if (hedge == nullptr || order_.spare == nullptr || spare_ != nullptr) return;
    if (!target_.options().hedge->covers(order_.method) || order_.body.size() > kHedgedBody) return;
    const std::optional<Duration> after = hedge->delay(loop_.now());
    if (after && !order_.until().expired(loop_.now() + *after)) hedge_at_ = loop_.now() + *after;
  }

  // False: nothing could move.
  bool step() {
    if (second_only_) return step_second_only();
    bool moved = first_.step();
    if (first_.head_taken() && !head_seen_) first_head();
    if (spare_ == nullptr || first_.again()) return moved;
    if (first_.done()) return go_on_with_second(), true;
    moved |= spare_->work.step();
    if (spare_->work.again() || (spare_->work.done() && !spare_->work.head_taken()) ||
        spare_->work.failed_answer()) {
      spare_->work.settle_failure();
      end_second(HedgeEnd::failed);
    } else if (spare_->work.head_taken()) {
      first_.abandon();
      record();
      go_on_with_second();
    }
    return moved;
  }

  bool again() noexcept { return !second_only_ && first_.take_again(); }
  bool done() const noexcept { return second_only_ ? spare_->work.done() : first_.done(); }
  Deadline due() const {
    if (second_only_) return spare_->work.due();
    const Deadline due = first_.due().shrunk_to(hedge_at_);
    return spare_ != nullptr ? due.shrunk_to(spare_->work.due()) : due;
  }
  void woke(io::Wake wake) {
    if (!second_only_) first_.woke(wake);
    if (spare_ != nullptr) spare_->work.woke(wake);
    if (!first_.done() && hedge_at_ <= loop_.now()) begin_second();
  }

  // The end: the answer is in the response that was asked for.
  http::FetchFailure finish() {
    if (!second_only_) return first_.result();
    response_.clear();
    response_.status = spare_->response.status;
    response_.copy_fields(spare_->response.fields);
    response_.body.swap(spare_->response.body);
    return spare_->work.result();
  }
  resilience::FailedAttempt failed_attempt() const {
    return second_only_ ? spare_->work.failed_attempt() : first_.failed_attempt();
  }
  const WorkerUpstream::Endpoint* endpoint() const noexcept { return first_.endpoint(); }

 private:
  void first_head() {
    head_seen_ = true;
    hedge_at_ = TimePoint::max();
    if (first_.failed_answer()) {  // better an answer of the other one, if it is coming
      if (spare_ != nullptr && !first_.done()) first_.settle_failure();
      return;
    }
    record();
    if (spare_ != nullptr) end_second(HedgeEnd::lost);
  }
  void record() {
    if (resilience::HedgePolicy* hedge = target_.hedge())
      hedge->record(loop_.now() - first_.started(), loop_.now());
  }
  void go_on_with_second() {
    second_only_ = true;
    target_.shared().count(HedgeEnd::won);
  }
  bool step_second_only() {
    bool moved = spare_->work.step();
    if (!spare_->work.take_again()) return moved;
    spare_->work
        .settle_failure();  // a stale connection: the first call has failed as well, so that is the end
    return true;
  }
  void end_second(HedgeEnd end) {
    spare_->work.abandon();
    spare_.reset();
    target_.shared().count(end);
  }

  void begin_second() {
    hedge_at_ = TimePoint::max();
    auto spare = std::make_unique<Spare>(target_, order_, loop_, waiter_);
    const std::array tried{first_.endpoint()};
    if (!spare->work.pick(random_, tried) || spare->work.endpoint() == first_.endpoint()) return;
    if (!spare->work.pool().resolved() || !spare->work.enter_breaker()) return;
    if (!target_.shared().budget().try_spend(loop_.now())) return target_.shared().count(HedgeEnd::no_budget);
    if (!spare->work.start()) return target_.shared().count(HedgeEnd::failed);
    spare_ = std::move(spare);
  }

  WorkerUpstream& target_;
  FetchOrder& order_;
  http::FetchResponse& response_;
  async::Loop& loop_;
  base::Random& random_;
  io::Waiter& waiter_;
  Fetch first_;
  std::unique_ptr<Spare> spare_;
  TimePoint hedge_at_ = TimePoint::max();
  bool head_seen_ = false;
  bool second_only_ = false;
};

// Endpoints that have failed this call.
class Tried {
 public:
  void add(const WorkerUpstream::Endpoint* endpoint) noexcept {
    if (count_ < all_.size()) all_[count_++] = endpoint;
  }
  std::span<const WorkerUpstream::Endpoint* const> all() const noexcept { return {all_.data(), count_}; }

 private:
  std::array<const WorkerUpstream::Endpoint*, 11> all_{};  // the first and at most ten more
  std::size_t count_ = 0;
};

}  // namespace

std::string host_of(const EndpointOptions& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + endpoint.host + "]" : endpoint.host;
  if (endpoint.port != (endpoint.tls != nullptr ? 443 : 80))
    host.append(":").append(std::to_string(endpoint.port));
  return host;
}

async::Task<http::FetchFailure> fetch(WorkerUpstream& target, FetchOrder& order,
                                      http::FetchResponse& response, Call& call, async::Loop& loop,
                                      base::Random& random) {
  io::Waiter waiter(loop);
  Tried tried;
  if (target.retry() || target.hedge() != nullptr) target.shared().budget().request(loop.now());
  for (std::uint32_t number = 0;; ++number) {
    response.clear();
    Attempt attempt(target, order, response, call, loop, random, waiter);
    Fetch& first = attempt.first();
    if (!first.enter_breaker() || !first.pick(random, tried.all())) co_return http::FetchFailure::unavailable;
    do {
      if (!first.pool().resolved()) {
        const Deadline until = order.until().shrunk_to(loop.now() + target.options().timeouts.connect);
        const Result<void> resolved = co_await first.pool().resolve(until);
        if (!resolved) {
          first.fail(http::FetchFailure::unresolved,
                     target.options().failure_on.classify_kind(resilience::FailureKind::connect));
          break;
        }
      }
      if (!first.start()) break;
      attempt.plan_hedge();
      bool again = false;
      for (int steps = 1; !attempt.done() && !again; ++steps) {
        const bool moved = attempt.step();
        again = attempt.again();
        if (again || attempt.done() || (moved && steps % kStepsATurn != 0)) continue;
        if (moved) {
          co_await waiter.yield();
          continue;
        }
        const io::Wake wake = co_await waiter.wait(attempt.due());
        attempt.woke(wake);
      }
    } while (!attempt.done());
    const http::FetchFailure result = attempt.finish();
    if (!target.retry()) co_return result;
    resilience::FailedAttempt failed = attempt.failed_attempt();
    failed.number = number;
    const resilience::RetryDecision decision =
        target.retry()->decide(failed, order.until(), loop.now(), target.shared().budget(), random);
    if (!decision.retry) co_return result;
    tried.add(attempt.endpoint());
    const Deadline until = Deadline::after(loop.now(), decision.wait);
    while (!until.expired(loop.now())) {
      const io::Wake wake = co_await waiter.wait(until);
      static_cast<void>(wake);
    }
  }
}

}  // namespace weir::upstream
