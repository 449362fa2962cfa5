// See authenticator.h.
//
//   (1) An entry is found by 128 bits of SipHash under a random key and then compared byte for byte: no two tokens can
//       share an entry, whatever their makers try.
//   (2) The bytes of all entries of a shard stay within its part of the bound, whatever happens: room is made before an
//       entry goes in. CLOCK gives every entry that was used since the hand passed a second round.
//   (3) What has failed is never in the cache, and what is in it passed every check of the verifier.
//   (4) Misses of one token wait for each other on one of 64 locks; the second finds the first one's entry.
#include "weir/passport/authenticator.h"

#include <array>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::passport {
namespace {

constexpr std::size_t kShards = 64;
// What an entry costs beside token and identity: table node, slot of the clock, control block.
constexpr std::size_t kEntryOverhead = 192;

std::int64_t seconds_of(WallTime now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

class Authenticator::Cache {
 public:
  explicit Cache(std::size_t bytes) : shard_bytes_(bytes / kShards) {}

  std::shared_ptr<const Identity> find(const base::Hash128& hash, std::string_view token) {
    Shard& shard = shards_[hash.high % kShards];
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.entries.find(hash.low);
    if (found == shard.entries.end() || found->second.token != token) {
      ++shard.misses;
      return nullptr;
    }
    ++shard.hits;
    found->second.used = true;
    return found->second.identity;
  }

  void insert(const base::Hash128& hash, std::string_view token, std::shared_ptr<const Identity> identity) {
    const std::size_t bytes = token.size() + identity->footprint() + kEntryOverhead;
    Shard& shard = shards_[hash.high % kShards];
    const std::lock_guard lock(shard.mutex);
    erase(shard, hash.low);
    if (bytes > shard_bytes_) return;
    while (shard.bytes + bytes > shard_bytes_) evict_one(shard);
    Entry entry{std::string(token), std::move(identity), bytes, shard.clock.size(), false};
    shard.clock.push_back(hash.low);
    shard.bytes += bytes;
    shard.entries.emplace(hash.low, std::move(entry));
  }

  void erase(const base::Hash128& hash) {
    Shard& shard = shards_[hash.high % kShards];
    const std::lock_guard lock(shard.mutex);
    erase(shard, hash.low);
  }

  std::mutex& flight(const base::Hash128& hash) { return shards_[hash.low % kShards].flight; }

  Stats stats() const {
    Stats stats;
    for (const Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      stats.hits += shard.hits;
      stats.misses += shard.misses;
      stats.evictions += shard.evictions;
      stats.entries += shard.entries.size();
      stats.bytes += shard.bytes;
    }
    return stats;
  }

 private:
  struct Entry {
    std::string token;
    std::shared_ptr<const Identity> identity;
    std::size_t bytes = 0;
    std::size_t place = 0;  // in the clock
    bool used = false;
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::mutex flight;
    std::unordered_map<std::uint64_t, Entry> entries;  // keys are SipHash already
    std::vector<std::uint64_t> clock;
    std::size_t hand = 0;
    std::size_t bytes = 0;
    std::uint64_t hits = 0, misses = 0, evictions = 0;
  };

  static void erase(Shard& shard, std::uint64_t key) {
    const auto found = shard.entries.find(key);
    if (found == shard.entries.end()) return;
    const std::size_t place = found->second.place;
    shard.bytes -= found->second.bytes;
    shard.clock[place] = shard.clock.back();
    shard.entries.at(shard.clock[place]).place = place;
    shard.clock.pop_back();
    shard.entries.erase(key);
  }

  // Two rounds of the hand at most: the first takes every mark away.
  static void evict_one(Shard& shard) {
    for (;;) {
      if (shard.hand >= shard.clock.size()) shard.hand = 0;
      Entry& entry = shard.entries.at(shard.clock[shard.hand]);
      if (!std::exchange(entry.used, false)) break;
      ++shard.hand;
    }
    ++shard.evictions;
    erase(shard, shard.clock[shard.hand]);
  }

  const std::size_t shard_bytes_;
  std::array<Shard, kShards> shards_;
};

// What failed lately, one slot a hash: a newer failure simply takes the place.
class Authenticator::Failures {
 public:
  struct Failure {
    base::Hash128 hash;
    TimePoint until{};
    Reject reject = Reject::none;
    const Provider* provider = nullptr;
  };
  Reject find(const base::Hash128& hash, TimePoint now, const Provider** provider) {
    const std::lock_guard lock(mutex_of(hash));
    const Failure& failure = slot_of(hash);
    if (failure.reject == Reject::none || failure.hash != hash || now >= failure.until) return Reject::none;
    *provider = failure.provider;
    return failure.reject;
  }
  void put(const Failure& failure) {
    const std::lock_guard lock(mutex_of(failure.hash));
    slot_of(failure.hash) = failure;
  }
  void forget(const base::Hash128& hash) {
    const std::lock_guard lock(mutex_of(hash));
    if (slot_of(hash).hash == hash) slot_of(hash) = Failure{};
  }

 private:
  static constexpr std::size_t kSlots = 16'384;
  std::mutex& mutex_of(const base::Hash128& hash) { return mutexes_[hash.low % mutexes_.size()]; }
  Failure& slot_of(const base::Hash128& hash) { return slots_[hash.low % kSlots]; }
  std::array<std::mutex, 16> mutexes_;  // divides kSlots, so a slot has one mutex
  std::vector<Failure> slots_ = std::vector<Failure>(kSlots);
};

// A bucket of failures for each address, four places a set, the stalest reused: an address that is turned out starts
// anew, which gives a flood from many addresses no more than it has anyway.
class Authenticator::Addresses {
 public:
  Addresses(std::uint32_t per_second, base::SipKey seed) : per_second_(per_second), seed_(seed) {}

  // Time until the next failure is allowed; zero now.
  Duration wait(const base::IpAddress& client, TimePoint now) {
    if (per_second_ == 0) return {};
    const std::uint64_t tag = tag_of(client);
    const std::lock_guard lock(mutexes_[tag % mutexes_.size()]);
    const Place* place = find(tag);
    // GCRA with a burst of one second: full when the theoretical time is a second ahead.
    if (place == nullptr || place->when <= now + kBurst - gap()) return {};
    return place->when - (now + kBurst - gap());
  }
  void count(const base::IpAddress& client, TimePoint now) {
    if (per_second_ == 0) return;
    const std::uint64_t tag = tag_of(client);
    const std::lock_guard lock(mutexes_[tag % mutexes_.size()]);
    Place* place = find(tag);
    if (place == nullptr) {
      auto& set = sets_[tag % kSets];
      place = &set[0];
      for (Place& other : set)
        if (other.when < place->when) place = &other;
      *place = Place{tag, now};
    }
    place->when = std::min(std::max(place->when, now) + gap(), now + kBurst);
  }

 private:
  static constexpr std::size_t kSets = 4096;
  static constexpr Duration kBurst = std::chrono::seconds{1};
  struct Place {
    std::uint64_t tag = 0;
    TimePoint when{};
  };
  Duration gap() const noexcept { return kBurst / per_second_; }
  std::uint64_t tag_of(const base::IpAddress& client) const {
    const base::IpAddress network = client.masked(client.is_v4() ? 32 : 64);
    const auto& bytes = network.bytes();
    std::array<char, 17> text{};
    for (std::size_t i = 0; i < bytes.size(); ++i) text[i] = static_cast<char>(bytes[i]);
    text[16] = client.is_v4() ? '4' : '6';
    return base::siphash13(seed_, std::string_view(text.data(), text.size())) | 1U;
  }
  Place* find(std::uint64_t tag) {
    for (Place& place : sets_[tag % kSets])
      if (place.tag == tag) return &place;
    return nullptr;
  }

  const std::uint32_t per_second_;
  const base::SipKey seed_;
  std::array<std::mutex, 16> mutexes_;
  std::vector<std::array<Place, 4>> sets_ = std::vector<std::array<Place, 4>>(kSets);
};

Authenticator::Authenticator(std::shared_ptr<const Verifier> verifier,
                             std::shared_ptr<const RevocationList> revocations, Options options)
    : verifier_(std::move(verifier)),
      revocations_(std::move(revocations)),
      options_(options),
      cache_(std::make_unique<Cache>(options.cache_bytes)),
      failures_(std::make_unique<Failures>()),
      addresses_(std::make_unique<Addresses>(options.failures_per_second, options.seed)) {}
Authenticator::~Authenticator() = default;

Checked Authenticator::check(std::string_view token, const base::IpAddress& client, TimePoint now,
                             WallTime wall) {
  const base::Hash128 hash = base::siphash13_128(options_.seed, token);
  if (token.size() > options_.token_bytes) return check_miss(token, hash, client, now, wall);
  Checked checked;
  checked.identity = cache_->find(hash, token);
  if (!checked.identity) return check_miss(token, hash, client, now, wall);
  const Identity& identity = *checked.identity;
  const std::int64_t now_s = seconds_of(wall);
  const bool in_time = (identity.expires == 0 || now_s < identity.expires) && now_s >= identity.not_before;
  if (!in_time || now_s >= identity.render_until || identity.key->removed()) {
    checked.identity.reset();
    cache_->erase(hash);
    return check_miss(token, hash, client, now, wall);  // says why, or writes the passport anew
  }
  if (revocations_ && revocations_->revoked(identity, now_s)) {
    checked.reject = Reject::revoked;
    checked.identity.reset();
    count_failure(client, now);
    return checked;
  }
  checked.answer = Checked::Answer::accepted;
  checked.cached = true;
  return checked;
}

Checked Authenticator::check_miss(std::string_view token, const base::Hash128& hash,
                                  const base::IpAddress& client, TimePoint now, WallTime wall) {
  Checked checked;
  if (!may_fail(client, now, &checked.retry_after)) {
    checked.answer = Checked::Answer::too_many_failures;
    return checked;
  }
  const bool cacheable = token.size() <= options_.token_bytes;
  const std::lock_guard flight(cache_->flight(hash));
  checked.reject = failures_->find(hash, now, &checked.provider);
  if (checked.reject == Reject::none && cacheable) checked.identity = cache_->find(hash, token);
  if (checked.reject == Reject::none && !checked.identity) {
    Verification verified = verifier_->verify(token, wall);
    checked.reject = verified.reject;
    checked.identity = std::move(verified.identity);
    checked.provider = verified.provider;
    checked.kid = std::move(verified.kid);
    if (checked.identity && cacheable) cache_->insert(hash, token, checked.identity);
    if (checked.identity)
      proxy_states_.add(base::siphash13(options_.seed, checked.identity->proxy_state), now);
    // What time or a fresh key set can cure is asked again the next time; keys have a memory of their own.
    const bool lasting = checked.reject != Reject::not_yet_valid && checked.reject != Reject::no_keys &&
                         checked.reject != Reject::unknown_key;
    if (!checked.identity && lasting)
      failures_->put({hash, now + options_.remember_failures, checked.reject, checked.provider});
  }
  if (checked.identity && revocations_ && revocations_->revoked(*checked.identity, seconds_of(wall))) {
    checked.reject = Reject::revoked;
    checked.identity.reset();
  }
  if (checked.identity) {
    checked.answer = Checked::Answer::accepted;
  } else if (checked.reject != Reject::no_keys) {
    count_failure(client, now);  // with no keys nobody can do better
  }
  return checked;
}

bool Authenticator::may_fail(const base::IpAddress& client, TimePoint now, Duration* retry_after) {
  *retry_after = addresses_->wait(client, now);
  return *retry_after == Duration::zero();
}

void Authenticator::count_failure(const base::IpAddress& client, TimePoint now) {
  addresses_->count(client, now);
}

void Authenticator::forget_failure(std::string_view token) {
  failures_->forget(base::siphash13_128(options_.seed, token));
}

Authenticator::Stats Authenticator::stats() const { return cache_->stats(); }

}  // namespace weir::passport
