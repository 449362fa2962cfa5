// The slow, obvious twin of the exact window: every booking in a deque, counted one by one. For tests only.
//
// It counts in the limiter's own ticks (2^shift ns, the smallest with at most 2^32/3 - 2 in a window): a
// booking is rounded up, the present down. That no window of nanoseconds holds more than the limit follows.
#ifndef WEIR_RATELIMIT_INTERNAL_ORACLE_FOR_TESTS_H_
#define WEIR_RATELIMIT_INTERNAL_ORACLE_FOR_TESTS_H_

#include <algorithm>
#include <cstdint>
#include <deque>

#include "weir/base/clock.h"

namespace weir::ratelimit {

class OracleForTests {
 public:
  struct Answer {
    bool allowed = false;
    Duration retry_after{0};
  };

  OracleForTests(std::uint32_t limit, Duration window) : limit_(limit), window_(window.count()) {
    while ((window_ + tick_ - 1) / tick_ > 4294967295 / 3 - 2) tick_ *= 2;
    window_ticks_ = (window_ + tick_ - 1) / tick_;
  }

  Answer allow(TimePoint now, std::uint32_t cost) {
    if (cost > limit_) return {};
    const std::int64_t t = present(now);
    std::uint32_t live = 0;
    for (std::int64_t booked : bookings_) live += in_window(booked, t) ? 1 : 0;
    if (live + cost <= limit_) {
      newest_ = t;
      for (std::uint32_t i = 0; i < cost; ++i) bookings_.push_back(t);
      while (bookings_.size() > limit_) bookings_.pop_front();
      return {true, Duration{0}};
    }
    // The youngest of those that must go first.
    std::uint32_t excess = live + cost - limit_;
    for (std::int64_t booked : bookings_) {
      if (!in_window(booked, t) || --excess != 0) continue;
      return {false, Duration{(up(booked) + window_ticks_) * tick_ - now.time_since_epoch().count()}};
    }
    return {};
  }

  std::uint32_t remaining(TimePoint now) const {
    const std::int64_t t = present(now);
    std::uint32_t live = 0;
    for (std::int64_t booked : bookings_) live += in_window(booked, t) ? 1 : 0;
    return live < limit_ ? limit_ - live : 0;
  }

  void refund(TimePoint now, std::uint32_t cost, TimePoint charged_at) {
    const std::int64_t t = present(now);
    const std::int64_t when = charged_at.time_since_epoch().count();
    for (auto it = bookings_.begin(); it != bookings_.end() && cost > 0;) {
      if (in_window(*it, t) && up(*it) == up(when)) {
        it = bookings_.erase(it);
        --cost;
      } else {
        ++it;
      }
    }
  }

  void set_limit(TimePoint now, std::uint32_t limit) {
    newest_ = present(now);
    limit_ = limit;
    while (bookings_.size() > limit_) bookings_.pop_front();
  }

 private:
  std::int64_t present(TimePoint now) const { return std::max(now.time_since_epoch().count(), newest_); }
  std::int64_t up(std::int64_t ns) const { return ns / tick_ + (ns % tick_ != 0 ? 1 : 0); }
  bool in_window(std::int64_t booked, std::int64_t t) const { return t / tick_ - up(booked) < window_ticks_; }

  std::uint32_t limit_;
  std::int64_t window_;
  std::int64_t tick_ = 1;
  std::int64_t window_ticks_ = 0;
  std::int64_t newest_ = 0;
  std::deque<std::int64_t> bookings_;
};

}  // namespace weir::ratelimit

#endif  // WEIR_RATELIMIT_INTERNAL_ORACLE_FOR_TESTS_H_
