// Any bytes as a chunked body.
#include <cstdint>
#include <string>

#include "weir/http/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  weir::http::BodyDecoder decoder;
  decoder.start(weir::http::BodyKind::chunked, 0);
  for (;;) {
    const weir::http::BodyDecoder::Step step = decoder.next(bytes);
    bytes.remove_prefix(step.consumed);
    if (step.state != weir::http::BodyDecoder::State::data) return 0;
  }
}
