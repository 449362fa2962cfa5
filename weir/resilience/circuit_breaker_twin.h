// The breaker once more, slow and obvious: what circuit_breaker.h promises, written down as plain lists and a
// clock with timers, without a word, an atomic or a mutex. Tests compare the two after every step.
#ifndef WEIR_RESILIENCE_CIRCUIT_BREAKER_TWIN_H_
#define WEIR_RESILIENCE_CIRCUIT_BREAKER_TWIN_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "weir/resilience/circuit_breaker.h"

namespace weir::resilience {

class BreakerTwin {
 public:
  using State = CircuitBreaker::State;
  using Reason = CircuitBreaker::Reason;
  using Options = CircuitBreaker::Options;

  struct Ticket {
    std::uint32_t generation = 0;
    std::uint32_t probe = 0;  // 0: ordinary
    TimePoint start{};
    bool shadow = false;
  };
  struct Probe {
    std::uint32_t name;
    TimePoint ends;
  };
  struct Call {
    std::int64_t bucket;
    bool failed;
    bool slow;
  };
  struct Step {
    State from;
    State to;
    Reason reason;
    TimePoint at;
  };

  explicit BreakerTwin(const Options& options) : o(options) {}

  std::optional<Ticket> enter(TimePoint now) {
    timers(now);
    switch (state) {
      case State::closed:
      case State::forced_closed:
      case State::disabled:
        return Ticket{generation, 0, now, false};
      case State::open:
        if (now < wake) return refuse(now);
        go(State::half_open, Reason::open_time_over, now);
        [[fallthrough]];
      case State::half_open:
        if (out.size() >= o.half_open_probes) return refuse(now);
        out.push_back({++names, now + lease()});
        return Ticket{generation, names, now, false};
      case State::forced_open:
        return refuse(now);
    }
    return std::nullopt;
  }

  void settle(const Ticket& t, Outcome outcome, TimePoint now, std::optional<Duration> latency = {}) {
    if (t.shadow) return;
    timers(now);
    const auto probe =
        std::find_if(out.begin(), out.end(), [&](const Probe& p) { return p.name == t.probe; });
    if (t.generation != generation || (t.probe != 0 && probe == out.end())) {
      ++late[static_cast<std::size_t>(outcome)];
      return;
    }
    const bool slow = o.slow_ratio > 0 && latency.value_or(now - t.start) >= o.slow_call;
    const bool nothing = outcome == Outcome::neutral || (outcome == Outcome::cancelled && !slow);
    const bool bad = outcome == Outcome::failure || outcome == Outcome::throttled;
    if (t.probe != 0) {
      out.erase(probe);
      if (nothing) return;
      if (bad || slow) {
        probe_failed(Reason::probe_failed, now);
      } else if (++succeeded >= o.success_threshold) {
        go(State::closed, Reason::probes_succeeded, now);
      }
      return;
    }
    if (nothing || state == State::disabled) return;
    if (outcome == Outcome::success) run = 0;
    if (outcome == Outcome::failure) ++run;
    if (armed()) {
      newest = std::max(newest, bucket_of(now));
      calls.push_back({newest, bad, slow});
    }
    if (state != State::closed) return;
    if (outcome == Outcome::failure && o.failures_to_open != 0 && run >= o.failures_to_open) {
      return open(Reason::consecutive_failures, now);
    }
    const CircuitBreaker::Window w = window(newest);
    if (w.calls < o.min_calls) return;
    if (o.failure_ratio > 0 && reached(w.failures, w.calls, o.failure_ratio))
      return open(Reason::failure_ratio, now);
    if (o.slow_ratio > 0 && reached(w.slow, w.calls, o.slow_ratio)) return open(Reason::slow_ratio, now);
  }

  void drop(const Ticket& t) {
    if (t.probe == 0 || t.generation != generation) return;
    std::erase_if(out, [&](const Probe& p) { return p.name == t.probe; });
  }

  // Everything that time brings about, one thing after the other.
  void timers(TimePoint now) {
    for (;;) {
      if ((state == State::forced_open || state == State::forced_closed || state == State::disabled) &&
          now >= wake && wake != TimePoint::max()) {
        go(State::closed, Reason::force_over, wake);
        continue;
      }
      const auto first = std::min_element(out.begin(), out.end(),
                                          [](const Probe& a, const Probe& b) { return a.ends < b.ends; });
      if (first == out.end() || now < first->ends) return;
      const TimePoint at = first->ends;
      out.erase(first);
      if (o.lease_end == CircuitBreaker::LeaseEnd::failure) probe_failed(Reason::probe_timed_out, at);
    }
  }

  void force(State to, TimePoint now, std::optional<Duration> for_time) {
    timers(now);
    openings = 0;
    go(to, Reason::forced, now);
    if (for_time) wake = now + *for_time;
  }
  void reset(TimePoint now) {
    timers(now);
    openings = 0;
    go(State::closed, Reason::forced, now);
  }
  void update(const Options& options, TimePoint now) {
    timers(now);
    const bool was_armed = armed();
    const bool other_window = options.window != o.window;
    o = options;
    if (other_window || armed() != was_armed) {
      calls.clear();
      newest = bucket_of(now);
    }
  }

  Duration retry_after(TimePoint now) const {
    if (o.shadow || !refuses(now)) return Duration::zero();
    if (state == State::half_open) {
      TimePoint first = TimePoint::max();
      for (const Probe& p : out) first = std::min(first, p.ends);
      return first - now;
    }
    return wake == TimePoint::max() ? o.open_for : wake - now;
  }

  bool refuses(TimePoint now) const {
    if (state == State::open) return now < wake;
    if (state == State::half_open) return out.size() >= o.half_open_probes;
    return state == State::forced_open;
  }

  // The ten buckets up to `last`.
  CircuitBreaker::Window window(std::int64_t last) const {
    CircuitBreaker::Window w;
    if (!armed()) return w;
    for (const Call& call : calls) {
      if (call.bucket <= last - 10) continue;
      ++w.calls;
      w.failures += call.failed ? 1 : 0;
      w.slow += call.slow ? 1 : 0;
    }
    return w;
  }
  CircuitBreaker::Window window_at(TimePoint now) const { return window(std::max(newest, bucket_of(now))); }

  Options o;
  State state = State::closed;
  std::uint32_t generation = 1;
  std::uint32_t run = 0;
  std::uint32_t succeeded = 0;
  std::uint32_t failed = 0;
  std::uint32_t openings = 0;
  std::uint32_t names = 0;
  TimePoint wake = TimePoint::max();
  TimePoint closed_at{};
  std::vector<Probe> out;
  std::vector<Call> calls;  // of this generation
  std::int64_t newest = 0;
  std::array<std::uint64_t, kOutcomes> late{};
  std::vector<Step> steps;

 private:
  static bool reached(std::uint32_t part, std::uint32_t whole, double ratio) {
    return std::uint64_t{part} * 10'000 >=
           std::uint64_t{whole} * static_cast<std::uint64_t>(std::lround(ratio * 1e4));
  }
  bool armed() const { return o.failure_ratio > 0 || o.slow_ratio > 0; }
  std::int64_t bucket_of(TimePoint now) const { return now.time_since_epoch() / (o.window / 10); }
  Duration lease() const {
    return o.probe_timeout.count() != 0 ? o.probe_timeout
                                        : std::max<Duration>(o.call_timeout, std::chrono::seconds{1});
  }
  std::optional<Ticket> refuse(TimePoint now) const {
    if (!o.shadow) return std::nullopt;
    return Ticket{generation, 0, now, true};
  }
  void probe_failed(Reason reason, TimePoint at) {
    ++failed;
    // Consecutive mode wants all; by ratio alone, only what can no longer be won is lost.
    const bool winnable = o.failures_to_open == 0 && failed + o.success_threshold <= o.half_open_probes;
    if (!winnable) open(reason, at);
  }
  void open(Reason reason, TimePoint at) {
    if (state == State::closed) {
      for (TimePoint t = closed_at + o.open_for; t <= at && openings > 0; t += o.open_for) --openings;
    }
    ++openings;
    double length = static_cast<double>(o.open_for.count());
    if (o.open_backoff) {
      for (std::uint32_t i = 1; i < openings; ++i) {
        length = std::min(length * o.open_backoff->factor, static_cast<double>(o.open_backoff->max.count()));
      }
    }
    go(State::open, reason, at);
    wake = at + Duration{static_cast<Duration::rep>(length)};
  }
  void go(State to, Reason reason, TimePoint at) {
    steps.push_back({state, to, reason, at});
    state = to;
    ++generation;
    run = succeeded = failed = 0;
    wake = TimePoint::max();
    out.clear();
    calls.clear();
    if (to == State::closed || to == State::forced_closed) {
      closed_at = at;
      newest = bucket_of(at);
    }
  }
};

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_CIRCUIT_BREAKER_TWIN_H_
