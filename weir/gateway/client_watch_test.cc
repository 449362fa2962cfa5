// How long weir waits for a client: only while it waits for the client.
#include "weir/gateway/client_watch.h"

#include <gtest/gtest.h>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Desk;

std::string limits(std::string_view text) {
  return "limits: {" + std::string(text) + "}\nroutes: [{path: /*, respond: {status: 200}}]";
}

class Watched {
 public:
  explicit Watched(std::string_view text) : desk(limits(text)) {
    desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    watch = std::make_unique<ClientWatch>(desk.exchange);
  }
  void pass(Duration time) { desk.reactor.run_for(time); }
  TimePoint now() const { return desk.reactor.now(); }

  Desk desk;
  std::unique_ptr<ClientWatch> watch;
};

// body_timeout counts from the last byte of the body, and only while weir waits for one.
TEST(ClientWatch, BodyTimeoutCountsFromTheLastByte) {
  Watched it("body_timeout: 15s, body_rate_min: off");
  EXPECT_EQ(it.watch->read_deadline(), Deadline::after(it.now(), seconds{15}));
  it.pass(seconds{14});
  it.desk.client.received = 1;
  it.watch->observe(true);
  EXPECT_FALSE(it.watch->read_stalled());
  it.pass(seconds{14});
  it.watch->observe(true);
  EXPECT_FALSE(it.watch->read_stalled());
  it.pass(seconds{1});
  it.watch->observe(true);
  EXPECT_TRUE(it.watch->read_stalled());
}

// Time in which weir would not take more is not held against the client.
TEST(ClientWatch, BackPressureIsNotTheClientsFault) {
  Watched it("body_timeout: 15s, body_rate_min: 256");
  for (int i = 0; i < 10; ++i) {
    it.pass(seconds{14});
    it.watch->observe(false);
    EXPECT_FALSE(it.watch->read_stalled());
  }
  EXPECT_EQ(it.watch->read_deadline(), Deadline::after(it.now(), seconds{15}));
}

// A byte now and then does not do: in each thirty seconds body_rate_min a second must come.
TEST(ClientWatch, DrippingIsTooSlow) {
  Watched it("body_timeout: 15s, body_rate_min: 10");
  for (int i = 0; i < 3; ++i) {
    it.pass(seconds{9});
    ++it.desk.client.received;
    it.watch->observe(true);
    EXPECT_FALSE(it.watch->read_stalled());
  }
  it.pass(seconds{3});
  it.watch->observe(true);
  // At the end of the window a new one begins only if the old was fast enough: three bytes in thirty seconds
  // were not.
  EXPECT_TRUE(it.watch->read_stalled());
}

// Fast enough in every window: never stalled.
TEST(ClientWatch, JustFastEnough) {
  Watched it("body_timeout: 15s, body_rate_min: 10");
  for (int i = 0; i < 60; ++i) {
    it.pass(seconds{10});
    it.desk.client.received += 100;
    it.watch->observe(true);
    ASSERT_FALSE(it.watch->read_stalled()) << i;
  }
}

// The same towards a client that does not take its answer, but only while something waits for it.
TEST(ClientWatch, AnswersThatAreNotTaken) {
  Watched it("body_timeout: 15s, body_rate_min: off");
  it.pass(seconds{60});
  it.watch->observe(false);
  EXPECT_FALSE(it.watch->stalled());
  it.desk.client.blocked = true;
  EXPECT_FALSE(it.watch->stalled());
  it.pass(seconds{14});
  it.watch->observe(false);
  EXPECT_FALSE(it.watch->stalled());
  it.pass(seconds{1});
  it.watch->observe(false);
  EXPECT_TRUE(it.watch->stalled());
  it.desk.client.sent = 1;
  it.watch->observe(false);
  EXPECT_FALSE(it.watch->stalled());
}

// A half-closed client gets a moment; a broken one none.
TEST(ClientWatch, HalfClosedClientsGetAMoment) {
  Watched it("body_timeout: 15s");
  EXPECT_TRUE(it.watch->gone_deadline().is_never());
  EXPECT_FALSE(it.watch->gone());
  it.desk.client.is_half_closed = true;
  EXPECT_EQ(it.watch->gone_deadline(), Deadline::after(it.now(), milliseconds{250}));
  it.pass(milliseconds{249});
  EXPECT_FALSE(it.watch->gone());
  it.pass(milliseconds{1});
  EXPECT_TRUE(it.watch->gone());

  Watched broken("body_timeout: 15s");
  broken.desk.client.is_gone = true;
  EXPECT_TRUE(broken.watch->gone());
}

// `off` is no limit.
TEST(ClientWatch, Off) {
  Watched it("body_timeout: off, body_rate_min: off");
  it.desk.client.blocked = true;
  it.pass(std::chrono::hours{10});
  it.watch->observe(true);
  EXPECT_TRUE(it.watch->read_deadline().is_never());
  EXPECT_FALSE(it.watch->read_stalled());
  EXPECT_FALSE(it.watch->stalled());
}

}  // namespace
}  // namespace weir::gateway
