// What may be asked of a limiter, and the keys that are asked with.
#include "weir/ratelimit/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/key.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

Policy valid() { return {.name = "p", .limit = 100, .window = 1min}; }

std::string complaint(const Policy& policy) {
  const Result<void> ok = validate(policy);
  return ok ? "" : ok.error().detail;
}

// Each mistake is named by its member.
TEST(Policy, MistakesAreNamed) {
  EXPECT_EQ(complaint(valid()), "");
  const auto with = [](auto change) {
    Policy policy = valid();
    change(policy);
    return complaint(policy).substr(0, complaint(policy).find(':'));
  };
  EXPECT_EQ(with([](Policy& p) { p.window = 0s; }), "window");
  EXPECT_EQ(with([](Policy& p) { p.window = -1s; }), "window");
  EXPECT_EQ(with([](Policy& p) { p.window = 999'999ns; }), "window");
  EXPECT_EQ(with([](Policy& p) { p.window = Duration::max(); }), "window");
  EXPECT_EQ(with([](Policy& p) { p.window = 1ms; }), "");
  EXPECT_EQ(with([](Policy& p) { p.window = 30 * 24h; }), "");
  EXPECT_EQ(with([](Policy& p) { p.limit = 0; }), "");
  EXPECT_EQ(with([](Policy& p) { p.limit = 4'294'967'295U; }), "");
  EXPECT_EQ(with([](Policy& p) { p.limit = 70'000, p.algorithm = Algorithm::exact_window; }), "limit");
  EXPECT_EQ(with([](Policy& p) { p.name = ""; }), "name");
  EXPECT_EQ(with([](Policy& p) { p.name = "a\nb"; }), "name");
  EXPECT_EQ(with([](Policy& p) { p.name = "\xc3\xa9"; }), "name");
  EXPECT_EQ(with([](Policy& p) { p.name.assign(65, 'x'); }), "name");
  EXPECT_EQ(with([](Policy& p) { p.burst = 5; }), "burst");
  EXPECT_EQ(with([](Policy& p) { p.burst = 5, p.algorithm = Algorithm::gcra; }), "");
  EXPECT_EQ(with([](Policy& p) {
              p.burst = 4'000'000'000U, p.limit = 1, p.window = 366 * 24h, p.algorithm = Algorithm::gcra;
            }),
            "burst");
  EXPECT_EQ(with([](Policy& p) { p.segments = 0, p.limit = 2000; }), "segments");
  EXPECT_EQ(with([](Policy& p) { p.segments = 1001, p.limit = 2000; }), "segments");
  EXPECT_EQ(with([](Policy& p) { p.count_rejected = true, p.algorithm = Algorithm::token_bucket; }),
            "count_rejected");
  EXPECT_EQ(with([](Policy& p) { p.algorithm = Algorithm::concurrency; }), "window");
  EXPECT_EQ(with([](Policy& p) { p.algorithm = Algorithm::concurrency, p.window = 0s; }), "");
}

// Exact while a ring is small enough to be worth it.
TEST(Policy, AutomaticChoosesByTheLimit) {
  Policy policy = valid();
  policy.limit = 1024;
  EXPECT_EQ(effective_algorithm(policy), Algorithm::exact_window);
  policy.limit = 1025;
  EXPECT_EQ(effective_algorithm(policy), Algorithm::segmented_window);
  policy.algorithm = Algorithm::gcra;
  EXPECT_EQ(effective_algorithm(policy), Algorithm::gcra);
}

// Names go both ways.
TEST(Policy, AlgorithmsHaveNames) {
  for (int i = 1; i <= static_cast<int>(Algorithm::concurrency); ++i) {
    const auto algorithm = static_cast<Algorithm>(i);
    EXPECT_EQ(algorithm_from(to_string(algorithm)), algorithm);
  }
  EXPECT_EQ(algorithm_from("sliding"), Algorithm::automatic);
  EXPECT_EQ(to_string(Reason::table_full), "table_full");
}

// The reference server of Envoy joins with "_" and gives (a, b_c) and (a_b, c) one counter. Here no two lists
// of parts share a key: all lists of up to three parts out of bytes that look like lengths.
TEST(Key, JoinedPartsAreNeverAmbiguous) {
  const std::string parts[] = {"",
                               "a",
                               "ab",
                               "_",
                               std::string(1, '\0'),
                               std::string(1, '\1'),
                               std::string("\1a"),
                               std::string(127, 'x'),
                               std::string(128, 'x'),
                               std::string(20'000, 'y')};
  std::vector<std::string> keys;
  std::string key;
  join_key(key, {});
  keys.push_back(key);
  for (const std::string& a : parts) {
    const std::string_view one[] = {a};
    join_key(key, one), keys.push_back(key);
    for (const std::string& b : parts) {
      const std::string_view two[] = {a, b};
      join_key(key, two), keys.push_back(key);
      for (const std::string& c : parts) {
        const std::string_view three[] = {a, b, c};
        join_key(key, three), keys.push_back(key);
      }
    }
  }
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());
}

// An address counts as its network: IPv4 whole, IPv6 by /64, whatever the host part.
TEST(Key, AddressesCountAsNetworks) {
  const std::vector<std::uint8_t> v4 = {192, 0, 2, 200};
  EXPECT_EQ(IpKey(v4).view(), std::string_view("4\xc0\x00\x02\xc8", 5));
  EXPECT_EQ(IpKey(v4, 24).view(), std::string_view("4\xc0\x00\x02", 4));
  EXPECT_EQ(IpKey(v4, 26).view(), std::string_view("4\xc0\x00\x02\xc0", 5));
  EXPECT_EQ(IpKey(v4, 0).view(), "4");
  EXPECT_EQ(IpKey(v4, 99).view(), IpKey(v4).view());
  std::vector<std::uint8_t> v6 = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9};
  const std::string network(IpKey(v6).view());
  EXPECT_EQ(network, std::string("6\x20\x01\x0d\xb8\x00\x01\x00\x02", 9));
  v6[15] = 1, v6[8] = 0xff;
  EXPECT_EQ(IpKey(v6).view(), network);
  v6[7] = 3;
  EXPECT_NE(IpKey(v6).view(), network);
  EXPECT_EQ(IpKey(v6, 32, 128).view().size(), 17U);
  std::vector<std::uint8_t> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 200};
  EXPECT_EQ(IpKey(mapped).view(), IpKey(v4).view());
  EXPECT_EQ(IpKey(std::vector<std::uint8_t>{1, 2, 3}).view(), "");
}

}  // namespace
}  // namespace weir::ratelimit
