// Decision records: what every stage decided about one request and the numbers that led to it, kept for a while.
//
// A worker keeps its own, in four rings: what passed in the ordinary way is soonest overwritten, refused, failed and
// slow requests (and those that asked for their record) only by their like. Nobody else writes them, so a request pays
// for one copy of what its exchange knows, and nothing else; whoever looks for one asks the workers on their own
// threads (server/explain.h).
//
//   (1) A record is bytes: less than 1 KiB of them, copied as far as they are used. No allocation for a request.
//   (2) It holds indexes into its plan, and the names they stand for are kept for the last kPlansKept plans: an older
//       record still tells its numbers.
//   (3) Never a key's value, a token, a query or a field of the request. Of the path the first kPathMax bytes, but for
//       those that passed in the ordinary way: their route is told, their path stands in the access log.
//
// Some 150 instructions for a proxied request, the notes of its stages included.
#ifndef WEIR_GATEWAY_DECISION_RECORD_H_
#define WEIR_GATEWAY_DECISION_RECORD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/config/config.h"
#include "weir/gateway/notes.h"
#include "weir/gateway/problem.h"
#include "weir/http/message.h"

namespace weir::gateway {

class Exchange;
struct Plan;

// What the indexes of a plan's records stand for.
struct PlanNames {
  struct Route {
    std::string name;
    std::vector<std::string_view> stages;  // static storage
    std::vector<std::string> experiments;
    std::vector<std::string> sections;
  };
  struct Limit {
    std::string name;
    std::string key;  // as written: what kind of key, not its value
    bool needs_identity = false;
    std::vector<std::string> tiers;
  };
  struct Upstream {
    std::string name;
    std::vector<std::string> endpoints;
    std::uint32_t failures_to_open = 0;  // 0: no breaker
  };
  std::vector<Route> routes;
  std::vector<Limit> limits;
  std::vector<Upstream> upstreams;
};

std::shared_ptr<const PlanNames> names_of(const Plan& plan);

struct DecisionRecord {
  static constexpr std::size_t kIdMax = 128;
  static constexpr std::size_t kPathMax = 64;
  static constexpr std::uint32_t kNoRoute = UINT32_MAX;

  TimePoint started;
  Duration took;           // to the end of the answer; zero while it is being given
  std::string_view stage;  // static storage
  std::string_view why;    // static storage
  std::uint32_t plan;      // the worker's count of plans
  std::uint32_t route;     // or kNoRoute
  std::uint16_t status;
  Problem problem;
  http::Method method;
  std::uint8_t stages_entered;
  std::uint8_t id_size;
  std::uint8_t path_size;
  bool client_gone;
  bool degraded;
  char id[kIdMax];
  char path[kPathMax];
  Notes notes;  // last: only what is used is copied

  std::string_view id_text() const noexcept { return {id, id_size}; }
};
static_assert(sizeof(DecisionRecord) <= 1024);

// What is known of `exchange` at this moment, without its path.
void fill(DecisionRecord& record, const Exchange& exchange, Duration took) noexcept;
// The path, which those that pass in the ordinary way are spared.
void add_path(DecisionRecord& record, const Exchange& exchange) noexcept;

// As JSON, on one line. `started` is the wall time; `names` may be null. `kind` and `worker` are left out when `kind`
// is "".
struct RecordContext {
  const PlanNames* names = nullptr;
  WallTime started{};
  std::string_view kind;
  std::size_t worker = 0;
};
std::string to_json(const DecisionRecord& record, const RecordContext& context);

// The same as the value of a field: ASCII, at most kExplainFieldMax bytes; without attempts and notes where it would be
// longer.
inline constexpr std::size_t kExplainFieldMax = 4096;
std::string to_field(const DecisionRecord& record, const RecordContext& context);

class DecisionRecords {
 public:
  enum class Kind : std::uint8_t { recent, refused, failed, slow };
  static constexpr std::size_t kKinds = 4;
  static constexpr std::size_t kPlansKept = 4;

  // From now on records belong to a plan with these names. Other bounds than before start empty.
  void adopt(std::shared_ptr<const PlanNames> names, const config::Explain& bounds);
  std::uint32_t plan() const noexcept { return plan_; }

  // Keeps the record of an exchange that has ended. Of those that passed in the ordinary way at most `recent` a second,
  // so that the ring holds a second's and not a millisecond's when there are many, and most of them pay nothing.
  void keep(const Exchange& exchange, Duration took) noexcept;

  struct Found {
    const DecisionRecord* record = nullptr;  // good until the next keep()
    Kind kind = Kind::recent;
    const PlanNames* names = nullptr;  // null: of a plan that is forgotten
  };
  // The newest with that id; null when there is none. O(records).
  Found find(std::string_view id) const noexcept;
  const PlanNames* names(std::uint32_t plan) const noexcept;

 private:
  struct Free {
    void operator()(DecisionRecord* records) const noexcept { ::operator delete(records); }
  };
  struct Ring {
    std::unique_ptr<DecisionRecord[], Free> records;
    std::uint32_t size = 0;
    std::uint32_t next = 0;
    std::uint32_t used = 0;
  };
  Kind kind_of(const Exchange& exchange, Duration took) const noexcept;
  void put(const Exchange& exchange, Duration took, Kind kind) noexcept;

  std::array<Ring, kKinds> rings_;
  std::array<std::shared_ptr<const PlanNames>, kPlansKept> names_;  // of plan n at n % kPlansKept
  std::uint32_t plan_ = 0;
  std::uint32_t left_ = 0;  // of the ordinary ones, until more_at_
  TimePoint more_at_{};
  config::Explain bounds_{0, 0, Duration{}};  // of the rings as they are: none yet
};

std::string_view to_string(DecisionRecords::Kind kind) noexcept;

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_DECISION_RECORD_H_
