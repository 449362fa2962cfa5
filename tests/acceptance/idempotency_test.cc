// Idempotency keys over sockets: once executed, whatever clients, upstreams and power do.
#include "tests/acceptance/auth.h"
#include "tests/support/redis.h"

#include <csignal>
#include <cstdlib>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace weir::testing {
namespace {

class Keyed : public ::testing::Test {
 protected:
  std::string configuration() {
    return with(R"(
      auth:
        providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]
      idempotency: {path: $DB, lease: 5s}
      upstreams:
        origin: {endpoints: [$ORIGIN], timeout: 2s}
        gone: {endpoints: ["http://127.0.0.1:1"]}
        other: {endpoints: [$OTHER]}
      experiments: {file: $EXPERIMENTS}
      routes:
        - {path: /pay, auth: required, idempotency: required, upstream: origin}
        - {path: /count, auth: required, idempotency: required, upstream: origin}
        - {path: /slow, auth: required, idempotency: {wait: 5s}, upstream: origin}
        - {path: /held, auth: required, idempotency: required, upstream: origin}
        - {path: /maybe, auth: required, idempotency: optional, upstream: origin}
        - path: /variant
          auth: required
          idempotency: required
          experiments: [everybody]
          variants: {everybody: {moved: {upstream: other}}}
          upstream: origin
        - {path: /gone, auth: required, idempotency: required, upstream: gone}
        - {path: /open, idempotency: {anonymous: true}, upstream: origin}
        - {path: /full, auth: required, load_shed: {max_in_flight: 1}, idempotency: required, upstream: origin}
        - {path: /*, upstream: origin}
    )",
                {{"ORIGIN", origin.url()},
                 {"OTHER", other.url()},
                 {"EXPERIMENTS",
                  folder.write("experiments.yaml",
                               "experiments: [{key: everybody, variants: [{name: moved, weight: 100}]}]\n")},
                 {"JWKS", folder.write("jwks.json", key_set({&issuer}))},
                 {"DB", folder.file("keys.db")}});
  }
  Answer pay(std::string_view path, std::string_view key, std::string_view body = "{}",
             std::string_view user = "u") {
    Fields fields = bearer(issuer.token(user));
    if (!key.empty()) fields.emplace_back("Idempotency-Key", key);
    return gateway->ask("POST", path, fields, body);
  }
  static GatewayOptions options() {
    GatewayOptions options;
    options.may_be_killed = true;
    return options;
  }
  void restart() {
    gateway.reset();
    gateway = std::make_unique<Gateway>(configuration(), options());
  }

  TemporaryFolder folder;
  Issuer issuer;
  Origin origin;
  Origin other;
  std::unique_ptr<Gateway> gateway = std::make_unique<Gateway>(configuration(), options());
};

// The second gets the first answer, marked; the upstream sees one request, and the key.
TEST_F(Keyed, RepeatsGetTheFirstAnswer) {
  std::atomic<int> calls{0};
  origin.on("/pay", [&](Call& call) {
    call.read_body();
    call.reply(201, "paid " + std::to_string(++calls), {{"ETag", "\"x\""}, {"Set-Cookie", "s=1"}});
  });
  const Answer first = pay("/pay", "key-1");
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(first.body, "paid 1");
  EXPECT_FALSE(first.has("Idempotent-Replayed"));
  EXPECT_EQ(first.field("Set-Cookie"), "s=1");
  EXPECT_EQ(origin.last().field("Idempotency-Key"), "key-1");
  for (const char* key : {"key-1", "\"key-1\""}) {
    const Answer again = pay("/pay", key);
    EXPECT_EQ(again.status, 201) << again;
    EXPECT_EQ(again.body, "paid 1");
    EXPECT_EQ(again.field("Idempotent-Replayed"), "true");
    EXPECT_EQ(again.field("ETag"), "\"x\"");
    EXPECT_FALSE(again.has("Set-Cookie"));
  }
  restart();
  EXPECT_EQ(pay("/pay", "key-1").body, "paid 1") << "and after a restart";
  EXPECT_EQ(pay("/pay", "key-1", "{}", "other user").body, "paid 2") << "keys belong to their user";
  EXPECT_EQ(pay("/pay", "key-2").body, "paid 3");
  EXPECT_EQ(calls.load(), 3);
}

// A request with a key goes where its variant says, like any other.
TEST_F(Keyed, AVariantChoosesTheUpstream) {
  EXPECT_EQ(pay("/variant", "k").status, 200);
  EXPECT_EQ(pay("/variant", "k").field("Idempotent-Replayed"), "true");
  EXPECT_EQ(other.count("/variant"), 1U);
  EXPECT_EQ(origin.count("/variant"), 0U);
}

TEST_F(Keyed, SaysWhatIsWrongWithAKey) {
  expect_problem(pay("/pay", ""), 400, "idempotency-key-missing");
  for (const char* bad : {"a b", "\"open", "a,b", "\"\""})
    expect_problem(pay("/pay", bad), 400, "idempotency-key-invalid");
  Fields two = bearer(issuer.token("u"));
  two.emplace_back("Idempotency-Key", "a");
  two.emplace_back("Idempotency-Key", "a");
  expect_problem(gateway->ask("POST", "/pay", two, "{}"), 400, "idempotency-key-invalid");
  EXPECT_EQ(pay("/pay", "k", "{\"a\":1}").status, 200);
  expect_problem(pay("/pay", "k", "{\"a\":2}"), 422, "idempotency-mismatch");
  EXPECT_EQ(pay("/maybe", "").status, 200);
  EXPECT_EQ(gateway->get("/pay", bearer(issuer.token("u"))).status, 200) << "other methods pass by";
  EXPECT_EQ(gateway->ask("POST", "/open", {{"Idempotency-Key", "k"}}, "{}").status, 200);
  expect_problem(gateway->ask("POST", "/pay", {{"Idempotency-Key", "k"}}, "{\"a\":1}"), 401,
                 "unauthenticated");
}

// While the first runs a repeat is told so, or waits for its answer where the route says.
TEST_F(Keyed, InFlight) {
  Gate gate;
  const auto held = [&](Call& call) {
    call.read_body();
    if (call.wait(gate)) call.reply(200, "done");
  };
  origin.on("/held", held);
  origin.on("/slow", held);
  std::thread first([&] { EXPECT_EQ(pay("/held", "k").body, "done"); });
  std::thread patient([&] { EXPECT_EQ(pay("/slow", "k").body, "done"); });
  ASSERT_TRUE(origin.wait_for_requests("/held", 1));
  ASSERT_TRUE(origin.wait_for_requests("/slow", 1));
  const Answer told = pay("/held", "k");
  expect_problem(told, 409, "idempotency-in-flight");
  EXPECT_GE(number_of(told, "Retry-After"), 1);
  std::thread waiting([&] {
    const Answer replayed = pay("/slow", "k");
    EXPECT_EQ(replayed.body, "done");
    EXPECT_EQ(replayed.field("Idempotent-Replayed"), "true");
  });
  gate.open();
  for (std::thread* each : {&first, &patient, &waiting}) each->join();
}

// What was never sent leaves no record; what asks to be tried again neither.
TEST_F(Keyed, NothingIsKeptOfWhatWasNotDone) {
  EXPECT_EQ(pay("/gone", "k").status, 502);
  EXPECT_EQ(pay("/gone", "k").status, 502) << "and not unknown";
  std::atomic<int> calls{0};
  origin.on("/pay", [&](Call& call) {
    call.read_body();
    call.reply(++calls == 1 ? 503 : 200, "x");
  });
  EXPECT_EQ(pay("/pay", "again").status, 503);
  EXPECT_EQ(pay("/pay", "again").status, 200);
  Gate gate;
  origin.on("/full", [&](Call& call) {
    call.read_body();
    if (call.wait(gate)) call.reply(200, "ok");
  });
  std::thread first([&] { pay("/full", "one"); });
  ASSERT_TRUE(origin.wait_for_requests("/full", 1));
  expect_problem(pay("/full", "two"), 503, "load-shed");
  gate.open();
  first.join();
  EXPECT_EQ(pay("/full", "two").status, 200) << "a shed request left nothing";
}

// Sent, and no whole answer: never run again by itself; a person can find out and say so.
TEST_F(Keyed, UnknownOutcomes) {
  std::atomic<int> calls{0};
  origin.on("/pay", [&](Call& call) {
    call.read_body();
    if (++calls <= 2) return call.reset();
    call.reply(200, "third");
  });
  EXPECT_EQ(pay("/pay", "lost").status, 502);
  EXPECT_EQ(pay("/pay", "gone").status, 502);
  expect_problem(pay("/pay", "lost"), 409, "idempotency-outcome-unknown");
  EXPECT_EQ(calls.load(), 2);
  const std::optional<Json> listed = Json::parse(gateway->admin("/v1/idempotency/unknown").body);
  ASSERT_TRUE(listed);
  ASSERT_EQ((*listed)["unknown"].size(), 2U);
  const std::string first = (*listed)["unknown"][0]["id"].text();
  const std::string second = (*listed)["unknown"][1]["id"].text();
  EXPECT_EQ(
      gateway->admin_post("/v1/idempotency/" + first + "/resolve", R"({"outcome":"not_executed"})").status,
      200);
  EXPECT_EQ(gateway
                ->admin_post("/v1/idempotency/" + second + "/resolve",
                             R"({"outcome":"executed","status":201,"body":{"id":7}})")
                .status,
            200);
  EXPECT_EQ(
      gateway->admin_post("/v1/idempotency/" + second + "/resolve", R"({"outcome":"not_executed"})").status,
      409);
  const Answer lost = pay("/pay", "lost");
  const Answer gone = pay("/pay", "gone");
  EXPECT_EQ(calls.load(), 3) << "one was free again, the other is told";
  EXPECT_TRUE((lost.body == "third" && gone.body == R"({"id":7})") ||
              (gone.body == "third" && lost.body == R"({"id":7})"));
}

// kill -9 while a hundred duplicates are under way: the upstream is asked once a key, whatever happens.
TEST_F(Keyed, KilledAtRandomMoments) {
  std::mutex mutex;
  std::map<std::string, int> executed;
  origin.on("/count", [&](Call& call) {
    call.read_body();
    {
      const std::lock_guard lock(mutex);
      ++executed[call.request().field("Idempotency-Key")];
    }
    call.reply(200, "answer of " + call.request().field("Idempotency-Key"));
  });
  const int rounds = std::getenv("WEIR_LONG") != nullptr ? 2000 : 6;
  std::map<std::string, std::string> seen;
  for (int round = 0; round < rounds; ++round) {
    const std::string key = "key-" + std::to_string(round);
    std::vector<std::thread> clients;
    std::mutex answers;
    for (int c = 0; c < (rounds > 100 ? 100 : 20); ++c)
      clients.emplace_back([&] {
        Fields fields = bearer(issuer.token("u"));
        fields.emplace_back("Idempotency-Key", key);
        Client client(gateway->port());
        const Answer answer = client.ask("POST", "/count", fields, "{}");
        const std::lock_guard lock(answers);
        if (answer.status == 200) seen[key] = answer.body;
      });
    until(std::chrono::steady_clock::now() + std::chrono::microseconds{500 * (round % 12)});
    gateway->process().signal(SIGKILL);
    for (std::thread& client : clients) client.join();
    gateway->process().wait();
    restart();
    const Answer after = pay("/count", key);
    EXPECT_TRUE(after.status == 200 || after.status == 409) << after;
    if (seen.contains(key)) {
      EXPECT_EQ(after.body, seen[key]) << "an answer was lost";
    }
  }
  for (const auto& [key, times] : executed) EXPECT_EQ(times, 1) << key;
  // When the last lease is over, every key has an answer that stands: the stored one, or that nobody knows.
  int replayed = 0, unknown = 0, stuck = 0;
  for (int round = 0; round < rounds; ++round) {
    Answer answer;
    eventually([&] {
      answer = pay("/count", "key-" + std::to_string(round));
      return problem_type(answer) != "idempotency-in-flight";
    });
    replayed += answer.status == 200 ? 1 : 0;
    unknown += problem_type(answer) == "idempotency-outcome-unknown" ? 1 : 0;
    stuck += answer.status != 200 && problem_type(answer) != "idempotency-outcome-unknown" ? 1 : 0;
  }
  std::printf(
      "%d kills: %zu keys executed before them, 0 twice; %zu answers seen, all given again; at the end %d "
      "keys "
      "have their answer, %d are unknown, %d are stuck\n",
      rounds, executed.size(), seen.size(), replayed, unknown, stuck);
  EXPECT_EQ(stuck, 0);
}

// --- records in Redis

class SharedKeys : public ::testing::Test {
 protected:
  std::string configuration() {
    return with(R"(
      auth:
        providers: [{name: main, issuer: https://id.example, audiences: [api], jwks: {file: $JWKS}}]
      redis: {url: $REDIS}
      idempotency: {store: redis}
      upstreams:
        origin: {endpoints: [$ORIGIN]}
      routes:
        - {path: /count, auth: required, idempotency: {wait: 20s}, upstream: origin}
        - {path: /held, auth: required, idempotency: required, upstream: origin}
        - {path: /*, upstream: origin}
    )",
                {{"ORIGIN", origin.url()},
                 {"REDIS", redis.url()},
                 {"JWKS", folder.write("jwks.json", key_set({&issuer}))}});
  }
  void SetUp() override {
    if (!redis.available()) GTEST_SKIP() << "no redis-server here";
    one = std::make_unique<Gateway>(configuration());
    two = std::make_unique<Gateway>(configuration());
    origin.on("/count", [this](Call& call) {
      call.read_body();
      call.reply(201, std::to_string(++executed[call.request().field("Idempotency-Key")]));
    });
  }
  Answer pay(const Gateway& gateway, std::string_view path, std::string_view key,
             std::string_view body = "{}") {
    Fields fields = bearer(issuer.token("u"));
    fields.emplace_back("Idempotency-Key", key);
    return gateway.ask("POST", path, fields, body);
  }
  // Asks until the store answers: a loaded machine's may be late.
  Answer pay_until(const Gateway& gateway, std::string_view path, std::string_view key) {
    Answer answer;
    eventually([&] {
      answer = pay(gateway, path, key);
      return answer.status != 503;
    });
    return answer;
  }

  TemporaryFolder folder;
  Issuer issuer;
  Origin origin;
  RedisServer redis{{"--appendonly", "yes", "--appendfsync", "always"}};
  std::map<std::string, std::atomic<int>> executed;
  std::unique_ptr<Gateway> one;
  std::unique_ptr<Gateway> two;
};

// Two gateways, one truth: what one has executed, the other answers again.
TEST_F(SharedKeys, AnotherGatewayRepeatsTheAnswer) {
  executed["k"] = 0;
  EXPECT_EQ(pay_until(*one, "/count", "k").status, 201);
  const Answer again = pay_until(*two, "/count", "k");
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, "1");
  EXPECT_EQ(again.field("Idempotent-Replayed"), "true");
  expect_problem(pay(*two, "/count", "k", "other"), 422, "idempotency-mismatch");
  EXPECT_EQ(executed["k"].load(), 1);
}

// Many at both gateways at once: one execution a key, also while Redis is killed and started between them.
TEST_F(SharedKeys, OneExecutionAKeyWhateverRedisDoes) {
  const int rounds = std::getenv("WEIR_LONG") != nullptr ? 100 : 4;
  for (int round = 0; round < rounds; ++round) executed["key-" + std::to_string(round)] = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string key = "key-" + std::to_string(round);
    std::vector<std::thread> clients;
    std::atomic<int> wrong{0};
    for (int c = 0; c < 20; ++c)
      clients.emplace_back([&, c] {
        const Answer answer = pay(c % 2 == 0 ? *one : *two, "/count", key);
        const bool stated = answer.status == 201 || answer.status == 409 || answer.status == 503;
        if (!stated || (answer.status == 201 && answer.body != "1")) ++wrong;
      });
    until(std::chrono::steady_clock::now() + std::chrono::milliseconds{round % 20});
    if (round % 2 == 1) {
      redis.kill();
      redis.start();
    }
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(wrong.load(), 0);
    // Answered, or nothing was done: never twice. An answer whose record was late stays unknown until its lease ends.
    const Answer after = pay_until(*one, "/count", key);
    EXPECT_TRUE(after.status == 201 || after.status == 409) << after;
    EXPECT_LE(executed[key].load(), 1) << key;
  }
}

// Redis frozen: the route says 503 and calls nobody; thawed, the key is free. Other routes do not notice.
TEST_F(SharedKeys, AFrozenRedisIsTold) {
  executed["warm"] = executed["k"] = 0;
  EXPECT_EQ(pay_until(*one, "/count", "warm").status, 201);
  redis.freeze();
  const Answer refused = pay(*one, "/count", "k");
  EXPECT_EQ(one->get("/plain").status, 200);
  redis.thaw();
  expect_problem(refused, 503, "idempotency-store-unavailable");
  EXPECT_GE(number_of(refused, "Retry-After"), 1);
  EXPECT_EQ(executed["k"].load(), 0);
  EXPECT_EQ(pay_until(*one, "/count", "k").status, 201);
}

// The list of unknown outcomes and its resolution work on what is in Redis.
TEST_F(SharedKeys, UnknownOutcomesAreListed) {
  origin.on("/held", [](Call& call) {
    call.read_body();
    call.reset();
  });
  EXPECT_EQ(pay_until(*one, "/held", "lost").status, 502);
  Answer again;
  eventually([&] {
    again = pay(*two, "/held", "lost");
    return problem_type(again) == "idempotency-outcome-unknown";
  });
  expect_problem(again, 409, "idempotency-outcome-unknown");
  const std::optional<Json> list = Json::parse(two->admin("/v1/idempotency/unknown").body);
  ASSERT_TRUE(list);
  const std::string text = two->admin("/v1/idempotency/unknown").body;
  const std::size_t at = text.find("\"id\":\"");
  ASSERT_NE(at, std::string::npos) << text;
  const std::string id = text.substr(at + 6, text.find('"', at + 6) - at - 6);
  EXPECT_EQ(two->admin_post("/v1/idempotency/" + id + "/resolve", R"({"outcome":"not_executed"})").status,
            200);
  origin.on_status("/held", 200, "now");
  EXPECT_EQ(pay_until(*one, "/held", "lost").body, "now");
}

}  // namespace
}  // namespace weir::testing
