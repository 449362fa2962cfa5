// Listeners, logs, trusted proxies, limits: what belongs to the process and not to a route.
#include <algorithm>

#include "weir/base/strings.h"
#include "weir/config/internal/readers.h"

namespace weir::config::internal {
namespace {

Listen read_listen(const Value& value) {
  Listen listen;
  listen.address = *parse_listen(value.text).value;
  listen.at = value.at;
  return listen;
}

void read_listeners(const Value& root, const ReadContext& context) {
  const Value* listen = sound(root, "listen");
  if (listen == nullptr) return;
  if (listen->is(kListen)) context.config.listen.push_back(read_listen(*listen));
  for (const Value& item : listen->items) {
    const Value* address = item.is(kMap) ? sound(item, "address") : &item;
    if (address != nullptr) context.config.listen.push_back(read_listen(*address));
  }
}

void read_admin(const Value& root, const ReadContext& context) {
  const Value* admin = sound(root, "admin");
  if (admin == nullptr) return;
  const Value* address = admin->is(kMap) ? sound(*admin, "listen") : admin;
  if (address == nullptr) return;
  Admin& target = context.config.admin.emplace();
  target.address = *parse_listen(address->text).value;
  target.at = address->at;
  const Value* token = sound(*admin, "token");
  if (token == nullptr) return;
  target.token = free_text(*token, context);
  const bool visible =
      std::all_of(token->text.begin(), token->text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!visible)
    context.report.error(token->at, "`token` must be visible ASCII without spaces: it is sent in a header");
  if (token->source.empty())
    context.report.warning(token->at, "the token stands in the file for everyone who may read it",
                           "write `env:NAME` or `file:PATH`");
}

// One spelling for one place: "[::0]:80" and "[::]:80" are the same to bind().
std::string bound_place(const HostPort& address) {
  HostPort plain = address;
  if (plain.host.empty()) plain.host = "0.0.0.0";
  if (const auto ip = base::IpAddress::parse(plain.host)) plain.host = ip->to_text();
  return plain.to_text();
}

// The same address twice would fail at bind(), after the configuration had been called sound.
void refuse_shared_addresses(const Value& root, const ReadContext& context) {
  struct Bound {
    std::string address;
    Position at;
  };
  std::vector<Bound> all;
  for (const Listen& listen : context.config.listen) all.push_back({bound_place(listen.address), listen.at});
  if (const auto& admin = context.config.admin) all.push_back({bound_place(admin->address), admin->at});
  if (const auto& health = context.config.health)
    all.push_back({bound_place(*health), sound(root, "health")->at});
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (all[i].address != all[j].address || all[i].address.ends_with(":0")) continue;
      context.report.error(all[i].at, "the address `" + all[i].address + "` is used twice: also at " +
                                          context.place(all[j].at));
      break;
    }
  }
}

void read_access_log(const Value& root, const ReadContext& context) {
  const Value* log = sound(root, "access_log");
  if (log == nullptr) return;
  AccessLog& target = context.config.access_log;
  const Value* to = log->is(kMap) ? sound(*log, "to") : log;
  if (to != nullptr && to->is(kFilePath)) {
    target.to = relative_to(context.file_of(to->at), to->text);
    warn_near_word(*to, "the name of a file", {"stdout", "off"}, context.report);
  } else if (to != nullptr) {
    target.to = to->text;
  }
  if (const Value* sample = sound(*log, "sample")) target.sample = sample->share;
  if (const Value* redact = sound(*log, "redact"))
    for (const Value& name : redact->items) target.redact.push_back(name.text);
}

void read_trusted_proxies(const Value& root, const ReadContext& context) {
  const Value* trusted = sound(root, "trusted_proxies");
  if (trusted == nullptr) return;
  read(*trusted, "hops", context.config.trusted_proxies.hops);
  if (const Value* cidrs = sound(*trusted, "cidrs"))
    for (const Value& cidr : cidrs->items)
      context.config.trusted_proxies.cidrs.push_back(*base::Cidr::parse(cidr.text));
}

void read_bound(const Value& map, std::string_view key, std::uint64_t& target) {
  if (const Value* value = sound(map, key)) target = value->is(kOff) ? kUnbounded : value->number;
}

template <class T>
void read_optional(const Value& map, std::string_view key, std::optional<T>& target) {
  const Value* value = sound(map, key);
  if (value == nullptr) return;
  if (value->is(kOff)) {
    target.reset();
  } else if constexpr (std::is_same_v<T, Duration>) {
    target = value->duration;
  } else {
    target = static_cast<T>(value->number);
  }
}

void read_limits(const Value& root, const ReadContext& context) {
  const Value* map = sound(root, "limits");
  if (map == nullptr) return;
  Limits& limits = context.config.limits;
  read_bound(*map, "header_bytes", limits.header_bytes);
  read_bound(*map, "line_bytes", limits.line_bytes);
  read_bound(*map, "target_bytes", limits.target_bytes);
  read_bound(*map, "header_count", limits.header_count);
  read_optional(*map, "header_timeout", limits.header_timeout);
  read_optional(*map, "body_timeout", limits.body_timeout);
  read_optional(*map, "body_rate_min", limits.body_rate_min);
  read_optional(*map, "idle_timeout", limits.idle_timeout);
  read_optional(*map, "max_body", limits.max_body);
  read_optional(*map, "connections_per_address", limits.connections_per_address);
}

}  // namespace

std::string free_text(const Value& value, const ReadContext& context) {
  if (!value.source.empty() && !value.text.empty()) context.config.secrets.push_back(value.text);
  return value.text;
}

void warn_near_word(const Value& value, std::string_view taken_as, const std::vector<std::string_view>& words,
                    Report& report) {
  if (!value.source.empty() || value.text.find_first_of("./") != std::string::npos) return;
  std::string suggestion = did_you_mean(value.text, words);
  if (!suggestion.empty())
    report.warning(value.at, shown(value) + " is taken as " + std::string(taken_as), std::move(suggestion));
}

std::string ReadContext::place(Position at) const {
  return file_of(at) + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

void read_shares(const Value& map, ShedShares& shares, const ReadContext& context) {
  if (const Value* critical = sound(map, "critical_share")) shares.critical = critical->share;
  if (const Value* normal = sound(map, "normal_share")) shares.normal = normal->share;
  if (shares.critical + shares.normal > 1)
    context.report.error(map.at, "`critical_share` and `normal_share` together are more than all places");
}

void read_server(const Value& root, const ReadContext& context) {
  Config& config = context.config;
  read_listeners(root, context);
  read_admin(root, context);
  if (const Value* health = sound(root, "health")) config.health = *parse_listen(health->text).value;
  refuse_shared_addresses(root, context);
  if (const Value* workers = sound(root, "workers"); workers != nullptr && workers->is(kNumber))
    config.workers = static_cast<std::uint32_t>(workers->number);
  read_access_log(root, context);
  if (const Value* log = sound(root, "log"))
    if (const Value* level = sound(*log, "level")) config.log_level = level->text;
  read_trusted_proxies(root, context);
  read_limits(root, context);
  if (const Value* shed = sound(root, "load_shed")) {
    read(*shed, "max_in_flight", config.max_in_flight);
    read_shares(*shed, config.shed_shares, context);
    if (const Value* priority = sound(*shed, "priority")) {
      if (const Value* header = sound(*priority, "header")) config.priority_header = header->text;
      if (const Value* claim = sound(*priority, "claim")) config.priority_claim = claim->text;
    }
  }
  if (const Value* cache = sound(root, "cache"))
    if (const Value* memory = sound(*cache, "memory")) config.cache_bytes = memory->number;
  if (const Value* explain = sound(root, "explain")) {
    if (!explain->is(kMap)) config.explain.recent = config.explain.kept = 0;
    read(*explain, "recent", config.explain.recent);
    read(*explain, "kept", config.explain.kept);
    read(*explain, "slow", config.explain.slow);
  }
}

}  // namespace weir::config::internal
