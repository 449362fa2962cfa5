#include "weir/base/base64.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "weir/base/random.h"

namespace weir::base {
namespace {

// RFC 4648 section 10.
TEST(Base64, TestVectorsOfTheRfc) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(*base64_decode(text), bytes);
    EXPECT_EQ(base64_encode(bytes).size(), base64_encoded_size(std::string_view(bytes).size()));
    std::string unpadded = text;
    while (unpadded.ends_with('=')) unpadded.pop_back();
    EXPECT_EQ(base64url_encode(bytes), unpadded);
    EXPECT_EQ(*base64url_decode(unpadded), bytes);
  }
  EXPECT_EQ(base64_encode("\xfb\xff\xfe"), "+//+");
  EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
}

// What upstreams are promised: the header begins so for user_123.
TEST(Base64, ThePassportsBeginning) {
  EXPECT_TRUE(base64_encode(R"({"user_id":"user_123"})").starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi"));
  EXPECT_EQ(base64_encode("active:user_123:US:web"), "YWN0aXZlOnVzZXJfMTIzOlVTOndlYg==");
}

// Every input of one, two and three bytes comes back, from both alphabets.
TEST(Base64, EveryShortInputRoundTrips) {
  const auto both = [](const std::string& bytes) {
    const Result<std::string> standard = base64_decode(base64_encode(bytes));
    const Result<std::string> url = base64url_decode(base64url_encode(bytes));
    return standard && url && *standard == bytes && *url == bytes;
  };
  for (int a = 0; a < 256; ++a) {
    std::string bytes(1, static_cast<char>(a));
    ASSERT_TRUE(both(bytes)) << a;
    std::string
        triples;  // all that begin with `a`, one after the other: groups of three do not see their neighbours
    for (int b = 0; b < 256; ++b) {
      ASSERT_TRUE(both(bytes + static_cast<char>(b))) << a << " " << b;
      for (int c = 0; c < 256; ++c) {
        triples += static_cast<char>(a);
        triples += static_cast<char>(b);
        triples += static_cast<char>(c);
      }
    }
    ASSERT_TRUE(both(triples)) << a;
  }
}

// Exactly the texts that encoding produces are accepted: every text of up to five of these characters that
// decodes is the encoding of what it decodes to.
TEST(Base64, AcceptsExactlyWhatItProduces) {
  const std::string alphabet = "ABQgw/+-_= \n";
  std::size_t standard = 0, url = 0;
  for (std::size_t length = 0; length <= 5; ++length) {
    std::size_t count = 1;
    for (std::size_t i = 0; i < length; ++i) count *= alphabet.size();
    for (std::size_t n = 0; n < count; ++n) {
      std::string text;
      for (std::size_t i = 0, rest = n; i < length; ++i, rest /= alphabet.size())
        text += alphabet[rest % alphabet.size()];
      if (const Result<std::string> bytes = base64_decode(text)) {
        ++standard;
        ASSERT_EQ(base64_encode(*bytes), text);
      }
      if (const Result<std::string> bytes = base64url_decode(text)) {
        ++url;
        ASSERT_EQ(base64url_encode(*bytes), text);
      }
    }
  }
  // And none is missing: seven of the characters belong to each alphabet. The last one before the padding
  // must have zero in its four or two lowest bits.
  const auto zero_bits = [](std::string_view characters, std::string_view all, std::size_t mask) {
    std::size_t n = 0;
    for (const char c : characters) n += (all.find(c) & mask) == 0 ? 1 : 0;
    return n;
  };
  const std::string_view all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string_view all_url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::size_t two = zero_bits("ABQgw/+", all, 15), three = zero_bits("ABQgw/+", all, 3);
  EXPECT_EQ(standard, 1 + 7 * 7 * 7 * 7 + 7 * two + 7 * 7 * three);
  const std::size_t two_url = zero_bits("ABQgw-_", all_url, 15), three_url = zero_bits("ABQgw-_", all_url, 3);
  EXPECT_EQ(url, 1 + 7 * 7 * 7 * 7 + 7 * two_url + 7 * 7 * three_url);
}

// Whatever one character is changed to, the text is refused or means something else.
TEST(Base64, NoCharacterCanBeChangedUnnoticed) {
  Random random(2);
  for (std::size_t length = 1; length <= 12; ++length) {
    std::string bytes(length, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    for (const bool url : {false, true}) {
      const std::string text = url ? base64url_encode(bytes) : base64_encode(bytes);
      for (std::size_t at = 0; at < text.size(); ++at)
        for (int c = 0; c < 256; ++c) {
          std::string changed = text;
          changed[at] = static_cast<char>(c);
          if (changed == text) continue;
          const Result<std::string> decoded = url ? base64url_decode(changed) : base64_decode(changed);
          ASSERT_TRUE(!decoded || *decoded != bytes) << text << " at " << at << " to " << c;
        }
    }
  }
}

// The error names the place.
TEST(Base64, ErrorsNameTheOffset) {
  const auto detail = [](std::string_view text) { return base64_decode(text).error().detail; };
  EXPECT_EQ(base64_decode("Zm9v*mFy").error().code, ErrorCode::malformed);
  EXPECT_NE(detail("Zm9v*mFy").find("offset 4"), std::string::npos);
  EXPECT_NE(detail("Zm9").find("padding"), std::string::npos);
  EXPECT_NE(detail("Zh==").find("offset 1"), std::string::npos) << "trailing bits";
  EXPECT_NE(detail("Z===").find("offset 1"), std::string::npos) << "more padding than there can be";
  EXPECT_NE(detail("=m9v").find("offset 0"), std::string::npos);
}

}  // namespace
}  // namespace weir::base
