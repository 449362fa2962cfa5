// How many connections each address holds: counted exactly, also by many threads.
#include "weir/server/address_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string_view>
#include <thread>
#include <vector>

namespace weir::server {
namespace {

base::IpAddress ip(std::string_view text) { return base::IpAddress::parse(text).value(); }

// Up to the limit, and again when one has left.
TEST(AddressTable, CountsEachAddress) {
  AddressTable table(base::SipKey{1, 2});
  EXPECT_TRUE(table.enter(ip("10.0.0.1"), 2));
  EXPECT_TRUE(table.enter(ip("10.0.0.1"), 2));
  EXPECT_FALSE(table.enter(ip("10.0.0.1"), 2));
  EXPECT_TRUE(table.enter(ip("10.0.0.2"), 2));
  table.leave(ip("10.0.0.1"));
  EXPECT_TRUE(table.enter(ip("10.0.0.1"), 2));
  EXPECT_FALSE(table.enter(ip("10.0.0.1"), 2));
  EXPECT_FALSE(table.enter(ip("10.0.0.3"), 0)) << "nobody";
}

// An IPv6 client is its /64, and a mapped IPv4 address is the IPv4 address.
TEST(AddressTable, NetworksOfIpv6) {
  AddressTable table(base::SipKey{1, 2});
  EXPECT_TRUE(table.enter(ip("2001:db8::1"), 1));
  EXPECT_FALSE(table.enter(ip("2001:db8::2"), 1));
  EXPECT_TRUE(table.enter(ip("2001:db8:0:1::1"), 1));
  EXPECT_TRUE(table.enter(ip("10.0.0.1"), 1));
  EXPECT_FALSE(table.enter(ip("::ffff:10.0.0.1"), 1));
}

// Never more than the limit at once, however many threads come and go.
TEST(AddressTable, Threads) {
  AddressTable table(base::SipKey{1, 2});
  constexpr std::uint32_t kLimit = 3;
  std::atomic<std::uint32_t> inside{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 2000; ++n) {
        if (!table.enter(ip("10.0.0.1"), kLimit)) continue;
        if (inside.fetch_add(1) >= kLimit) over = true;
        inside.fetch_sub(1);
        table.leave(ip("10.0.0.1"));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_TRUE(table.enter(ip("10.0.0.1"), 1)) << "all have left";
}

}  // namespace
}  // namespace weir::server
