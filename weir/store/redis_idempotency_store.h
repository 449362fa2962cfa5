// RedisIdempotencyStore: idempotency records that several gateways share, in one Redis or Valkey.
//
// Each transition of weir/passport/idempotency.h is one Lua script over one hash, so it is atomic however many gateways
// there are; the time is the server's, so gateways' clocks need not agree. A thread with a reactor of its own keeps one
// connection, on which the operations of all workers are pipelined.
//
//   (1) A reply that is lost does not make an operation run twice: a claim or a completion that is sent again finds its
//       own owner and attempt, and is answered as the first was. What cannot be settled in time fails and says so; a
//       claim that fails so is taken back as soon as the server answers, or its lease ends as unknown.
//   (2) Operations of one ticket run in the order in which they were submitted.
//   (3) The server must keep what it was told: without an append-only file, or with a policy that evicts keys, nothing
//       is claimed. A server that has lost everything all the same (FLUSHALL, a lost disk) is noticed by its epoch, and
//       nothing is claimed for a lease's time, so that what runs now is not run again.
//
// Answered when the server has the record in its append-only file (`appendfsync always` makes that the disk).
#ifndef WEIR_STORE_REDIS_IDEMPOTENCY_STORE_H_
#define WEIR_STORE_REDIS_IDEMPOTENCY_STORE_H_

#include <memory>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/store/idempotency_store.h"
#include "weir/store/redis_url.h"

namespace weir::store {

class RedisIdempotencyStore final : public IdempotencyStore {
 public:
  static constexpr std::size_t kQueued = 65'536;  // operations that wait; more fail at once

  struct Options {
    // Since the server answers after its append-only file has it, a disk's hiccup must not look like its end.
    Duration timeout =
        std::chrono::milliseconds{500};  // an unanswered command of this age makes the server suspect
    Duration patience = std::chrono::seconds{1};        // of look_up and claim, retries included
    Duration patience_after = std::chrono::seconds{5};  // of what follows an execution: it is worth more
    bool server_time =
        true;  // false: the operation's own, for tests; records are then not forgotten by the server
    bool check_server = true;  // invariant (3)
  };

  // Starts the thread; connects by itself, now and again. Error io_error without descriptors.
  static Result<std::shared_ptr<RedisIdempotencyStore>> create(const RedisUrl& url) {
    return create(url, Options());
  }
  static Result<std::shared_ptr<RedisIdempotencyStore>> create(const RedisUrl& url, const Options& options);
  ~RedisIdempotencyStore() override;

  void submit(Operation operation) override;
  void stop() override;
  Result<std::vector<UnknownOutcome>> unknown(std::int64_t now_ms, std::size_t most) override;

 private:
  class Loop;
  explicit RedisIdempotencyStore(std::unique_ptr<Loop> loop);
  const std::unique_ptr<Loop> loop_;
};

}  // namespace weir::store

#endif  // WEIR_STORE_REDIS_IDEMPOTENCY_STORE_H_
