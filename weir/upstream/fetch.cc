// The same call as a relay's, with a string in place of a client.
#include "weir/upstream/fetch.h"

#include <optional>

#include "weir/http/serializer.h"
#include "weir/io/waiter.h"
#include "weir/resilience/classify.h"

namespace weir::upstream {
namespace {

// A body that two fast peers push never has to wait: after so many buffers others get a turn.
constexpr int kStepsATurn = 64;

class Fetch {
 public:
  Fetch(WorkerUpstream& target, FetchOrder& order, http::FetchResponse& response, Call& call,
        async::Loop& loop)
      : waiter(loop), target_(target), order_(order), response_(response), call_(call), loop_(loop) {}
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
  bool pick(base::Random& random) {
    WorkerUpstream::Choice choice;
    choice.now = loop_.now();
    choice.hash = random();
    endpoint_ = target_.pick(random, choice);
    return endpoint_ != nullptr;
  }
  EndpointPool& pool() noexcept { return *endpoint_->pool; }

  bool start() {
    order_.endpoint = &endpoint_->options;
    ++order_.attempts;
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
    call_.watch(&waiter);
    return true;
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
      if (response_.body.size() + payload.size() > order_.body_max) return too_large(), true;
      response_.body.append(payload);
      moved |= !payload.empty();
      call_.body().consume(payload.size());
    }
    if (call_.complete()) succeed(), moved = true;
    return moved;
  }

  Deadline due() const { return order_.deadline.shrunk_to(call_.due()); }

  void woke(io::Wake wake) {
    if (order_.deadline.expired(loop_.now()))
      return fail(http::FetchFailure::timeout,
                  target_.options().failure_on.classify_kind(resilience::FailureKind::timeout));
    if (wake == io::Wake::timeout) call_.expire(loop_.now());
  }

  bool done() const noexcept { return done_; }
  bool again() noexcept { return std::exchange(again_, false); }
  http::FetchFailure result() const noexcept { return result_; }

  void fail(http::FetchFailure failure, resilience::Outcome outcome) {
    result_ = failure;
    finish(outcome);
  }

  io::Waiter waiter;

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
    if (head.body == http::BodyKind::length)
      response_.body.reserve(static_cast<std::size_t>(head.content_length) + http::kBodyPadding);
    call_.head_copied();
    head_taken_ = true;
    return true;
  }

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
  std::optional<resilience::CircuitBreaker::Ticket> ticket_;
  WorkerUpstream::Endpoint* endpoint_ = nullptr;
  std::size_t address_tries_ = 0;
  std::size_t body_sent_ = 0;
  http::FetchFailure result_ = http::FetchFailure::none;
  bool counted_ = false;
  bool fresh_only_ = false;
  bool head_taken_ = false;
  bool again_ = false;
  bool done_ = false;
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
  response.clear();
  Fetch work(target, order, response, call, loop);
  if (!work.enter_breaker()) co_return http::FetchFailure::unavailable;
  if (!work.pick(random)) co_return http::FetchFailure::unavailable;
  do {
    if (!work.pool().resolved()) {
      const Deadline until = order.deadline.shrunk_to(loop.now() + target.options().timeouts.connect);
      const Result<void> resolved = co_await work.pool().resolve(until);
      if (!resolved) {
        work.fail(http::FetchFailure::unresolved,
                  target.options().failure_on.classify_kind(resilience::FailureKind::connect));
        break;
      }
    }
    if (!work.start()) break;
    bool again = false;
    for (int steps = 1; !work.done() && !again; ++steps) {
      const bool moved = work.step();
      again = work.again();
      if (again || work.done() || (moved && steps % kStepsATurn != 0)) continue;
      if (moved) {
        co_await work.waiter.yield();
        continue;
      }
      const io::Wake wake = co_await work.waiter.wait(work.due());
      work.woke(wake);
    }
  } while (!work.done());
  co_return work.result();
}

}  // namespace weir::upstream
