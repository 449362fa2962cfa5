// Connections that wait to be used again, and the addresses behind a name.
#include "weir/upstream/pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/upstream/testing.h"

namespace weir::upstream {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::FakeReactor;
using testing::FakeStream;

base::IpAddress ip(std::string_view text) { return base::IpAddress::parse(text).value(); }

class PoolTest : public ::testing::Test {
 protected:
  std::unique_ptr<EndpointPool> pool(const std::string& host = "10.0.0.1", const PoolOptions& options = {}) {
    return std::make_unique<EndpointPool>(reactor_, names_, scope_, host, std::uint16_t{80}, options);
  }
  static std::unique_ptr<Connection> connect(EndpointPool& pool, std::size_t attempt = 0) {
    return std::move(pool.connect(attempt).value());
  }
  FakeReactor reactor_;
  io::TableResolver names_;
  async::Scope scope_;
};

// Last in, first out; counts follow.
TEST_F(PoolTest, LastInFirstOut) {
  const auto pool = this->pool();
  EXPECT_EQ(pool->take_idle(), nullptr);
  auto a = connect(*pool);
  auto b = connect(*pool);
  EXPECT_FALSE(a->reused());
  const Connection* first = a.get();
  const Connection* second = b.get();
  pool->give_back(std::move(a));
  pool->give_back(std::move(b));
  EXPECT_EQ(pool->open(), 2U);
  EXPECT_EQ(pool->idle(), 2U);
  b = pool->take_idle();
  EXPECT_EQ(b.get(), second);
  EXPECT_TRUE(b->reused());
  a = pool->take_idle();
  EXPECT_EQ(a.get(), first);
  EXPECT_EQ(pool->take_idle(), nullptr);
  EXPECT_EQ(pool->idle(), 0U);
  EXPECT_EQ(pool->open(), 2U);
}

// An idle connection that says anything is dropped at once: its words could become the answer to the next
// request.
TEST_F(PoolTest, DropsIdleConnectionsThatSpeak) {
  const auto pool = this->pool();
  for (const int how : {0, 1, 2}) {
    pool->give_back(connect(*pool));
    ASSERT_EQ(pool->idle(), 1U);
    FakeStream& stream = *reactor_.streams.back();
    if (how == 0) stream.say("HTTP/1.1 200 OK\r\n\r\n");
    if (how == 1) stream.finish();
    if (how == 2) stream.break_off();
    EXPECT_EQ(pool->idle(), 0U);
    EXPECT_EQ(pool->open(), 0U);
    EXPECT_TRUE(reactor_.streams.empty());
  }
}

// Room to write is nothing to be told by.
TEST_F(PoolTest, KeepsThoseThatMayOnlyBeWrittenTo) {
  const auto pool = this->pool();
  pool->give_back(connect(*pool));
  reactor_.streams.back()->make_room(1);
  EXPECT_EQ(pool->idle(), 1U);
}

// One that has hung up while it was in use is not kept.
TEST_F(PoolTest, DoesNotKeepWhatHasHungUp) {
  const auto pool = this->pool();
  auto connection = connect(*pool);
  reactor_.streams.back()->finish();
  pool->give_back(std::move(connection));
  EXPECT_EQ(pool->open(), 0U);
}

// At most idle_max, each for at most idle_for, and none older than age_max.
TEST_F(PoolTest, BoundsOfNumberTimeAndAge) {
  PoolOptions options;
  options.idle_max = 2;
  options.idle_for = seconds{30};
  options.age_max = minutes{1};
  const auto pool = this->pool("10.0.0.1", options);
  std::vector<std::unique_ptr<Connection>> out;
  for (int i = 0; i < 3; ++i) out.push_back(connect(*pool));
  for (auto& connection : out) pool->give_back(std::move(connection));
  EXPECT_EQ(pool->idle(), 2U);
  EXPECT_EQ(pool->open(), 2U);

  reactor_.advance(seconds{20});
  pool->give_back(pool->take_idle());  // the newest is used again
  reactor_.advance(seconds{10});
  EXPECT_EQ(pool->idle(), 1U) << "the other has waited for thirty seconds";
  reactor_.advance(seconds{20});
  EXPECT_EQ(pool->idle(), 0U);
  EXPECT_EQ(pool->open(), 0U);

  pool->give_back(connect(*pool));
  for (int i = 0; i < 2; ++i) {
    reactor_.advance(seconds{25});
    auto connection = pool->take_idle();
    ASSERT_NE(connection, nullptr);
    pool->give_back(std::move(connection));
  }
  reactor_.advance(seconds{25});
  EXPECT_EQ(pool->take_idle(), nullptr) << "older than a minute";
  EXPECT_EQ(pool->open(), 0U);
}

// Destroying the pool closes what is idle.
TEST_F(PoolTest, ClosesIdleOnesAtItsEnd) {
  auto pool = this->pool();
  for (int i = 0; i < 3; ++i) pool->give_back(connect(*pool));
  ASSERT_EQ(reactor_.streams.size(), 3U);
  pool.reset();
  EXPECT_TRUE(reactor_.streams.empty());
}

// Attempts go through the addresses in turn; an error of the system is passed on.
TEST_F(PoolTest, AttemptsTakeTheNextAddress) {
  io::Resolved answer;
  answer.addresses = {ip("10.0.0.1"), ip("10.0.0.2"), ip("::1")};
  answer.ttl = seconds{10};
  names_.set("orders", answer);
  const auto pool = this->pool("orders");
  EXPECT_FALSE(pool->resolved());
  Result<void> resolved = Error(ErrorCode::unavailable);
  const auto resolve = [](EndpointPool& of, Result<void>& into) -> async::Task<void> {
    into = co_await of.resolve(Deadline::never());
  };
  scope_.spawn(resolve(*pool, resolved));
  ASSERT_TRUE(resolved);
  EXPECT_EQ(pool->addresses(), 3U);
  for (std::size_t attempt = 0; attempt < 4; ++attempt) static_cast<void>(connect(*pool, attempt));
  ASSERT_EQ(reactor_.connected.size(), 4U);
  EXPECT_EQ(reactor_.connected[0].ip, ip("10.0.0.1"));
  EXPECT_EQ(reactor_.connected[1].ip, ip("10.0.0.2"));
  EXPECT_EQ(reactor_.connected[2].ip, ip("::1"));
  EXPECT_EQ(reactor_.connected[3].ip, ip("10.0.0.1"));
  EXPECT_EQ(reactor_.connected[0].port, 80);
  reactor_.refuse_connect = true;
  EXPECT_EQ(pool->connect(0).error().code, ErrorCode::out_of_descriptors);
}

// Answers as late as the test wants, and can fail.
class SlowResolver final : public io::Resolver {
 public:
  explicit SlowResolver(async::Loop& loop) : loop_(loop) {}
  async::Task<Result<io::Resolved>> resolve(std::string host, Deadline) override {
    ++asked;
    const bool slept = co_await async::sleep_until(loop_, loop_.now() + seconds{1}, nullptr);
    static_cast<void>(slept);
    if (answer.addresses.empty()) co_return Error(ErrorCode::name_not_resolved, host);
    co_return answer;
  }
  io::Resolved answer;
  int asked = 0;

 private:
  async::Loop& loop_;
};

// A name is asked for again when its TTL is over, beside the old answer; a failure keeps the last good one.
TEST_F(PoolTest, NamesAreRefreshedBesideTheOldAnswer) {
  SlowResolver names(reactor_);
  async::Scope scope;
  EndpointPool pool(reactor_, names, scope, "orders", 80);
  names.answer.addresses = {ip("10.0.0.1")};
  names.answer.ttl = seconds{10};
  Result<void> resolved = Error(ErrorCode::unavailable);
  const auto resolve = [](EndpointPool& of, Result<void>& into) -> async::Task<void> {
    into = co_await of.resolve(Deadline::never());
  };
  scope.spawn(resolve(pool, resolved));
  reactor_.advance(seconds{1});
  ASSERT_TRUE(resolved);
  reactor_.advance(seconds{9});
  EXPECT_TRUE(pool.resolved());
  EXPECT_EQ(names.asked, 1);
  reactor_.advance(seconds{1});
  names.answer.addresses = {ip("10.0.0.2")};
  EXPECT_TRUE(pool.resolved()) << "the old answer serves while the new one is asked for";
  EXPECT_TRUE(pool.resolved());
  EXPECT_EQ(names.asked, 2);
  static_cast<void>(connect(pool));
  EXPECT_EQ(reactor_.connected.back().ip, ip("10.0.0.1"));
  reactor_.advance(seconds{1});
  static_cast<void>(connect(pool));
  EXPECT_EQ(reactor_.connected.back().ip, ip("10.0.0.2"));

  names.answer.addresses.clear();
  reactor_.advance(seconds{10});
  EXPECT_TRUE(pool.resolved());
  reactor_.advance(seconds{1});
  EXPECT_TRUE(pool.resolved());
  EXPECT_EQ(names.asked, 3) << "after a failure not at once";
  static_cast<void>(connect(pool));
  EXPECT_EQ(reactor_.connected.back().ip, ip("10.0.0.2"));
  reactor_.advance(seconds{5});
  EXPECT_TRUE(pool.resolved());
  EXPECT_EQ(names.asked, 4);
  reactor_.advance(seconds{1});
}

// A first look-up that fails says why; nothing is known then.
TEST_F(PoolTest, AFailedFirstLookUpIsAnError) {
  SlowResolver names(reactor_);
  async::Scope scope;
  EndpointPool pool(reactor_, names, scope, "nowhere", 80);
  Result<void> resolved;
  const auto resolve = [](EndpointPool& of, Result<void>& into) -> async::Task<void> {
    into = co_await of.resolve(Deadline::never());
  };
  scope.spawn(resolve(pool, resolved));
  reactor_.advance(seconds{1});
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, ErrorCode::name_not_resolved);
  EXPECT_FALSE(pool.resolved());
}

}  // namespace
}  // namespace weir::upstream
