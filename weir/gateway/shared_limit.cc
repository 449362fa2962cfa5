#include "weir/gateway/shared_limit.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "weir/base/check.h"
#include "weir/base/random.h"
#include "weir/gateway/internal/shared_limit_script.h"
#include "weir/ratelimit/key.h"
#include "weir/store/redis_client.h"

namespace weir::gateway {
namespace {

using ratelimit::Decision;

constexpr Duration kLook = std::chrono::milliseconds{10};  // between two looks at a Redis that has failed
// After a loss every node must have come back and told what it knows, before anybody trusts the sums: the longest pause
// between two attempts to connect (RedisOptions::retry_max) and something for the way.
constexpr Duration kSettle = std::chrono::milliseconds{1300};
constexpr std::size_t kBatch = 64;  // debts a question

std::string_view script_name(ratelimit::Algorithm algorithm) {
  switch (algorithm) {
    case ratelimit::Algorithm::segmented_window:
      return "segmented";
    case ratelimit::Algorithm::gcra:
      return "gcra";
    case ratelimit::Algorithm::fixed_window:
      return "fixed";
    default:
      return "exact";
  }
}

ratelimit::Policy share_of(ratelimit::Policy policy, std::uint32_t nodes) {
  policy.limit = policy.limit == 0 ? 0 : std::max(1U, policy.limit / std::max(1U, nodes));
  if (policy.burst != 0) policy.burst = std::max(1U, policy.burst / std::max(1U, nodes));
  policy.shadow = false;
  return policy;
}

ratelimit::Policy whole_of(ratelimit::Policy policy) {
  policy.shadow = false;
  return policy;
}

ratelimit::KeyedRateLimiter::Options table(const base::SipKey& seed) {
  ratelimit::KeyedRateLimiter::Options options;
  options.max_keys = SharedLimit::kKeys;
  options.seed = seed;
  return options;
}

// Decision::limit: of a bucket it is the burst.
std::uint32_t told_limit(const ratelimit::Policy& policy) {
  return policy.burst != 0 ? policy.burst : policy.limit;
}

std::int64_t microseconds(Duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

}  // namespace

SharedKey shared_key(std::string_view limit, std::string_view key) {
  std::string text;
  ratelimit::append_key_part(text, limit);
  text.append(key);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  WEIR_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  SharedKey made;
  for (std::size_t bit = 0, i = 0; i < made.text.size(); ++i, bit += 6) {  // 22 times 6 bits of the digest
    const unsigned pair = (unsigned{digest[bit / 8]} << 8U) | digest[bit / 8 + 1];
    made.text[i] = kDigits[pair >> (10 - bit % 8) & 63U];
  }
  return made;
}

std::size_t SharedLimit::KeyHash::operator()(const SharedKey& key) const noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, key.text.data(), sizeof(word));  // a digest: any part of it will do
  return word ^ word >> 29U;
}

SharedLimit::SharedLimit(const ratelimit::Policy& policy, std::uint32_t nodes, const base::SipKey& seed)
    : policy_(policy),
      nodes_(nodes),
      limit_(policy.limit),
      told_limit_(told_limit(policy)),
      name_(policy.name),
      own_(whole_of(policy), table(seed)),
      alone_(share_of(policy, nodes), table(seed)) {}

ratelimit::Policy SharedLimit::policy() const {
  const std::lock_guard lock(policy_mutex_);
  return policy_;
}

void SharedLimit::update(TimePoint now, const ratelimit::Policy& policy, std::uint32_t nodes) {
  {
    const std::lock_guard lock(policy_mutex_);
    if (policy_ == policy && nodes_ == nodes) return;
    policy_ = policy;
    nodes_ = nodes;
    limit_.store(policy.limit, std::memory_order_relaxed);
    told_limit_.store(told_limit(policy), std::memory_order_relaxed);
    // Cannot fail: both are valid, and the tables have no bound in bytes.
    static_cast<void>(own_.set_policy(now, whole_of(policy)));
    static_cast<void>(alone_.set_policy(now, share_of(policy, nodes)));
  }
  for (Shard& shard : shards_) {  // what the old limit refused, the new one may admit: ask again
    const std::lock_guard lock(shard.mutex);
    for (auto& [key, entry] : shard.entries) entry.refused_until = {};
  }
}

SharedLimit::Stats SharedLimit::stats() const {
  Stats stats;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    stats.keys += shard.entries.size();
  }
  stats.allowed = allowed_.load(std::memory_order_relaxed);
  stats.refused = refused_.load(std::memory_order_relaxed);
  stats.refused_here = refused_here_.load(std::memory_order_relaxed);
  stats.alone = alone_count_.load(std::memory_order_relaxed);
  return stats;
}

namespace {

void count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

// Under the shard's mutex. Makes room by forgetting whoever is idle among the first few, else the first without debts.
SharedLimit::Entry& SharedLimit::entry_of(Shard& shard, const SharedKey& key, TimePoint now) {
  const auto known = shard.entries.find(key);
  if (known != shard.entries.end()) return known->second;
  if (shard.entries.size() >= kKeys / kShards) {
    constexpr int kLooks = 16;
    auto victim = shard.entries.end();
    int looked = 0;
    for (auto at = shard.entries.begin(); at != shard.entries.end() && looked < kLooks; ++at, ++looked)
      if (at->second.owed == 0 && (victim == shard.entries.end() || at->second.seen < victim->second.seen))
        victim = at;
    shard.entries.erase(victim == shard.entries.end() ? shard.entries.begin() : victim);
  }
  Entry& made = shard.entries[key];
  made.seen = now;
  made.left = std::numeric_limits<std::uint32_t>::max();
  return made;
}

std::uint32_t SharedLimit::used(TimePoint now, const SharedKey& key) const {
  const Decision look = own_.peek_at(now, key.view());
  return look.limit > look.remaining ? look.limit - look.remaining : 0;
}

std::optional<Decision> SharedLimit::standing_refusal(TimePoint now, const SharedKey& key) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto known = shard.entries.find(key);
  if (known == shard.entries.end() || known->second.refused_until <= now) return std::nullopt;
  count(refused_);
  count(refused_here_);
  Decision decision;
  decision.reason = ratelimit::Reason::over_limit;
  decision.limit = told_limit_.load(std::memory_order_relaxed);
  decision.retry_after = decision.next_after = known->second.refused_until - now;
  decision.reset_after =
      std::max(known->second.reset - (now - known->second.answered_at), decision.retry_after);
  return decision;
}

SharedLimit::Question SharedLimit::ask(TimePoint now, const SharedKey& key, std::uint32_t cost) {
  Question question;
  question.key = key;
  question.cost = cost;
  question.used = used(now, key);
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = entry_of(shard, key, now);
  entry.seen = now;
  question.owed = std::exchange(entry.owed, 0);
  question.last = entry.last;
  return question;
}

void SharedLimit::answered(TimePoint now, const Question& question, const Decision& decision,
                           std::int64_t booked, bool admitted) {
  if (decision.reason != ratelimit::Reason::ok)
    count(refused_);
  else if (admitted)
    count(allowed_);
  if (admitted && question.cost > 0 && decision.reason == ratelimit::Reason::ok) {
    own_.charge_at(now, question.key.view(), question.cost);
    alone_.charge_at(now, question.key.view(), question.cost);
  }
  std::uint32_t nodes = 1;
  {
    const std::lock_guard lock(policy_mutex_);
    nodes = std::max(1U, nodes_);
  }
  Shard& shard = shard_of(question.key);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = entry_of(shard, question.key, now);
  entry.last = std::max(entry.last, booked);
  entry.answered_at = now;
  entry.left = decision.remaining / nodes;
  entry.reset = decision.reset_after;
  if (!decision.allowed && decision.retry_after > Duration::zero())
    entry.refused_until = now + decision.retry_after;
}

void SharedLimit::not_asked(const Question& question) {
  if (question.owed == 0) return;
  Shard& shard = shard_of(question.key);
  const std::lock_guard lock(shard.mutex);
  const auto known = shard.entries.find(question.key);
  if (known != shard.entries.end()) known->second.owed += question.owed;
}

Decision SharedLimit::decide_alone(TimePoint now, const SharedKey& key, std::uint32_t cost) {
  const ratelimit::Policy policy = this->policy();
  count(alone_count_);
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = entry_of(shard, key, now);
  entry.seen = now;
  const bool share_counts = entry.answered_at != TimePoint{} && now - entry.answered_at < policy.window;
  if (share_counts && entry.left < cost) {
    count(refused_);
    Decision refused;
    refused.reason = ratelimit::Reason::over_limit;
    refused.limit = told_limit(policy);
    refused.retry_after = refused.next_after = refused.reset_after =
        policy.window - (now - entry.answered_at);
    refused.allowed = policy.shadow;
    return refused;
  }
  Decision decision = alone_.allow_at(now, key.view(), cost, ratelimit::Want::headers);
  count(decision.allowed ? allowed_ : refused_);
  if (decision.allowed) {
    own_.charge_at(now, key.view(), cost);
    entry.owed += cost;
    if (share_counts) entry.left -= cost;
  }
  decision.limit = told_limit(policy);
  if (policy.shadow) decision.allowed = true;
  return decision;
}

void SharedLimit::take_back(const SharedKey& key, std::uint32_t cost) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto known = shard.entries.find(key);
  if (known == shard.entries.end()) return;
  known->second.owed -= std::min(known->second.owed, cost);
  if (known->second.left < std::numeric_limits<std::uint32_t>::max() - cost) known->second.left += cost;
}

void SharedLimit::owe(TimePoint now, const SharedKey& key, std::uint32_t cost) {
  own_.charge_at(now, key.view(), cost);
  alone_.charge_at(now, key.view(), cost);
  const std::uint32_t most =
      std::max(1U, limit_.load(std::memory_order_relaxed));  // more is as good as all of it
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = entry_of(shard, key, now);
  entry.seen = now;
  entry.owed += std::min(cost, most - std::min(most, entry.owed));
}

std::vector<SharedLimit::Question> SharedLimit::debts(TimePoint now, bool lost) {
  std::vector<Question> all;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (auto& [key, entry] : shard.entries) {
      Question question;
      question.key = key;
      question.cost = 0;
      question.used = lost ? used(now, key) : 0;
      question.last = entry.last;
      if (entry.owed == 0 && question.used == 0) continue;
      question.owed = std::exchange(entry.owed, 0);
      all.push_back(question);
    }
  }
  return all;
}

std::string SharedLimit::redis_key(const SharedKey& key) const {
  return std::string("weir:").append(name_).append(":{").append(key.view()).append("}");
}

void SharedLimit::append_arguments(const Question& question, std::vector<std::string>& args) const {
  const ratelimit::Policy policy = this->policy();
  args.emplace_back(script_name(ratelimit::effective_algorithm(policy)));
  args.push_back(std::to_string(policy.limit));
  args.push_back(std::to_string(microseconds(policy.window)));
  args.push_back(std::to_string(question.cost));
  args.push_back(std::to_string(policy.burst == 0 ? policy.limit : policy.burst));
  args.emplace_back(policy.shadow ? "1" : "0");
  args.push_back(std::to_string(question.owed));
  args.push_back(std::to_string(question.last));
  args.push_back(std::to_string(question.used));
}

Decision SharedLimit::read_answer(const std::vector<std::int64_t>& numbers, std::size_t index,
                                  bool admitted_all) const {
  const std::size_t at = 1 + index * internal::kAnswersPerLimit;
  const auto time = [&](std::size_t i) {
    return Duration{std::chrono::microseconds{std::max<std::int64_t>(0, numbers[at + i])}};
  };
  const ratelimit::Policy policy = this->policy();
  Decision decision;
  decision.limit = told_limit(policy);
  decision.allowed = numbers[at] == 0 || policy.shadow;
  decision.reason = numbers[at] == 0 ? ratelimit::Reason::ok
                    : policy.shadow  ? ratelimit::Reason::shadow
                                     : ratelimit::Reason::over_limit;
  if (!decision.allowed) decision.retry_after = time(0);
  decision.remaining =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(numbers[at + 1], 0, decision.limit));
  decision.next_after =
      decision.allowed ? std::min(time(2), policy.window) : time(2);  // booked a microsecond late
  decision.reset_after = time(3);
  if (admitted_all) decision.charged_at = TimePoint{std::chrono::microseconds{numbers[at + 4]}};
  return decision;
}

Sharing::Sharing() : node_(std::to_string(base::random_seed())) {}

void Sharing::add(std::shared_ptr<SharedLimit> limit) {
  const std::lock_guard lock(mutex_);
  std::erase_if(limits_, [](const auto& known) { return known.expired(); });
  limits_.push_back(std::move(limit));
}

std::vector<std::shared_ptr<SharedLimit>> Sharing::limits() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<SharedLimit>> alive;
  for (const auto& known : limits_)
    if (auto limit = known.lock()) alive.push_back(std::move(limit));
  return alive;
}

async::Task<void> Sharing::watch(std::shared_ptr<store::RedisClient> redis) {
  while (redis.use_count() > 1) {  // until a reload has brought another client
    if ((!together() || run_.empty()) && redis->state() == store::RedisClient::State::up) {
      const bool well = co_await reconcile(*redis);
      if (well) together_.store(true, std::memory_order_relaxed);
    }
    static_cast<void>(co_await async::sleep_until(redis->reactor(), redis->reactor().now() + kLook, nullptr));
  }
}

// True when Redis knows what this node has to say.
async::Task<bool> Sharing::reconcile(store::RedisClient& redis) {
  const auto deadline = [&] {
    return Deadline::after(redis.reactor().now(), std::chrono::milliseconds{500});
  };
  const std::array<std::string_view, 2> info{"INFO", "server"};
  Result<store::RedisReply> about = co_await redis.command(info, deadline());
  if (!about) co_return false;
  std::string run = "unknown";  // a server that does not say is taken for the same
  if (const std::size_t at = about->text.find("run_id:"); at != std::string::npos)
    run = about->text.substr(at + 7, 40);
  const bool lost = !run_.empty() && run_ != run;
  run_ = run;
  for (int round = 0; round < (lost ? 2 : 1); ++round) {
    const std::vector<std::shared_ptr<SharedLimit>> known = limits();
    for (const auto& limit : known) {
      std::vector<SharedLimit::Question> debts = limit->debts(redis.reactor().now(), lost && round == 0);
      for (std::size_t from = 0; from < debts.size(); from += kBatch) {
        const std::size_t to = std::min(debts.size(), from + kBatch);
        std::vector<std::string> keys;
        std::vector<std::string> args{"take", node_};
        for (std::size_t i = from; i < to; ++i) {
          keys.push_back(limit->redis_key(debts[i].key));
          limit->append_arguments(debts[i], args);
        }
        const std::vector<std::string_view> key_views(keys.begin(), keys.end());
        const std::vector<std::string_view> arg_views(args.begin(), args.end());
        Result<store::RedisReply> told =
            co_await redis.eval(internal::shared_limit_script(), key_views, arg_views, deadline());
        if (told && told->is_list()) continue;
        for (std::size_t i = from; i < debts.size(); ++i) limit->not_asked(debts[i]);
        if (lost) run_ = "lost";  // what was not told must be told again
        co_return false;
      }
    }
    if (lost && round == 0)
      static_cast<void>(
          co_await async::sleep_until(redis.reactor(), redis.reactor().now() + kSettle, nullptr));
  }
  co_return true;
}

}  // namespace weir::gateway
