// Waiter on a loop whose time moves by hand; with streams, and under a real reactor:
// reactor_conformance_test.cc.
#include "weir/io/waiter.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "weir/async/scope.h"

namespace weir::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

async::Task<void> wait(Waiter& waiter, Deadline deadline, std::vector<Wake>& wakes) {
  wakes.push_back(co_await waiter.wait(deadline));
}

// A loop that counts how often its wheel is touched.
class CountingLoop final : public async::Loop {
 public:
  TimePoint now() const noexcept override { return now_; }
  void advance(Duration by) {
    now_ += by;
    base::IntrusiveList<async::Timer, async::Timer> due;
    timers_.for_each([&](async::Timer& timer) {
      if (timer.due() > now_) return;
      timer.unlink();
      due.push_back(timer);
    });
    while (!due.empty()) due.pop_front().on_timer();
    run_ready();
  }
  void run() { run_ready(); }
  int armed = 0;

 private:
  void schedule(async::Timer& timer) noexcept override {
    ++armed;
    timers_.push_back(timer);
  }
  TimePoint now_{seconds{1000}};
  base::IntrusiveList<async::Timer, async::Timer> timers_;
};

class WaiterTest : public ::testing::Test {
 protected:
  void start(Deadline deadline) { scope.spawn(wait(waiter, deadline, wakes)); }
  Deadline in(Duration time) const { return Deadline::after(loop.now(), time); }

  CountingLoop loop;
  async::CancelSource cancel;
  Waiter waiter{loop, &cancel};
  std::vector<Wake> wakes;
  async::Scope scope;
};

// A deadline that has passed ends the wait without suspending; an event that waits comes first.
TEST_F(WaiterTest, NeedNotSuspend) {
  start(in(Duration{0}));
  waiter.notify();
  start(in(Duration{0}));
  start(in(-seconds{1}));
  EXPECT_EQ(wakes, (std::vector{Wake::timeout, Wake::event, Wake::timeout}));
  EXPECT_EQ(loop.armed, 0);
}

// Ten thousand waits with ever later deadlines touch the wheel once; the last deadline still holds.
TEST_F(WaiterTest, TheTimerIsLazy) {
  for (int i = 0; i < 10'000; ++i) {
    start(in(seconds{60} + milliseconds{i}));
    waiter.notify();
    loop.run();
  }
  EXPECT_EQ(wakes.size(), 10'000U);
  EXPECT_EQ(loop.armed, 1);
  wakes.clear();
  start(in(seconds{90}));
  loop.advance(seconds{60});  // the old moment: armed again, nobody woken
  EXPECT_TRUE(wakes.empty());
  loop.advance(seconds{30});
  EXPECT_EQ(wakes, std::vector{Wake::timeout});
  EXPECT_EQ(loop.armed, 2);
}

// A nearer deadline than the armed one is armed anew.
TEST_F(WaiterTest, ANearerDeadlineCounts) {
  start(in(seconds{60}));
  waiter.notify();
  loop.run();
  start(in(seconds{1}));
  loop.advance(seconds{1});
  EXPECT_EQ(wakes, (std::vector{Wake::event, Wake::timeout}));
}

// A wait without end is not ended by the timer of an earlier wait, nor is the one after it.
TEST_F(WaiterTest, AnOldTimerWakesNobody) {
  start(in(seconds{1}));
  waiter.notify();
  loop.run();
  start(Deadline::never());
  loop.advance(seconds{2});
  EXPECT_EQ(wakes.size(), 1U);
  waiter.notify();
  loop.run();
  start(in(seconds{1}));
  loop.advance(seconds{1});
  EXPECT_EQ(wakes, (std::vector{Wake::event, Wake::event, Wake::timeout}));
}

// An event in the turn in which the deadline passes is not lost to it.
TEST_F(WaiterTest, EventAndTimeoutTogether) {
  start(in(seconds{1}));
  waiter.notify();
  loop.advance(seconds{2});
  EXPECT_EQ(wakes, std::vector{Wake::event});
  start(in(seconds{1}));
  loop.advance(seconds{1});
  EXPECT_EQ(wakes.back(), Wake::timeout) << "the event was counted once";
}

// Any number of events before or during one wait is one wake.
TEST_F(WaiterTest, EventsAddUpToOne) {
  start(Deadline::never());
  for (int i = 0; i < 5; ++i) waiter.notify();
  loop.run();
  EXPECT_EQ(wakes.size(), 1U);
  start(in(seconds{1}));
  loop.run();
  EXPECT_EQ(wakes.size(), 1U);
}

// Cancelling ends the wait, whatever else has happened, and every later one.
TEST_F(WaiterTest, Cancelled) {
  start(in(seconds{1}));
  waiter.notify();
  cancel.cancel();
  loop.run();
  start(in(seconds{1}));
  EXPECT_EQ(wakes, (std::vector{Wake::cancelled, Wake::cancelled}));
  Waiter late(loop, &cancel);
  scope.spawn(wait(late, in(seconds{1}), wakes));
  EXPECT_EQ(wakes.size(), 3U);
}

// A coroutine destroyed between being made ready and being resumed is not resumed.
TEST(Waiter, DestroyedWhenReady) {
  CountingLoop loop;
  std::vector<Wake> wakes;
  auto waiter = std::make_unique<Waiter>(loop);
  {
    async::Scope scope;
    scope.spawn(wait(*waiter, Deadline::never(), wakes));
    waiter->notify();
    waiter.reset();
  }
  loop.run();
  EXPECT_TRUE(wakes.empty());
}

}  // namespace
}  // namespace weir::io
