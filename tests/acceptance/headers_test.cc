// Header fields on their way in both directions: what weir adds, keeps, rebuilds and drops.
#include <algorithm>
#include <vector>

#include "tests/acceptance/acceptance.h"

namespace weir::testing {
namespace {

class Headers : public ::testing::Test {
 protected:
  static std::string configuration(const Origin& origin) {
    return with(R"(
      upstreams: {origin: {endpoints: [$ORIGIN]}}
      routes: [{path: /*, upstream: origin}]
    )",
                {{"ORIGIN", origin.url()}});
  }

  Origin origin;
  Gateway gateway{configuration(origin)};
};

bool is_uuid_v7(const std::string& text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return false;
    if (!dash && std::string("0123456789abcdef").find(text[i]) == std::string::npos) return false;
  }
  return text[14] == '7' && std::string("89ab").find(text[19]) != std::string::npos;
}

// A good X-Request-Id is kept, anything else is replaced; answer, upstream and log carry the same.
TEST_F(Headers, KeepOrReplaceTheRequestId) {
  const std::string longest(128, 'a');
  for (const std::string& id : {std::string("abc.DEF_1~2-3"), longest}) {
    EXPECT_EQ(gateway.get("/", {{"X-Request-Id", id}}).field("X-Request-Id"), id);
    EXPECT_EQ(origin.last().field("X-Request-Id"), id);
    EXPECT_EQ(origin.last().count("X-Request-Id"), 1U);
  }
  for (const std::string& id :
       {std::string("has space"), longest + "a", std::string("semi;colon"), std::string("")}) {
    const std::string fresh = gateway.get("/", {{"X-Request-Id", id}}).field("X-Request-Id");
    EXPECT_TRUE(is_uuid_v7(fresh)) << fresh;
    EXPECT_EQ(origin.last().field("X-Request-Id"), fresh);
  }
  const std::string fresh = gateway.get("/").field("X-Request-Id");
  EXPECT_TRUE(is_uuid_v7(fresh)) << fresh;
  EXPECT_NE(fresh, gateway.get("/").field("X-Request-Id"));
  EXPECT_EQ(gateway.wait_for_log([&](const Json& line) { return line["id"].text() == fresh; })["path"].text(),
            "/");
}

// Even a refusal, whatever it is for, has an id.
TEST_F(Headers, GiveEveryAnswerAnId) {
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("nonsense\r\n\r\n")}) {
    Client client(gateway.port());
    client.send(bytes);
    EXPECT_TRUE(is_uuid_v7(client.read().field("X-Request-Id")));
  }
}

// Via names weir in both directions, after whoever was there before.
TEST_F(Headers, AddVia) {
  const Answer answer = gateway.get("/");
  EXPECT_EQ(answer.field("Via"), "1.1 weir") << answer;
  EXPECT_EQ(origin.last().field("Via"), "1.1 weir");
  gateway.get("/", {{"Via", "1.0 other"}});
  std::string all;
  for (const auto& [name, value] : origin.last().fields)
    if (name == "Via" || name == "via") all += (all.empty() ? "" : ", ") + value;
  EXPECT_EQ(all, "1.0 other, 1.1 weir");
}

// What the client claims about where it came from is dropped and written anew.
TEST_F(Headers, RebuildForwardingFields) {
  gateway.get("/", {{"Host", "shop.example"},
                    {"X-Forwarded-For", "192.0.2.1"},
                    {"X-Forwarded-Proto", "https"},
                    {"X-Forwarded-Host", "evil.example"},
                    {"Forwarded", "for=192.0.2.1;host=evil.example"}});
  const Seen seen = origin.last();
  EXPECT_EQ(seen.field("Host"), "shop.example");
  EXPECT_EQ(seen.field("X-Forwarded-For"), "127.0.0.1");
  EXPECT_EQ(seen.field("X-Forwarded-Proto"), "http");
  EXPECT_EQ(seen.field("X-Forwarded-Host"), "shop.example");
  for (const char* name : {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Host"})
    EXPECT_EQ(seen.count(name), 1U) << name << "\n" << seen.head;
  EXPECT_NE(seen.field("Forwarded").find("for=127.0.0.1"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.head.find("evil"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.head.find("192.0.2.1"), std::string::npos) << seen.head;
}

// A trusted peer's list is continued.
TEST(HeadersOfTrustedPeers, ContinueForwardingFields) {
  Origin origin;
  GatewayOptions options;
  options.extra = "trusted_proxies: {cidrs: [127.0.0.0/8]}\n";
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}),
                  options);
  gateway.get("/", {{"X-Forwarded-For", "192.0.2.1"}, {"X-Forwarded-Proto", "https"}});
  EXPECT_EQ(origin.last().field("X-Forwarded-For"), "192.0.2.1, 127.0.0.1") << origin.last().head;
  EXPECT_EQ(origin.last().field("X-Forwarded-Proto"), "https") << origin.last().head;
}

// Every upstream call carries a traceparent: a trusted peer's trace is continued, a stranger's, a broken or an absent
// one starts anew.
TEST_F(Headers, CarryTheTrace) {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const Fields traced{{"traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}, {"tracestate", "vendor=1"}};
  gateway.get("/", traced);
  EXPECT_EQ(origin.last().field("traceparent").find(trace), std::string::npos) << origin.last().head;
  EXPECT_EQ(origin.last().count("tracestate"), 0U);
  EXPECT_EQ(gateway.reload(configuration(origin) + "\ntracing: {trust: [127.0.0.0/8]}\n").status, 200);
  gateway.get("/", {{"traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}, {"tracestate", "vendor=1"}});
  EXPECT_EQ(origin.last().field("traceparent").substr(0, 36), "00-" + trace + "-") << origin.last().head;
  EXPECT_EQ(origin.last().count("traceparent"), 1U);
  for (const char* broken : {"", "00-0000000000000000000000000000000-00f067aa0ba902b7-01", "nonsense",
                             "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}) {
    gateway.get("/", {{"traceparent", broken}});
    const std::string fresh = origin.last().field("traceparent");
    EXPECT_EQ(fresh.size(), 55U) << fresh;
    EXPECT_EQ(fresh.substr(0, 3), "00-") << fresh;
    EXPECT_NE(fresh.substr(3, 32), std::string(32, '0')) << fresh;
  }
  gateway.get("/");
  EXPECT_EQ(origin.last().field("traceparent").size(), 55U) << origin.last().head;
}

// What only weir may say about a caller is dropped in every
// spelling that some server would read as the same name.
TEST_F(Headers, DropSpoofedIdentity) {
  for (const char* name :
       {"X-Passport", "x-passport", "X_Passport", "X-PASSPORT", "x_passport", "X.Passport", "X-Proxy-State",
        "X_Proxy_State", "x-proxy_state", "X-Experiments", "X_Experiments", "X-Flags", "x.flags"}) {
    EXPECT_EQ(gateway.get("/", {{name, "spoofed"}}).status, 200) << name;
    EXPECT_EQ(origin.last().head.find("spoofed"), std::string::npos) << origin.last().head;
  }
  gateway.get("/", {{"Connection", "X-Passport"}, {"X-Passport", "spoofed"}});
  EXPECT_EQ(origin.last().head.find("spoofed"), std::string::npos) << origin.last().head;
  EXPECT_EQ(origin.last().head.find("assport"), std::string::npos) << origin.last().head;
}

// Fields of one connection stay on it, in both directions, with whatever Connection nominates.
TEST_F(Headers, KeepHopByHopFieldsToTheirHop) {
  origin.on("/", [](Call& call) {
    call.reply(200, "x",
               {{"Connection", "X-Private-Answer"},
                {"X-Private-Answer", "secret"},
                {"Keep-Alive", "timeout=5"},
                {"Proxy-Authenticate", "Basic"},
                {"X-Public", "yes"}});
  });
  const Answer answer = gateway.get("/", {{"Connection", "keep-alive, X-Private"},
                                          {"X-Private", "secret"},
                                          {"Keep-Alive", "timeout=5"},
                                          {"TE", "trailers"},
                                          {"Proxy-Connection", "keep-alive"},
                                          {"Proxy-Authorization", "Basic x"},
                                          {"X-Public", "yes"}});
  const Seen seen = origin.last();
  for (const char* name : {"X-Private", "Keep-Alive", "TE", "Proxy-Connection", "Proxy-Authorization"})
    EXPECT_EQ(seen.count(name), 0U) << seen.head;
  EXPECT_EQ(seen.field("X-Public"), "yes");
  for (const char* name : {"X-Private-Answer", "Keep-Alive", "Proxy-Authenticate"})
    EXPECT_FALSE(answer.has(name)) << answer;
  EXPECT_EQ(answer.field("X-Public"), "yes");
}

// Connection cannot be used to take away what other parties rely on.
TEST_F(Headers, DoNotLetConnectionRemoveEndToEndFields) {
  gateway.ask("POST", "/",
              {{"Connection", "close, Cookie, Authorization, Content-Length, Host, X-Forwarded-For"},
               {"Cookie", "a=b"},
               {"Authorization", "Bearer t"}},
              "body");
  const Seen seen = origin.last();
  EXPECT_EQ(seen.field("Cookie"), "a=b") << seen.head;
  EXPECT_EQ(seen.field("Authorization"), "Bearer t") << seen.head;
  EXPECT_EQ(seen.field("X-Forwarded-For"), "127.0.0.1") << seen.head;
  EXPECT_EQ(seen.body, "body");
}

// Everything else passes, in order, repeated fields and odd bytes included.
TEST_F(Headers, PassEndToEndFields) {
  origin.on("/", [](Call& call) {
    call.reply(200, "x",
               {{"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}, {"ETag", "\"v\""}, {"X-Latin", "caf\xe9"}});
  });
  const Answer answer = gateway.get("/", {{"Accept", "a/b"},
                                          {"X-Twice", "1"},
                                          {"X-Twice", "2"},
                                          {"X-Empty", ""},
                                          {"X-Latin", "caf\xe9"},
                                          {"Cookie", "k=v"},
                                          {"Authorization", "Bearer t"}});
  std::vector<std::string> cookies, twice;
  for (const auto& [name, value] : answer.fields)
    if (name == "Set-Cookie" || name == "set-cookie") cookies.push_back(value);
  for (const auto& [name, value] : origin.last().fields)
    if (name == "X-Twice" || name == "x-twice") twice.push_back(value);
  EXPECT_EQ(cookies, (std::vector<std::string>{"a=1", "b=2"}));
  EXPECT_EQ(twice, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(answer.field("ETag"), "\"v\"");
  EXPECT_EQ(answer.field("X-Latin"), "caf\xe9");
  EXPECT_EQ(origin.last().field("X-Latin"), "caf\xe9");
  EXPECT_EQ(origin.last().count("X-Empty"), 1U);
  EXPECT_EQ(origin.last().field("Authorization"), "Bearer t");
  EXPECT_EQ(origin.last().field("Cookie"), "k=v");
}

// A route can set and remove fields on the way there and back.
TEST(HeadersOfRoutes, AreEdited) {
  Origin origin;
  origin.on("/", [](Call& call) { call.reply(200, "x", {{"X-Old", "1"}, {"Server", "secret"}}); });
  Gateway gateway(with(R"(
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes:
      - path: /*
        upstream: origin
        headers:
          request: {set: {X-A: b}, remove: [X-B]}
          response: {set: {X-Old: "2"}, remove: [Server]}
  )",
                       {{"ORIGIN", origin.url()}}));
  const Answer answer = gateway.get("/", {{"X-A", "mine"}, {"x-b", "mine"}});
  EXPECT_EQ(origin.last().field("X-A"), "b");
  EXPECT_EQ(origin.last().count("X-A"), 1U);
  EXPECT_EQ(origin.last().count("X-B"), 0U);
  EXPECT_EQ(answer.field("X-Old"), "2");
  EXPECT_EQ(answer.count("X-Old"), 1U);
  EXPECT_FALSE(answer.has("Server")) << answer;
}

// Host passes unchanged unless the upstream has its own name, or is given one.
TEST(HeadersOfUpstreams, ChooseTheHost) {
  Origin origin;
  Gateway gateway(with(R"(
    upstreams:
      kept: {endpoints: [$ORIGIN]}
      own: {endpoints: [$ORIGIN], host: upstream}
      named: {endpoints: [$ORIGIN], host: inner.example}
    routes:
      - {path: /kept, upstream: kept}
      - {path: /own, upstream: own}
      - {path: /named, upstream: named}
  )",
                       {{"ORIGIN", origin.url()}}));
  for (const char* path : {"/kept", "/own", "/named"}) gateway.get(path, {{"Host", "outer.example:81"}});
  EXPECT_EQ(origin.last("/kept").field("Host"), "outer.example:81");
  EXPECT_EQ(origin.last("/own").field("Host"), "127.0.0.1:" + std::to_string(origin.port()));
  EXPECT_EQ(origin.last("/named").field("Host"), "inner.example");
}

}  // namespace
}  // namespace weir::testing
