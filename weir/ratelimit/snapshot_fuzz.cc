// Any bytes as the body of a snapshot, with the seed's check before and the right sum behind, so that the reader
// gets past both: it must neither crash nor hold more keys than the table may.
#include <cstddef>
#include <cstdint>
#include <string>

#include "weir/base/check.h"
#include "weir/base/hash.h"
#include "weir/ratelimit/keyed_limiter.h"

namespace {

void put64(std::string& out, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  constexpr base::SipKey kSeed{1, 2};
  constexpr std::string_view kMagic = "weirlim1";
  std::string bytes(kMagic);
  put64(bytes, base::siphash13(kSeed, kMagic));
  bytes.append(reinterpret_cast<const char*>(data), size);
  put64(bytes, base::siphash13(kSeed, bytes));
  for (int algorithm = 1; algorithm <= static_cast<int>(ratelimit::Algorithm::fixed_window); ++algorithm) {
    ratelimit::KeyedRateLimiter limiter({.name = "fuzz",
                                         .limit = 20,
                                         .window = std::chrono::minutes{1},
                                         .algorithm = static_cast<ratelimit::Algorithm>(algorithm)},
                                        {.max_keys = 4, .seed = kSeed});
    const TimePoint now{std::chrono::hours{1}};
    static_cast<void>(limiter.restore(now, WallTime{std::chrono::hours{24 * 365 * 50}}, bytes).has_value());
    WEIR_CHECK(limiter.stats().keys <= 4);
  }
  return 0;
}
