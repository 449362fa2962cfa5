// IdempotencyStore: where the records of idempotency keys live. One interface, one suite of tests for all of them.
//
// Every operation applies one transition of weir/passport/idempotency.h to one record, atomically and durably, and calls
// `done` when it is durable: a claim that was answered `run` survives the power going off. Operations may be submitted
// from any thread; `done` is called on the store's own thread (or at once, by the memory store) and must only pass the
// result on.
//
//   Operation claim;
//   claim.kind = Operation::Kind::claim;
//   claim.ticket.id = idempotency_id(route, principal, key);
//   claim.done = [..](Outcome outcome) { ... };
//   store.submit(std::move(claim));
//
// A failed operation (disk full, database locked or corrupt) has Outcome::failed and has changed nothing that lasts.
#ifndef WEIR_STORE_IDEMPOTENCY_STORE_H_
#define WEIR_STORE_IDEMPOTENCY_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "weir/base/result.h"
#include "weir/passport/idempotency.h"

namespace weir::store {

struct Outcome {
  bool failed = false;
  std::string fault;                       // for the log
  passport::IdempotencyDecision decision;  // of look_up and claim
  passport::StoredAnswer answer;           // when the decision is replay
  bool changed = false;  // of complete, release, unknown, renew and resolve: the ticket was good
};

struct Operation {
  enum class Kind : std::uint8_t { look_up, claim, complete, release, unknown, renew, resolve };
  Kind kind = Kind::look_up;
  passport::IdempotencyTicket
      ticket;                      // id always; owner of a claim and what follows it; attempt of what follows
  passport::Sha256 fingerprint{};  // look_up and claim
  std::string label;               // claim
  std::optional<passport::StoredAnswer> answer;  // complete; resolve as executed
  passport::IdempotencyTimes times;
  std::function<void(Outcome)> done;
};

// An outcome that nobody knows, for a person to look at.
struct UnknownOutcome {
  passport::Sha256 id{};
  std::string label;
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;
};

class IdempotencyStore {
 public:
  virtual ~IdempotencyStore() = default;
  virtual void submit(Operation operation) = 0;
  // Finishes what was submitted and refuses what comes: before the threads go whom `done` would wake.
  virtual void stop() {}
  // Records that are unknown, dead leases included; at most `most`. Blocks for the time of a query.
  virtual Result<std::vector<UnknownOutcome>> unknown(std::int64_t now_ms, std::size_t most) = 0;
};

// The transition itself, for stores that hold one record in memory while they apply it.
Outcome apply(std::optional<passport::IdempotencyRecord>& record, Operation& operation);

// Everything in memory, lost with the process: for tests and tries. Calls `done` before submit() returns.
class MemoryIdempotencyStore final : public IdempotencyStore {
 public:
  static constexpr std::size_t kRecords = 1'000'000;
  void submit(Operation operation) override;
  Result<std::vector<UnknownOutcome>> unknown(std::int64_t now_ms, std::size_t most) override;

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, passport::IdempotencyRecord> records_;
};

}  // namespace weir::store

#endif  // WEIR_STORE_IDEMPOTENCY_STORE_H_
