#include "weir/upstream/health.h"

#include <utility>

#include "weir/base/random.h"
#include "weir/io/waiter.h"
#include "weir/upstream/call.h"
#include "weir/upstream/fetch.h"

namespace weir::upstream {
namespace {

// One question, on a connection of its own: a pooled one would say nothing about whether new ones can be made.
async::Task<bool> is_well(io::Reactor& reactor, EndpointPool& pool, Call& call,
                          const EndpointOptions& endpoint, const HealthCheckOptions& options) {
  const Deadline deadline = Deadline::after(reactor.now(), options.timeout);
  const Result<void> resolved = co_await pool.resolve(deadline);
  if (!resolved) co_return false;
  Result<std::unique_ptr<Connection>> connection = pool.connect(0);
  if (!connection) co_return false;
  io::Waiter waiter(reactor);
  if (options.path.empty()) {  // with TLS: a handshake is enough
    io::Stream& stream = (*connection)->stream();
    stream.watch(&waiter);
    for (;;) {
      const io::IoResult result = stream.finish_connect();
      if (result.status == io::IoStatus::ok) co_return true;
      if (result.status != io::IoStatus::would_block) co_return false;
      const io::Wake wake = co_await waiter.wait(deadline);
      if (wake == io::Wake::timeout) co_return false;
    }
  }
  http::HeadBuffer head = call.take_buffer();
  http::append_request_line(head, "GET", options.path, {}, false);
  http::append_field(head, "Host", host_of(endpoint));
  http::append_field(head, "User-Agent", "weir-health");
  http::append_field(head, "Connection", "close");
  http::end_head(head);
  Timeouts timeouts;
  timeouts.connect = timeouts.first_byte = timeouts.idle = options.timeout;
  call.start(std::move(*connection), http::Method::get, std::move(head), http::BodyKind::none, 0, timeouts,
             reactor.now());
  call.watch(&waiter);
  bool well = false;
  for (;;) {
    std::size_t used = 0;
    bool moved = call.push({}, true, reactor.now(), &used);
    moved |= call.pull(reactor.now());
    if (call.head_ready() && call.head().status >= 200) {
      well = call.head().status < 400;
      break;
    }
    if (call.finished()) break;
    if (call.head_ready()) call.next_head();
    if (moved) continue;
    const io::Wake wake = co_await waiter.wait(deadline);
    if (wake == io::Wake::timeout) break;
  }
  call.reset();
  co_return well;
}

}  // namespace

async::Task<void> watch_health(io::Reactor& reactor, io::Resolver& resolver, async::Scope& background,
                               io::BufferPool& buffers, EndpointOptions endpoint, HealthCheckOptions options,
                               std::shared_ptr<SharedUpstream> shared, std::weak_ptr<const void> alive,
                               std::uint64_t seed) {
  base::Random random(seed);
  EndpointState& state = shared->endpoint(endpoint.url);
  PoolOptions pool_options;
  pool_options.tls = endpoint.tls;
  EndpointPool pool(reactor, resolver, background, endpoint.host, endpoint.port, pool_options);
  Call call(buffers);
  std::uint32_t good = 0, bad = 0;
  while (!alive.expired()) {
    const bool well = co_await is_well(reactor, pool, call, endpoint, options);
    good = well ? good + 1 : 0;
    bad = well ? 0 : bad + 1;
    if (!well) state.checks_failed.fetch_add(1, std::memory_order_relaxed);
    const bool failing = state.failing.load(std::memory_order_relaxed);
    if (!failing && bad >= options.fall) state.failing.store(true, std::memory_order_relaxed);
    if (failing && good >= options.rise) {
      state.well_since.store(reactor.now().time_since_epoch().count(), std::memory_order_relaxed);
      state.failing.store(false, std::memory_order_relaxed);
    }
    const auto tenth = static_cast<std::uint64_t>(options.every.count() / 10);
    const Duration pause = options.every - options.every / 10 +
                           Duration{static_cast<Duration::rep>(random.below(2 * tenth + 1))};
    static_cast<void>(co_await async::sleep_until(reactor, reactor.now() + pause, nullptr));
  }
}

}  // namespace weir::upstream
