// One small blocking request, for commands that talk to a running gateway's admin.
#ifndef WEIR_SERVER_ADMIN_CLIENT_H_
#define WEIR_SERVER_ADMIN_CLIENT_H_

#include <string>
#include <string_view>

#include "weir/base/result.h"
#include "weir/config/config.h"

namespace weir::server {

struct HttpReply {
  int status = 0;
  std::string body;
};

// POSTs nothing to `path`, with a bearer token unless it is empty. Waits at most ten seconds. "" as host is this machine.
Result<HttpReply> post(const config::HostPort& to, std::string_view path, std::string_view token);

}  // namespace weir::server

#endif  // WEIR_SERVER_ADMIN_CLIENT_H_
