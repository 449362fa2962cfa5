// The executor on services in memory and virtual time: what runs when, what the page holds, what is said about it.
#include "weir/bff/page.h"

#include <gtest/gtest.h>

#include "weir/bff/testing/fixture.h"

namespace weir::bff {
namespace {

using namespace std::chrono_literals;
using testing::PageTest;
using testing::section;

PageSpec page_of(std::vector<SectionSpec> sections) {
  PageSpec page;
  page.sections = std::move(sections);
  return page;
}

// Three services are called side by side: the page takes as long as the slowest, and holds their very bytes in order.
TEST_F(PageTest, CallsSideBySideAndSplicesTheBytes) {
  services.on("a").reply("{\"z\":1.0, \"a\":\"\\u00e9\"}").after(30ms);
  services.on("b").reply("[1,2,\n3]").after(10ms);
  services.on("c").reply("  12345678901234567890123 ").after(20ms);
  const auto plan = compiled(page_of({section("a"), section("b"), section("c")}));
  run(*plan);
  EXPECT_EQ(page.body,
            "{\"a\":{\"z\":1.0, \"a\":\"\\u00e9\"},\"b\":[1,2,\n3],\"c\":12345678901234567890123}");
  EXPECT_EQ(ended - began, Duration(30ms));
  EXPECT_EQ(services.most_in_flight(), 3U);
  EXPECT_TRUE(page.complete);
  EXPECT_EQ(report(*plan), "a;s=ok;d=30, b;s=ok;d=10, c;s=ok;d=20");
}

// A reference makes a section wait for the other, and for nothing else.
TEST_F(PageTest, FollowsReferences) {
  inputs.values[{Source::passport, "user_id"}] = "user_123";
  services.on("user", "/v1/users/user_123").reply(R"({"id":7,"name":"Ann"})").after(20ms);
  services.on("orders", "/v1/orders?user=7").reply("[]").after(15ms);
  services.on("recs", "/v1/recs?n=10").reply("[9]").after(25ms);
  const auto plan = compiled(page_of({section("user", "/v1/users/{passport.user_id}"),
                                      section("orders", "/v1/orders?user={user.id}"),
                                      section("recs", "/v1/recs?n={req.query.n ?? 10}")}));
  run(*plan);
  EXPECT_EQ(page.body, R"({"user":{"id":7,"name":"Ann"},"orders":[],"recs":[9]})");
  EXPECT_EQ(ended - began, Duration(35ms));
  EXPECT_EQ(services.calls()[2].started - began, Duration(20ms));
}

// A failed producer skips those that need it, without a call; the others do not notice.
TEST_F(PageTest, SkipsWhatNeedsAFailedSection) {
  services.on("a").reply("busy", 503);
  services.on("b").reply("1");
  const auto plan =
      compiled(page_of({section("a"), section("b"), section("c", "/{a.id}"), section("d", "/{c.id}")}));
  run(*plan);
  EXPECT_EQ(page.body, R"({"a":null,"b":1,"c":null,"d":null})");
  EXPECT_EQ(services.calls().size(), 2U);
  EXPECT_EQ(report(*plan),
            "a;s=error;d=0;e=http_status;st=503, b;s=ok;d=0, c;s=skipped;e=needs_failed, "
            "d;s=skipped;e=needs_failed");
  EXPECT_FALSE(page.complete);
}

// A value that is not in the producer's answer fails the section that wants it, without a call; nothing of that name
// elsewhere is taken instead.
TEST_F(PageTest, FailsASectionWhoseValueIsAbsent) {
  services.on("a").reply(R"({"x":{"y":1},"id":5})");
  services.on("c");
  SectionSpec c = section("c", "/{a.x.id}");
  c.on_error = "\"none\"";
  const auto plan =
      compiled(page_of({section("a"), section("b", "/{req.query.b}"), c, section("d", "/{req.query.u}")}));
  inputs.values[{Source::query, "u"}] = "..";
  run(*plan);
  EXPECT_EQ(page.body, R"({"a":{"x":{"y":1},"id":5},"b":null,"c":"none","d":null})");
  EXPECT_EQ(report(*plan),
            "a;s=ok;d=0, b;s=error;e=value_absent, c;s=error;e=value_absent, d;s=error;e=value_unsafe");
  EXPECT_EQ(services.calls().size(), 1U);
}

// A section whose own time is up fails alone; one that hangs does not keep the page beyond its deadline.
TEST_F(PageTest, KeepsItsDeadline) {
  services.on("slow").after(10s);
  services.on("hung").hang();
  services.on("good").reply("1").after(450ms);
  SectionSpec good = section("good");
  good.timeout.reset();
  SectionSpec hung = section("hung");
  hung.timeout.reset();
  const auto plan = compiled(page_of({section("slow"), hung, good}));
  run(*plan);
  EXPECT_EQ(page.body, R"({"slow":null,"hung":null,"good":1})");
  EXPECT_LE(ended - began, Duration(500ms));
  EXPECT_GE(ended - began, Duration(498ms));
  EXPECT_EQ(report(*plan),
            "slow;s=error;d=100;e=http_response_timeout, hung;s=error;d=499;e=http_response_timeout, "
            "good;s=ok;d=450");
  EXPECT_EQ(services.in_flight(), 0U) << "what was late is abandoned";
  EXPECT_EQ(services.abandoned(), 1U);
}

// A call gets min(its timeout, what remains less the reserve); with too little left it is not made.
TEST_F(PageTest, SharesOutWhatRemains) {
  services.on("a").reply("{\"id\":1}").after(470ms);
  services.on("b").reply("{\"id\":1}").after(23ms);
  SectionSpec a = section("a"), b = section("b", "/{a.id}"), c = section("c", "/{b.id}");
  a.timeout = 600ms, b.timeout = 200ms, c.timeout = 200ms;
  const auto plan = compiled(page_of({a, b, c}));
  run(*plan);
  ASSERT_EQ(services.calls().size(), 2U);
  EXPECT_EQ(services.calls()[0].deadline.when() - began, Duration(497ms));
  EXPECT_EQ(services.calls()[1].deadline.when() - began, Duration(497ms));
  EXPECT_EQ(page.sections[2].failure, SectionFailure::deadline);
  EXPECT_EQ(page.body, R"({"a":{"id":1},"b":{"id":1},"c":null})");
}

// A required section's loss loses the page at once: 502, or 504 when it was late; the others are abandoned.
TEST_F(PageTest, LosesThePageWithARequiredSection) {
  SectionSpec user = section("user");
  user.need = Need::required;
  services.on("other").after(90ms);
  const auto plan = compiled(page_of({user, section("other")}));
  services.on("user").reply("{}", 404).after(10ms);
  run(*plan);
  EXPECT_EQ(page.status, 502);
  EXPECT_EQ(page.lost, std::optional<std::size_t>(0));
  EXPECT_EQ(ended - began, Duration(10ms));
  EXPECT_EQ(services.abandoned(), 1U);
  EXPECT_EQ(page.body, "");
  services.on("user").after(1s);
  run(*plan);
  EXPECT_EQ(page.status, 504);
  EXPECT_EQ(ended - began, Duration(100ms));
  services.on("user").fail(http::FetchFailure::unavailable).after(0ms);
  run(*plan);
  EXPECT_EQ(page.status, 502);
}

// The primary gives the page its status; what the client did wrong, and redirects, pass as they are.
TEST_F(PageTest, LetsThePrimarySpeak) {
  SectionSpec primary = section("p");
  primary.need = Need::primary;
  primary.headers = {"ETag", "set-cookie"};
  services.on("o").reply("2");
  const auto plan = compiled(page_of({primary, section("o")}));
  services.on("p")
      .reply("1", 201)
      .field("ETag", "\"x\"")
      .field("Set-Cookie", "a=1")
      .field("Set-Cookie", "b=2");
  run(*plan);
  EXPECT_EQ(page.status, 201);
  EXPECT_EQ(page.body, R"({"p":1,"o":2})");
  ASSERT_EQ(page.fields.size(), 3U);
  EXPECT_EQ(page.fields[2].value, "b=2");
  services.on("p").reply("{\"why\":\"gone\"}", 404).field("Content-Type", "application/problem+json");
  run(*plan);
  EXPECT_EQ(page.status, 404);
  EXPECT_TRUE(page.passed_through);
  EXPECT_EQ(page.body, "{\"why\":\"gone\"}");
  EXPECT_EQ(page.content_type, "application/problem+json");
  services.on("p").reply("", 302).field("Location", "/login");
  run(*plan);
  EXPECT_EQ(page.status, 302);
  EXPECT_EQ(page.fields.front().value, "/login");
  services.on("p").reply("oops", 500);
  run(*plan);
  EXPECT_EQ(page.status, 502);
}

// `when` leaves a section out without a call; the page is complete all the same, and so are those that need it.
TEST_F(PageTest, AsksOnlyForWhatTheConditionsWant) {
  SectionSpec beta = section("beta"), after = section("after", "/{beta.id}");
  beta.when.push_back({parse_reference("flag.dark_mode").value(), Condition::Operator::eq, {"true"}});
  services.on("beta").reply("{\"id\":1}");
  services.on("after").reply("2");
  const auto plan = compiled(page_of({beta, after}));
  run(*plan);
  EXPECT_EQ(page.body, R"({"beta":null,"after":null})");
  EXPECT_TRUE(page.complete);
  EXPECT_EQ(report(*plan), "beta;s=skipped, after;s=skipped");
  inputs.values[{Source::flag, "dark_mode"}] = "true";
  run(*plan);
  EXPECT_EQ(page.body, R"({"beta":{"id":1},"after":2})");
}

// The chain: live, fresh cache, stale cache, fallback, on_error; what is not live is said.
TEST_F(PageTest, FallsBackAlongTheChain) {
  SectionSpec a = section("a");
  a.cache_for = 10s, a.stale_if_error = 60s, a.fallback = "{\"tier\":\"basic\"}", a.need = Need::required;
  const auto plan = compiled(page_of({a}));
  services.on("a").reply("{\"tier\":\"gold\"}");
  run(*plan);
  services.on("a").fail(http::FetchFailure::refused);
  loop.advance(9s);
  run(*plan);
  EXPECT_EQ(page.body, R"({"a":{"tier":"gold"}})");
  EXPECT_EQ(report(*plan), "a;s=ok") << "fresh: no call";
  EXPECT_TRUE(page.complete);
  loop.advance(2s);
  run(*plan);
  EXPECT_EQ(page.body, R"({"a":{"tier":"gold"}})");
  EXPECT_EQ(report(*plan), "a;s=stale;d=0;age=11;e=connection_refused");
  EXPECT_FALSE(page.complete);
  loop.advance(60s);
  run(*plan);
  EXPECT_EQ(page.body, R"({"a":{"tier":"basic"}})");
  EXPECT_EQ(report(*plan), "a;s=fallback;d=0;e=connection_refused");
  EXPECT_EQ(page.status, 200);
}

// What is kept for one subject is never shown to another, unless it is declared shared.
TEST_F(PageTest, KeepsSubjectsApart) {
  SectionSpec mine = section("mine"), ours = section("ours");
  mine.cache_for = ours.cache_for = 10s;
  ours.shared = true;
  services.on("mine").reply("\"alice's\"");
  services.on("ours").reply("\"everybody's\"");
  const auto plan = compiled(page_of({mine, ours}));
  run(*plan);
  inputs.who = "bob";
  services.on("mine").reply("\"bob's\"");
  services.on("ours").reply("\"new\"");
  run(*plan);
  EXPECT_EQ(page.body, R"({"mine":"bob's","ours":"everybody's"})");
}

// for_each calls once an item, so many at a time, keeps the order, and says how many failed.
TEST_F(PageTest, GoesOverAList) {
  services.on("user").reply(R"({"friends":[{"id":3},{"id":1},{"id":3},{"id":2}]})");
  services.on("friend", "/f/3").reply(R"({"id":3,"name":"C","x":0})").after(30ms);
  services.on("friend", "/f/1").reply(R"({"id":1,"name":"A"})").after(10ms);
  services.on("friend", "/f/2").reply("no", 500).after(5ms);
  SectionSpec friends = section("friend", "/f/{item.id}");
  friends.name = "friends";
  friends.for_each = ForEach{"user.friends[*]", 50, 2, true};
  friends.shape.allow = {"id", "name"};
  const auto plan = compiled(page_of({section("user"), friends}));
  run(*plan);
  EXPECT_EQ(page.body.substr(page.body.find(",\"friends\"")),
            R"(,"friends":[{"id":3,"name":"C"},{"id":1,"name":"A"},{"id":3,"name":"C"},null]})");
  EXPECT_EQ(services.calls().size(), 4U) << "equal items are called once";
  EXPECT_EQ(services.most_in_flight(), 2U);
  EXPECT_EQ(report(*plan), "user;s=ok;d=0, friends;s=fallback;d=30;e=items_failed;n=1");
}

// A page makes no more calls than it may, and a list that is none fails its section.
TEST_F(PageTest, BoundsTheCalls) {
  services.on("user").reply(R"({"ids":[1,2,3,4,5,6],"no":1})");
  services.on("x").reply("0");
  SectionSpec each = section("x", "/{item}"), none = section("x", "/{item}");
  each.for_each = ForEach{"user.ids", 4, 8, false};
  none.name = "y", none.for_each = ForEach{"user.no", 4, 8, false};
  PageSpec spec = page_of({section("user"), each, none});
  const auto plan = compiled(spec);
  run(*plan);
  EXPECT_EQ(page.body.substr(page.body.find(",\"x\"")), R"(,"x":[0,0,0,0],"y":null})");
  spec.calls_max = 3;
  run(*compiled(spec));
  EXPECT_EQ(page.body.substr(page.body.find(",\"x\"")), R"(,"x":[0,0,null,null],"y":null})");
}

// Shapes on the bytes: what stays keeps its text and its order.
TEST_F(PageTest, ShapesAnswers) {
  services.on("a").reply(R"({"keep" : 1.00, "secret":2,"old":{"x": [1]},"d":{"in":{"v":7}}})");
  const auto shown = [&](Shape shape) {
    SectionSpec a = section("a");
    a.shape = std::move(shape);
    run(*compiled(page_of({a})));
    return page.body;
  };
  EXPECT_EQ(shown({.pick = {},
                   .allow = {"keep", "old"},
                   .deny = {},
                   .rename = {{"old", "new"}},
                   .wrap = "",
                   .flatten = false}),
            R"({"a":{"keep":1.00,"new":{"x": [1]}}})");
  EXPECT_EQ(
      shown({.pick = {}, .allow = {}, .deny = {"secret", "d"}, .rename = {}, .wrap = "w", .flatten = false}),
      R"({"a":{"w":{"keep":1.00,"old":{"x": [1]}}}})");
  EXPECT_EQ(
      shown({.pick = {"d", "in", "v"}, .allow = {}, .deny = {}, .rename = {}, .wrap = "", .flatten = false}),
      R"({"a":7})");
  EXPECT_EQ(shown({.pick = {"none"}, .allow = {}, .deny = {}, .rename = {}, .wrap = "", .flatten = false}),
            R"({"a":null})");
  EXPECT_EQ(
      shown({.pick = {}, .allow = {"keep", "d"}, .deny = {}, .rename = {}, .wrap = "", .flatten = true}),
      R"({"keep":1.00,"d":{"in":{"v":7}}})");
  services.on("a").reply(R"([{"a":1,"b":2},{"b":3}])");
  EXPECT_EQ(shown({.pick = {}, .allow = {"b"}, .deny = {}, .rename = {}, .wrap = "", .flatten = false}),
            R"({"a":[{"b":2},{"b":3}]})");
  services.on("a").reply("7");
  EXPECT_EQ(shown({.pick = {}, .allow = {"b"}, .deny = {}, .rename = {}, .wrap = "", .flatten = false}),
            R"({"a":null})");
}

// A shaped section's references still see the whole answer.
TEST_F(PageTest, RefersToAnswersAsTheyCame) {
  services.on("a").reply(R"({"id":5,"name":"n"})");
  services.on("b", "/5").reply("1");
  SectionSpec a = section("a");
  a.shape.allow = {"name"};
  run(*compiled(page_of({a, section("b", "/{a.id}")})));
  EXPECT_EQ(page.body, R"({"a":{"name":"n"},"b":1})");
}

// A page that would be too large leaves sections out, not itself.
TEST_F(PageTest, BoundsItsSize) {
  services.on("a").reply("\"" + std::string(100, 'a') + "\"");
  services.on("b").reply("\"" + std::string(100, 'b') + "\"");
  services.on("c").reply("3");
  PageSpec spec = page_of({section("a"), section("b"), section("c")});
  spec.body_max = 200;
  const auto plan = compiled(spec);
  run(*plan);
  EXPECT_EQ(page.body, "{\"a\":\"" + std::string(100, 'a') + "\",\"b\":null,\"c\":3}");
  EXPECT_EQ(page.sections[1].failure, SectionFailure::page_size);
}

// The envelope tells a failed section from an empty one.
TEST_F(PageTest, ReportsInTheEnvelope) {
  services.on("a").reply("null");
  services.on("b").reply("x", 503);
  SectionSpec b = section("b");
  b.omit_on_error = true;
  PageSpec spec = page_of({section("a"), b});
  spec.envelope = true;
  run(*compiled(spec));
  EXPECT_EQ(page.body,
            R"({"sections":{"a":null},"errors":[{"section":"b","type":"http_status","status":503}]})");
}

// Other methods, with a JSON body from a template.
TEST_F(PageTest, SendsBodies) {
  inputs.values[{Source::query, "q"}] = "a\"b";
  SectionSpec search = section("search");
  search.method = http::Method::post;
  search.body = R"({"q":"{req.query.q}"})";
  services.on("search").reply("[]");
  run(*compiled(page_of({search})));
  EXPECT_EQ(services.calls()[0].body, R"({"q":"a\"b"})");
}

// Text is a string where the section takes it; 204 and nothing at all are null.
TEST_F(PageTest, TakesWhatIsNotJsonAsAskedFor) {
  services.on("a").reply("he said \"hi\"\n").field("Content-Type", "text/plain");
  services.on("b").reply("ignored", 204);
  services.on("c").reply("");
  SectionSpec a = section("a");
  a.text = true;
  run(*compiled(page_of({a, section("b"), section("c")})));
  EXPECT_EQ(page.body, R"({"a":"he said \"hi\"\u000a","b":null,"c":null})");
  EXPECT_TRUE(page.complete);
}

// Server-Timing and Proxy-Status of a mixed page.
TEST_F(PageTest, ReportsTimesAndFailures) {
  services.on("a").reply("1").after(12ms);
  services.on("b").fail(http::FetchFailure::refused);
  const auto plan = compiled(page_of({section("a"), section("b"), section("c", "/{b.x}")}));
  run(*plan);
  std::string timing, status;
  page.append_server_timing(*plan, timing);
  page.append_proxy_status(*plan, "weir", status);
  EXPECT_EQ(timing, "a;dur=12.0, b;dur=0.0;desc=\"error\"");
  EXPECT_EQ(status, "weir;error=connection_refused;next-hop=\"b\"");
}

// A page may be destroyed at any millisecond of its life: every call ends with it.
TEST_F(PageTest, LeavesNothingBehindWhereverItIsAbandoned) {
  services.on("a").reply("{\"id\":1,\"l\":[1,2,3]}").after(5ms);
  services.on("b").reply("1").after(5ms);
  services.on("c").reply("1").after(7ms);
  SectionSpec each = section("c", "/{item}");
  each.for_each = ForEach{"a.l", 10, 2, false};
  const auto plan = compiled(page_of({section("a"), section("b", "/{a.id}"), each}));
  for (int steps = 0; steps < 25; ++steps) {
    run(*plan, std::chrono::milliseconds{steps});
    scope.reset();
    EXPECT_EQ(services.in_flight(), 0U) << steps;
    loop.advance(1s);
    loop.run();
  }
  run(*plan);
  EXPECT_TRUE(page.complete);
}

// The deadline of a caller above shortens the page's own.
TEST_F(PageTest, TakesOverAShorterDeadline) {
  services.on("a").after(1s);
  SectionSpec a = section("a");
  a.timeout.reset();
  const auto plan = compiled(page_of({a}));
  async::Scope one;
  one.spawn(make_page(*plan, inputs, Deadline::after(loop.now(), 100ms), desk, page));
  loop.advance(98ms);
  loop.run();
  EXPECT_EQ(one.running(), 0U);
  EXPECT_EQ(page.sections[0].fetch, http::FetchFailure::timeout);
}

}  // namespace
}  // namespace weir::bff
