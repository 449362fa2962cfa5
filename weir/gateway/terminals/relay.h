// Relay: one proxied exchange as a state machine that tries and never waits. See proxy.h for what it promises.
#ifndef WEIR_GATEWAY_TERMINALS_RELAY_H_
#define WEIR_GATEWAY_TERMINALS_RELAY_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "weir/gateway/client_watch.h"
#include "weir/gateway/exchange.h"
#include "weir/gateway/plan.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/upstream/call.h"

namespace weir::gateway {

class Relay {
 public:
  Relay(Exchange& exchange, upstream::WorkerUpstream& target, const UpstreamPlan& plan);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // Asked anew for every attempt. False: the breaker is open; nothing has been refused yet.
  bool enter_breaker();
  // The answer that says so.
  void refuse_open();
  // Chooses an endpoint where there is none yet. False: all are drained, and the refusal is in the exchange.
  bool choose_endpoint();
  // The chosen endpoint's name must be resolved first.
  bool needs_address();
  upstream::EndpointPool& pool() noexcept { return *endpoint_->pool; }
  void address_failed();
  // Starts a call. False: it could not even be started, and failed() holds.
  bool start();

  // Moves what can be moved. False: nothing could, wait until due().
  bool step();
  Deadline due() noexcept;
  void woke(io::Wake wake);

  // Nothing more to do: the answer has gone out, or failed(), or retry() may follow.
  bool done() const noexcept { return done_; }
  // The connection was dead, or the name has another address: start() is next, within the same attempt.
  bool retry();
  // The attempt failed and another one follows at retry_at(), with a breaker ticket and an endpoint of its own.
  bool again() const noexcept { return again_; }
  TimePoint retry_at() const noexcept { return retry_at_; }
  Deadline wait_until() noexcept { return Deadline::at(retry_at_).shrunk_to(watch_.gone_deadline()); }
  // What ended the wait for it: when the client has left, there is no other attempt.
  void waited(io::Wake wake);
  void begin_again();
  // The upstream failed before an answer was begun: the refusal is in the exchange.
  bool must_refuse() const noexcept {
    return exchange_.own.status != 0 && !exchange_.downstream->answer_started();
  }

 private:
  // A second call of the same request, begun when the first was late. While both run, the members of Relay are the
  // first one's; swap_calls() changes the roles.
  struct Second {
    std::optional<resilience::CircuitBreaker::Ticket> ticket;
    std::optional<resilience::CircuitBreaker::Ticket> endpoint_ticket;
    upstream::WorkerUpstream::Endpoint* endpoint = nullptr;
    std::unique_ptr<upstream::Call> call;
    TimePoint started{};
    TimePoint head_at{};
    Deadline try_deadline;
    std::size_t body_sent = 0;
    std::size_t address_tries = 0;
    bool counted = false;
    bool fresh_only = false;
    std::uint64_t span = 0;
  };

  void plan_hedge();
  void begin_second();
  bool step_second();
  void swap_calls() noexcept;
  void drop_second(upstream::HedgeEnd end);
  bool go_on_with_second(resilience::Outcome outcome);
  bool is_failure(const upstream::Call& call) const;
  void begin_call_on(std::unique_ptr<upstream::Connection> connection);

  bool push_request();
  bool pull_answer();
  bool push_answer();
  bool body_failed(BodyState state);
  void start_answer();
  void tee_rest();
  bool is_owned(const http::Field& field) const noexcept;
  void pass_interim();
  void render_request(http::HeadBuffer& head);

  bool waits_for_body() noexcept;
  void upstream_complete();
  void upstream_failed(Problem problem, std::string_view detail, resilience::Outcome outcome);
  void client_left();
  void end_attempt(resilience::Outcome outcome);
  void finish_call(resilience::Outcome outcome);
  // Asks the policy; true: the attempt is ended and another one is due.
  bool try_again(resilience::Outcome outcome);
  bool answer_is_failure();
  Duration asked_wait() const;
  std::uint64_t hash_of_key();
  void note_span(int status);
  CallSpan span_of_call() const;
  void note_breaker();
  ErrorCode attempt_error(resilience::Outcome outcome) const noexcept;
  void note_attempt(resilience::Outcome outcome, int status, bool running);
  TimePoint now() const noexcept { return exchange_.worker.reactor.now(); }

  Exchange& exchange_;
  upstream::WorkerUpstream& target_;
  const UpstreamPlan& plan_;
  ClientWatch watch_;
  std::optional<resilience::CircuitBreaker::Ticket> ticket_;
  std::optional<resilience::CircuitBreaker::Ticket> endpoint_ticket_;  // where endpoints are ejected
  upstream::WorkerUpstream::Endpoint* endpoint_ = nullptr;
  std::unique_ptr<upstream::Call> call_;
  TimePoint call_started_{};
  TimePoint head_at_{};  // of the answer; zero before
  ErrorCode start_error_ =
      ErrorCode::timed_out;  // why no call could be started, else what a limit of ours means
  Deadline try_deadline_;
  TimePoint retry_at_{};
  static constexpr std::size_t kTriedMax = 12;  // the first, at most ten more, and a second call beside one
  std::array<const upstream::WorkerUpstream::Endpoint*, kTriedMax> tried_{};
  std::uint32_t tried_count_ = 0;
  std::uint32_t attempt_ = 0;
  TimePoint hedge_at_ = TimePoint::max();  // when the second call is due
  TimePoint asked_at_{};                   // when the first began: what the client waits for the answer
  std::unique_ptr<Second> second_;
  bool own_limit_ = false;  // the exchange's deadline is this upstream's `timeout`, not the client's budget
  bool again_ = false;
  std::size_t body_sent_ = 0;  // of exchange.body
  std::size_t address_tries_ = 0;
  bool counted_ = false;        // endpoint_->in_flight includes this exchange
  bool whole_body_ = false;     // the request's body is all in exchange.body
  bool upstream_done_ = false;  // answer complete, failed or abandoned; places are given back
  bool fresh_only_ = false;     // do not take an idle connection again
  bool retry_ = false;
  bool done_ = false;
  std::size_t teed_ = 0;    // of the payload that waits, what the tee has seen
  bool discards_ = false;   // the body is for the tee alone: the client has it
  bool span_open_ = false;  // an attempt has begun that the trace does not know yet
  bool attempt_open_ = false;  // an attempt has begun that the notes do not know yet
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_TERMINALS_RELAY_H_
