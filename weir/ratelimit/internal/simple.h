// The algorithms whose state is a word or two: gcra, token_bucket, fixed_window, concurrency.
//
//   Gcra         `newest` = theoretical arrival time (ATM Forum TM 4.0's virtual scheduling), ns; `meta` =
//                time of the newest booking. A call of n at t is admitted iff max(tat, t) + n * spacing - t
//                <= burst * spacing, with t never before that booking. A tat in the past is a key never seen.
//   TokenBucket  `meta` = debt in units of 1/window_ticks token, `newest` = tick at which that was true. A
//                tick pays `limit` units back, a token costs window_ticks: integers only, no rounding at any
//                rate.
//   FixedWindow  `newest` = number of the calendar window, `meta` = units in it. `now` comes on the wall's
//                line.
//   Concurrency  `meta` = units out.
//
// Each has the members of ExactWindow with the same meaning. All O(1). Checked against rows from throttled
// and golang.org/x/time/rate and against slow twins in simple_test.cc.
#ifndef WEIR_RATELIMIT_INTERNAL_SIMPLE_H_
#define WEIR_RATELIMIT_INTERNAL_SIMPLE_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "weir/ratelimit/decision.h"
#include "weir/ratelimit/internal/cell.h"
#include "weir/ratelimit/internal/events.h"
#include "weir/ratelimit/internal/params.h"

namespace weir::ratelimit::internal {

// What was taken from a bucket; what is below empty apart, since a booking holds one full bucket at most.
inline void export_bucket(Events& out, std::int64_t at, std::uint64_t units, std::uint32_t full) {
  const auto taken = static_cast<std::uint32_t>(std::min<std::uint64_t>(units, full));
  out.push_back({at, taken});
  if (units > taken)
    out.push_back({at, static_cast<std::uint32_t>(std::min<std::uint64_t>(units - taken, full))});
}

class Gcra {
 public:
  Gcra(const Params& params, Cell& cell, Slab&, std::int64_t now) noexcept
      : p_(params), cell_(cell), now_(now) {
    present_ = std::max(now, static_cast<std::int64_t>(cell.meta.mine()));
    tat_ = std::max(present_, cell.newest.mine());
  }

  std::int64_t effective() const noexcept { return present_; }
  bool fits(std::uint32_t cost, std::int64_t* wait) const noexcept {
    *wait = tat_ - now_ + cost * p_.spacing_ns - p_.tolerance_ns;
    return *wait <= present_ - now_;
  }
  void book(std::uint32_t cost) noexcept {
    // charge() may go below empty, by one full bucket at most.
    tat_ = std::min(tat_ + cost * p_.spacing_ns, std::max(tat_, present_ + 2 * p_.tolerance_ns));
    save();
  }
  void refund(std::uint32_t cost, std::int64_t) noexcept {
    // Never fuller than full; a cost that is more than all of it must not overflow.
    const bool all = p_.spacing_ns == 0 || cost > (tat_ - present_) / p_.spacing_ns;
    tat_ = all ? present_ : tat_ - cost * p_.spacing_ns;
    save();
  }
  void describe(Decision& d) const noexcept {
    const std::int64_t ahead = tat_ - present_;
    const std::int64_t free = p_.tolerance_ns - ahead;
    if (ahead == 0 || p_.spacing_ns == 0) {
      d.remaining = p_.shown_limit;
      return;
    }
    d.remaining = free > 0 ? static_cast<std::uint32_t>(free / p_.spacing_ns) : 0;
    d.next_after = Duration{(std::int64_t{d.remaining} + 1) * p_.spacing_ns - free + present_ - now_};
    d.reset_after = Duration{tat_ - now_};
  }
  void export_events(Events& out) const {
    if (tat_ == present_ || p_.spacing_ns == 0) return;
    const std::int64_t units = (tat_ - present_ + p_.spacing_ns - 1) / p_.spacing_ns;
    export_bucket(out, present_, static_cast<std::uint64_t>(units), p_.shown_limit);
  }

 private:
  void save() noexcept {
    cell_.newest.store(tat_);
    cell_.meta.store(static_cast<std::uint64_t>(present_));
  }

  const Params& p_;
  Cell& cell_;
  std::int64_t now_;
  std::int64_t present_;
  std::int64_t tat_;
};

inline bool gcra_refuses(const FastParams& fast, const Cell& cell, std::int64_t now, Decision& d) noexcept {
  const std::int64_t spacing = fast.a.load();
  const std::int64_t tolerance = fast.b.load();
  const std::int64_t present = std::max(now, static_cast<std::int64_t>(cell.meta.load()));
  const std::int64_t opens = cell.newest.load() + spacing - tolerance;
  if (opens <= present) return false;
  d.retry_after = d.next_after = Duration{opens - now};
  d.reset_after = Duration{opens - spacing + tolerance - now};
  return true;
}

// The same for an admission, under the lock.
inline bool gcra_takes_one(const FastParams& fast, Cell& cell, std::int64_t now, Decision& d) noexcept {
  const std::int64_t present = std::max(now, static_cast<std::int64_t>(cell.meta.mine()));
  const std::int64_t tat = std::max(present, cell.newest.mine()) + fast.a.mine();
  if (tat - present > fast.b.mine()) return false;
  cell.newest.store(tat);
  cell.meta.store(static_cast<std::uint64_t>(present));
  d.allowed = true;
  d.limit = static_cast<std::uint32_t>(fast.window.mine() >> 32);
  d.charged_at = TimePoint{Duration{present}};
  return true;
}

class TokenBucket {
 public:
  TokenBucket(const Params& params, Cell& cell, Slab&, std::int64_t now) noexcept
      : p_(params), cell_(cell), now_(now), at_(instant(now, params.shift)), debt_(cell.meta.mine()) {
    last_ = cell.newest.mine();
    if (debt_ != 0 && at_.floor > last_) {
      const auto ticks = static_cast<std::uint64_t>(at_.floor - last_);
      debt_ = p_.limit == 0 ? debt_ : ticks > debt_ / p_.limit ? 0 : debt_ - ticks * p_.limit;
      last_ = at_.floor;
    }
    // Debt begins at the tick after its booking, never before it.
    if (debt_ == 0) last_ = std::max(last_, at_.ceil);
  }

  std::int64_t effective() const noexcept { return now_; }
  bool fits(std::uint32_t cost, std::int64_t* wait) const noexcept {
    const std::uint64_t after = debt_ + std::uint64_t{cost} * p_.window_ticks;
    if (after <= p_.bucket_units) return true;
    *wait = until_paid(after - p_.bucket_units);
    return false;
  }
  void book(std::uint32_t cost) noexcept {
    // charge() may go below empty, by one full bucket at most.
    debt_ = std::min(debt_ + std::uint64_t{cost} * p_.window_ticks, 2 * p_.bucket_units);
    save();
  }
  void refund(std::uint32_t cost, std::int64_t) noexcept {
    debt_ -= std::min(debt_, std::uint64_t{cost} * p_.window_ticks);
    save();
  }
  void describe(Decision& d) const noexcept {
    const std::uint64_t free = p_.bucket_units > debt_ ? p_.bucket_units - debt_ : 0;
    d.remaining = p_.window_ticks == 0 ? 0 : static_cast<std::uint32_t>(free / p_.window_ticks);
    if (debt_ == 0) return;
    const std::uint64_t next = std::uint64_t{d.remaining + 1} * p_.window_ticks;  // free units wanted
    d.next_after = Duration{until_paid(debt_ + next - p_.bucket_units)};
    d.reset_after = Duration{until_paid(debt_)};
  }
  void export_events(Events& out) const {
    if (debt_ == 0) return;
    export_bucket(out, now_, (debt_ + p_.window_ticks - 1) / p_.window_ticks, p_.shown_limit);
  }

 private:
  std::int64_t until_paid(std::uint64_t units) const noexcept {
    if (p_.limit == 0) return 0;
    const auto ticks = static_cast<std::int64_t>((units + p_.limit - 1) / p_.limit);
    return ((last_ + ticks) << p_.shift) - now_;
  }
  void save() noexcept {
    cell_.newest.store(last_);
    cell_.meta.store(debt_);
  }

  const Params& p_;
  Cell& cell_;
  std::int64_t now_;
  Instant at_;
  std::uint64_t debt_;
  std::int64_t last_;
};

class FixedWindow {
 public:
  FixedWindow(const Params& params, Cell& cell, Slab&, std::int64_t now) noexcept
      : p_(params), cell_(cell), now_(now), window_(divide_down(now, params.window_ns)) {
    count_ = static_cast<std::uint32_t>(cell.meta.mine());
    const std::int64_t newest = cell.newest.mine();
    if (newest < window_) count_ = 0;
    if (wall_was_wrong(newest, now, params.window_ns)) count_ = 0;
    if (count_ != 0) window_ = newest;  // a wall clock that steps back a little stays in the later window
  }

  std::int64_t effective() const noexcept { return std::max(now_, window_ * p_.window_ns); }
  bool fits(std::uint32_t cost, std::int64_t* wait) const noexcept {
    *wait = end() - now_;
    return count_ <= p_.limit && cost <= p_.limit - count_;
  }
  void book(std::uint32_t cost) noexcept {
    count_ += std::min(cost, std::numeric_limits<std::uint32_t>::max() - count_);
    save();
  }
  void refund(std::uint32_t cost, std::int64_t when) noexcept {
    if (divide_down(when, p_.window_ns) != window_) return;
    count_ -= std::min(count_, cost);
    save();
  }
  void describe(Decision& d) const noexcept {
    d.remaining = p_.limit > count_ ? p_.limit - count_ : 0;
    if (count_ != 0) d.next_after = d.reset_after = Duration{end() - now_};
  }
  void export_events(Events& out) const {
    if (count_ != 0) out.push_back({effective(), count_});
  }

 private:
  std::int64_t end() const noexcept { return (window_ + 1) * p_.window_ns; }
  void save() noexcept {
    cell_.newest.store(window_);
    cell_.meta.store(count_);
  }

  const Params& p_;
  Cell& cell_;
  std::int64_t now_;
  std::int64_t window_;
  std::uint32_t count_;
};

inline bool fixed_refuses(const FastParams& fast, std::uint64_t head, const Cell& cell, std::int64_t now,
                          Decision& d) noexcept {
  const auto limit = static_cast<std::uint32_t>(head >> 32);
  const std::uint64_t count = cell.meta.load();
  const std::int64_t newest = cell.newest.load();
  const std::int64_t window = fast.a.load();
  if (window <= 0 || count < limit || newest < divide_down(now, window)) return false;
  if (wall_was_wrong(newest, now, window)) return false;
  d.retry_after = d.next_after = d.reset_after = Duration{(newest + 1) * window - now};
  return true;
}

class Concurrency {
 public:
  Concurrency(const Params& params, Cell& cell, Slab&, std::int64_t now) noexcept
      : p_(params), cell_(cell), now_(now), out_(static_cast<std::uint32_t>(cell.meta.mine())) {}

  std::int64_t effective() const noexcept { return now_; }
  bool fits(std::uint32_t cost, std::int64_t*) const noexcept {
    return out_ <= p_.limit && cost <= p_.limit - out_;
  }
  void book(std::uint32_t cost) noexcept {
    out_ += std::min(cost, std::numeric_limits<std::uint32_t>::max() - out_);
    cell_.meta.store(out_);
  }
  void refund(std::uint32_t cost, std::int64_t) noexcept {
    out_ -= std::min(out_, cost);
    cell_.meta.store(out_);
  }
  void describe(Decision& d) const noexcept { d.remaining = p_.limit > out_ ? p_.limit - out_ : 0; }
  void export_events(Events& out) const {
    if (out_ != 0) out.push_back({now_, out_});
  }

 private:
  const Params& p_;
  Cell& cell_;
  std::int64_t now_;
  std::uint32_t out_;
};

}  // namespace weir::ratelimit::internal

#endif  // WEIR_RATELIMIT_INTERNAL_SIMPLE_H_
