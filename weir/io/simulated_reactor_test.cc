// What only the simulation has: faults, virtual time, and the promise that a seed is a run.
#include "weir/io/simulated_reactor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "weir/async/scope.h"
#include "weir/io/waiter.h"

namespace weir::io {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

Address address(std::uint16_t port) {
  Address made;
  made.ip = base::IpAddress::v4(0x0a000001);
  made.port = port;
  return made;
}

SimulationOptions options(std::uint64_t seed, const Faults& faults = {}) {
  SimulationOptions made;
  made.seed = seed;
  made.faults = faults;
  return made;
}

enum class Outcome { none, answered, refused, broke, ended, timed_out };

// Sends `text`, finishes, and reads the answer to its end.
async::Task<void> ask(SimulatedReactor& reactor, Address to, std::string text, Deadline deadline,
                      Outcome& outcome, std::string& answer) {
  auto made = reactor.connect(to);
  if (!made) {
    outcome = Outcome::refused;
    co_return;
  }
  const std::unique_ptr<Stream> stream = std::move(*made);
  Waiter waiter(reactor);
  stream->watch(&waiter);
  bool connected = false;
  for (;;) {
    bool moved = false;
    if (!connected) {
      const IoResult done = stream->finish_connect();
      if (done.status == IoStatus::error) {
        outcome = Outcome::refused;
        break;
      }
      connected = moved = done.status == IoStatus::ok;
    }
    if (connected && !text.empty()) {
      const iovec piece{text.data(), text.size()};
      const IoResult put = stream->write({&piece, 1});
      if (put.status == IoStatus::error) {
        outcome = Outcome::broke;
        break;
      }
      if (put.status == IoStatus::ok) {
        text.erase(0, put.bytes);
        moved = true;
        if (text.empty()) stream->shutdown_write();
      }
    }
    if (connected) {
      std::array<char, 512> bytes;
      const IoResult got = stream->read(bytes);
      if (got.status == IoStatus::error) {
        outcome = Outcome::broke;
        break;
      }
      if (got.status == IoStatus::end) {
        outcome = text.empty() ? Outcome::answered : Outcome::ended;
        break;
      }
      if (got.status == IoStatus::ok) answer.append(bytes.data(), got.bytes), moved = true;
    }
    if (moved) continue;
    const Wake wake = co_await waiter.wait(deadline);
    if (wake == Wake::timeout) {
      outcome = Outcome::timed_out;
      break;
    }
  }
  stream->watch(nullptr);
}

// Sends back what it reads until the peer has finished.
async::Task<void> echo(SimulatedReactor& reactor, std::unique_ptr<Stream> stream) {
  Waiter waiter(reactor);
  stream->watch(&waiter);
  std::string held;
  bool ended = false;
  while (!ended || !held.empty()) {
    bool moved = false;
    if (!ended && held.size() < 4096) {
      std::array<char, 300> bytes;
      const IoResult got = stream->read(bytes);
      if (got.status == IoStatus::error) break;
      if (got.status == IoStatus::end) ended = moved = true;
      if (got.status == IoStatus::ok) held.append(bytes.data(), got.bytes), moved = true;
    }
    if (!held.empty()) {
      const iovec piece{held.data(), held.size()};
      const IoResult put = stream->write({&piece, 1});
      if (put.status == IoStatus::error) break;
      if (put.status == IoStatus::ok) held.erase(0, put.bytes), moved = true;
    }
    if (moved) continue;
    const Wake wake = co_await waiter.wait(Deadline::after(reactor.now(), seconds{30}));
    if (wake == Wake::timeout) break;
  }
  stream->watch(nullptr);
}

class EchoServer final : public AcceptSink {
 public:
  EchoServer(SimulatedReactor& reactor, const Address& at)
      : reactor_(reactor), listener_(std::move(*reactor.listen(at, {}))) {
    listener_->watch(this);
  }
  void on_acceptable(Listener& listener) noexcept override {
    for (;;) {
      auto stream = listener.accept();
      if (!stream) {
        ++errors;
        return;
      }
      if (*stream == nullptr) return;
      ++accepted;
      last_peer = (*stream)->peer();
      scope_.spawn(echo(reactor_, std::move(*stream)));
    }
  }
  Listener& listener() { return *listener_; }
  std::size_t serving() const { return scope_.running(); }
  int accepted = 0;
  int errors = 0;
  Address last_peer;

 private:
  SimulatedReactor& reactor_;
  std::unique_ptr<Listener> listener_;
  async::Scope scope_;
};

struct Story {
  std::array<Outcome, 30> outcomes{};
  std::array<std::string, 30> answers;
  std::uint64_t digest = 0;
  Duration took{};
  bool idle = false;
  std::size_t streams_left = 0;

  int count(Outcome outcome) const {
    return static_cast<int>(std::count(outcomes.begin(), outcomes.end(), outcome));
  }
};

// Thirty clients ask an echo server for different texts.
Story run(const SimulationOptions& with) {
  Story result;
  SimulatedReactor reactor(with);
  const TimePoint start = reactor.now();
  {
    EchoServer server(reactor, address(80));
    async::Scope clients;
    for (std::size_t i = 0; i < result.outcomes.size(); ++i) {
      std::string text(1 + reactor.random().below(5000), static_cast<char>('a' + i % 26));
      clients.spawn(ask(reactor, address(80), std::move(text), Deadline::after(reactor.now(), seconds{5}),
                        result.outcomes[i], result.answers[i]));
    }
    result.idle = reactor.run_until_idle(hours{1});
    result.streams_left = reactor.open_streams();
  }
  result.took = reactor.now() - start;
  result.digest = reactor.digest();
  return result;
}

Faults rough() {
  Faults faults;
  faults.split = 300;
  faults.short_read = 300;
  faults.short_write = 300;
  faults.spurious = 100;
  faults.refuse = 100;
  faults.black_hole = 100;
  faults.reset = 100;
  faults.reset_on_data = 5;
  faults.silence = 100;
  faults.within = milliseconds{5};
  faults.buffer = 2000;
  return faults;
}

// The same seed is the same run, event by event; another seed is another run.
TEST(SimulatedReactor, ASeedIsARun) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SimulationOptions with = options(seed, rough());
    with.batch = seed % 2 == 0 ? microseconds{100} : microseconds{0};
    const Story first = run(with);
    const Story second = run(with);
    EXPECT_EQ(first.digest, second.digest);
    EXPECT_EQ(first.outcomes, second.outcomes);
    EXPECT_EQ(first.took, second.took);
    with.seed = seed + 1000;
    EXPECT_NE(run(with).digest, first.digest);
  }
}

// Whatever happens, every client ends, nothing stays open, and an answer is the whole text or none.
TEST(SimulatedReactor, EveryClientEndsUnderEveryFault) {
  int answered = 0, refused = 0, broke = 0, timed_out = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Story result = run(options(seed, rough()));
    EXPECT_TRUE(result.idle);
    EXPECT_EQ(result.streams_left, 0U);
    EXPECT_EQ(result.count(Outcome::none), 0);
    answered += result.count(Outcome::answered);
    refused += result.count(Outcome::refused);
    broke += result.count(Outcome::broke);
    timed_out += result.count(Outcome::timed_out);
  }
  // Every kind of fault did happen.
  EXPECT_GT(answered, 0);
  EXPECT_GT(refused, 0);
  EXPECT_GT(broke, 0);
  EXPECT_GT(timed_out, 0);
}

// Pieces, short reads, short writes and a small buffer delay bytes; they lose, double and reorder none.
TEST(SimulatedReactor, SmallPiecesLoseNothing) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Faults faults;
    faults.split = faults.short_read = faults.short_write = 900;
    faults.buffer = 50;
    const Story result = run(options(seed, faults));
    EXPECT_EQ(result.count(Outcome::answered), 30);
    for (std::size_t i = 0; i < result.answers.size(); ++i) {
      ASSERT_FALSE(result.answers[i].empty());
      EXPECT_EQ(result.answers[i].find_first_not_of(static_cast<char>('a' + i % 26)), std::string::npos);
    }
  }
}

// Time moves from event to event: an hour of waiting takes none, and timers ring exactly when they are due.
TEST(SimulatedReactor, TimersRingExactly) {
  SimulatedReactor reactor(options(1));
  const TimePoint start = reactor.now();
  bool slept = false;
  TimePoint woke{};
  const auto nap = [&](Duration in) -> async::Task<void> {
    slept = co_await async::sleep_until(reactor, start + in, nullptr);
    woke = reactor.now();
  };
  async::Scope scope;
  scope.spawn(nap(hours{1} + Duration{7}));
  EXPECT_TRUE(reactor.run_until_idle(hours{2}));
  EXPECT_TRUE(slept);
  EXPECT_EQ(woke, start + hours{1} + Duration{7});
}

// run_for() moves time by exactly what it is told and does what falls into it; run_until_idle() says what is
// left.
TEST(SimulatedReactor, RunsForAGivenTime) {
  SimulatedReactor reactor(options(1));
  const TimePoint start = reactor.now();
  int rang = 0;
  const auto nap = [&](Duration in) -> async::Task<void> {
    co_await async::sleep_until(reactor, start + in, nullptr);
    ++rang;
  };
  async::Scope scope;
  scope.spawn(nap(seconds{1}));
  scope.spawn(nap(seconds{2}));
  reactor.run_for(milliseconds{1500});
  EXPECT_EQ(reactor.now(), start + milliseconds{1500});
  EXPECT_EQ(rang, 1);
  EXPECT_FALSE(reactor.run_until_idle(milliseconds{100}));
  EXPECT_TRUE(reactor.run_until_idle(seconds{1}));
  EXPECT_EQ(rang, 2);
}

// run() returns when nothing can happen any more, rather than wait for ever.
TEST(SimulatedReactor, RunEndsWhenNothingIsLeft) {
  SimulatedReactor reactor(options(1));
  EchoServer server(reactor, address(80));
  reactor.run();
  EXPECT_EQ(reactor.open_listeners(), 1U);
}

// Wall time may step either way; monotonic time does not notice.
TEST(SimulatedReactor, WallTimeSteps) {
  SimulatedReactor reactor(options(1));
  const TimePoint now = reactor.now();
  const WallTime wall = reactor.wall_now();
  reactor.run_for(seconds{1});
  EXPECT_EQ(reactor.wall_now(), wall + seconds{1});
  reactor.step_wall(-hours{1});
  EXPECT_EQ(reactor.wall_now(), wall + seconds{1} - hours{1});
  EXPECT_EQ(reactor.now(), now + seconds{1});
}

Story one(const SimulationOptions& with, const std::function<void(SimulatedReactor&)>& meanwhile = {}) {
  Story result;
  SimulatedReactor reactor(with);
  const TimePoint start = reactor.now();
  {
    EchoServer server(reactor, address(80));
    async::Scope clients;
    const std::string text(meanwhile ? 300'000 : 4, 'x');  // long enough to be in the middle of
    clients.spawn(ask(reactor, address(80), text, Deadline::after(reactor.now(), seconds{5}),
                      result.outcomes[0], result.answers[0]));
    if (meanwhile) {
      reactor.run_for(milliseconds{1});
      EXPECT_EQ(server.serving(), 1U);
      meanwhile(reactor);
    }
    reactor.run_until([&] { return clients.running() == 0; }, hours{1});
    result.took = reactor.now() - start;
  }
  return result;
}

// A connect that is always refused is refused; one into a black hole ends by the caller's deadline alone.
TEST(SimulatedReactor, RefusalsAndBlackHoles) {
  Faults faults;
  faults.refuse = 1000;
  EXPECT_EQ(one(options(1, faults)).outcomes[0], Outcome::refused);
  faults = {};
  faults.black_hole = 1000;
  const Story lost = one(options(1, faults));
  EXPECT_EQ(lost.outcomes[0], Outcome::timed_out);
  EXPECT_EQ(lost.took, seconds{5});
}

// Resets and silence on demand hit the connections to one address, in the middle of their work.
TEST(SimulatedReactor, AccidentsOnDemand) {
  const Story reset =
      one(options(1), [](SimulatedReactor& reactor) { reactor.reset_connections(address(80)); });
  EXPECT_EQ(reset.outcomes[0], Outcome::broke);
  const Story silent =
      one(options(1), [](SimulatedReactor& reactor) { reactor.silence_connections(address(80)); });
  EXPECT_EQ(silent.outcomes[0], Outcome::timed_out);
  const Story other =
      one(options(1), [](SimulatedReactor& reactor) { reactor.reset_connections(address(81)); });
  EXPECT_EQ(other.outcomes[0], Outcome::answered);
  EXPECT_EQ(other.answers[0].size(), 300'000U);
}

// A rule is for its address alone.
TEST(SimulatedReactor, RulesByAddress) {
  SimulatedReactor reactor(options(1));
  Faults faults;
  faults.refuse = 1000;
  reactor.set_rule(address(81), faults);
  EchoServer good(reactor, address(80));
  EchoServer bad(reactor, address(81));
  std::array<Outcome, 3> outcomes{};
  std::string answer;
  async::Scope clients;
  const Deadline deadline = Deadline::after(reactor.now(), seconds{5});
  clients.spawn(ask(reactor, address(80), "a", deadline, outcomes[0], answer));
  clients.spawn(ask(reactor, address(81), "b", deadline, outcomes[1], answer));
  reactor.run_until_idle(hours{1});
  reactor.set_rule(address(81), {});
  clients.spawn(ask(reactor, address(81), "c", deadline, outcomes[2], answer));
  reactor.run_until_idle(hours{1});
  EXPECT_EQ(outcomes, (std::array{Outcome::answered, Outcome::refused, Outcome::answered}));
}

// Latency bounds the time of an answer: a handshake, a question and an answer are four ways.
TEST(SimulatedReactor, LatencyIsWhatItSays) {
  Faults faults;
  faults.latency_min = milliseconds{10};
  faults.latency_max = milliseconds{20};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Story result = one(options(seed, faults));
    EXPECT_EQ(result.outcomes[0], Outcome::answered);
    EXPECT_GE(result.took, milliseconds{40});
    EXPECT_LE(result.took, milliseconds{80});
  }
}

// A client may come from any address.
TEST(SimulatedReactor, ClientsChooseTheirAddress) {
  SimulatedReactor reactor(options(1));
  EchoServer server(reactor, address(80));
  const base::IpAddress from = base::IpAddress::v4(0xc0a80107);
  const auto client = std::move(*reactor.connect_from(from, address(80)));
  reactor.run_until_idle(seconds{1});
  EXPECT_EQ(server.last_peer.ip, from);
  EXPECT_EQ(server.last_peer, client->local());
}

// A listener on every address takes what no exact one does.
TEST(SimulatedReactor, WildcardListeners) {
  SimulatedReactor reactor(options(1));
  Address any;
  any.port = 80;
  EchoServer server(reactor, any);
  const auto client = std::move(*reactor.connect(address(80)));
  reactor.run_until_idle(seconds{1});
  EXPECT_EQ(server.accepted, 1);
  EXPECT_EQ(reactor.listen(address(80), {}).error().code, ErrorCode::address_in_use);
}

// Listeners that share a port each get some of the connections.
TEST(SimulatedReactor, SharedPortsShareTheLoad) {
  SimulatedReactor reactor(options(1));
  ListenOptions shared;
  shared.reuse_port = true;
  const auto first = std::move(*reactor.listen(address(80), shared));
  const auto second = std::move(*reactor.listen(address(80), shared));
  std::vector<std::unique_ptr<Stream>> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(std::move(*reactor.connect(address(80))));
  reactor.run_until_idle(seconds{1});
  int at_first = 0, at_second = 0;
  while (std::move(*first->accept()) != nullptr) ++at_first;
  while (std::move(*second->accept()) != nullptr) ++at_second;
  EXPECT_EQ(at_first + at_second, 100);
  EXPECT_GT(at_first, 20);
  EXPECT_GT(at_second, 20);
}

// A full backlog takes no more; the client tries again and gets in when there is room.
TEST(SimulatedReactor, AFullBacklogDelaysTheHandshake) {
  SimulatedReactor reactor(options(1));
  ListenOptions small;
  small.backlog = 1;
  const auto listener = std::move(*reactor.listen(address(80), small));
  const auto first = std::move(*reactor.connect(address(80)));
  reactor.run_for(milliseconds{10});
  const auto second = std::move(*reactor.connect(address(80)));
  reactor.run_for(milliseconds{10});
  EXPECT_EQ(first->finish_connect().status, IoStatus::ok);
  EXPECT_EQ(second->finish_connect().status, IoStatus::would_block);
  const auto accepted = std::move(*listener->accept());
  reactor.run_for(seconds{2});
  EXPECT_EQ(second->finish_connect().status, IoStatus::ok);
}

// Descriptors can be made to run out, on either side, for as many calls as asked.
TEST(SimulatedReactor, DescriptorsRunOut) {
  SimulatedReactor reactor(options(1));
  EchoServer server(reactor, address(80));
  reactor.fail_connects(1);
  const auto failed = reactor.connect(address(80));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::out_of_descriptors);
  EXPECT_TRUE(failed.error().retryable);

  reactor.fail_accepts(1);
  const auto client = std::move(*reactor.connect(address(80)));
  reactor.run_until_idle(seconds{1});
  EXPECT_EQ(server.errors, 1);
  EXPECT_EQ(server.accepted, 0);
  server.on_acceptable(server.listener());  // the caller tries later
  EXPECT_EQ(server.accepted, 1);
}

// What an event causes comes in a later turn, even without latency: two ends that answer each other in their
// events do not keep a turn from ending.
TEST(SimulatedReactor, ATurnDoesNotSeeItsOwnEffects) {
  class Bouncer final : public EventSink {
   public:
    void on_event(Stream& stream, unsigned) noexcept override {
      char byte = 0;
      if (stream.read({&byte, 1}).status != IoStatus::ok || ++bounces > 1000) return;
      const iovec piece{&byte, 1};
      stream.write({&piece, 1});
    }
    int bounces = 0;
  };
  Faults faults;
  faults.latency_min = faults.latency_max = Duration{0};
  SimulatedReactor reactor(options(1, faults));
  const auto listener = std::move(*reactor.listen(address(80), {}));
  const auto client = std::move(*reactor.connect(address(80)));
  EXPECT_TRUE(reactor.run_until_idle(seconds{1}));
  const auto server = std::move(*listener->accept());
  Bouncer bouncer;
  client->watch(&bouncer);
  server->watch(&bouncer);
  char byte = 'x';
  const iovec piece{&byte, 1};
  ASSERT_EQ(client->write({&piece, 1}).bytes, 1U);
  for (int turns = 1; turns <= 10; ++turns) {
    ASSERT_TRUE(reactor.turn());
    EXPECT_EQ(bouncer.bounces, turns);
  }
}

// The trace tells what happens to a connection, in order.
TEST(SimulatedReactor, TracesWhatHappens) {
  SimulatedReactor reactor(options(1));
  std::vector<std::string> lines;
  reactor.set_trace([&](std::string_view line) { lines.emplace_back(line); });
  EchoServer server(reactor, address(80));
  Outcome outcome{};
  std::string answer;
  async::Scope clients;
  clients.spawn(ask(reactor, address(80), "hello", Deadline::never(), outcome, answer));
  reactor.run_until_idle(hours{1});
  std::string words;
  for (const std::string& line : lines) {
    EXPECT_NE(line.find("us #1 127.0.0.1:"), std::string::npos) << line;
    EXPECT_NE(line.find(" -> 10.0.0.1:80 "), std::string::npos) << line;
    const std::size_t last = line.rfind(' ');
    const std::size_t before = line.rfind(' ', last - 1);
    words += line.substr(before + 1, last - before - 1) + " ";
  }
  EXPECT_TRUE(words.starts_with("connect accept connected write arrive ")) << words;
  EXPECT_NE(words.find("fin"), std::string::npos);
}

// With `batch`, a turn handles what came within it together: fewer turns, the same bytes.
TEST(SimulatedReactor, BatchesGatherEvents) {
  for (const Duration batch : {Duration{0}, Duration{milliseconds{1}}}) {
    SimulationOptions with = options(3);
    with.batch = batch;
    const Story result = run(with);
    EXPECT_EQ(result.count(Outcome::answered), 30);
  }
}

}  // namespace
}  // namespace weir::io
