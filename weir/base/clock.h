// Time, handed in.
//
// No part of weir reads a clock by itself: functions take `TimePoint now`, or are given a Clock. Monotonic time
// measures (windows, timeouts, ages); wall time only names moments for people (logs) and calendars. The two are
// different types, so that one cannot be passed for the other.
//
//   ManualClock clock;                 // tests
//   limiter.allow_at(clock.now(), key);
//   clock.advance(60s);
#ifndef WEIR_BASE_CLOCK_H_
#define WEIR_BASE_CLOCK_H_

#include <chrono>
#include <cstdint>
#include <ratio>

namespace weir {

using Duration = std::chrono::nanoseconds;

// Tag of weir's monotonic time line. It has no now(): time comes from a Clock.
struct Monotonic {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Monotonic, Duration>;
  static constexpr bool is_steady = true;
};

using TimePoint = Monotonic::time_point;
using WallTime = std::chrono::sys_time<Duration>;

// A source of time. Thread-safe in every implementation of weir.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const noexcept = 0;
  virtual WallTime wall_now() const noexcept = 0;
};

// CLOCK_MONOTONIC and CLOCK_REALTIME; a read costs about 20 ns.
class SystemClock final : public Clock {
 public:
  TimePoint now() const noexcept override;
  WallTime wall_now() const noexcept override;
};

// Moves only when told to. Not thread-safe: for tests and the simulation, which have one thread.
class ManualClock final : public Clock {
 public:
  // Starts one hour in, so that tests may look back without leaving the time line.
  explicit ManualClock(TimePoint start = TimePoint{std::chrono::hours{1}},
                       WallTime wall = WallTime{std::chrono::hours{24 * 365 * 50}})
      : now_(start), wall_(wall) {}

  TimePoint now() const noexcept override { return now_; }
  WallTime wall_now() const noexcept override { return wall_; }

  void advance(Duration by) noexcept { now_ += by, wall_ += by; }
  void set(TimePoint to) noexcept { now_ = to; }
  void step_wall(Duration by) noexcept { wall_ += by; }  // what NTP does; monotonic time does not notice

 private:
  TimePoint now_;
  WallTime wall_;
};

}  // namespace weir

#endif  // WEIR_BASE_CLOCK_H_
