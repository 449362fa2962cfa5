// RedisClient: one worker's connection to a Redis or Valkey server.
//
// Commands of one turn of the loop leave in one write and are answered in order, so a thousand waiting coroutines
// share one connection. hiredis parses the replies; sockets, time and waiting are the worker's own (io::Reactor), so
// the client runs in the simulation as it runs in earnest.
//
//   RedisClient redis(reactor, resolver, options, random_seed);
//   const std::array<std::string_view, 2> args{"GET", key};
//   Result<RedisReply> reply = co_await redis.command(args, Deadline::after(reactor.now(), 5ms));
//   if (!reply) ...                          // not reached, too late, cancelled: the caller's fallback
//
//   (1) Nobody waits past its deadline, nor for a server that is known not to answer: while the client is not up,
//       command() says `unavailable` at once. (Before the first attempt to connect has failed it waits for that.)
//   (2) A command that is not answered within `timeout` makes the server suspect: the client asks PING by itself and
//       is up again with its answer; nobody else pays for the question. After `stall` it connects anew.
//   (3) An abandoned command (deadline, cancel, frame destroyed) may have been executed: its answer is dropped.
//   (4) At most `pending_max` commands and `unsent_max` bytes wait; beyond that `unavailable` at once.
//
// One thread: the reactor's. Stats may be read by any.
#ifndef WEIR_STORE_REDIS_CLIENT_H_
#define WEIR_STORE_REDIS_CLIENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "weir/async/cancel.h"
#include "weir/async/scope.h"
#include "weir/async/task.h"
#include "weir/async/timer.h"
#include "weir/base/deadline.h"
#include "weir/base/random.h"
#include "weir/base/result.h"
#include "weir/io/reactor.h"
#include "weir/io/resolver.h"
#include "weir/io/waiter.h"
#include "weir/store/redis_reply.h"
#include "weir/store/redis_url.h"

namespace weir::store {

namespace internal {
class ReplyReader;
}

struct RedisOptions {
  RedisUrl url;
  Duration timeout =
      std::chrono::milliseconds{5};  // an unanswered command of this age makes the server suspect
  Duration connect_timeout = std::chrono::seconds{1};  // address, connection, AUTH and SELECT together
  Duration stall = std::chrono::seconds{1};            // suspect for so long: another connection
  Duration retry_min =
      std::chrono::milliseconds{50};  // between attempts to connect; doubles, with full jitter
  Duration retry_max = std::chrono::seconds{1};
  std::size_t pending_max = 8192;       // a worker's exchanges in flight are fewer
  std::size_t unsent_max = 16U << 20U;  // bytes
  std::size_t reply_max = 64U << 20U;   // bytes of one reply

  friend bool operator==(const RedisOptions&, const RedisOptions&) noexcept = default;
};

class RedisClient final : private async::Ready {
 public:
  enum class State : std::uint8_t { connecting, up, suspect, down };

  // Starts to connect. Reactor and resolver outlive it; `seed` is for the jitter.
  RedisClient(io::Reactor& reactor, io::Resolver& resolver, RedisOptions options, std::uint64_t seed);
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;

  // Sends a command (name and arguments, any bytes) and waits for its reply. `args` is copied before the first wait.
  // Errors: unavailable (not up, or too much is waiting), deadline_exceeded, cancelled, connection_reset or _closed
  // (broken while it waited: it may have been executed), malformed (the server talks nonsense).
  async::Task<Result<RedisReply>> command(std::span<const std::string_view> args, Deadline deadline,
                                          async::CancelSource* cancel = nullptr);

  // EVALSHA, and EVAL when the server does not know the script (it was restarted or flushed). What `keys` and `args`
  // refer to must live until the end.
  async::Task<Result<RedisReply>> eval(const RedisScript& script, std::span<const std::string_view> keys,
                                       std::span<const std::string_view> args, Deadline deadline,
                                       async::CancelSource* cancel = nullptr);

  State state() const noexcept { return state_.load(std::memory_order_relaxed); }
  // A command sent now would be waited for.
  bool may_send() const noexcept;
  const RedisOptions& options() const noexcept { return options_; }
  io::Reactor& reactor() noexcept { return reactor_; }

  // Since construction; any thread.
  struct Stats {
    std::uint64_t commands = 0;  // sent
    std::uint64_t failures = 0;  // commands that got no reply
    std::uint64_t writes = 0;    // system calls that sent them
    std::uint64_t connects = 0;  // connections that came up
  };
  Stats stats() const noexcept;
  // Why the last connection failed; "" while none has. The worker's thread.
  const std::string& last_fault() const noexcept { return last_fault_; }

 private:
  class Pending;
  struct Entry {
    Pending* who = nullptr;  // null: nobody waits for this reply any more
    bool ping = false;       // the client's own question to a suspect server
  };

  bool send(std::span<const std::string_view> args, Pending& pending);
  void forget(Pending& pending) noexcept;  // its reply will be dropped
  void suspect();
  void fail_all(const Error& error);
  void on_ready() noexcept override;  // writes what this turn has collected
  bool flush() noexcept;
  void set_state(State state) noexcept { state_.store(state, std::memory_order_relaxed); }

  async::Task<void> run();
  async::Task<Result<void>> connect(io::Waiter& waiter);
  async::Task<Result<void>> log_in(io::Waiter& waiter, Deadline deadline);
  async::Task<Error> serve(io::Waiter& waiter);
  // Reads what is there into the parser. An error is the end of the connection.
  Result<void> fill();
  Result<void> answer_pending();

  io::Reactor& reactor_;
  io::Resolver& resolver_;
  RedisOptions options_;
  base::Random random_;
  std::atomic<State> state_{State::connecting};
  bool failed_before_ = false;  // since it was last up, an attempt to connect has failed

  std::unique_ptr<io::Stream> stream_;
  std::unique_ptr<internal::ReplyReader> reader_;
  io::Waiter* waiter_ = nullptr;  // of run(), while it serves
  std::deque<Entry> pending_;     // in the order of their bytes
  std::string out_;               // unsent bytes of those; while connecting all of them
  std::size_t written_ = 0;       // of out_
  TimePoint suspect_since_{};
  std::string last_fault_;

  std::atomic<std::uint64_t> commands_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> writes_{0};
  std::atomic<std::uint64_t> connects_{0};
  async::Scope scope_;  // last: run() ends before what it uses
};

}  // namespace weir::store

#endif  // WEIR_STORE_REDIS_CLIENT_H_
