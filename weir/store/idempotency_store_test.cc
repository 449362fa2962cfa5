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

class EveryStore : public ::testing::TestWithParam<std::string_view> {
 protected:
  EveryStore() {
    if (GetParam() == "sqlite") {
      store = SqliteStore::open(folder.file("records.db")).value();
    } else {
      store = std::make_unique<MemoryIdempotencyStore>();
    }
  }
  Outcome ask(Operation each) { return store::ask(*store, std::move(each)); }
  Folder folder;
  std::unique_ptr<IdempotencyStore> store;
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

INSTANTIATE_TEST_SUITE_P(Stores, EveryStore, ::testing::Values("memory", "sqlite"));

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
