#include "weir/base/clock.h"

#include <ctime>

namespace weir {
namespace {

Duration read_clock(clockid_t id) noexcept {
  timespec time{};
  ::clock_gettime(id, &time);
  return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

}  // namespace

TimePoint SystemClock::now() const noexcept { return TimePoint{read_clock(CLOCK_MONOTONIC)}; }
WallTime SystemClock::wall_now() const noexcept { return WallTime{read_clock(CLOCK_REALTIME)}; }

}  // namespace weir
