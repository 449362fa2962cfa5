// Replay: what a rate limit would have decided about calls that are written down, and whether that was right.
//
// A trace is a text file, one call a line: {"t": 12.5, "key": "client-7", "cost": 1}. `t` is seconds, at least 0, to the
// nanosecond; `key` ("" if absent) and `cost` (1 if absent, 0 only looks) may be left out. Lines need not be in the order of
// time: a late call counts as its key's newest one, as in the limiter.
//
//   TraceFile file = read_trace(stream, "calls.jsonl");      // or every fault with line and column
//   Replayed replayed = replay(file.trace, {.algorithm = "exact_window", .policy = policy});
//
// Each decision is compared with brute force: a list of what the limiter itself has admitted, counted by the definition of
// a sliding window, in the limiter's own ticks. "Beyond" are calls admitted although the list had no room; "with room" are
// calls refused although it had.
//
// Besides the library's algorithms there is one to compare with, `two_counter`: this window's count and the last one's,
// weighted by how much of it is still in the window, as many gateways do it. It is no algorithm of weir.
//
// Time and memory are linear in the trace; at most kCallsMost calls.
#ifndef WEIR_SERVER_LIMIT_REPLAY_H_
#define WEIR_SERVER_LIMIT_REPLAY_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/policy.h"

namespace weir::server {

struct Trace {
  struct Call {
    Duration at{};
    std::uint32_t key = 0;  // in `keys`
    std::uint32_t cost = 1;
    std::uint32_t line = 0;
  };
  std::vector<std::string> keys;
  std::vector<Call> calls;
};

struct TraceFile {
  static constexpr std::size_t kCallsMost = 50'000'000;
  static constexpr std::size_t kFaultsMost = 20;

  Trace trace;
  std::vector<std::string> faults;  // "name:line:column: what"; with any of them the trace is not to be used
};
TraceFile read_trace(std::istream& in, std::string_view name);

inline constexpr std::string_view kTwoCounter = "two_counter";

struct ReplayOptions {
  std::string algorithm;     // of the library, or kTwoCounter
  ratelimit::Policy policy;  // its algorithm is not looked at
};

struct Replayed {
  std::string algorithm;                       // with "automatic" resolved
  std::vector<ratelimit::Decision> decisions;  // one a call, in the order of the trace
  std::uint64_t allowed = 0;                   // calls that took something
  std::uint64_t refused = 0;
  std::uint64_t looks = 0;           // calls of cost 0
  std::uint64_t units = 0;           // taken
  std::uint64_t most_in_window = 0;  // units of one key in its fullest (t - window, t]
  std::uint64_t beyond = 0;
  std::uint64_t with_room = 0;
};

// Error invalid_argument: a policy that the algorithm cannot have, `concurrency` (nothing in a trace says when a place
// comes free), or an unknown name.
Result<Replayed> replay(const Trace& trace, const ReplayOptions& options);

// How many units of the window before each moment one key has been given: a step function, by time.
struct WindowSeries {
  struct Step {
    Duration at{};
    std::uint64_t units = 0;  // from here to the next step
  };
  std::string name;
  std::vector<Step> steps;
  std::uint64_t most = 0;
};
WindowSeries window_series(const Trace& trace, const Replayed& replayed, std::uint32_t key, Duration window);

// The key with the most calls; of equals the first.
std::uint32_t busiest_key(const Trace& trace);

}  // namespace weir::server

#endif  // WEIR_SERVER_LIMIT_REPLAY_H_
