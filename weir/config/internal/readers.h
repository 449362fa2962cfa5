// From checked values to Config, part by part, and the rules that concern more than one value.
//
// Readers run after all files are merged. Each reports what it finds and goes on; Config is complete only
// when nothing was an error.
#ifndef WEIR_CONFIG_INTERNAL_READERS_H_
#define WEIR_CONFIG_INTERNAL_READERS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/config.h"
#include "weir/config/internal/check.h"
#include "weir/config/internal/scalars.h"

namespace weir::config::internal {

struct ReadContext {
  Config& config;  // what earlier readers have filled in may be looked at
  Report& report;
  const Environment& environment;   // for files that are no configuration
  std::vector<std::string>& files;  // as the result names them; config.files follows

  const std::string& file_of(Position at) const { return config.files[at.file]; }
  // "weir.yaml:3:5": for messages that point to a second place.
  std::string place(Position at) const;
};

void read_server(const Value& root, const ReadContext& context);
void read_shares(const Value& map, ShedShares& shares, const ReadContext& context);
void read_upstreams(const Value& root, const ReadContext& context);
void read_rate_limits(const Value& root, const ReadContext& context);
void read_rate_limit_headers(const Value& root, const ReadContext& context);
void read_redis(const Value& root, const ReadContext& context);  // behind read_rate_limits
void read_auth(const Value& root, const ReadContext& context);
// A route's own keys; `auth` and `idempotency` may be null. What they name is checked.
void read_route_auth(const Value* auth, RouteAuth& target, const ReadContext& context);
void read_route_idempotency(const Value* idempotency, RouteIdempotency& target);
void read_experiments(const Value& root, const ReadContext& context);
void read_routes(const Value& root, const ReadContext& context);
void read_tracing(const Value& root, const ReadContext& context);

// The page of a route, compiled once to find every mistake. `check_upstream` reports a name that is not there.
std::optional<bff::PageSpec> read_bff(const Value& bff, const ReadContext& context,
                                      const std::function<void(const Value& name)>& check_upstream);

// Free text, remembered as a secret when it came from outside the file.
std::string free_text(const Value& value, const ReadContext& context);

// Warns of a word that is nearly one of `words` and was taken as something else: legal, and hardly meant.
void warn_near_word(const Value& value, std::string_view taken_as, const std::vector<std::string_view>& words,
                    Report& report);

// The value of `key` when it is there and sound.
inline const Value* sound(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  return value != nullptr && value->form != 0 ? value : nullptr;
}

inline void read(const Value& map, std::string_view key, bool& target) {
  if (const Value* value = sound(map, key)) target = value->number != 0;
}
inline void read(const Value& map, std::string_view key, std::uint32_t& target) {
  if (const Value* value = sound(map, key))
    target = static_cast<std::uint32_t>(value->number);  // bounds fit 32 bits
}
inline void read(const Value& map, std::string_view key, Duration& target) {
  if (const Value* value = sound(map, key)) target = value->duration;
}

}  // namespace weir::config::internal

#endif  // WEIR_CONFIG_INTERNAL_READERS_H_
