#include "weir/gateway/state.h"

#include "weir/store/redis_idempotency_store.h"
#include "weir/store/redis_url.h"
#include "weir/store/sqlite_store.h"

namespace weir::gateway {
namespace {

template <class T, class Make>
std::shared_ptr<T> find_or_make(std::map<std::string, std::weak_ptr<T>>& map, const std::string& name,
                                Make&& make) {
  std::weak_ptr<T>& known = map[name];
  std::shared_ptr<T> alive = known.lock();
  if (alive == nullptr) known = alive = make();
  return alive;
}

template <class T>
std::vector<std::pair<std::string, std::shared_ptr<T>>> alive(
    const std::map<std::string, std::weak_ptr<T>>& map) {
  std::vector<std::pair<std::string, std::shared_ptr<T>>> all;
  for (const auto& [name, known] : map)
    if (std::shared_ptr<T> object = known.lock()) all.emplace_back(name, std::move(object));
  return all;
}

}  // namespace

std::shared_ptr<ratelimit::KeyedRateLimiter> State::limiter(const ratelimit::Policy& policy) {
  const std::lock_guard lock(mutex_);
  return find_or_make(limiters_, policy.name, [&] {
    ratelimit::KeyedRateLimiter::Options options;
    options.max_keys = kKeysPerLimit;
    options.seed = seed_;
    return std::make_shared<ratelimit::KeyedRateLimiter>(policy, options);
  });
}

std::shared_ptr<SharedLimit> State::shared_limit(const ratelimit::Policy& policy, std::uint32_t nodes) {
  const std::lock_guard lock(mutex_);
  return find_or_make(shared_limits_, policy.name, [&] {
    auto made = std::make_shared<SharedLimit>(policy, nodes, seed_);
    sharing_->add(made);
    return made;
  });
}

Result<std::shared_ptr<store::IdempotencyStore>> State::records(const config::Config& config) {
  using Store = config::Idempotency::Store;
  const std::lock_guard lock(mutex_);
  const config::Idempotency& options = config.idempotency;
  std::string name = "memory";
  if (options.store == Store::sqlite) name = "sqlite " + options.path;
  if (options.store == Store::redis) name = "redis " + config.redis->url;
  std::shared_ptr<store::IdempotencyStore> known = records_.lock();
  if (known != nullptr && name == records_name_) return known;
  if (options.store == Store::memory) {
    known = std::make_shared<store::MemoryIdempotencyStore>();
  } else if (options.store == Store::redis) {
    const Result<store::RedisUrl> url = store::RedisUrl::parse(config.redis->url);
    if (!url) return url.error();
    auto made = store::RedisIdempotencyStore::create(*url);
    if (!made) return made.error();
    known = std::move(*made);
  } else {
    Result<std::unique_ptr<store::SqliteStore>> opened = store::SqliteStore::open(options.path);
    if (!opened) return opened.error();
    known = std::move(*opened);
  }
  records_ = known;
  records_name_ = std::move(name);
  return known;
}

std::shared_ptr<store::IdempotencyStore> State::current_records() const {
  const std::lock_guard lock(mutex_);
  return records_.lock();
}

void State::stop_records() {
  if (const auto records = current_records()) records->stop();
}

std::shared_ptr<resilience::LoadShedder> State::shedder(const std::string& name,
                                                        std::uint32_t max_in_flight) {
  const std::lock_guard lock(mutex_);
  return find_or_make(shedders_, name,
                      [&] { return std::make_shared<resilience::LoadShedder>(max_in_flight); });
}

std::shared_ptr<upstream::SharedUpstream> State::upstream(
    const std::string& name, const resilience::CircuitBreaker::Options& breaker) {
  const std::lock_guard lock(mutex_);
  return find_or_make(upstreams_, name, [&] {
    return std::make_shared<upstream::SharedUpstream>(name, breaker, on_transition_);
  });
}

std::vector<std::pair<std::string, std::shared_ptr<ratelimit::KeyedRateLimiter>>> State::limiters() const {
  const std::lock_guard lock(mutex_);
  return alive(limiters_);
}

std::vector<std::pair<std::string, std::shared_ptr<SharedLimit>>> State::shared_limits() const {
  const std::lock_guard lock(mutex_);
  return alive(shared_limits_);
}

std::vector<std::pair<std::string, std::shared_ptr<resilience::LoadShedder>>> State::shedders() const {
  const std::lock_guard lock(mutex_);
  return alive(shedders_);
}

std::vector<std::pair<std::string, std::shared_ptr<upstream::SharedUpstream>>> State::upstreams() const {
  const std::lock_guard lock(mutex_);
  return alive(upstreams_);
}

std::shared_ptr<bff::SectionCache> State::section_cache() {
  const std::lock_guard lock(mutex_);
  if (section_cache_ == nullptr)
    section_cache_ = std::make_shared<bff::SectionCache>(cache::Options{}, seed_);
  return section_cache_;
}

std::shared_ptr<ResponseCache> State::response_cache(std::size_t bytes_max) {
  const std::lock_guard lock(mutex_);
  if (response_cache_ == nullptr || response_cache_->bytes_max() != bytes_max)
    response_cache_ = std::make_shared<ResponseCache>(bytes_max, seed_);
  return response_cache_;
}

std::shared_ptr<ResponseCache> State::current_response_cache() const {
  const std::lock_guard lock(mutex_);
  return response_cache_;
}

}  // namespace weir::gateway
