// Any bytes as a path: the canonical form is its own canonical form and holds nothing that a reader could
// take for a dot segment. The same bytes as an authority and as a query are read without harm.
#include <cstdint>
#include <string>

#include "weir/base/check.h"
#include "weir/http/uri.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using weir::http::PathFault;
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::string scratch;
  const std::string raw = "/" + text;
  const weir::http::CanonicalPath once = weir::http::canonical_path(raw, scratch);
  if (once.fault == PathFault::none) {
    const std::string path(once.path);
    std::string again;
    const weir::http::CanonicalPath twice = weir::http::canonical_path(path, again);
    WEIR_CHECK(twice.fault == PathFault::none && twice.path == path);
    WEIR_CHECK(twice.encoded_slash == once.encoded_slash || path.find("%2F") == std::string::npos);
    const std::string closed = path + "/";
    for (const char* never : {"//", "/./", "/../", "%2e", "%2E", "%00", "%5C", "\\"})
      WEIR_CHECK((never[0] == '/' && never[1] == '/' ? path : closed).find(never) == std::string::npos);
  }
  std::string decoded;
  std::string encoded;
  if (weir::http::percent_decode(text, decoded)) {
    weir::http::append_percent_encoded(encoded, decoded);
    std::string back;
    WEIR_CHECK(weir::http::percent_decode(encoded, back) && back == decoded);
  }
  if (const auto authority = weir::http::parse_authority(text))
    WEIR_CHECK(!authority->host.empty() && authority->host.size() <= text.size());
  static_cast<void>(weir::http::query_parameter(text, "a"));
  return 0;
}
