#include <string>

#include <gtest/gtest.h>

#include "weir/http/parser.h"

namespace weir::http {
namespace {

// A chunked body gives its data whatever the cuts.
TEST(BodyDecoder, TakesChunksOffAtEveryCut) {
  const std::string_view bytes = "5;a=\"b\\\"c\"\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\nNEXT";
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    BodyDecoder decoder;
    decoder.start(BodyKind::chunked, 0);
    std::string out;
    std::size_t used = 0;
    for (std::string_view part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      for (;;) {
        const BodyDecoder::Step step = decoder.next(part);
        out += step.data;
        used += step.consumed;
        part.remove_prefix(step.consumed);
        ASSERT_NE(step.state, BodyDecoder::State::error) << decoder.fault().what;
        if (step.state != BodyDecoder::State::data) break;
      }
    }
    EXPECT_TRUE(decoder.done());
    EXPECT_EQ(out, "hello world");
    EXPECT_EQ(bytes.substr(used), "NEXT");
  }
}

}  // namespace
}  // namespace weir::http
