#include "weir/server/limit_replay.h"

#include <algorithm>
#include <array>
#include <deque>
#include <istream>
#include <memory>
#include <unordered_map>
#include <utility>

#include "weir/base/check.h"
#include "weir/base/strings.h"
#include "weir/ratelimit/keyed_limiter.h"
#include "weir/server/flat_json.h"

namespace weir::server {
namespace {

using ratelimit::Decision;
using ratelimit::Policy;

constexpr std::int64_t kSecond = 1'000'000'000;
// A time line of 64 bits ends after 292 years; the longest window has to fit behind.
constexpr std::uint64_t kSecondsMost = 200ULL * 366 * 24 * 3600;

// "12.000000001": exactly, without a double. No exponent: nobody writes times like that by intention.
std::optional<Duration> seconds_of(std::string_view digits) {
  const std::size_t point = digits.find('.');
  const std::optional<std::uint64_t> whole = base::parse_u64(digits.substr(0, point));
  if (!whole || *whole > kSecondsMost) return std::nullopt;
  std::int64_t nanoseconds = 0;
  if (point != std::string_view::npos) {
    const std::string_view fraction = digits.substr(point + 1);
    if (fraction.size() > 9) return std::nullopt;
    std::string padded(fraction);
    padded.resize(9, '0');
    const std::optional<std::uint64_t> parsed = base::parse_u64(padded);
    if (!parsed) return std::nullopt;
    nanoseconds = static_cast<std::int64_t>(*parsed);
  }
  return Duration{static_cast<std::int64_t>(*whole) * kSecond + nanoseconds};
}

class TraceReader {
 public:
  explicit TraceReader(std::string_view name) : name_(name) {}

  void line(std::string_view text, std::uint32_t number) {
    if (base::trim(text).empty()) return;
    const Result<FlatJson> json = FlatJson::parse(text, number);
    if (!json) return fault(json.error().detail);
    Trace::Call call;
    call.line = number;
    for (const FlatJson::Member& member : json->members())
      if (!known(member)) return;
    const FlatJson::Member* at = json->find("t");
    if (at == nullptr) return fault(std::to_string(number) + ":1: `t` is missing: the seconds of the call");
    const std::optional<Duration> seconds =
        at->kind == FlatJson::Kind::number ? seconds_of(at->text) : std::nullopt;
    if (!seconds)
      return fault(at->value_at.to_text() +
                   ": `t` is a number of seconds from 0 to 200 years, at most nine digits behind the point");
    call.at = *seconds;
    const FlatJson::Member* key = json->find("key");
    if (key != nullptr && key->kind != FlatJson::Kind::text)
      return fault(key->value_at.to_text() + ": `key` is a text");
    const FlatJson::Member* cost = json->find("cost");
    if (cost != nullptr) {
      const std::optional<std::uint64_t> units = cost->whole();
      if (!units || *units > UINT32_MAX)
        return fault(cost->value_at.to_text() + ": `cost` is a whole number from 0 to 4294967295");
      call.cost = static_cast<std::uint32_t>(*units);
    }
    call.key = index_of(key == nullptr ? std::string_view() : std::string_view(key->text));
    file_.trace.calls.push_back(call);
  }

  void fault(const std::string& what) { file_.faults.push_back(std::string(name_) + ":" + what); }
  bool full() const {
    return file_.faults.size() >= TraceFile::kFaultsMost || file_.trace.calls.size() >= TraceFile::kCallsMost;
  }
  TraceFile finish() { return std::move(file_); }

 private:
  bool known(const FlatJson::Member& member) {
    static constexpr std::array<std::string_view, 3> kKnown{"t", "key", "cost"};
    if (std::find(kKnown.begin(), kKnown.end(), member.name) != kKnown.end()) return true;
    const std::string_view near = base::closest(member.name, kKnown);
    fault(member.at.to_text() + ": unknown member" +
          (near.empty() ? "" : " (did you mean `" + std::string(near) + "`?)") +
          "; known are t, key and cost");
    return false;
  }

  std::uint32_t index_of(std::string_view key) {
    const auto [known, made] =
        indices_.try_emplace(std::string(key), static_cast<std::uint32_t>(file_.trace.keys.size()));
    if (made) file_.trace.keys.emplace_back(key);
    return known->second;
  }

  std::string_view name_;
  TraceFile file_;
  std::unordered_map<std::string, std::uint32_t> indices_;
};

// Brute force: what one key has been given, by the definition of a sliding window.
class Given {
 public:
  Given(std::uint32_t limit, Duration window) : limit_(limit), window_(window.count()) {
    // The limiter's tick: 2^n ns, so many that a window has about 10^9 (limiter.h).
    while ((window_ + tick_ - 1) / tick_ > UINT32_MAX / 3 - 2) tick_ *= 2;
    window_ticks_ = (window_ + tick_ - 1) / tick_;
  }

  // Forgets nothing: a refused call may be later than the next one.
  bool has_room(std::int64_t at, std::uint32_t cost) const {
    std::uint64_t gone = 0;
    for (auto one = live_.begin(); one != live_.end() && has_left(*one, std::max(at, newest_)); ++one)
      gone += one->second;
    return live_units_ - gone + std::max(1U, cost) <= limit_;
  }

  void book(std::int64_t at, std::uint32_t cost) {
    newest_ = std::max(at, newest_);
    while (!live_.empty() && has_left(live_.front(), newest_)) {
      live_units_ -= live_.front().second;
      live_.pop_front();
    }
    live_.emplace_back(newest_, cost);
    live_units_ += cost;
    window_list_.emplace_back(newest_, cost);
    window_units_ += cost;
    while (window_list_.front().first <= newest_ - window_) {
      window_units_ -= window_list_.front().second;
      window_list_.pop_front();
    }
    most_ = std::max(most_, window_units_);
  }

  std::uint64_t most() const { return most_; }

 private:
  using Booking = std::pair<std::int64_t, std::uint32_t>;  // moment, units

  bool has_left(const Booking& one, std::int64_t now) const {
    return now / tick_ - up(one.first) >= window_ticks_;
  }
  std::int64_t up(std::int64_t ns) const { return ns / tick_ + (ns % tick_ != 0 ? 1 : 0); }

  std::uint64_t limit_;
  std::int64_t window_;
  std::int64_t tick_ = 1;
  std::int64_t window_ticks_ = 0;
  std::int64_t newest_ = 0;
  std::deque<Booking> live_, window_list_;  // by ticks; by nanoseconds
  std::uint64_t live_units_ = 0, window_units_ = 0, most_ = 0;
};

class TwoCounter {
 public:
  bool allow(std::int64_t at, std::uint32_t cost, std::uint32_t limit, Duration window) {
    const std::int64_t now = std::max(at, newest_);
    newest_ = now;
    if (const std::int64_t index = now / window.count(); index != window_) {
      last_ = index == window_ + 1 ? current_ : 0;
      current_ = 0;
      window_ = index;
    }
    const double inside = 1 - static_cast<double>(now % window.count()) / static_cast<double>(window.count());
    if (static_cast<double>(last_) * inside + static_cast<double>(current_ + std::max(1U, cost)) > limit)
      return false;
    current_ += cost;
    return true;
  }

 private:
  std::int64_t window_ = 0, newest_ = 0;
  std::uint64_t last_ = 0, current_ = 0;
};

// Whichever decides; one call at a time.
class Decider {
 public:
  Decider(const Trace& trace, const Policy& policy, bool two_counter) : trace_(trace), policy_(policy) {
    if (two_counter) {
      counters_.resize(trace.keys.size());
      return;
    }
    ratelimit::KeyedRateLimiter::Options options;
    // Twice the keys: no shard runs full, so no key is counted in the sketch.
    options.max_keys =
        static_cast<std::uint32_t>(std::min<std::size_t>(1024 + 2 * trace.keys.size(), UINT32_MAX / 2));
    limiter_ = std::make_unique<ratelimit::KeyedRateLimiter>(policy, options);
  }

  Decision decide(const Trace::Call& call) {
    if (limiter_ != nullptr)
      return limiter_->allow_at(TimePoint{call.at}, trace_.keys[call.key], call.cost,
                                ratelimit::Want::headers);
    Decision decision;
    decision.allowed = counters_[call.key].allow(call.at.count(), call.cost, policy_.limit, policy_.window);
    decision.limit = policy_.limit;
    decision.reason = decision.allowed ? ratelimit::Reason::ok : ratelimit::Reason::over_limit;
    decision.charged_at = TimePoint{call.at};
    return decision;
  }

 private:
  const Trace& trace_;
  const Policy& policy_;
  std::unique_ptr<ratelimit::KeyedRateLimiter> limiter_;
  std::vector<TwoCounter> counters_;
};

}  // namespace

TraceFile read_trace(std::istream& in, std::string_view name) {
  TraceReader reader(name);
  std::string line;
  std::uint32_t number = 0;
  while (!reader.full() && std::getline(in, line)) reader.line(line, ++number);
  if (in.bad()) reader.fault(std::to_string(number + 1) + ":1: cannot be read");
  TraceFile file = reader.finish();
  if (file.trace.calls.size() >= TraceFile::kCallsMost && std::getline(in, line))
    file.faults.push_back(std::string(name) + ":" + std::to_string(number + 1) +
                          ":1: more than 50 million calls");
  return file;
}

Result<Replayed> replay(const Trace& trace, const ReplayOptions& options) {
  Policy policy = options.policy;
  const bool two_counter = options.algorithm == kTwoCounter;
  policy.algorithm =
      two_counter ? ratelimit::Algorithm::automatic : ratelimit::algorithm_from(options.algorithm);
  if (policy.algorithm == ratelimit::Algorithm::automatic && !two_counter && options.algorithm != "automatic")
    return Error(ErrorCode::invalid_argument, "no algorithm is called " + options.algorithm);
  if (policy.algorithm == ratelimit::Algorithm::concurrency)
    return Error(ErrorCode::invalid_argument,
                 "a trace does not say when a place of `concurrency` comes free");
  const bool bucket = policy.algorithm == ratelimit::Algorithm::gcra ||
                      policy.algorithm == ratelimit::Algorithm::token_bucket;
  const ratelimit::Algorithm effective = ratelimit::effective_algorithm(policy);
  if (!bucket) policy.burst = 0;  // what is said for several algorithms concerns those that have it
  if (effective != ratelimit::Algorithm::exact_window && effective != ratelimit::Algorithm::segmented_window)
    policy.count_rejected = false;
  if (Result<void> valid = ratelimit::validate(policy); !valid) return valid.error();

  Replayed result;
  result.algorithm = two_counter ? std::string(kTwoCounter) : std::string(ratelimit::to_string(effective));
  result.decisions.reserve(trace.calls.size());
  std::vector<Given> given(trace.keys.size(), Given(policy.limit, policy.window));
  Decider decider(trace, policy, two_counter);
  for (const Trace::Call& call : trace.calls) {
    Given& list = given[call.key];
    const bool room = list.has_room(call.at.count(), call.cost);
    const Decision decision = decider.decide(call);
    result.decisions.push_back(decision);
    if (call.cost == 0) {
      ++result.looks;
      continue;
    }
    ++(decision.allowed ? result.allowed : result.refused);
    if (decision.allowed) {
      result.units += call.cost;
      list.book(call.at.count(), call.cost);
    }
    result.beyond += decision.allowed && !room ? 1 : 0;
    result.with_room += !decision.allowed && room ? 1 : 0;
  }
  for (const Given& list : given) result.most_in_window = std::max(result.most_in_window, list.most());
  return result;
}

WindowSeries window_series(const Trace& trace, const Replayed& replayed, std::uint32_t key, Duration window) {
  WEIR_CHECK(replayed.decisions.size() == trace.calls.size());
  std::vector<std::pair<Duration, std::int64_t>> changes;
  Duration newest{};
  for (std::size_t i = 0; i < trace.calls.size(); ++i) {
    const Trace::Call& call = trace.calls[i];
    if (call.key != key || !replayed.decisions[i].allowed || call.cost == 0) continue;
    newest = std::max(newest, call.at);
    changes.emplace_back(newest, call.cost);
    changes.emplace_back(newest + window, -std::int64_t{call.cost});
  }
  // At one moment what leaves goes first: the window is open at its far end.
  std::sort(changes.begin(), changes.end());
  WindowSeries series;
  series.name = replayed.algorithm;
  std::int64_t units = 0;
  for (const auto& [at, change] : changes) {
    units += change;
    const auto now = static_cast<std::uint64_t>(units);
    series.most = std::max(series.most, now);
    if (!series.steps.empty() && series.steps.back().at == at)
      series.steps.back().units = now;
    else
      series.steps.push_back({at, now});
  }
  return series;
}

std::uint32_t busiest_key(const Trace& trace) {
  std::vector<std::uint64_t> counts(std::max<std::size_t>(1, trace.keys.size()), 0);
  for (const Trace::Call& call : trace.calls) ++counts[call.key];
  return static_cast<std::uint32_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

}  // namespace weir::server
