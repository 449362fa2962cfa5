#include "weir/resilience/load_shedder.h"

#include <gtest/gtest.h>

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

// Any mix of taking, giving back and resizing agrees with plain counting.
TEST(LoadShedder, AgreesWithCounting) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    std::uint32_t limit = static_cast<std::uint32_t>(random.below(6));
    LoadShedder shedder(limit);
    std::vector<LoadShedder::Permit> held;
    for (int step = 0; step < 500; ++step) {
      switch (random.below(5)) {
        case 0:
        case 1: {
          auto permit = shedder.try_acquire();
          ASSERT_EQ(permit.has_value(), held.size() < limit);
          if (permit) held.push_back(std::move(*permit));
          break;
        }
        case 2:
        case 3:
          if (!held.empty()) {
            std::swap(held[random.below(held.size())], held.back());
            held.pop_back();
          }
          break;
        case 4:
          limit = static_cast<std::uint32_t>(random.below(6));
          shedder.set_limit(limit);
          break;
      }
      ASSERT_EQ(shedder.in_flight(), held.size());
      ASSERT_EQ(shedder.limit(), limit);
    }
  }
}

}  // namespace
}  // namespace weir::resilience
