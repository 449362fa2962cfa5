// The segmented window against its slow twin: a list of bookings, counted by segment one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <vector>

#include "weir/base/random.h"
#include "weir/ratelimit/limiter.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

Policy segmented(std::uint32_t limit, Duration window, std::uint32_t segments = 60) {
  return {.name = "t",
          .limit = limit,
          .window = window,
          .algorithm = Algorithm::segmented_window,
          .segments = segments};
}

class Twin {
 public:
  Twin(std::uint32_t limit, Duration window, std::uint32_t segments)
      : limit_(limit), k_(segments), segment_((window.count() + segments - 1) / segments) {}

  bool allow(TimePoint now, std::uint32_t cost, Duration* retry) {
    const std::int64_t t = now.time_since_epoch().count();
    const std::int64_t g = std::max(t / segment_, newest_);
    *retry = 0ns;
    if (cost > limit_) return false;
    for (std::int64_t at = g;; ++at) {  // the first segment in which it would fit
      std::uint64_t live = 0;
      for (const auto& [when, units] : booked_) live += at - when <= k_ ? units : 0;
      if (live + cost > limit_) continue;
      if (at == g) {
        newest_ = g;
        booked_.emplace_back(g, cost);
        return true;
      }
      *retry = Duration{at * segment_ - t};
      return false;
    }
  }
  std::uint32_t remaining(TimePoint now) const {
    const std::int64_t g = std::max(now.time_since_epoch().count() / segment_, newest_);
    std::uint64_t live = 0;
    for (const auto& [when, units] : booked_) live += g - when <= k_ ? units : 0;
    return live < limit_ ? static_cast<std::uint32_t>(limit_ - live) : 0;
  }
  void refund(TimePoint now, std::uint32_t cost, TimePoint charged_at) {
    newest_ = std::max(now.time_since_epoch().count() / segment_, newest_);
    const std::int64_t segment = charged_at.time_since_epoch().count() / segment_;
    if (newest_ - segment > k_) return;
    for (auto& [when, units] : booked_) {
      if (when != segment) continue;
      const std::uint32_t gone = std::min(units, cost);
      units -= gone, cost -= gone;
    }
  }
  void forget_old() {
    std::erase_if(booked_, [&](const auto& b) { return newest_ - b.first > 3 * k_; });
  }

 private:
  std::uint32_t limit_;
  std::int64_t k_;
  std::int64_t segment_;
  std::int64_t newest_ = 0;
  std::vector<std::pair<std::int64_t, std::uint32_t>> booked_;
};

// Two bursts around a minute's boundary: 100 of 100.
TEST(SegmentedWindow, TwoBurstsGetOneLimit) {
  RateLimiter limiter(segmented(100, 1min));
  int admitted = 0;
  for (int i = 0; i < 150; ++i) admitted += limiter.allow_at(kStart + 59s).allowed;
  for (int i = 0; i < 150; ++i) admitted += limiter.allow_at(kStart + 61s).allowed;
  EXPECT_EQ(admitted, 100);
}

// Room comes back at most one segment late, and exactly when retry_after says.
TEST(SegmentedWindow, RoomComesBackWithinASegment) {
  for (Duration offset : {Duration{0}, Duration{1}, Duration{999'999'999}, Duration{300ms}}) {
    RateLimiter limiter(segmented(10, 1min));
    const TimePoint t = kStart + offset;
    ASSERT_TRUE(limiter.allow_at(t, 10));
    const Decision d = limiter.allow_at(t + 5s);
    ASSERT_FALSE(d);
    EXPECT_GE(t + 5s + d.retry_after, t + 1min);
    EXPECT_LE(t + 5s + d.retry_after, t + 1min + 1s);
    EXPECT_FALSE(limiter.allow_at(t + 5s + d.retry_after - 1ns));
    EXPECT_TRUE(limiter.allow_at(t + 5s + d.retry_after));
  }
}

// Large limits and costs, where an exact window would need a booking each.
TEST(SegmentedWindow, CountsLargeCosts) {
  RateLimiter limiter(segmented(1'000'000'000, 24h));
  EXPECT_TRUE(limiter.allow_at(kStart, 750'000'000));
  EXPECT_FALSE(limiter.allow_at(kStart + 1h, 250'000'001));
  EXPECT_TRUE(limiter.allow_at(kStart + 1h, 250'000'000));
  limiter.charge_at(kStart + 1h, 2'000'000'000);  // counts as the limit, beyond what is free
  EXPECT_FALSE(limiter.allow_at(kStart + 1h));
  EXPECT_FALSE(limiter.allow_at(kStart + 24h + 30min)) << "the first hour has left, the second has not";
  EXPECT_TRUE(limiter.allow_at(kStart + 26h));
  RateLimiter huge(segmented(4'000'000'000, 24h));
  for (int i = 0; i < 5; ++i) huge.charge_at(kStart, 4'000'000'000);  // saturates: does not wrap around
  EXPECT_FALSE(huge.allow_at(kStart));
}

// Every mixture of calls, costs, refunds and lagging clocks is answered like the twin answers it.
TEST(SegmentedWindow, RandomRunsAreLikeTheTwin) {
  const std::uint64_t seed = base::random_seed();
  std::cout << "seed " << seed << "\n";
  struct Mixture {
    std::uint32_t limit;
    Duration window;
    std::uint32_t segments;
    std::uint32_t cost_max;
  };
  const Mixture mixtures[] = {{1, 1s, 1, 1},      {5, 1s, 2, 2},       {5, 1s, 3, 1},
                              {100, 1min, 60, 1}, {100, 1min, 60, 30}, {1000, 1h, 60, 7},
                              {3, 7ms, 10, 1},    {50, 10s, 1000, 3},  {2000, 1s + 7ns, 60, 100}};
  const int rounds = std::getenv("WEIR_LONG") != nullptr ? 2'000'000 : 60'000;
  std::uint64_t n = 0;
  for (const Mixture& m : mixtures) {
    base::Random random(seed + n++);
    RateLimiter limiter(segmented(m.limit, m.window, m.segments));
    Twin twin(m.limit, m.window, m.segments);
    TimePoint t = kStart;
    std::vector<std::pair<TimePoint, std::uint32_t>> booked;
    const auto mean = static_cast<std::uint64_t>(m.window.count()) * 2 * m.cost_max / m.limit / 3 + 1;
    for (int i = 0; i < rounds; ++i) {
      t += Duration{static_cast<std::int64_t>(random.below(mean))};
      if (random.chance(1, 300)) t += m.window * static_cast<std::int64_t>(random.below(4)) / 2;
      TimePoint seen = t;
      if (random.chance(1, 6)) seen -= Duration{static_cast<std::int64_t>(random.below(mean * 8))};
      if (random.chance(1, 2000)) seen -= 2 * m.window;
      if (random.chance(1, 40) && !booked.empty()) {
        const auto [when, cost] = booked[random.below(booked.size())];
        limiter.refund_at(seen, cost, when);
        twin.refund(seen, cost, when);
        booked.clear();
      }
      const auto cost = static_cast<std::uint32_t>(1 + random.below(m.cost_max));
      Duration retry{0};
      const bool want = twin.allow(seen, cost, &retry);
      const Decision d = limiter.allow_at(seen, cost, random.chance(1, 16) ? Want::headers : Want::verdict);
      ASSERT_EQ(d.allowed, want) << "seed " << seed << " mixture " << n << " call " << i;
      ASSERT_EQ(d.retry_after, retry) << "seed " << seed << " mixture " << n << " call " << i;
      ASSERT_EQ(limiter.peek_at(seen).remaining, twin.remaining(seen)) << "seed " << seed << " call " << i;
      if (d.allowed && random.chance(1, 4)) booked.emplace_back(d.charged_at, cost);
      if (booked.size() > 16) booked.clear();
      if (i % 100 == 0) twin.forget_old();
    }
  }
}

}  // namespace
}  // namespace weir::ratelimit
