// Coalescer: identical GETs in flight become one call.
//
//   http::Fetcher& services = ...;
//   bff::Coalescer once(services, loop);       // a Fetcher itself; hand it to the Desk
//
//   (1) Two calls are one only if upstream, target, fields, limits and the text of `share` are the same, byte by byte;
//       the whole key is compared, so a collision never shows one user another's answer. Calls without `share`, with a
//       body or another method pass straight through.
//   (2) The call belongs to the table, not to who came first: it goes on when that one leaves, and ends when nobody waits
//       any more.
//   (3) Everybody keeps his own deadline. Who still has time when the shared call ran out of its own begins another.
//
// One thread. The coalescer outlives every task it has given out.
#ifndef WEIR_BFF_COALESCER_H_
#define WEIR_BFF_COALESCER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "weir/async/scope.h"
#include "weir/async/timer.h"
#include "weir/http/fetcher.h"

namespace weir::bff {

class Coalescer final : public http::Fetcher {
 public:
  Coalescer(http::Fetcher& inner, async::Loop& loop) noexcept : inner_(inner), loop_(loop) {}
  ~Coalescer() override;

  async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                        http::FetchResponse& response) override;

  std::size_t in_flight() const noexcept { return flights_.size(); }
  std::uint64_t shared() const noexcept { return shared_; }  // calls that were answered by somebody else's

 private:
  struct Flight;
  class Wait;

  static async::Task<void> fly(Flight& flight);

  http::Fetcher& inner_;
  async::Loop& loop_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  std::uint64_t shared_ = 0;
};

}  // namespace weir::bff

#endif  // WEIR_BFF_COALESCER_H_
