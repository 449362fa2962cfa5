#include "weir/io/address.h"

#include <gtest/gtest.h>

namespace weir::io {
namespace {

// An address and a port come apart and together again.
TEST(Address, RoundTrip) {
  for (const char* text :
       {"127.0.0.1:8080", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:8080", "[2001:db8::1]:443"}) {
    const Result<Address> address = Address::parse(text);
    ASSERT_TRUE(address) << address.error().to_text();
    EXPECT_EQ(address->to_text(), text);
  }
}

// A port alone means every IPv4 address; a mapped IPv6 address is the IPv4 one.
TEST(Address, ShortFormsAndMappedAddresses) {
  EXPECT_EQ(Address::parse(":8080")->to_text(), "0.0.0.0:8080");
  EXPECT_EQ(Address::parse("[::ffff:10.0.0.1]:80")->to_text(), "10.0.0.1:80");
  EXPECT_EQ(Address::parse("[::]:80")->to_text(), "[::]:80");
  EXPECT_EQ(Address::parse("127.0.0.1:00080")->port, 80);
}

// Everything else is refused, with the text in the message.
TEST(Address, Refused) {
  for (const char* text : {"",
                           ":",
                           "8080",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1: 80",
                           "127.0.0.1:+80",
                           "127.0.0.1:99999999999999999999",
                           "localhost:80",
                           "::1:80",
                           "[::1]",
                           "[::1]80",
                           "[127.0.0.1]:80",
                           "[::1:80",
                           "::1]:80",
                           "[]:80",
                           "127.0.0.1 :80",
                           "1.2.3:80",
                           "127.0.0.1:000080"}) {
    const Result<Address> address = Address::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, ErrorCode::malformed);
    EXPECT_NE(address.error().detail.find(text), std::string::npos);
  }
}

}  // namespace
}  // namespace weir::io
