#include "weir/http/serializer.h"

#include <string>

#include <gtest/gtest.h>

namespace weir::http {
namespace {

// Whatever a write takes, the stream is the same.
TEST(BodyEncoder, SurvivesPartialWrites) {
  for (std::size_t step = 1; step < 80; ++step) {
    BodyEncoder encoder;
    encoder.start(BodyKind::chunked, 0, "HEAD\r\n\r\n");
    std::string out;
    std::string_view payload = "hello world, this is a body";
    for (int guard = 0; !encoder.finished() && guard < 1000; ++guard) {
      iovec pieces[BodyEncoder::kPieces];
      const std::size_t n = encoder.gather(payload, true, pieces);
      std::size_t left = step;
      for (std::size_t i = 0; i < n && left > 0; ++i) {
        const std::size_t take = std::min(left, pieces[i].iov_len);
        out.append(static_cast<const char*>(pieces[i].iov_base), take);
        left -= take;
      }
      payload.remove_prefix(encoder.wrote(step - left));
    }
    EXPECT_TRUE(encoder.finished());
    EXPECT_EQ(out, "HEAD\r\n\r\n1b\r\nhello world, this is a body\r\n0\r\n\r\n");
  }
}

}  // namespace
}  // namespace weir::http
