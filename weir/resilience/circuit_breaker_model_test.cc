// The breaker against its twin: every short sequence, every interleaving of four tickets, long random runs.
//
// WEIR_LONG=1 lifts the bounds of the ordinary run: all sequences for every configuration, and more than 10^6
// states.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "weir/base/random.h"
#include "weir/resilience/circuit_breaker.h"
#include "weir/resilience/circuit_breaker_twin.h"

namespace weir::resilience {
namespace {

using namespace std::chrono_literals;
using State = CircuitBreaker::State;
using Options = CircuitBreaker::Options;

constexpr std::size_t kSlots = 4;
constexpr TimePoint kStart{1h};

bool long_run() { return std::getenv("WEIR_LONG") != nullptr; }

// One breaker and its twin, fed the same calls.
class Pair {
 public:
  explicit Pair(const Options& options)
      : twin(options),
        breaker(options, [this](const CircuitBreaker::Transition& t) { steps.push_back(t); }) {}

  // Enters into a slot; false when the two disagree.
  bool enter(std::size_t slot) {
    auto mine = breaker.try_enter(now);
    auto theirs = twin.enter(now);
    if (mine.has_value() != theirs.has_value()) return false;
    if (!mine) return true;
    const bool same = mine->generation() == theirs->generation && mine->is_probe() == (theirs->probe != 0) &&
                      mine->is_shadow() == theirs->shadow;
    tickets[slot].emplace(Held{std::move(*mine), *theirs});
    return same;
  }
  void settle(std::size_t slot, Outcome outcome, std::optional<Duration> latency = std::nullopt) {
    twin.settle(tickets[slot]->theirs, outcome, now, latency);
    tickets[slot]->mine.settle(outcome, now, {.tag = 0, .latency = latency, .retry_after = {}});
    tickets[slot].reset();
  }
  void drop(std::size_t slot) {
    twin.drop(tickets[slot]->theirs);
    tickets[slot].reset();
  }
  // Before a drop, which has no clock of its own, both must have noticed the same.
  void tick() {
    breaker.tick(now);
    twin.timers(now);
  }

  // Empty when all that can be seen is equal; else what differs.
  std::string difference() {
    tick();
    const auto s = breaker.snapshot(now);
    const auto w = twin.window_at(now);
    const bool watched = twin.state == State::closed || twin.state == State::forced_closed;
    std::uint64_t late = 0;
    for (const std::uint64_t n : twin.late) late += n;
    if (s.state != twin.state) return std::string("state ") + std::string(to_string(s.state));
    if (s.generation != twin.generation) return "generation";
    if (s.consecutive_failures != twin.run) return "consecutive_failures";
    if (s.probes_in_flight != twin.out.size()) return "probes_in_flight";
    if (s.probes_succeeded != twin.succeeded || s.probes_failed != twin.failed) return "probe counters";
    if (s.openings_in_a_row != twin.openings) return "openings_in_a_row";
    if (s.late_results != late) return "late_results";
    if (watched &&
        (s.window.calls != w.calls || s.window.failures != w.failures || s.window.slow != w.slow)) {
      return "window";
    }
    if (breaker.retry_after(now) != twin.retry_after(now)) return "retry_after";
    if (breaker.would_refuse(now) != (twin.refuses(now) && !twin.o.shadow)) return "would_refuse";
    if (steps.size() != twin.steps.size()) return "number of transitions";
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].from != twin.steps[i].from || steps[i].to != twin.steps[i].to ||
          steps[i].reason != twin.steps[i].reason || steps[i].at != twin.steps[i].at ||
          steps[i].generation != i + 2) {
        return "transition " + std::to_string(i);
      }
    }
    return {};
  }

  struct Held {
    CircuitBreaker::Ticket mine;
    BreakerTwin::Ticket theirs;
  };

  TimePoint now = kStart;
  std::vector<CircuitBreaker::Transition> steps;
  BreakerTwin twin;
  CircuitBreaker breaker;
  std::array<std::optional<Held>, kSlots> tickets;
};

Options small(std::uint32_t failures, std::uint32_t probes = 1, std::uint32_t threshold = 1) {
  Options options;
  options.failures_to_open = failures;
  options.open_for = 4s;
  options.half_open_probes = probes;
  options.success_threshold = threshold;
  options.probe_timeout = 3s;
  options.window = 10s;
  return options;
}

Options with_ratio(Options options) {
  options.failure_ratio = 0.5;
  options.slow_ratio = 0.7;
  options.slow_call = 2s;
  options.min_calls = 3;
  return options;
}

struct Case {
  const char* name;
  Options options;
};

std::vector<Case> cases() {
  Options neutral_lease = small(2, 2, 2);
  neutral_lease.lease_end = CircuitBreaker::LeaseEnd::neutral;
  Options ratio_alone = with_ratio(small(0, 3, 2));
  Options shadow = small(2);
  shadow.shadow = true;
  Options growing = small(1);
  growing.open_backoff = CircuitBreaker::Backoff{.factor = 2, .max = 9s, .jitter = 0};
  return {{"two in a row", small(2)},
          {"the first failure", small(1)},
          {"two probes of two", small(2, 2, 2)},
          {"one probe, twice", small(2, 1, 2)},
          {"three in a row, three probes", small(3, 3, 2)},
          {"lost probes are neutral", neutral_lease},
          {"ratio alone", ratio_alone},
          {"ratio and run", with_ratio(small(3, 2, 1))},
          {"shadow", shadow},
          {"growing open time", growing}};
}

// ---- every sequence

enum class Letter { ok, fail, cancel, late, tick, lease_end };
constexpr int kLetters = 6;

void play(Pair& pair, Letter letter, Outcome late_outcome, bool& agreed) {
  switch (letter) {
    case Letter::ok:
    case Letter::fail:
    case Letter::cancel:
      agreed = pair.enter(0) && agreed;
      if (!pair.tickets[0]) return;
      if (letter == Letter::ok) pair.settle(0, Outcome::success);
      if (letter == Letter::fail) pair.settle(0, Outcome::failure);
      if (letter == Letter::cancel) pair.drop(0);
      return;
    case Letter::late:  // takes a ticket and keeps it; the next time, settles what was kept
      if (pair.tickets[1]) return pair.settle(1, late_outcome);
      agreed = pair.enter(1) && agreed;
      return;
    case Letter::tick:
      pair.now += pair.twin.o.open_for;
      return;
    case Letter::lease_end:
      pair.now += pair.twin.o.probe_timeout;
      return;
  }
}

// Returns the number of sequences tried; stops at the first that differs.
std::uint64_t all_sequences(const Options& options, int length, Outcome late_outcome) {
  std::uint64_t count = 0;
  for (int n = 1; n <= length; ++n) {
    std::uint64_t end = 1;
    for (int i = 0; i < n; ++i) end *= kLetters;
    for (std::uint64_t code = 0; code < end; ++code) {
      Pair pair(options);
      bool agreed = true;
      std::uint64_t rest = code;
      for (int i = 0; i < n; ++i, rest /= kLetters) {
        play(pair, static_cast<Letter>(rest % kLetters), late_outcome, agreed);
      }
      ++count;
      const std::string difference = agreed ? pair.difference() : "admission";
      if (!difference.empty()) {
        ADD_FAILURE() << "sequence " << code << " of length " << n << ": " << difference;
        return count;
      }
    }
  }
  return count;
}

// Over {ok, fail, cancel, late, tick, lease end} every sequence up to length 8 ends where the twin ends.
TEST(CircuitBreakerModel, EverySequenceToLengthEight) {
  std::uint64_t count = all_sequences(small(2), 8, Outcome::success);
  count += all_sequences(small(2), long_run() ? 8 : 6, Outcome::failure);
  RecordProperty("sequences", std::to_string(count));
}

// The same for every other configuration, to length 6 (8 in the long run).
TEST(CircuitBreakerModel, EverySequenceForEveryConfiguration) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    for (Outcome late : {Outcome::success, Outcome::failure, Outcome::cancelled}) {
      all_sequences(c.options, long_run() ? 8 : 6, late);
    }
  }
}

// ---- every interleaving of four tickets

// What can happen next: enter, settle slot i in one of the ways, drop slot i, a second passes, an open time
// passes.
constexpr std::array<Outcome, 5> kOutcomeOf = {Outcome::success, Outcome::failure, Outcome::throttled,
                                               Outcome::cancelled, Outcome::neutral};
constexpr int kWays = 7;  // five outcomes, a slow success, a drop
constexpr int kOps = 1 + static_cast<int>(kSlots) * kWays + 2;

// False when the operation cannot happen here (nothing to settle, no room), or would only repeat another.
bool apply(Pair& pair, int op, bool& agreed) {
  if (op == 0) {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      if (pair.tickets[slot]) continue;
      agreed = pair.enter(slot);
      return pair.tickets[slot].has_value() || !agreed;
    }
    return false;
  }
  if (--op < static_cast<int>(kSlots) * kWays) {
    const auto slot = static_cast<std::size_t>(op / kWays);
    const int way = op % kWays;
    if (!pair.tickets[slot]) return false;
    if (way < 5) {
      pair.settle(slot, kOutcomeOf[static_cast<std::size_t>(way)], Duration::zero());
    } else if (way == 5) {
      if (pair.twin.o.slow_ratio == 0) return false;
      pair.settle(slot, Outcome::success, pair.twin.o.slow_call);
    } else {
      pair.tick();
      pair.drop(slot);
    }
    return true;
  }
  pair.now += op - static_cast<int>(kSlots) * kWays == 0 ? 1s : 4s;
  return true;
}

void put(std::string& key, std::uint64_t value) {
  key += static_cast<char>(std::min<std::uint64_t>(value, 255));
}

// All that decides the future, relative to now and to the generation. Slots are interchangeable, so they are
// sorted.
std::string fingerprint(Pair& pair) {
  const BreakerTwin& t = pair.twin;
  std::string key;
  put(key, static_cast<std::uint64_t>(t.state));
  put(key, t.run);
  put(key, t.succeeded);
  put(key, t.failed);
  if (t.o.open_backoff) {
    // Growth ends at the cap after three openings in a row, and four more seconds closed take one back.
    put(key, std::min(t.openings, 6U));
    if (t.state == State::closed)
      put(key, static_cast<std::uint64_t>(std::min<Duration>(pair.now - t.closed_at, 24s) / 1s));
  }
  const auto seconds_until = [&](TimePoint at) {
    return at == TimePoint::max() ? 255
                                  : static_cast<std::uint64_t>(std::max<Duration>(at - pair.now, 0s) / 1s);
  };
  put(key, seconds_until(t.wake));
  std::array<std::string, kSlots> slots;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (!pair.tickets[i]) continue;
    const BreakerTwin::Ticket& ticket = pair.tickets[i]->theirs;
    put(slots[i], ticket.generation == t.generation ? 1 : 2);
    if (ticket.generation != t.generation) continue;
    std::uint64_t left = 254;
    for (const auto& probe : t.out) {
      if (probe.name == ticket.probe) left = seconds_until(probe.ends);
    }
    put(slots[i], ticket.probe == 0 ? 255 : left);
  }
  std::sort(slots.begin(), slots.end());
  for (const std::string& slot : slots) key += slot + '/';
  std::array<std::array<std::uint8_t, 3>, 10> ages{};
  const std::int64_t last = std::max<std::int64_t>(t.newest, pair.now.time_since_epoch() / 1s);
  if (t.o.failure_ratio > 0 || t.o.slow_ratio > 0) {
    for (const auto& call : t.calls) {
      if (call.bucket <= last - 10) continue;
      auto& age = ages[static_cast<std::size_t>(last - call.bucket)];
      ++age[0];
      age[1] = static_cast<std::uint8_t>(age[1] + (call.failed ? 1 : 0));
      age[2] = static_cast<std::uint8_t>(age[2] + (call.slow ? 1 : 0));
    }
    for (const auto& age : ages) key.append(reinterpret_cast<const char*>(age.data()), 3);
  }
  return key;
}

// From any state, with every ticket held for ever and nobody ticking, a caller gets in after the lease and
// the longest open time: nothing is stuck.
bool gets_unstuck(Pair& pair) {
  pair.now += pair.twin.o.probe_timeout + 16s;
  return pair.breaker.try_enter(pair.now).has_value();
}

struct Node {
  std::uint32_t parent;
  std::uint8_t op;
};

void replay(Pair& pair, const std::vector<Node>& nodes, std::uint32_t index) {
  std::array<std::uint8_t, 256> path;
  std::size_t length = 0;
  for (; index != 0; index = nodes[index].parent) {
    ASSERT_LT(length, path.size());
    path[length++] = nodes[index].op;
  }
  bool agreed = true;
  while (length > 0) apply(pair, path[--length], agreed);
}

struct Explored {
  std::uint64_t states = 0;
  std::uint64_t steps = 0;
  bool complete = false;
};

Explored explore(const Options& options, std::size_t states_max) {
  Explored result;
  std::unordered_set<std::string> seen;
  std::vector<Node> nodes{{0, 0}};
  for (std::uint32_t next = 0; next < nodes.size(); ++next) {
    for (int op = 0; op < kOps; ++op) {
      Pair pair(options);
      replay(pair, nodes, next);
      bool agreed = true;
      if (!apply(pair, op, agreed)) continue;
      ++result.steps;
      const std::string difference = agreed ? pair.difference() : "admission";
      if (!difference.empty() || pair.twin.out.size() > options.half_open_probes) {
        ADD_FAILURE() << "state " << next << ", operation " << op << ": " << difference;
        return result;
      }
      if (seen.size() < states_max && seen.insert(fingerprint(pair)).second) {
        nodes.push_back({next, static_cast<std::uint8_t>(op)});
        if (!gets_unstuck(pair)) {
          ADD_FAILURE() << "stuck after state " << next << ", operation " << op;
          return result;
        }
      }
    }
  }
  result.states = seen.size();
  result.complete = seen.size() < states_max;
  return result;
}

// Four tickets, entered, settled in every way, dropped and kept in every order, with time passing in between:
// the breaker agrees with its twin in every state, and no state is stuck.
TEST(CircuitBreakerModel, EveryInterleavingOfFourTickets) {
  const std::size_t bound = long_run() ? 1'500'000 : 20'000;
  std::uint64_t states = 0;
  std::uint64_t steps = 0;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Explored explored = explore(c.options, bound);
    states += explored.states;
    steps += explored.steps;
    std::printf("  %-32s %8llu states %9llu steps%s\n", c.name,
                static_cast<unsigned long long>(explored.states),
                static_cast<unsigned long long>(explored.steps), explored.complete ? ", complete" : "");
  }
  RecordProperty("states", std::to_string(states));
  std::printf("  in all %llu states, %llu steps\n", static_cast<unsigned long long>(states),
              static_cast<unsigned long long>(steps));
  EXPECT_GE(states, long_run() ? 1'000'000U : 10'000U);
}

// ---- long random runs

Options random_options(base::Random& random) {
  Options options =
      small(static_cast<std::uint32_t>(random.below(4)), 1 + static_cast<std::uint32_t>(random.below(4)),
            1 + static_cast<std::uint32_t>(random.below(4)));
  if (options.failures_to_open == 0 || random.chance(1, 2)) {
    options.failure_ratio = static_cast<double>(1 + random.below(10)) / 10;
    options.min_calls = 1 + static_cast<std::uint32_t>(random.below(8));
  }
  if (random.chance(1, 2)) {
    options.slow_ratio = static_cast<double>(1 + random.below(10)) / 10;
    options.slow_call = 2s;
  }
  if (random.chance(1, 3)) options.lease_end = CircuitBreaker::LeaseEnd::neutral;
  if (random.chance(1, 3))
    options.open_backoff = CircuitBreaker::Backoff{.factor = 2, .max = 60s, .jitter = 0};
  if (random.chance(1, 8)) options.shadow = true;
  if (random.chance(1, 4)) options.window = 20s;
  return options;
}

void random_step(Pair& pair, base::Random& random, bool& agreed) {
  const std::size_t slot = random.below(kSlots);
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (!pair.tickets[slot]) agreed = pair.enter(slot);
      break;
    case 4:
    case 5:
    case 6:
      if (pair.tickets[slot]) pair.settle(slot, kOutcomeOf[random.below(kOutcomes)]);
      break;
    case 7:
      pair.tick();
      if (pair.tickets[slot]) pair.drop(slot);
      break;
    case 8:
      pair.now += Duration{static_cast<Duration::rep>(random.below(2'500'000'000))};
      break;
    case 9:
      if (random.chance(1, 3)) pair.now += 4s;
      break;
    case 10:
      // Both have seen `now` before time seems to step back, as it does between threads.
      pair.tick();
      if (random.chance(1, 4)) pair.now -= Duration{static_cast<Duration::rep>(random.below(10'000))};
      break;
    default:
      if (random.chance(1, 12)) {
        constexpr std::array<State, 3> forced = {State::forced_open, State::forced_closed, State::disabled};
        const State state = forced[random.below(3)];
        std::optional<Duration> for_time;
        if (random.chance(2, 3)) for_time = 1s * static_cast<int>(random.below(6));
        pair.breaker.force(state, pair.now, for_time);
        pair.twin.force(state, pair.now, for_time);
      } else if (random.chance(1, 12)) {
        pair.breaker.reset(pair.now);
        pair.twin.reset(pair.now);
      } else if (random.chance(1, 12)) {
        const Options options = random_options(random);
        pair.tick();
        pair.breaker.update(options, pair.now);
        pair.twin.update(options, pair.now);
      }
  }
}

// Random calls, forces, resets and updates, with time that steps back a little now and then: equal whenever
// one looks.
TEST(CircuitBreakerModel, RandomRunsAgree) {
  const std::uint64_t seeds = long_run() ? 300'000 : 6'000;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    base::Random random(seed);
    Pair pair(random_options(random));
    // A machine that has just started: the window reaches back before time zero.
    if (random.chance(1, 4))
      pair.now = TimePoint{Duration{static_cast<Duration::rep>(5'000'000 + random.below(9))}};
    for (int step = 0; step < 300; ++step) {
      bool agreed = true;
      random_step(pair, random, agreed);
      // Looking makes the breaker notice the time, so it is not done each time.
      const bool look = random.chance(1, 3);
      const std::string difference = !agreed ? "admission" : look ? pair.difference() : "";
      ASSERT_EQ(difference, "") << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace weir::resilience
