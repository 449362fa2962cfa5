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
  std::uint64_t tag = 0;
  std::size_t number = 0;  // its place in a lane
  std::atomic<std::uint64_t> units{0};
  std::atomic<std::uint64_t> split{0};
};

// Outcomes as one thread has counted them. Written by that thread alone, so a load and a store do; others may read.
struct ExposureRecorder::Lane {
  struct Outcomes {
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> errors{0};
    std::atomic<std::uint64_t> nanoseconds{0};
  };
  std::array<Outcomes, kCellsMax> by_cell;
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
  Words sets;  // of this window: whole sets of decisions. A small table, asked by every request
};

ExposureRecorder::ExposureRecorder(Options options, base::SipKey seed, Sink sink)
    : options_(options),
      seed_(seed),
      sink_(std::move(sink)),
      places_(new std::atomic<Cell*>[kPlaces]()),
      lanes_(new std::atomic<Lane*>[kLanes]()) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>();
}

ExposureRecorder::~ExposureRecorder() {
  for (std::size_t i = 0; i < kLanes; ++i) delete lanes_[i].load(std::memory_order_acquire);
}

void ExposureRecorder::turn(Shard& shard, TimePoint now) const {
  if (shard.any && now - shard.began < options_.window) return;
  // After two windows without a call both are old.
  const bool follows = shard.any && now - shard.began < 2 * options_.window;
  shard.previous.clear();
  shard.sets.clear();
  if (follows) std::swap(shard.previous, shard.current);
  shard.current.clear();
  shard.began = follows ? shard.began + options_.window : now;
  shard.any = true;
}

bool ExposureRecorder::seen(Shard& shard, std::uint64_t fingerprint) {
  fingerprint |= fingerprint == 0;  // 0 marks an empty place
  if (shard.current.contains(fingerprint)) return true;
  const bool before = shard.previous.contains(fingerprint);
  if (!shard.current.insert(fingerprint, options_.units_max / kShards + 1))
    unremembered_.fetch_add(1, std::memory_order_relaxed);
  return before;
}

ExposureRecorder::Cell* ExposureRecorder::find(std::uint64_t tag) const noexcept {
  for (std::size_t at = tag % kPlaces;; at = (at + 1) % kPlaces) {
    // Acquire: what the cell says of itself was written before it was put here.
    Cell* const cell = places_[at].load(std::memory_order_acquire);
    if (cell == nullptr || cell->tag == tag) return cell;
  }
}

ExposureRecorder::Cell* ExposureRecorder::cell(const Decision& decision) {
  if (Cell* const found = find(decision.tag)) return found;
  const std::lock_guard lock(cells_lock_);
  if (Cell* const found = find(decision.tag)) return found;
  if (cells_.size() >= kCellsMax) return nullptr;
  Cell* const made = cells_.emplace_back(std::make_unique<Cell>()).get();
  made->experiment = decision.key;
  made->variant = decision.variant;
  made->tag = decision.tag;
  made->number = cells_.size() - 1;
  std::size_t at = decision.tag % kPlaces;
  while (places_[at].load(std::memory_order_relaxed) != nullptr) at = (at + 1) % kPlaces;
  places_[at].store(made, std::memory_order_release);
  return made;
}

void ExposureRecorder::record(std::string_view unit, std::span<const Decision> decisions, TimePoint now,
                              WallTime wall) {
  // Keyed, so nobody outside can choose units whose fingerprints meet; what is mixed in below is the file's.
  const std::uint64_t of_unit = base::siphash13(seed_, unit);
  const auto mixed = [](std::uint64_t hash, std::uint64_t tag) {
    hash = (std::rotl(hash, 5) ^ tag) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
  };
  std::uint64_t sum = 0;  // tags are hashes of their own; and a sum waits for nobody
  for (const Decision& decision : decisions)
    if (decision.experiment) sum += decision.tag;
  if (sum == 0) return;
  const std::uint64_t all = mixed(of_unit, sum) | 1;  // 0 marks an empty place
  Shard& shard = *shards_[of_unit >> 60];
  {
    const std::lock_guard lock(shard.lock);
    turn(shard, now);
    if (shard.sets.contains(all)) return;
    static_cast<void>(shard.sets.insert(all, options_.units_max / kShards + 1));
  }
  constexpr std::size_t kAtOnce = 64;
  std::array<const Decision*, kAtOnce> fresh;
  while (!decisions.empty()) {
    const std::span<const Decision> some = decisions.first(std::min(kAtOnce, decisions.size()));
    decisions = decisions.subspan(some.size());
    std::size_t count = 0;
    {
      const std::lock_guard lock(shard.lock);
      for (const Decision& decision : some)
        if (decision.experiment && decision.tag != 0 && !seen(shard, mixed(~of_unit, decision.tag)))
          fresh[count++] = &decision;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (Cell* const counted = cell(*fresh[i])) {
        counted->units.fetch_add(1, std::memory_order_relaxed);
        if (fresh[i]->reason == Reason::split) counted->split.fetch_add(1, std::memory_order_relaxed);
      }
      sink_({wall, unit, *fresh[i]});
    }
  }
}

void ExposureRecorder::outcome(std::size_t lane, std::span<const Decision> decisions, int status,
                               Duration took) {
  Lane* own = lanes_[lane].load(std::memory_order_relaxed);
  if (own == nullptr) {
    own = new Lane;
    lanes_[lane].store(own, std::memory_order_release);
  }
  const auto add = [](std::atomic<std::uint64_t>& to, std::uint64_t more) {
    to.store(to.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  };
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, took.count()));
  for (const Decision& decision : decisions) {
    if (!decision.experiment || decision.tag == 0) continue;
    const Cell* const counted = find(decision.tag);  // made when it was recorded
    if (counted == nullptr) continue;
    Lane::Outcomes& outcomes = own->by_cell[counted->number];
    add(outcomes.requests, 1);
    if (status >= 500) add(outcomes.errors, 1);
    add(outcomes.nanoseconds, nanoseconds);
  }
}

std::vector<ExposureRecorder::Count> ExposureRecorder::counts() const {
  std::vector<Count> all;
  const std::lock_guard lock(cells_lock_);
  for (const auto& cell : cells_) {
    Count& count = all.emplace_back();
    count.experiment = cell->experiment;
    count.variant = cell->variant;
    count.units = cell->units.load(std::memory_order_relaxed);
    count.split = cell->split.load(std::memory_order_relaxed);
    std::uint64_t nanoseconds = 0;
    for (std::size_t i = 0; i < kLanes; ++i) {
      const Lane* const lane = lanes_[i].load(std::memory_order_acquire);
      if (lane == nullptr) continue;
      const Lane::Outcomes& outcomes = lane->by_cell[cell->number];
      count.requests += outcomes.requests.load(std::memory_order_relaxed);
      count.errors += outcomes.errors.load(std::memory_order_relaxed);
      nanoseconds += outcomes.nanoseconds.load(std::memory_order_relaxed);
    }
    if (count.requests > 0)
      count.mean_seconds = static_cast<double>(nanoseconds) / 1e9 / static_cast<double>(count.requests);
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
