// The example of README.md, compiled and run by the tests.
#include <cstdio>

#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/keyed_limiter.h"

using namespace std::chrono_literals;
namespace rl = weir::ratelimit;

int main() {
  const rl::Policy policy{.name = "per_client", .limit = 100, .window = 1min};
  rl::KeyedRateLimiter limiter(policy, {.max_keys = 100'000, .seed = {0x5eed, 0x5eed}});  // secret in earnest
  const weir::SystemClock clock;

  rl::Decision d;
  for (int i = 0; i < 101; ++i) d = limiter.allow_at(clock.now(), "192.0.2.7", 1, rl::Want::headers);

  std::string buffer;
  const rl::LimitReport report{&policy, d};
  for (const auto& [name, value] : rl::format_headers({&report, 1}, {}, buffer))
    std::printf("%.*s: %.*s\n", int(name.size()), name.data(), int(value.size()), value.data());
  return d.allowed ? 1 : 0;  // the 101st of a minute is refused
}
