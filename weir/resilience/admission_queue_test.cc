#include "weir/resilience/admission_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <vector>

#include "weir/base/random.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;
using Refusal = AdmissionQueue::Refusal;
using Waiter = AdmissionQueue::Waiter;

AdmissionQueue::Options small(std::uint32_t capacity) {
  AdmissionQueue::Options options;
  options.capacity = capacity;
  return options;
}

constexpr TimePoint kStart{1h};

// The oldest goes first while the queue empties now and then.
TEST(AdmissionQueue, OldestFirst) {
  AdmissionQueue queue(small(3));
  Waiter a;
  Waiter b;
  EXPECT_EQ(queue.push(a, kStart, 0ms), Refusal::none);
  EXPECT_EQ(queue.push(b, kStart + 1ms, 0ms), Refusal::none);
  EXPECT_EQ(queue.next(kStart + 2ms, 0ms), &a);
  EXPECT_EQ(queue.next(kStart + 2ms, 0ms), &b);
  EXPECT_EQ(queue.next(kStart + 2ms, 0ms), nullptr);
  EXPECT_TRUE(queue.empty());
}

// At most `capacity` wait; the default lets nobody wait.
TEST(AdmissionQueue, RefusesWhenFull) {
  AdmissionQueue none{AdmissionQueue::Options()};
  Waiter a;
  Waiter b;
  EXPECT_EQ(none.push(a, kStart, 0ms), Refusal::full);
  AdmissionQueue one(small(1));
  EXPECT_EQ(one.push(a, kStart, 0ms), Refusal::none);
  EXPECT_EQ(one.push(b, kStart, 0ms), Refusal::full);
  EXPECT_FALSE(b.waiting());
}

// Who could not be served before its deadline even if it were next is refused at once.
TEST(AdmissionQueue, RefusesTheHopeless) {
  AdmissionQueue queue(small(5));
  Waiter late(Deadline::at(kStart + 20ms));
  EXPECT_EQ(queue.push(late, kStart, 20ms), Refusal::hopeless);
  EXPECT_EQ(queue.push(late, kStart, 19ms), Refusal::none);
  EXPECT_EQ(queue.next_timeout(19ms), kStart + 1ms);
  EXPECT_EQ(queue.next(kStart + 1ms, 19ms), nullptr);
  EXPECT_EQ(queue.next_dropped(kStart + 1ms, 19ms), &late);
}

// A waiter whose client has gone leaves by itself.
TEST(AdmissionQueue, DestroyedWaiterLeaves) {
  AdmissionQueue queue(small(5));
  auto gone = std::make_unique<Waiter>();
  Waiter stays;
  EXPECT_EQ(queue.push(*gone, kStart, 0ms), Refusal::none);
  EXPECT_EQ(queue.push(stays, kStart, 0ms), Refusal::none);
  gone.reset();
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.next(kStart, 0ms), &stays);
}

// A queue that is destroyed leaves nobody waiting in it.
TEST(AdmissionQueue, DestroyedQueueLetsGo) {
  Waiter a;
  {
    AdmissionQueue queue(small(5));
    EXPECT_EQ(queue.push(a, kStart, 0ms), Refusal::none);
  }
  EXPECT_FALSE(a.waiting());
}

// Higher tiers go first, whatever their age.
TEST(AdmissionQueue, HigherTiersFirst) {
  AdmissionQueue queue(small(5));
  Waiter low(Deadline::never(), Priority::low);
  Waiter normal(Deadline::never(), Priority::normal);
  Waiter critical(Deadline::never(), Priority::critical);
  for (Waiter* w : {&low, &normal, &critical}) EXPECT_EQ(queue.push(*w, kStart, 0ms), Refusal::none);
  EXPECT_EQ(queue.next(kStart, 0ms), &critical);
  EXPECT_EQ(queue.next(kStart, 0ms), &normal);
  EXPECT_EQ(queue.next(kStart, 0ms), &low);
}

// Not empty for `interval`: the newest goes first, and nobody waits longer than `target`.
TEST(AdmissionQueue, OverloadTurnsItAround) {
  AdmissionQueue queue(small(10));
  std::array<Waiter, 4> w;
  EXPECT_EQ(queue.push(w[0], kStart, 0ms), Refusal::none);
  EXPECT_EQ(queue.push(w[1], kStart + 97ms, 0ms), Refusal::none);
  EXPECT_EQ(queue.push(w[2], kStart + 98ms, 0ms), Refusal::none);
  EXPECT_FALSE(queue.overloaded(kStart + 99ms));
  EXPECT_EQ(queue.next_timeout(0ms), kStart + 100ms);
  const TimePoint now = kStart + 100ms;
  EXPECT_TRUE(queue.overloaded(now));
  EXPECT_EQ(queue.push(w[3], now, 0ms), Refusal::none);
  EXPECT_EQ(queue.next_dropped(now, 0ms), &w[0]);
  EXPECT_EQ(queue.next_dropped(now, 0ms), nullptr);
  EXPECT_EQ(queue.next(now, 0ms), &w[3]);
  EXPECT_EQ(queue.next(now, 0ms), &w[2]);
  EXPECT_EQ(queue.next_dropped(kStart + 102ms, 0ms), &w[1]);
  EXPECT_FALSE(queue.overloaded(kStart + 102ms)) << "once empty, it is no longer overloaded";
}

// Against a plain list: who goes, who is dropped, when next.
TEST(AdmissionQueue, AgreesWithAList) {
  struct Entry {
    Waiter* waiter;
    TimePoint since;
  };
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::Random random(seed);
    AdmissionQueue::Options options = small(1 + static_cast<std::uint32_t>(random.below(6)));
    AdmissionQueue queue(options);
    std::vector<std::unique_ptr<Waiter>> owned;
    std::vector<Entry> list;
    TimePoint now = kStart;
    TimePoint standing = kStart;
    const auto may_go = [&](const Entry& e, TimePoint at, Duration service) {
      const bool overloaded = !list.empty() && at - standing >= options.interval;
      return at - e.since < (overloaded ? options.target : options.max_wait) &&
             e.waiter->deadline().remaining(at) > service;
    };
    const auto out = [&](Waiter* waiter) {
      std::erase_if(list, [&](const Entry& e) { return e.waiter == waiter; });
      std::erase_if(owned, [&](const auto& p) { return p.get() == waiter; });
    };
    for (int step = 0; step < 300; ++step) {
      now += Duration{static_cast<Duration::rep>(random.below(12'000'000))};
      const Duration service{static_cast<Duration::rep>(random.below(10'000'000))};
      const bool overloaded = !list.empty() && now - standing >= options.interval;
      switch (random.below(4)) {
        case 0:
        case 1: {
          const Deadline deadline =
              random.chance(1, 2)
                  ? Deadline::never()
                  : Deadline::after(now, Duration{static_cast<Duration::rep>(random.below(60'000'000))});
          auto waiter = std::make_unique<Waiter>(deadline, static_cast<Priority>(random.below(3)));
          Refusal expected = list.size() >= options.capacity ? Refusal::full : Refusal::none;
          if (deadline.remaining(now) <= service) expected = Refusal::hopeless;
          ASSERT_EQ(queue.push(*waiter, now, service), expected);
          if (expected != Refusal::none) break;
          if (list.empty()) standing = now;
          list.push_back({waiter.get(), now});
          owned.push_back(std::move(waiter));
          break;
        }
        case 2: {
          Waiter* expected = nullptr;
          for (const Entry& e : list) {
            if (!may_go(e, now, service)) continue;
            const bool better = expected == nullptr || e.waiter->priority() > expected->priority() ||
                                (e.waiter->priority() == expected->priority() && overloaded);
            if (better) expected = e.waiter;
          }
          ASSERT_EQ(queue.next(now, service), expected);
          if (expected != nullptr) out(expected);
          break;
        }
        default: {
          TimePoint first = TimePoint::max();
          for (TimePoint at = now - 1ms; !list.empty() && first == TimePoint::max(); at += 100us) {
            for (const Entry& e : list) {
              if (!may_go(e, at, service)) first = at;
            }
          }
          const TimePoint promised = queue.next_timeout(service);
          ASSERT_LE(promised, first);
          if (first != TimePoint::max() && first > now) {
            ASSERT_GE(promised, first - 100us);
          }
          if (random.chance(1, 4) && !list.empty()) {
            out(list[random.below(list.size())].waiter);  // a client goes
            break;
          }
          while (Waiter* dropped = queue.next_dropped(now, service)) {
            const auto it =
                std::find_if(list.begin(), list.end(), [&](const Entry& e) { return e.waiter == dropped; });
            ASSERT_NE(it, list.end());
            ASSERT_FALSE(may_go(*it, now, service));
            out(dropped);
          }
          for (const Entry& e : list) ASSERT_TRUE(may_go(e, now, service));
        }
      }
      ASSERT_EQ(queue.size(), list.size());
      ASSERT_EQ(queue.overloaded(now), !list.empty() && now - standing >= options.interval);
    }
  }
}

TEST(AdmissionQueue, ValidateNamesTheOption) {
  EXPECT_TRUE(AdmissionQueue::validate({}));
  EXPECT_FALSE(AdmissionQueue::validate({.max_wait = 0ms}));
  EXPECT_FALSE(AdmissionQueue::validate({.max_wait = 2ms}));
  EXPECT_FALSE(AdmissionQueue::validate({.target = 0ms}));
  EXPECT_FALSE(AdmissionQueue::validate({.interval = 0ms}));
}

}  // namespace
}  // namespace weir::resilience
