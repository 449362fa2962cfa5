// The header fields that tell a client where it stands, in the four spellings in use.
//
//   std::string buffer;                            // kept by the connection: no allocation once it has grown
//   LimitReport reports[] = {{&policy, decision}};
//   for (HeaderField f : format_headers(reports, {}, buffer)) response.add(f.name, f.value);
//
//   ietf10       RateLimit-Policy: "per_client";q=100;w=60        draft-ietf-httpapi-ratelimit-headers-10
//                RateLimit: "per_client";r=0;t=12
//   ietf7        RateLimit-Policy: 100;w=60                       ...-07
//                RateLimit: limit=100, remaining=0, reset=12
//   ietf6        RateLimit-Limit, -Remaining, -Reset, -Policy     ...-06
//   x_ratelimit  X-RateLimit-Limit, -Remaining, -Reset            (reset in seconds from now)
//
// And Retry-After (RFC 9110 10.2.3) beside each when a limit refused: seconds, rounded up, at least 1; none
// when waiting cannot help. Decisions must come from Want::headers. Values are visible ASCII, whatever the
// name holds. ietf10 lists every limit; the other three name the tightest. Pure; one pass over the reports.
#ifndef WEIR_RATELIMIT_HEADERS_H_
#define WEIR_RATELIMIT_HEADERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/policy.h"

namespace weir::ratelimit {

enum class HeaderStyle : std::uint8_t { ietf10, ietf7, ietf6, x_ratelimit, none };

struct HeaderField {
  std::string_view name;   // static
  std::string_view value;  // in the caller's buffer
};

struct LimitReport {
  const Policy* policy = nullptr;
  Decision decision;
};

struct HeaderOptions {
  HeaderStyle style = HeaderStyle::ietf10;
  Duration retry_jitter{
      0};  // added to Retry-After, drawn by the caller: spreads clients that would return at once
};

// At most five fields; a range to loop over.
class HeaderFields {
 public:
  const HeaderField* begin() const noexcept { return fields_.data(); }
  const HeaderField* end() const noexcept { return fields_.data() + size_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  void add(HeaderField field) noexcept { fields_[size_++] = field; }

 private:
  std::array<HeaderField, 5> fields_{};
  std::size_t size_ = 0;
};

// Writes the values into `buffer` (cleared first) and returns views of it, valid until it changes. Shadow
// limits are left out: the client is not held to them. Empty when there is nothing to say.
HeaderFields format_headers(std::span<const LimitReport> reports, const HeaderOptions& options,
                            std::string& buffer);

// "ietf10" and so on, as a configuration file writes them.
std::string_view to_string(HeaderStyle style) noexcept;

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_HEADERS_H_
