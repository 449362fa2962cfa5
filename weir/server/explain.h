// The decision record of a recent request, from whichever worker served it.
//
// Records belong to the workers, which write them without a lock; so each is asked on its own thread, and the one that
// has it renders it there. Whoever asks waits for all of them, kPatience at most: a worker that is stuck keeps nobody.
#ifndef WEIR_SERVER_EXPLAIN_H_
#define WEIR_SERVER_EXPLAIN_H_

#include <string>

#include "weir/async/task.h"
#include "weir/base/clock.h"
#include "weir/gateway/exchange.h"

namespace weir::server {

class Server;

// JSON on one line; "" when no worker has a record with that id. `asking` is the admin's own exchange.
async::Task<std::string> find_record(Server& server, gateway::Exchange& asking, std::string id);

}  // namespace weir::server

#endif  // WEIR_SERVER_EXPLAIN_H_
