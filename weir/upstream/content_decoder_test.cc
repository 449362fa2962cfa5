#include "weir/upstream/content_decoder.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "weir/base/random.h"

namespace weir::upstream {
namespace {

std::string packed(std::string_view text, int bits = 15 + 16) {
  z_stream z{};
  EXPECT_EQ(::deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  return out;
}

std::string some_json(std::size_t bytes, std::uint64_t seed) {
  base::Random random(seed);
  std::string text = "[";
  while (text.size() < bytes) text += std::to_string(random()) + ",";
  return text + "0]";
}

// Whatever pieces the bytes come in, what went in comes out; for both codings.
TEST(ContentDecoder, UnpacksInAnyPieces) {
  const std::uint64_t seed = 20261124;
  SCOPED_TRACE(seed);
  base::Random random(seed);
  ContentDecoder decoder;
  for (int round = 0; round < 200; ++round) {
    const std::string text = some_json(random.below(100'000), seed + static_cast<std::uint64_t>(round));
    const bool gzip = random.chance(1, 2);
    const std::string bytes = packed(text, gzip ? 15 + 16 : 15);
    ASSERT_EQ(decoder.begin(gzip ? " GZip " : "deflate"),
              gzip ? ContentDecoder::Coding::gzip : ContentDecoder::Coding::deflate);
    std::string out;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t n =
          std::min<std::size_t>(bytes.size() - at, 1 + random.below(round % 5 == 0 ? 3 : 9000));
      EXPECT_EQ(decoder.complete(), at == 0);
      ASSERT_EQ(decoder.feed(std::string_view(bytes).substr(at, n), out, 1 << 20), ContentDecoder::Fed::ok);
      at += n;
    }
    EXPECT_TRUE(decoder.complete());
    ASSERT_EQ(out, text);
  }
}

// Two members are one text.
TEST(ContentDecoder, JoinsMembers) {
  ContentDecoder decoder;
  decoder.begin("gzip");
  std::string out;
  EXPECT_EQ(decoder.feed(packed("[1,") + packed("2]"), out, 100), ContentDecoder::Fed::ok);
  EXPECT_TRUE(decoder.complete());
  EXPECT_EQ(out, "[1,2]");
}

// A megabyte out of a kilobyte is no answer, long before the limit of the body; nor is more than that limit.
TEST(ContentDecoder, StopsBombs) {
  ContentDecoder decoder;
  const std::string bomb = packed("[" + std::string(50'000'000, ' ') + "]");
  ASSERT_LT(bomb.size(), 60'000U);
  decoder.begin("gzip");
  std::string out;
  EXPECT_EQ(decoder.feed(bomb, out, 1U << 30), ContentDecoder::Fed::too_large);
  EXPECT_LE(out.size(), ContentDecoder::kRatioMax * (bomb.size() + 1'000) + ContentDecoder::kFree);
  out.clear();
  decoder.begin("gzip");
  std::size_t sent = 0;
  ContentDecoder::Fed fed = ContentDecoder::Fed::ok;
  for (; sent < bomb.size() && fed == ContentDecoder::Fed::ok; sent += 100)
    fed = decoder.feed(std::string_view(bomb).substr(sent, 100), out, 1U << 30);
  EXPECT_EQ(fed, ContentDecoder::Fed::too_large);
  EXPECT_LE(out.size(), 200'000U) << "after the first pieces already";
  out.clear();
  decoder.begin("gzip");
  const std::string honest = some_json(300'000, 1);
  EXPECT_EQ(decoder.feed(packed(honest), out, 100'000), ContentDecoder::Fed::too_large);
  EXPECT_LE(out.size(), 100'000U);
  out.clear();
  decoder.begin("");
  EXPECT_EQ(decoder.feed("123456", out, 5), ContentDecoder::Fed::too_large);
  EXPECT_EQ(decoder.feed("12345", out, 5), ContentDecoder::Fed::ok);
}

// Half a stream is not complete, a changed byte or surplus behind the end is an error; unknown codings are said to be.
TEST(ContentDecoder, TellsWhatIsBroken) {
  ContentDecoder decoder;
  const std::string good = packed(R"({"a":1})");
  std::string out;
  decoder.begin("gzip");
  EXPECT_EQ(decoder.feed(good.substr(0, good.size() - 1), out, 100), ContentDecoder::Fed::ok);
  EXPECT_FALSE(decoder.complete());
  for (std::size_t i = good.size() - 8; i < good.size(); ++i) {  // checksum and length
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    out.clear();
    decoder.begin("gzip");
    EXPECT_EQ(decoder.feed(bad, out, 100), ContentDecoder::Fed::broken) << i;
  }
  out.clear();
  decoder.begin("gzip");
  EXPECT_EQ(decoder.feed(good + "surplus", out, 100), ContentDecoder::Fed::broken);
  out.clear();
  decoder.begin("deflate");
  EXPECT_EQ(decoder.feed(packed("1", 15) + "x", out, 100), ContentDecoder::Fed::broken);
  for (const char* coding : {"br", "zstd", "gzip, gzip", "gzip;q=1", "nonsense"})
    EXPECT_EQ(decoder.begin(coding), ContentDecoder::Coding::unknown) << coding;
  EXPECT_EQ(decoder.begin("identity"), ContentDecoder::Coding::identity);
  EXPECT_TRUE(decoder.complete());
}

}  // namespace
}  // namespace weir::upstream
