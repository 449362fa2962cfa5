// A circuit breaker: stops asking an upstream that keeps failing, and finds out when it has recovered.
//
//   closed --(failures in a row, or too large a share of failed or slow calls)--> open
//   open --(open_for has passed and somebody asks)--> half_open: at most half_open_probes calls at a time
//   half_open --(success_threshold probes succeed)--> closed
//   half_open --(a probe fails or its lease runs out)--> open
//
//   CircuitBreaker breaker({.failures_to_open = 5, .open_for = 30s});
//   auto ticket = breaker.try_enter(now);
//   if (!ticket) return refuse(503, breaker.retry_after(now));
//   ... call the upstream ...
//   ticket->settle(Outcome::success, now);        // a ticket that is dropped unsettled counts as nothing
//
// What holds, whatever threads and answers do:
//
//   (1) A ticket belongs to the generation it was issued in; every change of state begins a new one. A ticket
//       of an older generation changes nothing but late_results(): an answer from before the trip decides no
//       probe.
//   (2) The failure that makes failures_to_open in a row opens; a success in between starts the count anew.
//   (3) Never more probes are out than half_open_probes, and each has a lease: when it has run out without an
//       answer the probe has failed (or counts as nothing), so half_open cannot last for ever.
//   (4) A ticket settles at most once. Dropped unsettled it gives its probe's place back and counts nowhere.
//   (5) Time is the `now` of the callers, monotonic. Nothing happens between calls, but each call first does
//       what a timer would have done by then, dated at the moment it was due. A `now` that is a little behind
//       another thread's is harmless.
//   (6) State, generation, run of failures and probe counters are one 64-bit word. A closed breaker admits
//       with one relaxed load of it; a success after a success writes nothing; a refusal writes nothing.
//
// Every member may be called from any thread, but the constructor and destructor; the breaker must outlive
// its tickets. Failures, probes and transitions take a mutex for some tens of nanoseconds; the sink is called
// outside of it. What it costs: resilience_bench. Proved in circuit_breaker_model_test.cc (every sequence to
// length 8, every interleaving of four tickets) and interleaving_test.cc (every order of the steps of
// threads).
#ifndef WEIR_RESILIENCE_CIRCUIT_BREAKER_H_
#define WEIR_RESILIENCE_CIRCUIT_BREAKER_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/check.h"
#include "weir/base/clock.h"
#include "weir/base/random.h"
#include "weir/base/result.h"
#include "weir/resilience/internal/outcome_window.h"
#include "weir/resilience/internal/sync.h"
#include "weir/resilience/outcome.h"

namespace weir::resilience {

class CircuitBreaker {
 public:
  enum class State : std::uint8_t {
    closed,         // everybody may call
    open,           // nobody, until open_for has passed
    half_open,      // a few probes
    forced_open,    // nobody, until reset() or the end of the force
    forced_closed,  // everybody; outcomes are counted, nothing opens
    disabled,       // everybody; nothing is counted
  };

  enum class Reason : std::uint8_t {
    consecutive_failures,
    failure_ratio,
    slow_ratio,
    open_time_over,    // open -> half_open
    probe_failed,      // also: slow with slow_ratio armed, or throttled
    probe_timed_out,   // its lease ran out
    probes_succeeded,  // half_open -> closed
    forced,            // force() or reset()
    force_over,        // the time given to force() has passed
  };

  enum class LeaseEnd : std::uint8_t { failure, neutral };

  // Growth of the open time. Absent: open_for, exactly, each time.
  struct Backoff {
    double factor = 2.0;                     // each opening in a row lasts factor times longer
    Duration max = std::chrono::minutes{5};  // never longer, jitter and Retry-After included
    double jitter = 0.2;                     // plus or minus this share; 0 to 1
  };

  struct Options {
    // Which rules may open; at least one is armed. All may be; the one that opened is in Transition::reason.
    std::uint32_t failures_to_open = 5;  // in a row; 0: off
    double failure_ratio = 0.0;          // share of failed and throttled calls in the window, 0 to 1; 0: off
    double slow_ratio = 0.0;             // share of calls that took slow_call or longer; 0: off
    Duration slow_call{0};               // needed by slow_ratio
    std::uint32_t min_calls = 20;        // the ratios look only at windows with so many calls; 1 to 32767
    Duration window = std::chrono::seconds{10};  // ten buckets: the last nine tenths and the running one

    Duration open_for = std::chrono::seconds{30};
    std::optional<Backoff> open_backoff = std::nullopt;

    std::uint32_t half_open_probes = 1;   // at a time; 1 to 64
    std::uint32_t success_threshold = 1;  // successful probes that close; 1 to 1000
    Duration call_timeout{0};             // the caller's own limit for one call, for the next line
    Duration probe_timeout{0};            // lease of a probe; 0: max(call_timeout, 1 s)
    LeaseEnd lease_end = LeaseEnd::failure;

    bool shadow = false;  // decides and reports as ever, but lets everybody through
  };

  // Error invalid_argument: which option is out of its range, and the range.
  static Result<void> validate(const Options& options);

  struct Window {
    std::uint32_t calls = 0;
    std::uint32_t failures = 0;  // throttled ones included
    std::uint32_t slow = 0;
  };

  static constexpr std::size_t kTagsKept = 16;

  // One change of state. Generations count up by one, so reports that overtake each other can be put in
  // order.
  struct Transition {
    State from = State::closed;
    State to = State::closed;
    Reason reason = Reason::forced;
    std::uint32_t generation = 0;  // the one that began
    TimePoint at{};                // when it was due, which may be before the call that noticed
    TimePoint next_probe_at{};     // when `to` is open; also the end of a timed force. Else zero
    std::uint32_t consecutive_failures = 0;
    Window window;  // zeros unless a ratio is armed
    // Tags of the failures that led here, oldest first: those of the run (at most the last kTagsKept), those
    // of the window's generation when a ratio opened, the probe's own when it failed.
    std::span<const std::uint64_t> failed_tags() const noexcept { return {tags.data(), tag_count}; }

    std::array<std::uint64_t, kTagsKept> tags{};
    std::size_t tag_count = 0;
  };

  // Called after each change of state, by the thread that made it, without any lock held: it may ask the
  // breaker. It must not throw. Two threads may be in it at once.
  using Sink = std::function<void(const Transition&)>;

  // What settle() may be told beside the outcome.
  struct Detail {
    std::uint64_t tag = 0;  // the caller's name for the request (an id, a pointer); kept for failures
    std::optional<Duration> latency =
        std::nullopt;         // time to the answer's head; absent: from try_enter() to settle()
    Duration retry_after{0};  // what the upstream asked for; heeded under open_backoff, up to its max
  };

  struct Snapshot {
    State state = State::closed;
    std::uint32_t generation = 0;
    std::uint32_t consecutive_failures = 0;  // closed
    Window window;                           // closed, with a ratio armed
    std::uint32_t probes_in_flight = 0;      // half_open
    std::uint32_t probes_succeeded = 0;
    std::uint32_t probes_failed = 0;
    std::uint32_t openings_in_a_row = 0;
    TimePoint next_change_at = TimePoint::max();  // when time alone changes something; max: never
    std::uint64_t late_results = 0;
  };

  class Ticket;

  // Options that validate() refuses stop the program. `seed` drives the jitter of open_backoff only.
  explicit CircuitBreaker(const Options& options, Sink sink = {}, std::uint64_t seed = 1);
  CircuitBreaker() : CircuitBreaker(Options()) {}
  CircuitBreaker(const CircuitBreaker&) = delete;
  CircuitBreaker& operator=(const CircuitBreaker&) = delete;

  // Leave to call the upstream now, or nothing. Ask only when the call will really be made.
  [[nodiscard]] std::optional<Ticket> try_enter(TimePoint now) noexcept;

  // Would try_enter() refuse at this moment? Takes nothing, writes nothing: for a look before a scarcer place
  // is taken. Always false in shadow.
  bool would_refuse(TimePoint now) const noexcept;

  // Time until somebody may be let through: the rest of the open time; with all probes out, until the first
  // lease ends; zero when a call would be admitted; open_for when forced open without an end. What
  // Retry-After wants.
  Duration retry_after(TimePoint now) const noexcept;

  // Does what is due by `now`: ends leases and forces. Needed only if nobody calls for a long time and the
  // state shown should not be an old one. Does not turn open into half_open: that takes somebody who wants to
  // call.
  void tick(TimePoint now) noexcept;

  State state() const noexcept { return state_of(word_.load(std::memory_order_relaxed)); }
  Snapshot snapshot(TimePoint now) const noexcept;
  // State and run of failures as they stand in the word, without the mutex: for who notes the word at every call and
  // reads it later.
  struct Glance {
    State state;
    std::uint32_t consecutive_failures;  // 0 but in closed and forced_closed
  };
  std::uint64_t word() const noexcept { return word_.load(std::memory_order_relaxed); }
  static constexpr Glance read(std::uint64_t word) noexcept {
    const State state = state_of(word);
    const bool counts = state == State::closed || state == State::forced_closed;
    return {state, counts ? detail_of(word) : 0};
  }
  // Answers that came too late to count, by outcome, since construction.
  std::uint64_t late_results(Outcome outcome) const noexcept {
    return late_[static_cast<std::size_t>(outcome)].load(std::memory_order_relaxed);
  }

  // Goes to forced_open, forced_closed or disabled, and back to closed after `for_time` (absent: never by
  // itself).
  void force(State state, TimePoint now, std::optional<Duration> for_time = std::nullopt) noexcept;
  // To closed with empty counters, from any state.
  void reset(TimePoint now) noexcept;

  // New thresholds, kept state: what is open stays open until its time, a run of failures goes on. Another
  // `window`, or the first ratio, starts with an empty window. validate() first.
  void update(const Options& options, TimePoint now);

 private:
  friend class CircuitBreakerPeer;  // tests look at the word

  // The word: generation << 32 | state << 28 | detail.
  //   closed, forced_closed: detail = failures in a row
  //   half_open:             detail = failed << 18 | succeeded << 8 | in flight
  static constexpr std::uint32_t kDetailMask = (1U << 28) - 1;
  static constexpr std::uint64_t make_word(std::uint32_t generation, State state,
                                           std::uint32_t detail) noexcept {
    return std::uint64_t{generation} << 32 | std::uint64_t{static_cast<std::uint8_t>(state)} << 28 | detail;
  }
  static constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
  }
  static constexpr State state_of(std::uint64_t word) noexcept {
    return static_cast<State>(word >> 28 & 0xf);
  }
  static constexpr std::uint32_t detail_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word) & kDetailMask;
  }

  struct Probes {
    std::uint32_t in_flight = 0;
    std::uint32_t succeeded = 0;
    std::uint32_t failed = 0;
  };
  static constexpr Probes probes_of(std::uint64_t word) noexcept {
    const std::uint32_t detail = detail_of(word);
    return {detail & 0xff, detail >> 8 & 0x3ff, detail >> 18};
  }
  static constexpr std::uint32_t detail_from(Probes probes) noexcept {
    return probes.failed << 18 | probes.succeeded << 8 | probes.in_flight;
  }

  // Numbers of options that settle() reads without the mutex.
  struct Hot {
    internal::Atomic<std::uint32_t> failures_to_open{0};
    internal::Atomic<std::uint32_t> half_open_probes{1};
    internal::Atomic<std::uint32_t> failure_share{0};  // in 1/10000; 0: off
    internal::Atomic<std::uint32_t> slow_share{0};
    internal::Atomic<std::uint32_t> min_calls{1};
    internal::Atomic<Duration::rep> slow_call{0};
    internal::Atomic<Duration::rep> open_for{0};
    internal::Atomic<bool> shadow{false};
  };

  struct Lease {
    std::uint32_t probe = 0;  // 0: free
    TimePoint ends{};
  };

  // What one call may have to report: at most two steps by time, one by itself.
  struct Report {
    std::array<Transition, 3> steps;
    std::size_t count = 0;
  };

  struct Verdict {
    bool ignored = false;   // counts nowhere
    bool failed = false;    // for the ratio and for a probe
    bool in_a_row = false;  // for the run
    bool slow = false;
    bool ends_run = false;  // a success
  };

  // Why a breaker opens.
  struct Cause {
    Reason reason;
    TimePoint at;
    std::uint32_t run = 0;
    Duration retry_after{0};
    std::span<const std::uint64_t> tags;
  };

  std::optional<Ticket> enter_slow(TimePoint now) noexcept;
  [[gnu::noinline]] std::optional<Ticket> enter_under_mutex(TimePoint now) noexcept;
  std::optional<Ticket> enter_locked(TimePoint now, Report& report) noexcept;
  // Until when `word` refuses a caller of `now`, if that can be told without the mutex; else kNotRefused. (No
  // optional: it costs a refusal twice as much as all the rest.)
  static constexpr TimePoint kNotRefused = TimePoint::min();
  TimePoint refused_until(std::uint64_t word, TimePoint now) const noexcept;

  void settle(std::uint32_t generation, std::uint32_t probe, TimePoint start, Outcome outcome, TimePoint now,
              const Detail& detail) noexcept;
  // All but failures: no mutex unless a ratio opens or the window moves on.
  void settle_lightly(std::uint32_t generation, const Verdict& verdict, Outcome outcome, TimePoint now,
                      const Detail& detail) noexcept;
  void settle_failure(std::uint32_t generation, const Verdict& verdict, TimePoint now,
                      const Detail& detail) noexcept;
  void settle_probe(std::uint32_t generation, std::uint32_t probe, const Verdict& verdict, Outcome outcome,
                    TimePoint now, const Detail& detail) noexcept;
  void abandon_probe(std::uint32_t generation, std::uint32_t probe) noexcept;
  Verdict judge(Outcome outcome, Duration elapsed) const noexcept;
  void count_late(Outcome outcome) noexcept;
  bool end_run(std::uint32_t generation) noexcept;  // false: the generation is over
  std::uint32_t lengthen_run_locked() noexcept;
  void add_locked(std::uint32_t generation, const Verdict& verdict, TimePoint now) noexcept;

  bool window_armed() const noexcept;
  std::optional<Reason> ratio_exceeded(std::uint32_t generation) const noexcept;

  void advance_locked(TimePoint now, Report& report) noexcept;
  void expire_probe_locked(Lease& lease, Report& report) noexcept;
  void open_locked(const Cause& cause, Report& report) noexcept;
  void move_locked(State to, TimePoint wake, const Cause& cause, Report& report) noexcept;
  Duration next_open_time_locked(State from, TimePoint at, Duration retry_after) noexcept;
  Lease* find_lease_locked(std::uint32_t probe) noexcept;
  void store_probes_locked(Probes probes) noexcept;
  void publish_locked(std::uint64_t word, TimePoint wake) noexcept;
  std::uint32_t tolerated_probe_failures_locked() const noexcept;
  void remember_tag_locked(std::uint64_t tag) noexcept;
  std::span<const std::uint64_t> last_tags_locked(std::size_t wanted,
                                                  std::span<std::uint64_t, kTagsKept> out) const noexcept;
  void apply_locked(const Options& options) noexcept;
  void deliver(const Report& report) const noexcept;

  TimePoint wake_at() const noexcept { return TimePoint{Duration{wake_at_.load(std::memory_order_acquire)}}; }

  // Read by every caller, written by transitions (and by the first success after a failure).
  alignas(64) internal::Atomic<std::uint64_t> word_;
  // The moment at which time alone changes something: end of the open time, of the first lease, of a force.
  // While the word that it belongs to is being exchanged it lies in the past, which sends readers to the
  // mutex.
  internal::Atomic<Duration::rep> wake_at_;
  Hot hot_;

  internal::OutcomeWindow window_;

  // Generation and state change only under the mutex; so do all fields below.
  mutable internal::Mutex mutex_;
  Options options_;
  std::vector<Lease> leases_;
  std::uint32_t last_probe_ = 0;
  std::array<std::uint64_t, kTagsKept> tags_{};
  std::size_t tags_seen_ = 0;  // in this generation; the newest is at (tags_seen_ - 1) % kTagsKept
  std::uint32_t openings_ = 0;
  TimePoint closed_at_{};
  base::Random random_;

  const Sink sink_;
  std::array<internal::Atomic<std::uint64_t>, kOutcomes> late_{};
};

// "closed", "consecutive_failures" and so on: stable, usable as metric labels.
std::string_view to_string(CircuitBreaker::State state) noexcept;
std::string_view to_string(CircuitBreaker::Reason reason) noexcept;

// Leave for one call. Move-only, 24 bytes.
class [[nodiscard]] CircuitBreaker::Ticket {
 public:
  Ticket(Ticket&& other) noexcept
      : breaker_(std::exchange(other.breaker_, nullptr)),
        start_(other.start_),
        generation_(other.generation_),
        probe_(other.probe_) {}
  Ticket& operator=(Ticket&& other) noexcept {
    if (this != &other) {
      abandon();
      breaker_ = std::exchange(other.breaker_, nullptr);
      start_ = other.start_;
      generation_ = other.generation_;
      probe_ = other.probe_;
    }
    return *this;
  }
  ~Ticket() { abandon(); }

  // Reports how the call ended. At most once: a second time is a bug and stops the program.
  void settle(Outcome outcome, TimePoint now, const Detail& detail) noexcept {
    WEIR_CHECK(breaker_ != nullptr);
    std::exchange(breaker_, nullptr)->settle(generation_, probe_, start_, outcome, now, detail);
  }
  void settle(Outcome outcome, TimePoint now) noexcept { settle(outcome, now, Detail()); }

  // Gives it back unsettled, as the destructor does.
  void abandon() noexcept {
    if (breaker_ == nullptr) return;
    CircuitBreaker* breaker = std::exchange(breaker_, nullptr);
    if (is_probe()) breaker->abandon_probe(generation_, probe_);
  }

  // False once settled, abandoned or moved from.
  explicit operator bool() const noexcept { return breaker_ != nullptr; }
  bool is_probe() const noexcept { return probe_ != 0 && probe_ != kShadow; }
  // The breaker is in shadow and would have refused; settling this ticket counts nothing.
  bool is_shadow() const noexcept { return probe_ == kShadow; }
  std::uint32_t generation() const noexcept { return generation_; }
  TimePoint start() const noexcept { return start_; }

 private:
  friend class CircuitBreaker;
  static constexpr std::uint32_t kShadow = 0xffffffffU;
  Ticket(CircuitBreaker* breaker, TimePoint start, std::uint32_t generation, std::uint32_t probe) noexcept
      : breaker_(breaker), start_(start), generation_(generation), probe_(probe) {}

  CircuitBreaker* breaker_;
  TimePoint start_;
  std::uint32_t generation_;
  std::uint32_t probe_;  // 0: ordinary call; else the name of its lease
};

inline std::optional<CircuitBreaker::Ticket> CircuitBreaker::try_enter(TimePoint now) noexcept {
  // Relaxed: the ticket carries the generation it saw, and settle() looks again. A caller that slips in while
  // another thread opens is one that came a moment earlier.
  const std::uint64_t word = word_.load(std::memory_order_relaxed);
  if (state_of(word) == State::closed) [[likely]]
    return Ticket(this, now, generation_of(word), 0);
  return enter_slow(now);
}

}  // namespace weir::resilience

#endif  // WEIR_RESILIENCE_CIRCUIT_BREAKER_H_
