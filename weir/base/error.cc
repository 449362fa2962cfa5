#include "weir/base/error.h"

#include <cerrno>
#include <cstring>

namespace weir {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::malformed:
      return "malformed";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::timed_out:
      return "timed_out";
    case ErrorCode::deadline_exceeded:
      return "deadline_exceeded";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::connection_refused:
      return "connection_refused";
    case ErrorCode::connection_reset:
      return "connection_reset";
    case ErrorCode::connection_closed:
      return "connection_closed";
    case ErrorCode::unreachable:
      return "unreachable";
    case ErrorCode::name_not_resolved:
      return "name_not_resolved";
    case ErrorCode::out_of_descriptors:
      return "out_of_descriptors";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::address_in_use:
      return "address_in_use";
    case ErrorCode::permission_denied:
      return "permission_denied";
    case ErrorCode::io_error:
      return "io_error";
    case ErrorCode::tls_failed:
      return "tls_failed";
    case ErrorCode::unavailable:
      return "unavailable";
  }
  return "unknown";
}

std::string_view to_string(ErrorSource source) noexcept {
  switch (source) {
    case ErrorSource::internal:
      return "internal";
    case ErrorSource::downstream:
      return "downstream";
    case ErrorSource::upstream:
      return "upstream";
    case ErrorSource::configuration:
      return "configuration";
  }
  return "unknown";
}

ErrorCode code_of_errno(int number) noexcept {
  switch (number) {
    case ECONNREFUSED:
      return ErrorCode::connection_refused;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
      return ErrorCode::connection_reset;
    case ETIMEDOUT:
      return ErrorCode::timed_out;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
      return ErrorCode::unreachable;
    case EMFILE:
    case ENFILE:
      return ErrorCode::out_of_descriptors;
    case ENOMEM:
    case ENOBUFS:
      return ErrorCode::out_of_memory;
    case EADDRINUSE:
      return ErrorCode::address_in_use;
    case EACCES:
    case EPERM:
      return ErrorCode::permission_denied;
    case ENOENT:
      return ErrorCode::not_found;
    default:
      return ErrorCode::io_error;
  }
}

Error Error::from_errno(int number, std::string_view call, ErrorSource from) {
  const ErrorCode code = code_of_errno(number);
  const bool again = code == ErrorCode::connection_refused || code == ErrorCode::connection_reset ||
                     code == ErrorCode::timed_out || code == ErrorCode::unreachable ||
                     code == ErrorCode::out_of_descriptors || code == ErrorCode::out_of_memory;
  Error error(code, call, from, again);
  error.detail.append(": ").append(
      std::strerror(number));  // NOLINT(concurrency-mt-unsafe): glibc's is thread-safe
  return error;
}

std::string Error::to_text() const {
  std::string text{to_string(code)};
  if (!detail.empty()) text.append(": ").append(detail);
  return text;
}

}  // namespace weir
