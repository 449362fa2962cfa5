// Rate limits: key, limit and window, algorithm.
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
    context.report.error(count->at, "`limit` needs a window",
                         "add `window: 1m`, or write a rate such as `100/min`");
  } else {
    limit.window = window->duration;
  }
}

void read_algorithm(const Value& map, RateLimit& limit, const ReadContext& context) {
  limit.algorithm =
      limit.limit <= kExactMax ? RateLimit::Algorithm::exact_window : RateLimit::Algorithm::segmented_window;
  const Value* algorithm = sound(map, "algorithm");
  if (algorithm == nullptr) return;
  limit.algorithm = algorithm->text == "exact_window" ? RateLimit::Algorithm::exact_window
                                                      : RateLimit::Algorithm::segmented_window;
  if (limit.algorithm == RateLimit::Algorithm::exact_window && limit.limit > kExactMaxByName)
    context.report.error(algorithm->at,
                         "`exact_window` keeps one time per request of the window; it goes up to " +
                             std::to_string(kExactMaxByName),
                         "write `algorithm: segmented_window`");
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
    read(map, "shadow", limit.shadow);
    if (const Value* missing = sound(map, "on_missing_key")) {
      if (missing->text == "skip") limit.on_missing_key = RateLimit::Missing::skip;
      if (missing->text == "deny") limit.on_missing_key = RateLimit::Missing::deny;
    }
    context.config.rate_limits.push_back(std::move(limit));
  }
}

}  // namespace weir::config::internal
