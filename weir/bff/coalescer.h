// Coalescer: identical GETs in flight become one call.
//
//   http::Fetcher& services = ...;
//   bff::Coalescer once(services, loop);       // a Fetcher itself; hand it to the Desk
//
//   (1) Two calls are one only if upstream, target, host, fields, limits and the text of `share` are the same, byte by
//       byte; the whole key is compared, so a collision never shows one user another's answer. Calls without `share`, with
//       a body or another method pass straight through.
//   (2) The call belongs to the table, not to who came first: it goes on when that one leaves, and ends when nobody waits
//       any more.
//   (3) The call may take as long as the latest of those who wait for it. Everybody keeps his own deadline all the same:
//       who has less time leaves earlier, at most kGrace late.
//   (4) One that waits alone is handed the answer; only several get copies. Once warm nothing is allocated but those.
//
// One thread. The coalescer outlives every task it has given out.
#ifndef WEIR_BFF_COALESCER_H_
#define WEIR_BFF_COALESCER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weir/async/scope.h"
#include "weir/async/timer.h"
#include "weir/base/intrusive_list.h"
#include "weir/http/fetcher.h"

namespace weir::bff {

class Coalescer final : public http::Fetcher {
 public:
  // Behind its own deadline a caller still waits so long for the call to end by itself: a service that is too slow is
  // then seen as such by its breaker, not as one that was given up.
  static constexpr Duration kGrace = std::chrono::milliseconds{1};

  Coalescer(http::Fetcher& inner, async::Loop& loop) noexcept;
  ~Coalescer() override;

  async::Task<http::FetchFailure> fetch(const http::FetchRequest& request,
                                        http::FetchResponse& response) override;

  std::size_t in_flight() const noexcept { return in_flight_; }
  std::uint64_t shared() const noexcept { return shared_; }  // calls that were answered by somebody else's

 private:
  class Flight;
  class Wait;
  static constexpr std::size_t kBuckets = 256;     // chains stay short up to some thousand calls in flight
  static constexpr std::size_t kFlightsKept = 64;  // idle ones, with their memory

  Flight& join(const http::FetchRequest& request);
  void leave(Flight& flight) noexcept;
  static async::Task<void> fly(Flight& flight);

  http::Fetcher& inner_;
  async::Loop& loop_;
  std::array<base::IntrusiveList<Flight>, kBuckets> flights_;
  std::vector<std::unique_ptr<Flight>> idle_;
  std::string key_;  // scratch
  std::size_t in_flight_ = 0;
  std::uint64_t shared_ = 0;
};

}  // namespace weir::bff

#endif  // WEIR_BFF_COALESCER_H_
