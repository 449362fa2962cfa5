// What an exchange keeps for its stages, and that nothing of one request is left for the next.
#include "weir/gateway/exchange.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/gateway/testing.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Desk;

constexpr std::string_view kFixed = "routes: [{path: /*, respond: {status: 200, body: ok}}]";

// Says when it is destroyed.
class Token {
 public:
  Token(std::string name, std::vector<std::string>& log) : name_(std::move(name)), log_(&log) {}
  Token(Token&& other) noexcept : name_(std::move(other.name_)), log_(std::exchange(other.log_, nullptr)) {}
  ~Token() {
    if (log_ != nullptr) log_->push_back(name_);
  }

 private:
  std::string name_;
  std::vector<std::string>* log_;
};

// Slots hold one value each, are destroyed newest first, and once.
TEST(ExchangeSlots, HoldAndDestroy) {
  Desk desk(kFixed);
  std::vector<std::string> log;
  const Slot<Token> a{0};
  const Slot<Token> b{5};
  const Slot<Token> c{15};
  EXPECT_EQ(desk.exchange.get(a), nullptr);
  desk.exchange.keep(a, Token("a", log));
  desk.exchange.keep(b, Token("b", log));
  desk.exchange.keep(c, Token("c", log));
  EXPECT_NE(desk.exchange.get(b), nullptr);
  desk.exchange.drop(b);
  desk.exchange.drop(b);
  EXPECT_EQ(desk.exchange.get(b), nullptr);
  EXPECT_EQ(log, std::vector<std::string>{"b"});
  desk.exchange.end();
  EXPECT_EQ(log, (std::vector<std::string>{"b", "c", "a"}));
  desk.exchange.end();
  EXPECT_EQ(log.size(), 3U);
}

// Texts stay where they are until the arena is cleared, however many there are.
TEST(TextArena, TextsStay) {
  TextArena arena;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<std::string_view, std::string>> kept;
    for (std::size_t i = 0; i < 400; ++i) {
      const std::string text(i * 7 % 300 + (i == 200 ? 20'000 : 0), static_cast<char>('a' + i % 26));
      kept.emplace_back(arena.keep(text), text);
    }
    for (const auto& [view, text] : kept) ASSERT_EQ(view, text);
    arena.clear();
  }
  EXPECT_EQ(arena.concat({"a", "", "bc"}), "abc");
  EXPECT_EQ(arena.keep({}), "");
  EXPECT_EQ(arena.concat({}), "");
}

// A field is replaced in any spelling, known or unknown, and added when it was not there.
TEST(ExchangeFields, SetReplacesEverySpelling) {
  Desk desk(kFixed);
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\nx-a: 1\r\nX-A: 2\r\nX-Request-Id: one\r\nB: 3\r\n\r\n");
  desk.exchange.set_request_field(http::Name::other, "X-A", "new");
  desk.exchange.set_request_field(http::Name::x_request_id, "X-Request-Id", "two");
  desk.exchange.set_request_field(http::Name::other, "X-C", "added");
  EXPECT_EQ(desk.request_field("x-a"), "new");
  EXPECT_EQ(desk.request_field("x-request-id"), "two");
  EXPECT_EQ(desk.request_field("x-c"), "added");
  EXPECT_EQ(desk.request_field("b"), "3");
  std::size_t spellings = 0;
  for (const http::Field& field : desk.exchange.request.fields)
    spellings += base::iequals(field.name, "x-a") ? 1 : 0;
  EXPECT_EQ(spellings, 1U);
}

// A refusal is a problem with its status (or another one), body and Proxy-Status.
TEST(ExchangeRefuse, FillsTheAnswer) {
  Desk desk(kFixed);
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-1\r\n\r\n");
  desk.exchange.refuse("access", Problem::forbidden);
  EXPECT_EQ(desk.exchange.own.status, 403);
  EXPECT_EQ(desk.exchange.own.content_type, "application/problem+json");
  EXPECT_NE(desk.exchange.own.body.find("\"request_id\":\"r-1\""), std::string_view::npos);
  EXPECT_EQ(desk.exchange.record.stage, "access");
  EXPECT_EQ(desk.answer_field("Proxy-Status"), "weir; error=http_request_denied");
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(desk.answer_field("Proxy-Status"), "") << "nothing is left of the one before";
  desk.exchange.refuse("sanitize", Problem::bad_request, "too large", 413);
  EXPECT_EQ(desk.exchange.own.status, 413);
}

// Retry-After is rounded up, never 0, and said once.
TEST(ExchangeRetryAfter, RoundsUp) {
  const std::vector<std::pair<Duration, std::string>> rows{{Duration{0}, "1"},
                                                           {milliseconds{1}, "1"},
                                                           {seconds{1}, "1"},
                                                           {milliseconds{1001}, "2"},
                                                           {seconds{30}, "30"}};
  for (const auto& [wait, text] : rows) {
    Desk desk(kFixed);
    desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    desk.exchange.set_retry_after(wait);
    desk.exchange.set_retry_after(seconds{99});
    EXPECT_EQ(desk.answer_field("Retry-After"), text);
  }
}

// After end() everything reads as in a new one.
TEST(Exchange, IsNewAgain) {
  Desk desk("trusted_proxies: {cidrs: [192.0.2.0/24]}\n" + std::string(kFixed));
  desk.receive("POST /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\n\r\nbody");
  desk.exchange.refuse("access", Problem::forbidden);
  desk.exchange.body = "body";
  desk.exchange.record.client_gone = true;
  EXPECT_EQ(desk.exchange.client_text(), "198.51.100.7");
  desk.receive("GET /y HTTP/1.1\r\nHost: a\r\n\r\n", "203.0.113.9");
  const Exchange& exchange = desk.exchange;
  EXPECT_EQ(desk.exchange.client_text(), "203.0.113.9");
  EXPECT_FALSE(exchange.peer_trusted);
  EXPECT_TRUE(exchange.body.empty());
  EXPECT_EQ(exchange.own.status, 0);
  EXPECT_TRUE(exchange.own.body.empty());
  EXPECT_FALSE(exchange.record.client_gone);
  EXPECT_EQ(exchange.record.problem, Problem::none);
  EXPECT_EQ(exchange.request.fields.size(), 1U);
  EXPECT_EQ(exchange.answer_fields().size(), 1U) << "X-Request-Id";
}

// Identity fields are one each, whatever the case of their names, and go with the exchange.
TEST(Exchange, KeepsOneIdentityFieldOfAName) {
  Desk desk(kFixed);
  desk.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  desk.exchange.set_identity_field("X-Passport", "old");
  desk.exchange.set_identity_field("X-Flags", "f");
  desk.exchange.set_identity_field("x-passport", "new");
  ASSERT_EQ(desk.exchange.identity_fields().size(), 2U);
  EXPECT_EQ(desk.exchange.identity_fields()[1].value, "new");
  desk.exchange.end();
  EXPECT_TRUE(desk.exchange.identity_fields().empty());
}

}  // namespace
}  // namespace weir::gateway
