// Fetcher: one request to a named upstream and its whole answer. What a library needs of an HTTP client.
//
// The gateway implements it with its own pools, breakers and balancing, tests with a table of answers, users with the
// client they have. A fetch is a coroutine that somebody owns: destroying the task abandons the call, and the upstream
// sees its connection close.
//
//   FetchRequest request;
//   request.upstream = "users", request.target = "/v1/users/17", request.deadline = Deadline::after(now, 200ms);
//   FetchResponse response;                                     // reused: keeps its capacity
//   const FetchFailure failure = co_await fetcher.fetch(request, response);
//   if (failure == FetchFailure::none && response.status == 200) use(response.body);
//
//   (1) The fetcher ends at `deadline` at the latest, and stops reading when the body would exceed `body_max`.
//   (2) A complete answer of any status is FetchFailure::none: what a 503 means is the caller's business.
//   (3) Request and response outlive the task. Behind the body's end lie at least kBodyPadding bytes of capacity.
//
// One thread; the interface itself holds no state.
#ifndef WEIR_HTTP_FETCHER_H_
#define WEIR_HTTP_FETCHER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "weir/async/task.h"
#include "weir/base/deadline.h"
#include "weir/http/message.h"

namespace weir::http {

enum class FetchFailure : std::uint8_t {
  none,
  unresolved,  // the endpoint's name
  refused,     // no connection
  connect_timeout,
  timeout,      // connected, and the answer did not come in time
  broken,       // closed or reset before the answer was complete
  malformed,    // the answer is not HTTP
  too_large,    // body_max, or more than the decompression ratio allows
  unencoded,    // a content coding that nobody asked for, or one that does not decode
  unavailable,  // breaker open, or no endpoint
  overloaded,   // out of descriptors or memory here
  unknown,      // no upstream of that name
};

// Proxy-Status error of RFC 9209 section 2.3, "http_response_timeout" and so on; "" for none.
std::string_view proxy_error(FetchFailure failure) noexcept;
constexpr bool is_timeout(FetchFailure failure) noexcept {
  return failure == FetchFailure::timeout || failure == FetchFailure::connect_timeout;
}

inline constexpr std::size_t kBodyPadding = 64;  // what simdjson reads beyond the end at most

struct FetchRequest {
  std::string_view upstream;  // a name that the fetcher knows
  Method method = Method::get;
  std::string_view target;        // path and query, encoded
  std::string_view host;          // "": the fetcher's own choice
  std::span<const Field> fields;  // beside Host and framing, which are the fetcher's
  // Sent like `fields`, but of this call alone: its id, its trace, its patience. They make no call another.
  std::span<const Field> own_fields;
  std::string_view body;  // sent with its length when not empty
  Deadline deadline;
  // Where others may join a call: the latest of their deadlines, which grows while the call runs. It stands in for
  // `deadline`, and a fetcher looks at it anew whenever it has waited. Null: nobody joins.
  const Deadline* latest = nullptr;
  std::size_t body_max = 1024 * 1024;
  std::string_view label;  // whom the call is made for, in traces; may be empty
  // Calls that are the same in upstream, method, target, host, `fields` and `body_max`, and have the same text here, may
  // be answered by one call: the identity on whose behalf it is made, or "" where the answer is everybody's. Nothing:
  // never.
  std::optional<std::string_view> share;

  // When it must have ended, as things stand now.
  Deadline until() const noexcept { return latest == nullptr ? deadline : *latest; }
};

struct FetchResponse {
  int status = 0;
  Fields fields;  // end-to-end ones; views into `storage`
  std::string storage;
  std::string body;  // decoded, whole
  // How it was got, for traces: requests sent for it, and the address of the last one's endpoint (the fetcher's text).
  unsigned attempts = 0;
  std::string_view endpoint;
  bool joined = false;  // somebody else's call brought it, or its failure

  void clear() noexcept {
    status = 0;
    attempts = 0;
    endpoint = {};
    joined = false;
    fields.clear();
    storage.clear();
    body.clear();
  }
  // Takes over copies of the end-to-end fields of `from`.
  void copy_fields(const Fields& from);
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  virtual async::Task<FetchFailure> fetch(const FetchRequest& request, FetchResponse& response) = 0;
};

}  // namespace weir::http

#endif  // WEIR_HTTP_FETCHER_H_
