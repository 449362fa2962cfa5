#include "weir/gateway/stages/ratelimit.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "weir/gateway/plan.h"
#include "weir/gateway/stages/limit_keys.h"
#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/key.h"

namespace weir::gateway {

std::span<const Problem> RateLimitStage::refusals() const noexcept {
  static constexpr std::array kRefusals{Problem::rate_limited};
  return kRefusals;
}

RateLimitStage::RateLimitStage(std::vector<Limit> limits, Options options)
    : limits_(std::move(limits)), options_(std::move(options)), keeps_(options_.later_phase) {
  for (const Limit& limit : limits_) {
    asks_redis_ = asks_redis_ || limit.shared != nullptr;
    watches_answers_ = watches_answers_ || !limit.options.cost_header.empty();
    keeps_ = keeps_ || !limit.options.cost_header.empty() ||
             limit.policy.algorithm == ratelimit::Algorithm::concurrency;
  }
  const bool usual = limits_.size() == 1 && limits_.front().tiers.empty() && !asks_redis_ &&
                     options_.style == ratelimit::HeaderStyle::ietf10;
  if (!usual) return;
  ratelimit::LimitReport report;
  report.policy = &limits_.front().policy;
  report.decision.allowed = true;
  // Of a bucket the burst, as its decisions have it.
  item_limit_ = report.policy->burst != 0 ? report.policy->burst : report.policy->limit;
  report.decision.limit = item_limit_;
  std::string buffer;
  for (const ratelimit::HeaderField& field : ratelimit::format_headers({&report, 1}, {}, buffer)) {
    if (field.name == "RateLimit-Policy") policy_field_ = field.value;
    if (field.name == "RateLimit") item_ = field.value.substr(0, field.value.rfind(";r=") + 3);
  }
}

bool RateLimitStage::find_key(Exchange& exchange, const Limit& limit, std::string_view* key) {
  if (limit_key(exchange, limit.options.key, options_.route, key)) return true;
  using Missing = config::RateLimit::Missing;
  *key = {};
  if (limit.options.on_missing_key == Missing::skip) return true;
  if (limit.options.on_missing_key == Missing::use_client_ip) {
    *key = keyless_key(exchange);
    return true;
  }
  exchange.refuse(name(), Problem::rate_limited, "the request has no key for this limit");
  return false;
}

const RateLimitStage::Bucket& RateLimitStage::bucket_of(Exchange& exchange, const Limit& limit) const {
  if (limit.tiers.empty()) return limit;
  std::string_view tier;
  if (!key_part(exchange, *limit.options.tier_from, options_.route, &tier)) return limit;
  for (const auto& [name, bucket] : limit.tiers)
    if (name == tier) return bucket;
  return limit;
}

Verdict RateLimitStage::admit(Exchange& exchange) {
  // Nearly every route has one limit; the arrays for all that are possible would take longer to clear than it to decide.
  return limits_.size() == 1 ? decide<1>(exchange) : decide<ratelimit::kChargesMax>(exchange);
}

// 0: none of them.
std::uint32_t RateLimitStage::tier_of(const Limit& limit, const Bucket* bucket) noexcept {
  for (std::size_t i = 0; i < limit.tiers.size(); ++i)
    if (&limit.tiers[i].second == bucket) return static_cast<std::uint32_t>(i) + 1;
  return 0;
}

template <std::size_t kMost>
Verdict RateLimitStage::decide(Exchange& exchange) {
  std::array<ratelimit::Charge, kMost> charges;
  std::array<ratelimit::LimitReport, kMost> reports;
  std::array<ratelimit::Decision, kMost> decisions;
  std::array<const Limit*, kMost> sources;
  std::array<const Bucket*, kMost> buckets;
  std::size_t count = 0;
  for (const Limit& limit : limits_) {
    std::string_view key;
    if (!find_key(exchange, limit, &key)) return refuse(exchange);
    if (key.empty()) continue;
    const Bucket& bucket = bucket_of(exchange, limit);
    charges[count].limiter = bucket.limiter.get();
    charges[count].key = key;
    reports[count].policy = &bucket.policy;
    sources[count] = &limit;
    buckets[count] = &bucket;
    ++count;
  }
  if (count == 0) return Verdict::proceed;
  const bool admitted = ratelimit::allow_all(exchange.now, {charges.data(), count}, {decisions.data(), count},
                                             ratelimit::Want::headers);
  for (std::size_t i = 0; i < count; ++i) {
    reports[i].decision = decisions[i];
    note(exchange, *sources[i], buckets[i], decisions[i]);
  }
  describe(exchange, {reports.data(), count});
  if (!admitted) {
    exchange.refuse(name(), Problem::rate_limited);
    return refuse(exchange);
  }
  if (keeps_) {
    std::array<Item, kMost> items;
    for (std::size_t i = 0; i < count; ++i) {
      items[i].limit = sources[i];
      items[i].bucket = buckets[i];
      items[i].key = charges[i].key;
      items[i].charged_at = decisions[i].charged_at;
    }
    keep(exchange, {items.data(), count});
  }
  return Verdict::proceed;
}

Verdict RateLimitStage::refuse(Exchange& exchange) noexcept {
  if (options_.earlier != nullptr) options_.earlier->give_back(exchange);
  return Verdict::refuse;
}

void RateLimitStage::describe(Exchange& exchange, std::span<const ratelimit::LimitReport> reports) const {
  // Another limit than the rendered one: set by hand.
  if (reports.size() == 1 && reports.front().decision.allowed && !item_.empty() &&
      reports.front().decision.limit == item_limit_) {
    const ratelimit::Decision& decision = reports.front().decision;
    std::array<char, 64> text;
    char* at = std::to_chars(text.data(), text.data() + 20, decision.remaining).ptr;
    if (decision.next_after > Duration::zero()) {
      at = std::copy_n(";t=", 3, at);
      at = std::to_chars(at, at + 20, std::chrono::ceil<std::chrono::seconds>(decision.next_after).count())
               .ptr;
    }
    const std::string_view numbers(text.data(), static_cast<std::size_t>(at - text.data()));
    exchange.add_answer_field("RateLimit-Policy", policy_field_, http::Name::ratelimit_policy);
    exchange.add_answer_field("RateLimit", exchange.arena.concat({item_, numbers}), http::Name::ratelimit);
    return;
  }
  ratelimit::HeaderOptions how;
  how.style = options_.style;
  if (options_.retry_jitter > Duration::zero())
    how.retry_jitter =
        Duration{static_cast<Duration::rep>(exchange.worker.random.below(options_.retry_jitter.count()))};
  for (const ratelimit::HeaderField& field : ratelimit::format_headers(reports, how, exchange.worker.scratch))
    exchange.add_answer_field(field.name, exchange.arena.keep(field.value), http::parse_name(field.name));
}

// --- what may have to go back ---

void RateLimitStage::keep(Exchange& exchange, std::span<const Item> items) {
  static_assert(std::is_trivially_destructible_v<Item>);  // the arena destroys nothing
  char* raw = exchange.arena.allocate(items.size() * sizeof(Item) + alignof(Item));
  const auto address = reinterpret_cast<std::uintptr_t>(raw);
  raw += (alignof(Item) - address % alignof(Item)) % alignof(Item);
  Taken taken;
  taken.items = reinterpret_cast<Item*>(raw);
  taken.count = static_cast<std::uint32_t>(items.size());
  std::uninitialized_copy(items.begin(), items.end(), taken.items);
  exchange.keep(options_.taken, taken);
}

void RateLimitStage::give_back(Exchange& exchange, const Item& item) noexcept {
  if (item.bucket->shared != nullptr)
    give_back_shared(exchange, item);
  else
    item.bucket->limiter->refund_at(exchange.worker.reactor.now(), item.key, item.cost, item.charged_at);
}

void RateLimitStage::give_back(Exchange& exchange) noexcept {
  const Taken* taken = exchange.get(options_.taken);
  if (taken == nullptr) return;
  for (std::uint32_t i = 0; i < taken->count; ++i) give_back(exchange, taken->items[i]);
  exchange.drop(options_.taken);
}

// Places of concurrency limits come free when the upstream's part is over.
void RateLimitStage::release(Exchange& exchange) noexcept {
  if (!keeps_) return;
  Taken* taken = exchange.get(options_.taken);
  if (taken == nullptr) return;
  for (std::uint32_t i = 0; i < taken->count; ++i)
    if (taken->items[i].bucket->policy.algorithm == ratelimit::Algorithm::concurrency)
      give_back(exchange, taken->items[i]);
  exchange.drop(options_.taken);
}

void RateLimitStage::answered(Exchange& exchange, const AnswerHead& head) noexcept {
  const Taken* taken = exchange.get(options_.taken);
  if (taken == nullptr) return;
  for (std::uint32_t i = 0; i < taken->count; ++i) {
    const Item& item = taken->items[i];
    if (item.limit->options.cost_header.empty()) continue;
    const http::Field* field = head.fields.find(item.limit->options.cost_header);
    if (field == nullptr) continue;
    const std::optional<std::uint64_t> said = base::parse_u64(base::trim(field->value));
    if (!said) continue;  // what an upstream says badly costs one, as if it had said nothing
    const auto cost = static_cast<std::uint32_t>(std::min<std::uint64_t>(*said, UINT32_MAX));
    const TimePoint now = exchange.worker.reactor.now();
    if (cost == 0)
      give_back(exchange, item);
    else if (cost > 1 && item.bucket->shared != nullptr)
      item.bucket->shared->owe(now, item.shared_key, cost - 1);
    else if (cost > 1)
      item.bucket->limiter->charge_at(now, item.key, cost - 1);
  }
}

}  // namespace weir::gateway
