// What counts as an upstream's failure: a pure table from status or error to Outcome.
//
//   FailureOn on;                                         // the default set
//   on.classify_status(503)                               // failure
//   on.classify_error(Error{ErrorCode::timed_out})        // failure
//   Result<FailureOn> mine = FailureOn::parse({"5xx", "!501", "429", "connect"});
//
// Defaults: every 5xx but 501 and 505 (those two say that the request asks for what the server never does), a
// connection that could not be made, a timeout of the call, a reset or early end, a malformed answer. 429 is
// `throttled` unless the set holds it. 400, 408 and 413 are neutral: the client's doing, and no proof of
// health. Local refusals and lack of descriptors or memory are neutral: they never reached the upstream.
//
// Immutable once built; a look-up is one bit test. 72 bytes.
#ifndef WEIR_RESILIENCE_CLASSIFY_H_
#define WEIR_RESILIENCE_CLASSIFY_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "weir/base/result.h"
#include "weir/resilience/outcome.h"

namespace weir::resilience {

// How a call failed without a usable answer.
enum class FailureKind : std::uint8_t {
  connect,    // refused, unreachable, name not resolved, TLS failed
  timeout,    // the call's own limit passed (connect, first byte, idle, total)
  reset,      // broken off, or ended before the answer was complete
  malformed,  // bytes that are not HTTP
};
inline constexpr std::size_t kFailureKinds = 4;
std::string_view to_string(FailureKind kind) noexcept;

class FailureOn {
 public:
  // The default set.
  FailureOn() noexcept;
  // The empty set: nothing is a failure.
  static FailureOn nothing() noexcept;

  // Items: a status ("500"), a class ("5xx"), a kind ("connect" "timeout" "reset" "malformed"); "!" before an
  // item takes it out again. Read in order, the later one wins. Error invalid_argument names the item and
  // what would do.
  static Result<FailureOn> parse(std::span<const std::string_view> items);
  static Result<FailureOn> parse(std::initializer_list<std::string_view> items) {
    return parse(std::span<const std::string_view>(items.begin(), items.size()));
  }

  bool has_status(int status) const noexcept;
  bool has(FailureKind kind) const noexcept { return (kinds_ >> static_cast<unsigned>(kind) & 1U) != 0; }

  // For a complete answer. Interim (1xx) answers are no verdict; 101 is: the upgrade was accepted.
  Outcome classify_status(int status) const noexcept;
  Outcome classify_kind(FailureKind kind) const noexcept {
    return has(kind) ? Outcome::failure : Outcome::neutral;
  }
  // Maps weir's error codes to a kind first. `deadline_exceeded` and `cancelled` mean that the caller gave
  // up, and become `cancelled`; a limit set for this very call must come as `timed_out` to count.
  Outcome classify_error(const Error& error) const noexcept;

  // "5xx !501 !505 connect timeout reset malformed": parses back to an equal set.
  std::string to_text() const;

  friend bool operator==(const FailureOn&, const FailureOn&) noexcept = default;

 private:
  void set_status(int status, bool on) noexcept;

  std::array<std::uint64_t, 8> statuses_{};  // bit status - 100, for 100..599
  std::uint8_t kinds_ = 0;
};

// The verdict of a gRPC call, known at its trailers (status codes of grpc.io/grpc/core/md_doc_statuscodes):
// UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS are failures, RESOURCE_EXHAUSTED is throttled,
// CANCELLED is cancelled, the rest is the server doing its work.
Outcome classify_grpc(int grpc_status) noexcept;

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_CLASSIFY_H_
