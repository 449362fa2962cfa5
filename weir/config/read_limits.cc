// Rate limits: key, limit and window, algorithm.
#include <array>

#include "weir/config/internal/readers.h"

namespace weir::config::internal {
namespace {

// Up to here a ring of exact times is small enough to keep for every key (4 KiB); contract, section 1.
constexpr std::uint64_t kExactMax = 1024;
// The widest ring that ratelimit builds: its positions are 16 bits wide (ratelimit/policy.h).
constexpr std::uint64_t kExactMaxByName = 65'535;

void read_key(const Value& map, RateLimit& limit, const ReadContext& context) {
  const Value* key = sound(map, "key");
  if (key == nullptr) return;
  const auto add = [&](const Value& part) {
    KeyPart parsed = *parse_limit_key(part.text).value;
    for (const KeyPart& earlier : limit.key)
      if (earlier.kind == parsed.kind && earlier.name == parsed.name)
        context.report.error(part.at, shown(part) + " is twice in this key");
    limit.key.push_back(std::move(parsed));
    limit.key_text += (limit.key_text.empty() ? "" : ", ") + part.text;
  };
  if (key->is(kLimitKey)) add(*key);
  for (const Value& part : key->items) add(part);
}

void read_window(const Value& map, RateLimit& limit, const ReadContext& context) {
  const Value* count = sound(map, "limit");
  if (count == nullptr) return;
  const Value* window = map.find("window");
  // A number from outside the file stays there.
  const std::string number = count->source.empty() ? std::to_string(count->number) : count->source;
  limit.limit = count->number;
  if (count->is(kRate)) {
    limit.window = count->duration;
    if (window != nullptr)
      context.report.error(window->form != 0 ? window->key_at : count->at,
                           "the window is given twice: " + shown(*count) + " names one already",
                           "write `limit: " + number + "` beside `window`");
  } else if (window == nullptr) {
    const Value* algorithm = sound(map, "algorithm");
    if (algorithm != nullptr && algorithm->text == "concurrency") return;  // at the same time: no window
    context.report.error(count->at, "`limit` needs a window",
                         "add `window: 1m`, or write a rate such as `100/min`");
  } else {
    limit.window = window->duration;
  }
}

using Algorithm = RateLimit::Algorithm;

std::optional<Algorithm> algorithm_of(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, Algorithm>, 6> kWords{{
      {"exact_window", Algorithm::exact_window},
      {"segmented_window", Algorithm::segmented_window},
      {"gcra", Algorithm::gcra},
      {"token_bucket", Algorithm::token_bucket},
      {"fixed_window", Algorithm::fixed_window},
      {"concurrency", Algorithm::concurrency},
  }};
  for (const auto& [known, algorithm] : kWords)
    if (known == word) return algorithm;
  return std::nullopt;
}

void read_algorithm(const Value& map, RateLimit& limit, const ReadContext& context) {
  limit.algorithm = limit.limit <= kExactMax ? Algorithm::exact_window : Algorithm::segmented_window;
  const Value* algorithm = sound(map, "algorithm");
  if (algorithm != nullptr) limit.algorithm = algorithm_of(algorithm->text).value_or(limit.algorithm);
  if (algorithm != nullptr && limit.algorithm == Algorithm::exact_window && limit.limit > kExactMaxByName)
    context.report.error(algorithm->at,
                         "`exact_window` keeps one time per request of the window; it goes up to " +
                             std::to_string(kExactMaxByName),
                         "write `algorithm: segmented_window`");
  const bool bucket = limit.algorithm == Algorithm::gcra || limit.algorithm == Algorithm::token_bucket;
  if (const Value* burst = sound(map, "burst")) {
    limit.burst = static_cast<std::uint32_t>(burst->number);
    if (!bucket) context.report.error(burst->key_at, "`burst` is for `algorithm: gcra` and `token_bucket`");
  }
  read(map, "count_rejected", limit.count_rejected);
  const bool window =
      limit.algorithm == Algorithm::exact_window || limit.algorithm == Algorithm::segmented_window;
  if (limit.count_rejected && !window)
    context.report.error(sound(map, "count_rejected")->key_at,
                         "`count_rejected` is for `exact_window` and `segmented_window`");
  const bool calendar = limit.window == std::chrono::seconds{1} || limit.window == std::chrono::minutes{1} ||
                        limit.window == std::chrono::hours{1} || limit.window == std::chrono::hours{24};
  if (limit.algorithm == Algorithm::fixed_window && limit.window > Duration::zero() && !calendar)
    context.report.error(algorithm->at, "`fixed_window` is a calendar's second, minute, hour or day",
                         "write the limit as 100/s, 100/min, 100/h or 100/d");
}

void read_store(const Value& map, RateLimit& limit, const ReadContext& context) {
  const Value* store = sound(map, "store");
  if (store != nullptr && store->text == "redis") limit.store = RateLimit::Store::redis;
  if (const Value* mode = sound(map, "on_backend_error")) {
    if (mode->text == "allow") limit.on_backend_error = RateLimit::BackendError::allow;
    if (mode->text == "deny") limit.on_backend_error = RateLimit::BackendError::deny;
    if (limit.store == RateLimit::Store::local && mode->text != "local")
      context.report.error(mode->key_at, "`on_backend_error` is for `store: redis`");
  }
  if (limit.store == RateLimit::Store::local) return;
  if (limit.algorithm == Algorithm::concurrency || limit.algorithm == Algorithm::token_bucket)
    context.report.error(store->at, "`" + sound(map, "algorithm")->text + "` is not kept in Redis",
                         limit.algorithm == Algorithm::token_bucket ? "write `algorithm: gcra`" : "");
  if (limit.count_rejected)
    context.report.error(sound(map, "count_rejected")->key_at, "`count_rejected` is for `store: local`");
}

void read_tiers(const Value& map, RateLimit& limit, const ReadContext& context) {
  const Value* tiers = sound(map, "tiers");
  if (tiers == nullptr) return;
  if (const Value* from = sound(*tiers, "from")) limit.tier_from = *parse_limit_key(from->text).value;
  for (const auto& [name, rate] : tiers->entries) {
    if (name == "from" || !rate.is(kRate)) continue;
    RateLimit::Tier tier;
    tier.name = name;
    tier.limit = rate.number;
    tier.window = rate.duration;
    limit.tiers.push_back(std::move(tier));
  }
  if (limit.tier_from && limit.tiers.empty())
    context.report.error(tiers->at, "`tiers` names no tier", "write `gold: 5000/min` beside `from`");
  if (limit.algorithm == Algorithm::concurrency)
    context.report.error(tiers->key_at, "`tiers` are rates, and `concurrency` has none");
}

}  // namespace

void read_rate_limits(const Value& root, const ReadContext& context) {
  const Value* limits = sound(root, "rate_limits");
  if (limits == nullptr) return;
  for (const auto& [name, map] : limits->entries) {
    if (!map.is(kMap)) continue;
    RateLimit limit;
    limit.name = name;
    limit.at = map.key_at;
    read_key(map, limit, context);
    read_window(map, limit, context);
    read_algorithm(map, limit, context);
    read_store(map, limit, context);
    read_tiers(map, limit, context);
    if (const Value* header = sound(map, "cost_header")) limit.cost_header = header->text;
    read(map, "shadow", limit.shadow);
    if (const Value* missing = sound(map, "on_missing_key")) {
      if (missing->text == "skip") limit.on_missing_key = RateLimit::Missing::skip;
      if (missing->text == "deny") limit.on_missing_key = RateLimit::Missing::deny;
    }
    context.config.rate_limits.push_back(std::move(limit));
  }
}

void read_rate_limit_headers(const Value& root, const ReadContext& context) {
  const Value* map = sound(root, "rate_limit_headers");
  if (map == nullptr) return;
  RateLimitHeaders& headers = context.config.rate_limit_headers;
  read(*map, "retry_jitter", headers.retry_jitter);
  using Style = RateLimitHeaders::Style;
  const Value* style = sound(*map, "style");
  if (style == nullptr) return;
  if (style->text == "draft7") headers.style = Style::draft7;
  if (style->text == "draft6") headers.style = Style::draft6;
  if (style->text == "x_ratelimit") headers.style = Style::x_ratelimit;
  if (style->text == "none") headers.style = Style::none;
}

void read_redis(const Value& root, const ReadContext& context) {
  if (const Value* map = sound(root, "redis"); map != nullptr && map->is(kMap)) {
    Redis redis;
    redis.at = map->at;
    read(*map, "nodes", redis.nodes);
    read(*map, "timeout", redis.timeout);
    if (const Value* url = sound(*map, "url")) {
      redis.url = url->text;
      // The whole grammar is store/redis_url.h's; here the mistakes that people make.
      if (!redis.url.starts_with("redis://"))
        context.report.error(url->at, "`url` must begin with redis://",
                             redis.url.find("://") == std::string::npos && url->source.empty()
                                 ? "redis://" + redis.url
                                 : std::string{});
    }
    context.config.redis = std::move(redis);
  }
  if (root.find("redis") != nullptr) return;
  for (const RateLimit& limit : context.config.rate_limits)
    if (limit.store == RateLimit::Store::redis)
      context.report.error(limit.at, "`store: redis` needs a Redis",
                           "add `redis: {url: redis://127.0.0.1:6379}`");
}

}  // namespace weir::config::internal
