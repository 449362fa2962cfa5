// Stage: one question asked of every request on its way in, and its answer's bookkeeping on the way out.
//
// A stage never calls the next one: pipeline.cc does, in the order that plan.cc writes down. admit() looks at the
// exchange and lets it proceed or gives the answer itself; release() is called once when the upstream's answer is
// complete or abandoned (places are given back here); settle() is called once at the very end, in reverse order, for
// every stage whose admit() was called, also when the client has gone or the work is abandoned.
//
// A stage belongs to one route of a plan and is shared by all workers: admit() must be thread-safe, and what it holds
// for a request goes into a Slot of the exchange, not into the stage.
//
//   class Tagger final : public Stage {
//    public:
//     std::string_view name() const noexcept override { return "tagger"; }
//     Verdict admit(Exchange& exchange) override {
//       exchange.add_answer_field("x-tag", "weir");
//       return Verdict::proceed;
//     }
//   };
#ifndef WEIR_GATEWAY_STAGE_H_
#define WEIR_GATEWAY_STAGE_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "weir/async/task.h"
#include "weir/gateway/problem.h"

namespace weir::gateway {

class Exchange;
struct AnswerHead;

enum class Verdict : std::uint8_t {
  proceed,
  refuse,  // the stage said no: exchange.refuse() was called
  answer,  // the stage has the answer (a replay, a cached page, a preflight): exchange.answer was filled
};

std::string_view to_string(Verdict verdict) noexcept;  // "pass" "refuse" "answer"

class Stage {
 public:
  virtual ~Stage() = default;
  // One of the contract's stage names, or a custom stage's own. Static storage.
  virtual std::string_view name() const noexcept = 0;
  // Problems that admit() may refuse with, so that their counters exist before the first flood. May be empty.
  virtual std::span<const Problem> refusals() const noexcept { return {}; }
  virtual Verdict admit(Exchange& exchange) = 0;
  virtual void release(Exchange&) noexcept {}
  // The head of the answer, before it goes to the client, for stages in Route::answer_watchers: the fields of an
  // upstream that tell weir something.
  virtual void answered(Exchange&, const AnswerHead&) noexcept {}
  virtual void settle(Exchange&) noexcept {}
  // Null for all but those few that must wait for a socket. Asked for every request and stage: no virtual call.
  class AsyncStage* as_async() const noexcept { return async_; }

 private:
  friend class AsyncStage;
  class AsyncStage* async_ = nullptr;
};

// A stage that may have to wait: for a body, a remote limiter, a key. Costs a coroutine frame, so it says first
// whether this request needs it.
class AsyncStage : public Stage {
 public:
  AsyncStage() noexcept { async_ = this; }
  AsyncStage(const AsyncStage&) = delete;
  AsyncStage& operator=(const AsyncStage&) = delete;
  // Without waiting, if that is possible; else nothing is changed and admit_async() follows.
  virtual bool needs_waiting(const Exchange& exchange) const noexcept = 0;
  virtual async::Task<Verdict> admit_async(Exchange& exchange) = 0;
};

// What stands at the end of the stages and produces the answer.
class Terminal {
 public:
  virtual ~Terminal() = default;
  virtual async::Task<void> serve(Exchange& exchange) = 0;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_STAGE_H_
