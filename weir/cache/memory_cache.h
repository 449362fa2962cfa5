// MemoryCache: values under text keys, bounded in bytes, fresh for a while and stale for a while longer.
//
// For answers of upstreams and for sections of pages, and for whatever else is dearer to make than to keep. A value is
// shared, not copied: get() gives out a shared_ptr that stays good after the entry has gone.
//
//   cache::MemoryCache<Answer> cache({.bytes_max = 64 << 20}, base::SipKey{seed1, seed2});
//   cache.put("GET /v1/users/17", answer, answer->body.size(), now, {.fresh = 30s, .stale = 1h});
//   if (auto hit = cache.get("GET /v1/users/17", now); hit && hit.fresh()) return *hit.value;
//
// Keys are compared whole, never by their hash alone: a collision cannot give one user another's answer. What an entry
// costs is its key, the bytes that the caller says its value has, and kEntryBytes of bookkeeping; the sum never exceeds
// bytes_max, and an entry that alone is larger than a shard's share is not taken. Eviction is CLOCK: an entry that was
// hit since the hand came by is spared once.
//
// Thread-safe: sharded, a mutex a shard, held for a search and a pointer copy. get() allocates nothing.
#ifndef WEIR_CACHE_MEMORY_CACHE_H_
#define WEIR_CACHE_MEMORY_CACHE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/base/check.h"
#include "weir/base/clock.h"
#include "weir/base/hash.h"

namespace weir::cache {

struct Options {
  std::size_t bytes_max = 64 * 1024 * 1024;  // of all entries together
  std::size_t shards = 16;                   // a power of two; each has its share of the bytes
};

// How long a value may be used, counted from when it was put.
struct Lifetime {
  Duration fresh{};  // without asking again
  Duration stale{};  // after that: in place of an error, or while it is asked again
};

enum class Age : std::uint8_t { none, fresh, stale };

struct Counts {
  std::size_t entries = 0;
  std::size_t bytes = 0;
  std::uint64_t hits = 0;  // fresh or stale
  std::uint64_t misses = 0;
  std::uint64_t evicted = 0;  // to make room; expired ones too when the hand found them
  std::uint64_t refused = 0;  // larger than a shard
};

template <class Value>
class MemoryCache {
 public:
  // Bookkeeping of an entry: node, map slot, list links, allocator headers. An upper estimate
  // for 64-bit libstdc++ (list node 112, map node 48, bucket 16, heap headers of key and value).
  static constexpr std::size_t kEntryBytes = 256;

  struct Hit {
    std::shared_ptr<const Value> value;
    Age state = Age::none;
    Duration age{};  // since it was put

    explicit operator bool() const noexcept { return value != nullptr; }
    bool fresh() const noexcept { return state == Age::fresh; }
  };

  // `key` seeds the hash of the shards' tables, so that strangers cannot choose keys that collide.
  MemoryCache(const Options& options, base::SipKey key)
      : key_(key),
        shards_(options.shards),
        share_(options.bytes_max / std::max<std::size_t>(options.shards, 1)) {
    WEIR_CHECK(options.shards != 0 && (options.shards & (options.shards - 1)) == 0);
    for (auto& shard : shards_) shard = std::make_unique<Shard>(key_);
  }

  // Empty when there is none, or its stale time is over too.
  Hit get(std::string_view key, TimePoint now) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.index.find(key);
    if (found == shard.index.end()) {
      ++shard.misses;
      return {};
    }
    Entry& entry = *found->second;
    if (now >= entry.stale_until) {
      ++shard.misses;
      shard.remove(found->second);
      return {};
    }
    entry.used = true;
    ++shard.hits;
    return {entry.value, now < entry.fresh_until ? Age::fresh : Age::stale, now - entry.put_at};
  }

  // Replaces what was there. `bytes`: what the value takes in memory, the caller's word. False when the entry cannot
  // be kept: too large for a shard, or neither fresh nor stale for any time; what was under the key is gone even so.
  bool put(std::string_view key, std::shared_ptr<const Value> value, std::size_t bytes, TimePoint now,
           const Lifetime& lifetime) {
    WEIR_CHECK(value != nullptr);
    Shard& shard = shard_of(key);
    const std::size_t cost = key.size() + bytes + kEntryBytes;
    std::shared_ptr<const Value> replaced;  // its destructor runs outside the lock
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.index.find(key); found != shard.index.end()) {
      replaced = std::move(found->second->value);
      shard.remove(found->second);
    }
    const TimePoint fresh_until = later(now, lifetime.fresh);
    const TimePoint stale_until = later(fresh_until, lifetime.stale);
    if (cost < bytes || cost > share_ || stale_until <= now) {
      ++shard.refused;
      return false;
    }
    while (shard.bytes + cost > share_) shard.evict(now);
    shard.entries.push_back(
        Entry{std::string(key), std::move(value), cost, now, fresh_until, stale_until, false});
    const auto entry = std::prev(shard.entries.end());
    shard.index.emplace(std::string_view(entry->key), entry);
    shard.bytes += cost;
    return true;
  }

  // True when there was one.
  bool erase(std::string_view key) {
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.index.find(key);
    if (found == shard.index.end()) return false;
    shard.remove(found->second);
    return true;
  }

  void clear() {
    for (auto& shard : shards_) {
      const std::lock_guard lock(shard->mutex);
      while (!shard->entries.empty()) shard->remove(shard->entries.begin());
    }
  }

  // Added up shard by shard: not one instant.
  Counts counts() const {
    Counts sum;
    for (const auto& shard : shards_) {
      const std::lock_guard lock(shard->mutex);
      sum.entries += shard->entries.size();
      sum.bytes += shard->bytes;
      sum.hits += shard->hits;
      sum.misses += shard->misses;
      sum.evicted += shard->evicted;
      sum.refused += shard->refused;
    }
    return sum;
  }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Value> value;
    std::size_t cost = 0;
    TimePoint put_at{};
    TimePoint fresh_until{};
    TimePoint stale_until{};
    bool used = false;  // hit since the hand came by
  };
  using Entries = std::list<Entry>;

  struct Hash {
    base::SipKey key;
    std::size_t operator()(std::string_view text) const noexcept { return base::siphash13(key, text); }
  };

  // The list is the clock: the hand is its front, and a spared entry goes to the back.
  struct Shard {
    explicit Shard(base::SipKey key) : index(16, Hash{key}) {}

    void remove(typename Entries::iterator entry) {
      bytes -= entry->cost;
      index.erase(std::string_view(entry->key));
      entries.erase(entry);
    }
    void evict(TimePoint now) {
      WEIR_CHECK(!entries.empty());
      while (std::exchange(entries.front().used, false) && now < entries.front().stale_until)
        entries.splice(entries.end(), entries, entries.begin());
      remove(entries.begin());
      ++evicted;
    }

    mutable std::mutex mutex;
    Entries entries;
    std::unordered_map<std::string_view, typename Entries::iterator, Hash>
        index;  // views into the entries' keys
    std::size_t bytes = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t evicted = 0;
    std::uint64_t refused = 0;
  };

  static TimePoint later(TimePoint from, Duration by) noexcept {
    return by > TimePoint::max() - from ? TimePoint::max() : from + by;
  }
  Shard& shard_of(std::string_view key) {
    // High bits: the tables inside use the low ones.
    return *shards_[base::siphash13(key_, key) >> 32 & (shards_.size() - 1)];
  }

  base::SipKey key_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::size_t share_;
};

}  // namespace weir::cache

#endif  // WEIR_CACHE_MEMORY_CACHE_H_
