#include "weir/base/ip.h"

#include <gtest/gtest.h>

#include <string>

#include "weir/base/random.h"

namespace weir::base {
namespace {

IpAddress ip(std::string_view text) {
  const Result<IpAddress> address = IpAddress::parse(text);
  EXPECT_TRUE(address) << text;
  return address ? *address : IpAddress();
}

// Text and bytes come apart and together again; IPv6 in its canonical form (RFC 5952).
TEST(IpAddress, TextForms) {
  for (const char* text :
       {"0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::8:800:200c:417a"})
    EXPECT_EQ(ip(text).to_text(), text);
  EXPECT_EQ(ip("2001:DB8:0:0:0:0:0:1").to_text(), "2001:db8::1");
  EXPECT_EQ(IpAddress::v4(0x7f000001), ip("127.0.0.1"));
  EXPECT_EQ(IpAddress(), ip("0.0.0.0"));
}

// Everything that is not exactly an address is refused, with a bounded part of it in the message.
TEST(IpAddress, Refused) {
  for (const std::string& text :
       {std::string(), std::string("1.2.3"), std::string("1.2.3.4.5"), std::string("256.0.0.1"),
        std::string("1.2.3.4 "), std::string(" 1.2.3.4"), std::string("01.2.3.4"), std::string("1.2.3.4:80"),
        std::string("[::1]"), std::string("fe80::1%eth0"), std::string(":::"), std::string("1::2::3"),
        std::string("localhost"), std::string("1.2.3.4\0", 8), std::string(5000, '1')}) {
    const Result<IpAddress> address = IpAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, ErrorCode::malformed);
    EXPECT_LT(address.error().detail.size(), 200U);
  }
}

// An IPv4-mapped IPv6 address is the IPv4 address, in every way.
TEST(IpAddress, MappedIsIpv4) {
  const IpAddress mapped = ip("::ffff:10.1.2.3");
  EXPECT_TRUE(mapped.is_v4());
  EXPECT_EQ(mapped, ip("10.1.2.3"));
  EXPECT_EQ(mapped.bits(), 32U);
  EXPECT_EQ(mapped.to_text(), "10.1.2.3");
  EXPECT_TRUE(Cidr::parse("10.0.0.0/8")->contains(mapped));
  EXPECT_FALSE(ip("::10.1.2.3").is_v4()) << "the deprecated compatible form is another address";
  EXPECT_TRUE(ip("::ffff:127.0.0.1").is_loopback());
}

TEST(IpAddress, Loopback) {
  EXPECT_TRUE(ip("127.0.0.1").is_loopback());
  EXPECT_TRUE(ip("127.255.0.9").is_loopback());
  EXPECT_TRUE(ip("::1").is_loopback());
  EXPECT_FALSE(ip("128.0.0.1").is_loopback());
  EXPECT_FALSE(ip("::").is_loopback());
  EXPECT_FALSE(ip("1::1").is_loopback());
}

IpAddress random_ip(Random& random) {
  if (random.chance(1, 2)) return IpAddress::v4(static_cast<std::uint32_t>(random()));
  std::array<std::uint8_t, 16> bytes;
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.chance(1, 3) ? 0 : random());
  bytes[0] = 0x20;  // not a mapped address
  return IpAddress::v6(bytes);
}

bool bit(const IpAddress& address, unsigned i) { return (address.bytes()[i / 8] >> (7 - i % 8) & 1) != 0; }

// masked() keeps the first bits and clears the others; a block contains who shares them. Compared bit by bit,
// for every prefix length.
TEST(Cidr, AgreesWithBits) {
  Random random(4);
  for (int trial = 0; trial < 500; ++trial) {
    const IpAddress address = random_ip(random);
    for (unsigned prefix = 0; prefix <= address.bits(); ++prefix) {
      const IpAddress network = address.masked(prefix);
      for (unsigned i = 0; i < address.bits(); ++i)
        ASSERT_EQ(bit(network, i), i < prefix && bit(address, i)) << address.to_text() << "/" << prefix;
      const Result<Cidr> block = Cidr::parse(network.to_text() + "/" + std::to_string(prefix));
      ASSERT_TRUE(block) << block.error().to_text();
      ASSERT_EQ(block->to_text(), network.to_text() + "/" + std::to_string(prefix));
      const IpAddress other = random_ip(random);
      bool shared = other.is_v4() == address.is_v4();
      for (unsigned i = 0; shared && i < prefix; ++i) shared = bit(other, i) == bit(address, i);
      ASSERT_EQ(block->contains(other), shared);
      ASSERT_TRUE(block->contains(address));
    }
  }
}

// A single address is a block of itself; families do not mix.
TEST(Cidr, SingleAddressesAndFamilies) {
  EXPECT_EQ(Cidr::parse("10.0.0.1")->prefix, 32U);
  EXPECT_EQ(Cidr::parse("::1")->prefix, 128U);
  EXPECT_TRUE(Cidr::parse("0.0.0.0/0")->contains(ip("8.8.8.8")));
  EXPECT_FALSE(Cidr::parse("0.0.0.0/0")->contains(ip("::1")));
  EXPECT_FALSE(Cidr::parse("::/0")->contains(ip("8.8.8.8")));
}

// Host bits that are set are a mistake, and the message has the right spelling.
TEST(Cidr, HostBitsAreRefused) {
  const Result<Cidr> block = Cidr::parse("10.1.2.3/8");
  ASSERT_FALSE(block);
  EXPECT_NE(block.error().detail.find("10.0.0.0/8"), std::string::npos);
  EXPECT_NE(Cidr::parse("2001:db8::1/32").error().detail.find("2001:db8::/32"), std::string::npos);
}

TEST(Cidr, Refused) {
  for (const char* text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "::/129", "/8",
        "10.0.0.0 /8", "10.0.0.0/ 8", "10/8", "10.0.0.0/99999999999999999999"})
    EXPECT_FALSE(Cidr::parse(text)) << text;
}

}  // namespace
}  // namespace weir::base
