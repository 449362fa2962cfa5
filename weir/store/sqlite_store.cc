#include "weir/store/sqlite_store.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "weir/passport/json.h"

namespace weir::store {
namespace {

using passport::IdempotencyRecord;

constexpr int kSchema = 1;
constexpr int kSweepRows = 256;

constexpr const char* kSetUp =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=2000; PRAGMA "
    "wal_autocheckpoint=4000;"
    "CREATE TABLE IF NOT EXISTS records(row INTEGER PRIMARY KEY, short BLOB NOT NULL, id BLOB NOT NULL,"
    " state INTEGER NOT NULL, owner TEXT NOT NULL, attempt INTEGER NOT NULL, fingerprint BLOB NOT NULL,"
    " created INTEGER NOT NULL, lease INTEGER NOT NULL, expires INTEGER NOT NULL, label TEXT NOT NULL,"
    " status INTEGER NOT NULL, fields TEXT NOT NULL, body_kept INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX IF NOT EXISTS by_short ON records(short);"
    "CREATE INDEX IF NOT EXISTS by_expiry ON records(expires) WHERE state<>0;"
    "CREATE TABLE IF NOT EXISTS bodies(row INTEGER PRIMARY KEY, body BLOB NOT NULL);";

struct StatementCloser {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
struct DatabaseCloser {
  void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementCloser>;

std::string fields_text(const std::vector<std::pair<std::string, std::string>>& fields) {
  passport::Json::Array list;
  for (const auto& [name, value] : fields)
    list.emplace_back(passport::Json::Array{passport::Json(name), passport::Json(value)});
  return passport::Json(std::move(list)).to_text();
}

std::vector<std::pair<std::string, std::string>> parse_fields(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> fields;
  passport::Json::Limits limits;
  limits.bytes = 1 << 20;
  const Result<passport::Json> list = passport::Json::parse(text, limits);
  if (!list) return fields;
  for (const passport::Json& pair : list->items())
    if (pair.items().size() == 2) fields.emplace_back(pair.items()[0].text(), pair.items()[1].text());
  return fields;
}

}  // namespace

class SqliteStore::Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::string& path) {
    auto database = std::make_unique<Database>();
    sqlite3* raw = nullptr;
    const int opened = sqlite3_open_v2(
        path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    database->handle_.reset(raw);
    if (opened != SQLITE_OK) return database->error("open " + path);
    if (!database->execute(kSetUp)) return database->error("set up " + path);
    const int version = database->number("PRAGMA user_version");
    if (version != 0 && version != kSchema)
      return Error(ErrorCode::unsupported, path + " was written by another version");
    if (!database->execute("PRAGMA user_version=1")) return database->error("set up " + path);
    if (!database->prepare()) return database->error("set up " + path);
    return database;
  }

  bool execute(const char* sql) {
    return sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  std::string fault() const { return sqlite3_errmsg(handle_.get()); }

  // False on a fault of the database.
  bool load(const passport::Sha256& id, std::optional<IdempotencyRecord>& record, std::int64_t* row) {
    sqlite3_stmt* s = select_.get();
    bind(s, 1, id.data(), 16);
    const int step = sqlite3_step(s);
    if (step == SQLITE_ROW) {
      *row = sqlite3_column_int64(s, 0);
      IdempotencyRecord found;
      found.state = static_cast<IdempotencyRecord::State>(sqlite3_column_int(s, 2));
      found.owner = text(s, 3);
      found.attempt = static_cast<std::uint32_t>(sqlite3_column_int64(s, 4));
      const std::string print = blob(s, 5);
      std::copy_n(print.begin(), std::min(print.size(), found.fingerprint.size()), found.fingerprint.begin());
      found.created_ms = sqlite3_column_int64(s, 6);
      found.lease_until_ms = sqlite3_column_int64(s, 7);
      found.expires_ms = sqlite3_column_int64(s, 8);
      found.label = text(s, 9);
      found.answer.status = sqlite3_column_int(s, 10);
      found.answer.fields = parse_fields(text(s, 11));
      found.answer.body_kept = sqlite3_column_int(s, 12) != 0;
      // Half an id is compared by the index, the whole here: another record under it is a collision, which does not
      // happen with SHA-256; it is answered as a mismatch rather than trusted.
      if (blob(s, 1) != std::string(id.data(), id.size())) found.fingerprint = {};
      record = std::move(found);
    }
    reset(s);
    return step == SQLITE_ROW || step == SQLITE_DONE;
  }

  bool load_body(std::int64_t row, std::string& body) {
    sqlite3_bind_int64(select_body_.get(), 1, row);
    const int step = sqlite3_step(select_body_.get());
    if (step == SQLITE_ROW) body = blob(select_body_.get(), 0);
    reset(select_body_.get());
    return step == SQLITE_ROW || step == SQLITE_DONE;
  }

  bool store(const passport::Sha256& id, const IdempotencyRecord& record, std::int64_t row, bool known) {
    sqlite3_stmt* s = known ? update_.get() : insert_.get();
    sqlite3_bind_int(s, 1, static_cast<int>(record.state));
    bind(s, 2, record.owner);
    sqlite3_bind_int64(s, 3, record.attempt);
    bind(s, 4, record.fingerprint.data(), record.fingerprint.size());
    sqlite3_bind_int64(s, 5, record.created_ms);
    sqlite3_bind_int64(s, 6, record.lease_until_ms);
    sqlite3_bind_int64(s, 7, record.expires_ms);
    bind(s, 8, record.label);
    sqlite3_bind_int(s, 9, record.answer.status);
    const std::string fields = fields_text(record.answer.fields);
    bind(s, 10, fields);
    sqlite3_bind_int(s, 11, record.answer.body_kept ? 1 : 0);
    if (known) {
      sqlite3_bind_int64(s, 12, row);
    } else {
      bind(s, 12, id.data(), 16);
      bind(s, 13, id.data(), id.size());
    }
    if (!run(s)) return false;
    if (!known) row = sqlite3_last_insert_rowid(handle_.get());
    if (record.state != IdempotencyRecord::State::completed || record.answer.body.empty()) return true;
    sqlite3_bind_int64(insert_body_.get(), 1, row);
    bind(insert_body_.get(), 2, record.answer.body.data(), record.answer.body.size());
    return run(insert_body_.get());
  }

  bool erase(std::int64_t row) {
    for (sqlite3_stmt* s : {erase_.get(), erase_body_.get()}) {
      sqlite3_bind_int64(s, 1, row);
      if (!run(s)) return false;
    }
    return true;
  }

  bool sweep(std::int64_t now_ms) {
    for (sqlite3_stmt* s : {sweep_bodies_.get(), sweep_.get()}) {
      sqlite3_bind_int64(s, 1, now_ms);
      sqlite3_bind_int(s, 2, kSweepRows);
      if (!run(s)) return false;
    }
    return true;
  }

  Result<std::vector<UnknownOutcome>> unknown(std::int64_t now_ms, std::size_t most) {
    sqlite3_stmt* s = unknown_.get();
    sqlite3_bind_int64(s, 1, now_ms);
    sqlite3_bind_int64(s, 2, static_cast<std::int64_t>(most));
    std::vector<UnknownOutcome> all;
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(s)) == SQLITE_ROW) {
      UnknownOutcome& each = all.emplace_back();
      const std::string id = blob(s, 0);
      std::copy_n(id.begin(), std::min(id.size(), each.id.size()), each.id.begin());
      each.label = text(s, 1);
      each.created_ms = sqlite3_column_int64(s, 2);
      each.expires_ms = sqlite3_column_int64(s, 3);
    }
    reset(s);
    if (step != SQLITE_DONE) return Error(ErrorCode::io_error, fault());
    return all;
  }

 private:
  Error error(const std::string& what) const { return Error(ErrorCode::io_error, what + ": " + fault()); }

  int number(const char* sql) {
    Statement s = make(sql);
    return s && sqlite3_step(s.get()) == SQLITE_ROW ? sqlite3_column_int(s.get(), 0) : -1;
  }
  Statement make(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    sqlite3_prepare_v3(handle_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    return Statement(raw);
  }
  bool prepare() {
    const std::array<std::pair<Statement*, const char*>, 10> all{{
        {&select_,
         "SELECT row,id,state,owner,attempt,fingerprint,created,lease,expires,label,status,fields,body_kept"
         " FROM records WHERE short=?1"},
        {&select_body_, "SELECT body FROM bodies WHERE row=?1"},
        {&insert_,
         "INSERT INTO "
         "records(state,owner,attempt,fingerprint,created,lease,expires,label,status,fields,body_kept,"
         "short,id) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"},
        {&update_,
         "UPDATE records SET "
         "state=?1,owner=?2,attempt=?3,fingerprint=?4,created=?5,lease=?6,expires=?7,label=?8,"
         "status=?9,fields=?10,body_kept=?11 WHERE row=?12"},
        {&insert_body_, "INSERT OR REPLACE INTO bodies(row,body) VALUES(?1,?2)"},
        {&erase_, "DELETE FROM records WHERE row=?1"},
        {&erase_body_, "DELETE FROM bodies WHERE row=?1"},
        {&sweep_bodies_,
         "DELETE FROM bodies WHERE row IN (SELECT row FROM records WHERE state<>0 AND expires<=?1 ORDER BY "
         "expires"
         " LIMIT ?2)"},
        {&sweep_,
         "DELETE FROM records WHERE row IN (SELECT row FROM records WHERE state<>0 AND expires<=?1 ORDER BY "
         "expires"
         " LIMIT ?2)"},
        {&unknown_,
         "SELECT id,label,created,expires FROM records WHERE state=2 OR (state=0 AND lease<=?1) ORDER BY "
         "created"
         " LIMIT ?2"},
    }};
    for (const auto& [statement, sql] : all) {
      *statement = make(sql);
      if (!*statement) return false;
    }
    return true;
  }

  static void bind(sqlite3_stmt* s, int at, const char* bytes, std::size_t size) {
    sqlite3_bind_blob(s, at, size == 0 ? "" : bytes, static_cast<int>(size), SQLITE_STATIC);
  }
  static void bind(sqlite3_stmt* s, int at, const std::string& text) {
    sqlite3_bind_text(s, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  static std::string blob(sqlite3_stmt* s, int column) {
    const void* bytes = sqlite3_column_blob(s, column);
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(s, column))};
  }
  static std::string text(sqlite3_stmt* s, int column) { return blob(s, column); }
  static void reset(sqlite3_stmt* s) {
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
  }
  static bool run(sqlite3_stmt* s) {
    const int step = sqlite3_step(s);
    reset(s);
    return step == SQLITE_DONE;
  }

  std::unique_ptr<sqlite3, DatabaseCloser> handle_;  // first: statements go before it
  Statement select_, select_body_, insert_, update_, insert_body_, erase_, erase_body_, sweep_bodies_, sweep_,
      unknown_;
};

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
  Result<std::unique_ptr<Database>> database = Database::open(path);
  if (!database) return database.error();
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(*database)));  // NOLINT: a private constructor
}

SqliteStore::SqliteStore(std::unique_ptr<Database> database) : database_(std::move(database)) {
  thread_ = std::thread([this] { run(); });
}

SqliteStore::~SqliteStore() { stop(); }

void SqliteStore::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();  // what was submitted is still committed and answered
}

void SqliteStore::submit(Operation operation) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() < kQueued && !stopping_) {
      queue_.push_back(std::move(operation));
      wake_.notify_one();
      return;
    }
  }
  Outcome full;
  full.failed = true;
  full.fault = "too many operations wait";
  if (operation.done) operation.done(std::move(full));
}

void SqliteStore::run() {
  std::vector<Operation> batch;
  for (;;) {
    batch.clear();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const std::size_t count = std::min(queue_.size(), kBatch);
      batch.insert(batch.end(), std::make_move_iterator(queue_.begin()),
                   std::make_move_iterator(queue_.begin() + static_cast<std::ptrdiff_t>(count)));
      queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
    }
    commit(batch);
  }
}

void SqliteStore::commit(std::vector<Operation>& batch) {
  std::vector<Outcome> outcomes(batch.size());
  std::string fault;
  {
    const std::lock_guard lock(database_mutex_);
    const bool writes = std::any_of(batch.begin(), batch.end(), [](const Operation& each) {
      return each.kind != Operation::Kind::look_up;
    });
    bool good = database_->execute(writes ? "BEGIN IMMEDIATE" : "BEGIN");
    for (std::size_t i = 0; good && i < batch.size(); ++i) {
      Operation& operation = batch[i];
      std::optional<IdempotencyRecord> record;
      std::int64_t row = 0;
      good = database_->load(operation.ticket.id, record, &row);
      if (!good) break;
      const bool known = record.has_value();
      outcomes[i] = apply(record, operation);
      if (outcomes[i].decision.kind == passport::IdempotencyDecision::Kind::replay)
        good = database_->load_body(row, outcomes[i].answer.body);
      if (operation.kind == Operation::Kind::look_up) continue;
      if (record)
        good = good && database_->store(operation.ticket.id, *record, row, known);
      else if (known)
        good = good && database_->erase(row);
    }
    if (good && writes) good = database_->sweep(batch.front().times.now_ms);
    good = good && database_->execute("COMMIT");
    if (!good) {
      fault = database_->fault();
      database_->execute("ROLLBACK");
    }
  }
  {
    const std::lock_guard lock(mutex_);
    ++stats_.commits;
    stats_.operations += batch.size();
    stats_.failures += fault.empty() ? 0 : 1;
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (!fault.empty()) {
      outcomes[i] = Outcome();
      outcomes[i].failed = true;
      outcomes[i].fault = fault;
    }
    if (batch[i].done) batch[i].done(std::move(outcomes[i]));
  }
}

Result<std::vector<UnknownOutcome>> SqliteStore::unknown(std::int64_t now_ms, std::size_t most) {
  const std::lock_guard lock(database_mutex_);
  return database_->unknown(now_ms, most);
}

SqliteStore::Stats SqliteStore::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace weir::store
