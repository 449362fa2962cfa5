// Two generations of fingerprints in each shard: `now` moves on when a window has passed, the older one is
// emptied. Open addressing over 64-bit words, at most half full, so a look-up is one or two lines of memory.
#include "weir/experiment/exposure.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <tuple>

#include "weir/base/strings.h"

namespace weir::experiment {

struct ExposureRecorder::Cell {
  std::string experiment;
  std::string variant;
  std::atomic<std::uint64_t> units{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> errors{0};
  std::atomic<std::uint64_t> nanoseconds{0};
};

namespace {

// A set of nonzero words that grows by doubling up to a bound.
class Words {
 public:
  bool contains(std::uint64_t word) const noexcept {
    if (slots_.empty()) return false;
    for (std::size_t at = word & mask_;; at = (at + 1) & mask_) {
      if (slots_[at] == word) return true;
      if (slots_[at] == 0) return false;
    }
  }
  // False when it is full.
  bool insert(std::uint64_t word, std::size_t most) {
    if (size_ >= most) return false;
    if (slots_.empty() || size_ * 2 >= slots_.size()) grow();
    place(word);
    ++size_;
    return true;
  }
  void clear() noexcept {
    slots_ = {};
    size_ = 0;
  }

 private:
  void place(std::uint64_t word) noexcept {
    std::size_t at = word & mask_;
    while (slots_[at] != 0) at = (at + 1) & mask_;
    slots_[at] = word;
  }
  void grow() {
    std::vector<std::uint64_t> old(slots_.empty() ? 256 : slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    for (std::uint64_t word : old)
      if (word != 0) place(word);
  }

  std::vector<std::uint64_t> slots_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
};

}  // namespace

struct ExposureRecorder::Shard {
  std::mutex lock;
  TimePoint began{};
  bool any = false;
  Words current;
  Words previous;
};

ExposureRecorder::ExposureRecorder(Options options, base::SipKey seed, Sink sink)
    : options_(options), seed_(seed), sink_(std::move(sink)) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>();
}

ExposureRecorder::~ExposureRecorder() = default;

bool ExposureRecorder::seen(std::uint64_t fingerprint, TimePoint now) {
  fingerprint |= fingerprint == 0;  // 0 marks an empty place
  Shard& shard = *shards_[fingerprint >> 60];
  const std::lock_guard lock(shard.lock);
  if (!shard.any || now - shard.began >= options_.window) {
    // After two windows without a call both are old.
    const bool follows = shard.any && now - shard.began < 2 * options_.window;
    shard.previous.clear();
    if (follows) std::swap(shard.previous, shard.current);
    shard.current.clear();
    shard.began = follows ? shard.began + options_.window : now;
    shard.any = true;
  }
  if (shard.current.contains(fingerprint)) return true;
  const bool before = shard.previous.contains(fingerprint);
  if (!shard.current.insert(fingerprint, options_.units_max / kShards + 1))
    unremembered_.fetch_add(1, std::memory_order_relaxed);
  return before;
}

ExposureRecorder::Cell* ExposureRecorder::cell(const Decision& decision) {
  {
    const std::shared_lock lock(cells_lock_);
    if (const auto found = cells_.find(decision.tag); found != cells_.end()) return found->second.get();
  }
  const std::unique_lock lock(cells_lock_);
  if (cells_.size() >= kCellsMax) return nullptr;
  std::unique_ptr<Cell>& cell = cells_[decision.tag];
  if (cell == nullptr) {
    cell = std::make_unique<Cell>();
    cell->experiment = decision.key;
    cell->variant = decision.variant;
  }
  return cell.get();
}

void ExposureRecorder::record(std::string_view unit, std::span<const Decision> decisions, TimePoint now,
                              WallTime wall) {
  const std::uint64_t of_unit = base::siphash13(seed_, unit);
  std::uint64_t all = of_unit;
  for (const Decision& decision : decisions)
    if (decision.experiment && decision.tag != 0)
      all = (std::rotl(all, 5) ^ decision.tag) * 0x9e3779b97f4a7c15ULL;
  if (all == of_unit || seen(all ^ all >> 29, now)) return;
  for (const Decision& decision : decisions) {
    if (!decision.experiment || decision.tag == 0) continue;
    const std::uint64_t words[] = {of_unit, decision.tag};
    if (seen(base::siphash13(seed_, {reinterpret_cast<const char*>(words), sizeof words}), now)) continue;
    if (Cell* counted = cell(decision)) counted->units.fetch_add(1, std::memory_order_relaxed);
    Exposure exposure;
    exposure.time = wall;
    exposure.unit = unit;
    exposure.decision = decision;
    sink_(exposure);
  }
}

void ExposureRecorder::outcome(std::span<const Decision> decisions, int status, Duration took) {
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, took.count()));
  const std::shared_lock lock(cells_lock_);
  for (const Decision& decision : decisions) {
    if (!decision.experiment || decision.tag == 0) continue;
    const auto found = cells_.find(decision.tag);  // made when it was recorded
    if (found == cells_.end()) continue;
    found->second->requests.fetch_add(1, std::memory_order_relaxed);
    if (status >= 500) found->second->errors.fetch_add(1, std::memory_order_relaxed);
    found->second->nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
  }
}

std::vector<ExposureRecorder::Count> ExposureRecorder::counts() const {
  std::vector<Count> all;
  const std::shared_lock lock(cells_lock_);
  for (const auto& [tag, cell] : cells_) {
    Count& count = all.emplace_back();
    count.experiment = cell->experiment;
    count.variant = cell->variant;
    count.units = cell->units.load(std::memory_order_relaxed);
    count.requests = cell->requests.load(std::memory_order_relaxed);
    count.errors = cell->errors.load(std::memory_order_relaxed);
    if (count.requests > 0)
      count.mean_seconds = static_cast<double>(cell->nanoseconds.load(std::memory_order_relaxed)) / 1e9 /
                           static_cast<double>(count.requests);
  }
  std::sort(all.begin(), all.end(), [](const Count& a, const Count& b) {
    return std::tie(a.experiment, a.variant) < std::tie(b.experiment, b.variant);
  });
  return all;
}

SampleRatio sample_ratio(std::span<const std::uint64_t> counts, std::span<const double> shares) {
  // Prior weight: the strength of a hundred units, so that a few of them alone cannot alarm.
  constexpr double kStrength = 100;
  double n = 0;
  double log_e = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (shares[i] <= 0) continue;
    const double c = static_cast<double>(counts[i]);
    const double a = kStrength * shares[i];
    n += c;
    log_e += std::lgamma(a + c) - std::lgamma(a) - c * std::log(shares[i]);
  }
  log_e += std::lgamma(kStrength) - std::lgamma(kStrength + n);
  SampleRatio ratio;
  ratio.e_value = std::exp(std::min(log_e, 700.0));
  ratio.mismatch = ratio.e_value >= kSampleRatioAlarm;
  return ratio;
}

void append_json_line(std::string& out, const Exposure& exposure) {
  const auto since = exposure.time.time_since_epoch();
  const auto member = [&out](std::string_view name, std::string_view text) {
    out.append(",\"").append(name).append("\":\"");
    base::append_json_escaped(out, text);
    out += '"';
  };
  out.append("{\"time_ms\":")
      .append(std::to_string(std::chrono::floor<std::chrono::milliseconds>(since).count()));
  member("experiment", exposure.decision.key);
  member("variant", exposure.decision.variant);
  member("unit", exposure.unit);
  member("reason", to_string(exposure.decision.reason));
  out.append(",\"bucket\":").append(std::to_string(exposure.decision.bucket)).append("}");
}

}  // namespace weir::experiment
