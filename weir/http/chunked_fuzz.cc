// Any bytes as a chunked body: whole and byte by byte the same data, end and fault; and what is accepted, the
// slow twin accepts too.
#include <cstdint>
#include <string>

#include "weir/base/check.h"
#include "weir/http/parser.h"
#include "weir/http/testing/plain_reader.h"

namespace {

using weir::http::BodyDecoder;

struct Decoded {
  std::string data;
  std::size_t used = 0;
  BodyDecoder::State state = BodyDecoder::State::need_more;
  std::string_view what;
};

Decoded decode(std::string_view bytes, std::size_t step_bytes) {
  Decoded decoded;
  BodyDecoder decoder;
  decoder.start(weir::http::BodyKind::chunked, 0);
  while (decoded.used < bytes.size()) {
    const std::string piece(bytes.substr(decoded.used, step_bytes));  // its own memory, of exactly its size
    const BodyDecoder::Step step = decoder.next(piece);
    WEIR_CHECK(step.consumed <= piece.size() && step.data.size() <= step.consumed);
    WEIR_CHECK(step.consumed > 0 || step.state != BodyDecoder::State::data);
    decoded.data += step.data;
    decoded.used += step.consumed;
    decoded.state = step.state;
    if (step.state == BodyDecoder::State::done || step.state == BodyDecoder::State::error) break;
  }
  decoded.what = decoder.fault().what;
  return decoded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Decoded whole = decode(bytes, bytes.size() + 1);
  const Decoded single = decode(bytes, 1);
  WEIR_CHECK(whole.data == single.data && whole.what == single.what && whole.used == single.used);
  if (size > 0 && whole.state == BodyDecoder::State::done) {
    weir::http::testing::PlainMessage twin;
    WEIR_CHECK(weir::http::testing::plain::dechunk(bytes, twin));
    WEIR_CHECK(twin.body == whole.data && twin.used == whole.used);
  }
  return 0;
}
