// The example of README.md, compiled and run by the tests.
#include <iostream>

#include "weir/cache/memory_cache.h"

int main() {
  using namespace std::chrono_literals;
  using weir::cache::MemoryCache;
  MemoryCache<std::string> pages({.bytes_max = 1 << 20, .shards = 4}, weir::base::SipKey{17, 42});
  weir::ManualClock clock;  // time is handed in
  pages.put("/home", std::make_shared<const std::string>("<h1>hello</h1>"), 14, clock.now(),
            {.fresh = 30s, .stale = 1h});
  clock.advance(31s);
  const MemoryCache<std::string>::Hit hit = pages.get("/home", clock.now());
  std::cout << (hit.fresh() ? "fresh " : "stale ") << *hit.value << "\n";  // stale <h1>hello</h1>
  return hit.fresh() ? 1 : 0;
}
