// A flight: the request copied, a scope with the one call in it, and the list of who waits.
//
// Waiters are woken from the loop, each by its own turn, so that one that is destroyed by another's turn is simply not in
// the list any more. A flight that has landed leaves the table at once: the next caller asks anew.
#include "weir/bff/coalescer.h"

#include <utility>
#include <vector>

#include "weir/base/intrusive_list.h"

namespace weir::bff {
namespace {

void append_piece(std::string& key, std::string_view piece) {
  key.append(std::to_string(piece.size())).push_back(':');
  key.append(piece);
}

std::string key_of(const http::FetchRequest& request) {
  std::string key;
  append_piece(key, request.upstream);
  append_piece(key, request.target);
  append_piece(key, *request.share);
  append_piece(key, std::to_string(request.body_max));
  for (const http::Field& field : request.fields) {
    append_piece(key, field.name);
    append_piece(key, field.value);
  }
  return key;
}

}  // namespace

struct Coalescer::Flight {
  Flight(Coalescer& table, const http::FetchRequest& from, std::string text)
      : owner(table), key(std::move(text)), upstream(from.upstream), target(from.target), share(*from.share) {
    for (const http::Field& field : from.fields) texts.emplace_back(field.name, field.value);
    request = from;
    request.upstream = upstream;
    request.target = target;
    request.share = share;
    for (std::size_t i = 0; i < texts.size(); ++i)
      fields.push_back({texts[i].first, texts[i].second, from.fields[i].id, false});
    request.fields = fields;
    label = from.label;
    request.label = label;
  }

  Coalescer& owner;
  std::string key;
  std::string upstream, target, share, label;
  std::vector<std::pair<std::string, std::string>> texts;
  std::vector<http::Field> fields;
  http::FetchRequest request;
  http::FetchResponse response;
  http::FetchFailure failure = http::FetchFailure::none;
  bool landed = false;
  base::IntrusiveList<Wait, base::DefaultTag> waiters;
  async::Scope scope;  // last: the call ends before what it uses
};

// One caller in the list of a flight, with his own deadline. Leaves the list when destroyed; the last one to leave takes
// the flight with him.
class Coalescer::Wait final : public base::ListNode<>, private async::Timer, private async::Ready {
 public:
  Wait(std::shared_ptr<Flight> flight, Deadline deadline) : flight_(std::move(flight)), deadline_(deadline) {
    flight_->waiters.push_back(*this);
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  ~Wait() {
    base::ListNode<>::unlink();
    if (!flight_->landed && flight_->waiters.empty()) flight_->owner.flights_.erase(flight_->key);
  }

  bool await_ready() const noexcept { return flight_->landed; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept {
    waiting_ = waiting;
    if (!deadline_.is_never()) flight_->owner.loop_.arm(*this, deadline_.when());
  }
  void await_resume() noexcept { async::Timer::disarm(); }

  void wake() noexcept { flight_->owner.loop_.make_ready(*this); }

 private:
  void on_timer() noexcept override { resume(); }
  void on_ready() noexcept override { resume(); }
  void resume() noexcept {
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr).resume();
  }

  std::shared_ptr<Flight> flight_;
  Deadline deadline_;
  std::coroutine_handle<> waiting_ = nullptr;
};

Coalescer::~Coalescer() = default;

// Whoever waits holds the flight, and without anybody this frame is gone: `flight` outlives it.
async::Task<void> Coalescer::fly(Flight& flight) {
  flight.failure = co_await flight.owner.inner_.fetch(flight.request, flight.response);
  flight.landed = true;
  flight.waiters.for_each([](Wait& wait) { wait.wake(); });
  flight.owner.flights_.erase(flight.key);
}

async::Task<http::FetchFailure> Coalescer::fetch(const http::FetchRequest& request,
                                                 http::FetchResponse& response) {
  if (!request.share || request.method != http::Method::get || !request.body.empty())
    co_return co_await inner_.fetch(request, response);
  for (;;) {
    std::string key = key_of(request);
    const auto found = flights_.find(key);
    std::shared_ptr<Flight> flight;
    const bool leads = found == flights_.end();
    if (leads) {
      flight = std::make_shared<Flight>(*this, request, key);
      flights_.emplace(std::move(key), flight);
    } else {
      flight = found->second;
      ++shared_;
    }
    Wait wait(flight, request.deadline);
    if (leads) flight->scope.spawn(fly(*flight));
    co_await wait;
    if (!flight->landed) co_return http::FetchFailure::timeout;
    // The call ran out of the time of who began it; this one has some left.
    const bool not_ours = flight->failure == http::FetchFailure::timeout && !leads;
    if (not_ours && !request.deadline.expired(loop_.now())) continue;
    if (flight->failure == http::FetchFailure::none) {
      response.status = flight->response.status;
      response.copy_fields(flight->response.fields);
      response.body.reserve(flight->response.body.size() + http::kBodyPadding);
      response.body = flight->response.body;
    }
    co_return flight->failure;
  }
}

}  // namespace weir::bff
