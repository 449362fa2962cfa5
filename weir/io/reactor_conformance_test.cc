// The rules of Reactor, Listener and Stream, run on both implementations. What holds here is what code above
// io/ may rely on, whichever network it is given.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "weir/async/scope.h"
#include "weir/base/random.h"
#include "weir/io/epoll_reactor.h"
#include "weir/io/simulated_reactor.h"
#include "weir/io/waiter.h"

namespace weir::io {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct OnEpoll {
  std::unique_ptr<EpollReactor> made = std::move(*EpollReactor::create());
  EpollReactor& reactor = *made;

  void until(const std::function<bool()>& done) {
    while (!done()) reactor.turn();
  }
  // Lets everything happen that is under way: loopback delivers within the call that sends.
  void settle() {
    for (int i = 0; i < 4; ++i) {
      bool ran = false;
      reactor.post([&] { ran = true; });
      until([&] { return ran; });
    }
  }
};

struct OnSimulation {
  SimulatedReactor reactor{SimulationOptions{.seed = 42}};

  void until(const std::function<bool()>& done) { ASSERT_TRUE(reactor.run_until(done, hours{1})); }
  void settle() { reactor.run_for(milliseconds{10}); }
};

// Several events a turn, and nothing arrives in one piece.
struct OnRoughSimulation : OnSimulation {
  OnRoughSimulation() {
    Faults faults;
    faults.split = 300;
    faults.short_read = 300;
    faults.short_write = 300;
    faults.spurious = 100;
    reactor.set_faults(faults);
  }
};

// Keeps what it is told; may do something about it.
class Recorder final : public EventSink {
 public:
  void on_event(Stream& stream, unsigned events) noexcept override {
    seen |= events;
    ++count;
    if (then) then(stream, events);
  }
  unsigned take() { return std::exchange(seen, 0U); }
  unsigned seen = 0;
  int count = 0;
  std::function<void(Stream&, unsigned)> then;
};

class Doorman final : public AcceptSink {
 public:
  void on_acceptable(Listener& listener) noexcept override {
    ++told;
    while (accepting) {
      auto stream = listener.accept();
      if (!stream || *stream == nullptr) return;
      accepted.push_back(std::move(*stream));
    }
  }
  bool accepting = true;
  int told = 0;
  std::vector<std::unique_ptr<Stream>> accepted;
};

Address loopback(std::uint16_t port = 0) {
  Address address;
  address.ip = base::IpAddress::v4(0x7f000001);
  address.port = port;
  return address;
}

IoResult write(Stream& stream, std::string_view text) {
  std::string copy(text);
  const iovec piece{copy.data(), copy.size()};
  return stream.write({&piece, 1});
}

std::string read_some(Stream& stream, std::size_t most = 4096) {
  std::string bytes(most, '\0');
  const IoResult got = stream.read(bytes);
  EXPECT_EQ(got.status, IoStatus::ok);
  bytes.resize(got.bytes);
  return bytes;
}

template <class Network>
class ReactorConformance : public ::testing::Test {
 protected:
  // Two connected ends.
  void join() {
    listener = std::move(*network.reactor.listen(loopback(), {}));
    listener->watch(&doorman);
    client = std::move(*network.reactor.connect(listener->local()));
    client->watch(&client_events);
    network.until([&] { return !doorman.accepted.empty() && client->may_write(); });
    ASSERT_EQ(client->finish_connect().status, IoStatus::ok);
    server = std::move(doorman.accepted.back());
    doorman.accepted.clear();
    server->watch(&server_events);
    network.settle();
    client_events.take();
    server_events.take();
  }
  // Reads until `wanted` bytes, or until the end or an error says that no more will come.
  std::string read_until(Stream& stream, std::size_t wanted, IoStatus* last = nullptr) {
    std::string all;
    network.until([&] {
      while (all.size() < wanted) {
        std::array<char, 777> bytes;
        const IoResult got = stream.read(bytes);
        if (last != nullptr) *last = got.status;
        if (got.status == IoStatus::would_block) return false;
        if (got.status != IoStatus::ok) return true;
        all.append(bytes.data(), got.bytes);
      }
      return true;
    });
    return all;
  }
  void write_all(Stream& stream, std::string_view text) {
    network.until([&] {
      while (!text.empty()) {
        const IoResult put = write(stream, text);
        if (put.status != IoStatus::ok) return false;
        text.remove_prefix(put.bytes);
      }
      return true;
    });
  }

  Network network;
  Doorman doorman;
  Recorder client_events;
  Recorder server_events;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> client;
  std::unique_ptr<Stream> server;
};

using Networks = ::testing::Types<OnEpoll, OnSimulation, OnRoughSimulation>;
struct NetworkNames {
  template <class T>
  static std::string GetName(int) {
    if (std::is_same_v<T, OnEpoll>) return "Epoll";
    return std::is_same_v<T, OnSimulation> ? "Simulation" : "RoughSimulation";
  }
};
TYPED_TEST_SUITE(ReactorConformance, Networks, NetworkNames);

// Port 0 takes a free port; both ends agree on who they are.
TYPED_TEST(ReactorConformance, BothEndsKnowTheirAddresses) {
  this->join();
  EXPECT_NE(this->listener->local().port, 0);
  EXPECT_EQ(this->client->peer(), this->listener->local());
  EXPECT_EQ(this->server->local(), this->listener->local());
  EXPECT_EQ(this->server->peer(), this->client->local());
  EXPECT_EQ(this->client->local().ip, loopback().ip);
}

// A connect that has not ended says would_block; its end comes as `writable`, and finish_connect says ok.
TYPED_TEST(ReactorConformance, ConnectEndsWithWritable) {
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  this->client = std::move(*this->network.reactor.connect(this->listener->local()));
  Recorder events;
  this->client->watch(&events);
  EXPECT_FALSE(this->client->may_read());
  this->network.until([&] { return (events.seen & kWritable) != 0; });
  EXPECT_EQ(events.seen, static_cast<unsigned>(kWritable));
  EXPECT_EQ(this->client->finish_connect().status, IoStatus::ok);
  EXPECT_EQ(this->client->finish_connect().status, IoStatus::ok);
}

// Where nobody listens, the connect ends with `broken` and connection_refused, again and again.
TYPED_TEST(ReactorConformance, RefusedConnect) {
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  const Address nobody = this->listener->local();
  this->listener.reset();
  this->client = std::move(*this->network.reactor.connect(nobody));
  Recorder events;
  this->client->watch(&events);
  this->network.until([&] { return events.seen != 0; });
  EXPECT_TRUE((events.seen & kBroken) != 0);
  EXPECT_TRUE(this->client->broken());
  for (int i = 0; i < 2; ++i) {
    const IoResult end = this->client->finish_connect();
    EXPECT_EQ(end.status, IoStatus::error);
    EXPECT_EQ(end.error, ErrorCode::connection_refused);
  }
}

// A stream may be dropped while its connect is under way; the listener is not disturbed.
TYPED_TEST(ReactorConformance, AbandonedConnect) {
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  this->listener->watch(&this->doorman);
  auto first = std::move(*this->network.reactor.connect(this->listener->local()));
  first.reset();
  auto second = std::move(*this->network.reactor.connect(this->listener->local()));
  this->network.until([&] { return second->may_write(); });
  EXPECT_EQ(second->finish_connect().status, IoStatus::ok);
}

// accept() gives null when nobody waits.
TYPED_TEST(ReactorConformance, AcceptGivesNullWhenNobodyWaits) {
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  auto none = this->listener->accept();
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
}

// Two cannot listen on one address, unless both say that they share it.
TYPED_TEST(ReactorConformance, AddressInUse) {
  auto first = std::move(*this->network.reactor.listen(loopback(), {}));
  const auto second = this->network.reactor.listen(first->local(), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::address_in_use);

  auto third = std::move(*this->network.reactor.listen(loopback(), {.reuse_port = true}));
  auto fourth = this->network.reactor.listen(third->local(), {.reuse_port = true});
  EXPECT_TRUE(fourth);
}

// What arrives before accept() is there afterwards, and so is the news that the peer has finished.
TYPED_TEST(ReactorConformance, WhatCameBeforeAcceptIsNotLost) {
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  this->doorman.accepting = false;
  this->listener->watch(&this->doorman);
  this->client = std::move(*this->network.reactor.connect(this->listener->local()));
  this->network.until([&] { return this->client->may_write() && this->doorman.told > 0; });
  this->write_all(*this->client, "early");
  this->client->shutdown_write();
  this->network.settle();

  this->server = std::move(*this->listener->accept());
  ASSERT_NE(this->server, nullptr);
  this->server->watch(&this->server_events);
  this->network.until([&] { return (this->server_events.seen & kHangup) != 0; });
  IoStatus last = IoStatus::ok;
  EXPECT_EQ(this->read_until(*this->server, 100, &last), "early");
  EXPECT_EQ(last, IoStatus::end);
}

// An empty read says would_block and may_read() turns false; the event that ends it turns it true.
TYPED_TEST(ReactorConformance, ReadableIsAnEdge) {
  this->join();
  std::array<char, 16> bytes;
  EXPECT_EQ(this->server->read(bytes).status, IoStatus::would_block);
  EXPECT_FALSE(this->server->may_read());
  this->write_all(*this->client, "ping");
  this->network.until([&] { return (this->server_events.seen & kReadable) != 0; });
  EXPECT_TRUE(this->server->may_read());
  EXPECT_EQ(this->read_until(*this->server, 4), "ping");
  EXPECT_EQ(this->server->read(bytes).status, IoStatus::would_block);
}

// Bytes that arrive wake no writer that was never refused.
TYPED_TEST(ReactorConformance, IncomingBytesDoNotSayWritable) {
  this->join();
  this->write_all(*this->client, "ping");
  this->network.until([&] { return this->server_events.seen != 0; });
  this->network.settle();
  EXPECT_EQ(this->server_events.seen, static_cast<unsigned>(kReadable));
  EXPECT_EQ(this->client_events.seen, 0U);
}

// The pieces of a write arrive in their order, as many as there are.
TYPED_TEST(ReactorConformance, ManyPiecesKeepTheirOrder) {
  this->join();
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>('a' + i % 23);
  std::size_t sent = 0;
  this->network.until([&] {
    while (sent < text.size()) {
      std::vector<iovec> pieces;
      for (std::size_t i = sent; i < text.size(); ++i) pieces.push_back({&text[i], 1});
      const IoResult put = this->client->write(pieces);
      if (put.status != IoStatus::ok) return false;
      sent += put.bytes;
    }
    return true;
  });
  EXPECT_EQ(this->read_until(*this->server, text.size()), text);
}

// The peer's FIN is `hangup`, behind its bytes; the other direction stays open (half-close).
TYPED_TEST(ReactorConformance, HalfClose) {
  this->join();
  this->write_all(*this->client, "question");
  this->client->shutdown_write();
  this->network.until([&] { return (this->server_events.seen & kHangup) != 0; });
  EXPECT_TRUE(this->server->hung_up());
  EXPECT_FALSE(this->server->broken());
  IoStatus last = IoStatus::ok;
  EXPECT_EQ(this->read_until(*this->server, 100, &last), "question");
  EXPECT_EQ(last, IoStatus::end);
  std::array<char, 16> bytes;
  EXPECT_EQ(this->server->read(bytes).status, IoStatus::end) << "the end stays the end";

  this->write_all(*this->server, "answer");
  this->server.reset();
  EXPECT_EQ(this->read_until(*this->client, 100, &last), "answer");
  EXPECT_EQ(last, IoStatus::end);
  EXPECT_FALSE(this->client->broken());
}

// Once the hangup is known, reading does not stop before the end: no further edge would come.
TYPED_TEST(ReactorConformance, AShortReadBeforeTheEndKeepsReadable) {
  this->join();
  this->write_all(*this->client, "last words");
  this->client.reset();
  this->network.until([&] { return this->server->hung_up(); });
  this->network.settle();
  std::string all;
  while (this->server->may_read()) {
    std::array<char, 64> bytes;
    const IoResult got = this->server->read(bytes);
    if (got.status != IoStatus::ok) {
      EXPECT_EQ(got.status, IoStatus::end);
      break;
    }
    all.append(bytes.data(), got.bytes);
  }
  EXPECT_EQ(all, "last words");
}

// Bytes and FIN that came together, read before any event was delivered: the end is still found.
TYPED_TEST(ReactorConformance, ReadingAheadOfTheEventsFindsTheEnd) {
  this->join();
  this->write_all(*this->client, "x");
  this->client.reset();
  IoStatus last = IoStatus::ok;
  EXPECT_EQ(this->read_until(*this->server, 100, &last), "x");
  EXPECT_EQ(last, IoStatus::end);
}

// RST is `broken`; what arrived before it can be read, then the error comes, for reads and for writes.
TYPED_TEST(ReactorConformance, Reset) {
  this->join();
  this->write_all(*this->client, "half");
  this->network.settle();
  this->client->reset_on_close();
  this->client.reset();
  this->network.until([&] { return (this->server_events.seen & kBroken) != 0; });
  EXPECT_TRUE(this->server->broken());
  EXPECT_TRUE(this->server->may_read());
  EXPECT_TRUE(this->server->may_write());
  IoStatus last = IoStatus::ok;
  EXPECT_EQ(this->read_until(*this->server, 100, &last), "half");
  EXPECT_EQ(last, IoStatus::error);
  const IoResult put = write(*this->server, "anybody?");
  EXPECT_EQ(put.status, IoStatus::error);
  EXPECT_EQ(put.error, ErrorCode::connection_reset);
}

// Whoever closes with unread bytes resets the peer.
TYPED_TEST(ReactorConformance, ClosingWithUnreadBytesResets) {
  this->join();
  this->write_all(*this->client, "never read");
  this->network.until([&] { return (this->server_events.seen & kReadable) != 0; });
  this->server.reset();
  this->network.until([&] { return this->client->broken(); });
  std::array<char, 16> bytes;
  const IoResult got = this->client->read(bytes);
  EXPECT_EQ(got.status, IoStatus::error);
  EXPECT_EQ(got.error, ErrorCode::connection_reset);
}

// A write to a peer that has gone is answered with RST.
TYPED_TEST(ReactorConformance, WritingToAClosedPeerBreaks) {
  this->join();
  this->server.reset();
  this->network.until([&] { return this->client->hung_up(); });
  EXPECT_FALSE(this->client->broken());
  EXPECT_EQ(write(*this->client, "hello?").status, IoStatus::ok);
  this->network.until([&] { return this->client->broken(); });
  EXPECT_EQ(write(*this->client, "hello?").status, IoStatus::error);
}

// Closing both ways in good order is no error, and loses nothing.
TYPED_TEST(ReactorConformance, BothSidesFinish) {
  this->join();
  this->write_all(*this->server, "bye");
  this->server->shutdown_write();
  this->client->shutdown_write();
  this->network.until([&] { return this->client->hung_up() && this->server->hung_up(); });
  this->network.settle();
  EXPECT_FALSE(this->client->broken());
  IoStatus last = IoStatus::ok;
  EXPECT_EQ(this->read_until(*this->client, 100, &last), "bye");
  EXPECT_EQ(last, IoStatus::end);
}

// A writer that is not read is refused in the end, told when there is room again, and every byte arrives
// once.
TYPED_TEST(ReactorConformance, BackPressure) {
  this->join();
  std::string sent;
  base::Random random(7);
  const auto fill = [&] {
    for (;;) {
      std::string chunk(1 + random.below(40000), '\0');
      for (char& c : chunk) c = static_cast<char>(random());
      const IoResult put = write(*this->client, chunk);
      if (put.status != IoStatus::ok) {
        EXPECT_EQ(put.status, IoStatus::would_block);
        return;
      }
      sent.append(chunk, 0, put.bytes);
    }
  };
  do {
    fill();
    this->network.settle();
  } while (this->client->may_write());
  this->client_events.take();

  std::string got = this->read_until(*this->server, sent.size());
  this->network.until([&] { return (this->client_events.seen & kWritable) != 0; });
  EXPECT_TRUE(this->client->may_write());
  fill();
  got += this->read_until(*this->server, sent.size() - got.size());
  EXPECT_TRUE(got == sent);
}

// Two programs that write and read in random sizes at once, then finish: both get exactly what the other
// wrote.
TYPED_TEST(ReactorConformance, RandomTrafficBothWays) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    this->join();
    base::Random random(seed);
    struct Side {
      Stream* stream;
      std::string to_send, got;
      bool finished = false, ended = false;
    };
    std::array<Side, 2> sides{Side{this->client.get(), {}, {}}, Side{this->server.get(), {}, {}}};
    std::array<std::string, 2> wanted;
    for (std::size_t i : {0U, 1U}) {
      sides[i].to_send.resize(random.below(300000));
      for (char& c : sides[i].to_send) c = static_cast<char>(random());
      wanted[1 - i] = sides[i].to_send;
    }
    const auto step = [&](Side& side) {
      bool moved = false;
      if (!side.to_send.empty()) {
        const IoResult put =
            write(*side.stream, std::string_view(side.to_send).substr(0, 1 + random.below(50000)));
        if (put.status == IoStatus::ok) side.to_send.erase(0, put.bytes), moved = true;
        EXPECT_NE(put.status, IoStatus::error);
      } else if (!side.finished) {
        side.stream->shutdown_write();
        side.finished = true;
      }
      if (!side.ended) {
        std::string bytes(1 + random.below(20000), '\0');
        const IoResult got = side.stream->read(bytes);
        if (got.status == IoStatus::ok) side.got.append(bytes, 0, got.bytes), moved = true;
        if (got.status == IoStatus::end) side.ended = true;
        EXPECT_NE(got.status, IoStatus::error);
      }
      return moved;
    };
    this->network.until([&] {
      for (bool moved = true; moved;) {
        const bool first = step(sides[0]);
        moved = step(sides[1]) || first;
      }
      return sides[0].ended && sides[1].ended && sides[0].finished && sides[1].finished;
    });
    EXPECT_TRUE(sides[0].got == wanted[0]);
    EXPECT_TRUE(sides[1].got == wanted[1]);
    this->client.reset();
    this->server.reset();
  }
}

// A stream may be destroyed by its own event.
TYPED_TEST(ReactorConformance, DestroyedInItsOwnEvent) {
  this->join();
  this->server_events.then = [&](Stream&, unsigned) { this->server.reset(); };
  this->write_all(*this->client, "x");
  this->network.until([&] { return this->server == nullptr; });
  this->network.settle();
  EXPECT_TRUE(this->client->hung_up());
}

// Streams may be destroyed by the event of another one, though their own events were due in the same turn.
TYPED_TEST(ReactorConformance, DestroyedInTheEventOfAnother) {
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  this->listener->watch(&this->doorman);
  std::vector<std::unique_ptr<Stream>> clients;
  for (int i = 0; i < 20; ++i)
    clients.push_back(std::move(*this->network.reactor.connect(this->listener->local())));
  this->network.until([&] { return this->doorman.accepted.size() == clients.size(); });
  this->network.settle();
  auto& streams = this->doorman.accepted;
  Recorder events;
  events.then = [&](Stream& stream, unsigned) {
    // The first to be told takes all others with it.
    std::erase_if(streams, [&](const auto& other) { return other.get() != &stream; });
  };
  for (auto& stream : streams) stream->watch(&events);
  for (auto& one : clients) write(*one, "x");
  this->network.until([&] { return streams.size() == 1; });
  this->network.settle();
  EXPECT_EQ(streams.size(), 1U);
}

// A listener may be destroyed by its own event; those who waited for it are reset.
TYPED_TEST(ReactorConformance, ListenerDestroyedInItsOwnEvent) {
  class Closing final : public AcceptSink {
   public:
    explicit Closing(std::unique_ptr<Listener>& listener) : listener_(listener) {}
    void on_acceptable(Listener&) noexcept override { listener_.reset(); }

   private:
    std::unique_ptr<Listener>& listener_;
  };
  this->listener = std::move(*this->network.reactor.listen(loopback(), {}));
  const Address address = this->listener->local();
  Closing closing(this->listener);
  this->listener->watch(&closing);
  this->client = std::move(*this->network.reactor.connect(address));
  this->network.until([&] { return this->client->broken(); });
  EXPECT_EQ(this->listener, nullptr);
}

// Posted work runs in the order of posting; what it posts runs in a later turn.
TYPED_TEST(ReactorConformance, PostKeepsOrder) {
  std::string order;
  this->network.reactor.post([&] {
    order += 'a';
    this->network.reactor.post([&] { order += 'c'; });
  });
  this->network.reactor.post([&] { order += 'b'; });
  this->network.until([&] { return order.size() == 3; });
  EXPECT_EQ(order, "abc");
}

// run() goes on until stop(); a stop that came before makes it return at once; it may be run again.
TYPED_TEST(ReactorConformance, RunAndStop) {
  int turns = 0;
  this->network.reactor.stop();
  this->network.reactor.run();
  this->network.reactor.post([&] {
    ++turns;
    this->network.reactor.stop();
  });
  this->network.reactor.run();
  EXPECT_EQ(turns, 1);
}

class Alarm final : public async::Timer {
 public:
  explicit Alarm(std::function<void()> ring) : ring_(std::move(ring)) {}
  void on_timer() noexcept override { ring_(); }

 private:
  std::function<void()> ring_;
};

// Timers ring in the order of their moments, never early; a disarmed and a destroyed one never.
TYPED_TEST(ReactorConformance, TimersInOrder) {
  auto& reactor = this->network.reactor;
  const TimePoint start = reactor.now();
  std::string order;
  const auto ring = [&](char name, Duration in) {
    return [&, name, in] {
      EXPECT_GE(reactor.now(), start + in);
      order += name;
    };
  };
  Alarm a(ring('a', milliseconds{2})), b(ring('b', milliseconds{9})), c(ring('c', milliseconds{5}));
  Alarm disarmed(ring('d', milliseconds{3}));
  auto destroyed = std::make_unique<Alarm>(ring('e', milliseconds{3}));
  reactor.arm(a, start + milliseconds{2});
  reactor.arm(b, start + milliseconds{1});
  reactor.arm(b, start + milliseconds{9});  // again: only this counts
  reactor.arm(c, start + milliseconds{5});
  reactor.arm(disarmed, start + milliseconds{3});
  reactor.arm(*destroyed, start + milliseconds{3});
  disarmed.disarm();
  destroyed.reset();
  this->network.until([&] { return order.size() >= 3; });
  EXPECT_EQ(order, "acb");
}

// now() stands still while one turn is handled, and never goes back.
TYPED_TEST(ReactorConformance, NowMovesBetweenTurnsOnly) {
  auto& reactor = this->network.reactor;
  TimePoint first{}, second{};
  reactor.post([&] {
    first = reactor.now();
    for (TimePoint begin = reactor.precise_now(); reactor.precise_now() == begin;) {
      if (std::is_same_v<TypeParam, OnEpoll>) continue;  // until the clock has moved
      break;
    }
    second = reactor.now();
  });
  this->network.until([&] { return second != TimePoint{}; });
  EXPECT_EQ(first, second);
  EXPECT_GE(reactor.precise_now(), reactor.now());
}

// Work that an event makes ready runs after the event, in the order in which it was made ready, once.
TYPED_TEST(ReactorConformance, ReadyWorkRunsAfterTheEvent) {
  class Work final : public async::Ready {
   public:
    Work(std::string& order, char name) : order_(order), name_(name) {}
    void on_ready() noexcept override { order_ += name_; }

   private:
    std::string& order_;
    char name_;
  };
  std::string order;
  Work b(order, 'b'), c(order, 'c');
  this->join();
  this->server_events.then = [&](Stream&, unsigned) {
    if (!order.empty()) return;
    this->network.reactor.make_ready(b);
    this->network.reactor.make_ready(c);
    this->network.reactor.make_ready(b);
    order += 'a';
  };
  write(*this->client, "x");
  this->network.until([&] { return order.size() >= 3; });
  this->network.settle();
  EXPECT_EQ(order, "abc");
}

// An IPv6 wildcard listener takes IPv4 too, and calls such a peer by its IPv4 address.
TYPED_TEST(ReactorConformance, DualStack) {
  Address any;
  any.ip = base::IpAddress::v6({});
  auto listening = this->network.reactor.listen(any, {});
  if (!listening) GTEST_SKIP() << "a machine without IPv6: " << listening.error().to_text();
  (*listening)->watch(&this->doorman);
  this->client = std::move(*this->network.reactor.connect(loopback((*listening)->local().port)));
  this->network.until([&] { return !this->doorman.accepted.empty(); });
  EXPECT_EQ(this->doorman.accepted.front()->peer().ip, loopback().ip);
}

// ---- Waiter, on both

template <class Network>
async::Task<void> wait_once(Network& network, Waiter& waiter, Deadline deadline, std::vector<Wake>& wakes) {
  (void)network;
  wakes.push_back(co_await waiter.wait(deadline));
}

// An event wakes the waiter; one that came between two waits is not lost.
TYPED_TEST(ReactorConformance, WaiterWakesByEvent) {
  this->join();
  Waiter waiter(this->network.reactor);
  this->server->watch(&waiter);
  std::vector<Wake> wakes;
  {
    async::Scope scope;
    scope.spawn(wait_once(this->network, waiter, Deadline::never(), wakes));
    EXPECT_TRUE(wakes.empty());
    write(*this->client, "x");
    this->network.until([&] { return !wakes.empty(); });
    read_some(*this->server);
    write(*this->client, "y");
    this->network.settle();
    scope.spawn(wait_once(this->network, waiter, Deadline::never(), wakes));
    EXPECT_EQ(wakes, (std::vector<Wake>{Wake::event, Wake::event}));
  }
  this->server->watch(nullptr);
}

// A wait ends at its deadline, not before, also when an earlier one was armed; a passed deadline ends it at
// once.
TYPED_TEST(ReactorConformance, WaiterTimesOut) {
  auto& reactor = this->network.reactor;
  Waiter waiter(reactor);
  std::vector<Wake> wakes;
  async::Scope scope;
  scope.spawn(wait_once(this->network, waiter, Deadline::at(reactor.now()), wakes));
  EXPECT_EQ(wakes, (std::vector<Wake>{Wake::timeout}));

  const TimePoint start = reactor.now();
  scope.spawn(wait_once(this->network, waiter, Deadline::at(start + milliseconds{3}), wakes));
  waiter.notify();
  this->network.until([&] { return wakes.size() == 2; });
  EXPECT_EQ(wakes[1], Wake::event);
  scope.spawn(wait_once(this->network, waiter, Deadline::at(start + milliseconds{8}), wakes));  // later: lazy
  this->network.until([&] { return wakes.size() == 3; });
  EXPECT_EQ(wakes[2], Wake::timeout);
  EXPECT_GE(reactor.now(), start + milliseconds{8});
  scope.spawn(wait_once(this->network, waiter, Deadline::at(reactor.now() + seconds{3600}), wakes));
  waiter.notify();
  this->network.until([&] { return wakes.size() == 4; });
  const TimePoint again = reactor.now();
  scope.spawn(
      wait_once(this->network, waiter, Deadline::at(again + milliseconds{2}), wakes));  // earlier: armed anew
  this->network.until([&] { return wakes.size() == 5; });
  EXPECT_EQ(wakes[4], Wake::timeout);
  EXPECT_LT(reactor.now(), again + seconds{3600});
}

// Cancelling wakes the wait, and every later one at once.
TYPED_TEST(ReactorConformance, WaiterIsCancelled) {
  async::CancelSource cancel;
  Waiter waiter(this->network.reactor, &cancel);
  std::vector<Wake> wakes;
  async::Scope scope;
  scope.spawn(wait_once(this->network, waiter, Deadline::never(), wakes));
  cancel.cancel();
  EXPECT_TRUE(wakes.empty()) << "whoever cancels is not interrupted by what it cancels";
  this->network.until([&] { return !wakes.empty(); });
  scope.spawn(wait_once(this->network, waiter, Deadline::never(), wakes));
  EXPECT_EQ(wakes, (std::vector<Wake>{Wake::cancelled, Wake::cancelled}));
}

// Whoever waits may be destroyed there, with its waiter: by hand, when an event is on its way, when it is
// ready.
TYPED_TEST(ReactorConformance, WaiterIsDestroyedWhileWaiting) {
  this->join();
  struct Waiting {
    static async::Task<void> run(Reactor& reactor, Stream& stream, bool& resumed) {
      Waiter waiter(reactor);
      stream.watch(&waiter);
      struct Unwatch {
        Stream& watched;
        ~Unwatch() { watched.watch(nullptr); }
      };
      const Unwatch unwatch{stream};
      co_await waiter.wait(Deadline::after(reactor.now(), milliseconds{2}));
      resumed = true;
    }
  };
  bool resumed = false;
  {
    async::Scope scope;
    scope.spawn(Waiting::run(this->network.reactor, *this->server, resumed));
  }
  {
    async::Scope scope;
    scope.spawn(Waiting::run(this->network.reactor, *this->server, resumed));
    write(*this->client, "x");
  }
  bool later = false;
  Alarm alarm([&] { later = true; });
  this->network.reactor.arm(alarm, this->network.reactor.now() + milliseconds{5});
  this->network.until([&] { return later; });
  EXPECT_FALSE(resumed);
}

// ---- what only real threads can show

// post() and stop() from other threads: everything posted runs, each thread's in its order.
TEST(EpollReactorThreads, PostAndStopFromOtherThreads) {
  auto reactor = std::move(*EpollReactor::create());
  constexpr int kEach = 2000;
  std::array<std::vector<int>, 3> ran;
  std::vector<std::thread> threads;
  std::size_t finished = 0;  // touched by the loop's thread alone
  for (std::size_t t = 0; t < ran.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) reactor->post([&, t, i] { ran[t].push_back(i); });
      reactor->post([&] {
        if (++finished == ran.size()) reactor->stop();
      });
    });
  reactor->run();
  for (std::thread& thread : threads) thread.join();
  for (const auto& numbers : ran) {
    ASSERT_EQ(numbers.size(), static_cast<std::size_t>(kEach));
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  }
}

}  // namespace
}  // namespace weir::io
