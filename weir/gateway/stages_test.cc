// Each stage by itself: what it lets pass, what it refuses, what it writes on request and answer.
#include <gtest/gtest.h>

#include <cctype>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weir/gateway/testing.h"
#include "weir/ratelimit/headers.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Desk;

constexpr std::string_view kFixed = "routes: [{path: /*, respond: {status: 200}}]";

std::string get(std::string_view fields, std::string_view path = "/") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n";
}

// --- trace

bool is_uuid7(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < 36; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
  }
  return text[14] == '7' && std::string_view("89ab").find(text[19]) != std::string_view::npos;
}

// An inbound id of 1 to 128 of [A-Za-z0-9._~-] is kept; anything else is replaced, on the answer and
// upstream alike.
TEST(TraceStage, RequestIds) {
  Desk desk(kFixed);
  for (const std::string& good : {std::string("a"), std::string("A.b_c~d-9"), std::string(128, 'x')}) {
    desk.receive(get("X-Request-Id: " + good + "\r\n"));
    desk.admit("trace");
    EXPECT_EQ(desk.exchange.id, good);
    EXPECT_EQ(desk.request_field("X-Request-Id"), good);
    EXPECT_EQ(desk.answer_field("X-Request-Id"), good);
    desk.settle();
  }
  for (const std::string& bad :
       {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a/b"), std::string("a\"b"),
        std::string("a\r\nX-Request-Id: b"), std::string("\xc3\xa9")}) {
    desk.receive(get("X-Request-Id: " + bad + "\r\n"));
    desk.admit("trace");
    EXPECT_TRUE(is_uuid7(desk.exchange.id)) << bad << " gave " << desk.exchange.id;
    EXPECT_EQ(desk.request_field("X-Request-Id"), desk.exchange.id);
    std::size_t count = desk.exchange.request.fields.count(http::Name::x_request_id);
    EXPECT_EQ(count, 1U);
    desk.settle();
  }
}

// New ids differ, and begin with the time, so that they sort by it.
TEST(TraceStage, NewIdsAreOrderedByTime) {
  Desk desk(kFixed);
  std::set<std::string> ids;
  std::string last;
  for (int i = 0; i < 100; ++i) {
    desk.receive(get(""));
    const std::string id(desk.exchange.id);
    EXPECT_TRUE(ids.insert(id).second);
    EXPECT_GT(id.substr(0, 13), last);
    last = id.substr(0, 13);
    desk.reactor.run_for(milliseconds{1});
  }
}

constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr std::string_view kParent = "b7ad6b7169203331";

std::string traceparent(std::string_view version, std::string_view trace, std::string_view parent,
                        std::string_view rest) {
  return std::string(version).append("-").append(trace).append("-").append(parent).append("-").append(rest);
}

const std::string kTrusting = std::string(kFixed) + "\ntracing: {trust: [192.0.2.0/24]}\n";

// A trusted peer's valid traceparent is continued: same trace and flags, another parent, version 00. Trace Context 3.2
// and 4.3.
TEST(TraceStage, ContinuesAValidTrace) {
  Desk desk(kTrusting);
  for (const std::string& value :
       {traceparent("00", kTrace, kParent, "01"), traceparent("00", kTrace, kParent, "00"),
        traceparent("00", kTrace, kParent, "ff"), traceparent("01", kTrace, kParent, "01"),
        traceparent("cc", kTrace, kParent, "01-what-the-future-will-be-like")}) {
    desk.receive(get("traceparent: " + value + "\r\ntracestate: a=b\r\n"));
    desk.admit("trace");
    const std::string sent(desk.request_field("traceparent"));
    ASSERT_EQ(sent.size(), 55U) << value;
    EXPECT_EQ(sent.substr(0, 36), "00-" + std::string(kTrace) + "-") << value;
    EXPECT_NE(sent.substr(36, 16), kParent);
    const std::string flags = value.substr(53, 2);
    EXPECT_EQ(sent.substr(52), "-" + (flags == "ff" ? "03" : flags)) << "bits without a meaning are dropped";
    EXPECT_EQ(desk.request_field("tracestate"), "a=b");
    EXPECT_EQ(desk.exchange.traceparent, sent);
    desk.settle();
  }
}

// An invalid one begins a new root, and its tracestate goes with it. The table of the W3C test suite.
TEST(TraceStage, BeginsANewTraceInsteadOfAnInvalidOne) {
  Desk desk(kTrusting);
  const std::string zero32(32, '0');
  const std::string zero16(16, '0');
  std::string upper(kTrace);
  upper[0] = 'A';
  for (const std::string& value :
       {std::string(), std::string("foo"), traceparent("ff", kTrace, kParent, "01"),
        traceparent("00", zero32, kParent, "01"), traceparent("00", kTrace, zero16, "01"),
        traceparent("00", upper, kParent, "01"), traceparent("00", kTrace, kParent, "01-extra"),
        traceparent("cc", kTrace, kParent, "01.extra"), traceparent("00", kTrace, kParent, "0g"),
        traceparent("0", kTrace, kParent, "01"), traceparent("00", kTrace.substr(1), kParent, "01"),
        traceparent("00", kTrace, kParent, "1"), traceparent(".0", kTrace, kParent, "01")}) {
    desk.receive(get("traceparent: " + value + "\r\ntracestate: a=b\r\n"));
    desk.admit("trace");
    const std::string sent(desk.request_field("traceparent"));
    EXPECT_EQ(sent.size(), 55U) << value;
    EXPECT_EQ(sent.find(kTrace), std::string::npos) << value;
    EXPECT_NE(sent.substr(3, 32), zero32);
    EXPECT_TRUE(desk.exchange.request.fields.find("tracestate") == nullptr) << value;
    EXPECT_EQ(desk.exchange.request.fields.count(http::Name::traceparent), 1U);
    desk.settle();
  }
  // Two of them: neither can be trusted to be the right one.
  desk.receive(get("traceparent: " + traceparent("00", kTrace, kParent, "01") +
                   "\r\ntraceparent: " + traceparent("00", kTrace, kParent, "01") + "\r\n"));
  desk.admit("trace");
  EXPECT_EQ(std::string(desk.request_field("traceparent")).find(kTrace), std::string::npos);
}

// A stranger's trace, baggage and deadline are not taken over: a new root, with a link to what he said.
TEST(TraceStage, DoesNotBelieveStrangers) {
  for (const std::string& configuration :
       {std::string(kFixed), std::string(kFixed) + "\ntracing: {trust: [10.0.0.0/8]}\n"}) {
    Desk desk(configuration);
    desk.receive(get("traceparent: " + traceparent("00", kTrace, kParent, "00") +
                     "\r\ntracestate: a=b\r\nbaggage: k=v\r\ngrpc-timeout: 1m\r\n" +
                     "X-Envoy-Expected-Rq-Timeout-Ms: 5\r\n"));
    desk.admit("trace");
    EXPECT_EQ(std::string(desk.request_field("traceparent")).find(kTrace), std::string::npos);
    for (const std::string_view name :
         {"tracestate", "baggage", "grpc-timeout", "x-envoy-expected-rq-timeout-ms"})
      EXPECT_TRUE(desk.exchange.request.fields.find(name) == nullptr) << name;
    EXPECT_TRUE(desk.exchange.tracing.link.valid());
    EXPECT_EQ(desk.exchange.tracing.parent, 0U);
    EXPECT_TRUE(desk.exchange.deadline.is_never());
    desk.settle();
  }
}

// A trusted peer's baggage passes, and the least of what he is ready to wait shortens the deadline.
TEST(TraceStage, TakesOverDeadlinesAndBaggageOfTrustedPeers) {
  Desk desk(kTrusting);
  struct Case {
    std::string fields;
    Duration wait;
  };
  for (const Case& one :
       {Case{"grpc-timeout: 250m", milliseconds{250}}, Case{"grpc-timeout: 2S", seconds{2}},
        Case{"X-Envoy-Expected-Rq-Timeout-Ms: 40", milliseconds{40}},
        Case{"X-Envoy-Expected-Rq-Timeout-Ms: 40\r\ngrpc-timeout: 30m", milliseconds{30}}}) {
    desk.receive(get("baggage: k=v\r\n" + one.fields + "\r\n"));
    desk.admit("trace");
    EXPECT_EQ(desk.exchange.deadline.when() - desk.exchange.started, one.wait) << one.fields;
    EXPECT_EQ(desk.request_field("baggage"), "k=v");
    EXPECT_TRUE(desk.exchange.request.fields.find("grpc-timeout") == nullptr);
    desk.settle();
  }
  for (const char* broken : {"grpc-timeout: 5", "grpc-timeout: m", "grpc-timeout: 123456789m",
                             "grpc-timeout: 1x", "X-Envoy-Expected-Rq-Timeout-Ms: -1"}) {
    desk.receive(get(std::string(broken) + "\r\n"));
    desk.admit("trace");
    EXPECT_TRUE(desk.exchange.deadline.is_never()) << broken;
    desk.settle();
  }
}

// --- sanitize

// What forwarding fields say when nobody is trusted: the peer alone, whatever was sent.
TEST(SanitizeStage, RebuildsForwardingOfStrangers) {
  Desk desk(kFixed);
  desk.receive(get(
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
      "Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /p\r\n"));
  desk.admit("sanitize");
  EXPECT_EQ(desk.request_field("X-Forwarded-For"), "192.0.2.1");
  EXPECT_EQ(desk.request_field("X-Forwarded-Proto"), "http");
  EXPECT_EQ(desk.request_field("X-Forwarded-Host"), "a.example");
  EXPECT_EQ(desk.request_field("Forwarded"), "for=192.0.2.1;host=\"a.example\";proto=http");
  for (const char* gone : {"X-Real-IP", "X-Forwarded-Port", "X-Forwarded-Prefix"})
    EXPECT_TRUE(desk.exchange.request.fields.find(gone) == nullptr) << gone;
  EXPECT_EQ(desk.exchange.client_text(), "192.0.2.1");
}

// Of a trusted peer they are continued.
TEST(SanitizeStage, ContinuesForwardingOfTrustedPeers) {
  Desk desk("trusted_proxies: {cidrs: [192.0.2.0/24]}\n" + std::string(kFixed));
  desk.receive(
      get("X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 203.0.113.1\r\nX-Forwarded-Proto: https\r\n"
          "X-Forwarded-Host: shop.example\r\nForwarded: for=198.51.100.7\r\nX-Real-IP: 198.51.100.7\r\n"));
  desk.admit("sanitize");
  EXPECT_EQ(desk.request_field("X-Forwarded-For"), "198.51.100.7, 203.0.113.1, 192.0.2.1");
  EXPECT_EQ(desk.request_field("X-Forwarded-Proto"), "https");
  EXPECT_EQ(desk.request_field("X-Forwarded-Host"), "shop.example");
  EXPECT_EQ(desk.request_field("Forwarded"), "for=198.51.100.7, for=192.0.2.1;host=\"a.example\";proto=http");
  EXPECT_EQ(desk.request_field("X-Real-IP"), "198.51.100.7");
}

// An IPv6 peer goes in brackets and quotes (RFC 7239 6).
TEST(SanitizeStage, ForwardedOfIpv6) {
  Desk desk(kFixed);
  desk.receive(get(""), "2001:db8::7");
  desk.admit("sanitize");
  EXPECT_EQ(desk.request_field("X-Forwarded-For"), "2001:db8::7");
  EXPECT_EQ(desk.request_field("Forwarded"), "for=\"[2001:db8::7]\";host=\"a.example\";proto=http");
}

// Who the client is: from the right, as long as whoever wrote the entry is trusted, over at most `hops`
// entries.
TEST(SanitizeStage, WhoTheClientIs) {
  struct Row {
    std::string_view hops;
    std::string_view from;
    std::string_view list;
    std::string_view client;
  };
  for (const Row& row :
       {Row{"1", "192.0.2.1", "198.51.100.7", "198.51.100.7"},
        Row{"1", "192.0.2.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"},
        Row{"1", "192.0.2.1", "198.51.100.7, 192.0.2.9", "192.0.2.9"},
        Row{"2", "192.0.2.1", "198.51.100.7, 192.0.2.9", "198.51.100.7"},
        Row{"2", "192.0.2.1", "6.6.6.6, 198.51.100.7, 192.0.2.9", "198.51.100.7"},
        Row{"2", "192.0.2.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"},
        Row{"2", "192.0.2.1", "nonsense, 192.0.2.9", "192.0.2.9"},
        Row{"1", "192.0.2.1", "nonsense", "192.0.2.1"},
        Row{"1", "192.0.2.1", "198.51.100.7:1234", "192.0.2.1"}, Row{"1", "192.0.2.1", "", "192.0.2.1"},
        Row{"1", "203.0.113.5", "198.51.100.7", "203.0.113.5"}}) {
    Desk desk("trusted_proxies: {cidrs: [192.0.2.0/24], hops: " + std::string(row.hops) + "}\n" +
              std::string(kFixed));
    desk.receive(get("X-Forwarded-For: " + std::string(row.list) + "\r\n"), row.from);
    EXPECT_EQ(desk.exchange.client_text(), row.client) << row.list << " with " << row.hops;
  }
}

// --- access

// `deny` wins over `allow`; an empty `allow` lets everybody in; the client counts, not the peer.
TEST(AccessStage, AllowAndDeny) {
  const auto verdict = [](const std::string& lists, std::string_view from, std::string_view fields = "") {
    Desk desk("trusted_proxies: {cidrs: [192.0.2.1/32]}\nroutes: [{path: /*, " + lists +
              ", respond: {status: 200}}]");
    desk.receive(get(fields), from);
    const Verdict given = desk.admit("access");
    if (given == Verdict::refuse) {
      EXPECT_EQ(desk.exchange.own.status, 403);
      EXPECT_EQ(desk.exchange.record.problem, Problem::forbidden);
    }
    return given;
  };
  EXPECT_EQ(verdict("allow: [10.0.0.0/8]", "10.1.2.3"), Verdict::proceed);
  EXPECT_EQ(verdict("allow: [10.0.0.0/8]", "11.1.2.3"), Verdict::refuse);
  EXPECT_EQ(verdict("deny: [10.0.0.0/8]", "10.1.2.3"), Verdict::refuse);
  EXPECT_EQ(verdict("deny: [10.0.0.0/8]", "11.1.2.3"), Verdict::proceed);
  EXPECT_EQ(verdict("allow: [10.0.0.0/8], deny: [10.1.0.0/16]", "10.1.2.3"), Verdict::refuse);
  EXPECT_EQ(verdict("allow: [10.0.0.0/8], deny: [10.1.0.0/16]", "10.2.2.3"), Verdict::proceed);
  EXPECT_EQ(verdict("allow: [\"2001:db8::/32\"]", "2001:db8::1"), Verdict::proceed);
  EXPECT_EQ(verdict("allow: [\"2001:db8::/32\"]", "10.0.0.1"), Verdict::refuse);
  EXPECT_EQ(verdict("allow: [10.0.0.0/8]", "::ffff:10.0.0.1"), Verdict::proceed)
      << "the same address, dialled otherwise";
  EXPECT_EQ(verdict("allow: [10.0.0.0/8]", "192.0.2.1", "X-Forwarded-For: 10.0.0.1\r\n"), Verdict::proceed);
  EXPECT_EQ(verdict("allow: [192.0.2.0/24]", "192.0.2.1", "X-Forwarded-For: 10.0.0.1\r\n"), Verdict::refuse);
  EXPECT_EQ(verdict("allow: [10.0.0.0/8]", "203.0.113.1", "X-Forwarded-For: 10.0.0.1\r\n"), Verdict::refuse);
}

// --- ratelimit

std::string limited(std::string_view key, std::string_view more = "") {
  return "rate_limits: {one: {key: " + std::string(key) + ", limit: 1/min" + std::string(more) +
         "}}\nroutes: [{name: r, path: /r, rate_limit: [one], respond: {status: 200}},"
         " {name: s, path: /*, rate_limit: [one], respond: {status: 200}}]";
}

// Whether two requests share their one permission.
bool share(std::string_view key, const std::string& one, const std::string& two,
           std::string_view from_two = "192.0.2.1", std::string_view more = "") {
  Desk desk(limited(key, more));
  desk.receive(one);
  EXPECT_EQ(desk.admit("ratelimit"), Verdict::proceed);
  desk.settle();
  desk.receive(two, from_two);
  const bool refused = desk.admit("ratelimit") == Verdict::refuse;
  desk.settle();
  return refused;
}

// Each kind of key tells apart exactly what it names.
TEST(RateLimitStage, Keys) {
  EXPECT_TRUE(share("client_ip", get(""), get("X: y\r\n", "/other")));
  EXPECT_FALSE(share("client_ip", get(""), get(""), "192.0.2.2"));
  EXPECT_TRUE(share("global", get(""), get("", "/other"), "203.0.113.1"));
  EXPECT_TRUE(share("\"header:X-Key\"", get("X-Key: a\r\n"), get("x-key: a\r\n"), "192.0.2.2"));
  EXPECT_FALSE(share("\"header:X-Key\"", get("X-Key: a\r\n"), get("X-Key: b\r\n")));
  EXPECT_TRUE(share("\"cookie:sid\"", get("Cookie: x=1; sid=7\r\n"), get("Cookie: sid=7; sid=8\r\n")));
  EXPECT_FALSE(share("\"cookie:sid\"", get("Cookie: sid=7\r\n"), get("Cookie: xsid=7; sid=8\r\n")));
  EXPECT_TRUE(share("\"query:k\"", get("", "/a?k=1"), get("", "/b?x&k=1")));
  EXPECT_FALSE(share("\"query:k\"", get("", "/a?k=1"), get("", "/a?k=2")));
  EXPECT_TRUE(share("path", get("", "/a/b"), get("", "/a/./x/../b?q")));
  EXPECT_FALSE(share("path", get("", "/a/b"), get("", "/a/c")));
  EXPECT_TRUE(share("route", get("", "/a"), get("", "/b")));
  EXPECT_FALSE(share("route", get("", "/r"), get("", "/b")));
  EXPECT_FALSE(share("method", get(""), "POST / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
  EXPECT_TRUE(share("host", "GET / HTTP/1.1\r\nHost: A.example\r\n\r\n", get("")));
}

// An IPv6 client is its /64: that is what one customer owns.
TEST(RateLimitStage, Ipv6ClientsAreTheirNetworks) {
  for (const auto& [two, shared] :
       {std::pair("2001:db8:0:1::ffff", true), std::pair("2001:db8:0:2::1", false)}) {
    Desk desk(limited("client_ip"));
    desk.receive(get(""), "2001:db8:0:1::1");
    ASSERT_EQ(desk.admit("ratelimit"), Verdict::proceed);
    desk.receive(get(""), two);
    EXPECT_EQ(desk.admit("ratelimit") == Verdict::refuse, shared) << two;
  }
}

// Joined keys are unambiguous: ("ab", "c") is not ("a", "bc").
TEST(RateLimitStage, JoinedKeys) {
  const std::string_view key = "[\"header:A\", \"header:B\"]";
  EXPECT_TRUE(share(key, get("A: ab\r\nB: c\r\n"), get("B: c\r\nA: ab\r\n"), "192.0.2.2"));
  EXPECT_FALSE(share(key, get("A: ab\r\nB: c\r\n"), get("A: a\r\nB: bc\r\n")));
}

// Without its key a request is counted by address, apart from any key that looks like one; or it passes; or
// is refused.
TEST(RateLimitStage, MissingKeys) {
  EXPECT_TRUE(share("\"header:K\"", get(""), get("")));
  EXPECT_FALSE(share("\"header:K\"", get(""), get(""), "192.0.2.2"));
  EXPECT_FALSE(share("\"header:K\"", get(""), get("K: 192.0.2.1\r\n")));
  EXPECT_FALSE(share("\"header:K\"", get(""), get(""), "192.0.2.1", ", on_missing_key: skip"));
  Desk desk(limited("\"header:K\"", ", on_missing_key: deny"));
  desk.receive(get(""));
  EXPECT_EQ(desk.admit("ratelimit"), Verdict::refuse);
  EXPECT_EQ(desk.exchange.own.status, 429);
  EXPECT_EQ(desk.answer_field("Retry-After"), "") << "waiting cannot help";
}

// All limits or none: a refusal by one takes nothing from the others.
TEST(RateLimitStage, AllOrNothing) {
  Desk desk(
      "rate_limits: {wide: {key: global, limit: 3/min}, narrow: {key: \"header:K\", limit: 1/min}}\n"
      "routes: [{path: /*, rate_limit: [wide, narrow], respond: {status: 200}}]");
  const auto admitted = [&](const std::string& key) {
    desk.receive(get("K: " + key + "\r\n"));
    const bool pass = desk.admit("ratelimit") == Verdict::proceed;
    desk.settle();
    return pass;
  };
  EXPECT_TRUE(admitted("a"));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(admitted("a"));
  EXPECT_TRUE(admitted("b"));
  EXPECT_TRUE(admitted("c"));
  EXPECT_FALSE(admitted("d"));
}

// What a limited answer says; a client that waits Retry-After is admitted.
TEST(RateLimitStage, AnswerFields) {
  Desk desk(
      "rate_limits: {per_client: {key: client_ip, limit: 2, window: 1m}}\n"
      "routes: [{path: /*, rate_limit: [per_client], respond: {status: 200}}]");
  const auto ask = [&] {
    desk.receive(get(""));
    return desk.admit("ratelimit");
  };
  ASSERT_EQ(ask(), Verdict::proceed);
  EXPECT_EQ(desk.answer_field("RateLimit-Policy"), "\"per_client\";q=2;w=60");
  EXPECT_TRUE(desk.answer_field("RateLimit").starts_with("\"per_client\";r=1"))
      << desk.answer_field("RateLimit");
  EXPECT_EQ(desk.answer_field("Retry-After"), "");
  desk.reactor.run_for(seconds{20});
  ASSERT_EQ(ask(), Verdict::proceed);
  ASSERT_EQ(ask(), Verdict::refuse);
  EXPECT_EQ(desk.answer_field("RateLimit"), "\"per_client\";r=0;t=40");
  EXPECT_EQ(desk.answer_field("Retry-After"), "40");
  EXPECT_EQ(desk.exchange.own.status, 429);
  desk.reactor.run_for(seconds{40} - Duration{1});
  EXPECT_EQ(ask(), Verdict::refuse);
  desk.reactor.run_for(Duration{1});
  EXPECT_EQ(ask(), Verdict::proceed);
}

// The short way for one limit writes what the general one would, in every state of a window.
TEST(RateLimitStage, ShortWayWritesTheSame) {
  for (const char* limit :
       {"limit: 3, window: 1s", "limit: 5, window: 500ms", "limit: 0, window: 1m", "limit: 2000/min"}) {
    Desk desk("rate_limits: {it: {key: global, " + std::string(limit) +
              "}}\nroutes: [{path: /*, rate_limit: [it], respond: {status: 200}}]");
    ratelimit::Policy policy = desk.state.limiters().front().second->policy();
    ratelimit::KeyedRateLimiter::Options options;
    ratelimit::KeyedRateLimiter twin(policy, options);
    base::Random random(5);
    for (int i = 0; i < 300; ++i) {
      desk.reactor.run_for(milliseconds{random.below(400)});
      desk.receive(get(""));
      const bool admitted = desk.admit("ratelimit") == Verdict::proceed;
      ratelimit::LimitReport report;
      report.policy = &policy;
      report.decision = twin.allow_at(desk.reactor.now(), "*", 1, ratelimit::Want::headers);
      ASSERT_EQ(admitted, report.decision.allowed);
      std::string buffer;
      for (const ratelimit::HeaderField& field : ratelimit::format_headers({&report, 1}, {}, buffer))
        ASSERT_EQ(desk.answer_field(field.name), field.value) << limit << " " << field.name;
      desk.settle();
    }
  }
}

// A shadow limit counts, and neither refuses nor speaks.
TEST(RateLimitStage, Shadow) {
  Desk desk(limited("global", ", shadow: true"));
  for (int i = 0; i < 5; ++i) {
    desk.receive(get(""));
    EXPECT_EQ(desk.admit("ratelimit"), Verdict::proceed);
    EXPECT_EQ(desk.answer_field("RateLimit"), "");
  }
  EXPECT_EQ(desk.state.limiters().front().second->stats().refused, 4U);
}

// --- read_body

constexpr std::string_view kBuffered =
    "upstreams: {u: {endpoints: [http://10.0.0.1:80]}}\nroutes: [{path: /*, upstream: u, request_buffer: 8}]";

Stage& read_body_of(Desk& desk) {
  for (const auto& stage : desk.exchange.route->stages)
    if (stage->as_async() != nullptr) return *stage;
  WEIR_CHECK(false);
}

async::Task<void> admit_async(AsyncStage& stage, Exchange& exchange, std::optional<Verdict>& verdict) {
  const Verdict given = co_await stage.admit_async(exchange);
  verdict = given;
}

class ReadBody {
 public:
  ReadBody() : desk(kBuffered) {
    desk.receive("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\n");
    desk.client.state = BodyState::open;
  }
  void begin() {
    AsyncStage& stage = *read_body_of(desk).as_async();
    EXPECT_TRUE(stage.needs_waiting(desk.exchange));
    desk.scope.spawn(admit_async(stage, desk.exchange, verdict));
  }
  Desk desk;
  std::optional<Verdict> verdict;
};

// A body that is there needs no waiting; it is taken up to request_buffer, the rest stays.
TEST(ReadBodyStage, TakesWhatIsThere) {
  Desk desk(kBuffered);
  desk.receive("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody");
  Stage& stage = read_body_of(desk);
  EXPECT_FALSE(stage.as_async()->needs_waiting(desk.exchange));
  EXPECT_EQ(stage.admit(desk.exchange), Verdict::proceed);
  EXPECT_EQ(desk.exchange.body, "body");
  desk.receive("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n0123456789");
  EXPECT_EQ(read_body_of(desk).admit(desk.exchange), Verdict::proceed);
  EXPECT_EQ(desk.exchange.body, "01234567");
  EXPECT_EQ(desk.client.waiting, "89");
}

// Waits until the body is complete or the buffer is full, whatever the pieces.
TEST(ReadBodyStage, WaitsForTheRest) {
  ReadBody it;
  it.begin();
  EXPECT_FALSE(it.verdict);
  it.desk.client.coming = {"ab"};
  it.desk.client.end_state = BodyState::open;
  it.desk.waiter.notify();
  it.desk.reactor.run_for(milliseconds{1});
  EXPECT_FALSE(it.verdict);
  it.desk.client.coming = {"c", "d"};
  it.desk.client.end_state = BodyState::done;
  it.desk.waiter.notify();
  it.desk.reactor.run_for(milliseconds{1});
  ASSERT_TRUE(it.verdict);
  EXPECT_EQ(*it.verdict, Verdict::proceed);
  EXPECT_EQ(it.desk.exchange.body, "abcd");

  ReadBody full;
  full.desk.client.coming = {"0123", "456789", "never read"};
  full.begin();
  ASSERT_TRUE(full.verdict);
  EXPECT_EQ(full.desk.exchange.body, "01234567");
  EXPECT_EQ(full.desk.client.waiting, "89");
}

// What was taken made room, and nobody says twice that more is there: it must be tried again without an
// event.
TEST(ReadBodyStage, TriesAgainAfterTaking) {
  ReadBody it;
  it.desk.client.waiting = "ab";  // came with the head, and filled the window
  it.begin();
  EXPECT_EQ(it.desk.exchange.body, "ab");
  EXPECT_GE(it.desk.client.reads, 2);
}

// Malformed, too slow, gone, cut off: each its own refusal, and the connection cannot go on.
TEST(ReadBodyStage, Refusals) {
  ReadBody malformed;
  malformed.desk.client.coming = {"x"};
  malformed.desk.client.end_state = BodyState::failed;
  malformed.desk.client.fault = http::Fault{413, "too large", "RFC 9110"};
  malformed.begin();
  EXPECT_EQ(malformed.verdict, Verdict::refuse);
  EXPECT_EQ(malformed.desk.exchange.own.status, 413);
  EXPECT_TRUE(malformed.desk.exchange.own.close);

  ReadBody slow;
  slow.begin();
  slow.desk.reactor.run_for(seconds{15});
  EXPECT_EQ(slow.verdict, Verdict::refuse);
  EXPECT_EQ(slow.desk.exchange.own.status, 408);
  EXPECT_TRUE(slow.desk.exchange.own.close);

  ReadBody gone;
  gone.desk.client.coming = {"x"};
  gone.desk.client.end_state = BodyState::gone;
  gone.begin();
  EXPECT_EQ(gone.verdict, Verdict::refuse);
  EXPECT_TRUE(gone.desk.exchange.record.client_gone);

  ReadBody cut;
  cut.begin();
  cut.desk.cancel.cancel();
  cut.desk.reactor.run_for(milliseconds{1});
  EXPECT_EQ(cut.verdict, Verdict::refuse);
  EXPECT_EQ(cut.desk.exchange.own.status, 503);
}

// --- load_shed

// Never more than there are places; a place comes back when the stage releases, once.
TEST(LoadShedStage, PlacesComeBack) {
  const std::string text =
      "upstreams: {u: {endpoints: [http://10.0.0.1:80]}}\n"
      "routes: [{name: r, path: /*, upstream: u, load_shed: {max_in_flight: 1}}]";
  Desk desk(text);
  desk.receive(get(""));
  EXPECT_EQ(desk.admit("load_shed"), Verdict::proceed);
  Exchange second(desk.worker);
  testing::FakeDownstream client;
  second.begin(client, desk.waiter, desk.reactor.now());
  second.plan = desk.worker.use_plan();
  second.route = desk.exchange.route;
  Stage& stage = *desk.exchange.route->stages.back();
  ASSERT_EQ(stage.name(), "load_shed");
  EXPECT_EQ(stage.admit(second), Verdict::refuse);
  EXPECT_EQ(second.own.status, 503);
  EXPECT_EQ(second.record.problem, Problem::load_shed);
  desk.exchange.release_stages();
  desk.exchange.release_stages();
  EXPECT_EQ(stage.admit(second), Verdict::proceed);
  second.end();  // an exchange that ends gives back what it holds
  EXPECT_EQ(stage.admit(desk.exchange), Verdict::proceed);
}

}  // namespace
}  // namespace weir::gateway
