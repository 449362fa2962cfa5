// Registry: the families and series of one process, counted in shards and merged when somebody asks.
//
// A family has a name, a help text, a type and label names; it is declared once, by code, with constants. A
// series is a family with label values; it is made when the configuration is compiled (or, rarely, later) and
// lives as long as the registry, so a reload that names the same route continues the same count. What a
// thread counts goes to its own Shard; snapshot() adds the shards up. What something else already counts
// (requests in flight, a breaker's state) is read by a collector at scrape time.
//
//   Registry registry(2);                                        // two workers
//   FamilyId family = registry.counter_family("weir_decisions_total", "Decisions.", {"stage", "verdict"});
//   CounterId shed = registry.counter(family, {"load_shed", "refuse"});
//   registry.shard(0).add(shed);                                  // on worker 0, and nowhere else
//   std::string text = format_text(registry.snapshot());          // on any thread
//
// Bounds: series_max series in all, and a tenth of that for collectors whatever else there is (more fold into one series of
// their family whose labels all read "other", counted in weir_metrics_series_folded_total), 256 bytes a label value, 8 labels a family.
//
// Thread-safe, except that a Shard has one writer. Making a series takes a mutex and a map look-up: keep
// its id.
#ifndef WEIR_METRICS_REGISTRY_H_
#define WEIR_METRICS_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/metrics/shard.h"
#include "weir/metrics/snapshot.h"

namespace weir::metrics {

struct FamilyId {
  std::uint32_t index = 0;
};

using Labels = std::vector<std::string_view>;

// Where a collector puts what it read.
class Sink {
 public:
  // Values with the same labels add up, so several workers may each report their share.
  void add(const Labels& labels, double value);

 private:
  friend class Registry;
  Sink(Family& family, std::size_t room) : family_(family), room_(room) {}

  Family& family_;
  std::size_t room_;        // series that may still be added
  std::size_t folded_ = 0;  // and how many found none
};

// Keeps a collector registered; destroying it removes the collector and, should a scrape be under way, waits
// for it. It may outlive the registry.
class [[nodiscard]] Collector {
 public:
  Collector() noexcept = default;
  Collector(Collector&& other) noexcept;
  Collector& operator=(Collector&& other) noexcept;
  ~Collector() { remove(); }

  void remove() noexcept;

 private:
  friend class Registry;
  struct List;
  Collector(std::weak_ptr<List> list, std::uint64_t key) : list_(std::move(list)), key_(key) {}

  std::weak_ptr<List> list_;
  std::uint64_t key_ = 0;
};

class Registry {
 public:
  static constexpr std::size_t kSeriesMax =
      10'000;  // a page of about 2 MiB (BM_Scrape); 1.3 MiB a shard at most
  static constexpr std::size_t kLabelBytesMax = 256;
  static constexpr std::size_t kLabelsMax = 8;

  // One shard for each thread that counts. At least one.
  explicit Registry(std::size_t shards, std::size_t series_max = kSeriesMax);
  ~Registry();
  Registry(const Registry&) = delete;  // shards and collectors are tied to one registry
  Registry& operator=(const Registry&) = delete;

  std::size_t shards() const noexcept { return shards_.size(); }
  Shard& shard(std::size_t i) {
    WEIR_CHECK(i < shards_.size());
    return *shards_[i];
  }

  // Declares a family; a second declaration of the same name must be equal to the first and returns its id.
  // Names follow Prometheus' rules ([a-zA-Z_:][a-zA-Z0-9_:]*), counters end in _total and nothing else does;
  // anything else is a bug of the caller and stops the program.
  FamilyId counter_family(std::string_view name, std::string_view help, const Labels& label_names = {});
  FamilyId gauge_family(std::string_view name, std::string_view help, const Labels& label_names = {});
  FamilyId histogram_family(std::string_view name, std::string_view help, const Labels& label_names = {});

  // The series with these label values, made if it is new. Values are cut at kLabelBytesMax and bytes that
  // are not UTF-8 become U+FFFD. Once series_max is reached: the family's series of "other".
  CounterId counter(FamilyId family, const Labels& labels = {});
  HistogramId histogram(FamilyId family, const Labels& labels = {});

  // Calls `read` at every snapshot, for a counter or gauge family. It runs on the scraping thread with the
  // registry's collectors locked: it reads what is safe to read from there, and calls neither the registry
  // nor a Collector.
  Collector collect(FamilyId family, std::function<void(Sink&)> read);
  // The same for one value.
  Collector collect(FamilyId family, std::function<double()> read);

  // All families that have a series, at about this moment: counts of other threads may be a little newer or
  // older, but none is lost, none goes back, and a histogram's count is the sum of its buckets.
  Snapshot snapshot() const;

 private:
  struct FamilyState {
    Family described;  // without series
    std::map<std::vector<std::string>, std::uint32_t> cells;
  };

  FamilyId declare(Type type, std::string_view name, std::string_view help, const Labels& label_names);
  std::uint32_t series(FamilyId family, Type type, const Labels& labels);
  std::uint32_t take_cells(std::size_t count);
  std::uint64_t total(std::uint32_t cell) const;
  void read_shards(const FamilyState& state, Family& into) const;

  const std::size_t series_max_;
  std::vector<std::unique_ptr<Shard>> shards_;

  mutable std::mutex
      mutex_;  // families_, next_cell_, series_ and folded_; and the chunk tables while they are filled
  std::vector<std::unique_ptr<FamilyState>> families_;
  std::uint32_t next_cell_ = 0;
  std::size_t series_ = 0;
  mutable std::uint64_t folded_ = 0;

  std::shared_ptr<Collector::List> collectors_;
};

}  // namespace weir::metrics

#endif  // WEIR_METRICS_REGISTRY_H_
