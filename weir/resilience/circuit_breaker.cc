// The word and the mutex share the work:
//
//   (1) Generation and state change only under mutex_, by move_locked(); so do the probe counters.
//   (2) The run of failures grows only under mutex_, but a success clears it by compare-exchange without it.
//       So the read-modify-write of the run is a loop, and every other write of the word is a plain store:
//       the store makes the success's compare-exchange fail, and on its next turn it finds that its
//       generation is over.
//   (3) Word and wake_at_ are exchanged in three stores: wake_at_ := the past, word, wake_at_. A refusal
//       reads word, wake_at_, word: if the words are equal and wake_at_ lies ahead, the two belong together;
//       else it looks again under the mutex. (With two stores, in either order, a caller can be refused by a
//       pair that never was.)
//   (4) What time has brought about is done first by whoever holds the mutex (advance_locked), at the moment
//       it was due, so that the result does not depend on who noticed.
//   (5) Reports are filled under the mutex and delivered after it.
//
// Semantics after research on other breakers: an answer of an older generation decides nothing (resilience4j,
// Polly, Sentinel, failsafe-go and linkerd let it), a lost probe ends by its lease (resilience4j #2289, Polly
// #1979), a cancelled call is no success (Polly) and no failure (gobreaker). Each has a test in
// circuit_breaker_regression_test.cc; interleaving_test.cc tries every order of the steps of (1) to (4) on
// this code.
#include "weir/resilience/circuit_breaker.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace weir::resilience {
namespace {

using State = CircuitBreaker::State;
using Reason = CircuitBreaker::Reason;

constexpr std::uint32_t kProbesMax = 64;        // 8 bits in the word, and a scan of that many leases
constexpr std::uint32_t kThresholdMax = 1000;   // 10 bits in the word
constexpr std::uint32_t kRunMax = 1'000'000;    // 28 bits in the word
constexpr std::uint32_t kMinCallsMax = 32'767;  // what a bucket holds for certain: outcome_window.h (3)
constexpr Duration kOpenMax = std::chrono::hours{24 * 30};
constexpr Duration kWindowMin = std::chrono::milliseconds{10};
constexpr Duration kWindowMax = std::chrono::hours{24};
constexpr Duration kLeaseMin = std::chrono::seconds{1};  // where nobody says how long a call may take
constexpr double kShareUnit = 10'000;  // ratios are compared as whole 1/10000, so that 0.1 of 30 is 3

std::uint32_t share_of(double ratio) noexcept {
  // A ratio above zero stays above zero: zero would turn the rule off.
  if (ratio <= 0) return 0;
  return std::max(1U, static_cast<std::uint32_t>(std::lround(ratio * kShareUnit)));
}

bool share_reached(std::uint32_t part, std::uint32_t whole, std::uint32_t share) noexcept {
  return share != 0 && std::uint64_t{part} * 10'000 >= std::uint64_t{whole} * share;
}

// Saturates. `span` is not negative.
TimePoint plus(TimePoint at, Duration span) noexcept {
  return at.time_since_epoch() > Duration::max() - span ? TimePoint::max() : at + span;
}

bool admits_all(State state) noexcept {
  return state == State::closed || state == State::forced_closed || state == State::disabled;
}

Error bad(std::string_view what) {
  return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
}

}  // namespace

std::string_view to_string(CircuitBreaker::State state) noexcept {
  constexpr std::string_view names[] = {"closed",      "open",          "half_open",
                                        "forced_open", "forced_closed", "disabled"};
  return names[static_cast<std::size_t>(state)];
}

std::string_view to_string(CircuitBreaker::Reason reason) noexcept {
  constexpr std::string_view names[] = {"consecutive_failures", "failure_ratio", "slow_ratio",
                                        "open_time_over",       "probe_failed",  "probe_timed_out",
                                        "probes_succeeded",     "forced",        "force_over"};
  return names[static_cast<std::size_t>(reason)];
}

Result<void> CircuitBreaker::validate(const Options& o) {
  // Written so that a NaN is refused too.
  const auto is_share = [](double ratio) { return ratio >= 0 && ratio <= 1; };
  if (!is_share(o.failure_ratio)) return bad("failure_ratio must lie between 0 and 1");
  if (!is_share(o.slow_ratio)) return bad("slow_ratio must lie between 0 and 1");
  if (o.failures_to_open > kRunMax) return bad("failures_to_open must be at most 1000000");
  if (o.failures_to_open == 0 && o.failure_ratio == 0 && o.slow_ratio == 0) {
    return bad("nothing can open the breaker: set failures_to_open, failure_ratio or slow_ratio");
  }
  if (o.slow_call < Duration::zero()) return bad("slow_call must not be negative");
  if (o.slow_ratio > 0 && o.slow_call == Duration::zero()) return bad("slow_ratio needs slow_call");
  if (o.min_calls < 1 || o.min_calls > kMinCallsMax) return bad("min_calls must lie between 1 and 32767");
  if (o.window < kWindowMin || o.window > kWindowMax) return bad("window must lie between 10ms and 24h");
  if (o.open_for <= Duration::zero() || o.open_for > kOpenMax) {
    return bad("open_for must be above zero and at most 30d");
  }
  if (o.open_backoff) {
    const Backoff& backoff = *o.open_backoff;
    if (!(backoff.factor >= 1 && backoff.factor <= 100))
      return bad("open_backoff.factor must lie between 1 and 100");
    if (!is_share(backoff.jitter)) return bad("open_backoff.jitter must lie between 0 and 1");
    if (backoff.max < o.open_for || backoff.max > kOpenMax) {
      return bad("open_backoff.max must be at least open_for and at most 30d");
    }
  }
  if (o.half_open_probes < 1 || o.half_open_probes > kProbesMax) {
    return bad("half_open_probes must lie between 1 and 64");
  }
  if (o.success_threshold < 1 || o.success_threshold > kThresholdMax) {
    return bad("success_threshold must lie between 1 and 1000");
  }
  if (o.call_timeout < Duration::zero() || o.probe_timeout < Duration::zero()) {
    return bad("call_timeout and probe_timeout must not be negative");
  }
  return {};
}

CircuitBreaker::CircuitBreaker(const Options& options, Sink sink, std::uint64_t seed)
    : word_(make_word(1, State::closed, 0)),
      wake_at_(TimePoint::max().time_since_epoch().count()),
      options_(options),
      random_(seed),
      sink_(std::move(sink)) {
  WEIR_CHECK(validate(options));
  apply_locked(options);
  window_.reset(1, options.window / static_cast<Duration::rep>(internal::OutcomeWindow::kBuckets),
                TimePoint{});
}

void CircuitBreaker::apply_locked(const Options& options) noexcept {
  constexpr auto relaxed = std::memory_order_relaxed;
  options_ = options;
  if (leases_.size() < options.half_open_probes) leases_.resize(options.half_open_probes);
  hot_.failures_to_open.store(options.failures_to_open, relaxed);
  hot_.half_open_probes.store(options.half_open_probes, relaxed);
  hot_.failure_share.store(share_of(options.failure_ratio), relaxed);
  hot_.slow_share.store(share_of(options.slow_ratio), relaxed);
  hot_.min_calls.store(options.min_calls, relaxed);
  hot_.slow_call.store(options.slow_call.count(), relaxed);
  hot_.open_for.store(options.open_for.count(), relaxed);
  hot_.shadow.store(options.shadow, relaxed);
}

// ---- entering

TimePoint CircuitBreaker::refused_until(std::uint64_t word, TimePoint now) const noexcept {
  switch (state_of(word)) {
    case State::open:
    case State::forced_open:
      break;
    case State::half_open:
      if (probes_of(word).in_flight < hot_.half_open_probes.load(std::memory_order_relaxed))
        return kNotRefused;
      break;
    default:
      return kNotRefused;
  }
  // Acquire: the second look at the word may not move before the look at wake_at_.
  const TimePoint wake = wake_at();
  if (now >= wake || word_.load(std::memory_order_acquire) != word) return kNotRefused;
  return wake;
}

bool CircuitBreaker::would_refuse(TimePoint now) const noexcept {
  const std::uint64_t word = word_.load(std::memory_order_acquire);
  return refused_until(word, now) != kNotRefused && !hot_.shadow.load(std::memory_order_relaxed);
}

std::optional<CircuitBreaker::Ticket> CircuitBreaker::enter_slow(TimePoint now) noexcept {
  const std::uint64_t word = word_.load(std::memory_order_acquire);
  if (refused_until(word, now) == kNotRefused) {
    if (auto ticket = enter_under_mutex(now)) return ticket;
  }
  if (!hot_.shadow.load(std::memory_order_relaxed)) return std::nullopt;
  return Ticket(this, now, generation_of(word_.load(std::memory_order_relaxed)), Ticket::kShadow);
}

// Apart from enter_slow(), so that a refusal does not pay for the report's stack frame.
std::optional<CircuitBreaker::Ticket> CircuitBreaker::enter_under_mutex(TimePoint now) noexcept {
  std::optional<Ticket> ticket;
  Report report;
  {
    std::lock_guard lock(mutex_);
    ticket = enter_locked(now, report);
  }
  deliver(report);
  return ticket;
}

std::optional<CircuitBreaker::Ticket> CircuitBreaker::enter_locked(TimePoint now, Report& report) noexcept {
  advance_locked(now, report);
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  if (admits_all(state_of(word))) return Ticket(this, now, generation_of(word), 0);
  if (state_of(word) == State::forced_open) return std::nullopt;
  if (state_of(word) == State::open) {
    if (now < wake_at()) return std::nullopt;
    move_locked(State::half_open, TimePoint::max(), {.reason = Reason::open_time_over, .at = now, .tags = {}},
                report);
    word = word_.load(std::memory_order_relaxed);
  }
  Probes probes = probes_of(word);
  if (probes.in_flight >= options_.half_open_probes) return std::nullopt;

  Lease* lease = find_lease_locked(0);
  WEIR_CHECK(lease != nullptr);
  do {
    ++last_probe_;
  } while (last_probe_ == 0 || last_probe_ == Ticket::kShadow);
  const Duration length = options_.probe_timeout > Duration::zero()
                              ? options_.probe_timeout
                              : std::max(options_.call_timeout, kLeaseMin);
  *lease = Lease{.probe = last_probe_, .ends = plus(now, length)};
  ++probes.in_flight;
  store_probes_locked(probes);
  return Ticket(this, now, generation_of(word), last_probe_);
}

// ---- settling

CircuitBreaker::Verdict CircuitBreaker::judge(Outcome outcome, Duration elapsed) const noexcept {
  Verdict verdict;
  verdict.slow = hot_.slow_share.load(std::memory_order_relaxed) != 0 &&
                 elapsed.count() >= hot_.slow_call.load(std::memory_order_relaxed);
  switch (outcome) {
    case Outcome::success:
      verdict.ends_run = true;
      break;
    case Outcome::failure:
      verdict.failed = verdict.in_a_row = true;
      break;
    case Outcome::throttled:
      verdict.failed = true;
      break;
    case Outcome::cancelled:
      // A caller with less patience than the upstream's limit must not hide that nobody answers.
      verdict.ignored = !verdict.slow;
      break;
    case Outcome::neutral:
      verdict.ignored = true;
      break;
  }
  return verdict;
}

void CircuitBreaker::count_late(Outcome outcome) noexcept {
  late_[static_cast<std::size_t>(outcome)].fetch_add(1, std::memory_order_relaxed);
}

void CircuitBreaker::settle(std::uint32_t generation, std::uint32_t probe, TimePoint start, Outcome outcome,
                            TimePoint now, const Detail& detail) noexcept {
  if (probe == Ticket::kShadow) return;
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  if (state_of(word) != State::closed && now >= wake_at()) {
    tick(now);
    word = word_.load(std::memory_order_relaxed);
  }
  if (generation_of(word) != generation) return count_late(outcome);
  const Verdict verdict = judge(outcome, detail.latency ? *detail.latency : now - start);
  if (probe != 0) return settle_probe(generation, probe, verdict, outcome, now, detail);
  if (verdict.ignored || state_of(word) == State::disabled) return;
  if (verdict.in_a_row) return settle_failure(generation, verdict, now, detail);
  settle_lightly(generation, verdict, outcome, now, detail);
}

bool CircuitBreaker::end_run(std::uint32_t generation) noexcept {
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  while (generation_of(word) == generation) {
    if (detail_of(word) == 0) return true;
    // Relaxed: the run of failures guards no other data.
    if (word_.compare_exchange_weak(word, word & ~std::uint64_t{kDetailMask}, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

std::uint32_t CircuitBreaker::lengthen_run_locked() noexcept {
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  for (;;) {
    // Stays at its bound, which no threshold exceeds.
    if (detail_of(word) >= kRunMax) return kRunMax;
    if (word_.compare_exchange_weak(word, word + 1, std::memory_order_relaxed)) return detail_of(word) + 1;
  }
}

bool CircuitBreaker::window_armed() const noexcept {
  return (hot_.failure_share.load(std::memory_order_relaxed) |
          hot_.slow_share.load(std::memory_order_relaxed)) != 0;
}

std::optional<Reason> CircuitBreaker::ratio_exceeded(std::uint32_t generation) const noexcept {
  const auto counts = window_.sum(generation);
  if (counts.calls < hot_.min_calls.load(std::memory_order_relaxed)) return std::nullopt;
  if (share_reached(counts.failures, counts.calls, hot_.failure_share.load(std::memory_order_relaxed))) {
    return Reason::failure_ratio;
  }
  if (share_reached(counts.slow, counts.calls, hot_.slow_share.load(std::memory_order_relaxed))) {
    return Reason::slow_ratio;
  }
  return std::nullopt;
}

void CircuitBreaker::settle_lightly(std::uint32_t generation, const Verdict& verdict, Outcome outcome,
                                    TimePoint now, const Detail& detail) noexcept {
  if (verdict.ends_run && !end_run(generation)) return count_late(outcome);
  if (!window_armed()) return;
  if (window_.behind(now) || !window_.add(generation, verdict.failed, verdict.slow)) {
    std::lock_guard lock(mutex_);
    if (generation_of(word_.load(std::memory_order_relaxed)) != generation) return count_late(outcome);
    add_locked(generation, verdict, now);
  }
  // Adding and looking are two steps: a reset or an opening that falls between them has the last word.
  if (!ratio_exceeded(generation)) return;

  Report report;
  {
    std::lock_guard lock(mutex_);
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if (generation_of(word) != generation || state_of(word) != State::closed) return;
    const std::optional<Reason> reason = ratio_exceeded(generation);
    if (!reason) return;
    std::array<std::uint64_t, kTagsKept> tags;
    open_locked({.reason = *reason,
                 .at = now,
                 .run = detail_of(word),
                 .retry_after = detail.retry_after,
                 .tags = last_tags_locked(kTagsKept, tags)},
                report);
  }
  deliver(report);
}

void CircuitBreaker::add_locked(std::uint32_t generation, const Verdict& verdict, TimePoint now) noexcept {
  window_.rotate(now);
  // Under the mutex neither the generation nor the running bucket can change.
  WEIR_CHECK(window_.add(generation, verdict.failed, verdict.slow));
}

void CircuitBreaker::settle_failure(std::uint32_t generation, const Verdict& verdict, TimePoint now,
                                    const Detail& detail) noexcept {
  Report report;
  {
    std::lock_guard lock(mutex_);
    if (generation_of(word_.load(std::memory_order_relaxed)) != generation)
      return count_late(Outcome::failure);
    remember_tag_locked(detail.tag);
    if (window_armed()) add_locked(generation, verdict, now);
    const std::uint32_t run = lengthen_run_locked();
    if (state_of(word_.load(std::memory_order_relaxed)) != State::closed) return;

    std::array<std::uint64_t, kTagsKept> tags;
    Cause cause{.reason = Reason::consecutive_failures,
                .at = now,
                .run = run,
                .retry_after = detail.retry_after,
                .tags = {}};
    if (options_.failures_to_open != 0 && run >= options_.failures_to_open) {
      cause.tags = last_tags_locked(run, tags);
      open_locked(cause, report);
    } else if (const std::optional<Reason> reason = ratio_exceeded(generation)) {
      cause.reason = *reason;
      cause.tags = last_tags_locked(kTagsKept, tags);
      open_locked(cause, report);
    }
  }
  deliver(report);
}

void CircuitBreaker::settle_probe(std::uint32_t generation, std::uint32_t probe, const Verdict& verdict,
                                  Outcome outcome, TimePoint now, const Detail& detail) noexcept {
  Report report;
  {
    std::lock_guard lock(mutex_);
    advance_locked(now, report);
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    Lease* lease = generation_of(word) == generation ? find_lease_locked(probe) : nullptr;
    if (lease == nullptr) {
      count_late(outcome);
    } else {
      lease->probe = 0;
      Probes probes = probes_of(word);
      --probes.in_flight;
      const bool failed = !verdict.ignored && (verdict.failed || verdict.slow);
      const bool succeeded = !verdict.ignored && !failed;
      probes.failed += failed ? 1 : 0;
      probes.succeeded += succeeded ? 1 : 0;
      store_probes_locked(probes);
      if (failed && probes.failed > tolerated_probe_failures_locked()) {
        open_locked({.reason = Reason::probe_failed,
                     .at = now,
                     .retry_after = detail.retry_after,
                     .tags = std::span(&detail.tag, 1)},
                    report);
      } else if (succeeded && probes.succeeded >= options_.success_threshold) {
        move_locked(State::closed, TimePoint::max(),
                    {.reason = Reason::probes_succeeded, .at = now, .tags = {}}, report);
      }
    }
  }
  deliver(report);
}

void CircuitBreaker::abandon_probe(std::uint32_t generation, std::uint32_t probe) noexcept {
  std::lock_guard lock(mutex_);
  const std::uint64_t word = word_.load(std::memory_order_relaxed);
  if (generation_of(word) != generation) return;
  Lease* lease = find_lease_locked(probe);
  if (lease == nullptr) return;
  lease->probe = 0;
  Probes probes = probes_of(word);
  --probes.in_flight;
  store_probes_locked(probes);
}

// ---- time

void CircuitBreaker::tick(TimePoint now) noexcept {
  if (now < wake_at()) return;
  Report report;
  {
    std::lock_guard lock(mutex_);
    advance_locked(now, report);
  }
  deliver(report);
}

void CircuitBreaker::advance_locked(TimePoint now, Report& report) noexcept {
  for (;;) {
    const TimePoint wake = wake_at();
    if (now < wake || wake == TimePoint::max()) return;
    switch (state_of(word_.load(std::memory_order_relaxed))) {
      case State::half_open: {
        const auto due = std::min_element(leases_.begin(), leases_.end(), [](const Lease& a, const Lease& b) {
          return (a.probe != 0 ? a.ends : TimePoint::max()) < (b.probe != 0 ? b.ends : TimePoint::max());
        });
        expire_probe_locked(*due, report);
        break;
      }
      case State::forced_open:
      case State::forced_closed:
      case State::disabled:
        move_locked(State::closed, TimePoint::max(), {.reason = Reason::force_over, .at = wake, .tags = {}},
                    report);
        break;
      case State::open:    // becomes half_open by somebody who wants to call
      case State::closed:  // time alone changes nothing
        return;
    }
  }
}

void CircuitBreaker::expire_probe_locked(Lease& lease, Report& report) noexcept {
  const TimePoint at = lease.ends;
  lease.probe = 0;
  Probes probes = probes_of(word_.load(std::memory_order_relaxed));
  --probes.in_flight;
  const bool failed = options_.lease_end == LeaseEnd::failure;
  probes.failed += failed ? 1 : 0;
  store_probes_locked(probes);
  if (failed && probes.failed > tolerated_probe_failures_locked()) {
    open_locked({.reason = Reason::probe_timed_out, .at = at, .tags = {}}, report);
  }
}

std::uint32_t CircuitBreaker::tolerated_probe_failures_locked() const noexcept {
  // Who opens after failures in a row wants none of the probes to fail. By ratio alone, the trial goes on
  // while success_threshold of half_open_probes can still be reached.
  if (options_.failures_to_open != 0) return 0;
  return options_.half_open_probes > options_.success_threshold
             ? options_.half_open_probes - options_.success_threshold
             : 0;
}

Duration CircuitBreaker::next_open_time_locked(State from, TimePoint at, Duration retry_after) noexcept {
  if (from == State::closed && openings_ != 0) {
    // Each open_for spent closed takes one step of growth back.
    const Duration healthy = std::max(Duration::zero(), at - closed_at_);
    const auto steps = static_cast<std::uint64_t>(healthy / options_.open_for);
    openings_ = steps >= openings_ ? 0 : openings_ - static_cast<std::uint32_t>(steps);
  }
  if (openings_ < std::numeric_limits<std::uint32_t>::max()) ++openings_;
  if (!options_.open_backoff) return options_.open_for;

  const Backoff& backoff = *options_.open_backoff;
  const auto most = static_cast<double>(backoff.max.count());
  double length = static_cast<double>(options_.open_for.count()) * std::pow(backoff.factor, openings_ - 1);
  length = std::min(length, most);
  const double unit = static_cast<double>(random_() >> 11) * 0x1.0p-53;  // [0, 1)
  length *= 1 + backoff.jitter * (2 * unit - 1);
  length = std::max(length, static_cast<double>(retry_after.count()));
  return std::clamp(Duration{static_cast<Duration::rep>(std::min(length, most))}, Duration{1}, backoff.max);
}

void CircuitBreaker::open_locked(const Cause& cause, Report& report) noexcept {
  const State from = state_of(word_.load(std::memory_order_relaxed));
  const Duration length = next_open_time_locked(from, cause.at, cause.retry_after);
  move_locked(State::open, plus(cause.at, length), cause, report);
}

void CircuitBreaker::move_locked(State to, TimePoint wake, const Cause& cause, Report& report) noexcept {
  const std::uint64_t word = word_.load(std::memory_order_relaxed);
  const std::uint32_t generation = generation_of(word) + 1;
  WEIR_CHECK(report.count < report.steps.size());
  Transition& step = report.steps[report.count++];
  step.from = state_of(word);
  step.to = to;
  step.reason = cause.reason;
  step.generation = generation;
  step.at = cause.at;
  if (wake != TimePoint::max()) step.next_probe_at = wake;
  step.consecutive_failures = cause.run;
  if (window_armed()) {
    const auto counts = window_.sum(generation_of(word));
    step.window = {counts.calls, counts.failures, counts.slow};
  }
  step.tag_count = std::min(cause.tags.size(), kTagsKept);
  std::copy_n(cause.tags.begin(), step.tag_count, step.tags.begin());

  for (Lease& lease : leases_) lease.probe = 0;
  tags_seen_ = 0;
  if (to == State::closed || to == State::forced_closed) {
    window_.reset(generation, options_.window / static_cast<Duration::rep>(internal::OutcomeWindow::kBuckets),
                  cause.at);
    closed_at_ = cause.at;
  }
  publish_locked(make_word(generation, to, 0), wake);
}

// ---- helpers under the mutex

CircuitBreaker::Lease* CircuitBreaker::find_lease_locked(std::uint32_t probe) noexcept {
  for (Lease& lease : leases_) {
    if (lease.probe == probe) return &lease;
  }
  return nullptr;
}

void CircuitBreaker::store_probes_locked(Probes probes) noexcept {
  TimePoint first = TimePoint::max();
  for (const Lease& lease : leases_) {
    if (lease.probe != 0) first = std::min(first, lease.ends);
  }
  const std::uint64_t word = word_.load(std::memory_order_relaxed);
  publish_locked(make_word(generation_of(word), State::half_open, detail_from(probes)), first);
}

void CircuitBreaker::publish_locked(std::uint64_t word, TimePoint wake) noexcept {
  // Release on the word: who sees it sees the past in wake_at_ and the emptied window. Release on the last
  // store: who sees the new moment sees the new word.
  wake_at_.store(TimePoint::min().time_since_epoch().count(), std::memory_order_relaxed);
  word_.store(word, std::memory_order_release);
  wake_at_.store(wake.time_since_epoch().count(), std::memory_order_release);
}

void CircuitBreaker::remember_tag_locked(std::uint64_t tag) noexcept {
  tags_[tags_seen_++ % kTagsKept] = tag;
}

std::span<const std::uint64_t> CircuitBreaker::last_tags_locked(
    std::size_t wanted, std::span<std::uint64_t, kTagsKept> out) const noexcept {
  const std::size_t count = std::min({wanted, tags_seen_, kTagsKept});
  for (std::size_t i = 0; i < count; ++i) out[i] = tags_[(tags_seen_ - count + i) % kTagsKept];
  return out.first(count);
}

void CircuitBreaker::deliver(const Report& report) const noexcept {
  if (!sink_) return;
  for (std::size_t i = 0; i < report.count; ++i) sink_(report.steps[i]);
}

// ---- looking and steering

Duration CircuitBreaker::retry_after(TimePoint now) const noexcept {
  const std::uint64_t word = word_.load(std::memory_order_acquire);
  const TimePoint until = refused_until(word, now);
  if (until == kNotRefused || hot_.shadow.load(std::memory_order_relaxed)) return Duration::zero();
  if (until == TimePoint::max()) return Duration{hot_.open_for.load(std::memory_order_relaxed)};
  return until - now;
}

CircuitBreaker::Snapshot CircuitBreaker::snapshot(TimePoint now) const noexcept {
  Snapshot snapshot;
  std::lock_guard lock(mutex_);
  const std::uint64_t word = word_.load(std::memory_order_relaxed);
  snapshot.state = state_of(word);
  snapshot.generation = generation_of(word);
  if (snapshot.state == State::half_open) {
    const Probes probes = probes_of(word);
    snapshot.probes_in_flight = probes.in_flight;
    snapshot.probes_succeeded = probes.succeeded;
    snapshot.probes_failed = probes.failed;
  } else {
    snapshot.consecutive_failures = detail_of(word);
  }
  if (window_armed()) {
    const auto counts = window_.sum_at(snapshot.generation, now);
    snapshot.window = {counts.calls, counts.failures, counts.slow};
  }
  snapshot.openings_in_a_row = openings_;
  snapshot.next_change_at = wake_at();
  for (const auto& late : late_) snapshot.late_results += late.load(std::memory_order_relaxed);
  return snapshot;
}

void CircuitBreaker::force(State state, TimePoint now, std::optional<Duration> for_time) noexcept {
  WEIR_CHECK(state == State::forced_open || state == State::forced_closed || state == State::disabled);
  Report report;
  {
    std::lock_guard lock(mutex_);
    advance_locked(now, report);
    openings_ = 0;
    const TimePoint until = for_time ? plus(now, std::max(Duration::zero(), *for_time)) : TimePoint::max();
    move_locked(state, until, {.reason = Reason::forced, .at = now, .tags = {}}, report);
  }
  deliver(report);
}

void CircuitBreaker::reset(TimePoint now) noexcept {
  Report report;
  {
    std::lock_guard lock(mutex_);
    advance_locked(now, report);
    openings_ = 0;
    move_locked(State::closed, TimePoint::max(), {.reason = Reason::forced, .at = now, .tags = {}}, report);
  }
  deliver(report);
}

void CircuitBreaker::update(const Options& options, TimePoint now) {
  WEIR_CHECK(validate(options));
  Report report;
  {
    std::lock_guard lock(mutex_);
    advance_locked(now, report);
    const bool was_armed = window_armed();
    const bool other_window = options.window != options_.window;
    apply_locked(options);
    if (other_window || window_armed() != was_armed) {
      window_.reset(generation_of(word_.load(std::memory_order_relaxed)),
                    options.window / static_cast<Duration::rep>(internal::OutcomeWindow::kBuckets), now);
    }
  }
  deliver(report);
}

}  // namespace weir::resilience
