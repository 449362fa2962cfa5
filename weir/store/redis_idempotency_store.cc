// The thread, its reactor, and one coroutine for each ticket that has operations to do.
//
// Whatever thread submits, the operation is posted to the loop. A ticket's operations stand in a queue behind each
// other; different tickets share the connection and nothing else. An operation is tried until it is answered or its
// patience ends; each try after the first says so, and the script treats it as perhaps done already.
#include "weir/store/redis_idempotency_store.h"

#include <array>
#include <atomic>
#include <charconv>
#include <deque>
#include <future>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>

#include "weir/async/scope.h"
#include "weir/base/strings.h"
#include "weir/io/cares_resolver.h"
#include "weir/io/epoll_reactor.h"
#include "weir/store/internal/idempotency_scripts.h"
#include "weir/store/redis_client.h"

namespace weir::store {
namespace {

using Kind = Operation::Kind;
using Decision = passport::IdempotencyDecision::Kind;

constexpr std::string_view kPrefix = "weir:idempotency:";
constexpr std::string_view kIndex = "weir:idempotency:open";
constexpr std::string_view kEpoch = "weir:idempotency:epoch";
constexpr Duration kBetweenTries = std::chrono::milliseconds{20};

std::string hex_of(const passport::Sha256& id) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : id) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::optional<passport::Sha256> id_of(std::string_view hex) {
  passport::Sha256 id{};
  if (hex.size() != id.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < id.size(); ++i) {
    unsigned byte = 0;
    const char* begin = hex.data() + 2 * i;
    if (std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) return std::nullopt;
    id[i] = static_cast<char>(byte);
  }
  return id;
}

// Names and values have no NUL (RFC 9110 5.5).
std::string packed(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  for (const auto& [name, value] : fields) out.append(name).append(1, '\0').append(value).append(1, '\0');
  return out;
}

std::vector<std::pair<std::string, std::string>> unpacked(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!text.empty()) {
    const std::size_t name = text.find('\0');
    const std::size_t value = name == std::string_view::npos ? name : text.find('\0', name + 1);
    if (value == std::string_view::npos) break;
    fields.emplace_back(text.substr(0, name), text.substr(name + 1, value - name - 1));
    text.remove_prefix(value + 1);
  }
  return fields;
}

std::int64_t number_of(const RedisReply& reply) {
  if (reply.is_integer()) return reply.integer;
  std::int64_t number = 0;
  std::from_chars(reply.text.data(), reply.text.data() + reply.text.size(), number);
  return number;
}

Outcome failed(std::string fault) {
  Outcome outcome;
  outcome.failed = true;
  outcome.fault = std::move(fault);
  return outcome;
}

std::optional<Decision> decision_of(std::string_view word) {
  if (word == "run") return Decision::run;
  if (word == "replay") return Decision::replay;
  if (word == "in_flight") return Decision::in_flight;
  if (word == "mismatch") return Decision::mismatch;
  if (word == "unknown") return Decision::unknown;
  return std::nullopt;
}

Outcome outcome_of(const RedisReply& reply) {
  if (reply.is_error()) return failed("Redis: " + reply.text);
  if (!reply.is_list() || reply.items.size() < 4) return failed("Redis: an answer that is none");
  Outcome outcome;
  outcome.changed = number_of(reply.items[3]) == 1;
  if (reply.items[0].text.empty()) return outcome;
  const std::optional<Decision> decision = decision_of(reply.items[0].text);
  if (!decision) return failed("Redis: an answer that is none");
  outcome.decision.kind = *decision;
  outcome.decision.retry_after_ms = number_of(reply.items[1]);
  outcome.decision.attempt = static_cast<std::uint32_t>(number_of(reply.items[2]));
  if (*decision == Decision::replay) {
    if (reply.items.size() != 8) return failed("Redis: a record without its answer");
    outcome.answer.status = static_cast<int>(number_of(reply.items[4]));
    outcome.answer.fields = unpacked(reply.items[5].text);
    outcome.answer.body = reply.items[6].text;
    outcome.answer.body_kept = reply.items[7].text == "1";
  }
  return outcome;
}

// The arguments of a script, and the texts that they are views of.
struct Arguments {
  std::string record, epoch, now, lease, ttl, attempt, id, status, fields;
  std::array<std::string_view, 3> keys;
  std::array<std::string_view, 14> args;

  Arguments(const Operation& operation, std::string_view known_epoch, bool server_time) {
    id = hex_of(operation.ticket.id);
    record = std::string(kPrefix) + id;
    epoch = known_epoch;
    now = server_time ? "-" : std::to_string(operation.times.now_ms);
    lease = std::to_string(operation.times.lease_ms);
    ttl = std::to_string(operation.times.ttl_ms);
    attempt = std::to_string(operation.ticket.attempt);
    std::string_view body, kept;
    if (operation.answer) {
      status = std::to_string(operation.answer->status);
      fields = packed(operation.answer->fields);
      body = operation.answer->body;
      kept = operation.answer->body_kept ? "1" : "0";
    }
    keys = {record, kIndex, kEpoch};
    args = {epoch,
            now,
            lease,
            ttl,
            operation.ticket.owner,
            attempt,
            std::string_view(operation.fingerprint.data(), operation.fingerprint.size()),
            operation.label,
            id,
            "0",
            status,
            fields,
            body,
            kept};
  }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
};

}  // namespace

class RedisIdempotencyStore::Loop {
 public:
  Loop(std::unique_ptr<io::EpollReactor> reactor, RedisOptions redis, const Options& options)
      : options_(options),
        seed_(std::random_device{}()),
        reactor_(std::move(reactor)),
        resolver_(std::make_unique<io::CaresResolver>(*reactor_)),
        client_(std::make_unique<RedisClient>(*reactor_, *resolver_, std::move(redis), seed_)),
        scope_(std::make_unique<async::Scope>()),
        thread_([this] { reactor_->run(); }) {}

  ~Loop() { stop(); }

  void submit(Operation operation) {
    if (stopping_.load() || waiting_.fetch_add(1) >= kQueued) {
      if (!stopping_.load()) waiting_.fetch_sub(1);
      if (operation.done)
        operation.done(failed(stopping_.load() ? "the store is stopping" : "too much waits"));
      return;
    }
    auto moved = std::make_shared<Operation>(std::move(operation));
    reactor_->post([this, moved] { take(std::move(*moved)); });
  }

  // Everything that waits is answered: as failed.
  void stop() {
    if (stopping_.exchange(true)) return;
    reactor_->post([this] {
      scope_.reset();  // the coroutines end where they wait
      for (auto& [ticket, queue] : tickets_)
        for (Operation& each : queue)
          if (each.done) each.done(failed("the store is stopping"));
      tickets_.clear();
      client_.reset();
      reactor_->stop();
    });
    thread_.join();
  }

  Result<std::vector<UnknownOutcome>> unknown(std::int64_t now_ms, std::size_t most) {
    if (stopping_.load()) return Error(ErrorCode::unavailable, "the store is stopping");
    auto promise = std::make_shared<std::promise<Result<std::vector<UnknownOutcome>>>>();
    auto told = promise->get_future();
    reactor_->post([this, promise, now_ms, most] {
      if (scope_ != nullptr) scope_->spawn(list(promise, now_ms, most));
    });
    // The coroutine's own deadline is shorter; a loop that ends meanwhile breaks the promise.
    if (told.wait_for(std::chrono::seconds{10}) != std::future_status::ready)
      return Error(ErrorCode::deadline_exceeded, "Redis does not answer");
    try {
      return told.get();
    } catch (const std::future_error&) {
      return Error(ErrorCode::unavailable, "the store is stopping");
    }
  }

 private:
  // On the loop's thread from here on.

  void take(Operation operation) {
    if (scope_ == nullptr) {
      if (operation.done) operation.done(failed("the store is stopping"));
      return;
    }
    std::string ticket(operation.ticket.id.data(), operation.ticket.id.size());
    ticket += operation.ticket.owner;
    std::deque<Operation>& queue = tickets_[ticket];
    queue.push_back(std::move(operation));
    if (queue.size() == 1) scope_->spawn(serve(std::move(ticket)));
  }

  // The front of a ticket's queue, until there is none. It stays there while it runs, so that stop() finds it.
  async::Task<void> serve(std::string ticket) {
    for (;;) {
      Operation& operation = tickets_.at(ticket).front();  // stays where it is while others are added
      Outcome outcome = co_await carry_out(operation);
      const bool take_back = outcome.failed && operation.kind == Kind::claim && maybe_sent_;
      Operation release;
      if (take_back) {
        release.kind = Kind::release;
        release.ticket = operation.ticket;
        release.ticket.attempt = 1;
        release.times = operation.times;
      }
      const std::function<void(Outcome)> done = std::move(operation.done);
      std::deque<Operation>& queue = tickets_.at(ticket);
      queue.pop_front();
      if (take_back)
        queue.push_front(std::move(release));
      else
        waiting_.fetch_sub(1);
      const bool more = !queue.empty();
      if (!more) tickets_.erase(ticket);
      if (done) done(std::move(outcome));
      if (!more) co_return;
    }
  }

  Duration patience_of(const Operation& operation) const {
    // Nobody waits for it, and without it the key is stuck until its lease ends.
    if (!operation.done) return std::chrono::milliseconds{operation.times.lease_ms};
    if (operation.kind == Kind::look_up || operation.kind == Kind::claim) return options_.patience;
    return options_.patience_after;
  }

  async::Task<Outcome> carry_out(Operation& operation) {
    const Deadline deadline = Deadline::after(reactor_->now(), patience_of(operation));
    bool again = false;
    std::string fault = "Redis does not answer";
    for (;;) {
      const bool sound = co_await check(deadline);
      if (sound) {
        Arguments arguments(operation, epoch_, options_.server_time);
        arguments.args[9] = again ? "1" : "0";
        const RedisScript& script = scripts_.of(operation.kind);
        Result<RedisReply> reply = co_await client_->eval(script, arguments.keys, arguments.args, deadline);
        if (reply && reply->is_text() && reply->text == "lost") {
          begin_guard(operation);
        } else if (reply) {
          maybe_sent_ = false;
          co_return outcome_of(*reply);
        } else {
          again |= reply.error().code != ErrorCode::unavailable;
        }
      } else if (!refusal_.empty()) {
        fault = refusal_;
      }
      if (deadline.expired(reactor_->now() + kBetweenTries)) break;
      static_cast<void>(co_await async::sleep_until(*reactor_, reactor_->now() + kBetweenTries, nullptr));
    }
    maybe_sent_ = again;
    co_return failed(std::move(fault));
  }

  // What was claimed is gone. Whatever runs may run for a lease; after that nothing is run twice at the same time.
  void begin_guard(const Operation& operation) {
    epoch_.clear();
    lost_until_ = reactor_->now() + std::chrono::milliseconds{operation.times.lease_ms};
  }

  // True when operations may be sent: the server keeps what it is told, and its epoch is known.
  async::Task<bool> check(Deadline deadline) {
    if (reactor_->now() < lost_until_) {
      refusal_ = "Redis has lost its records: nothing is claimed until what runs has ended";
      co_return false;
    }
    const std::uint64_t connects = client_->stats().connects;
    if (!epoch_.empty() && connects == checked_) co_return true;
    if (options_.check_server) {
      static constexpr std::array<std::string_view, 5> kConfig{"CONFIG", "GET", "appendonly", "maxmemory",
                                                               "maxmemory-policy"};
      Result<RedisReply> reply = co_await client_->command(kConfig, deadline);
      if (!reply) co_return false;
      refusal_ = unsafe(*reply);
      if (!refusal_.empty()) co_return false;
    }
    const std::string fresh =
        std::to_string(seed_) + "-" + std::to_string(reactor_->now().time_since_epoch().count());
    const std::array<std::string_view, 4> set{"SET", kEpoch, fresh, "NX"};
    Result<RedisReply> made = co_await client_->command(set, deadline);
    if (!made) co_return false;
    const std::array<std::string_view, 2> get{"GET", kEpoch};
    Result<RedisReply> known = co_await client_->command(get, deadline);
    if (!known || !known->is_text()) co_return false;
    // Another than before is noticed by the next claim, whose script compares.
    if (epoch_.empty()) epoch_ = known->text;
    checked_ = connects;
    refusal_.clear();
    co_return true;
  }

  // Why what this server is told may be gone tomorrow; "" when it is kept, or when it does not say (CONFIG is forbidden
  // where somebody else runs it).
  static std::string unsafe(const RedisReply& reply) {
    if (!reply.is_list()) return {};
    std::string append_only, memory, policy;
    for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) {
      if (reply.items[i].text == "appendonly") append_only = reply.items[i + 1].text;
      if (reply.items[i].text == "maxmemory") memory = reply.items[i + 1].text;
      if (reply.items[i].text == "maxmemory-policy") policy = reply.items[i + 1].text;
    }
    if (append_only == "no")
      return "Redis keeps no append-only file: a restart would forget what was claimed";
    if (!memory.empty() && memory != "0" && policy != "noeviction")
      return "Redis evicts keys when its memory is full (maxmemory-policy): claims could vanish";
    return {};
  }

  async::Task<void> list(std::shared_ptr<std::promise<Result<std::vector<UnknownOutcome>>>> promise,
                         std::int64_t now_ms, std::size_t most) {
    const std::string now = options_.server_time ? "-" : std::to_string(now_ms);
    const std::string count = std::to_string(most);
    const std::array<std::string_view, 1> keys{kIndex};
    const std::array<std::string_view, 3> args{now, count, kPrefix};
    const Deadline deadline = Deadline::after(reactor_->now(), options_.patience_after);
    Result<RedisReply> reply = co_await client_->eval(scripts_.list(), keys, args, deadline);
    std::vector<UnknownOutcome> all;
    if (!reply || !reply->is_list()) {
      promise->set_value(Error(ErrorCode::unavailable, "Redis does not answer"));
      co_return;
    }
    for (std::size_t i = 0; i + 3 < reply->items.size(); i += 4) {
      const std::optional<passport::Sha256> id = id_of(reply->items[i].text);
      if (!id) continue;
      UnknownOutcome& each = all.emplace_back();
      each.id = *id;
      each.label = reply->items[i + 1].text;
      each.created_ms = number_of(reply->items[i + 2]);
      each.expires_ms = number_of(reply->items[i + 3]);
    }
    promise->set_value(std::move(all));
  }

  const Options options_;
  const std::uint64_t seed_;
  const internal::IdempotencyScripts scripts_;
  std::unordered_map<std::string, std::deque<Operation>> tickets_;
  std::string epoch_;
  std::string refusal_;
  std::uint64_t checked_ = 0;  // the connection that was looked at, counted from 1
  TimePoint lost_until_{};
  bool maybe_sent_ = false;  // of the operation that has just ended
  std::atomic<std::size_t> waiting_{0};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<io::EpollReactor> reactor_;
  std::unique_ptr<io::Resolver> resolver_;
  std::unique_ptr<RedisClient> client_;
  std::unique_ptr<async::Scope> scope_;
  std::thread thread_;  // last: it runs on all of the above
};

RedisIdempotencyStore::RedisIdempotencyStore(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
RedisIdempotencyStore::~RedisIdempotencyStore() = default;

Result<std::shared_ptr<RedisIdempotencyStore>> RedisIdempotencyStore::create(const RedisUrl& url,
                                                                             const Options& options) {
  Result<std::unique_ptr<io::EpollReactor>> reactor = io::EpollReactor::create();
  if (!reactor) return reactor.error();
  RedisOptions redis;
  redis.url = url;
  redis.timeout = options.timeout;
  auto loop = std::make_unique<Loop>(std::move(*reactor), std::move(redis), options);
  return std::shared_ptr<RedisIdempotencyStore>(new RedisIdempotencyStore(std::move(loop)));
}

void RedisIdempotencyStore::submit(Operation operation) { loop_->submit(std::move(operation)); }
void RedisIdempotencyStore::stop() { loop_->stop(); }
Result<std::vector<UnknownOutcome>> RedisIdempotencyStore::unknown(std::int64_t now_ms, std::size_t most) {
  return loop_->unknown(now_ms, most);
}

}  // namespace weir::store
