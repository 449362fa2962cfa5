// AddressTable: how many connections each client address holds, over all workers.
//
// Touched once when a connection opens and once when it closes, so a mutex for a shard is cheap enough. An IPv6 client
// counts by its /64, since that is what one customer owns. Holds one entry per address that has a connection, so it is
// bounded by the number of descriptors. Thread-safe.
#ifndef WEIR_SERVER_ADDRESS_TABLE_H_
#define WEIR_SERVER_ADDRESS_TABLE_H_

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "weir/base/hash.h"
#include "weir/base/ip.h"

namespace weir::server {

class AddressTable {
 public:
  // `seed` keeps strangers from choosing addresses that collide.
  explicit AddressTable(base::SipKey seed) : seed_(seed) {
    for (Shard& shard : shards_) shard.counts = Counts(16, Hash{seed_});
  }

  // False when `ip` has `limit` connections already; nothing is counted then.
  bool enter(const base::IpAddress& ip, std::uint32_t limit) {
    const base::IpAddress key = key_of(ip);
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    std::uint32_t& count = shard.counts[key];
    if (count >= limit) {
      if (count == 0) shard.counts.erase(key);
      return false;
    }
    ++count;
    return true;
  }
  void leave(const base::IpAddress& ip) {
    const base::IpAddress key = key_of(ip);
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.mutex);
    const auto entry = shard.counts.find(key);
    WEIR_CHECK(entry != shard.counts.end());
    if (--entry->second == 0) shard.counts.erase(entry);
  }

 private:
  struct Hash {
    base::SipKey seed;
    std::size_t operator()(const base::IpAddress& ip) const noexcept {
      return base::siphash13(seed, {reinterpret_cast<const char*>(ip.bytes().data()), ip.bytes().size()});
    }
  };
  using Counts = std::unordered_map<base::IpAddress, std::uint32_t, Hash>;
  struct alignas(64) Shard {
    std::mutex mutex;
    Counts counts{16, Hash{}};
  };

  static base::IpAddress key_of(const base::IpAddress& ip) { return ip.is_v4() ? ip : ip.masked(64); }
  Shard& shard_of(const base::IpAddress& ip) { return shards_[Hash{seed_}(ip) >> 58 & (kShards - 1)]; }

  static constexpr std::size_t kShards = 64;
  base::SipKey seed_;
  std::array<Shard, kShards> shards_;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_ADDRESS_TABLE_H_
