// ClientWatch: how long weir waits for a client, for its body and for its taking the answer.
//
// Counts only while weir waits for the client: `body_timeout` without any progress, and fewer than `body_rate_min`
// bytes a second over thirty seconds (a client that drips a byte now and then). A client that has closed its sending
// side may still read (a script that pipes a request in); it gets kHalfClosedGrace to do so while an upstream works
// for it, since a client that is gone looks the same until it is written to.
#ifndef WEIR_GATEWAY_CLIENT_WATCH_H_
#define WEIR_GATEWAY_CLIENT_WATCH_H_

#include <cstdint>

#include "weir/base/deadline.h"
#include "weir/gateway/exchange.h"

namespace weir::gateway {

class ClientWatch {
 public:
  static constexpr Duration kHalfClosedGrace = std::chrono::milliseconds{250};
  static constexpr Duration kRateWindow = std::chrono::seconds{30};

  explicit ClientWatch(Exchange& exchange) noexcept;

  // Call after each wait, before the questions below: notes what has moved. `waits_for_body`: weir would take more of
  // the request's body if the client sent it (it is not weir's own back-pressure that holds it up).
  void observe(bool waits_for_body) noexcept;

  // By when the client must have sent more of its body, or taken more of the answer.
  Deadline read_deadline() const noexcept { return deadline(reading_); }
  Deadline write_deadline() const noexcept { return deadline(writing_); }
  bool read_stalled() const noexcept;
  // The answer waits and the client does not take it.
  bool stalled() const noexcept;

  // While the upstream works: by when a half-closed client counts as gone; never if it is not half-closed.
  Deadline gone_deadline() noexcept;
  bool gone() noexcept;

 private:
  struct Flow {
    std::uint64_t bytes = 0;       // seen so far
    TimePoint moved{};             // when they last grew
    std::uint64_t rate_bytes = 0;  // at the start of the rate window
    TimePoint rate_start{};
  };

  void note(Flow& flow, std::uint64_t bytes, TimePoint now, bool waited_for) const noexcept;
  std::uint64_t bytes_a_window() const noexcept;
  Deadline deadline(const Flow& flow) const noexcept;

  Exchange& exchange_;
  Flow reading_;
  Flow writing_;
  TimePoint half_closed_at_ = TimePoint::max();
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_CLIENT_WATCH_H_
