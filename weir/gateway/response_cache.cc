// Flights: a map from key to those who wait, in shards.
//
// A promise is set, and its worker's reactor woken, under the shard's mutex; whoever stops waiting takes its promise
// out under the same mutex. So a promise never outlives the coroutine that waits for it, and no reactor is woken after
// its worker has gone.
#include "weir/gateway/response_cache.h"

#include <algorithm>

namespace weir::gateway {

std::size_t CachedAnswer::bytes() const noexcept {
  std::size_t names = 0;
  for (const std::string& name : vary) names += name.capacity() + sizeof(std::string);
  return sizeof(CachedAnswer) + texts.capacity() + body.capacity() + fields.capacity() * sizeof(http::Field) +
         names;
}

ResponseCache::ResponseCache(std::size_t bytes_max, base::SipKey seed)
    : bytes_max_(bytes_max),
      seed_(seed),
      answers_({.bytes_max = bytes_max, .shards = 16}, seed),
      generations_(kGenerations) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>(seed);
}

std::shared_ptr<const CachedAnswer> ResponseCache::find(std::string_view key, TimePoint now) {
  return answers_.get(key, now).value;
}

void ResponseCache::put(std::string_view key, std::shared_ptr<const CachedAnswer> answer, TimePoint now) {
  cache::Lifetime lifetime;
  switch (answer->kind) {
    case CachedAnswer::Kind::answer:
      lifetime.fresh = answer->lifetime - answer->age;
      break;
    case CachedAnswer::Kind::vary:
      lifetime.fresh = std::max(answer->lifetime, kVaryFor);
      break;
    case CachedAnswer::Kind::pass:
      lifetime.fresh = kPassFor;
      break;
  }
  const std::size_t bytes = answer->bytes();
  answers_.put(key, std::move(answer), bytes, now, lifetime);
}

ResponseCache::Lead ResponseCache::try_lead(std::string_view key) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  std::string name(key);
  if (!shard.flights.try_emplace(name).second) return {};
  return {shared_from_this(), std::move(name)};
}

void ResponseCache::Lead::finish(End end) noexcept {
  if (cache_ == nullptr) return;
  const std::shared_ptr<ResponseCache> cache = std::move(cache_);
  cache->finish(key_, end);
}

void ResponseCache::finish(const std::string& key, End end) noexcept {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  auto ended = shard.flights.extract(key);
  if (ended.empty()) return;
  for (const Entry& entry : ended.mapped().followers)
    if (*entry) {
      (*entry)->set(end);
      entry->reset();
    }
}

std::size_t ResponseCache::flights() const {
  std::size_t sum = 0;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    sum += shard->flights.size();
  }
  return sum;
}

ResponseCache::Follower::Follower(std::shared_ptr<ResponseCache> cache, std::string_view key,
                                  Exchange& exchange)
    : cache_(std::move(cache)), key_(key), answer_(exchange) {
  Shard& shard = cache_->shard_of(key_);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.flights.find(key_);
  if (found == shard.flights.end()) return;
  auto& followers = found->second.followers;
  if (followers.size() >= kWaitersMax)  // those who went away made room
    std::erase_if(followers, [](const Entry& entry) { return !*entry; });
  crowded_ = followers.size() >= kWaitersMax;
  if (crowded_) return;
  entry_ = std::make_shared<std::optional<Promise>>(answer_.promise());
  followers.push_back(entry_);
}

ResponseCache::Follower::~Follower() {
  if (entry_ == nullptr) return;
  const std::lock_guard lock(cache_->shard_of(key_).mutex);
  entry_->reset();
}

}  // namespace weir::gateway
