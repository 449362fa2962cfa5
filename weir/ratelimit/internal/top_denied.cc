#include "weir/ratelimit/internal/top_denied.h"

#include <algorithm>
#include <string>

namespace weir::ratelimit::internal {

void TopDenied::add(std::string_view key, const base::Hash128& hash) noexcept {
  const std::unique_lock guard(lock_, std::try_to_lock);
  if (!guard) return;
  Entry* least = entries_.data();
  for (Entry& entry : entries_) {
    if (entry.hash == hash && entry.count != 0) {
      ++entry.count;
      return;
    }
    if (entry.count < least->count) least = &entry;
  }
  least->hash = hash;
  least->error = least->count;
  ++least->count;
  least->text_size = static_cast<std::uint32_t>(std::min(key.size(), kTextMax));
  std::copy_n(key.begin(), least->text_size, least->text.begin());
}

std::vector<KeyedRateLimiter::DeniedKey> TopDenied::list() const {
  std::vector<KeyedRateLimiter::DeniedKey> all;
  {
    const std::lock_guard guard(lock_);
    for (const Entry& entry : entries_)
      if (entry.count != 0)
        all.push_back({std::string(entry.text.data(), entry.text_size), entry.count, entry.error});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
  return all;
}

}  // namespace weir::ratelimit::internal
