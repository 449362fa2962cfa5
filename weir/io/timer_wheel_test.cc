#include "weir/io/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "weir/base/random.h"

namespace weir::io {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{hours{1} + nanoseconds{12345}};  // in the middle of a tick

// A loop that is nothing but the wheel.
class WheelLoop final : public async::Loop {
 public:
  explicit WheelLoop(TimePoint start = kStart) : now_(start), wheel(start) {}
  TimePoint now() const noexcept override { return now_; }
  void advance_to(TimePoint to) {
    now_ = to;
    wheel.advance(to);
  }
  void advance(Duration by) { advance_to(now_ + by); }

 private:
  void schedule(async::Timer& timer) noexcept override { wheel.schedule(timer); }
  TimePoint now_;

 public:
  TimerWheel wheel;
};

class Probe final : public async::Timer {
 public:
  explicit Probe(WheelLoop& loop, std::vector<Probe*>* log = nullptr) : loop_(loop), log_(log) {}
  void on_timer() noexcept override {
    ++fired;
    fired_at = loop_.now();
    if (log_ != nullptr) log_->push_back(this);
    if (then) then();
  }
  int fired = 0;
  TimePoint fired_at{};
  std::function<void()> then;

 private:
  WheelLoop& loop_;
  std::vector<Probe*>* log_;
};

// A timer fires once, in the first advance at or after its moment rounded up to a tick, and never before it.
TEST(TimerWheel, NeverEarlyAndLessThanATickLate) {
  for (const Duration in :
       {Duration{1}, Duration{milliseconds{1}}, Duration{milliseconds{5}}, Duration{seconds{1}},
        Duration{seconds{61}}, Duration{hours{30}}, Duration{hours{24 * 400}}}) {
    WheelLoop loop;
    Probe probe(loop);
    const TimePoint due = loop.now() + in;
    loop.arm(probe, due);
    loop.advance_to(due - nanoseconds{1});
    EXPECT_EQ(probe.fired, 0) << in.count();
    loop.advance_to(due + TimerWheel::kTick - nanoseconds{1});
    EXPECT_EQ(probe.fired, 1) << in.count();
    EXPECT_FALSE(probe.armed());
    loop.advance(hours{24 * 1000});
    EXPECT_EQ(probe.fired, 1) << in.count();
  }
}

// Whoever sleeps until next_due() and advances, again and again, fires every timer less than a tick after its
// moment.
TEST(TimerWheel, FollowingNextDueReachesEveryTimer) {
  for (const Duration in : {Duration{1}, Duration{milliseconds{63}}, Duration{milliseconds{64}},
                            Duration{seconds{5}}, Duration{hours{2}}, Duration{hours{24 * 3000}}}) {
    WheelLoop loop;
    Probe probe(loop);
    const TimePoint due = loop.now() + in;
    loop.arm(probe, due);
    int steps = 0;
    while (probe.fired == 0) {
      const TimePoint next = loop.wheel.next_due();
      ASSERT_GT(next, loop.now());
      ASSERT_LT(next, due + TimerWheel::kTick);
      loop.advance_to(next);
      ASSERT_LE(++steps, 12) << "at most one step a level, and one each two years";
    }
    EXPECT_GE(probe.fired_at, due);
    EXPECT_EQ(loop.wheel.next_due(), TimePoint::max());
  }
}

// Ticks fire in order; within one tick, in the order of arming.
TEST(TimerWheel, FiresInOrder) {
  WheelLoop loop;
  std::vector<Probe*> log;
  Probe a(loop, &log), b(loop, &log), c(loop, &log), d(loop, &log);
  const TimePoint late = loop.now() + milliseconds{300};
  loop.arm(a, late);
  loop.arm(b, loop.now() + milliseconds{10});
  loop.arm(c, late);
  loop.advance(milliseconds{290});
  loop.arm(d, late);  // by now in a lower level than a and c were put in
  loop.advance(seconds{1});
  EXPECT_EQ(log, (std::vector<Probe*>{&b, &a, &c, &d}));
}

// A moment already past fires in the next advance, though no time has gone by, and never inside arm().
TEST(TimerWheel, OverdueFiresInTheNextAdvance) {
  WheelLoop loop;
  Probe probe(loop);
  loop.arm(probe, loop.now() - seconds{1});
  EXPECT_EQ(probe.fired, 0);
  EXPECT_LE(loop.wheel.next_due(), loop.now());
  loop.advance(Duration{0});
  EXPECT_EQ(probe.fired, 1);
}

// A timer that arms itself for now does not keep advance() from returning.
TEST(TimerWheel, RearmingForNowWaitsForTheNextAdvance) {
  WheelLoop loop;
  Probe probe(loop);
  probe.then = [&] { loop.arm(probe, loop.now()); };
  loop.arm(probe, loop.now());
  loop.advance(Duration{0});
  EXPECT_EQ(probe.fired, 1);
  loop.advance(Duration{0});
  EXPECT_EQ(probe.fired, 2);
}

// A timer that fires may disarm and destroy others that are due in the same tick, and itself.
TEST(TimerWheel, FiringMayDestroyOthersAndItself) {
  WheelLoop loop;
  const TimePoint due = loop.now() + milliseconds{20};
  auto first = std::make_unique<Probe>(loop);
  auto second = std::make_unique<Probe>(loop);
  Probe third(loop);
  auto fourth = std::make_unique<Probe>(loop);
  for (Probe* probe : {first.get(), second.get(), &third, fourth.get()}) loop.arm(*probe, due);
  bool ran = false;
  first->then = [&] {
    ran = true;
    second.reset();
    third.disarm();
    fourth.reset();
  };
  Probe* self = first.get();
  self->then = [&, then = self->then] {
    then();
    auto dying = std::move(first);  // the closure dies with it: nothing of it is touched afterwards
  };
  loop.advance(seconds{1});
  EXPECT_TRUE(ran);
  EXPECT_EQ(third.fired, 0);
  EXPECT_EQ(loop.wheel.next_due(), TimePoint::max());
}

// Timers that outlive the wheel are no longer armed.
TEST(TimerWheel, DestroyingTheWheelDisarms) {
  auto loop = std::make_unique<WheelLoop>();
  WheelLoop other;
  Probe probe(other);
  loop->arm(probe, loop->now() + hours{5});
  EXPECT_TRUE(probe.armed());
  loop.reset();
  EXPECT_FALSE(probe.armed());
}

// The end of the time line is a moment like any other: it does not fire and disturbs nobody.
TEST(TimerWheel, TheEndOfTime) {
  WheelLoop loop;
  Probe never(loop), soon(loop);
  loop.arm(never, TimePoint::max());
  loop.arm(soon, loop.now() + seconds{1});
  loop.advance(hours{24 * 3650});
  EXPECT_EQ(soon.fired, 1);
  EXPECT_EQ(never.fired, 0);
  EXPECT_TRUE(never.armed());
}

// The slow twin: every armed timer in one vector; what is due fires by tick, then by order of arming.
struct Twin {
  struct Entry {
    std::size_t id;
    std::uint64_t tick;
    std::uint64_t order;
  };
  static std::uint64_t ceil_tick(TimePoint at) {
    const auto ns = static_cast<std::uint64_t>(at.time_since_epoch().count());
    const auto tick = static_cast<std::uint64_t>(TimerWheel::kTick.count());
    return (ns + tick - 1) / tick;
  }
  void arm(std::size_t id, TimePoint due, TimePoint now) {
    disarm(id);
    entries.push_back({id, due <= now ? 0 : ceil_tick(due), order++});
  }
  void disarm(std::size_t id) {
    std::erase_if(entries, [&](const Entry& e) { return e.id == id; });
  }
  std::vector<std::size_t> advance(TimePoint now) {
    const auto tick = static_cast<std::uint64_t>(now.time_since_epoch().count()) /
                      static_cast<std::uint64_t>(TimerWheel::kTick.count());
    std::vector<Entry> due;
    for (const Entry& e : entries)
      if (e.tick <= tick) due.push_back(e);
    std::sort(due.begin(), due.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.tick, a.order) < std::pair(b.tick, b.order);
    });
    std::vector<std::size_t> ids;
    for (const Entry& e : due) {
      ids.push_back(e.id);
      disarm(e.id);
    }
    return ids;
  }
  std::vector<Entry> entries;
  std::uint64_t order = 0;
};

// Random arming, re-arming, disarming and jumps of all sizes: the wheel and the sorted list fire the same
// timers in the same order, and next_due() is never late.
TEST(TimerWheel, AgreesWithASortedList) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::Random random(seed);
    const TimePoint start{Duration{static_cast<std::int64_t>(random.below(std::uint64_t{1} << 58))}};
    WheelLoop loop(start);
    Twin twin;
    std::vector<Probe*> log;
    std::vector<std::unique_ptr<Probe>> probes;
    for (int i = 0; i < 40; ++i) probes.push_back(std::make_unique<Probe>(loop, &log));
    const auto some_duration = [&] {
      return Duration{static_cast<std::int64_t>(random() >> (10 + random.below(54)))};
    };
    for (int step = 0; step < 3000; ++step) {
      const std::size_t id = random.below(probes.size());
      switch (random.below(8)) {
        case 0:
          probes[id]->disarm();
          twin.disarm(id);
          break;
        case 1:
        case 2: {
          Duration by = random.chance(1, 50) ? some_duration() : some_duration() / 4096;
          if (random.chance(1, 3))
            by = std::max(Duration{0}, std::min(by, loop.wheel.next_due() - loop.now()));
          if (by > TimePoint{hours{24 * 365 * 200}} - loop.now()) by = Duration{0};
          log.clear();
          loop.advance(by);
          const std::vector<std::size_t> expected = twin.advance(loop.now());
          std::vector<std::size_t> fired;
          for (const Probe* probe : log)
            fired.push_back(static_cast<std::size_t>(
                std::find_if(probes.begin(), probes.end(), [&](auto& p) { return p.get() == probe; }) -
                probes.begin()));
          ASSERT_EQ(fired, expected);
          break;
        }
        default: {
          const Duration in = random.chance(1, 10) ? -some_duration() : some_duration();
          if (in > TimePoint::max() - loop.now()) break;
          loop.arm(*probes[id], loop.now() + in);
          twin.arm(id, loop.now() + in, loop.now());
        }
      }
      for (const auto& entry : twin.entries) {
        if (entry.tick == 0) continue;
        ASSERT_LE(Twin::ceil_tick(loop.wheel.next_due()), entry.tick);
      }
    }
  }
}

}  // namespace
}  // namespace weir::io
