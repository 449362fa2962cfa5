#include "weir/gateway/stages/fault.h"

#include <array>
#include <chrono>

#include "weir/gateway/client_watch.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {
namespace {

// One of the few that may be delayed at a time.
class Place {
 public:
  Place(std::atomic<std::uint32_t>& taken, std::uint32_t most) noexcept : taken_(taken) {
    // Relaxed: a count and nothing else; whoever would be one too many gives it back at once.
    there_is_ = taken_.fetch_add(1, std::memory_order_relaxed) < most;
    if (!there_is_) taken_.fetch_sub(1, std::memory_order_relaxed);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (there_is_) taken_.fetch_sub(1, std::memory_order_relaxed);
  }
  bool there_is() const noexcept { return there_is_; }

 private:
  std::atomic<std::uint32_t>& taken_;
  bool there_is_ = false;
};

}  // namespace

std::span<const Problem> FaultStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::fault_injected};
  return kRefusals;
}

bool FaultStage::needs_waiting(const Exchange& exchange) const noexcept {
  return faults_.header.empty() || exchange.request.fields.find(faults_.header) != nullptr;
}

bool FaultStage::draw(Exchange& exchange, double share) const {
  constexpr std::uint64_t kParts = 1'000'000;
  return exchange.worker.random.below(kParts) < static_cast<std::uint64_t>(share * kParts + 0.5);
}

async::Task<Verdict> FaultStage::admit_async(Exchange& exchange) {
  io::Reactor& reactor = exchange.worker.reactor;
  if (faults_.delay && draw(exchange, faults_.delay->share)) {
    const Place place(active_, faults_.max_active);
    if (place.there_is()) {
      exchange.worker.shard.add(delays_);
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(faults_.delay->lasts).count();
      exchange.notes.add<Note::Kind::fault>(1, 0).n[0] = static_cast<std::uint32_t>(ms);
      ClientWatch watch(exchange);
      // Whose time is used up is refused by who comes next; whoever has left is not waited for.
      const Deadline end = Deadline::after(reactor.now(), faults_.delay->lasts).shrunk_to(exchange.deadline);
      while (!end.expired(reactor.now()) && !exchange.downstream->gone() && !watch.gone()) {
        const io::Wake wake = co_await exchange.waiter->wait(end.shrunk_to(watch.gone_deadline()));
        watch.observe(false);
        if (wake == io::Wake::cancelled) break;
      }
    }
  }
  if (faults_.abort && draw(exchange, faults_.abort->share)) {
    exchange.worker.shard.add(aborts_);
    exchange.notes.add<Note::Kind::fault>(2, 0).n[0] = static_cast<std::uint32_t>(faults_.abort->status);
    exchange.refuse(name(), Problem::fault_injected, "this route fails on purpose", faults_.abort->status);
    co_return Verdict::refuse;
  }
  co_return Verdict::proceed;
}

}  // namespace weir::gateway
