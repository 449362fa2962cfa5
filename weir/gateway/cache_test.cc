// The cache stage over a whole chain on the simulated network: nobody gets another segment's or user's answer, whatever
// the order; a leader's end in every way; what a segment saves.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "weir/base/base64.h"
#include "weir/gateway/testing.h"
#include "weir/passport/sign.h"

namespace weir::gateway {
namespace {

using std::chrono::seconds;
using testing::Desk;

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
constexpr std::string_view kConfiguration = R"(
auth:
  providers:
    - {name: main, issuer: https://id.example, audiences: [api], secret: 0123456789abcdef0123456789abcdef}
upstreams: {a: {endpoints: ["http://10.0.0.1:80"]}}
routes:
  - {path: /seg/*, auth: optional, cache: {}, upstream: a}
  - {path: /mine/*, auth: optional, cache: {scope: user}, upstream: a}
  - {path: /vary/*, auth: optional, cache: {}, upstream: a}
  - {path: /lang/*, auth: optional, cache: {}, vary: [Accept-Language], upstream: a}
)";

std::string field_in(std::string_view head, std::string_view name) {
  const std::string wanted = "\r\n" + std::string(name) + ": ";
  const std::size_t at = head.find(wanted);
  if (at == std::string_view::npos) return "";
  const std::size_t begin = at + wanted.size();
  return std::string(head.substr(begin, head.find('\r', begin) - begin));
}

// Answers each request by what `make` says of its head, on any number of connections, at once or when it is let.
class Echo final : private io::AcceptSink, private io::EventSink {
 public:
  using Make = std::function<std::string(std::string_view head)>;

  Echo(Desk& desk, Make make) : make_(std::move(make)) {
    listener_ = desk.reactor.listen(io::Address::parse("10.0.0.1:80").value(), io::ListenOptions()).value();
    listener_->watch(this);
  }
  int requests = 0;

 private:
  void on_acceptable(io::Listener& listener) noexcept override {
    for (;;) {
      Result<std::unique_ptr<io::Stream>> stream = listener.accept();
      if (!stream || *stream == nullptr) return;
      (*stream)->watch(this);
      streams_.emplace_back(std::move(*stream), std::string());
    }
  }
  void on_event(io::Stream& stream, unsigned) noexcept override {
    std::string* seen = nullptr;
    for (auto& [known, text] : streams_)
      if (known.get() == &stream) seen = &text;
    std::array<char, 4096> bytes;
    for (io::IoResult result = stream.read(bytes); result.status == io::IoStatus::ok;
         result = stream.read(bytes))
      seen->append(bytes.data(), result.bytes);
    for (std::size_t end = seen->find("\r\n\r\n"); end != std::string::npos; end = seen->find("\r\n\r\n")) {
      ++requests;
      std::string answer = make_(std::string_view(*seen).substr(0, end + 4));
      seen->erase(0, end + 4);
      if (answer.empty()) return;
      const iovec piece{answer.data(), answer.size()};
      static_cast<void>(stream.write({&piece, 1}));
    }
  }

  Make make_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<std::pair<std::unique_ptr<io::Stream>, std::string>> streams_;
};

std::string answer_of(std::string_view body, std::string_view fields) {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

// Of a passport; its other members, the time of its end among them, change with each one that is written.
std::string user_of(std::string_view header) {
  const passport::Json members = passport::Json::parse(base::base64_decode(header).value()).value();
  return std::string(members.find("user_id")->text());
}

// The answer says for whom it was made: by segment, by user, and by language.
std::string echo(std::string_view head) {
  const std::string_view target = head.substr(4, head.find(' ', 4) - 4);
  std::string body = std::string(target) + "|" + field_in(head, "X-Proxy-State");
  std::string fields = "Cache-Control: s-maxage=60\r\n";
  if (target.starts_with("/mine/") || target.starts_with("/vary/"))
    body += "|" + user_of(field_in(head, "X-Passport"));
  if (target.starts_with("/vary/")) fields += "Vary: X-Passport\r\n";
  if (target.starts_with("/lang/")) body += "|" + field_in(head, "Accept-Language");
  return answer_of(body, fields);
}

struct User {
  std::string token;
};

// Users over four tiers, five countries and two platforms: 40 segments.
class Crowd {
 public:
  explicit Crowd(int count) {
    const passport::Signer signer =
        passport::Signer::from_secret(kSecret, passport::Algorithm::hs256, "").value();
    constexpr std::array kTiers{"free", "silver", "gold", "free:US:web"};  // the last tries to be another
    constexpr std::array kCountries{"US", "CA", "DE", "JP", "BR"};
    constexpr std::array kPlatforms{"web", "tv"};
    for (int i = 0; i < count; ++i) {
      passport::Json claims;
      claims.set("iss", passport::Json("https://id.example"));
      claims.set("aud", passport::Json("api"));
      claims.set("sub", passport::Json("user_" + std::to_string(i)));
      claims.set("exp", passport::Json(std::int64_t{4'102'444'800}));
      claims.set("plan", passport::Json(kTiers[static_cast<std::size_t>(i) % 4]));
      claims.set("country", passport::Json(kCountries[static_cast<std::size_t>(i / 4) % 5]));
      claims.set("platform", passport::Json(kPlatforms[static_cast<std::size_t>(i / 20) % 2]));
      users.push_back({signer.sign(claims).value()});
    }
  }
  std::vector<User> users;
};

std::string get(const std::string& target, const User* user, std::string_view fields = {}) {
  return "GET " + target + " HTTP/1.1\r\nHost: a.example\r\n" +
         (user == nullptr ? std::string() : "Authorization: Bearer " + user->token + "\r\n") +
         std::string(fields) + "\r\n";
}

bool is_hit(const Desk& desk) { return desk.client.value("Cache-Status").starts_with("weir; hit"); }

bool is_long() { return std::getenv("WEIR_LONG") != nullptr; }

// A million requests of users of all tiers, countries and platforms, and of nobody, over routes of every scope: each
// answer was made for its own segment, and where it is a user's, for that user. Time passes, answers expire, paths are
// written to.
TEST(CacheIsolation, NoAnswerCrossesSegmentsOrUsers) {
  const int requests = is_long() ? 1'000'000 : 60'000;
  const std::uint64_t seed = std::random_device{}();
  Desk desk(std::string(kConfiguration), {}, seed);
  Echo origin(desk, echo);
  Crowd crowd(2'000);
  std::mt19937_64 random(seed);
  int hits = 0;
  int crossed = 0;
  for (int i = 0; i < requests; ++i) {
    const std::size_t who = random() % (crowd.users.size() + 20);
    User* const user = who < crowd.users.size() ? &crowd.users[who] : nullptr;
    constexpr std::array kRoutes{"/seg/", "/seg/", "/seg/", "/mine/", "/vary/", "/lang/"};
    const std::string target = kRoutes[random() % kRoutes.size()] + std::to_string(random() % 4);
    const std::string language = random() % 2 == 0 ? "fr" : "en";
    desk.receive(get(target, user, "Accept-Language: " + language + "\r\n"));
    const bool writes = random() % 2'000 == 0;
    if (writes) desk.receive("DELETE " + target + " HTTP/1.1\r\nHost: a.example\r\n\r\n");
    desk.run();
    if (writes) continue;
    ASSERT_EQ(desk.client.status, 200);
    hits += is_hit(desk) ? 1 : 0;
    // What this caller's own upstream call would have said: learnt from the gate itself, not from the cache.
    const auto told = [&](std::string_view name) {
      for (const http::Field& field : desk.exchange.identity_fields())
        if (base::iequals(field.name, name)) return std::string(field.value);
      return std::string();
    };
    std::string expected = target + "|" + told("X-Proxy-State");
    if (target.starts_with("/mine/") || target.starts_with("/vary/"))
      expected += "|" + user_of(told("X-Passport"));
    if (target.starts_with("/lang/")) expected += "|" + language;
    crossed += desk.client.payload == expected ? 0 : 1;
    if (random() % 500 == 0) desk.reactor.run_for(seconds{random() % 50});
  }
  std::printf("seed %llu: %d requests, %d hits, %d crossed\n", static_cast<unsigned long long>(seed),
              requests, hits, crossed);
  EXPECT_EQ(crossed, 0);
  EXPECT_GT(hits, requests / 4);
}

// What the proxy state saves: 10,000 users in 40 segments over 50 pages, beside one entry a user.
TEST(CacheHitRate, SegmentsBesideUsers) {
  const int requests = is_long() ? 1'000'000 : 50'000;
  Crowd crowd(10'000);
  std::array<double, 2> share{};
  for (std::size_t scope = 0; scope < 2; ++scope) {
    Desk desk(kConfiguration);
    Echo origin(desk, echo);
    std::mt19937_64 random(17);
    for (int i = 0; i < requests; ++i) {
      const std::string target = (scope == 0 ? "/seg/" : "/mine/") + std::to_string(random() % 50);
      desk.receive(get(target, &crowd.users[random() % crowd.users.size()]));
      desk.run();
      ASSERT_EQ(desk.client.status, 200);
      share[scope] += is_hit(desk) ? 1.0 / requests : 0;
    }
  }
  std::printf(
      "%d requests of 10,000 users for 50 pages: %.1f %% hits in 40 segments, %.1f %% with an entry a user\n",
      requests, share[0] * 100, share[1] * 100);
  EXPECT_GT(share[0], 0.95);
  EXPECT_LT(share[1], share[0]);
}

// Another desk's worth of exchanges on one worker, for those who wait for each other.
struct Asker {
  Asker(Desk& desk, const std::string& target) : waiter(desk.reactor, &cancel), exchange(desk.worker) {
    bytes = "GET " + target + " HTTP/1.1\r\nHost: a.example\r\n\r\n";
    exchange.begin(client, waiter, desk.reactor.now());
    exchange.plan = desk.worker.use_plan();
    exchange.peer = exchange.client = base::IpAddress::parse("192.0.2.1").value();
    exchange.peer_text = "192.0.2.1";
    WEIR_CHECK(parser.parse(bytes, exchange.request) == http::Parse::done);
    assign_request_id(exchange);
    exchange.path = http::canonical_path(exchange.request.path, exchange.path_scratch).path;
    const RouteTable::Match match = desk.plan->table.find("a.example", exchange.path, "GET");
    exchange.route = &desk.plan->routes[match.route];
    scope.emplace();
    scope->spawn(run_pipeline(exchange));
  }
  // The coroutine is destroyed where it waits.
  void destroy() { scope.reset(); }

  std::string bytes;
  http::RequestParser parser;
  async::CancelSource cancel;
  io::Waiter waiter;
  testing::FakeDownstream client;
  Exchange exchange;
  std::optional<async::Scope> scope;
};

void let_pass(Desk& desk, Duration time) { desk.reactor.run_for(time); }

// However a leader ends (its answer kept or not, its client gone, its coroutine destroyed, its upstream cut), those who
// waited are answered, nobody waits for ever, and no flight is left.
TEST(CacheFlights, EveryEndOfALeader) {
  enum class Ends { kept, not_kept, client_gone, destroyed, cut };
  for (const Ends ends : {Ends::kept, Ends::not_kept, Ends::client_gone, Ends::destroyed, Ends::cut}) {
    Desk desk(kConfiguration);
    bool held = true;
    testing::Service service(desk, "10.0.0.1:80", "");
    std::vector<std::unique_ptr<Asker>> askers;
    for (int i = 0; i < 5; ++i) {
      askers.push_back(std::make_unique<Asker>(desk, "/seg/a"));
      let_pass(desk, std::chrono::milliseconds{20});
    }
    ASSERT_EQ(desk.state.current_response_cache()->flights(), 1U);
    ASSERT_EQ(service.connections, 1);
    const std::string kept = answer_of("ok", "Cache-Control: max-age=60\r\n");
    if (ends == Ends::kept) service.reply(kept);
    if (ends == Ends::not_kept) service.reply(answer_of("ok", ""));
    if (ends == Ends::cut) service.reply("HTTP/1.1 200 OK\r\nno such field\r\n\r\n");
    if (ends == Ends::client_gone) askers[0]->client.is_gone = true, askers[0]->waiter.notify();
    if (ends == Ends::destroyed) askers[0]->destroy();
    for (int i = 0; i < 20 && held; ++i) {
      let_pass(desk, std::chrono::milliseconds{50});
      service.reply(kept);  // to whoever has asked meanwhile; others' connections are unsolicited and close
      held = false;
      for (std::size_t n = 1; n < askers.size(); ++n) held |= !askers[n]->client.finished;
    }
    for (std::size_t n = 1; n < askers.size(); ++n) {
      EXPECT_TRUE(askers[n]->client.finished) << static_cast<int>(ends) << " " << n;
      EXPECT_EQ(askers[n]->client.payload, "ok");
    }
    EXPECT_TRUE(ends != Ends::kept || service.connections == 1);
    askers.clear();
    EXPECT_EQ(desk.state.current_response_cache()->flights(), 0U);
  }
}

// Those who wait are destroyed first, then the leader ends: it wakes nobody who is not there.
TEST(CacheFlights, FollowersMayGoFirst) {
  Desk desk(kConfiguration);
  testing::Service service(desk, "10.0.0.1:80", "");
  std::vector<std::unique_ptr<Asker>> askers;
  for (int i = 0; i < 4; ++i) askers.push_back(std::make_unique<Asker>(desk, "/seg/a"));
  let_pass(desk, seconds{1});
  while (askers.size() > 1) askers.pop_back();
  service.reply(answer_of("ok", "Cache-Control: max-age=60\r\n"));
  let_pass(desk, seconds{1});
  EXPECT_EQ(askers[0]->client.payload, "ok");
}

// A leader that takes longer than anybody should wait: after their patience the others ask by themselves.
TEST(CacheFlights, PatienceEnds) {
  Desk desk(
      "upstreams: {a: {endpoints: [\"http://10.0.0.1:80\"], timeouts: {first_byte: 1h}}}\n"
      "routes: [{path: /*, cache: {}, upstream: a}]");
  testing::Service service(desk, "10.0.0.1:80", "");
  Asker first(desk, "/seg/a");
  let_pass(desk, seconds{1});
  Asker second(desk, "/seg/a");
  let_pass(desk, seconds{9});
  EXPECT_EQ(service.connections, 1);
  let_pass(desk, seconds{2});
  EXPECT_EQ(service.connections, 2);
  service.reply(answer_of("ok", ""));
  let_pass(desk, seconds{1});
  EXPECT_EQ(second.client.payload, "ok");
}

// A hit touches nothing behind the stage, and an answer whose time is over is fetched again.
TEST(CacheStage, ExpiresByTheClock) {
  Desk desk(kConfiguration);
  Echo origin(desk, echo);
  for (const int expected : {1, 1, 2}) {
    desk.receive(get("/seg/t", nullptr));
    desk.run();
    EXPECT_EQ(origin.requests, expected);
    if (expected == 1 && is_hit(desk)) desk.reactor.run_for(seconds{61});
  }
}

// The order of the chain: behind the experiment, before the body is read and a place taken; a route without `cache`
// has no such stage, unless it writes to what another keeps.
TEST(CacheStage, StandsWhereTheContractSays) {
  Desk desk(kConfiguration);
  std::string names;
  for (const auto& stage : desk.plan->routes.front().stages) names.append(stage->name()).append(" ");
  EXPECT_EQ(names, "trace sanitize passport cache cache sanitize load_shed ");
  Desk plain(
      "upstreams: {a: {endpoints: [\"http://10.0.0.1:80\"]}}\nroutes:\n"
      "  - {path: /a/b, methods: [POST], upstream: a}\n  - {path: /a/*, cache: {}, upstream: a}\n"
      "  - {path: /c, upstream: a}\n");
  const auto has_cache = [&](std::size_t route) {
    for (const auto& stage : plain.plan->routes[route].stages)
      if (stage->name() == "cache") return true;
    return false;
  };
  EXPECT_TRUE(has_cache(0));
  EXPECT_TRUE(has_cache(1));
  EXPECT_FALSE(has_cache(2));
}

// What is kept survives a reload, and a smaller bound begins empty.
TEST(CacheStage, Reloads) {
  Desk desk(kConfiguration);
  Echo origin(desk, echo);
  const auto ask = [&] {
    desk.receive(get("/seg/r", nullptr));
    desk.run();
  };
  ask();
  desk.load(kConfiguration);
  ask();
  EXPECT_EQ(origin.requests, 1);
  desk.load("cache: {memory: 1MiB}\n" + std::string(kConfiguration));
  ask();
  EXPECT_EQ(origin.requests, 2);
}

}  // namespace
}  // namespace weir::gateway
