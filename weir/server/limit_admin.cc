// What the admin says of rate limits, and how it changes one while the gateway runs.
#include <algorithm>
#include <array>
#include <utility>

#include "weir/async/timer.h"
#include "weir/base/strings.h"
#include "weir/config/units.h"
#include "weir/server/flat_json.h"
#include "weir/server/server.h"

namespace weir::server {
namespace {

// An override ends at most this much late: the longest time between two looks.
constexpr Duration kLook = std::chrono::milliseconds{100};
constexpr Duration kHoldMost = std::chrono::hours{24 * 366};

void text(std::string& out, std::string_view name, std::string_view value) {
  out.append(out.back() == '{' ? "\"" : ",\"").append(name).append("\":\"");
  base::append_json_escaped(out, value);
  out.push_back('"');
}

void number(std::string& out, std::string_view name, std::uint64_t value) {
  out.append(",\"").append(name).append("\":").append(std::to_string(value));
}

std::uint64_t milliseconds(Duration time) {
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(time).count());
}

Server::Answered refused(int status, std::string_view why) {
  std::string body = "{";
  text(body, "refused", why);
  return {status, body.append("}\n")};
}

void policy_members(std::string& out, const ratelimit::Policy& policy, std::string_view name,
                    std::string_view store) {
  text(out, "name", name);
  text(out, "store", store);
  text(out, "algorithm", ratelimit::to_string(ratelimit::effective_algorithm(policy)));
  number(out, "limit", policy.limit);
  number(out, "window_ms", milliseconds(policy.window));
}

// What has been set by hand: absent when nothing is.
void override_members(std::string& out, const std::optional<gateway::LimitOverrides::Standing>& standing) {
  if (!standing || !standing->limit) return;
  out.append(",\"override\":{\"limit\":").append(std::to_string(*standing->limit));
  number(out, "file_limit", standing->file_limit);
  if (standing->left) number(out, "remaining_ms", milliseconds(*standing->left));
  out.push_back('}');
}

struct Order {
  std::string tier;
  std::optional<std::uint32_t> limit;  // absent: back to the file's
  std::optional<Duration> window;      // of a rate
  Duration hold{};
};

// {"limit": 500 | "500/min" | null, "for": "10m"?, "tier": "gold"?}
Result<Order> read_order(std::string_view json) {
  const Result<FlatJson> body = FlatJson::parse(json);
  if (!body) return body.error();
  const auto wrong = [](const FlatJson::Place& at, std::string_view what) {
    return Error(ErrorCode::invalid_argument, at.to_text() + ": " + std::string(what));
  };
  static constexpr std::array<std::string_view, 3> kKnown{"limit", "for", "tier"};
  for (const FlatJson::Member& member : body->members()) {
    if (std::find(kKnown.begin(), kKnown.end(), member.name) != kKnown.end()) continue;
    const std::string_view near = base::closest(member.name, kKnown);
    return wrong(member.at,
                 "unknown member" +
                     (near.empty() ? std::string() : " (did you mean `" + std::string(near) + "`?)") +
                     "; known are limit, for and tier");
  }
  Order order;
  const FlatJson::Member* limit = body->find("limit");
  if (limit == nullptr) return wrong({}, "`limit` is missing: write {\"limit\": 500, \"for\": \"10m\"}");
  std::optional<std::uint64_t> count = limit->whole();
  if (limit->kind == FlatJson::Kind::text) {
    const Result<config::Rate> rate = config::read_rate(limit->text);
    if (!rate) return wrong(limit->value_at, rate.error().detail);
    count = rate->count;
    order.window = rate->window;
  } else if (limit->kind != FlatJson::Kind::null && !count) {
    return wrong(limit->value_at, "`limit` is a whole number, a rate such as \"500/min\", or null");
  }
  if (count && *count > UINT32_MAX) return wrong(limit->value_at, "`limit` goes up to 4294967295");
  if (count) order.limit = static_cast<std::uint32_t>(*count);
  if (const FlatJson::Member* hold = body->find("for");
      hold != nullptr && hold->kind != FlatJson::Kind::null) {
    if (hold->kind != FlatJson::Kind::text)
      return wrong(hold->value_at, "`for` is a duration in quotes, such as \"10m\"");
    const Result<Duration> read = config::read_duration(hold->text);
    if (!read) return wrong(hold->value_at, read.error().detail);
    if (*read <= Duration::zero() || *read > kHoldMost)
      return wrong(hold->value_at, "`for` is above 0 and at most 366 days");
    order.hold = *read;
  }
  if (const FlatJson::Member* tier = body->find("tier");
      tier != nullptr && tier->kind != FlatJson::Kind::null) {
    if (tier->kind != FlatJson::Kind::text) return wrong(tier->value_at, "`tier` is a name in quotes");
    order.tier = tier->text;
  }
  return order;
}

}  // namespace

Server::Answered Server::set_rate_limit(std::string_view name, std::string_view json) {
  gateway::LimitOverrides& overrides = *state_.limit_overrides();
  const std::vector<std::string> names = overrides.names();
  const auto unknown = [&](std::string_view what, const std::string& asked) {
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view near = base::closest(asked, views);
    return refused(404, "no " + std::string(what) + " is called " + asked.substr(0, 64) +
                            (near.empty() ? "" : " (did you mean " + std::string(near) + "?)"));
  };
  if (std::find(names.begin(), names.end(), name) == names.end()) return unknown("limit", std::string(name));
  const Result<Order> order = read_order(json);
  if (!order) return refused(400, order.error().detail);
  std::string whole(name);
  if (!order->tier.empty()) whole.append("/").append(order->tier);
  const std::optional<ratelimit::Policy> file = overrides.file_policy(whole);
  if (!file) return unknown("tier", whole);
  if (order->window && *order->window != file->window)
    return refused(400, "the window of " + whole + " stays " + config::to_text(file->window) +
                            "; write the units in it as a number");
  const TimePoint now = clock_.now();
  const Result<void> done =
      order->limit ? overrides.set(now, whole, *order->limit, order->hold) : overrides.clear(now, whole);
  if (!done) return refused(done.error().code == ErrorCode::not_found ? 404 : 400, done.error().detail);
  std::string body = "{";
  text(body, "name", whole);
  number(body, "limit", order->limit.value_or(file->limit));
  override_members(body, overrides.find(now, whole));
  return {200, body.append("}\n")};
}

async::Task<void> Server::watch_overrides(io::Reactor& reactor) {
  if (std::exchange(watching_overrides_, true)) co_return;
  for (;;) {
    const std::optional<TimePoint> next = state_.limit_overrides()->expire(reactor.now());
    if (!next) break;
    static_cast<void>(co_await async::sleep_until(reactor, std::min(*next, reactor.now() + kLook), nullptr));
  }
  watching_overrides_ = false;
}

std::string Server::rate_limits_json() const {
  const gateway::LimitOverrides& overrides = *state_.limit_overrides();
  const TimePoint now = clock_.now();
  std::string out = "{\"rate_limits\":[";
  for (const auto& [name, limiter] : state_.limiters()) {
    const ratelimit::KeyedRateLimiter::Stats stats = limiter->stats();
    out.append(out.back() == '[' ? "{" : ",{");
    policy_members(out, limiter->policy(), name, "local");
    override_members(out, overrides.find(now, name));
    number(out, "keys", stats.keys);
    number(out, "keys_max", stats.capacity);
    number(out, "bytes", stats.bytes);
    number(out, "allowed", stats.allowed);
    number(out, "refused", stats.refused);
    number(out, "evicted", stats.evicted);
    number(out, "overflowed", stats.overflowed);
    out.push_back('}');
  }
  for (const auto& [name, shared] : state_.shared_limits()) {
    const gateway::SharedLimit::Stats stats = shared->stats();
    out.append(out.back() == '[' ? "{" : ",{");
    policy_members(out, shared->policy(), name, "redis");
    override_members(out, overrides.find(now, name));
    out.append(",\"together\":").append(state_.sharing()->together() ? "true" : "false");
    number(out, "keys", stats.keys);
    number(out, "keys_max", gateway::SharedLimit::kKeys);
    number(out, "allowed", stats.allowed);
    number(out, "refused", stats.refused);
    number(out, "refused_here", stats.refused_here);
    number(out, "alone", stats.alone);
    out.push_back('}');
  }
  return out.append("]}\n");
}

}  // namespace weir::server
