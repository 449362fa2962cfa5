// Does one thing many times, for a counter of instructions: bench/ratelimit-instructions.sh runs it twice with different
// CALLS under callgrind, so that what the start costs falls out.
//
//   ratelimit_instructions one LIMIT CALLS        one key, its window full: each call is admitted and replaces the oldest
//   ratelimit_instructions keys KEYS CALLS        KEYS keys in the table, each with a booking; calls of those in turn
//   ratelimit_instructions headers LIMIT CALLS    as `one`, with what the header fields need, and the fields
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "weir/ratelimit/headers.h"
#include "weir/ratelimit/keyed_limiter.h"
#include "weir/ratelimit/limiter.h"

namespace weir::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

Policy exact(std::uint32_t limit) {
  return {.name = "t", .limit = limit, .window = 1min, .algorithm = Algorithm::exact_window};
}

int one(std::uint32_t limit, std::uint32_t calls, bool headers) {
  const Policy policy = exact(limit);
  RateLimiter limiter(policy);
  const Duration step = Duration{1min} / limit + 1us;
  TimePoint t = kStart;
  for (std::uint32_t i = 0; i < limit; ++i) limiter.allow_at(t += step);
  std::uint32_t admitted = 0;
  std::string buffer;
  for (std::uint32_t i = 0; i < calls; ++i) {
    const Decision d = limiter.allow_at(t += step, 1, headers ? Want::headers : Want::verdict);
    admitted += d.allowed;
    const LimitReport report{&policy, d};
    if (headers) admitted += format_headers({&report, 1}, {}, buffer).empty() ? 1U : 0U;
  }
  return admitted == calls ? 0 : 1;
}

int keys(std::uint32_t count, std::uint32_t calls) {
  KeyedRateLimiter limiter(exact(100), {.max_keys = 2 * count, .seed = {1, 2}});
  // Nine bytes each, whatever the number of keys: the fingerprint's cost is the key's length.
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < count; ++i) {
    names.push_back(std::to_string(100'000'000 + i));
    limiter.allow_at(kStart, names.back());
  }
  std::uint32_t admitted = 0;
  // 7,919 is prime: calls go far across the table.
  for (std::uint32_t i = 0; i < calls; ++i)
    admitted += limiter.allow_at(kStart + 1ms, names[std::uint64_t{i} * 7919 % count]).allowed;
  return admitted == calls ? 0 : 1;
}

std::uint32_t number(const char* text) {
  std::uint32_t value = 0;
  const std::string_view view(text);
  std::from_chars(view.data(), view.data() + view.size(), value);
  return value;
}

}  // namespace
}  // namespace weir::ratelimit

int main(int argc, char** argv) {
  const std::string_view what = argc == 4 ? argv[1] : "";
  const std::uint32_t size = argc == 4 ? weir::ratelimit::number(argv[2]) : 0;
  const std::uint32_t calls = argc == 4 ? weir::ratelimit::number(argv[3]) : 0;
  if (size == 0 || calls == 0) {
    std::fputs("usage: ratelimit_instructions one|keys|headers SIZE CALLS\n", stderr);
    return 2;
  }
  if (what == "keys") return weir::ratelimit::keys(size, calls);
  return weir::ratelimit::one(size, calls, what == "headers");
}
