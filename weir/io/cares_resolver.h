// CaresResolver: names through /etc/hosts and DNS, on an EpollReactor, without blocking its worker.
//
// The hosts file is asked first (it is read anew for each look-up, so an edit counts at once), then the
// servers of /etc/resolv.conf, which is read when the resolver is made, with its search list. A and AAAA are
// asked together; addresses of a family to which this machine has no route are left out, unless nothing else
// is there: a name with both would otherwise fail every second attempt on a machine without IPv6. The order
// is that of RFC 6724.
//
// One a worker, on the worker's thread; it must be gone before the reactor. Destroying a coroutine that waits
// in resolve() is safe; the query then ends by itself. At most kInFlightMax queries, kAddressesMax addresses
// an answer. Nothing is cached here: whoever asks keeps the answer for its TTL.
#ifndef WEIR_IO_CARES_RESOLVER_H_
#define WEIR_IO_CARES_RESOLVER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "weir/io/epoll_reactor.h"
#include "weir/io/resolver.h"

namespace weir::io {

struct CaresOptions {
  std::string servers;  // "127.0.0.1:5353,[::1]:53"; empty: those of /etc/resolv.conf
  std::chrono::milliseconds attempt_timeout{1000};  // the first attempt; each round of attempts doubles it
  int attempts = 3;                                 // a server
};

class CaresResolver final : public Resolver {
 public:
  static constexpr std::size_t kInFlightMax =
      1024;  // beyond it `unavailable`: the names of a configuration are fewer
  static constexpr std::size_t kAddressesMax =
      64;  // twice what fits a datagram; more is of no use to a balancer
  static constexpr Duration kHostsTtl = std::chrono::seconds{60};
  static constexpr Duration kTtlMin = std::chrono::seconds{1};
  static constexpr Duration kTtlMax = std::chrono::hours{1};

  // If c-ares cannot start (memory, descriptors), every resolve() says so.
  explicit CaresResolver(EpollReactor& reactor, const CaresOptions& options = {});
  ~CaresResolver() override;  // whoever still waits gets `cancelled`

  // Beside the errors of Resolver: unavailable (too many in flight, or c-ares could not start), cancelled.
  async::Task<Result<Resolved>> resolve(std::string host, Deadline deadline) override;

  std::size_t in_flight() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::io

#endif  // WEIR_IO_CARES_RESOLVER_H_
