// Any bytes as a path.
#include <cstdint>
#include <string>

#include "weir/http/uri.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string path = "/" + std::string(reinterpret_cast<const char*>(data), size);
  std::string scratch;
  static_cast<void>(weir::http::canonical_path(path, scratch));
  return 0;
}
