// Names to addresses, without blocking the worker.
//
// CaresResolver asks DNS (and /etc/hosts) through c-ares on its EpollReactor; TableResolver answers from a table, for
// the simulation. Results carry the record's TTL, so that the caller re-resolves when it has passed.
#ifndef WEIR_IO_RESOLVER_H_
#define WEIR_IO_RESOLVER_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "weir/async/task.h"
#include "weir/base/deadline.h"
#include "weir/base/result.h"
#include "weir/io/address.h"

namespace weir::io {

struct Resolved {
  std::vector<base::IpAddress> addresses;  // never empty; order of the answer
  Duration ttl{};                          // at least one second, at most an hour
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // Errors: name_not_resolved (with the reason), timed_out. An IP address in text form resolves to itself.
  virtual async::Task<Result<Resolved>> resolve(std::string host, Deadline deadline) = 0;
};

class TableResolver final : public Resolver {
 public:
  void set(std::string host, Resolved answer) { table_[std::move(host)] = std::move(answer); }
  async::Task<Result<Resolved>> resolve(std::string host, Deadline deadline) override;

 private:
  std::map<std::string, Resolved, std::less<>> table_;
};

}  // namespace weir::io

#endif  // WEIR_IO_RESOLVER_H_
