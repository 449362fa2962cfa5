// One suite for every store of idempotency records, and what only a disk can do.
#include "weir/store/idempotency_store.h"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include <random>

#include "tests/support/redis.h"
#include "weir/store/redis_idempotency_store.h"
#include "weir/store/redis_url.h"
#include "weir/store/sqlite_store.h"

namespace weir::store {
namespace {

using Decision = passport::IdempotencyDecision::Kind;
using Kind = Operation::Kind;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

passport::Sha256 id_of(std::string_view key) { return passport::idempotency_id("r", "p", key); }

Operation operation(Kind kind, std::string_view key, std::string owner, std::int64_t now = 1000) {
  Operation out;
  out.kind = kind;
  out.ticket.id = id_of(key);
  out.ticket.owner = std::move(owner);
  out.ticket.attempt = 1;
  out.fingerprint.fill('f');
  out.label = "r";
  out.times.now_ms = now;
  out.times.lease_ms = 100;
  out.times.ttl_ms = 1000;
  if (kind == Kind::complete) {
    passport::StoredAnswer answer;
    answer.status = 201;
    answer.fields = {{"Content-Type", "text/plain"}, {"ETag", "\"1\""}};
    answer.body = std::string("body\0with a zero", 16);
    out.answer = std::move(answer);
  }
  return out;
}

Outcome ask(IdempotencyStore& store, Operation operation) {
  std::promise<Outcome> promise;
  std::future<Outcome> told = promise.get_future();
  operation.done = [&promise](Outcome outcome) { promise.set_value(std::move(outcome)); };
  store.submit(std::move(operation));
  return told.get();
}

// A Redis that keeps an append-only file, as it must, and a store on it.
std::vector<std::string> durable() { return {"--appendonly", "yes", "--appendfsync", "always"}; }

RedisIdempotencyStore::Options patient(bool server_time) {
  RedisIdempotencyStore::Options options;
  options.server_time = server_time;
  options.timeout = options.patience = std::chrono::seconds{20};  // of a loaded machine
  options.patience_after = std::chrono::seconds{20};
  return options;
}

std::shared_ptr<RedisIdempotencyStore> store_on(const weir::testing::RedisServer& server,
                                                const RedisIdempotencyStore::Options& options) {
  return RedisIdempotencyStore::create(RedisUrl::parse(server.url()).value(), options).value();
}

class EveryStore : public ::testing::TestWithParam<std::string_view> {
 protected:
  EveryStore() {
    if (GetParam() == "sqlite") {
      store = SqliteStore::open(folder.file("records.db")).value();
    } else if (GetParam() == "redis") {
      redis.emplace(durable());
      if (redis->available()) store = store_on(*redis, patient(false));
    } else {
      store = std::make_unique<MemoryIdempotencyStore>();
    }
  }
  void SetUp() override {
    if (store == nullptr) GTEST_SKIP() << "no redis-server here";
  }
  Outcome ask(Operation each) { return store::ask(*store, std::move(each)); }
  Folder folder;
  std::optional<weir::testing::RedisServer> redis;
  std::shared_ptr<IdempotencyStore> store;
};

TEST_P(EveryStore, RunsOnceAndReplays) {
  EXPECT_EQ(ask(operation(Kind::look_up, "k", "a")).decision.kind, Decision::run);
  EXPECT_EQ(ask(operation(Kind::claim, "k", "a")).decision.kind, Decision::run);
  EXPECT_EQ(ask(operation(Kind::claim, "k", "b")).decision.kind, Decision::in_flight);
  EXPECT_FALSE(ask(operation(Kind::complete, "k", "b")).changed);
  EXPECT_TRUE(ask(operation(Kind::complete, "k", "a")).changed);
  const Outcome again = ask(operation(Kind::claim, "k", "b", 1500));
  EXPECT_EQ(again.decision.kind, Decision::replay);
  EXPECT_EQ(again.answer.status, 201);
  EXPECT_EQ(again.answer.body, std::string("body\0with a zero", 16));
  EXPECT_EQ(again.answer.fields.size(), 2U);
  Operation other = operation(Kind::look_up, "k", "c", 1500);
  other.fingerprint.fill('g');
  EXPECT_EQ(ask(std::move(other)).decision.kind, Decision::mismatch);
  EXPECT_EQ(ask(operation(Kind::claim, "k", "c", 2000)).decision.kind, Decision::run) << "forgotten";
}

TEST_P(EveryStore, ReleasesAndRenews) {
  ask(operation(Kind::claim, "k", "a"));
  EXPECT_TRUE(ask(operation(Kind::renew, "k", "a", 1090)).changed);
  EXPECT_EQ(ask(operation(Kind::claim, "k", "b", 1150)).decision.kind, Decision::in_flight);
  EXPECT_TRUE(ask(operation(Kind::release, "k", "a", 1150)).changed);
  EXPECT_EQ(ask(operation(Kind::claim, "k", "b", 1150)).decision.kind, Decision::run);
}

TEST_P(EveryStore, ListsAndResolvesUnknownOutcomes) {
  ask(operation(Kind::claim, "dead", "a"));
  ask(operation(Kind::claim, "told", "a"));
  EXPECT_TRUE(ask(operation(Kind::unknown, "told", "a")).changed);
  ask(operation(Kind::claim, "alive", "a", 1150));
  EXPECT_EQ(store->unknown(1150, 10).value().size(), 2U);
  EXPECT_EQ(store->unknown(1150, 1).value().size(), 1U);
  EXPECT_EQ(ask(operation(Kind::claim, "dead", "b", 1150)).decision.kind, Decision::unknown);
  EXPECT_TRUE(ask(operation(Kind::resolve, "dead", "", 1200)).changed);
  EXPECT_EQ(ask(operation(Kind::claim, "dead", "b", 1200)).decision.kind, Decision::run);
  EXPECT_FALSE(ask(operation(Kind::resolve, "alive", "", 1200)).changed);
  EXPECT_FALSE(ask(operation(Kind::resolve, "nobody", "", 1200)).changed);
}

// A hundred threads bring one key at once: one runs it.
TEST_P(EveryStore, OneOfManyRuns) {
  std::atomic<int> runs{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 100; ++t)
    threads.emplace_back([&, t] {
      if (ask(operation(Kind::claim, "k", "o" + std::to_string(t))).decision.kind == Decision::run) ++runs;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs.load(), 1);
}

// Random operations of a few owners on a few keys, time going on between them: every store says what the plain
// transitions say. The seed is printed.
TEST_P(EveryStore, AgreesWithTheTransitions) {
  const std::uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  MemoryIdempotencyStore twin;
  std::int64_t now = 1000;
  for (int i = 0; i < 1500; ++i) {
    constexpr std::array kKinds{Kind::look_up, Kind::claim, Kind::claim,   Kind::complete,
                                Kind::release, Kind::renew, Kind::unknown, Kind::resolve};
    const Kind kind = kKinds[random() % kKinds.size()];
    now += static_cast<std::int64_t>(random() % 60);
    Operation each = operation(kind, std::string(1, static_cast<char>('a' + random() % 4)),
                               std::string(1, static_cast<char>('x' + random() % 3)), now);
    each.times.ttl_ms = 1'000'000'000;  // when the forgotten go is a store's own affair
    each.ticket.attempt = 1 + static_cast<std::uint32_t>(random() % 3);
    if (random() % 8 == 0) each.fingerprint.fill('g');
    if (kind == Kind::resolve && random() % 2 == 0) each.answer = passport::StoredAnswer{};
    const Outcome expected = store::ask(twin, each);
    const Outcome told = ask(each);
    ASSERT_FALSE(told.failed) << told.fault;
    ASSERT_EQ(told.decision.kind, expected.decision.kind) << i << " kind " << static_cast<int>(kind);
    ASSERT_EQ(told.decision.attempt, expected.decision.attempt) << i;
    ASSERT_EQ(told.decision.retry_after_ms, expected.decision.retry_after_ms) << i;
    ASSERT_EQ(told.changed, expected.changed) << i << " kind " << static_cast<int>(kind);
    ASSERT_EQ(told.answer.status, expected.answer.status) << i;
    ASSERT_EQ(told.answer.body, expected.answer.body) << i;
    ASSERT_EQ(told.answer.fields, expected.answer.fields) << i;
    if (i % 100 == 0) {
      ASSERT_EQ(store->unknown(now, 100).value().size(), twin.unknown(now, 100).value().size()) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, EveryStore, ::testing::Values("memory", "sqlite", "redis"));

// --- Redis

std::future<Outcome> send(IdempotencyStore& store, Operation operation) {
  auto promise = std::make_shared<std::promise<Outcome>>();
  std::future<Outcome> told = promise->get_future();
  operation.done = [promise](Outcome outcome) { promise->set_value(std::move(outcome)); };
  store.submit(std::move(operation));
  return told;
}

Operation timed(Kind kind, std::string_view key, std::string owner) {
  Operation out = operation(kind, key, std::move(owner));
  out.times.lease_ms = 60'000;
  out.times.ttl_ms = 3'600'000;
  return out;
}

// Killed and started again with its file: what was answered is there, and two gateways see one truth.
TEST(RedisStore, SurvivesTheServersDeath) {
  weir::testing::RedisServer server(durable());
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  const auto one = store_on(server, patient(true));
  const auto two = store_on(server, patient(true));
  for (int i = 0; i < 20; ++i) {
    const std::string key = std::to_string(i);
    EXPECT_EQ(ask(*one, timed(Kind::claim, key, "one")).decision.kind, Decision::run);
    if (i % 2 == 0) {
      EXPECT_TRUE(ask(*one, timed(Kind::complete, key, "one")).changed);
    }
  }
  server.kill();
  server.start();
  for (int i = 0; i < 20; ++i) {
    const Outcome told = ask(*two, timed(Kind::claim, std::to_string(i), "two"));
    EXPECT_EQ(told.decision.kind, i % 2 == 0 ? Decision::replay : Decision::in_flight) << i << told.fault;
  }
}

// A server that is dead, or frozen, fails what asks within its patience; what was tried meanwhile leaves no key stuck: a
// claim that may have arrived is taken back when the server answers again.
TEST(RedisStore, DeadAndFrozenServersAreTold) {
  weir::testing::RedisServer server(durable());
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  RedisIdempotencyStore::Options options;
  options.timeout = std::chrono::milliseconds{100};
  options.patience = std::chrono::milliseconds{300};
  const auto store = store_on(server, options);
  // A loaded machine may take longer than the patience: until it has come up.
  while (ask(*store, timed(Kind::claim, "first", "a")).failed) {
  }
  server.freeze();
  const Outcome frozen = ask(*store, timed(Kind::claim, "k", "a"));
  EXPECT_TRUE(frozen.failed);
  EXPECT_NE(frozen.fault, "");
  server.thaw();
  Outcome told;
  do {
    told = ask(*store, timed(Kind::claim, "k", "b"));
  } while (told.failed || told.decision.kind == Decision::in_flight);
  EXPECT_EQ(told.decision.kind, Decision::run) << "the frozen claim was taken back";
  server.kill();
  EXPECT_TRUE(ask(*store, timed(Kind::claim, "other", "a")).failed);
  EXPECT_TRUE(ask(*store, timed(Kind::look_up, "other", "a")).failed);
  EXPECT_FALSE(store->unknown(0, 10).has_value());
}

// A completion that waits while its server is away arrives when it is back.
TEST(RedisStore, CompletionsOutlastAnOutage) {
  weir::testing::RedisServer server(durable());
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  const auto store = store_on(server, patient(true));
  ASSERT_EQ(ask(*store, timed(Kind::claim, "k", "a")).decision.kind, Decision::run);
  server.kill();
  std::future<Outcome> completed = send(*store, timed(Kind::complete, "k", "a"));
  server.start();
  EXPECT_TRUE(completed.get().changed);
  EXPECT_EQ(ask(*store, timed(Kind::claim, "k", "b")).decision.kind, Decision::replay);
}

// A server that would forget is refused: no append-only file, or keys that are evicted.
TEST(RedisStore, RefusesAServerThatForgets) {
  RedisIdempotencyStore::Options options;
  options.patience = std::chrono::seconds{2};
  {
    weir::testing::RedisServer server;
    if (!server.available()) GTEST_SKIP() << "no redis-server here";
    const auto store = store_on(server, options);
    Outcome told;
    do {
      told = ask(*store, timed(Kind::claim, "k", "a"));
      ASSERT_TRUE(told.failed);
    } while (told.fault == "Redis does not answer");
    EXPECT_NE(told.fault.find("append-only"), std::string::npos) << told.fault;
  }
  std::vector<std::string> evicts = durable();
  for (const char* word : {"--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"})
    evicts.emplace_back(word);
  weir::testing::RedisServer server(evicts);
  const auto store = store_on(server, options);
  Outcome told;
  do {
    told = ask(*store, timed(Kind::claim, "k", "a"));
    ASSERT_TRUE(told.failed);
  } while (told.fault == "Redis does not answer");
  EXPECT_NE(told.fault.find("maxmemory-policy"), std::string::npos) << told.fault;
}

// Somebody empties the server: what may be running is not run again as long as it may run.
TEST(RedisStore, ALostServerClaimsNothingForALease) {
  weir::testing::RedisServer server(durable());
  if (!server.available()) GTEST_SKIP() << "no redis-server here";
  RedisIdempotencyStore::Options options = patient(true);
  options.patience = std::chrono::seconds{1};
  const auto store = store_on(server, options);
  Operation first = timed(Kind::claim, "k", "a");
  first.times.lease_ms = 3000;
  Outcome told;
  do told = ask(*store, first);
  while (told.failed);
  ASSERT_EQ(told.decision.kind, Decision::run);
  ASSERT_EQ(server.ask("FLUSHALL"), "+OK\r\n");
  Operation again = first;
  again.ticket.owner = "b";
  const auto begin = std::chrono::steady_clock::now();
  told = ask(*store, again);
  EXPECT_TRUE(told.failed);
  EXPECT_NE(told.fault.find("lost"), std::string::npos) << told.fault;
  do told = ask(*store, again);
  while (told.failed);
  EXPECT_EQ(told.decision.kind, Decision::run);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds{2900});
}

// What was answered is there after a restart; sqlite merges what waits into few commits.
TEST(SqliteStore, OutlivesARestart) {
  Folder folder;
  {
    const auto store = SqliteStore::open(folder.file("r.db")).value();
    std::vector<std::future<Outcome>> told;
    for (int i = 0; i < 2000; ++i) {
      auto promise = std::make_shared<std::promise<Outcome>>();
      told.push_back(promise->get_future());
      Operation claim = operation(Kind::claim, std::to_string(i), "a");
      claim.done = [promise](Outcome outcome) { promise->set_value(std::move(outcome)); };
      store->submit(std::move(claim));
    }
    for (auto& each : told) EXPECT_EQ(each.get().decision.kind, Decision::run);
    EXPECT_LT(store->stats().commits, 1000U) << "group commit";
    ask(*store, operation(Kind::complete, "7", "a"));
  }
  const auto again = SqliteStore::open(folder.file("r.db")).value();
  EXPECT_EQ(ask(*again, operation(Kind::claim, "7", "b", 1500)).decision.kind, Decision::replay);
  EXPECT_EQ(ask(*again, operation(Kind::claim, "8", "b", 1050)).decision.kind, Decision::in_flight);
  EXPECT_EQ(ask(*again, operation(Kind::claim, "8", "b", 1500)).decision.kind, Decision::unknown);
}

// kill -9 at random moments: what was answered before is there afterwards, and nothing else is believed.
TEST(SqliteStore, SurvivesKillAtAnyMoment) {
  const int rounds = std::getenv("WEIR_LONG") != nullptr ? 2000 : 15;
  for (int round = 0; round < rounds; ++round) {
    Folder folder;
    int pipe_fds[2];
    ASSERT_EQ(::pipe(pipe_fds), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const auto store = SqliteStore::open(folder.file("r.db")).value();
      for (int i = 0;; ++i) {
        if (ask(*store, operation(Kind::claim, std::to_string(i), "a")).decision.kind != Decision::run)
          ::_exit(1);
        ask(*store, operation(Kind::complete, std::to_string(i), "a"));
        if (::write(pipe_fds[1], "x", 1) != 1) ::_exit(2);
      }
    }
    char byte;
    for (int i = 0; i < 1 + round % 7; ++i) ASSERT_EQ(::read(pipe_fds[0], &byte, 1), 1);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(pipe_fds[1]);
    int known = 1 + round % 7;
    while (::read(pipe_fds[0], &byte, 1) == 1) ++known;
    ::close(pipe_fds[0]);
    const auto store = SqliteStore::open(folder.file("r.db")).value();
    for (int i = 0; i < known; ++i)
      EXPECT_EQ(ask(*store, operation(Kind::claim, std::to_string(i), "b", 1500)).decision.kind,
                Decision::replay);
    const Decision next = ask(*store, operation(Kind::claim, std::to_string(known), "b", 1500)).decision.kind;
    EXPECT_TRUE(next == Decision::run || next == Decision::unknown || next == Decision::replay);
  }
}

// Not a database, a folder without permission, another's lock: a stated error, nothing answered as if it had worked.
TEST(SqliteStore, FaultsAreTold) {
  Folder folder;
  std::FILE* file = std::fopen(folder.file("garbage.db").c_str(), "w");
  std::fputs("this is no database, whatever its name says, and it is long enough to be looked at", file);
  std::fclose(file);
  EXPECT_FALSE(SqliteStore::open(folder.file("garbage.db")).has_value());
  EXPECT_FALSE(SqliteStore::open(folder.file("no/such/folder/r.db")).has_value());
  const auto store = SqliteStore::open(folder.file("r.db")).value();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(folder.file("r.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const Outcome locked = ask(*store, operation(Kind::claim, "k", "a"));
  EXPECT_TRUE(locked.failed);
  EXPECT_NE(locked.fault, "");
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  EXPECT_EQ(ask(*store, operation(Kind::claim, "k", "a")).decision.kind, Decision::run);
}

}  // namespace
}  // namespace weir::store
