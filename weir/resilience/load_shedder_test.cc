#include "weir/resilience/load_shedder.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <utility>
#include <vector>

#include "weir/base/random.h"

namespace weir::resilience {
namespace {

static_assert(sizeof(LoadShedder::Permit) == 8, "a permit is kept in every exchange");
static_assert(!std::is_copy_constructible_v<LoadShedder::Permit>);
static_assert(std::is_nothrow_move_constructible_v<LoadShedder::Permit>);

// Fifty enter, the fifty-first is refused, and a place that is given back is given out again.
TEST(LoadShedder, RefusesTheFiftyFirst) {
  LoadShedder shedder(50);
  std::vector<LoadShedder::Permit> held;
  for (int i = 0; i < 50; ++i) {
    auto permit = shedder.try_acquire();
    ASSERT_TRUE(permit);
    held.push_back(std::move(*permit));
  }
  EXPECT_FALSE(shedder.try_acquire());
  EXPECT_EQ(shedder.in_flight(), 50U);
  held.pop_back();
  EXPECT_TRUE(shedder.try_acquire());
}

// Moving a permit moves its place; releasing twice gives back once.
TEST(LoadShedder, PermitComesBackExactlyOnce) {
  LoadShedder shedder(2);
  auto first = shedder.try_acquire();
  auto second = shedder.try_acquire();
  LoadShedder::Permit moved = std::move(*first);
  EXPECT_FALSE(*first);
  EXPECT_EQ(shedder.in_flight(), 2U);
  moved = std::move(*second);  // gives its own place back first
  EXPECT_EQ(shedder.in_flight(), 1U);
  moved.release();
  moved.release();
  EXPECT_EQ(shedder.in_flight(), 0U);
  first.reset();
  second.reset();
  EXPECT_EQ(shedder.in_flight(), 0U);
}

// A limit of zero refuses everybody.
TEST(LoadShedder, ZeroRefusesAll) {
  LoadShedder shedder(0);
  EXPECT_FALSE(shedder.try_acquire());
}

// A lowered limit takes nothing back, and lets nobody in until enough have left.
TEST(LoadShedder, LowerLimitWaitsForThoseInside) {
  LoadShedder shedder(3);
  auto a = shedder.try_acquire();
  auto b = shedder.try_acquire();
  auto c = shedder.try_acquire();
  shedder.set_limit(1);
  EXPECT_EQ(shedder.in_flight(), 3U);
  a.reset();
  EXPECT_FALSE(shedder.try_acquire());
  b.reset();
  EXPECT_FALSE(shedder.try_acquire());
  c.reset();
  EXPECT_TRUE(shedder.try_acquire());
  shedder.set_limit(2);
  auto d = shedder.try_acquire();
  auto e = shedder.try_acquire();
  EXPECT_TRUE(d && e);
  EXPECT_FALSE(shedder.try_acquire());
}

// Each tier has its own ceiling: low is refused first, then normal, critical only at the limit.
TEST(LoadShedder, TiersHaveTheirCeilings) {
  LoadShedder shedder(50, {.critical = 0.2, .normal = 0.3});
  EXPECT_EQ(shedder.ceiling(Priority::low), 25U);
  EXPECT_EQ(shedder.ceiling(Priority::normal), 40U);
  EXPECT_EQ(shedder.ceiling(Priority::critical), 50U);
  std::vector<LoadShedder::Permit> held;
  const auto fill = [&](Priority priority) {
    while (auto permit = shedder.try_acquire(priority)) held.push_back(std::move(*permit));
    return held.size();
  };
  EXPECT_EQ(fill(Priority::low), 25U);
  EXPECT_EQ(fill(Priority::normal), 40U);
  EXPECT_EQ(fill(Priority::critical), 50U);
}

// Shares round up, and leave every tier at least one place of any limit above zero.
TEST(LoadShedder, SharesOfSmallLimits) {
  for (std::uint32_t limit = 0; limit <= 200; ++limit) {
    for (double share : {0.0, 0.001, 0.1, 0.5, 0.999, 1.0}) {
      LoadShedder shedder(limit, {.critical = share, .normal = 0});
      const std::uint32_t ceiling = shedder.ceiling(Priority::normal);
      EXPECT_EQ(ceiling, shedder.ceiling(Priority::low));
      EXPECT_LE(ceiling, limit);
      EXPECT_TRUE(limit == 0 || ceiling >= 1);
      // At least the share is kept, unless that would be all.
      EXPECT_TRUE(ceiling <= 1 || limit - ceiling + 1e-9 >= share * limit);
    }
  }
}

// Ten times overload by low work: with a share for it, the critical tier loses less than one call in a
// thousand.
TEST(LoadShedder, CriticalTierLivesThroughOverload) {
  // Calls arrive at random, 10,000/s of which 1 % are critical; each takes 50 ms; 50 places, 20 of them kept.
  base::Random random(42);
  LoadShedder shedder(50, {.critical = 0.4, .normal = 0});
  std::multimap<std::int64_t, LoadShedder::Permit> leaving;
  std::array<std::uint64_t, 2> asked{};
  std::array<std::uint64_t, 2> served{};
  std::int64_t now_us = 0;
  for (int i = 0; i < 500'000; ++i) {
    now_us += static_cast<std::int64_t>(random.below(200));
    leaving.erase(leaving.begin(), leaving.upper_bound(now_us));
    const bool critical = random.chance(1, 100);
    ++asked[critical];
    auto permit = shedder.try_acquire(critical ? Priority::critical : Priority::low);
    if (!permit) continue;
    ++served[critical];
    leaving.emplace(now_us + 50'000, std::move(*permit));
  }
  EXPECT_GE(served[1] * 1000, asked[1] * 999);
  EXPECT_LE(served[0] * 10, asked[0]);
}

// Any mix of taking, giving back and resizing, by any tier, agrees with plain counting.
TEST(LoadShedder, AgreesWithCounting) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    std::uint32_t limit = static_cast<std::uint32_t>(random.below(20));
    std::uint32_t critical = 0;  // tenths of the limit kept
    std::uint32_t normal = 0;
    LoadShedder shedder(limit);
    std::vector<LoadShedder::Permit> held;
    for (int step = 0; step < 500; ++step) {
      switch (random.below(6)) {
        case 0:
        case 1:
        case 2: {
          const auto priority = static_cast<Priority>(random.below(3));
          std::uint32_t tenths = 0;
          if (priority != Priority::critical) tenths += critical;
          if (priority == Priority::low) tenths += normal;
          std::uint32_t kept = (limit * tenths + 9) / 10;
          if (tenths > 0 && kept >= limit && limit > 0) kept = limit - 1;
          auto permit = shedder.try_acquire(priority);
          ASSERT_EQ(permit.has_value(), held.size() < limit - kept);
          if (permit) held.push_back(std::move(*permit));
          break;
        }
        case 3:
        case 4:
          if (!held.empty()) {
            std::swap(held[random.below(held.size())], held.back());
            held.pop_back();
          }
          break;
        default:
          if (random.chance(1, 2)) {
            limit = static_cast<std::uint32_t>(random.below(20));
            shedder.set_limit(limit);
          } else {
            critical = static_cast<std::uint32_t>(random.below(6));
            normal = static_cast<std::uint32_t>(random.below(6));
            shedder.set_shares({.critical = critical / 10.0, .normal = normal / 10.0});
          }
      }
      ASSERT_EQ(shedder.in_flight(), held.size());
      ASSERT_EQ(shedder.limit(), limit);
    }
  }
}

}  // namespace
}  // namespace weir::resilience
