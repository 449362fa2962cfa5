// TopDenied: the most refused keys, in a list of fixed length (space-saving, Metwally et al. 2005).
//
// A key in the list is counted; another takes the place of the least and inherits its count as its error. So
// a key with more than total / n refusals is in the list, and a count is too large by its error at most.
//
// add() never waits: if another thread has the list, the refusal is not counted in it. O(n), n at most 64.
#ifndef WEIR_RATELIMIT_INTERNAL_TOP_DENIED_H_
#define WEIR_RATELIMIT_INTERNAL_TOP_DENIED_H_

#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "weir/base/hash.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace weir::ratelimit::internal {

class TopDenied {
 public:
  explicit TopDenied(std::uint32_t length) : entries_(length) {}

  bool on() const noexcept { return !entries_.empty(); }
  void add(std::string_view key, const base::Hash128& hash) noexcept;
  std::vector<KeyedRateLimiter::DeniedKey> list() const;

 private:
  static constexpr std::size_t kTextMax = 64;

  struct Entry {
    base::Hash128 hash;
    std::uint64_t count = 0;
    std::uint64_t error = 0;
    std::uint32_t text_size = 0;
    std::array<char, kTextMax> text{};
  };

  mutable std::mutex lock_;
  std::vector<Entry> entries_;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_TOP_DENIED_H_
