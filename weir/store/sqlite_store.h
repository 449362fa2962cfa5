// SqliteStore: idempotency records in one SQLite file, durable before anybody is told.
//
// One thread owns the database. It takes whatever was submitted while its last commit ran as one transaction (group
// commit): a lone request pays one sync of the disk, a thousand at once pay one together. Write-ahead log, synchronous
// FULL. Records stand in a rowid table with a unique index over the first 16 bytes of their id, bodies in a second
// table, so that the hot rows stay small.
//
//   (1) An operation is answered after the commit that holds it, never before.
//   (2) A transaction that fails is rolled back whole, and all of its operations fail.
//   (3) Expired records are swept a few hundred at a time, between commits.
//
// At most kQueued operations wait; more fail at once.
#ifndef WEIR_STORE_SQLITE_STORE_H_
#define WEIR_STORE_SQLITE_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "weir/base/result.h"
#include "weir/store/idempotency_store.h"

namespace weir::store {

class SqliteStore final : public IdempotencyStore {
 public:
  static constexpr std::size_t kQueued = 65'536;
  static constexpr std::size_t kBatch = 1024;  // operations a commit

  // Opens or creates the file. Errors: io_error with SQLite's words (no permission, no database, another schema).
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);
  ~SqliteStore() override;

  void submit(Operation operation) override;
  void stop() override;
  Result<std::vector<UnknownOutcome>> unknown(std::int64_t now_ms, std::size_t most) override;

  // Commits so far, and operations in them.
  struct Stats {
    std::uint64_t commits = 0, operations = 0, failures = 0;
  };
  Stats stats() const;

 private:
  class Database;
  explicit SqliteStore(std::unique_ptr<Database> database);
  void run();
  void commit(std::vector<Operation>& batch);

  std::unique_ptr<Database> database_;
  mutable std::mutex database_mutex_;  // the thread's, but for unknown()
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Operation> queue_;
  Stats stats_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir::store

#endif  // WEIR_STORE_SQLITE_STORE_H_
