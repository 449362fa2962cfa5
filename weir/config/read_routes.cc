// Routes: defaults merged in, references resolved, and what no single route can know: names, hidden routes.
//
//   (1) A key that a route writes replaces the default whole, `off` and `[]` included.
//   (2) Mistakes in `defaults` are reported there, once, and not at every route.
//   (3) A value that is wrong hides the default all the same: it is reported, not replaced.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "weir/base/strings.h"
#include "weir/config/internal/hidden.h"
#include "weir/config/internal/readers.h"
#include "weir/experiment/snapshot.h"

namespace weir::config::internal {
namespace {

class RouteReader {
 public:
  RouteReader(const Value& root, const ReadContext& context)
      : context_(context),
        defaults_(sound(root, "defaults")),
        limits_(root.find("rate_limits")),
        upstreams_(root.find("upstreams")),
        root_experiments_(root.find("experiments")) {}

  void read_all(const Value& list) {
    for (const RateLimit& limit : context_.config.rate_limits) limits_by_name_.emplace(limit.name, &limit);
    if (defaults_ != nullptr) {
      check_limit_names(sound(*defaults_, "rate_limit"));
      check_edits(sound(*defaults_, "headers"));
    }
    for (const Value& map : list.items) {
      Route route = read_route(map);
      if (!match_is_sound(map)) continue;  // reported; what it hides or is called cannot be known
      // A twin of an earlier route has its name as well: one mistake.
      if (!check_hidden(route) || map.find("name") != nullptr) check_name(map, route);
      warn_evadable(map, route);
      context_.config.routes.push_back(std::move(route));
    }
  }

 private:
  // The route's own value or the default's. A wrong one hides the default: it is reported, not replaced.
  const Value* effective(const Value& map, std::string_view key) const {
    if (map.find(key) != nullptr) return sound(map, key);
    return defaults_ == nullptr ? nullptr : sound(*defaults_, key);
  }

  static bool match_is_sound(const Value& map) {
    for (std::string_view key : {"path", "methods", "host", "name"})
      if (const Value* value = map.find(key); value != nullptr && (value->form == 0 || value->partial))
        return false;
    return map.find("path") != nullptr;
  }

  Route read_route(const Value& map) {
    Route route;
    route.at = map.at;
    if (const Value* path = sound(map, "path")) route.path = path->text;
    read_match(map, route);
    read_rate_limit(map, route);
    read_load_shed(map, route);
    if (const Value* buffer = effective(map, "request_buffer")) route.request_buffer = buffer->number;
    read_cidrs(effective(map, "allow"), route.allow);
    read_cidrs(effective(map, "deny"), route.deny);
    check_edits(sound(map, "headers"));
    if (const Value* headers = effective(map, "headers")) {
      copy_edit(sound(*headers, "request"), route.request_headers);
      copy_edit(sound(*headers, "response"), route.response_headers);
    }
    read_rewrite(map, route);
    if (const Value* slash = effective(map, "allow_encoded_slash"))
      route.allow_encoded_slash = slash->number != 0;
    read_identity(map, route);
    read_target(map, route);
    read_experiments_of(map, route);
    read_cors(effective(map, "cors"), route);
    read_cache(map, route);
    read_faults(sound(map, "faults"), route);
    return route;
  }

  void read_faults(const Value* from, Route& route) {
    if (from == nullptr || !from->is(kMap)) return;
    Faults faults;
    if (const Value* delay = sound(*from, "delay")) {
      read(*delay, "for", faults.delay.emplace().lasts);
      if (const Value* share = sound(*delay, "percent")) faults.delay->share = share->share;
    }
    if (const Value* abort = sound(*from, "abort")) {
      faults.abort.emplace();
      if (const Value* status = sound(*abort, "status"))
        faults.abort->status = static_cast<int>(status->number);
      if (const Value* share = sound(*abort, "percent")) faults.abort->share = share->share;
    }
    if (const Value* header = sound(*from, "header")) faults.header = header->text;
    read(*from, "max_active", faults.max_active);
    if (from->find("delay") == nullptr && from->find("abort") == nullptr)
      context_.report.error(from->at, "`faults` does nothing",
                            "add `delay: {for: 200ms}` or `abort: {status: 503}`");
    if (!route.upstream && !route.bff)
      context_.report.error(from->at, "`faults` needs an `upstream` or a `bff`: they stand in its place");
    else if (faults.header.empty() && (faults.delay || faults.abort))
      context_.report.warning(from->at, "this route fails on purpose, for everybody",
                              "name a `header`, and only requests with it meet the fault");
    route.faults = std::move(faults);
  }

  void read_identity(const Value& map, Route& route) {
    const Value* auth = effective(map, "auth");
    read_route_auth(auth, route.auth, context_);
    if (const Value* forward = effective(map, "forward_token")) route.forward_token = forward->number != 0;
    const Value* idempotency = effective(map, "idempotency");
    read_route_idempotency(idempotency, route.idempotency);
    const bool keyed = route.idempotency.require != Require::off && idempotency != nullptr;
    if (keyed && map.find("idempotency") != nullptr && map.find("upstream") == nullptr &&
        (map.find("bff") != nullptr || map.find("respond") != nullptr))
      context_.report.error(idempotency->key_at,
                            "`idempotency` needs an `upstream`: nothing else is carried out");
    if (keyed && route.auth.require == Require::off && !route.idempotency.anonymous)
      context_.report.error(idempotency->key_at,
                            "idempotency keys belong to somebody, and this route does not ask who it is",
                            "add `auth: required`, or `idempotency: {anonymous: true}`");
    if (map.find("upstream") == nullptr) route.idempotency = {};
  }

  void read_match(const Value& map, Route& route) {
    if (const Value* methods = sound(map, "methods")) {
      for (const Value& method : methods->items) {
        if (std::find(route.methods.begin(), route.methods.end(), method.text) != route.methods.end())
          context_.report.error(method.at, shown(method) + " is twice in this list");
        else
          route.methods.push_back(method.text);
      }
    }
    if (const Value* host = sound(map, "host")) route.host = *parse_host(host->text, true).value;
    if (const Value* name = sound(map, "name")) {
      route.name = name->text;
      return;
    }
    for (const std::string& method : route.methods) route.name += (route.name.empty() ? "" : ",") + method;
    route.name += (route.name.empty() ? "" : " ") + route.path;
  }

  // Names that a map declares; a damaged entry declares its name all the same.
  struct Declared {
    std::vector<std::string_view> names;
    std::unordered_set<std::string_view> set;
    bool known = true;  // false: the map itself is damaged, so nothing can be said about a name

    explicit Declared(const Value* map) {
      if (map == nullptr) return;
      known = map->form != 0;
      for (const auto& [name, value] : map->entries) names.push_back(name);
      set.insert(names.begin(), names.end());
    }
  };

  void check_reference(const Declared& declared, const Value& name, std::string_view what) {
    if (!declared.known || declared.set.contains(name.text) || context_.report.full()) return;
    std::string suggestion;
    if (name.source.empty()) suggestion = did_you_mean(name.text, declared.names);
    context_.report.error(name.at, "no " + std::string(what) + " is called " + shown(name),
                          std::move(suggestion));
  }

  void check_limit_names(const Value* list) {
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      const Value& name = list->items[i];
      check_reference(limits_, name, "rate limit");
      for (std::size_t j = 0; j < i; ++j)
        if (list->items[j].text == name.text)
          context_.report.error(name.at, shown(name) + " is twice in this list");
    }
  }

  void read_rate_limit(const Value& map, Route& route) {
    check_limit_names(sound(map, "rate_limit"));
    if (const Value* limits = effective(map, "rate_limit"))
      for (const Value& name : limits->items) route.rate_limit.push_back(name.text);
  }

  void read_load_shed(const Value& map, Route& route) {
    const Value* shed = effective(map, "load_shed");
    if (shed == nullptr || shed->is(kTrue)) return;
    if (shed->is(kOff)) {
      route.load_shed = Route::LoadShed::off;
      return;
    }
    if (const Value* word = sound(*shed, "priority"))
      route.priority = word->text == "critical" ? Route::Priority::critical
                       : word->text == "low"    ? Route::Priority::low
                                                : Route::Priority::normal;
    if (const Value* hold = sound(*shed, "hold")) route.hold_headers = hold->text == "headers";
    read_shares(*shed, route.shed_shares, context_);
    if (shed->find("max_in_flight") == nullptr) {
      if (route.shed_shares.critical > 0 || route.shed_shares.normal > 0)
        context_.report.error(shed->at, "shares are of the route's own places", "add `max_in_flight`");
      return;
    }
    route.load_shed = Route::LoadShed::own;
    read(*shed, "max_in_flight", route.max_in_flight);
  }

  static void read_cidrs(const Value* list, std::vector<base::Cidr>& target) {
    if (list == nullptr) return;
    for (const Value& cidr : list->items) target.push_back(*base::Cidr::parse(cidr.text));
  }

  void refuse_own_header(Position at, std::string_view name) {
    if (!is_own_header(name)) return;
    context_.report.error(at, quote(name) + " is written by weir itself",
                          base::iequals(name, "host") ? "set `host` of the upstream" : "");
  }

  void check_fields(const Value* map) {
    if (map == nullptr) return;
    std::unordered_map<std::string, std::string_view> seen;
    for (const auto& [name, value] : map->entries) {
      if (value.form == 0) continue;
      refuse_own_header(value.key_at, name);
      free_text(value, context_);
      const auto [earlier, fresh] = seen.emplace(base::to_lower(name), name);
      if (!fresh)
        context_.report.error(value.key_at,
                              quote(name) + " and " + quote(earlier->second) + " are the same header");
    }
  }

  void check_edits(const Value* headers) {
    if (headers == nullptr) return;
    for (std::string_view way : {"request", "response"}) {
      const Value* edit = sound(*headers, way);
      if (edit == nullptr) continue;
      check_fields(sound(*edit, "set"));
      if (const Value* remove = sound(*edit, "remove"))
        for (const Value& name : remove->items) refuse_own_header(name.at, name.text);
    }
  }

  static void copy_fields(const Value* map, std::vector<std::pair<std::string, std::string>>& target) {
    if (map == nullptr) return;
    for (const auto& [name, value] : map->entries)
      if (value.form != 0) target.emplace_back(name, value.text);
  }

  static void copy_edit(const Value* map, HeaderEdit& edit) {
    if (map == nullptr) return;
    copy_fields(sound(*map, "set"), edit.set);
    if (const Value* remove = sound(*map, "remove"))
      for (const Value& name : remove->items) edit.remove.push_back(name.text);
  }

  void read_rewrite(const Value& map, Route& route) {
    internal::read(map, "strip_prefix", route.strip_prefix);
    const Value* rewrite = sound(map, "rewrite");
    if (rewrite != nullptr) route.rewrite = rewrite->text;
    const Value* cause = rewrite != nullptr   ? rewrite
                         : route.strip_prefix ? sound(map, "strip_prefix")
                                              : nullptr;
    if (cause == nullptr) return;
    if (!route.path.empty() && !route.path.ends_with("/*"))
      context_.report.error(
          cause->key_at,
          std::string(rewrite != nullptr ? "`rewrite`" : "`strip_prefix`") + " needs a path that ends in /*",
          did_you_mean(route.path + (route.path.ends_with('/') ? "*" : "/*")));
    if (rewrite != nullptr && route.strip_prefix)
      context_.report.error(rewrite->key_at, "`rewrite` and `strip_prefix` cannot stand together",
                            "`strip_prefix: true` is the same as `rewrite: /*`");
  }

  // Exactly one of the keys that say what answers.
  void read_target(const Value& map, Route& route) {
    static constexpr std::string_view kTargets[] = {"upstream", "respond", "bff", "serve"};
    const Value* first = nullptr;
    std::string_view first_name;
    for (std::string_view name : kTargets) {
      const Value* value = map.find(name);
      if (value == nullptr) continue;
      if (first != nullptr) {
        context_.report.error(value->form != 0 ? value->key_at : map.at,
                              "a route has one of `upstream`, `bff` and `respond`; this one has `" +
                                  std::string(first_name) + "` and `" + std::string(name) + "`");
        return;
      }
      first = value;
      first_name = name;
    }
    if (first == nullptr) {
      const bool mistyped = std::any_of(map.entries.begin(), map.entries.end(), [](const auto& entry) {
        return child_row("routes[]", entry.key) == nullptr;
      });
      // An unknown key may be the missing one, and is reported.
      if (!mistyped)
        context_.report.error(map.at, "the route does not say what answers",
                              "add `upstream`, `bff` or `respond`");
      return;
    }
    if (first->form == 0) return;
    if (first_name == "upstream") read_upstream_name(*first, route);
    if (first_name == "respond") read_respond(map, *first, route);
    if (first_name == "bff") {
      const auto check = [this](const Value& name) { check_reference(upstreams_, name, "upstream"); };
      route.bff = read_bff(*first, context_, check);
      refuse_beside(map, "bff", {"strip_prefix", "rewrite"});
    }
    if (first_name == "serve") {
      route.serve = first->text;
      if (route.serve == "passport_keys" && !context_.config.passport.signing)
        context_.report.error(first->at, "`serve: passport_keys` has no keys: passports are not signed",
                              "add `passport: {signing: {key: FILE}}`");
      if (route.serve == "experiments" && root_experiments_ == nullptr)
        context_.report.error(first->at, "`serve: experiments` needs `experiments` at the top of the file");
    }
  }

  // The keys of a list; each must be in the experiments' file, once.
  void read_keys(const Value* list, bool experiments, std::vector<std::string>& target) {
    if (list == nullptr) return;
    for (const Value& key : list->items) {
      if (std::find(target.begin(), target.end(), key.text) != target.end()) {
        context_.report.error(key.at, shown(key) + " is twice in this list");
        continue;
      }
      target.push_back(key.text);
      if (root_experiments_ == nullptr)
        context_.report.error(key.at,
                              "no experiments are given: `experiments: {file: ..}` at the top of the file");
      else
        check_experiment_key(key, experiments);
    }
  }

  void check_experiment_key(const Value& key, bool experiment) {
    const experiment::Snapshot* snapshot = snapshot_of();
    if (snapshot == nullptr) return;  // reported
    const experiment::EntryId id = snapshot->find(key.text);
    const bool native = snapshot->payload() == nullptr;
    if (id && (!native || snapshot->is_experiment(id) == experiment)) return;
    std::vector<std::string_view> names;
    for (std::uint32_t i = 0; i < snapshot->size(); ++i) names.push_back(snapshot->key({i}));
    const std::string what = experiment ? "experiment" : "flag";
    context_.report.error(
        key.at,
        id ? shown(key) + (experiment ? " is a flag, no experiment" : " is an experiment, no flag")
           : "no " + what + " is called " + shown(key),
        id ? "" : did_you_mean(key.text, names));
  }

  const experiment::Snapshot* snapshot_of() const {
    return context_.config.experiments ? context_.config.experiments->snapshot.get() : nullptr;
  }

  void read_experiments_of(const Value& map, Route& route) {
    read_keys(effective(map, "experiments"), true, route.experiments);
    read_keys(effective(map, "flags"), false, route.flags);
    const Value* variants = sound(map, "variants");
    if (variants == nullptr) return;
    for (const auto& [key, by_variant] : variants->entries) {
      if (by_variant.form == 0) continue;
      if (std::find(route.experiments.begin(), route.experiments.end(), key) == route.experiments.end()) {
        context_.report.error(by_variant.key_at, quote(key) + " is not among the route's `experiments`");
        continue;
      }
      for (const auto& [variant, effect] : by_variant.entries)
        if (effect.form != 0) read_variant(key, variant, effect, route);
    }
  }

  void read_variant(const std::string& key, const std::string& variant, const Value& map, Route& route) {
    if (const experiment::Snapshot* snapshot = snapshot_of();
        snapshot != nullptr && snapshot->payload() == nullptr) {
      const std::vector<std::string_view> names = snapshot->variants(snapshot->find(key));
      if (!names.empty() && std::find(names.begin(), names.end(), variant) == names.end())
        context_.report.error(map.key_at, quote(key) + " has no variant " + quote(variant),
                              did_you_mean(variant, names));
    }
    VariantEffect& effect = route.variants.emplace_back();
    effect.experiment = key;
    effect.variant = variant;
    if (const Value* upstream = sound(map, "upstream")) {
      effect.upstream = upstream->text;
      check_reference(upstreams_, *upstream, "upstream");
      if (!route.upstream)
        context_.report.error(upstream->key_at, "a variant chooses an upstream only where the route has one");
    }
    check_edits(sound(map, "headers"));
    if (const Value* headers = sound(map, "headers")) {
      copy_edit(sound(*headers, "request"), effect.request_headers);
      copy_edit(sound(*headers, "response"), effect.response_headers);
    }
  }

  static void copy_texts(const Value* list, std::vector<std::string>& target) {
    if (list == nullptr) return;
    target.clear();
    for (const Value& item : list->items) target.push_back(item.text);
  }

  // An origin is scheme://host[:port] in lower case, with nothing behind it (RFC 6454 6.2).
  static bool is_origin(std::string_view text) {
    if (text == "*" || text == "null") return text == "*";
    const std::size_t scheme = text.find("://");
    if (scheme == std::string_view::npos || scheme == 0) return false;
    const std::string_view host = text.substr(scheme + 3);
    const std::string_view rest = host.starts_with("*.") ? host.substr(2) : host;
    return !rest.empty() && rest.find_first_of("/*?#@ ") == std::string_view::npos &&
           base::to_lower(text) == text;
  }

  void read_cors(const Value* map, Route& route) {
    if (map == nullptr || map->is(kOff)) return;
    Cors& cors = route.cors.emplace();
    if (const Value* origins = sound(*map, "origins"))
      for (const Value& origin : origins->items) {
        if (!is_origin(origin.text))
          context_.report.error(origin.at, shown(origin) + " is no origin such as https://app.example");
        cors.origins.push_back(origin.text);
      }
    copy_texts(sound(*map, "methods"), cors.methods);
    if (const Value* headers = sound(*map, "headers")) copy_texts(headers, cors.headers.emplace());
    copy_texts(sound(*map, "expose"), cors.expose);
    internal::read(*map, "credentials", cors.credentials);
    internal::read(*map, "max_age", cors.max_age);
    if (cors.credentials && std::find(cors.origins.begin(), cors.origins.end(), "*") != cors.origins.end())
      context_.report.error(
          map->key_at, "`credentials: true` needs named origins: `*` would let any page act for the user");
  }

  void read_cache(const Value& map, Route& route) {
    if (const Value* vary = effective(map, "vary"))
      for (const Value& name : vary->items) route.vary.push_back(name.text);
    const Value* own = map.find("cache");
    const Value* cache = effective(map, "cache");
    if (cache == nullptr || cache->is(kOff)) return;
    if (map.find("upstream") == nullptr) {
      if (own != nullptr &&
          (map.find("bff") != nullptr || map.find("respond") != nullptr || map.find("serve") != nullptr))
        context_.report.error(
            cache->key_at, "`cache` needs an `upstream`: only its answers are kept",
            map.find("bff") != nullptr ? "a section of a page has a `cache` of its own" : "");
      return;
    }
    RouteCache& target = route.cache.emplace();
    if (const Value* size = sound(*cache, "max_body")) target.max_body = size->number;
    if (const Value* scope = sound(*cache, "scope")) target.by_user = scope->text == "user";
    if (target.by_user && route.auth.require == Require::off)
      context_.report.error(cache->key_at, "`scope: user` on a route that does not ask who it is",
                            "add `auth: required`");
  }

  void read_upstream_name(const Value& value, Route& route) {
    route.upstream = value.text;
    check_reference(upstreams_, value, "upstream");
  }

  void read_respond(const Value& map, const Value& value, Route& route) {
    Respond& respond = route.respond.emplace();
    if (const Value* status = sound(value, "status")) respond.status = static_cast<int>(status->number);
    check_fields(sound(value, "headers"));
    copy_fields(sound(value, "headers"), respond.headers);
    if (const Value* body = sound(value, "body")) {
      respond.body = free_text(*body, context_);
      if (!body->text.empty() &&
          (respond.status == 204 || respond.status == 205 || respond.status == 304))  // RFC 9110 6.4.1
        context_.report.error(body->key_at,
                              "an answer with status " + std::to_string(respond.status) + " has no body");
    }
    refuse_beside(map, "respond", {"strip_prefix", "rewrite", "request_buffer", "load_shed"});
  }

  void refuse_beside(const Value& map, std::string_view target,
                     std::initializer_list<std::string_view> keys) {
    for (std::string_view useless : keys)
      if (const Value* key = sound(map, useless))
        context_.report.warning(
            key->key_at, "`" + std::string(useless) + "` does nothing beside `" + std::string(target) + "`");
  }

  void check_name(const Value& map, const Route& route) {
    const Value* name = sound(map, "name");
    const Position at = name != nullptr ? name->at : route.at;
    const bool printable_name = std::all_of(route.name.begin(), route.name.end(), [](char c) {
      return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    });
    if (!printable_name)
      context_.report.error(
          at, "`name` must be visible ASCII without `\"` and `\\`: it stands in labels and headers");
    const auto [earlier, fresh] = names_.emplace(route.name, at);
    if (fresh) return;
    context_.report.error(
        at, "two routes are called " + quote(route.name) + ": also at " + context_.place(earlier->second),
        name == nullptr ? "give one of them a `name`" : "");
  }

  bool check_hidden(const Route& route) {
    const auto hider = seen_.add(route);
    if (!hider) return false;
    const Route& earlier = context_.config.routes[hider->index];
    context_.report.error(
        route.at,
        "the route " + quote(route.name) + " can never match: " + quote(earlier.name) + " at " +
            context_.place(earlier.at) +
            (hider->alone ? " takes all its requests" : " and others before it take all its requests"),
        "put the narrower route first");
    return true;
  }

  // A part of a key that the client makes up, so that a fresh value gives it a fresh limit.
  static bool chosen_by_client(const KeyPart& part, const Route& route) {
    switch (part.kind) {
      case KeyPart::Kind::header:
      case KeyPart::Kind::cookie:
      case KeyPart::Kind::query:
        return true;
      case KeyPart::Kind::path:
        return route.path.ends_with('*') || route.path.find('{') != std::string::npos;
      case KeyPart::Kind::host:
        return route.host.empty() || route.host.starts_with('*');
      case KeyPart::Kind::method:
        return route.methods.empty();
      case KeyPart::Kind::global:
      case KeyPart::Kind::client_ip:
      case KeyPart::Kind::route:
        return false;
      case KeyPart::Kind::passport:
      case KeyPart::Kind::jwt:
        return false;  // signed by a provider; without a token the address counts
    }
    return false;
  }

  void warn_evadable(const Value& map, const Route& route) {
    std::string evadable;
    for (const std::string& name : route.rate_limit) {
      const auto found = limits_by_name_.find(name);
      if (found == limits_by_name_.end()) return;  // reported
      const RateLimit* limit = found->second;
      if (limit->shadow) continue;    // refuses nobody
      if (limit->limit == 0) return;  // refuses all, whatever the key
      if (std::none_of(limit->key.begin(), limit->key.end(),
                       [&](const KeyPart& part) { return chosen_by_client(part, route); }))
        return;
      evadable += (evadable.empty() ? "`" : ", `") + name + "`";
    }
    if (evadable.empty()) return;
    context_.report.warning(effective(map, "rate_limit")->at,
                            "the route " + quote(route.name) + " is limited by " + evadable +
                                " alone: a client that sends another value each time is never refused",
                            "add a limit with `key: client_ip`");
  }

  const ReadContext& context_;
  const Value* defaults_;
  Declared limits_;
  Declared upstreams_;
  const Value* root_experiments_;
  std::unordered_map<std::string_view, const RateLimit*> limits_by_name_;
  HiddenRoutes seen_;
  std::unordered_map<std::string, Position> names_;
};

}  // namespace

void read_routes(const Value& root, const ReadContext& context) {
  const Value none;
  const Value* routes = sound(root, "routes");
  RouteReader(root, context).read_all(routes != nullptr ? *routes : none);
}

}  // namespace weir::config::internal
