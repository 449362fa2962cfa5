// ResponseCache: answers of upstreams that are kept, and who is fetching which one just now. One for the process.
//
// Keys are the cache stage's business (stages/cache.h); here they are bytes. Three things live under them:
//
//   answer   what is given to clients
//   vary     the names in an answer's Vary: where to look is the same key with those fields' values behind it
//   pass     the answer to this key could not be kept a moment ago, so nobody waits for the next one
//
//   (1) Single flight: of those who miss one key at the same time, one leads and the others wait, in any worker. A
//       leader that goes away (its client left, it was shed, its upstream failed) wakes them, and one of them leads.
//   (2) Those who wait hold nothing but their coroutine; at most kWaitersMax a key, beyond that they go by themselves.
//   (3) invalidate() moves a generation that is part of every key, so what was kept for a path, and what is being
//       fetched for it, is not found any more. Two paths may share a generation: a miss too many, never a hit too many.
//
// Thread-safe. A hit costs a search under a shard's mutex and no allocation.
#ifndef WEIR_GATEWAY_RESPONSE_CACHE_H_
#define WEIR_GATEWAY_RESPONSE_CACHE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/cache/memory_cache.h"
#include "weir/gateway/remote_answer.h"
#include "weir/http/message.h"

namespace weir::gateway {

// Something kept. Made once, then only read.
struct CachedAnswer {
  enum class Kind : std::uint8_t { answer, vary, pass };

  CachedAnswer() = default;
  CachedAnswer(const CachedAnswer&) = delete;  // the fields are views into `texts`
  CachedAnswer& operator=(const CachedAnswer&) = delete;

  Kind kind = Kind::answer;
  int status = 0;
  std::string texts;
  std::vector<http::Field> fields;
  std::string body;
  std::string_view etag;      // in `texts`; "" for none
  std::string_view modified;  // Last-Modified
  TimePoint kept_at{};
  Duration age{};                 // when it was kept
  Duration lifetime{};            // of freshness, from its making
  std::vector<std::string> vary;  // kind vary: lower-case names, sorted

  Duration age_at(TimePoint now) const noexcept { return age + (now - kept_at); }
  std::size_t bytes() const noexcept;
};

class ResponseCache : public std::enable_shared_from_this<ResponseCache> {
 public:
  static constexpr std::size_t kWaitersMax = 1024;        // a key; each is a coroutine that waits
  static constexpr std::size_t kGenerations = 1U << 16U;  // 256 KiB
  static constexpr Duration kPassFor = std::chrono::seconds{5};
  // Where to look lives longer than what lies there, or a busy key would be cold each time it expires.
  static constexpr Duration kVaryFor = std::chrono::hours{1};

  ResponseCache(std::size_t bytes_max, base::SipKey seed);

  std::size_t bytes_max() const noexcept { return bytes_max_; }
  std::shared_ptr<const CachedAnswer> find(std::string_view key, TimePoint now);
  // Keeps an answer for the rest of its freshness; a vary or pass for as long as is said above.
  void put(std::string_view key, std::shared_ptr<const CachedAnswer> answer, TimePoint now);
  cache::Counts counts() const { return answers_.counts(); }

  std::uint32_t generation(std::string_view place) const noexcept {
    return generations_[slot_of(place)].load(std::memory_order_relaxed);
  }
  void invalidate(std::string_view place) noexcept {
    generations_[slot_of(place)].fetch_add(1, std::memory_order_relaxed);
    invalidations_.fetch_add(1, std::memory_order_relaxed);
  }
  std::uint64_t invalidations() const noexcept { return invalidations_.load(std::memory_order_relaxed); }

  // How a flight ended.
  enum class End : std::uint8_t {
    kept,    // look again
    passed,  // it cannot be kept: everyone by himself
    left,    // nobody has it: somebody else must lead
  };

  // Whoever has it fetches the key's answer. Destroyed without finish(): left.
  class Lead {
   public:
    Lead() = default;
    Lead(std::shared_ptr<ResponseCache> cache, std::string key)
        : cache_(std::move(cache)), key_(std::move(key)) {}
    Lead(Lead&& other) noexcept : cache_(std::move(other.cache_)), key_(std::move(other.key_)) {}
    Lead& operator=(Lead&& other) noexcept {
      finish(End::left);
      cache_ = std::move(other.cache_);
      key_ = std::move(other.key_);
      return *this;
    }
    ~Lead() { finish(End::left); }
    explicit operator bool() const noexcept { return cache_ != nullptr; }
    void finish(End end) noexcept;

   private:
    std::shared_ptr<ResponseCache> cache_;
    std::string key_;
  };
  // Nothing when somebody else leads.
  Lead try_lead(std::string_view key);

  // Waits for a flight's end. Lives in the coroutine of the exchange that waits.
  class Follower {
   public:
    Follower(std::shared_ptr<ResponseCache> cache, std::string_view key, Exchange& exchange);
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    ~Follower();
    // False: there is no flight any more, or too many wait for it (crowded).
    bool follows() const noexcept { return entry_ != nullptr; }
    bool crowded() const noexcept { return crowded_; }
    bool ended() const noexcept { return answer_.ready(); }
    End end() { return answer_.take().value_or(End::left); }

   private:
    friend class ResponseCache;
    using Promise = RemoteAnswer<End>::Promise;
    std::shared_ptr<ResponseCache> cache_;
    const std::string key_;
    RemoteAnswer<End> answer_;
    std::shared_ptr<std::optional<Promise>> entry_;  // guarded by the flights' mutex
    bool crowded_ = false;
  };
  std::size_t flights() const;

 private:
  using Entry = std::shared_ptr<std::optional<Follower::Promise>>;
  struct Flight {
    std::vector<Entry> followers;
  };
  struct Hash {
    using is_transparent = void;
    base::SipKey seed;
    std::size_t operator()(std::string_view text) const noexcept { return base::siphash13(seed, text); }
  };
  struct Shard {
    explicit Shard(base::SipKey seed) : flights(16, Hash{seed}) {}
    mutable std::mutex mutex;
    std::unordered_map<std::string, Flight, Hash, std::equal_to<>> flights;
  };

  std::size_t slot_of(std::string_view place) const noexcept {
    return base::siphash13(seed_, place) & (kGenerations - 1);
  }
  Shard& shard_of(std::string_view key) noexcept {
    return *shards_[base::siphash13(seed_, key) >> 40 & (shards_.size() - 1)];
  }
  void finish(const std::string& key, End end) noexcept;

  const std::size_t bytes_max_;
  const base::SipKey seed_;
  cache::MemoryCache<CachedAnswer> answers_;
  std::vector<std::atomic<std::uint32_t>> generations_;
  std::atomic<std::uint64_t> invalidations_{0};
  std::array<std::unique_ptr<Shard>, 16> shards_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_RESPONSE_CACHE_H_
