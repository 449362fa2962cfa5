#include "weir/io/resolver.h"

namespace weir::io {

async::Task<Result<Resolved>> TableResolver::resolve(std::string host, Deadline) {
  if (Result<base::IpAddress> literal = base::IpAddress::parse(host)) {
    Resolved itself;
    itself.addresses.push_back(*literal);
    itself.ttl = std::chrono::hours{1};
    co_return itself;
  }
  const auto found = table_.find(host);
  if (found == table_.end()) co_return Error(ErrorCode::name_not_resolved, host + ": not in the table");
  co_return found->second;
}

}  // namespace weir::io
