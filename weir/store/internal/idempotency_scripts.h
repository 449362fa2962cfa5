// The transitions of weir/passport/idempotency.h in Lua, one script each. idempotency_store_test.cc holds them to the
// C++ ones over random sequences.
#ifndef WEIR_STORE_INTERNAL_IDEMPOTENCY_SCRIPTS_H_
#define WEIR_STORE_INTERNAL_IDEMPOTENCY_SCRIPTS_H_

#include <array>

#include "weir/store/idempotency_store.h"
#include "weir/store/redis_reply.h"

namespace weir::store::internal {

// KEYS: the record, the index of open records, the epoch. ARGV: epoch, now or "-", lease, ttl, owner, attempt,
// fingerprint, label, id, again ("1": may have been carried out before), status, fields, body, body kept.
// Reply: {decision, retry_after, attempt, changed, status, fields, body, body kept}, or the text "lost".
class IdempotencyScripts {
 public:
  IdempotencyScripts();
  const RedisScript& of(Operation::Kind kind) const { return scripts_[static_cast<std::size_t>(kind)]; }
  // KEYS: index. ARGV: now or "-", most, prefix of records. Reply: {id, label, created, expires, ...}.
  const RedisScript& list() const { return list_; }

 private:
  std::array<RedisScript, 7> scripts_;
  RedisScript list_;
};

}  // namespace weir::store::internal

#endif  // WEIR_STORE_INTERNAL_IDEMPOTENCY_SCRIPTS_H_
