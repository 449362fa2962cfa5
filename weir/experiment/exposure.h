// Exposures: who saw which variant, written down where it was applied, once in a window.
//
// The recorder keeps fingerprints of (unit, experiment, variant) for a window and the one before it, so that
// a repeat within `window` is never written again, and bounded memory is spent on strangers: past `units_max`
// new ones are written without being remembered, and counted. A request whose whole set of decisions was seen
// is one look-up. Counts by experiment and variant go on for the process's life and feed the sample-ratio
// check.
//
// Thread-safe: fingerprints are spread over kShards locks by unit, one of them held for a request's look-ups; counts are
// found without a lock, and outcomes are counted in lanes, each written by one thread. The sink is called without a lock
// held, on the caller's thread: it must be quick (a ring of a log writer is).
#ifndef WEIR_EXPERIMENT_EXPOSURE_H_
#define WEIR_EXPERIMENT_EXPOSURE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/experiment/snapshot.h"

namespace weir::experiment {

struct Exposure {
  WallTime time;
  std::string_view unit;
  Decision decision;
};

// One line of JSON, without the line's end: time, experiment, variant, unit, reason, bucket.
void append_json_line(std::string& out, const Exposure& exposure);

// Whether counts are what the weights promise, at any moment, however often it is asked: the sequential test
// of Lindon and Malek (2020), a Dirichlet-multinomial Bayes factor. `counts` and `shares` (sum 1, none 0)
// have one length. An e-value of 1000 or more would come up in at most 0.1 % of all sound experiments, ever.
struct SampleRatio {
  double e_value = 1;
  bool mismatch = false;  // e_value >= kSampleRatioAlarm
};
inline constexpr double kSampleRatioAlarm = 1000;
SampleRatio sample_ratio(std::span<const std::uint64_t> counts, std::span<const double> shares);

class ExposureRecorder {
 public:
  struct Options {
    Duration window = std::chrono::hours{24};
    std::uint32_t units_max = 1'000'000;  // fingerprints of a window; 16 bytes each, two windows
  };
  using Sink = std::function<void(const Exposure&)>;

  // `seed` keeps strangers from choosing units that collide.
  ExposureRecorder(Options options, base::SipKey seed, Sink sink);
  ExposureRecorder(const ExposureRecorder&) = delete;
  ExposureRecorder& operator=(const ExposureRecorder&) = delete;
  ~ExposureRecorder();

  // Of decisions that were applied; those without a variant, and of flags, are passed over.
  void record(std::string_view unit, std::span<const Decision> decisions, TimePoint now, WallTime wall);
  // What a request that showed the variant came to: its status and how long it took. `lane` is below kLanes and belongs
  // to the calling thread alone.
  void outcome(std::size_t lane, std::span<const Decision> decisions, int status, Duration took);
  static constexpr std::size_t kLanes = 1'025;  // as many threads as a server may have

  struct Count {
    std::string experiment;
    std::string variant;
    std::uint64_t units = 0;     // exposures written
    std::uint64_t split = 0;     // of them those by bucket: what the weights promise; not what somebody chose
    std::uint64_t requests = 0;  // outcomes
    std::uint64_t errors = 0;    // of them with a status of 500 or more
    double mean_seconds = 0;
  };
  std::vector<Count> counts() const;  // by experiment, then variant
  std::uint64_t unremembered() const noexcept { return unremembered_.load(std::memory_order_relaxed); }

 private:
  struct Cell;
  struct Lane;
  struct Shard;
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kCellsMax = 10'000;  // pairs of experiment and variant that are counted

  // With the shard locked and turned to `now`: true when it was seen in this window or the one before; remembers it
  // otherwise.
  bool seen(Shard& shard, std::uint64_t fingerprint);
  void turn(Shard& shard, TimePoint now) const;
  // Null when there is none of that tag yet.
  Cell* find(std::uint64_t tag) const noexcept;
  // Null when there are too many.
  Cell* cell(const Decision& decision);

  Options options_;
  base::SipKey seed_;
  Sink sink_;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
  std::atomic<std::uint64_t> unremembered_{0};
  static constexpr std::size_t kPlaces = 32'768;  // a power of two, three times kCellsMax: short probes
  std::unique_ptr<std::atomic<Cell*>[]> places_;  // by Decision::tag, open addressing; filled, never emptied
  mutable std::mutex cells_lock_;                 // of whoever adds a cell, or lists them
  std::vector<std::unique_ptr<Cell>> cells_;
  std::unique_ptr<std::atomic<Lane*>[]> lanes_;  // made by their threads when they first count
};

}  // namespace weir::experiment

#endif  // WEIR_EXPERIMENT_EXPOSURE_H_
