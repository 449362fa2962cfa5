#include "weir/resilience/admission_queue.h"

#include <algorithm>

#include "weir/base/check.h"

namespace weir::resilience {
namespace {

// `span` is not negative.
TimePoint minus(TimePoint at, Duration span) noexcept {
  return at.time_since_epoch() < Duration::min() + span ? TimePoint::min() : at - span;
}

}  // namespace

Result<void> AdmissionQueue::validate(const Options& options) {
  const auto bad = [](std::string_view what) {
    return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
  };
  if (options.max_wait <= Duration::zero()) return bad("a queue needs a max_wait above zero");
  if (options.target <= Duration::zero() || options.target > options.max_wait) {
    return bad("target must be above zero and at most max_wait");
  }
  if (options.interval <= Duration::zero()) return bad("interval must be above zero");
  return {};
}

AdmissionQueue::AdmissionQueue(const Options& options) noexcept : options_(options) {
  WEIR_CHECK(validate(options));
}

AdmissionQueue::~AdmissionQueue() {
  for (List& list : tiers_) {
    while (!list.empty()) take_out(list.front());
  }
}

void AdmissionQueue::Waiter::leave() noexcept {
  if (queue_ != nullptr) queue_->take_out(*this);
}

void AdmissionQueue::take_out(Waiter& waiter) noexcept {
  waiter.unlink();
  waiter.queue_ = nullptr;
  --size_;
}

bool AdmissionQueue::may_go(const Waiter& waiter, TimePoint now, Duration service_time) const noexcept {
  if (now - waiter.since_ >= wait_limit(now)) return false;
  return waiter.deadline_.remaining(now) > service_time;
}

AdmissionQueue::Refusal AdmissionQueue::push(Waiter& waiter, TimePoint now, Duration service_time) noexcept {
  WEIR_CHECK(!waiter.waiting());
  if (waiter.deadline_.remaining(now) <= service_time) return Refusal::hopeless;
  if (size_ >= options_.capacity) return Refusal::full;
  if (size_ == 0) standing_since_ = now;
  waiter.queue_ = this;
  waiter.since_ = now;
  tiers_[static_cast<std::size_t>(waiter.priority_)].push_back(waiter);
  ++size_;
  return Refusal::none;
}

AdmissionQueue::Waiter* AdmissionQueue::next(TimePoint now, Duration service_time) noexcept {
  const bool newest_first = overloaded(now);
  for (std::size_t tier = kTiers; tier-- > 0;) {
    List& list = tiers_[tier];
    Waiter* found = nullptr;
    // Those who may no longer go stay for next_dropped(), so the search steps over them.
    list.for_each([&](Waiter& waiter) {
      if ((found == nullptr || newest_first) && may_go(waiter, now, service_time)) found = &waiter;
    });
    if (found != nullptr) {
      take_out(*found);
      return found;
    }
  }
  return nullptr;
}

AdmissionQueue::Waiter* AdmissionQueue::next_dropped(TimePoint now, Duration service_time) noexcept {
  for (List& list : tiers_) {
    Waiter* found = nullptr;
    list.for_each([&](Waiter& waiter) {
      if (found == nullptr && !may_go(waiter, now, service_time)) found = &waiter;
    });
    if (found != nullptr) {
      take_out(*found);
      return found;
    }
  }
  return nullptr;
}

TimePoint AdmissionQueue::next_timeout(Duration service_time) noexcept {
  TimePoint first = TimePoint::max();
  // The limit shrinks to `target` when the queue turns overloaded; whoever is older than that goes at that
  // moment.
  const TimePoint turns = standing_since_ + options_.interval;
  for (List& list : tiers_) {
    list.for_each([&](const Waiter& waiter) {
      const TimePoint patient = waiter.since_ + options_.max_wait;
      const TimePoint pressed = std::max(waiter.since_ + options_.target, turns);
      first = std::min({first, patient, pressed});
      if (!waiter.deadline_.is_never()) first = std::min(first, minus(waiter.deadline_.when(), service_time));
    });
  }
  return first;
}

}  // namespace weir::resilience
