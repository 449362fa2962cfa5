// Limits in Redis: the part of the stage that may have to wait.
//
//   (1) Local limits first, all or none: they refuse without a question.
//   (2) A key that Redis has refused is refused here until its time has come.
//   (3) One question for all shared limits of the phase; Redis charges all or none.
//   (4) A refusal by Redis gives the local ones back.
#include <algorithm>
#include <array>

#include "weir/gateway/internal/shared_limit_script.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/stages/ratelimit.h"
#include "weir/store/redis_client.h"

namespace weir::gateway {

// What the limits of this request are, local ones in front.
struct RateLimitStage::Gathered {
  std::array<ratelimit::Charge, ratelimit::kChargesMax> charges;
  std::array<ratelimit::Decision, ratelimit::kChargesMax> decisions;
  std::array<Item, ratelimit::kChargesMax> items;
  std::array<bool, ratelimit::kChargesMax> silent{};  // no decision to tell of: let through without one
  std::size_t local = 0;
  std::size_t count = 0;
  bool refused = false;
};

async::Task<Verdict> RateLimitStage::admit_shared(Exchange& exchange) {
  Gathered all;
  for (const bool shared : {false, true}) {
    for (const Limit& limit : limits_) {
      if ((limit.shared != nullptr) != shared) continue;
      std::string_view key;
      if (!find_key(exchange, limit, &key)) co_return refuse(exchange);
      if (key.empty()) continue;
      Item& item = all.items[all.count];
      item.limit = &limit;
      item.bucket = &bucket_of(exchange, limit);
      item.key = key;
      if (shared) item.shared_key = shared_key(item.bucket->policy.name, key);
      all.charges[all.count].limiter = item.bucket->limiter.get();
      all.charges[all.count].key = key;
      ++all.count;
    }
    if (!shared) all.local = all.count;
  }
  if (all.count == 0) co_return Verdict::proceed;
  bool admitted =
      all.local == 0 || ratelimit::allow_all(exchange.now, {all.charges.data(), all.local},
                                             {all.decisions.data(), all.local}, ratelimit::Want::headers);
  std::size_t decided = all.local;
  if (admitted) {
    for (std::size_t i = 0; i < all.local; ++i) all.items[i].charged_at = all.decisions[i].charged_at;
    const bool asked = co_await ask_redis(exchange, all);
    if (!asked) decide_alone(exchange, all);
    admitted = !all.refused;
    decided = all.count;
    if (!admitted)
      for (std::size_t i = 0; i < all.local; ++i) give_back(exchange, all.items[i]);
  }
  std::array<ratelimit::LimitReport, ratelimit::kChargesMax> reports;
  std::size_t told = 0;
  for (std::size_t i = 0; i < decided; ++i) {
    if (all.silent[i]) continue;
    reports[told].policy = &all.items[i].bucket->policy;
    reports[told++].decision = all.decisions[i];
    note(exchange, *all.items[i].limit, all.items[i].bucket, all.decisions[i]);
  }
  if (told > 0) describe(exchange, {reports.data(), told});
  if (!admitted) {
    exchange.refuse(name(), Problem::rate_limited);
    co_return refuse(exchange);
  }
  if (keeps_) keep(exchange, {all.items.data(), all.count});
  co_return Verdict::proceed;
}

// True when the shared limits are decided: by Redis, or by what it has said before.
async::Task<bool> RateLimitStage::ask_redis(Exchange& exchange, Gathered& all) {
  const TimePoint now = exchange.worker.reactor.now();
  if (all.local == all.count) co_return true;
  bool standing = false;
  for (std::size_t i = all.local; i < all.count; ++i) {
    const Bucket& bucket = *all.items[i].bucket;
    std::optional<ratelimit::Decision> refusal;
    if (bucket.shared->limit() == 0) {
      refusal.emplace();
      refusal->reason = ratelimit::Reason::cost_exceeds_limit;
    } else {
      refusal = bucket.shared->standing_refusal(now, all.items[i].shared_key);
    }
    all.silent[i] = !refusal.has_value();  // those that were not asked have nothing to say
    if (!refusal) continue;
    refusal->allowed = bucket.policy.shadow;
    all.decisions[i] = *refusal;
    standing = standing || !bucket.policy.shadow;
  }
  if (standing) {
    all.refused = true;
    co_return true;
  }
  std::fill(all.silent.begin(), all.silent.end(), false);
  store::RedisClient* redis = exchange.plan->redis.get();
  if (redis == nullptr || !options_.sharing->together() || !redis->may_send()) co_return false;

  std::array<SharedLimit::Question, ratelimit::kChargesMax> questions;
  std::vector<std::string> keys;
  std::vector<std::string> args{"take", options_.sharing->node()};
  for (std::size_t i = all.local; i < all.count; ++i) {
    SharedLimit& shared = *all.items[i].bucket->shared;
    questions[i] = shared.ask(now, all.items[i].shared_key, 1);
    keys.push_back(shared.redis_key(all.items[i].shared_key));
    shared.append_arguments(questions[i], args);
  }
  const std::vector<std::string_view> key_views(keys.begin(), keys.end());
  const std::vector<std::string_view> arg_views(args.begin(), args.end());
  const Deadline deadline = exchange.deadline.shrunk_to(now + redis->options().timeout);
  Result<store::RedisReply> reply =
      co_await redis->eval(internal::shared_limit_script(), key_views, arg_views, deadline);
  const std::size_t shared_count = all.count - all.local;
  const bool good =
      reply && reply->is_list() && reply->items.size() == 1 + shared_count * internal::kAnswersPerLimit;
  if (!good) {
    for (std::size_t i = all.local; i < all.count; ++i) all.items[i].bucket->shared->not_asked(questions[i]);
    options_.sharing->failed();
    co_return false;
  }
  std::vector<std::int64_t> numbers;
  for (const store::RedisReply& item : reply->items) numbers.push_back(item.integer);
  const bool admitted = numbers.front() == 1;
  const TimePoint then = exchange.worker.reactor.now();
  for (std::size_t i = all.local; i < all.count; ++i) {
    SharedLimit& shared = *all.items[i].bucket->shared;
    all.decisions[i] = shared.read_answer(numbers, i - all.local, admitted);
    all.items[i].charged_at = all.decisions[i].charged_at;
    shared.answered(then, questions[i], all.decisions[i],
                    numbers[(i - all.local) * internal::kAnswersPerLimit + 5], admitted);
  }
  all.refused = !admitted;
  co_return true;
}

void RateLimitStage::decide_alone(Exchange& exchange, Gathered& all) {
  using Mode = config::RateLimit::BackendError;
  const TimePoint now = exchange.worker.reactor.now();
  std::size_t i = all.local;
  for (; i < all.count; ++i) {
    const Item& item = all.items[i];
    ratelimit::Decision& decision = all.decisions[i];
    switch (item.limit->options.on_backend_error) {
      case Mode::allow:
        all.silent[i] = true;
        continue;
      case Mode::deny:
        decision = {};
        decision.reason = ratelimit::Reason::over_limit;
        decision.limit = item.bucket->policy.limit;
        decision.retry_after = decision.next_after = decision.reset_after = std::chrono::seconds{1};
        break;
      case Mode::local:
        decision = item.bucket->shared->decide_alone(now, item.shared_key, item.cost);
        break;
    }
    if (!decision.allowed) break;
  }
  if (i == all.count) return;
  all.refused = true;
  // All or none: what the earlier ones took alone goes back.
  for (std::size_t j = all.local; j < i; ++j)
    if (!all.silent[j]) all.items[j].bucket->shared->take_back(all.items[j].shared_key, all.items[j].cost);
  std::fill(all.silent.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.silent.end(), true);
}

namespace {

async::Task<void> tell_redis(std::shared_ptr<store::RedisClient> redis, std::shared_ptr<SharedLimit> limit,
                             SharedKey key, std::int64_t booked, std::uint32_t cost, std::string node) {
  SharedLimit::Question question;
  question.key = key;
  question.cost = cost;
  question.last = booked;
  const std::string name = limit->redis_key(key);
  std::vector<std::string> args{"give", node};
  limit->append_arguments(question, args);
  const std::vector<std::string_view> keys{name};
  const std::vector<std::string_view> views(args.begin(), args.end());
  const Deadline deadline = Deadline::after(redis->reactor().now(), redis->options().timeout);
  // Lost with the connection: the unit leaves with its window.
  static_cast<void>(co_await redis->eval(internal::shared_limit_script(), keys, views, deadline));
}

}  // namespace

void RateLimitStage::give_back_shared(Exchange& exchange, const Item& item) noexcept {
  SharedLimit& shared = *item.bucket->shared;
  const std::int64_t booked =
      std::chrono::duration_cast<std::chrono::microseconds>(item.charged_at.time_since_epoch()).count();
  if (booked == 0) return shared.take_back(item.shared_key, item.cost);  // decided alone
  if (exchange.plan->redis != nullptr)
    exchange.worker.run_in_background(tell_redis(exchange.plan->redis, item.bucket->shared, item.shared_key,
                                                 booked, item.cost, options_.sharing->node()));
}

}  // namespace weir::gateway
