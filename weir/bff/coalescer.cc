// A flight: the request copied, a scope with the one call in it, and the list of who waits.
//
// Waiters are woken from the loop, each by its own turn, so that one that is destroyed by another's turn is simply not in
// the list any more. A flight that has landed leaves the table at once: the next caller asks anew. It is kept for its
// memory when the last waiter has left.
#include "weir/bff/coalescer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "weir/base/hash.h"

namespace weir::bff {
namespace {

// With its length in front, so that no two lists of pieces make one key.
void append_piece(std::string& key, std::string_view piece) {
  const auto size = static_cast<std::uint32_t>(piece.size());
  std::array<char, sizeof size> bytes;
  std::memcpy(bytes.data(), &size, sizeof size);
  key.append(bytes.data(), bytes.size()).append(piece);
}

void write_key(const http::FetchRequest& request, std::string& key) {
  key.clear();
  append_piece(key, request.upstream);
  append_piece(key, request.target);
  append_piece(key, request.host);
  append_piece(key, *request.share);
  const std::uint64_t body_max = request.body_max;
  std::array<char, sizeof body_max> bytes;
  std::memcpy(bytes.data(), &body_max, sizeof body_max);
  key.append(bytes.data(), bytes.size());
  for (const http::Field& field : request.fields) {
    append_piece(key, field.name);
    append_piece(key, field.value);
  }
}

}  // namespace

class Coalescer::Flight final : public base::ListNode<> {
 public:
  explicit Flight(Coalescer& table) : owner(table) {}

  void begin(const http::FetchRequest& from, std::string& its_key, std::uint64_t its_hash) {
    key.swap(its_key);
    hash = its_hash;
    copy(from);
    latest = from.deadline;
    request.latest = &latest;
    failure = http::FetchFailure::none;
    landed = false;
    response.clear();
    scope.emplace();
  }

  Coalescer& owner;
  std::string key;
  std::uint64_t hash = 0;
  Deadline latest;
  http::FetchRequest request;
  http::FetchResponse response;
  http::FetchFailure failure = http::FetchFailure::none;
  bool landed = false;
  std::size_t callers = 0;
  base::IntrusiveList<Wait, base::DefaultTag> waiters;

 private:
  // The texts of a request behind one another in `text_`, and views into that.
  void copy(const http::FetchRequest& from) {
    text_.clear();
    std::size_t size =
        from.upstream.size() + from.target.size() + from.host.size() + from.label.size() + from.share->size();
    for (const auto& list : {from.fields, from.own_fields})
      for (const http::Field& field : list) size += field.name.size() + field.value.size();
    text_.reserve(size);  // once: the views below must stay
    request = from;
    request.upstream = keep(from.upstream);
    request.target = keep(from.target);
    request.host = keep(from.host);
    request.label = keep(from.label);
    request.share = keep(*from.share);
    fields_.clear();
    for (const auto& list : {from.fields, from.own_fields})
      for (const http::Field& field : list)
        fields_.push_back({keep(field.name), keep(field.value), field.id, field.hop_by_hop});
    request.fields = std::span<const http::Field>(fields_).first(from.fields.size());
    request.own_fields = std::span<const http::Field>(fields_).subspan(from.fields.size());
  }
  std::string_view keep(std::string_view text) {
    const std::size_t at = text_.size();
    text_.append(text);
    return std::string_view(text_).substr(at);
  }

  std::string text_;
  std::vector<http::Field> fields_;

 public:
  std::optional<async::Scope> scope;  // last: the call ends before what it uses
};

// One caller in the list of a flight, with his own deadline. Leaves it when destroyed.
class Coalescer::Wait final : public base::ListNode<>, private async::Timer, private async::Ready {
 public:
  Wait(Flight& flight, Deadline deadline) : flight_(flight), deadline_(deadline) {
    flight_.waiters.push_back(*this);
    ++flight_.callers;
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  ~Wait() {
    base::ListNode<>::unlink();
    flight_.owner.leave(flight_);
  }

  bool await_ready() const noexcept { return flight_.landed; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    if (!deadline_.is_never()) flight_.owner.loop_.arm(*this, deadline_.when() + kGrace);
  }
  void await_resume() noexcept { async::Timer::disarm(); }

  void wake() noexcept { flight_.owner.loop_.make_ready(*this); }

 private:
  void on_timer() noexcept override { resume(); }
  void on_ready() noexcept override { resume(); }
  void resume() noexcept {
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr).resume();
  }

  Flight& flight_;
  Deadline deadline_;
  std::coroutine_handle<> waiting_ = nullptr;
};

Coalescer::Coalescer(http::Fetcher& inner, async::Loop& loop) noexcept : inner_(inner), loop_(loop) {}

Coalescer::~Coalescer() = default;

// The flight of such calls, or a new one, which has no caller yet.
Coalescer::Flight& Coalescer::join(const http::FetchRequest& request) {
  write_key(request, key_);
  const std::uint64_t hash = base::siphash13({}, key_);
  base::IntrusiveList<Flight>& bucket = flights_[hash % kBuckets];
  Flight* found = nullptr;
  bucket.for_each([&](Flight& flight) {
    if (flight.hash == hash && flight.key == key_) found = &flight;
  });
  if (found != nullptr) {
    ++shared_;
    found->latest = std::max(found->latest, request.deadline);
    return *found;
  }
  std::unique_ptr<Flight> made;
  if (idle_.empty()) {
    made = std::make_unique<Flight>(*this);
  } else {
    made = std::move(idle_.back());
    idle_.pop_back();
  }
  made->begin(request, key_, hash);
  bucket.push_back(*made);
  ++in_flight_;
  return *made.release();
}

// The last one takes the flight with him.
void Coalescer::leave(Flight& flight) noexcept {
  if (--flight.callers > 0) return;
  std::unique_ptr<Flight> owned(&flight);
  if (!flight.landed) --in_flight_;
  flight.unlink();
  flight.scope.reset();
  if (idle_.size() < kFlightsKept) idle_.push_back(std::move(owned));
}

// Whoever waits holds the flight, and without anybody this frame is gone: `flight` outlives it.
async::Task<void> Coalescer::fly(Flight& flight) {
  flight.failure = co_await flight.owner.inner_.fetch(flight.request, flight.response);
  flight.landed = true;
  flight.unlink();
  --flight.owner.in_flight_;
  flight.waiters.for_each([](Wait& wait) { wait.wake(); });
}

async::Task<http::FetchFailure> Coalescer::fetch(const http::FetchRequest& request,
                                                 http::FetchResponse& response) {
  if (!request.share || request.method != http::Method::get || !request.body.empty())
    co_return co_await inner_.fetch(request, response);
  for (;;) {
    Flight& flight = join(request);
    const bool leads = flight.callers == 0;
    Wait wait(flight, request.deadline);
    if (leads) flight.scope->spawn(fly(flight));
    co_await wait;
    response.joined = !leads;
    if (!flight.landed) co_return http::FetchFailure::timeout;
    // The call ran out of a time that was not ours: a fetcher that bounds it by itself. There is some left.
    const bool not_ours = flight.failure == http::FetchFailure::timeout && !leads;
    if (not_ours && !request.deadline.expired(loop_.now())) continue;
    if (leads) response.attempts = flight.response.attempts, response.endpoint = flight.response.endpoint;
    if (flight.failure == http::FetchFailure::none) {
      response.status = flight.response.status;
      response.copy_fields(flight.response.fields);
      if (flight.callers == 1) {
        response.body.swap(flight.response.body);
      } else {
        response.body.reserve(flight.response.body.size() + http::kBodyPadding);
        response.body = flight.response.body;
      }
    }
    co_return flight.failure;
  }
}

}  // namespace weir::bff
