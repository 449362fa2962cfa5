// The admin's endpoints, as a plan of their own: the admin listener is served by the same connections as traffic.
//
// Reads are open to whoever reaches the address; writes need the token. A page in somebody's browser must not be able
// to reach it: the Host must be an address or localhost (no DNS rebinding), and a foreign Origin is refused.
#ifndef WEIR_SERVER_ADMIN_H_
#define WEIR_SERVER_ADMIN_H_

#include <memory>
#include <string>

#include "weir/gateway/plan.h"

namespace weir::server {

class Server;

// /livez /readyz /metrics, and with `full` also /v1/...: the health listener serves only the former. `token` "" refuses
// every write.
std::shared_ptr<const gateway::Plan> make_admin_plan(Server& server, const std::string& token, bool full);

}  // namespace weir::server

#endif  // WEIR_SERVER_ADMIN_H_
