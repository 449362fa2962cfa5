// SharedLimit: a rate limit that several gateways keep together in Redis, as far as one process knows it.
//
// Redis decides (internal/shared_limit_script). This class holds what makes that bearable when it is slow, gone or
// empty again:
//
//   (1) A key that was refused is refused here until its time has come: a flood costs Redis nothing.
//   (2) What this node has admitted in the last window is known here (`own`), so that a server which lost its data is
//       told again before it decides anything for that key.
//   (3) While Redis cannot be asked, the node decides alone: at most limit / nodes in a window, its own earlier
//       admissions counted, and in the first window at most its share of what was free by the last answer. What it
//       admits then is owed, and booked with the next question.
//   (4) At most kKeys keys have an entry; idle ones are forgotten first. A forgotten key loses (1) and what it owes,
//       never the limit in Redis.
//
// Sharing holds all of a process and says whether Redis is to be asked at all: one failed question stops all workers
// from asking, until one of them has found Redis in order again (SharingTask in worker.cc's background).
//
// Thread-safe: entries under the mutex of their shard. O(1).
#ifndef WEIR_GATEWAY_SHARED_LIMIT_H_
#define WEIR_GATEWAY_SHARED_LIMIT_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/async/scope.h"
#include "weir/async/task.h"
#include "weir/base/clock.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::store {
class RedisClient;
}

namespace weir::gateway {

// A key as all nodes know it: 128 bits of SHA-256 over limit and key. Redis sees no key of a client.
struct SharedKey {
  std::array<char, 22> text{};  // base64url
  std::string_view view() const noexcept { return {text.data(), text.size()}; }
  friend bool operator==(const SharedKey&, const SharedKey&) noexcept = default;
};
SharedKey shared_key(std::string_view limit, std::string_view key);

class SharedLimit {
 public:
  static constexpr std::size_t kShards = 64;
  static constexpr std::size_t kKeys = 65'536;

  SharedLimit(const ratelimit::Policy& policy, std::uint32_t nodes, const base::SipKey& seed);

  // What a question to Redis carries.
  struct Question {
    SharedKey key;
    std::uint32_t cost = 1;
    std::uint32_t owed = 0;  // taken out of the entry: give it back with not_asked() when the question fails
    std::uint32_t used = 0;  // what this node has admitted in the window
    std::int64_t last = 0;   // its newest booking, in Redis' microseconds
  };

  // The refusal that still stands for this key, if any.
  std::optional<ratelimit::Decision> standing_refusal(TimePoint now, const SharedKey& key);
  Question ask(TimePoint now, const SharedKey& key, std::uint32_t cost);
  // Redis has answered. `booked` is 0 when nothing was; `admitted`: all limits of the question said yes.
  void answered(TimePoint now, const Question& question, const ratelimit::Decision& decision,
                std::int64_t booked, bool admitted);
  void not_asked(const Question& question);
  // Redis cannot be asked.
  ratelimit::Decision decide_alone(TimePoint now, const SharedKey& key, std::uint32_t cost);
  // What was admitted alone is called off: Redis need not hear of it. (The node's own share stays charged.)
  void take_back(const SharedKey& key, std::uint32_t cost);
  // A price known afterwards: booked with the next question.
  void owe(TimePoint now, const SharedKey& key, std::uint32_t cost);

  // Questions that cost nothing and only bring what Redis must know: what is owed; with `lost`, all of the last window.
  std::vector<Question> debts(TimePoint now, bool lost);

  // Takes effect with the next request of every key. Nodes that have been told different limits count into one history,
  // and each request is judged by the limit of the node that it came through.
  void update(TimePoint now, const ratelimit::Policy& policy, std::uint32_t nodes);
  ratelimit::Policy policy() const;
  std::uint32_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

  struct Stats {
    std::uint64_t keys = 0;          // with an entry here
    std::uint64_t allowed = 0;       // requests, by Redis or alone; of this node
    std::uint64_t refused = 0;       // requests, all of them
    std::uint64_t refused_here = 0;  // of those: answered without a question, because a refusal still stood
    std::uint64_t alone = 0;         // requests decided without Redis
  };
  Stats stats() const;
  std::string redis_key(const SharedKey& key) const;
  // The numbers of a question in the order of the script, behind what `args` holds.
  void append_arguments(const Question& question, std::vector<std::string>& args) const;
  // Of the n-th limit of a question, out of the script's answer.
  ratelimit::Decision read_answer(const std::vector<std::int64_t>& numbers, std::size_t index,
                                  bool admitted_all) const;

 private:
  struct Entry {
    TimePoint refused_until{};
    Duration reset{};         // of the refusal
    TimePoint seen{};         // last use
    TimePoint answered_at{};  // of the last answer
    std::int64_t last = 0;
    std::uint32_t owed = 0;
    std::uint32_t left = 0;  // this node's share of what was free by the last answer
  };
  struct KeyHash {
    std::size_t operator()(const SharedKey& key) const noexcept;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<SharedKey, Entry, KeyHash> entries;
  };

  Shard& shard_of(const SharedKey& key) noexcept { return shards_[KeyHash{}(key) % kShards]; }
  Entry& entry_of(Shard& shard, const SharedKey& key, TimePoint now);
  std::uint32_t used(TimePoint now, const SharedKey& key) const;

  mutable std::mutex policy_mutex_;
  ratelimit::Policy policy_;
  std::uint32_t nodes_;
  std::atomic<std::uint32_t> limit_;
  std::atomic<std::uint32_t> told_limit_;
  const std::string name_;
  std::atomic<std::uint64_t> allowed_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> refused_here_{0};
  std::atomic<std::uint64_t> alone_count_{0};
  ratelimit::KeyedRateLimiter own_;    // all that this node admits, under the whole limit
  ratelimit::KeyedRateLimiter alone_;  // the same under this node's share
  std::array<Shard, kShards> shards_;
};

// The process's part of sharing: whether Redis is to be asked, and who finds out that it may be asked again.
class Sharing {
 public:
  Sharing();

  // Redis is to be asked.
  bool together() const noexcept { return together_.load(std::memory_order_relaxed); }
  void failed() noexcept {
    if (together_.exchange(false, std::memory_order_relaxed))
      failures_.fetch_add(1, std::memory_order_relaxed);
  }
  std::uint64_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }
  const std::string& node() const noexcept { return node_; }

  void add(std::shared_ptr<SharedLimit> limit);

  // Runs on one worker as long as it is there: brings debts to Redis when it answers again, then lets all ask.
  async::Task<void> watch(std::shared_ptr<store::RedisClient> redis);

 private:
  async::Task<bool> reconcile(store::RedisClient& redis);
  std::vector<std::shared_ptr<SharedLimit>> limits();

  const std::string node_;
  std::atomic<bool> together_{true};
  std::atomic<std::uint64_t> failures_{0};
  std::mutex mutex_;
  std::vector<std::weak_ptr<SharedLimit>> limits_;
  std::string run_;  // which run of the server was last seen; of the watching worker
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_SHARED_LIMIT_H_
