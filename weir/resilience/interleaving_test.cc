// Every order of the steps of two or three threads, on the real code.
//
// The sources are compiled here with the atomics and the mutex of internal/stepped_sync.h. For each scenario
// the outcomes of all orders of whole operations are collected first; then every order of single steps
// (within a bound of preemptions) must end in one of those: what each call returned, the reports, the final
// state. WEIR_LONG=1 raises the bound by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/internal/sync.h"
#include "weir/resilience/load_shedder.h"
#include "weir/resilience/retry_budget.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;
using internal::Stepper;
using State = CircuitBreaker::State;

constexpr TimePoint kNow{1h};

// One more in the long run.
int preemptions(int ordinary) { return std::getenv("WEIR_LONG") != nullptr ? ordinary + 1 : ordinary; }

// World: what the operations share; made anew for each order, with describe() for its final state.
template <class World>
struct Scenario {
  using Op = std::function<std::string(World&)>;  // returns what its caller saw
  std::function<std::unique_ptr<World>()> make;
  std::vector<std::vector<Op>> threads;

  static std::string outcome(const std::vector<std::string>& logs, World& world) {
    std::string text;
    for (const std::string& log : logs) text += log + "| ";
    return text + world.describe();
  }

  // All orders of whole operations that keep each thread's own order.
  void sequential(std::vector<std::size_t>& done, std::vector<std::size_t>& order,
                  std::set<std::string>& outcomes) {
    bool ended = true;
    for (std::size_t t = 0; t < threads.size(); ++t) {
      if (done[t] == threads[t].size()) continue;
      ended = false;
      ++done[t];
      order.push_back(t);
      sequential(done, order, outcomes);
      order.pop_back();
      --done[t];
    }
    if (!ended) return;
    auto world = make();
    std::vector<std::string> logs(threads.size());
    std::vector<std::size_t> at(threads.size());
    for (const std::size_t t : order) logs[t] += threads[t][at[t]++](*world) + " ";
    outcomes.insert(outcome(logs, *world));
  }

  void check(const char* name, int bound = 2) {
    std::set<std::string> allowed;
    std::vector<std::size_t> done(threads.size());
    std::vector<std::size_t> order;
    sequential(done, order, allowed);
    std::set<std::string> seen;
    std::uint64_t orders = 0;
    Stepper stepper(preemptions(bound));
    do {
      auto world = make();
      std::vector<std::string> logs(threads.size());
      std::vector<std::function<void()>> bodies;
      for (std::size_t t = 0; t < threads.size(); ++t) {
        bodies.push_back([&, t] {
          for (const Op& op : threads[t]) logs[t] += op(*world) + " ";
        });
      }
      stepper.run(bodies, [&] { world->watch(); });
      ++orders;
      const std::string result = outcome(logs, *world);
      seen.insert(result);
      if (!allowed.contains(result)) {
        ADD_FAILURE() << name << ", order " << orders << ": no order of whole operations ends in\n  "
                      << result;
        for (const std::string& one : allowed) std::printf("  allowed: %s\n", one.c_str());
        return;
      }
    } while (stepper.next());
    std::printf("  %-44s %7llu orders, %zu of %zu outcomes\n", name, static_cast<unsigned long long>(orders),
                seen.size(), allowed.size());
  }
};

// ---- the shedder

struct ShedderWorld {
  explicit ShedderWorld(std::uint32_t limit) : most(limit), shedder(limit) {}
  void watch() const { ASSERT_LE(shedder.in_flight(), most); }
  std::string describe() const {
    return "in flight " + std::to_string(shedder.in_flight()) + " of " + std::to_string(shedder.limit());
  }
  std::uint32_t most;
  LoadShedder shedder;
  std::array<std::optional<LoadShedder::Permit>, 3> held;
};

using ShedderOp = Scenario<ShedderWorld>::Op;

ShedderOp take(std::size_t slot, Priority priority = Priority::normal) {
  return [=](ShedderWorld& w) {
    w.held[slot] = w.shedder.try_acquire(priority);
    return w.held[slot] ? std::string("in") : std::string("out");
  };
}
ShedderOp give(std::size_t slot) {
  return [=](ShedderWorld& w) {
    w.held[slot].reset();
    return std::string("gave");
  };
}

// Between no two steps is the limit exceeded, and every order equals one of whole operations.
TEST(Interleaving, Shedder) {
  Scenario<ShedderWorld> one{[] { return std::make_unique<ShedderWorld>(1); },
                             {{take(0), give(0)}, {take(1), give(1)}, {take(2)}}};
  one.check("three threads, one place");
  Scenario<ShedderWorld> two{[] { return std::make_unique<ShedderWorld>(2); },
                             {{take(0), give(0), take(0)}, {take(1), give(1), take(1)}, {take(2)}}};
  two.check("three threads, two places");
  Scenario<ShedderWorld> moving{[] { return std::make_unique<ShedderWorld>(2); },
                                {{take(0), take(1)},
                                 {[](ShedderWorld& w) { return w.shedder.set_limit(1), std::string("1"); },
                                  [](ShedderWorld& w) { return w.shedder.set_limit(2), std::string("2"); }},
                                 {take(2), give(2)}}};
  moving.check("the limit moves");
}

// ---- the breaker

CircuitBreaker::Options options_of(std::uint32_t failures, std::uint32_t probes = 1,
                                   std::uint32_t threshold = 1) {
  CircuitBreaker::Options options;
  options.failures_to_open = failures;
  options.open_for = 30s;
  options.half_open_probes = probes;
  options.success_threshold = threshold;
  options.probe_timeout = 10s;
  return options;
}

struct BreakerWorld {
  explicit BreakerWorld(const CircuitBreaker::Options& options)
      : breaker(options, [this](const CircuitBreaker::Transition& t) {
          std::lock_guard lock(reports_mutex);
          reports.push_back(t);
        }) {}

  void watch() const {
    // The word by itself: a snapshot would take the mutex.
    ASSERT_LE(static_cast<int>(breaker.state()), static_cast<int>(State::disabled));
  }
  std::string describe() {
    breaker.tick(end);
    const auto s = breaker.snapshot(end);
    std::sort(reports.begin(), reports.end(),
              [](const auto& a, const auto& b) { return a.generation < b.generation; });
    std::string text =
        std::string(to_string(s.state)) + " g" + std::to_string(s.generation) + " run" +
        std::to_string(s.consecutive_failures) + " p" + std::to_string(s.probes_in_flight) + "/" +
        std::to_string(s.probes_succeeded) + "/" + std::to_string(s.probes_failed) + " late" +
        std::to_string(s.late_results) + " w" + std::to_string(s.window.calls) + "/" +
        std::to_string(s.window.failures) + " next" +
        (s.next_change_at == TimePoint::max() ? "-" : std::to_string((s.next_change_at - kNow) / 1s));
    std::uint32_t generation = s.generation - static_cast<std::uint32_t>(reports.size());
    for (const auto& r : reports) {
      text += " >" + std::string(to_string(r.to)) + ":" + std::string(to_string(r.reason)) + "x" +
              std::to_string(r.tag_count);
      EXPECT_EQ(r.generation, ++generation);
    }
    return text;
  }

  TimePoint end = kNow;
  std::mutex reports_mutex;
  std::vector<CircuitBreaker::Transition> reports;
  CircuitBreaker breaker;
  std::array<std::optional<CircuitBreaker::Ticket>, 4> tickets;
};

using BreakerScenario = Scenario<BreakerWorld>;
using BreakerOp = BreakerScenario::Op;

BreakerOp enter(std::size_t slot, Duration at = 0s) {
  return [=](BreakerWorld& w) {
    w.tickets[slot] = w.breaker.try_enter(kNow + at);
    if (!w.tickets[slot]) return std::string("refused");
    return (w.tickets[slot]->is_probe() ? "probe" : "ticket") + std::to_string(w.tickets[slot]->generation());
  };
}
BreakerOp end(std::size_t slot, Outcome outcome, Duration at = 0s) {
  return [=](BreakerWorld& w) {
    if (!w.tickets[slot]) return std::string("-");
    w.tickets[slot]->settle(outcome, kNow + at);
    w.tickets[slot].reset();
    return std::string(to_string(outcome));
  };
}
BreakerOp drop(std::size_t slot) {
  return [=](BreakerWorld& w) { return w.tickets[slot].reset(), std::string("dropped"); };
}

// A world with `tickets` ordinary tickets out; then `failures` failures; then, if asked, time passes and a
// probe is out in slot 3.
std::function<std::unique_ptr<BreakerWorld>()> world(CircuitBreaker::Options options, std::size_t tickets,
                                                     int failures = 0, bool probe = false,
                                                     Duration end = 0s) {
  return [=] {
    auto w = std::make_unique<BreakerWorld>(options);
    for (std::size_t i = 0; i < tickets; ++i) w->tickets[i] = w->breaker.try_enter(kNow - 1min);
    for (int i = 0; i < failures; ++i) w->breaker.try_enter(kNow - 30s)->settle(Outcome::failure, kNow - 30s);
    if (probe) w->tickets[3] = w->breaker.try_enter(kNow);
    w->reports.clear();
    w->end = kNow + end;
    return w;
  };
}

// Failures and successes at once: exactly the threshold opens, a success in between starts anew.
TEST(Interleaving, RunOfFailures) {
  BreakerScenario three{world(options_of(2), 3),
                        {{end(0, Outcome::failure)}, {end(1, Outcome::failure)}, {end(2, Outcome::failure)}}};
  three.check("three failures, two open");
  BreakerScenario mixed{world(options_of(2), 3),
                        {{end(0, Outcome::failure)}, {end(1, Outcome::success)}, {end(2, Outcome::failure)}}};
  mixed.check("failure, success, failure");
  BreakerScenario fresh{world(options_of(2), 0),
                        {{enter(0), end(0, Outcome::failure)},
                         {enter(1), end(1, Outcome::failure)},
                         {enter(2), end(2, Outcome::success)}}};
  fresh.check("three whole calls");
}

// A success of an older generation must not clear the run of the new one, nor a failure lengthen it.
TEST(Interleaving, LateAnswers) {
  const BreakerOp reset = [](BreakerWorld& w) { return w.breaker.reset(kNow), std::string("reset"); };
  for (const Outcome late : {Outcome::success, Outcome::failure}) {
    BreakerScenario s{world(options_of(3), 1, 1),
                      {{end(0, late)}, {reset, enter(1), end(1, Outcome::failure)}}};
    s.check("late answer against reset and a new run");
  }
}

// Two who come when the open time is over: one probe. With two permits: two.
TEST(Interleaving, HalfOpenEntry) {
  BreakerScenario one{world(options_of(1), 0, 1), {{enter(0)}, {enter(1)}, {enter(2)}}};
  one.check("three callers, one probe");
  BreakerScenario two{world(options_of(1, 2, 2), 0, 1), {{enter(0)}, {enter(1)}, {enter(2), drop(2)}}};
  two.check("three callers, two probes, one dropped");
}

// A probe ends, another caller comes, an old answer arrives.
TEST(Interleaving, ProbeEnds) {
  for (const Outcome outcome : {Outcome::success, Outcome::failure, Outcome::neutral}) {
    BreakerScenario s{world(options_of(1), 1, 1, true),
                      {{end(3, outcome)}, {enter(1), end(1, Outcome::success)}, {end(0, Outcome::failure)}}};
    s.check("a probe ends, a caller comes, a late answer");
  }
  BreakerScenario dropped{world(options_of(1), 0, 1, true), {{drop(3)}, {enter(1)}, {enter(2)}}};
  dropped.check("a probe is dropped, two callers come");
  BreakerScenario pair{world(options_of(1, 2, 2), 0, 1, true),
                       {{enter(0), end(0, Outcome::success)}, {end(3, Outcome::success)}, {enter(1)}}};
  pair.check("two of two probes succeed");
}

// A lease ends while its probe answers.
TEST(Interleaving, LeaseEnds) {
  BreakerScenario s{world(options_of(1), 0, 1, true),
                    {{end(3, Outcome::success, 9s)}, {enter(1, 11s)}, {enter(2, 41s)}}};
  s.check("the lease ends while the probe answers");
  CircuitBreaker::Options neutral = options_of(1);
  neutral.lease_end = CircuitBreaker::LeaseEnd::neutral;
  BreakerScenario n{
      world(neutral, 0, 1, true),
      {{end(3, Outcome::failure, 9s)}, {enter(1, 11s), end(1, Outcome::success, 11s)}, {enter(2, 11s)}}};
  n.check("a lease that ends as nothing");
}

// With a ratio: the window loses nothing, rotates once, and opens when its share is reached.
TEST(Interleaving, Ratio) {
  CircuitBreaker::Options options = options_of(0);
  options.failure_ratio = 0.5;
  options.min_calls = 3;
  BreakerScenario s{
      world(options, 3),
      {{end(0, Outcome::throttled)}, {end(1, Outcome::throttled, 1s)}, {end(2, Outcome::success, 1s)}}};
  s.check("three calls in two buckets", 1);
  // Out of reach, so that only what is counted where matters: adding and looking are two steps.
  options.min_calls = 100;
  BreakerScenario reset{world(options, 3),
                        {{end(0, Outcome::throttled), end(1, Outcome::throttled)},
                         {[](BreakerWorld& w) { return w.breaker.reset(kNow), std::string("reset"); }},
                         {end(2, Outcome::success)}}};
  reset.check("three calls against a reset", 1);
}

// An operator steers while calls run.
TEST(Interleaving, Steering) {
  BreakerScenario forced{
      world(options_of(1), 1, 0, false, 6s),
      {{end(0, Outcome::failure)},
       {[](BreakerWorld& w) { return w.breaker.force(State::forced_open, kNow, 5s), std::string("forced"); }},
       {enter(1, 6s), end(1, Outcome::failure, 6s)}}};
  forced.check("forced open for five seconds");
  BreakerScenario update{
      world(options_of(1, 2, 2), 0, 1),
      {{enter(0)},
       {[](BreakerWorld& w) { return w.breaker.update(options_of(1, 1, 1), kNow), std::string("updated"); }},
       {enter(1)}}};
  update.check("fewer probes while callers come");
}

// ---- the budget

struct BudgetWorld {
  BudgetWorld() : budget({.ratio = 0.5, .min_per_second = 0}, kNow) {}
  void watch() const {}
  std::string describe() { return "left " + std::to_string(budget.available(kNow)); }
  RetryBudget budget;
};

// Two spenders and one who earns: never more granted than earned.
TEST(Interleaving, Budget) {
  const Scenario<BudgetWorld>::Op earn = [](BudgetWorld& w) {
    return w.budget.request(kNow), std::string("earned");
  };
  const Scenario<BudgetWorld>::Op spend = [](BudgetWorld& w) {
    return std::string(w.budget.try_spend(kNow) ? "granted" : "refused");
  };
  Scenario<BudgetWorld> s{[] { return std::make_unique<BudgetWorld>(); },
                          {{earn, earn, earn}, {spend}, {spend}}};
  s.check("two spend what one earns");
}

}  // namespace
}  // namespace weir::resilience
