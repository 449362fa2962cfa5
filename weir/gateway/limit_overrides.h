// LimitOverrides: limits that a person has changed by hand while the gateway runs.
//
//   overrides.publish(now, limiter, policy, apply);   // a plan says what the file says
//   overrides.set(now, "per_client", 500, 10min);     // the admin: for ten minutes
//   overrides.expire(now);                            // back to the file's, where the time is over
//
// Rules:
//   (1) What is booked stays booked; the new limit counts with the next request.
//   (2) A reload that leaves the limit as it is leaves the override in force. One that changes the limit ends it: the
//       file's word is the newer one.
//   (3) `hold` zero: until (2), or until it is taken away. A restart ends every override.
//   (4) Window and algorithm stay the file's. Only an exact window that the hand raises above 1,024 counts by segments
//       meanwhile, so that a raised limit cannot multiply the memory of a full table.
//
// One entry a limit of the configuration, so as many as there are limits. Thread-safe: one mutex, held while a limit is
// applied (a walk over its keys), so that the last one who spoke is the one who counts.
#ifndef WEIR_GATEWAY_LIMIT_OVERRIDES_H_
#define WEIR_GATEWAY_LIMIT_OVERRIDES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/ratelimit/policy.h"

namespace weir::gateway {

class LimitOverrides {
 public:
  // Puts a policy into force. Called under the mutex; must not fail.
  using Apply = std::function<void(TimePoint now, const ratelimit::Policy& policy)>;

  struct Standing {
    std::uint32_t file_limit = 0;
    std::optional<std::uint32_t> limit;  // absent: no override
    std::optional<Duration> left;        // absent: no end of its own
  };

  // What is told of every change: one line for the log. Set before the first plan.
  void set_log(std::function<void(const std::string& line)> log);

  // The file's limit, under its state's name (`policy.name`). `state` is what `apply` changes; when it is gone, so is the
  // entry.
  void publish(TimePoint now, const std::weak_ptr<const void>& state, const ratelimit::Policy& policy,
               Apply apply);

  // Error not_found for a name that no limit in use has; invalid_argument for a limit that it cannot have.
  Result<void> set(TimePoint now, std::string_view name, std::uint32_t limit, Duration hold);
  // Back to the file's. Error not_found; a limit without an override is left as it is.
  Result<void> clear(TimePoint now, std::string_view name);
  // Back to the file's wherever the time is over. Returns when to look again; nothing when no override has an end.
  std::optional<TimePoint> expire(TimePoint now);

  std::optional<Standing> find(TimePoint now, std::string_view name) const;
  std::optional<ratelimit::Policy> file_policy(std::string_view name) const;
  std::vector<std::string> names() const;

 private:
  struct Entry {
    std::weak_ptr<const void> state;
    ratelimit::Policy file;
    Apply apply;
    std::optional<std::uint32_t> limit;
    std::optional<TimePoint> until;
  };

  Entry* alive(std::string_view name);
  const Entry* alive(std::string_view name) const;
  void end(TimePoint now, Entry& entry, const std::string& why);
  void say(const std::string& line) const;

  mutable std::mutex mutex_;
  std::function<void(const std::string& line)> log_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_LIMIT_OVERRIDES_H_
