// Active checks: asks one endpoint by itself, every so often, and writes down whether it is well.
//
//   scope.spawn(watch_health(reactor, resolver, scope, buffers, endpoint, check, shared, alive, seed));
//
// A check is a connection, or a GET whose answer is 2xx or 3xx, within `timeout`. `fall` bad ones in a row take the
// endpoint out, `rise` good ones bring it back (EndpointState::failing). The pause between two is `every` plus or minus
// a tenth, so that gateways that started together do not ask together. One coroutine an endpoint and process; it ends
// when `alive` has gone. Checks pass no stage and count in no breaker.
#ifndef WEIR_UPSTREAM_HEALTH_H_
#define WEIR_UPSTREAM_HEALTH_H_

#include <memory>

#include "weir/async/scope.h"
#include "weir/io/buffer.h"
#include "weir/io/reactor.h"
#include "weir/io/resolver.h"
#include "weir/upstream/upstream.h"

namespace weir::upstream {

async::Task<void> watch_health(io::Reactor& reactor, io::Resolver& resolver, async::Scope& background,
                               io::BufferPool& buffers, EndpointOptions endpoint, HealthCheckOptions options,
                               std::shared_ptr<SharedUpstream> shared, std::weak_ptr<const void> alive,
                               std::uint64_t seed);

}  // namespace weir::upstream

#endif  // WEIR_UPSTREAM_HEALTH_H_
