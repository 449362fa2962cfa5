#include "weir/server/worker_core.h"

#include <algorithm>
#include <utility>

#include "weir/gateway/plan.h"

namespace weir::server {
namespace {

constexpr Duration kRetryAccept = std::chrono::milliseconds{100};  // when descriptors or memory have run out
constexpr std::size_t kActivesKept = 1024;

}  // namespace

WorkerCore::WorkerCore(io::Reactor& loop, gateway::Worker& owner, const CoreOptions& options)
    : reactor_(loop), worker_(owner), options_(options) {}

WorkerCore::~WorkerCore() = default;

void WorkerCore::add_listener(std::unique_ptr<io::Listener> listener) {
  listener->watch(this);
  io::Listener& added = *listener;
  listeners_.push_back(std::move(listener));
  on_acceptable(added);  // whoever came before we watched
}

void WorkerCore::on_acceptable(io::Listener& listener) noexcept { accept_from(listener); }

void WorkerCore::accept_from(io::Listener& listener) {
  for (;;) {
    Result<std::unique_ptr<io::Stream>> accepted = listener.accept();
    if (!accepted) {
      // The backlog keeps them waiting; what runs goes on, and ends some time.
      starved_.store(true, std::memory_order_relaxed);
      if (!armed()) reactor_.arm(*this, reactor_.now() + kRetryAccept);
      return;
    }
    starved_.store(false, std::memory_order_relaxed);
    if (*accepted == nullptr) return;
    const gateway::Plan& plan = *worker_.current_plan().plan;
    const base::IpAddress peer = (*accepted)->peer().ip;
    if (options_.addresses != nullptr && plan.config.limits.connections_per_address) {
      const auto& trusted = plan.config.trusted_proxies.cidrs;
      const bool exempt =
          std::any_of(trusted.begin(), trusted.end(), [&](const auto& c) { return c.contains(peer); });
      const std::uint32_t limit = exempt ? UINT32_MAX : *plan.config.limits.connections_per_address;
      if (!options_.addresses->enter(peer, limit)) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        continue;  // closed unanswered
      }
    } else if (options_.addresses != nullptr) {
      options_.addresses->enter(peer, UINT32_MAX);
    }
    scope_.spawn(Http1Connection::run(std::make_unique<Http1Connection>(*this, std::move(*accepted))));
  }
}

void WorkerCore::on_timer() noexcept {
  for (const auto& listener : listeners_) accept_from(*listener);
}

void WorkerCore::drain(std::function<void()> drained) {
  draining_ = true;
  disarm();
  listeners_.clear();
  drained_ = std::move(drained);
  open_.for_each([](Http1Connection& connection) { connection.drain(); });
  if (open_.empty() && drained_) std::exchange(drained_, nullptr)();
}

void WorkerCore::connection_closed() {
  if (draining_ && open_.empty() && drained_) {
    // From a turn of its own: the connection that ends is still on the stack.
    reactor_.post(std::exchange(drained_, nullptr));
  }
}

std::unique_ptr<ActiveRequest> WorkerCore::take_active() {
  if (idle_actives_.empty()) return std::make_unique<ActiveRequest>(worker_);
  std::unique_ptr<ActiveRequest> active = std::move(idle_actives_.back());
  idle_actives_.pop_back();
  return active;
}

void WorkerCore::return_active(std::unique_ptr<ActiveRequest> active) {
  active->exchange.end();
  active->interim.clear();
  if (idle_actives_.size() < kActivesKept) idle_actives_.push_back(std::move(active));
}

}  // namespace weir::server
