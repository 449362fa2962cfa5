// Error: what went wrong outside of us, as a value.
//
// A code to branch on, whose fault it was, whether trying again can help, and words for a person. Business outcomes
// (limited, shed, breaker open) are not errors; broken invariants are WEIR_CHECK. An Error never reaches a client as
// text: the table that turns codes into answers lives in gateway/problem.h.
#ifndef WEIR_BASE_ERROR_H_
#define WEIR_BASE_ERROR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weir {

enum class ErrorCode : std::uint8_t {
  invalid_argument,  // a value that cannot be used; detail says which and what would do
  malformed,         // bytes that do not follow their grammar
  too_large,         // over a stated bound
  not_found,
  unsupported,        // understood, but weir does not do it
  timed_out,          // one step took longer than its own limit
  deadline_exceeded,  // the time of the whole is used up
  cancelled,          // whoever asked no longer wants it
  connection_refused,
  connection_reset,   // the peer broke off
  connection_closed,  // the peer ended in good order where more was due
  unreachable,        // no route, network down
  name_not_resolved,
  out_of_descriptors,  // EMFILE, ENFILE
  out_of_memory,
  address_in_use,
  permission_denied,
  io_error,     // any other failure of the operating system
  tls_failed,   // the handshake, or the certificate of the peer
  unavailable,  // a dependency that should be there is not
};

enum class ErrorSource : std::uint8_t { internal, downstream, upstream, configuration };

// "connection_refused" and so on: stable, usable as a metric label.
std::string_view to_string(ErrorCode code) noexcept;
std::string_view to_string(ErrorSource source) noexcept;

// The code that stands for an errno; io_error for all that have no name of their own. Allocates nothing.
ErrorCode code_of_errno(int number) noexcept;

struct Error {
  ErrorCode code = ErrorCode::io_error;
  ErrorSource source = ErrorSource::internal;
  bool retryable = false;  // the same call may succeed later without anybody changing anything
  std::string detail;      // for logs; may be empty; never holds a secret

  Error() = default;
  // A constructor, not an aggregate: g++ 12 destroys brace-built aggregates twice beside co_await.
  explicit Error(ErrorCode c, std::string_view what = {}, ErrorSource from = ErrorSource::internal,
                 bool again = false)
      : code(c), source(from), retryable(again), detail(what) {}

  // From errno, with the call that set it: Error::from_errno(ECONNREFUSED, "connect 127.0.0.1:9001").
  static Error from_errno(int number, std::string_view call, ErrorSource from = ErrorSource::internal);

  // "connection_refused: connect 127.0.0.1:9001"
  std::string to_text() const;
};

}  // namespace weir

#endif  // WEIR_BASE_ERROR_H_
