// Answers that are kept: RFC 9111 over sockets, a segment's answer for its segment alone, one fetch for many.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/acceptance/auth.h"

namespace weir::testing {
namespace {

class CacheGate : public ::testing::Test {
 protected:
  std::string configuration() {
    return with(
        R"(
      auth: {providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]}
      upstreams:
        origin: {endpoints: [$ORIGIN]}
      load_shed: {max_in_flight: 2}
      routes:
        - {path: /mine/*, auth: required, cache: {scope: user}, upstream: origin}
        - {path: /seg/*, auth: optional, cache: {}, vary: [X-Proxy-State], upstream: origin}
        - {path: /plain/*, upstream: origin}
        - {path: /small/*, cache: {max_body: 16}, upstream: origin}
        - {name: writes, path: /pub/*, methods: [POST, DELETE], upstream: origin}
        - {path: /pub/*, cache: {}, upstream: origin}
    )",
        {{"ORIGIN", origin.url()}, {"JWKS", folder.write("jwks.json", key_set({&issuer}))}});
  }

  // The path answers with these fields, and with a body that counts the answers.
  void answers(const std::string& path, Fields fields, int status = 200) {
    origin.on(path, [this, fields = std::move(fields), status](Call& call) {
      call.read_body();
      call.reply(status, "answer " + std::to_string(++made), fields);
    });
  }

  Fields user(std::string_view sub, std::string_view more = "{}") const {
    return bearer(issuer.token(sub, more));
  }

  TemporaryFolder folder;
  Issuer issuer;
  std::atomic<int> made{0};
  Origin origin;
  // What one worker keeps another gives, and who waits may be on any.
  static GatewayOptions two_workers() {
    GatewayOptions options;
    options.workers = 2;
    return options;
  }
  Gateway gateway{configuration(), two_workers()};
};

// A fresh answer is given again with its age, and says so; the upstream hears of it once. A route without `cache`
// keeps nothing.
TEST_F(CacheGate, GivesAFreshAnswerAgain) {
  answers("/pub/a", {{"Cache-Control", "max-age=60"}, {"ETag", "\"v1\""}, {"Age", "7"}, {"X-Thing", "kept"}});
  const Answer first = gateway.get("/pub/a");
  EXPECT_EQ(first.body, "answer 1");
  EXPECT_EQ(first.field("Cache-Status"), "weir; fwd=uri-miss; stored");
  const Answer again = gateway.get("/pub/a");
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body, "answer 1");
  EXPECT_TRUE(again.field("Cache-Status").starts_with("weir; hit; ttl=5")) << again;
  EXPECT_GE(number_of(again, "Age"), 7) << again;
  EXPECT_LE(number_of(again, "Age"), 10) << again;
  EXPECT_EQ(again.count("Age"), 1U);
  EXPECT_EQ(again.field("X-Thing"), "kept");
  EXPECT_EQ(again.field("ETag"), "\"v1\"");
  EXPECT_EQ(again.count("Date"), 1U);
  EXPECT_NE(again.field("X-Request-Id"), first.field("X-Request-Id"));
  EXPECT_EQ(origin.count("/pub/a"), 1U);
  EXPECT_EQ(gateway.ask("HEAD", "/pub/a").field("Content-Length"), "8");
  EXPECT_EQ(origin.count("/pub/a"), 1U) << "HEAD is answered from the same";
  EXPECT_EQ(gateway.get("/pub/a?x").body, "answer 2") << "another query is another answer";
  answers("/plain/a", {{"Cache-Control", "max-age=60"}});
  gateway.get("/plain/a");
  EXPECT_EQ(gateway.get("/plain/a").count("Cache-Status"), 0U);
  EXPECT_EQ(origin.count("/plain/a"), 2U);
}

// What RFC 9111 forbids to a shared cache is not kept, and the answer says why.
TEST_F(CacheGate, KeepsNothingThatMayNotBeKept) {
  const std::vector<std::pair<Fields, std::string>> cases{
      {{}, "no-freshness"},
      {{{"Cache-Control", "max-age=60, no-store"}}, "no-store"},
      {{{"Cache-Control", "max-age=60, private"}}, "private"},
      {{{"Cache-Control", "max-age=60, no-cache"}}, "no-cache"},
      {{{"Cache-Control", "max-age=60"}, {"Set-Cookie", "a=b"}}, "set-cookie"},
      {{{"Cache-Control", "max-age=60"}, {"Vary", "*"}}, "vary"},
      {{{"Cache-Control", "max-age=0"}}, "stale"},
  };
  int number = 0;
  for (const auto& [fields, why] : cases) {
    const std::string path = "/pub/not" + std::to_string(++number);
    answers(path, fields);
    EXPECT_EQ(gateway.get(path).field("Cache-Status"), "weir; fwd=uri-miss; detail=" + why);
    const Answer again = gateway.get(path);
    EXPECT_EQ(origin.count(path), 2U) << why;
    EXPECT_EQ(again.count("Set-Cookie"), why == "set-cookie" ? 1U : 0U);
  }
  answers("/pub/asked", {{"Cache-Control", "max-age=60"}});
  EXPECT_EQ(gateway.get("/pub/asked", {{"Cache-Control", "no-store"}}).field("Cache-Status"),
            "weir; fwd=bypass");
  EXPECT_EQ(gateway.get("/pub/asked", {{"Range", "bytes=0-1"}}).field("Cache-Status"), "weir; fwd=bypass");
  expect_problem(gateway.get("/pub/asked", {{"Cache-Control", "only-if-cached"}}), 504, "not-cached");
  EXPECT_EQ(origin.count("/pub/asked"), 2U);
  gateway.get("/pub/asked");
  EXPECT_EQ(gateway.get("/pub/asked", {{"Cache-Control", "only-if-cached"}}).status, 200);
  EXPECT_EQ(gateway.get("/pub/asked", {{"Cache-Control", "no-cache"}}).field("Cache-Status"),
            "weir; fwd=request; stored");
  EXPECT_EQ(origin.count("/pub/asked"), 4U);
}

// RFC 9111 3.5: an answer to somebody with a credential is kept only if it says that it may be shared.
TEST_F(CacheGate, AuthorizationRule) {
  answers("/seg/a", {{"Cache-Control", "max-age=60"}});
  answers("/seg/b", {{"Cache-Control", "max-age=60, public"}});
  EXPECT_EQ(gateway.get("/seg/a", user("u1")).field("Cache-Status"),
            "weir; fwd=uri-miss; detail=authorization");
  gateway.get("/seg/a", user("u1"));
  EXPECT_EQ(origin.count("/seg/a"), 2U);
  gateway.get("/seg/a");
  gateway.get("/seg/a");
  EXPECT_EQ(origin.count("/seg/a"), 3U) << "nobody's answer may be kept";
  gateway.get("/seg/b", user("u1"));
  EXPECT_TRUE(gateway.get("/seg/b", user("u1")).field("Cache-Status").starts_with("weir; hit"));
  answers("/pub/c", {{"Cache-Control", "max-age=60"}});
  gateway.get("/pub/c", {{"Authorization", "Basic abc"}});
  gateway.get("/pub/c", {{"Authorization", "Basic abc"}});
  EXPECT_EQ(origin.count("/pub/c"), 2U) << "also where weir does not look at the credential";
}

// Two users of one segment share an answer; another tier, country or platform, nobody, or a user where the route or the
// upstream says that it is his, gets his own.
TEST_F(CacheGate, ASegmentsAnswerIsItsOwn) {
  const Fields shared{{"Cache-Control", "s-maxage=60"}};
  answers("/seg/page", shared);
  const auto segment = [](std::string_view plan, std::string_view country, std::string_view platform) {
    return with(R"({"plan": "$PLAN", "country": "$COUNTRY", "platform": "$PLATFORM"})",
                {{"PLATFORM", std::string(platform)},
                 {"COUNTRY", std::string(country)},
                 {"PLAN", std::string(plan)}});
  };
  const std::string gold = segment("gold", "US", "web");
  const Answer first = gateway.get("/seg/page", user("u1", gold));
  EXPECT_EQ(gateway.get("/seg/page", user("u2", gold)).body, first.body);
  EXPECT_EQ(first.field("Vary"), "X-Proxy-State") << "for caches in front";
  EXPECT_EQ(gateway.get("/seg/page", user("u2", gold)).field("Vary"), "X-Proxy-State");
  for (const std::string& other :
       {segment("free", "US", "web"), segment("gold", "CA", "web"), segment("gold", "US", "tv")})
    EXPECT_NE(gateway.get("/seg/page", user("u1", other)).body, first.body) << other;
  EXPECT_NE(gateway.get("/seg/page").body, first.body);
  EXPECT_EQ(origin.count("/seg/page"), 5U);

  answers("/mine/page", shared);
  const Answer mine = gateway.get("/mine/page", user("u1", gold));
  EXPECT_NE(gateway.get("/mine/page", user("u2", gold)).body, mine.body);
  EXPECT_EQ(gateway.get("/mine/page", user("u1", gold)).body, mine.body);

  for (const std::string name : {"X-Passport", "Authorization"}) {
    Fields varied = shared;
    varied.emplace_back("Vary", name);
    answers("/seg/" + name, varied);
    const Answer one = gateway.get("/seg/" + name, user("u1", gold));
    EXPECT_NE(gateway.get("/seg/" + name, user("u2", gold)).body, one.body) << name;
    EXPECT_EQ(gateway.get("/seg/" + name, user("u1", gold)).body, one.body) << name;
  }
}

// A client cannot choose a segment: its own X-Proxy-State is dropped before the key is made.
TEST_F(CacheGate, ASegmentCannotBeClaimed) {
  answers("/seg/x", {{"Cache-Control", "s-maxage=60"}});
  const Answer gold = gateway.get("/seg/x", user("u1", R"({"plan":"gold"})"));
  const std::string state = origin.last("/seg/x").field("X-Proxy-State");
  for (const std::string name : {"X-Proxy-State", "x_proxy_state", "X.Proxy.State"})
    EXPECT_NE(gateway.get("/seg/x", {{name, state}}).body, gold.body) << name;
}

// Vary by a client's field: each value has its answer, in whatever order they come.
TEST_F(CacheGate, Varies) {
  origin.on("/pub/v", [&](Call& call) {
    call.reply(200, call.request().field("Accept-Language") + std::to_string(++made),
               {{"Cache-Control", "max-age=60"}, {"Vary", "Accept-Language"}});
  });
  const Answer french = gateway.get("/pub/v", {{"Accept-Language", "fr"}});
  const Answer english = gateway.get("/pub/v", {{"Accept-Language", "en"}});
  EXPECT_EQ(french.body, "fr1");
  EXPECT_EQ(english.body, "en2");
  EXPECT_EQ(english.field("Cache-Status"), "weir; fwd=vary-miss; stored");
  EXPECT_EQ(gateway.get("/pub/v", {{"Accept-Language", "fr"}}).body, "fr1");
  EXPECT_EQ(gateway.get("/pub/v", {{"accept-language", "en"}}).body, "en2");
  EXPECT_EQ(gateway.get("/pub/v").body, "3");
  EXPECT_EQ(origin.count("/pub/v"), 3U);
}

// If-None-Match and If-Modified-Since are answered by weir: 304 without a body, from what is kept or on the way.
TEST_F(CacheGate, AnswersConditions) {
  answers("/pub/e", {{"Cache-Control", "max-age=60"},
                     {"ETag", "\"v1\""},
                     {"Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"},
                     {"Content-Type", "text/plain"}});
  const Answer missed = gateway.get("/pub/e", {{"If-None-Match", "W/\"v1\""}});
  EXPECT_EQ(missed.status, 304) << missed;
  EXPECT_EQ(missed.body, "");
  EXPECT_EQ(origin.last("/pub/e").count("If-None-Match"), 0U) << "the whole was fetched";
  EXPECT_EQ(gateway.get("/pub/e").body, "answer 1") << "and kept";
  const Answer hit = gateway.get("/pub/e", {{"If-None-Match", "\"v0\", \"v1\""}});
  EXPECT_EQ(hit.status, 304);
  EXPECT_EQ(hit.field("ETag"), "\"v1\"");
  EXPECT_EQ(hit.count("Content-Type"), 0U);
  EXPECT_EQ(gateway.get("/pub/e", {{"If-None-Match", "\"v0\""}}).status, 200);
  EXPECT_EQ(gateway.get("/pub/e", {{"If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"}}).status, 304);
  EXPECT_EQ(gateway.get("/pub/e", {{"If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT"}}).status, 200);
  EXPECT_EQ(origin.count("/pub/e"), 1U);
  Client client(gateway.port());
  EXPECT_EQ(client.get("/pub/e", {{"If-None-Match", "*"}}).status, 304);
  EXPECT_EQ(client.get("/pub/e").body, "answer 1") << "the connection goes on";
}

// An unsafe request that went well ends what is kept for its path, with every query and segment, also through another
// route; one that was refused ends nothing.
TEST_F(CacheGate, UnsafeRequestsInvalidate) {
  answers("/pub/i", {{"Cache-Control", "max-age=60"}});
  gateway.get("/pub/i");
  gateway.get("/pub/i?q=1");
  EXPECT_EQ(gateway.ask("POST", "/pub/i", {}, "x").status, 200);
  EXPECT_EQ(gateway.get("/pub/i").body, "answer 4");
  EXPECT_EQ(gateway.get("/pub/i?q=1").body, "answer 5");
  answers("/pub/i", {{"Cache-Control", "max-age=60"}}, 404);
  EXPECT_EQ(gateway.ask("DELETE", "/pub/i").status, 404);
  EXPECT_EQ(gateway.get("/pub/i").body, "answer 4");
}

// Many who miss together: one asks, the others wait without a place (there are two), and all get the one answer.
TEST_F(CacheGate, OneFetchForMany) {
  Gate gate;
  origin.on("/pub/many", [&](Call& call) {
    if (call.wait(gate)) call.reply(200, "one", {{"Cache-Control", "max-age=60"}});
  });
  std::vector<Client> clients;
  for (int i = 0; i < 50; ++i) {
    clients.emplace_back(gateway.port());
    clients.back().send(request_text("GET", "/pub/many"));
  }
  ASSERT_TRUE(origin.wait_for_requests("/pub/many", 1));
  EXPECT_EQ(gateway.get("/plain/x").status, 200) << "49 wait and hold none of the two places";
  gate.open();
  int collapsed = 0;
  for (Client& client : clients) {
    const Answer answer = client.read_final();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "one");
    collapsed += answer.field("Cache-Status").find("collapsed") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(origin.count("/pub/many"), 1U);
  EXPECT_GT(collapsed, 0);
}

// The one who asks goes away: another of those who wait asks in his place.
TEST_F(CacheGate, FollowersSurviveTheirLeader) {
  Gate gate;
  origin.on("/pub/lead", [&](Call& call) {
    if (call.wait(gate)) call.reply(200, "two", {{"Cache-Control", "max-age=60"}});
  });
  Client leader(gateway.port());
  leader.send(request_text("GET", "/pub/lead"));
  ASSERT_TRUE(origin.wait_for_requests("/pub/lead", 1));
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) {
    clients.emplace_back(gateway.port());
    clients.back().send(request_text("GET", "/pub/lead"));
  }
  EXPECT_EQ(gateway.get("/plain/x").status, 200);
  leader.reset();
  ASSERT_TRUE(origin.wait_for_requests("/pub/lead", 2));
  gate.open();
  for (Client& client : clients) EXPECT_EQ(client.read_final().body, "two");
  EXPECT_EQ(origin.count("/pub/lead"), 2U);
}

// What cannot be kept holds nobody up: those who waited for it ask by themselves, all at once.
TEST_F(CacheGate, NobodyWaitsForWhatIsNotKept) {
  Gate gate;
  origin.on("/pub/un", [&](Call& call) {
    if (call.wait(gate)) call.reply(200, "own");
  });
  Client first(gateway.port());
  first.send(request_text("GET", "/pub/un"));
  ASSERT_TRUE(origin.wait_for_requests("/pub/un", 1));
  Client second(gateway.port());
  second.send(request_text("GET", "/pub/un"));
  EXPECT_EQ(gateway.get("/plain/x").status, 200);
  gate.let(1);
  EXPECT_EQ(first.read_final().body, "own");
  ASSERT_TRUE(origin.wait_for_requests("/pub/un", 2));
  Client third(gateway.port());
  third.send(request_text("GET", "/pub/un"));
  ASSERT_TRUE(origin.wait_for_requests("/pub/un", 3)) << "does not wait for the second";
  gate.open();
  EXPECT_EQ(second.read_final().body, "own");
  EXPECT_EQ(third.read_final().body, "own");
}

// An answer beyond max_body passes whole and is not kept; one that breaks off neither.
TEST_F(CacheGate, LargeAndBrokenAnswers) {
  origin.on("/small/big", [&](Call& call) {
    call.send(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n"
        "12345678901234567890\r\n0\r\n\r\n");
  });
  for (int i = 0; i < 2; ++i) EXPECT_EQ(gateway.get("/small/big").body, "12345678901234567890");
  EXPECT_EQ(origin.count("/small/big"), 2U);
  origin.on("/small/ok", [&](Call& call) {
    call.send(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: "
        "chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n");
  });
  for (int i = 0; i < 2; ++i) EXPECT_EQ(gateway.get("/small/ok").body, "1234");
  EXPECT_EQ(origin.count("/small/ok"), 1U);
  origin.on_raw("/small/cut",
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\n1234");
  for (int i = 0; i < 2; ++i) {
    const Answer cut = gateway.get("/small/cut");
    EXPECT_TRUE(cut.status == 502 || !cut.fault.empty()) << cut;
  }
  EXPECT_EQ(origin.count("/small/cut"), 2U);
  origin.on_raw("/small/close", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n1234");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(gateway.get("/small/close").body, "1234");
  EXPECT_EQ(origin.count("/small/close"), 2U) << "whether it was whole cannot be known";
}

// The log and the metrics name the stage.
TEST_F(CacheGate, IsSeen) {
  answers("/pub/s", {{"Cache-Control", "max-age=60"}});
  gateway.get("/pub/s");
  gateway.get("/pub/s");
  EXPECT_TRUE(gateway.wait_for_metric("weir_decisions_total",
                                      {{"route", "/pub/*"}, {"stage", "cache"}, {"verdict", "answer"}}, 1));
  EXPECT_EQ(gateway.metrics().value("weir_cache_entries").value_or(0), 1);
  EXPECT_GT(gateway.metrics().value("weir_cache_bytes").value_or(0), 0);
  const Json line = gateway.wait_for_log([](const Json& each) { return each["stage"].text() == "cache"; });
  EXPECT_EQ(line["status"].number(), 200);
  EXPECT_EQ(line["attempts"].number(), 0);
}

}  // namespace
}  // namespace weir::testing
