// One coroutine, run(), owns the connection: connect, log in, serve until it breaks, wait, again. Callers never touch
// the socket: they append their bytes to out_ and their entry to pending_, and are woken by the reply.
//
//   (1) pending_ and the bytes of out_ (sent and unsent) are in the same order; replies take entries from the front.
//   (2) While connecting, out_ holds bytes of callers that wait for the first connection. log_in() therefore sends its
//       own bytes apart, and only then does serve() send out_.
//   (3) An entry whose waiter has gone stays, with who == null, until its reply comes or the connection ends.
//   (4) `suspect` begins when a waiter's deadline passes `timeout` or later after its command was given; a PING is put
//       behind everything, and its reply proves that all before it was answered: up again.
#include "weir/store/redis_client.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "weir/store/internal/reply_reader.h"

namespace weir::store {
namespace {

void append_length(std::string& out, char mark, std::size_t length) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), length).ptr;
  out.push_back(mark);
  out.append(digits.data(), end);
  out.append("\r\n");
}

// RESP: an array of bulk strings, whatever bytes they hold.
void append_command(std::string& out, std::span<const std::string_view> args) {
  append_length(out, '*', args.size());
  for (const std::string_view arg : args) {
    append_length(out, '$', arg.size());
    out.append(arg).append("\r\n");
  }
}

}  // namespace

// A caller that waits for one reply. Lives in its coroutine's frame; leaves the client when that is destroyed.
class RedisClient::Pending final : private async::Ready, private async::Timer, private async::CancelHook {
 public:
  explicit Pending(RedisClient& client) noexcept : client_(&client), given_(client.reactor_.now()) {}
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() {
    if (client_ != nullptr) client_->forget(*this);
  }

  void limit(Deadline deadline, async::CancelSource* cancel) {
    if (!deadline.is_never()) client_->reactor_.arm(*this, deadline.when());
    if (cancel != nullptr) cancel->add(*this);  // may call on_cancel() at once
  }
  bool await_ready() const noexcept { return client_ == nullptr; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept { waiting_ = waiting; }
  Result<RedisReply> await_resume() noexcept { return std::move(result_); }

  // The reply or the failure has come; the coroutine goes on in this turn.
  void finish(Result<RedisReply> result) {
    RedisClient& client = *std::exchange(client_, nullptr);
    result_ = std::move(result);
    disarm();
    if (waiting_ != nullptr) client.reactor_.make_ready(*this);
  }

 private:
  void give_up(ErrorCode code) {
    client_->failures_.fetch_add(1, std::memory_order_relaxed);
    client_->forget(*this);
    finish(Error(code, "Redis did not answer", ErrorSource::upstream, true));
  }
  void on_timer() noexcept override {
    if (client_ == nullptr) return;
    if (client_->reactor_.now() - given_ >= client_->options_.timeout) client_->suspect();
    give_up(ErrorCode::deadline_exceeded);
  }
  void on_cancel() noexcept override {
    if (client_ != nullptr) give_up(ErrorCode::cancelled);
  }
  void on_ready() noexcept override { waiting_.resume(); }

  RedisClient* client_;  // null: finished
  TimePoint given_;
  std::coroutine_handle<> waiting_;
  Result<RedisReply> result_ = Error(ErrorCode::unavailable);
};

RedisClient::RedisClient(io::Reactor& reactor, io::Resolver& resolver, RedisOptions options,
                         std::uint64_t seed)
    : reactor_(reactor), resolver_(resolver), options_(std::move(options)), random_(seed) {
  scope_.spawn(run());
}

RedisClient::~RedisClient() { fail_all(Error(ErrorCode::cancelled, "the client of Redis has ended")); }

bool RedisClient::may_send() const noexcept {
  const State state = state_.load(std::memory_order_relaxed);
  const bool answering = state == State::up || (state == State::connecting && !failed_before_);
  return answering && pending_.size() < options_.pending_max && out_.size() - written_ < options_.unsent_max;
}

bool RedisClient::send(std::span<const std::string_view> args, Pending& pending) {
  if (!may_send()) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  append_command(out_, args);
  Entry entry;
  entry.who = &pending;
  pending_.push_back(entry);
  commands_.fetch_add(1, std::memory_order_relaxed);
  if (state() == State::up) reactor_.make_ready(*this);
  return true;
}

async::Task<Result<RedisReply>> RedisClient::command(std::span<const std::string_view> args,
                                                     Deadline deadline, async::CancelSource* cancel) {
  if (deadline.expired(reactor_.now()))
    co_return Error(ErrorCode::deadline_exceeded, "no time left to ask Redis");
  Pending pending(*this);
  if (!send(args, pending))
    co_return Error(ErrorCode::unavailable, "Redis is not there", ErrorSource::upstream, true);
  pending.limit(deadline, cancel);
  Result<RedisReply> reply = co_await pending;
  co_return reply;
}

async::Task<Result<RedisReply>> RedisClient::eval(const RedisScript& script,
                                                  std::span<const std::string_view> keys,
                                                  std::span<const std::string_view> args, Deadline deadline,
                                                  async::CancelSource* cancel) {
  const std::string count = std::to_string(keys.size());
  std::vector<std::string_view> whole{"EVALSHA", script.sha1(), count};
  whole.insert(whole.end(), keys.begin(), keys.end());
  whole.insert(whole.end(), args.begin(), args.end());
  Result<RedisReply> reply = co_await command(whole, deadline, cancel);
  const bool unknown = reply.has_value() && reply->is_error() && reply->text.starts_with("NOSCRIPT");
  if (!unknown) co_return reply;
  whole[0] = "EVAL";
  whole[1] = script.source();
  reply = co_await command(whole, deadline, cancel);
  co_return reply;
}

void RedisClient::forget(Pending& pending) noexcept {
  const auto entry =
      std::find_if(pending_.begin(), pending_.end(), [&](const Entry& e) { return e.who == &pending; });
  if (entry != pending_.end()) entry->who = nullptr;
}

void RedisClient::suspect() {
  if (state() != State::up) return;
  set_state(State::suspect);
  suspect_since_ = reactor_.now();
  constexpr std::array<std::string_view, 1> kPing{"PING"};
  append_command(out_, kPing);
  Entry entry;
  entry.ping = true;
  pending_.push_back(entry);
  if (waiter_ != nullptr) waiter_->notify();  // serve() writes it, and counts the time from now
}

void RedisClient::fail_all(const Error& error) {
  std::deque<Entry> gone = std::exchange(pending_, {});
  out_.clear();
  written_ = 0;
  for (const Entry& entry : gone) {
    if (entry.who == nullptr) continue;
    failures_.fetch_add(1, std::memory_order_relaxed);
    entry.who->finish(error);
  }
}

void RedisClient::on_ready() noexcept {
  const State now = state();
  if (now == State::up || now == State::suspect)
    static_cast<void>(flush());  // an error shows in the next read
}

// Writes what can be written; false when the connection is broken.
bool RedisClient::flush() noexcept {
  while (written_ < out_.size()) {
    iovec piece;
    piece.iov_base = out_.data() + written_;
    piece.iov_len = out_.size() - written_;
    const io::IoResult result = stream_->write({&piece, 1});
    if (result.status == io::IoStatus::would_block) return true;
    if (result.status != io::IoStatus::ok) return false;
    writes_.fetch_add(1, std::memory_order_relaxed);
    written_ += result.bytes;
  }
  out_.clear();
  written_ = 0;
  return true;
}

Result<void> RedisClient::fill() {
  std::array<char, 16 * 1024> buffer;
  while (stream_->may_read()) {
    const io::IoResult result = stream_->read(buffer);
    if (result.status == io::IoStatus::would_block) break;
    if (result.status == io::IoStatus::end)
      return Error(ErrorCode::connection_closed, "Redis closed the connection");
    if (result.status == io::IoStatus::error) return Error(result.error, "the connection to Redis broke");
    if (!reader_->feed({buffer.data(), result.bytes}))
      return Error(ErrorCode::out_of_memory, "a reply of Redis");
  }
  return {};
}

Result<void> RedisClient::answer_pending() {
  for (;;) {
    RedisReply reply;
    const internal::ReplyReader::Next next = reader_->next(reply);
    if (next == internal::ReplyReader::Next::incomplete) return {};
    if (next == internal::ReplyReader::Next::broken) return Error(ErrorCode::malformed, reader_->fault());
    if (pending_.empty()) return Error(ErrorCode::malformed, "a reply that nobody asked for");
    const Entry entry = pending_.front();
    pending_.pop_front();
    if (entry.ping && state() == State::suspect) set_state(State::up);
    if (entry.who != nullptr) entry.who->finish(std::move(reply));
  }
}

async::Task<void> RedisClient::run() {
  Duration wait = options_.retry_min;
  for (;;) {
    {
      io::Waiter waiter(reactor_);
      set_state(State::connecting);
      const Result<void> connected = co_await connect(waiter);
      Error why = connected ? Error() : connected.error();
      if (connected) {
        wait = options_.retry_min;
        failed_before_ = false;
        set_state(State::up);
        connects_.fetch_add(1, std::memory_order_relaxed);
        why = co_await serve(waiter);
      }
      waiter_ = nullptr;
      set_state(State::down);
      failed_before_ = true;
      last_fault_ = why.to_text();
      stream_.reset();
      reader_.reset();
      fail_all(why);
    }
    // Full jitter: gateways that lost one server together do not come back to it together.
    const Duration pause =
        options_.retry_min / 2 +
        Duration{static_cast<Duration::rep>(random_.below(static_cast<std::uint64_t>(wait.count())))};
    wait = std::min(wait * 2, options_.retry_max);
    static_cast<void>(co_await async::sleep_until(reactor_, reactor_.now() + pause, nullptr));
  }
}

async::Task<Result<void>> RedisClient::connect(io::Waiter& waiter) {
  const Deadline deadline = Deadline::after(reactor_.now(), options_.connect_timeout);
  Result<io::Resolved> resolved = co_await resolver_.resolve(options_.url.host, deadline);
  if (!resolved) co_return resolved.error();
  io::Address address;
  address.ip = resolved->addresses[random_.below(resolved->addresses.size())];
  address.port = options_.url.port;
  Result<std::unique_ptr<io::Stream>> made = reactor_.connect(address);
  if (!made) co_return made.error();
  stream_ = std::move(*made);
  stream_->watch(&waiter);
  reader_ = std::make_unique<internal::ReplyReader>(options_.reply_max);
  for (;;) {
    const io::IoResult result = stream_->finish_connect();
    if (result.status == io::IoStatus::ok) break;
    if (result.status != io::IoStatus::would_block)
      co_return Error(result.error, "connect " + options_.url.to_text());
    const io::Wake wake = co_await waiter.wait(deadline);
    if (wake == io::Wake::timeout) co_return Error(ErrorCode::timed_out, "connect " + options_.url.to_text());
  }
  Result<void> ready = co_await log_in(waiter, deadline);
  co_return ready;
}

// AUTH and SELECT where the URL asks for them, and PING, which shows that the other end is a Redis that lets us in.
async::Task<Result<void>> RedisClient::log_in(io::Waiter& waiter, Deadline deadline) {
  std::string own;
  std::size_t due = 1;
  const RedisUrl& url = options_.url;
  const std::string database = std::to_string(url.database);
  if (!url.password.empty()) {
    std::vector<std::string_view> auth{"AUTH"};
    if (!url.user.empty()) auth.emplace_back(url.user);
    auth.emplace_back(url.password);
    append_command(own, auth);
    ++due;
  }
  if (url.database != 0) {
    append_command(own, std::array<std::string_view, 2>{"SELECT", database});
    ++due;
  }
  append_command(own, std::array<std::string_view, 1>{"PING"});
  for (std::size_t sent = 0; due > 0;) {
    if (sent < own.size()) {
      iovec piece;
      piece.iov_base = own.data() + sent;
      piece.iov_len = own.size() - sent;
      const io::IoResult result = stream_->write({&piece, 1});
      if (result.status == io::IoStatus::ok) sent += result.bytes;
      if (result.status == io::IoStatus::error)
        co_return Error(result.error, "the connection to Redis broke");
    }
    const Result<void> filled = fill();
    if (!filled) co_return filled.error();
    RedisReply reply;
    const internal::ReplyReader::Next next = reader_->next(reply);
    if (next == internal::ReplyReader::Next::broken) co_return Error(ErrorCode::malformed, reader_->fault());
    if (next == internal::ReplyReader::Next::reply) {
      if (reply.is_error()) co_return Error(ErrorCode::permission_denied, "Redis says " + reply.text);
      if (reply.kind != RedisReply::Kind::status) co_return Error(ErrorCode::malformed, "not a Redis server");
      --due;
      continue;
    }
    const io::Wake wake = co_await waiter.wait(deadline);
    if (wake == io::Wake::timeout) co_return Error(ErrorCode::timed_out, "log in to " + url.to_text());
  }
  co_return Result<void>{};
}

// Until the connection is of no more use.
async::Task<Error> RedisClient::serve(io::Waiter& waiter) {
  waiter_ = &waiter;
  for (;;) {
    if (!flush()) co_return Error(ErrorCode::connection_reset, "the connection to Redis broke");
    const Result<void> filled = fill();
    // Replies that came before the end count.
    const Result<void> answered = answer_pending();
    if (!answered) co_return answered.error();
    if (!filled) co_return filled.error();
    Deadline deadline;
    if (state() == State::suspect) deadline = Deadline::after(suspect_since_, options_.stall);
    if (deadline.expired(reactor_.now()))
      co_return Error(ErrorCode::timed_out, "Redis has stopped answering");
    static_cast<void>(co_await waiter.wait(deadline));
  }
}

RedisClient::Stats RedisClient::stats() const noexcept {
  Stats stats;
  stats.commands = commands_.load(std::memory_order_relaxed);
  stats.failures = failures_.load(std::memory_order_relaxed);
  stats.writes = writes_.load(std::memory_order_relaxed);
  stats.connects = connects_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace weir::store
