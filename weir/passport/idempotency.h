// Idempotency keys: a request that carries one is executed at most once, and every repeat gets the first answer.
//
// Here is the pure part: the key's syntax, what makes two requests the same, and the life of a record as functions from
// record to record. Where records live is a store's business (weir/store); every store applies these functions to one
// record at a time, atomically.
//
//   none -> started(lease, owner, attempt) -> completed | unknown
//
//   started     durable before the first byte goes to the upstream
//   completed   durable before the last byte of the answer goes to the client
//   unknown     sent, but no whole answer was seen: never run again by itself, only told (409) and resolved by a person
//
// A dead lease means that whoever ran it is gone: the record becomes unknown, not free. Owner and attempt fence a late
// writer: only who started an attempt can end it. Nothing here reads a clock. Values; no locking.
#ifndef WEIR_PASSPORT_IDEMPOTENCY_H_
#define WEIR_PASSPORT_IDEMPOTENCY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/result.h"

namespace weir::passport {

// The key of a field value: a quoted string (RFC 9651 3.3.3) or the bare text that most clients send; `abc` and `"abc"`
// are one key. 1 to 255 visible ASCII characters. Error malformed otherwise. A comma is refused in a bare key: it is
// what two field lines look like when somebody joined them.
Result<std::string> parse_idempotency_key(std::string_view field_value);

using Sha256 = std::array<char, 32>;

// SHA-256 over pieces with their lengths in front, so that no two lists of pieces give the same bytes.
class Fingerprint {
 public:
  Fingerprint();
  ~Fingerprint();
  Fingerprint(Fingerprint&&) noexcept;
  Fingerprint& operator=(Fingerprint&&) noexcept;

  void add_piece(std::string_view piece);
  // The last piece, in parts as they come; its length is put behind it.
  void add_body(std::string_view part);
  // Once; the object is used up.
  Sha256 finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What a record is stored under: route, principal and key, hashed. Strangers cannot choose what it collides with.
Sha256 idempotency_id(std::string_view route, std::string_view principal, std::string_view key);

struct StoredAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  bool body_kept =
      true;  // false: longer than what is kept; a repeat learns that it was done, not what was said
};

struct IdempotencyRecord {
  enum class State : std::uint8_t { started, completed, unknown };
  State state = State::started;
  std::string owner;  // of the attempt: unlike any other's, in this process or elsewhere
  std::uint32_t attempt = 1;
  Sha256 fingerprint{};
  std::int64_t created_ms = 0;  // milliseconds since 1970, as all times here
  std::int64_t lease_until_ms = 0;
  std::int64_t expires_ms = 0;  // completed and unknown: forgotten then
  std::string label;            // route and hashed principal, for the list of unknown outcomes
  StoredAnswer answer;          // when completed
};

// Proof of having started an attempt.
struct IdempotencyTicket {
  Sha256 id{};
  std::string owner;
  std::uint32_t attempt = 0;
};

struct IdempotencyDecision {
  enum class Kind : std::uint8_t {
    run,        // nobody has; after a claim the ticket is the caller's
    replay,     // done: give the stored answer
    in_flight,  // being run now; `retry_after_ms`
    mismatch,   // done or being done for another request
    unknown,    // may have been run
  };
  Kind kind = Kind::run;
  std::int64_t retry_after_ms = 0;
  std::uint32_t attempt = 0;
};

struct IdempotencyTimes {
  std::int64_t now_ms = 0;
  std::int64_t lease_ms = 30'000;
  std::int64_t ttl_ms = 24LL * 3600 * 1000;
};

namespace idempotency {

// What a request with this fingerprint would get; changes nothing.
IdempotencyDecision look_up(const std::optional<IdempotencyRecord>& record, const Sha256& fingerprint,
                            const IdempotencyTimes& times);
// The same, and starts an attempt where the answer is run. A dead lease turns the record into unknown.
IdempotencyDecision claim(std::optional<IdempotencyRecord>& record, const Sha256& fingerprint,
                          std::string_view owner, std::string_view label, const IdempotencyTimes& times);
// The rest return false, and change nothing, when the record is not this ticket's any more.
bool complete(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket, StoredAnswer answer,
              const IdempotencyTimes& times);
// Nothing was sent upstream, or the answer says "try again": the key is free.
bool release(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket);
// Sent, and no whole answer seen.
bool mark_unknown(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket,
                  const IdempotencyTimes& times);
bool renew(std::optional<IdempotencyRecord>& record, const IdempotencyTicket& ticket,
           const IdempotencyTimes& times);

// A person has found out: executed with this answer, or (nullopt) not executed, so the key is free. False unless the
// record is unknown (a dead lease counts).
bool resolve(std::optional<IdempotencyRecord>& record, std::optional<StoredAnswer> answer,
             const IdempotencyTimes& times);
// Whether a sweep may drop it.
bool forgotten(const IdempotencyRecord& record, std::int64_t now_ms);

}  // namespace idempotency

// 408, 425, 429 and 503 tell the client to try again: they are not kept.
bool is_retry_signal(int status) noexcept;

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_IDEMPOTENCY_H_
