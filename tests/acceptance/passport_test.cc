// Who asks: tokens and API keys in, X-Passport and X-Proxy-State out, and nothing of a stranger's in between.
#include "tests/acceptance/auth.h"

#include <thread>
#include <vector>

#include "weir/passport/passport_signer.h"

namespace weir::testing {
namespace {

class PassportGate : public ::testing::Test {
 protected:
  std::string configuration() {
    return with(
        R"(
      auth:
        providers:
          - {name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}
          - {name: machines, type: api_key, header: X-Api-Key, file: $KEYS}
      upstreams:
        origin: {endpoints: [$ORIGIN]}
        foreign: {endpoints: [$ORIGIN], external: true}
      rate_limits:
        per_user: {key: passport.user_id, limit: 3/min}
        by_tenant: {key: jwt.org.id, limit: 2/min}
        tiered: {key: client_ip, limit: 1/min, tiers: {from: passport.plan, gold: 100/min}}
      passport: {claims: {user_id: sub, email: email, roles: roles, plan: plan}}
      routes:
        - {path: /must, auth: required, upstream: origin}
        - {path: /may, auth: optional, upstream: origin}
        - {path: /off, upstream: origin}
        - {path: /pay, auth: {scopes: [pay, read]}, upstream: origin}
        - {path: /admin, auth: {roles: [admin, root]}, upstream: origin}
        - {path: /robots, auth: {providers: [machines]}, upstream: origin}
        - {path: /token, auth: required, forward_token: true, upstream: origin}
        - {path: /foreign, auth: required, upstream: foreign}
        - {path: /limited, auth: required, rate_limit: [per_user], upstream: origin}
        - {path: /tenant, auth: required, rate_limit: [by_tenant], upstream: origin}
        - {path: /tiered, auth: required, rate_limit: [tiered], upstream: origin}
        - {path: /*, upstream: origin}
    )",
        {{"ORIGIN", origin.url()},
         {"JWKS", folder.write("jwks.json", key_set({&issuer}))},
         {"KEYS", folder.write("keys.yaml", passport::api_key_hash("robot-key") +
                                                ": {sub: robot_1, scope: \"read pay\", roles: [job]}\n")}});
  }

  TemporaryFolder folder;
  Issuer issuer;
  Origin origin;
  Gateway gateway{configuration()};
};

// The contract's literals: sub=user_123 begins eyJ1c2VyX2lkIjoidXNlcl8xMjMi; active, user_123, US, web.
TEST_F(PassportGate, TellsUpstreamsWhoAsks) {
  const std::string token =
      issuer.token("user_123", R"({"country":"US","platform":"web","status":"active"})");
  EXPECT_EQ(gateway.get("/must", bearer(token)).status, 200);
  const Seen seen = origin.last();
  EXPECT_TRUE(seen.field("X-Passport").starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi")) << seen.head;
  EXPECT_EQ(seen.field("X-Proxy-State"), "YWN0aXZlOnVzZXJfMTIzOlVTOndlYg==");
  EXPECT_EQ(seen.count("X-Passport"), 1U);
  EXPECT_EQ(seen.count("Authorization"), 0U) << "the credential stays at the gate";
  EXPECT_EQ(gateway.get("/must", bearer(token)).status, 200) << "and once more, from memory";
  EXPECT_EQ(origin.last().field("X-Passport"), seen.field("X-Passport"));
  EXPECT_EQ(gateway.get("/token", bearer(token)).status, 200);
  EXPECT_EQ(origin.last().field("Authorization"), "Bearer " + token);
  EXPECT_EQ(gateway.get("/off", bearer(token)).status, 200);
  EXPECT_EQ(origin.last().field("Authorization"), "Bearer " + token) << "nobody asked for it here";
  EXPECT_EQ(origin.last().count("X-Passport"), 0U);
}

// No token: 401 with a plain challenge where one is required, an anonymous passport where it is optional.
TEST_F(PassportGate, KnowsNobody) {
  const Answer refused = gateway.get("/must");
  expect_problem(refused, 401, "unauthenticated");
  EXPECT_EQ(refused.field("WWW-Authenticate"), "Bearer realm=\"weir\"");
  EXPECT_EQ(origin.requests().size(), 0U);
  EXPECT_EQ(gateway.get("/may").status, 200);
  EXPECT_EQ(decoded(origin.last().field("X-Passport")),
            R"({"user_id":null,"anon":true,"status":"anonymous"})");
  EXPECT_EQ(decoded(origin.last().field("X-Proxy-State")), "anonymous::ZZ:other");
}

// A token that is there and bad is refused, also where none would have passed; the reason is in the log, its claims
// are nowhere.
TEST_F(PassportGate, RefusesBadTokens) {
  const Issuer stranger;
  struct Case {
    std::string token;
    std::string why;
  };
  const std::vector<Case> cases{
      {issuer.token("secret-user", R"({"exp":1700000000})"), "expired"},
      {issuer.token("secret-user", R"({"aud":"other"})"), "wrong_audience"},
      {issuer.token("secret-user", R"({"iss":"https://evil.example"})"), "unknown_issuer"},
      {issuer.token("secret-user", R"({"nbf":4000000000})"), "not_yet_valid"},
      {stranger.token("secret-user"), "bad_signature"},
      {Issuer("other-kid").token("secret-user"), "unknown_key"},
      {"a.b.c.d.e", "encrypted"},
      {"nonsense", "not_compact"},
      {issuer.token("secret-user") + "=", "bad_encoding"},
      {"eyJhbGciOiJub25lIn0.e30.AA", "unknown_algorithm"}};
  for (const char* path : {"/must", "/may"})
    for (const Case& bad : cases) {
      const Answer answer = gateway.get(path, bearer(bad.token));
      expect_problem(answer, 401, "token-invalid");
      EXPECT_EQ(answer.field("WWW-Authenticate"), "Bearer realm=\"weir\", error=\"invalid_token\"");
      EXPECT_EQ(answer.body.find("secret-user"), std::string::npos);
      const std::string id = answer.field("X-Request-Id");
      const Json line = gateway.wait_for_log([&](const Json& each) { return each["id"].text() == id; });
      EXPECT_EQ(line["auth"].text(), bad.why);
      EXPECT_EQ(line["stage"].text(), "passport");
      EXPECT_EQ(line["reason"].text(), "token-invalid");
    }
  EXPECT_EQ(origin.requests().size(), 0U);
}

// Two credentials are a malformed request, whichever they are; another scheme is no token.
TEST_F(PassportGate, WantsOneCredential) {
  const std::string token = issuer.token("u");
  expect_problem(
      gateway.get("/must", {{"Authorization", "Bearer " + token}, {"Authorization", "Bearer " + token}}), 400,
      "bad-request");
  expect_problem(gateway.get("/must", {{"Authorization", "Bearer " + token}, {"X-Api-Key", "robot-key"}}),
                 400, "bad-request");
  for (const std::string& value :
       std::vector<std::string>{"Basic dTpw", "DPoP " + token, "Bearer", "Bearer ", token})
    expect_problem(gateway.get("/may", {{"Authorization", value}}), 401, "token-invalid");
  EXPECT_EQ(gateway.get("/must", {{"authorization", "bEARER  " + token}}).status, 200);
  EXPECT_EQ(gateway.get("/must?access_token=" + token).status, 401);
}

// Scopes all, roles one of them, providers by name: asked on every request, also for a token that is remembered.
TEST_F(PassportGate, AsksTheRulesOfEachRoute) {
  const std::string reader = issuer.token("u", R"({"scope":"read"})");
  const std::string payer = issuer.token("u", R"({"scope":"read pay other","roles":["root"]})");
  EXPECT_EQ(gateway.get("/must", bearer(reader)).status, 200);
  const Answer refused = gateway.get("/pay", bearer(reader));
  expect_problem(refused, 403, "insufficient-scope");
  EXPECT_EQ(refused.field("WWW-Authenticate"),
            "Bearer realm=\"weir\", error=\"insufficient_scope\", scope=\"pay read\"");
  EXPECT_EQ(gateway.get("/pay", bearer(payer)).status, 200);
  EXPECT_EQ(gateway.get("/admin", bearer(payer)).status, 200);
  EXPECT_EQ(gateway.get("/admin", bearer(reader)).status, 403);
  EXPECT_EQ(gateway.get("/robots", bearer(payer)).status, 401);
  EXPECT_EQ(gateway.get("/robots", {{"X-Api-Key", "robot-key"}}).status, 200);
}

// An API key is the same as a token from there on.
TEST_F(PassportGate, TakesApiKeys) {
  EXPECT_EQ(gateway.get("/pay", {{"x-api-key", "robot-key"}}).status, 200);
  EXPECT_TRUE(
      decoded(origin.last().field("X-Passport")).starts_with(R"({"user_id":"robot_1","roles":["job"])"));
  EXPECT_EQ(origin.last().count("X-Api-Key"), 0U);
  expect_problem(gateway.get("/pay", {{"X-Api-Key", "robot-kez"}}), 401, "token-invalid");
  EXPECT_EQ(gateway.get("/off", {{"X-Api-Key", "robot-key"}}).status, 200);
  EXPECT_EQ(origin.last().field("X-Api-Key"), "robot-key");
}

// Somebody else's service is told nothing about users.
TEST_F(PassportGate, TellsForeignServicesNothing) {
  EXPECT_EQ(gateway.get("/foreign", bearer(issuer.token("user_123"))).status, 200);
  for (const char* name : {"X-Passport", "X-Proxy-State", "Authorization"})
    EXPECT_EQ(origin.last().count(name), 0U);
}

// Limits by a member of the passport, by a claim, and by the plan.
TEST_F(PassportGate, LimitsByIdentity) {
  const auto status = [&](const char* path, const std::string& token) {
    return gateway.get(path, bearer(token)).status;
  };
  const std::string a = issuer.token("a");
  const std::string b = issuer.token("b");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status("/limited", a), 200);
  EXPECT_EQ(status("/limited", a), 429);
  EXPECT_EQ(status("/limited", issuer.token("a", R"({"jti":"other"})")), 429)
      << "the user counts, not the token";
  EXPECT_EQ(status("/limited", b), 200);
  const std::string x1 = issuer.token("a", R"({"org":{"id":7}})");
  const std::string x2 = issuer.token("b", R"({"org":{"id":7}})");
  EXPECT_EQ(status("/tenant", x1), 200);
  EXPECT_EQ(status("/tenant", x2), 200);
  EXPECT_EQ(status("/tenant", x1), 429);
  EXPECT_EQ(status("/tenant", issuer.token("a", R"({"org":{"id":8}})")), 200);
  const std::string gold = issuer.token("g", R"({"plan":"gold"})");
  EXPECT_EQ(status("/tiered", a), 200);
  EXPECT_EQ(status("/tiered", a), 429);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(status("/tiered", gold), 200);
}

// Fifty bad tokens a second of one address; then unknown tokens wait, known ones and other addresses do not.
TEST_F(PassportGate, BoundsFailures) {
  const std::string known = issuer.token("known");
  EXPECT_EQ(gateway.get("/must", bearer(known)).status, 200);
  Client client(gateway.port());
  Answer answer;
  for (int i = 0; i < 2000 && answer.status != 429; ++i)
    answer = client.get("/must", bearer("bad" + std::to_string(i)));
  expect_problem(answer, 429, "too-many-failures");
  EXPECT_EQ(number_of(answer, "Retry-After"), 1);
  EXPECT_EQ(client.get("/must", bearer(known)).status, 200);
  Client other(gateway.port(), "127.0.0.2");
  EXPECT_EQ(other.get("/must", bearer(issuer.token("fresh"))).status, 200);
}

// A revocation counts at once, for remembered tokens too; it needs the admin's token.
TEST_F(PassportGate, Revokes) {
  const std::string token = issuer.token("user_9", R"({"jti":"j9"})");
  EXPECT_EQ(gateway.get("/must", bearer(token)).status, 200);
  EXPECT_EQ(gateway.admin_post("/v1/revocations", R"({"jti":"j9"})").status, 200);
  expect_problem(gateway.get("/must", bearer(token)), 401, "token-invalid");
  EXPECT_EQ(gateway.get("/must", bearer(issuer.token("user_9", R"({"jti":"j10"})"))).status, 200);
  EXPECT_EQ(gateway.admin_post("/v1/revocations", R"({"jti":7})").status, 400);
  EXPECT_EQ(gateway.admin_post("/v1/revocations", "nonsense").status, 400);
  Client stranger(gateway.admin_port());
  EXPECT_EQ(stranger.ask("POST", "/v1/revocations", {{"Host", "127.0.0.1"}}, R"({"jti":"j10"})").status, 401);
}

// Every spelling, in headers, named by Connection, in trailers, and from an upstream to the client.
TEST_F(PassportGate, NobodyElseSpeaksInItsName) {
  std::vector<std::string> names;
  for (const std::string base : {"x-passport", "x-proxy-state", "x-experiments", "x-flags"}) {
    std::string upper = base;
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    std::string title = base;
    title[0] = 'X';
    for (const std::string& spelled : {base, upper, title})
      for (const char separator : std::string("-_.!#$%&'*+^`|~")) {
        std::string name = spelled;
        for (char& c : name)
          if (c == '-') c = separator;
        names.push_back(name);
      }
  }
  EXPECT_GE(names.size(), 60U);
  const std::string token = issuer.token("user_123");
  Client client(gateway.port());
  for (const std::string& name : names) {
    for (const char* path : {"/must", "/off"}) {
      ASSERT_EQ(client.get(path, {{"Authorization", "Bearer " + token}, {name, "forged"}}).status, 200)
          << name;
      EXPECT_EQ(origin.last().head.find("forged"), std::string::npos) << name << "\n" << origin.last().head;
      client.get(
          path,
          {{"Authorization", "Bearer " + token}, {"Connection", "keep-alive, " + name}, {name, "forged"}});
      EXPECT_EQ(origin.last().head.find("forged"), std::string::npos) << name;
    }
    EXPECT_TRUE(client.get("/must", {{"Authorization", "Bearer " + token}, {"Connection", name}}).status !=
                    200 ||
                origin.last().field("X-Passport").starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi"))
        << "Connection cannot take it away";
    Client fresh(gateway.port());
    fresh.send("POST /must HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token +
               "\r\nTransfer-Encoding: chunked\r\nTrailer: " + name + "\r\n\r\n1\r\nx\r\n0\r\n" + name +
               ": forged\r\n\r\n");
    fresh.read_final();
    EXPECT_EQ((origin.last().head + origin.last().body).find("forged"), std::string::npos) << name;
    origin.on("/leak", [&name](Call& call) { call.reply(200, "ok", {{name, "leaked"}}); });
    EXPECT_EQ(client.get("/leak").head.find("leaked"), std::string::npos) << name;
  }
}

// A page knows who asks by the passport's members, whatever its header is called, and its calls carry it.
TEST(PassportPages, SectionsKnowWhoAsks) {
  TemporaryFolder folder;
  Issuer issuer;
  Origin origin;
  origin.on("/v1/users/user_123",
            [](Call& call) { call.reply(200, R"({"name":"A"})", {{"Content-Type", "application/json"}}); });
  Gateway gateway(with(R"(
    auth:
      providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]
    passport: {header: X-Who, encoding: base64url}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes:
      - path: /home
        auth: required
        bff: {sections: {user: {upstream: origin, path: "/v1/users/{passport.user_id}", need: required}}}
  )",
                       {{"ORIGIN", origin.url()}, {"JWKS", folder.write("jwks.json", key_set({&issuer}))}}));
  EXPECT_EQ(gateway.get("/home").status, 401);
  const Answer page = gateway.get("/home", bearer(issuer.token("user_123")));
  EXPECT_EQ(page.status, 200) << page;
  EXPECT_EQ(page.body, R"({"user":{"name":"A"}})");
  EXPECT_EQ(origin.last().count("X-Who"), 1U);
  EXPECT_EQ(origin.last().count("Authorization"), 0U);
  EXPECT_EQ(origin.last().count("X-Proxy-State"), 1U);
}

// What cannot be fetched, parsed or trusted never becomes a key; what was good goes on serving.
TEST(PassportKeys, RotateOverHttp) {
  Issuer first("k1");
  Issuer second("k2");
  Origin provider;
  std::mutex mutex;
  std::string body = key_set({&first});
  int status = 200;
  provider.on("/keys", [&](Call& call) {
    const std::lock_guard lock(mutex);
    call.reply(status, body, {{"Cache-Control", "max-age=60"}});
  });
  provider.on("/.well-known/openid-configuration", [&](Call& call) {
    call.reply(200, R"({"issuer":"https://id.example","jwks_uri":")" + provider.url() + "/keys\"}");
  });
  Origin origin;
  TemporaryFolder folder;
  const std::string configuration =
      with(R"(
    auth:
      providers:
        - {name: main, issuer: https://id.example, audiences: [api], jwks: {url: $URL/keys, cooldown: 1s, persist: $KEPT}}
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, auth: required, upstream: origin}]
  )",
           {{"ORIGIN", origin.url()}, {"URL", provider.url()}, {"KEPT", folder.file("kept.json")}});
  {
    Gateway gateway(configuration);
    EXPECT_EQ(ask_until(gateway, 200, "/", bearer(first.token("u"))).status, 200);
    // A new key: the first token that names it waits for one fetch. The old one leaves, and its tokens with it.
    until(std::chrono::steady_clock::now() + std::chrono::milliseconds{1100});
    {
      const std::lock_guard lock(mutex);
      body = key_set({&second});
    }
    EXPECT_EQ(gateway.get("/", bearer(second.token("u"))).status, 200);
    expect_problem(gateway.get("/", bearer(first.token("u", R"({"jti":"again"})"))), 401, "token-invalid");
    // The provider fails: known keys serve, an unknown one may be good all the same.
    until(std::chrono::steady_clock::now() + std::chrono::milliseconds{1100});
    {
      const std::lock_guard lock(mutex);
      status = 500;
    }
    const Answer unknown = gateway.get("/", bearer(Issuer("k3").token("u")));
    expect_problem(unknown, 503, "keys-unavailable");
    EXPECT_GE(number_of(unknown, "Retry-After"), 1);
    EXPECT_EQ(gateway.get("/", bearer(second.token("u"))).status, 200);
    // A flood of unknown kids asks no more than once a cool-down.
    const std::size_t before = provider.requests().size();
    for (int i = 0; i < 40; ++i) gateway.get("/", bearer(Issuer("flood" + std::to_string(i)).token("u")));
    EXPECT_LE(provider.requests().size() - before, 4U);
  }
  // A start while the provider is down: the last good set serves.
  EXPECT_NE(read_file(folder.file("kept.json")), "");
  Gateway again(configuration);
  EXPECT_EQ(again.get("/", bearer(second.token("u"))).status, 200);
}

// Without a key set nobody is let in, and nobody is called a liar.
TEST(PassportKeys, NoneAtAll) {
  Origin origin;
  Gateway gateway(with(R"(
    auth:
      providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {url: "http://127.0.0.1:1/keys"}}]
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, auth: required, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}}));
  expect_problem(gateway.get("/", bearer(Issuer().token("u"))), 503, "keys-unavailable");
  EXPECT_EQ(origin.requests().size(), 0U);
}

// A country from an edge header counts for trusted peers, where no claim says it.
TEST(PassportEdge, CountryOfATrustedEdge) {
  TemporaryFolder folder;
  Issuer issuer;
  Origin origin;
  GatewayOptions options;
  options.extra = "trusted_proxies: {cidrs: [127.0.0.1/32]}\nproxy_state: {country: {edge: X-Geo-Country}}\n";
  Gateway gateway(with(R"(
    auth:
      providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, auth: optional, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}, {"JWKS", folder.write("jwks.json", key_set({&issuer}))}}),
                  options);
  const auto state = [&](Fields fields, const std::string& source = "127.0.0.1") {
    Client client(gateway.port(), source);
    client.get("/", fields);
    return decoded(origin.last().field("X-Proxy-State"));
  };
  EXPECT_EQ(state({{"X-Geo-Country", "FR"}}), "anonymous::FR:other");
  EXPECT_EQ(state({{"X-Geo-Country", "france"}}), "anonymous::ZZ:other");
  EXPECT_EQ(state({{"X-Geo-Country", "FR"}}, "127.0.0.2"), "anonymous::ZZ:other");
  Fields claimed = bearer(issuer.token("u", R"({"country":"US"})"));
  claimed.emplace_back("X-Geo-Country", "FR");
  EXPECT_EQ(state(claimed), "active:u:US:other");
}

// Signed passports: the upstream gets a token beside the plain header, and checks it with the set that weir serves; what
// a client calls by that name is dropped. After a rotation the old key is still published.
TEST(SignedPassport, AreServedAndChecked) {
  TemporaryFolder folder;
  Issuer issuer;
  Origin origin;
  const passport::Json first = passport::generate_jwk(passport::Algorithm::es256, "p1").value();
  const passport::Json second = passport::generate_jwk(passport::Algorithm::eddsa, "p2").value();
  const std::string keys = folder.write("passport.json", "{\"keys\":[" + first.to_text() + "]}");
  const std::string configuration = with(
      R"(
      auth:
        providers:
          - {name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}
          - {name: machines, type: api_key, header: X-Api-Key, file: $ROBOTS}
      passport: {signing: {key: $SIGNING, issuer: https://gate.example}}
      upstreams: {origin: {endpoints: [$ORIGIN]}, foreign: {endpoints: [$ORIGIN], external: true}}
      routes:
        - {path: /keys, serve: passport_keys}
        - {path: /foreign, auth: required, upstream: foreign}
        - {path: /*, auth: optional, upstream: origin}
    )",
      {{"ORIGIN", origin.url()},
       {"JWKS", folder.write("jwks.json", key_set({&issuer}))},
       {"SIGNING", keys},
       {"ROBOTS", folder.write("keys.yaml", passport::api_key_hash("robot-key") + ": {sub: robot_1}\n")}});
  Gateway gateway(configuration);
  const auto check = [&](const std::string& token, std::string_view published) {
    return passport::SignedPassportReader(
               passport::KeySet::parse(published, passport::KeySet::Options()).value(),
               "https://gate.example")
        .read(token, std::chrono::system_clock::now());
  };
  const Answer published = gateway.get("/keys");
  EXPECT_EQ(published.field("Content-Type"), "application/jwk-set+json");
  EXPECT_EQ(published.body.find("\"d\""), std::string::npos) << "nothing private";

  EXPECT_EQ(gateway.get("/a", bearer(issuer.token("user_123"))).status, 200);
  const std::string token = origin.last().field("X-Passport-Token");
  const Result<passport::Json> user = check(token, published.body);
  ASSERT_TRUE(user) << token;
  EXPECT_EQ(user->find("sub")->text(), "user_123");
  EXPECT_EQ(user->members()[0].name, "user_id");
  EXPECT_EQ(gateway.get("/a", bearer(issuer.token("user_123"))).status, 200);

  EXPECT_EQ(gateway.get("/a", {{"X-Api-Key", "robot-key"}}).status, 200);
  EXPECT_EQ(check(origin.last().field("X-Passport-Token"), published.body)->find("sub")->text(), "robot_1");
  EXPECT_EQ(gateway.get("/a", {{"X-Passport-Token", token}, {"x_passport_token", token}}).status, 200);
  EXPECT_EQ(origin.last().count("X-Passport-Token"), 1U);
  EXPECT_EQ(origin.last().count("x_passport_token"), 0U);
  EXPECT_TRUE(check(origin.last().field("X-Passport-Token"), published.body)->find("anon")->boolean());
  EXPECT_EQ(gateway.get("/foreign", bearer(issuer.token("user_123"))).status, 200);
  EXPECT_EQ(origin.last().count("X-Passport-Token"), 0U);

  folder.write("passport.json", "{\"keys\":[" + second.to_text() + "," + first.to_text() + "]}");
  EXPECT_EQ(gateway.reload(configuration).status, 200);
  const std::string both = gateway.get("/keys").body;
  EXPECT_TRUE(check(token, both)) << "the old key is still there";
  EXPECT_EQ(gateway.get("/a", bearer(issuer.token("user_123"))).status, 200);
  EXPECT_TRUE(check(origin.last().field("X-Passport-Token"), both));
  EXPECT_FALSE(check(origin.last().field("X-Passport-Token"), published.body)) << "signed by the new one";
}

// Any single bit of a token that is turned over gives 401.
TEST_F(PassportGate, AnyBitFlipIsRefused) {
  const std::string token = issuer.token("user_123");
  Client client(gateway.port());
  ASSERT_EQ(client.get("/must", bearer(token)).status, 200);
  origin.on_status("/must", 200, "passed");
  std::size_t tried = 0;
  for (std::size_t at = 0; at < token.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = token;
      flipped[at] = static_cast<char>(static_cast<unsigned char>(flipped[at]) ^ (1U << bit));
      // Every client has its bound of failures: each address is one of its own.
      Client other(gateway.port(),
                   "127.0." + std::to_string(1 + at % 250) + "." + std::to_string(1 + bit + at / 250 * 8));
      const Answer answer = other.get("/must", {{"Authorization", "Bearer " + flipped}});
      // A byte that no field value may have is refused before anybody reads a token (RFC 9110 5.5).
      EXPECT_TRUE(answer.status == 401 || answer.status == 400) << at << " " << bit << answer;
      EXPECT_NE(answer.body, "passed");
      ++tried;
    }
  std::printf("%zu single bits\n", tried);
}

// A provider that fails every other answer, and that changes its key again and again: published, used, taken out. No good
// token is called bad, and a key that is gone from a set that weir has fetched counts no longer than a second.
TEST(PassportKeys, RotationSoak) {
  const int rounds = std::getenv("WEIR_LONG") != nullptr ? 100 : 2;
  Origin provider;
  Origin origin;
  std::mutex mutex;
  std::string body;
  std::size_t asked = 0, served = 0;
  provider.on("/keys", [&](Call& call) {
    const std::lock_guard lock(mutex);
    if (++asked % 2 == 0) return static_cast<void>(call.reply(500));
    ++served;
    call.reply(200, body);
  });
  const auto publish = [&](std::string set) {
    const std::lock_guard lock(mutex);
    body = std::move(set);
  };
  const auto served_so_far = [&] {
    const std::lock_guard lock(mutex);
    return served;
  };
  auto current = std::make_unique<Issuer>("k0");
  publish(key_set({current.get()}));
  Gateway gateway(with(R"(
    auth:
      providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {url: $URL/keys, cooldown: 1s}}]
      failures_per_second: off
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, auth: required, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}, {"URL", provider.url()}}));
  ask_until(gateway, 200, "/", bearer(current->token("u")));
  Client client(gateway.port());
  std::size_t good = 0, refused = 0, late = 0, number = 0;
  const auto use = [&](const Issuer& issuer) {  // remembered and fresh tokens
    for (const std::string& token : {issuer.token("u"), issuer.token("u" + std::to_string(++number))}) {
      ++good;
      const Answer answer = client.get("/", bearer(token));
      if (answer.status == 200) continue;
      if (refused++ == 0) ADD_FAILURE() << answer;
    }
  };
  for (int round = 0; round < rounds; ++round) {
    use(*current);
    auto next = std::make_unique<Issuer>("k" + std::to_string(round + 1));
    publish(key_set({current.get(), next.get()}));
    // A provider publishes a key before it signs with it; here somebody asks until weir has fetched it.
    eventually([&] {
      const Answer answer = client.get("/", bearer(next->token("probe")));
      use(*current);
      return answer.status == 200;
    });
    use(*next);
    publish(key_set({next.get()}));
    const std::size_t before = served_so_far();
    // Somebody asks for a key that nobody has; the fetch that follows shows that the old one is gone.
    eventually([&] {
      client.get("/", bearer(Issuer("nobody" + std::to_string(++number)).token("x")));
      return served_so_far() > before;
    });
    const auto removed = std::chrono::steady_clock::now();
    Answer old;
    const std::string token = current->token("u");
    eventually([&] {
      old = client.get("/", bearer(token));
      return old.status == 401;
    });
    EXPECT_EQ(old.status, 401);
    late += std::chrono::steady_clock::now() - removed > std::chrono::seconds{1} ? 1 : 0;
    use(*next);
    current = std::move(next);
  }
  std::printf(
      "%d rotations, %zu of %zu fetches failed: %zu good tokens, %zu refused; %zu removed keys lived longer "
      "than "
      "a second\n",
      rounds, asked - served, asked, good, refused, late);
  EXPECT_EQ(refused, 0U);
  EXPECT_EQ(late, 0U);
}

// A flood of tokens with keys that nobody has: at most two fetches a minute (a cool-down of 30 s), whoever asks.
TEST(PassportKeys, AFloodOfUnknownKeysAsksTwiceAMinute) {
  const std::chrono::seconds length{std::getenv("WEIR_LONG") != nullptr ? 60 : 2};
  Origin provider;
  Origin origin;
  Issuer issuer;
  provider.on_status("/keys", 200, key_set({&issuer}));
  Gateway gateway(with(R"(
    auth:
      providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {url: $URL/keys}}]
    upstreams: {origin: {endpoints: [$ORIGIN]}}
    routes: [{path: /*, auth: required, upstream: origin}]
  )",
                       {{"ORIGIN", origin.url()}, {"URL", provider.url()}}));
  ask_until(gateway, 200, "/", bearer(issuer.token("u")));
  const std::size_t before = provider.count("/keys");
  const auto end = std::chrono::steady_clock::now() + length;
  passport::Json claims =
      passport::Json::parse(R"({"iss":"https://id.example","aud":"api","sub":"x"})").value();
  claims.set("exp", passport::Json(unix_now() + 600));
  std::size_t asked = 0;
  while (std::chrono::steady_clock::now() < end) {
    Client client(gateway.port(), "127.0.1." + std::to_string(1 + asked % 250));
    passport::Json header;
    header.set("kid", passport::Json("unknown" + std::to_string(++asked)));
    const Answer answer = client.get("/", bearer(issuer.signer.sign(claims, header).value()));
    EXPECT_NE(answer.status, 200);
  }
  const std::size_t fetches = provider.count("/keys") - before;
  std::printf("%zu tokens with unknown keys in %lld s: %zu fetches\n", asked,
              static_cast<long long>(length.count()), fetches);
  EXPECT_LE(fetches, 2U);
  EXPECT_EQ(gateway.get("/", bearer(issuer.token("u"))).status, 200);
}

}  // namespace
}  // namespace weir::testing
