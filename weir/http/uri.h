// One canonical path: what is routed, limited, logged and forwarded is the same text.
//
// Unreserved characters that came percent-encoded are decoded, other escapes get upper-case digits (RFC 3986
// 6.2.2), "//" is merged, literal "." and ".." segments are resolved (5.2.4). What servers read differently
// is a fault: a segment that decodes to "." or "..", %5C, %00, a broken escape, a way out of the root. An
// encoded slash is reported, not judged: the route decides.
#ifndef WEIR_HTTP_URI_H_
#define WEIR_HTTP_URI_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::http {

enum class PathFault : std::uint8_t {
  none,
  bad_escape,
  encoded_backslash,  // also a raw one: no URI character, and a slash to some servers
  encoded_nul,
  encoded_dot_segment,  // also "..;x", and "." or ".." between encoded slashes
  above_root,
};

std::string_view to_string(PathFault fault) noexcept;

struct CanonicalPath {
  std::string_view path;  // into the input when that was canonical already, else into `scratch`
  PathFault fault = PathFault::none;
  bool encoded_slash = false;  // holds %2F
};

// `raw` starts with '/'. "*" (OPTIONS *) is returned unchanged. O(n); allocates only when `scratch` must
// grow.
CanonicalPath canonical_path(std::string_view raw, std::string& scratch);

// Decodes %XX (and nothing else: '+' stays) into `out`. False on a broken escape.
bool percent_decode(std::string_view text, std::string& out);
// Encodes everything outside unreserved (RFC 3986 2.3).
void append_percent_encoded(std::string& out, std::string_view text);

// The raw (still encoded) value of the first query parameter with that decoded name; "" for "a" and "a=".
std::optional<std::string_view> query_parameter(std::string_view query, std::string_view name);

// "host", "host:port", "[v6]:port" split and checked (RFC 3986 3.2.2 without userinfo). Nothing when
// malformed.
struct Authority {
  std::string_view host;  // without brackets
  std::optional<std::uint16_t> port;
};
std::optional<Authority> parse_authority(std::string_view text) noexcept;

}  // namespace weir::http

#endif  // WEIR_HTTP_URI_H_
