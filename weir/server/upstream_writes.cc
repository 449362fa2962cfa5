#include "weir/server/upstream_writes.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "weir/base/strings.h"
#include "weir/config/units.h"
#include "weir/server/flat_json.h"

namespace weir::server {
namespace {

using State = resilience::CircuitBreaker::State;

constexpr Duration kMost = std::chrono::hours{24 * 366};

WriteAnswer refused(int status, std::string_view why) {
  WriteAnswer answer;
  answer.status = status;
  answer.body = R"({"refused":")";
  base::append_json_escaped(answer.body, why);
  answer.body += "\"}\n";
  return answer;
}

const gateway::UpstreamPlan* find(const gateway::Plan& plan, std::string_view name) {
  const auto found = std::find_if(plan.upstreams.begin(), plan.upstreams.end(),
                                  [&](const auto& upstream) { return upstream.options.name == name; });
  return found == plan.upstreams.end() ? nullptr : &*found;
}

std::string at(const FlatJson::Place& place, std::string_view what) {
  return place.to_text() + ": " + std::string(what);
}

// The members of `body`, all of them known; else what is wrong, with its place.
Result<FlatJson> read(std::string_view body, std::span<const std::string_view> known) {
  Result<FlatJson> read = FlatJson::parse(body);
  if (!read) return read;
  for (const FlatJson::Member& member : read->members()) {
    if (std::find(known.begin(), known.end(), member.name) != known.end()) continue;
    const std::string_view near = base::closest(member.name, known);
    return Error(ErrorCode::invalid_argument,
                 at(member.at, near.empty() ? std::string("unknown member")
                                            : "unknown member (did you mean `" + std::string(near) + "`?)"));
  }
  return read;
}

std::optional<State> state_of(std::string_view word) {
  for (const State state : {State::forced_open, State::forced_closed, State::disabled})
    if (to_string(state) == word) return state;
  if (word == "auto" || word == "closed") return State::closed;
  return std::nullopt;
}

}  // namespace

WriteAnswer write_breaker(const gateway::Plan& plan, std::string_view upstream, std::string_view body,
                          TimePoint now) {
  const gateway::UpstreamPlan* target = find(plan, upstream);
  if (target == nullptr) return refused(404, "no upstream is called " + std::string(upstream));
  if (!target->options.breaker)
    return refused(409, "this upstream has no circuit breaker (`circuit_breaker: off`)");
  static constexpr std::array<std::string_view, 2> kMembers{"state", "for"};
  const Result<FlatJson> members = read(body, kMembers);
  if (!members) return refused(400, members.error().detail);
  const FlatJson::Member* word = members->find("state");
  if (word == nullptr) return refused(400, at({}, "`state` is missing"));
  const std::optional<State> state = word->kind == FlatJson::Kind::text ? state_of(word->text) : std::nullopt;
  if (!state)
    return refused(400, at(word->value_at, "`state` is one of forced_open, forced_closed, disabled, auto"));
  std::optional<Duration> lasts;
  const FlatJson::Member* for_time = members->find("for");
  if (for_time != nullptr && for_time->kind != FlatJson::Kind::null) {
    if (*state == State::closed) return refused(400, at(for_time->value_at, "`auto` has no end"));
    const Result<Duration> asked = config::read_duration(for_time->text);
    if (for_time->kind != FlatJson::Kind::text || !asked || *asked <= Duration::zero() || *asked > kMost)
      return refused(400, at(for_time->value_at, "`for` is a duration such as \"15m\", at most 366 days"));
    lasts = *asked;
  }
  resilience::CircuitBreaker& breaker = target->shared->breaker();
  if (*state == State::closed)
    breaker.reset(now);
  else
    breaker.force(*state, now, lasts);
  WriteAnswer answer;
  answer.body =
      R"({"upstream":")" + target->options.name + R"(","state":")" + std::string(to_string(*state)) + "\"";
  if (lasts)
    answer.body += ",\"for_ms\":" +
                   std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(*lasts).count());
  answer.body += "}\n";
  answer.done = "circuit breaker of upstream " + target->options.name + " set to " +
                (*state == State::closed ? "auto" : std::string(to_string(*state))) +
                (lasts ? " for " + config::to_text(*lasts) : "");
  return answer;
}

WriteAnswer write_endpoint(const gateway::Plan& plan, std::string_view upstream, std::string_view endpoint,
                           std::string_view body) {
  const gateway::UpstreamPlan* target = find(plan, upstream);
  if (target == nullptr) return refused(404, "no upstream is called " + std::string(upstream));
  const std::optional<std::uint64_t> place = base::parse_u64(endpoint);
  const auto& endpoints = target->options.endpoints;
  if (!place || *place >= endpoints.size())
    return refused(404, "the endpoints of " + target->options.name + " are numbered from 0 to " +
                            std::to_string(endpoints.size() - 1));
  static constexpr std::array<std::string_view, 1> kMembers{"drain"};
  const Result<FlatJson> members = read(body, kMembers);
  if (!members) return refused(400, members.error().detail);
  const FlatJson::Member* drain = members->find("drain");
  if (drain == nullptr) return refused(400, at({}, "`drain` is missing"));
  if (drain->kind != FlatJson::Kind::boolean)
    return refused(400, at(drain->value_at, "`drain` is true or false"));
  const bool drained = drain->text == "true";
  const std::string& url = endpoints[*place].url;
  target->shared->endpoint(url).drained.store(drained, std::memory_order_relaxed);
  WriteAnswer answer;
  answer.body = R"({"upstream":")" + target->options.name + R"(","endpoint":")";
  base::append_json_escaped(answer.body, url);
  answer.body += std::string(R"(","drained":)") + (drained ? "true" : "false") + "}\n";
  answer.done = "endpoint " + url + " of upstream " + target->options.name +
                (drained ? " drained" : " takes requests again");
  return answer;
}

}  // namespace weir::server
