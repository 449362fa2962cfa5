// Which endpoint a request goes to, and which requests are named when a breaker opens.
#include "weir/upstream/upstream.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <tuple>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weir/upstream/testing.h"

namespace weir::upstream {
namespace {

using resilience::CircuitBreaker;
using resilience::Outcome;
using std::chrono::seconds;

class Balanced {
 public:
  Balanced(Balance balance, const std::vector<std::uint32_t>& weights) {
    UpstreamOptions options;
    options.name = "orders";
    options.balance = balance;
    std::vector<EndpointPool*> pools;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      EndpointOptions endpoint;
      endpoint.host = "10.0.0." + std::to_string(i + 1);
      endpoint.url = "http://" + endpoint.host;
      endpoint.weight = weights[i];
      options.endpoints.push_back(endpoint);
      pools_.push_back(
          std::make_unique<EndpointPool>(reactor_, names_, scope_, endpoint.host, endpoint.port));
      pools.push_back(pools_.back().get());
    }
    auto shared = std::make_shared<SharedUpstream>("orders", CircuitBreaker::Options(), nullptr);
    upstream = std::make_unique<WorkerUpstream>(options, shared, pools);
  }
  std::size_t pick() {
    return static_cast<std::size_t>(upstream->pick(random_, {}) - upstream->endpoints().data());
  }

 private:
  testing::FakeReactor reactor_;
  io::TableResolver names_;
  async::Scope scope_;
  std::vector<std::unique_ptr<EndpointPool>> pools_;
  base::Random random_{1};

 public:
  std::unique_ptr<WorkerUpstream> upstream;
};

constexpr Balance kBalances[] = {Balance::least_requests, Balance::round_robin, Balance::hash};

// Picks 200 times with different keys; how often each endpoint was taken, -1 counted apart as the last.
std::vector<int> picks_of(Balanced& balanced, std::span<const WorkerUpstream::Endpoint* const> tried = {}) {
  std::vector<WorkerUpstream::Endpoint>& endpoints = balanced.upstream->endpoints();
  std::vector<int> picks(endpoints.size() + 1);
  base::Random random(7);
  for (int i = 0; i < 200; ++i) {
    WorkerUpstream::Choice choice;
    choice.hash = random();
    choice.tried = tried;
    const WorkerUpstream::Endpoint* chosen = balanced.upstream->pick(random, choice);
    ++picks[chosen == nullptr ? endpoints.size() : static_cast<std::size_t>(chosen - endpoints.data())];
  }
  return picks;
}

// A drained endpoint is never chosen, whatever else is wrong; with all of them drained there is none.
TEST(Choice, ADrainedEndpointIsNeverChosen) {
  for (const Balance balance : kBalances) {
    Balanced balanced(balance, {1, 1, 1});
    auto& endpoints = balanced.upstream->endpoints();
    endpoints[0].state->drained = true;
    endpoints[1].state->failing = endpoints[2].state->failing = true;
    std::vector<int> picks = picks_of(balanced);
    EXPECT_EQ(picks[0], 0);
    EXPECT_GT(picks[1], 0);
    EXPECT_GT(picks[2], 0);
    endpoints[1].state->drained = endpoints[2].state->drained = true;
    picks = picks_of(balanced);
    EXPECT_EQ(picks[3], 200);
  }
}

// Who fails the checks is not chosen while at least half of the others are well; below that all are (panic).
TEST(Choice, AFailingEndpointIsNotChosenOutsidePanic) {
  for (const Balance balance : kBalances) {
    Balanced balanced(balance, {1, 1, 1, 1});
    auto& endpoints = balanced.upstream->endpoints();
    endpoints[0].state->failing = endpoints[1].state->failing = true;
    std::vector<int> picks = picks_of(balanced);
    EXPECT_EQ(picks[0] + picks[1], 0);
    EXPECT_GT(picks[2], 0);
    EXPECT_GT(picks[3], 0);
    endpoints[2].state->failing = true;
    picks = picks_of(balanced);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_GT(picks[i], 0) << i;
  }
}

// A retry avoids what was tried, as long as anything else is left.
TEST(Choice, ARetryGoesElsewhere) {
  for (const Balance balance : kBalances) {
    Balanced balanced(balance, {1, 1, 1});
    auto& endpoints = balanced.upstream->endpoints();
    std::vector<const WorkerUpstream::Endpoint*> tried{&endpoints[0], &endpoints[2]};
    EXPECT_EQ(picks_of(balanced, tried)[1], 200);
    tried.push_back(&endpoints[1]);
    EXPECT_EQ(picks_of(balanced, tried)[3], 0) << "all were tried: any will do";
  }
}

// A key stays where it is; when its endpoint fails only its own keys move; a loaded endpoint hands keys on.
TEST(Choice, AHashMovesAsLittleAsPossible) {
  Balanced balanced(Balance::hash, {1, 1, 1, 1, 1});
  auto& endpoints = balanced.upstream->endpoints();
  base::Random random(3);
  const auto owner = [&](std::uint64_t hash) {
    WorkerUpstream::Choice choice;
    choice.hash = hash;
    return balanced.upstream->pick(random, choice);
  };
  std::vector<std::uint64_t> keys;
  std::vector<WorkerUpstream::Endpoint*> owners;
  std::vector<int> share(5);
  for (int i = 0; i < 2000; ++i) {
    keys.push_back(random());
    owners.push_back(owner(keys.back()));
    ++share[static_cast<std::size_t>(owners.back() - endpoints.data())];
  }
  for (const int own : share) EXPECT_NEAR(own, 400, 200);
  endpoints[2].state->failing = true;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (owners[i] != &endpoints[2]) {
      EXPECT_EQ(owner(keys[i]), owners[i]);
    } else {
      EXPECT_NE(owner(keys[i]), owners[i]);
    }
  }
  endpoints[2].state->failing = false;
  WorkerUpstream::Endpoint* busy = owners[0];
  busy->in_flight = 100;  // and the others none
  EXPECT_NE(owner(keys[0]), busy);
  busy->in_flight = 0;
  EXPECT_EQ(owner(keys[0]), busy);
}

// With nothing in flight, each gets its share by weight.
TEST(Balance, LeastRequestsFollowsWeightsWhenIdle) {
  Balanced balanced(Balance::least_requests, {1, 2, 3});
  std::vector<int> picks(3);
  for (int i = 0; i < 60'000; ++i) ++picks[balanced.pick()];
  // Of two draws the first wins a tie, so shares are those of one draw.
  EXPECT_NEAR(picks[0], 10'000, 500);
  EXPECT_NEAR(picks[1], 20'000, 700);
  EXPECT_NEAR(picks[2], 30'000, 700);
}

// The loaded of two is avoided whenever both are drawn; load counts per weight.
TEST(Balance, LeastRequestsAvoidsTheLoaded) {
  Balanced balanced(Balance::least_requests, {1, 1});
  balanced.upstream->endpoints()[0].in_flight = 10;
  int loaded = 0;
  for (int i = 0; i < 10'000; ++i) loaded += balanced.pick() == 0 ? 1 : 0;
  EXPECT_NEAR(loaded, 2'500, 300) << "only when it was drawn twice";

  Balanced weighted(Balance::least_requests, {1, 4});
  weighted.upstream->endpoints()[0].in_flight = 1;
  weighted.upstream->endpoints()[1].in_flight = 3;  // less than one a weight
  int light = 0;
  for (int i = 0; i < 10'000; ++i) light += weighted.pick() == 0 ? 1 : 0;
  EXPECT_NEAR(light, 400, 150) << "one fifth of one fifth";
}

// Requests that come and go spread evenly: the largest load stays near the mean.
TEST(Balance, LeastRequestsKeepsLoadsEven) {
  Balanced balanced(Balance::least_requests, {1, 1, 1, 1, 1, 1, 1, 1});
  auto& endpoints = balanced.upstream->endpoints();
  for (int i = 0; i < 800; ++i) ++endpoints[balanced.pick()].in_flight;
  for (const auto& endpoint : endpoints) EXPECT_NEAR(endpoint.in_flight, 100, 5);
}

// Smooth: over one turn of the total weight each comes as often as its weight, the heavy never all in a row.
TEST(Balance, RoundRobinIsSmooth) {
  Balanced balanced(Balance::round_robin, {5, 1, 1});
  const std::vector<std::size_t> want{0, 0, 1, 0, 2, 0, 0};
  for (int turn = 0; turn < 3; ++turn)
    for (const std::size_t endpoint : want) EXPECT_EQ(balanced.pick(), endpoint);
  Balanced even(Balance::round_robin, {1, 1, 1});
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(even.pick(), i % 3);
}

// Any weights: in every run of the total weight the counts are exact.
TEST(Balance, RoundRobinIsExactOverEachTurn) {
  base::Random random(7);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::uint32_t> weights;
    std::uint32_t total = 0;
    for (std::uint64_t n = 1 + random.below(5); n > 0; --n) {
      weights.push_back(static_cast<std::uint32_t>(1 + random.below(7)));
      total += weights.back();
    }
    Balanced balanced(Balance::round_robin, weights);
    for (int turn = 0; turn < 2; ++turn) {
      std::vector<std::uint32_t> picks(weights.size());
      for (std::uint32_t i = 0; i < total; ++i) ++picks[balanced.pick()];
      EXPECT_EQ(picks, weights);
    }
  }
}

// One endpoint needs no choice.
TEST(Balance, OneEndpoint) {
  Balanced balanced(Balance::least_requests, {3});
  EXPECT_EQ(balanced.pick(), 0U);
}

struct Seen {
  CircuitBreaker::State to = CircuitBreaker::State::closed;
  std::vector<std::string> failed;
};

void fail(SharedUpstream& upstream, TimePoint now, const std::string& id, bool failure = true) {
  auto ticket = upstream.breaker().try_enter(now);
  ASSERT_TRUE(ticket);
  if (failure) upstream.note_failure(id, "connection_reset");
  CircuitBreaker::Detail detail;
  detail.tag = 1;
  ticket->settle(failure ? Outcome::failure : Outcome::success, now, detail);
}

// The opening names the five requests of the run, oldest first, and no earlier failure.
TEST(FailureTrail, AnOpeningNamesItsRequests) {
  std::vector<Seen> seen;
  SharedUpstream upstream(
      "orders", CircuitBreaker::Options(),
      [&](const SharedUpstream& which, const CircuitBreaker::Transition& change, const auto& failed) {
        EXPECT_EQ(which.name(), "orders");
        seen.push_back({change.to, failed});
      });
  const TimePoint now{seconds{100}};
  fail(upstream, now, "early");
  fail(upstream, now, "good", false);
  for (int i = 1; i <= 5; ++i) fail(upstream, now, "r" + std::to_string(i));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].to, CircuitBreaker::State::open);
  const std::vector<std::string> want{"r1 (connection_reset)", "r2 (connection_reset)",
                                      "r3 (connection_reset)", "r4 (connection_reset)",
                                      "r5 (connection_reset)"};
  EXPECT_EQ(seen[0].failed, want);

  // A probe that fails names itself.
  fail(upstream, now + seconds{30}, "probe");
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[2].to, CircuitBreaker::State::open);
  EXPECT_EQ(seen[2].failed, std::vector<std::string>{"probe (connection_reset)"});
}

// However long the run, at most the last sixteen are remembered.
TEST(FailureTrail, IsBounded) {
  CircuitBreaker::Options options;
  options.failures_to_open = 100;
  std::vector<std::string> named;
  SharedUpstream upstream(
      "orders", options,
      [&](const SharedUpstream&, const CircuitBreaker::Transition&, const auto& failed) { named = failed; });
  for (int i = 1; i <= 100; ++i) fail(upstream, TimePoint{seconds{1}}, "r" + std::to_string(i));
  ASSERT_EQ(named.size(), 16U);
  EXPECT_EQ(named.front(), "r85 (connection_reset)");
  EXPECT_EQ(named.back(), "r100 (connection_reset)");
}

// Endpoints with breakers of their own, on one worker, without a network.
struct Ejecting {
  explicit Ejecting(std::size_t count, double max_ejected, Balance balance = Balance::least_requests) {
    UpstreamOptions options;
    options.name = "u";
    options.balance = balance;
    EjectionOptions& ejection = options.ejection.emplace();
    ejection.breaker.failures_to_open = 3;
    ejection.breaker.open_for = std::chrono::seconds{10};
    ejection.max_ejected = max_ejected;
    for (std::size_t i = 0; i < count; ++i) {
      EndpointOptions& endpoint = options.endpoints.emplace_back();
      endpoint.url = "http://10.0.0." + std::to_string(i + 1);
      endpoint.host = "10.0.0." + std::to_string(i + 1);
    }
    shared = std::make_shared<SharedUpstream>("u", resilience::CircuitBreaker::Options{}, nullptr);
    // No pool is touched by a choice.
    upstream = std::make_unique<WorkerUpstream>(options, shared, std::vector<EndpointPool*>(count, nullptr));
  }
  bool out(const WorkerUpstream::Endpoint& endpoint) const {
    return endpoint.state->ejected_until.load() > now.time_since_epoch().count();
  }
  std::size_t count_out() const {
    std::size_t count = 0;
    for (const auto& endpoint : upstream->endpoints()) count += out(endpoint) ? 1 : 0;
    return count;
  }
  WorkerUpstream::Endpoint* pick(std::uint64_t hash = 0) {
    WorkerUpstream::Choice choice;
    choice.now = now;
    choice.hash = hash;
    return upstream->pick(random, choice);
  }
  // One call, which ends with this outcome at once; who got it.
  WorkerUpstream::Endpoint* call(const std::function<bool(const WorkerUpstream::Endpoint&)>& is_well) {
    WorkerUpstream::Endpoint* endpoint = pick();
    auto ticket = endpoint->enter(now);
    if (ticket)
      ticket->settle(is_well(*endpoint) ? resilience::Outcome::success : resilience::Outcome::failure, now);
    return endpoint;
  }

  TimePoint now{std::chrono::hours{1}};
  base::Random random{9};
  std::shared_ptr<SharedUpstream> shared;
  std::unique_ptr<WorkerUpstream> upstream;
};

// An endpoint that fails is left alone for the time said, then one call tries it: it returns, or stays out.
TEST(Ejection, AFailingEndpointIsLeftAloneAndTriedAgain) {
  Ejecting it(4, 0.25);
  const WorkerUpstream::Endpoint* sick = it.upstream->endpoints().data();
  bool well = false;
  const auto is_well = [&](const WorkerUpstream::Endpoint& each) { return &each != sick || well; };
  for (int i = 0; i < 100; ++i) it.call(is_well);
  EXPECT_TRUE(it.out(*sick));
  EXPECT_EQ(sick->state->ejections.load(), 1U);
  for (int i = 0; i < 1000; ++i) EXPECT_NE(it.call(is_well), sick);
  it.now += std::chrono::seconds{10};
  int tried = 0;
  for (int i = 0; i < 1000; ++i) tried += it.call(is_well) == sick ? 1 : 0;
  EXPECT_EQ(tried, 1) << "one probe, which failed";
  well = true;
  it.now += std::chrono::seconds{10};
  tried = 0;
  for (int i = 0; i < 1000; ++i) tried += it.call(is_well) == sick ? 1 : 0;
  EXPECT_GT(tried, 100);
  EXPECT_EQ(sick->state->ejected_until.load(), 0);
}

// No more than the share said are out, however many fail; one of two always may be, the only one never is.
TEST(Ejection, HasACap) {
  const auto nobody = [](const WorkerUpstream::Endpoint&) { return false; };
  for (const auto& [count, share, most] : {std::tuple{10, 0.1, 1}, {10, 0.3, 3}, {2, 0.1, 1}, {1, 1.0, 0}}) {
    Ejecting it(static_cast<std::size_t>(count), share);
    for (int i = 0; i < 2000; ++i) it.call(nobody);
    EXPECT_EQ(it.count_out(), static_cast<std::size_t>(most)) << count << " endpoints";
  }
}

// Under seeds, with endpoints that die, lie and come back: whoever is out is never chosen while half of the others are
// in; below that all are.
TEST(Ejection, WhoIsOutIsNeverChosenOutsidePanic) {
  const bool many = std::getenv("WEIR_LONG") != nullptr;
  std::uint64_t outside = 0;
  std::uint64_t panics = 0;
  for (std::uint64_t seed = 1; seed <= (many ? 20'000U : 500U); ++seed) {
    base::Random random(seed);
    const std::size_t count = 2 + random.below(6);
    const auto balance = static_cast<Balance>(random.below(3));
    Ejecting it(count, 0.1 * static_cast<double>(1 + random.below(10)), balance);
    it.random = base::Random(seed + 1);
    std::vector<std::uint64_t> failing(count, 0);  // percent
    std::vector<std::pair<WorkerUpstream::Endpoint*, resilience::CircuitBreaker::Ticket>> running;
    for (int step = 0; step < 300; ++step) {
      if (random.chance(1, 20)) failing[random.below(count)] = std::array{0, 100, 50, 0}[random.below(4)];
      it.now += std::chrono::milliseconds{random.below(300)};
      std::size_t out = 0;
      for (const auto& endpoint : it.upstream->endpoints()) out += it.out(endpoint) ? 1 : 0;
      WorkerUpstream::Endpoint* chosen = it.pick(random());
      ASSERT_NE(chosen, nullptr);
      if (it.out(*chosen)) {
        // Those that wait for their probe's end count as out, too, so this is the least that panic needs.
        std::size_t in = 0;
        for (const auto& endpoint : it.upstream->endpoints())
          in += endpoint.state->ejected_until.load() == 0 ? 1 : 0;
        ASSERT_LT(in * 2, count) << "seed " << seed << ", step " << step;
        ++panics;
      } else {
        ++outside;
      }
      if (auto ticket = chosen->enter(it.now)) running.emplace_back(chosen, std::move(*ticket));
      while (!running.empty() && random.chance(1, 2)) {
        const std::size_t at = random.below(running.size());
        const auto who = static_cast<std::size_t>(running[at].first - it.upstream->endpoints().data());
        if (!random.chance(1, 20))  // some are abandoned
          running[at].second.settle(
              random.below(100) < failing[who] ? resilience::Outcome::failure : resilience::Outcome::success,
              it.now);
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }
  std::printf("%llu choices outside of panic, %llu in it\n", static_cast<unsigned long long>(outside),
              static_cast<unsigned long long>(panics));
  EXPECT_GT(panics, 100U);
}

}  // namespace
}  // namespace weir::upstream
