// When a key set is fetched, and what an unknown kid may ask for: the rules without the network.
//
//   KeySchedule schedule(options);
//   if (schedule.due(now)) { schedule.started(now); ... schedule.succeeded(now, ttl, jitter) or schedule.failed(now); }
//   switch (schedule.ask(kid, now)) { case fetch: start one and wait; case wait: one is under way; case no: refuse }
//
//   (1) A good set is fetched anew at 80 % of its life, less a jitter, and stays in use for `stale_if_error` after it.
//   (2) Two fetches lie at least `cooldown` apart, counted from their start, whatever their outcome; only while there is
//       no set at all the wait begins at a second and doubles. So unknown kids cause at most a fetch a cooldown.
//   (3) A kid that a fresh set does not hold is remembered, at most kUnknown of them, so that it waits for nothing.
//
// Values; the caller locks. Every operation is O(1) on average.
#ifndef WEIR_PASSPORT_KEY_SCHEDULE_H_
#define WEIR_PASSPORT_KEY_SCHEDULE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "weir/base/clock.h"

namespace weir::passport {

class KeySchedule {
 public:
  struct Options {
    Duration ttl = std::chrono::minutes{10};  // when the answer does not say
    Duration stale_if_error = std::chrono::hours{24};
    Duration cooldown = std::chrono::seconds{30};
  };
  static constexpr std::size_t kUnknown = 4096;
  static constexpr Duration kTtlMin = std::chrono::seconds{60};
  static constexpr Duration kTtlMax = std::chrono::hours{24};

  explicit KeySchedule(const Options& options) : options_(options) {}

  bool due(TimePoint now) const noexcept { return !running_ && now >= next_; }
  TimePoint next() const noexcept { return next_; }
  bool running() const noexcept { return running_; }
  bool has_keys() const noexcept { return has_keys_; }
  // Since the last success there was a failure: an unknown kid may be good.
  bool failing() const noexcept { return failures_ > 0; }
  // The set is so old that it must not be used any more.
  bool outlived(TimePoint now) const noexcept { return has_keys_ && now >= usable_until_; }

  void started(TimePoint now) noexcept {
    running_ = true;
    started_ = now;
  }
  // `said`: how long the answer says that it is good; zero when it does not. `jitter` in [0, 1).
  void succeeded(TimePoint now, Duration said, double jitter) {
    const Duration ttl = std::clamp(said > Duration::zero() ? said : options_.ttl, kTtlMin, kTtlMax);
    running_ = false;
    has_keys_ = true;
    failures_ = 0;
    unknown_.clear();
    usable_until_ = now + ttl + options_.stale_if_error;
    const auto share = static_cast<Duration::rep>(static_cast<double>(ttl.count()) * (0.8 - 0.1 * jitter));
    next_ = std::max(now + Duration{share}, started_ + options_.cooldown);
  }
  void failed(TimePoint) noexcept {
    running_ = false;
    ++failures_;
    const Duration first = std::chrono::seconds{1};
    const Duration backoff = has_keys_ ? options_.cooldown : first * (1 << std::min(failures_ - 1, 5));
    next_ = started_ + std::min(backoff, options_.cooldown);
  }
  // Keys from a former run: usable, but to be fetched at once.
  void restored(TimePoint now) noexcept {
    has_keys_ = true;
    usable_until_ = now + options_.stale_if_error;
  }
  void emptied() noexcept { has_keys_ = false; }
  // A fetch out of turn, after ask() said so.
  void request(TimePoint now) noexcept { next_ = now; }

  enum class Ask : std::uint8_t { fetch, wait, no };
  Ask ask(std::string_view kid, TimePoint now) {
    if (running_) return Ask::wait;
    if (const auto found = unknown_.find(std::string(kid)); found != unknown_.end()) {
      if (now < found->second) return Ask::no;
      unknown_.erase(found);
    }
    return now >= started_ + options_.cooldown || next_ == TimePoint::min() ? Ask::fetch : Ask::no;
  }
  // After a fetch that did not bring it.
  void remember_unknown(std::string_view kid, TimePoint now) {
    if (unknown_.size() >= kUnknown) unknown_.clear();
    unknown_[std::string(kid)] = now + options_.cooldown;
  }

 private:
  Options options_;
  TimePoint next_ = TimePoint::min();  // at once
  TimePoint started_{std::chrono::hours{-24 * 365}};  // long ago: the first question may fetch
  TimePoint usable_until_{};
  int failures_ = 0;
  bool running_ = false;
  bool has_keys_ = false;
  std::unordered_map<std::string, TimePoint> unknown_;
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_KEY_SCHEDULE_H_
