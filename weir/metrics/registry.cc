// The registry's bookkeeping.
//
//   (1) A series is a run of cells at the same place in every shard: one for a counter, 16 for a histogram
//       (15 buckets and the sum; 128 bytes, two cache lines). A run never crosses a chunk.
//   (2) Cells are given out in order and never taken back; the chunk tables have their final size from the
//       start, so nothing that a worker reads ever moves.
//   (3) Chunks are made in all shards under the mutex, before the id of their first series is returned.
//   (4) The cap counts ordinary series. A family that was refused one gets its series of "other", beyond the
//       cap: at most one a family, and families are constants of the program.
//   (5) Collectors have a mutex of their own, held while they run: removing one therefore waits for the
//       scrape. Order of locks: collectors, then the registry.
#include "weir/metrics/registry.h"

#include <algorithm>
#include <utility>

#include "weir/base/check.h"
#include "weir/base/strings.h"

namespace weir::metrics {
namespace {

constexpr std::size_t kHistogramCells = kBuckets + 1;
constexpr std::size_t kFamiliesMax = 256;  // room for one "other" each
constexpr std::string_view kOther = "other";
constexpr std::string_view kFoldedName = "weir_metrics_series_folded_total";

bool is_name(std::string_view name, bool colons) {
  if (name.empty() || base::is_digit(name.front())) return false;
  return std::all_of(name.begin(), name.end(), [colons](char c) {
    return base::is_alpha(c) || base::is_digit(c) || c == '_' || (colons && c == ':');
  });
}

// Length of the well-formed UTF-8 sequence at the front (RFC 3629 section 4); 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) > 0x9F;
    return !overlong && !surrogate && tail(1) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool beyond = lead == 0xF4 && byte(1) > 0x8F;
    return !overlong && !beyond && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// A scraper rejects the whole page for one byte that is not UTF-8, so none may enter.
std::string clean_label(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view piece = length == 0 ? std::string_view{"\xEF\xBF\xBD"} : text.substr(0, length);
    if (out.size() + piece.size() > Registry::kLabelBytesMax) break;
    out.append(piece);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::vector<std::string> clean_labels(const Labels& labels) {
  std::vector<std::string> out;
  out.reserve(labels.size());
  for (std::string_view label : labels) out.push_back(clean_label(label));
  return out;
}

// Sorts, and adds up what has the same labels: the text format forbids the same series twice.
void merge_series(std::vector<Series>& all) {
  std::stable_sort(all.begin(), all.end(),
                   [](const Series& a, const Series& b) { return a.labels < b.labels; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (kept > 0 && all[kept - 1].labels == all[i].labels) {
      all[kept - 1].value += all[i].value;
    } else {
      if (kept != i) all[kept] = std::move(all[i]);
      ++kept;
    }
  }
  all.resize(kept);
}

}  // namespace

struct Collector::List {
  struct Entry {
    std::uint64_t key;
    FamilyId family;
    std::function<void(Sink&)> read;
  };

  std::mutex mutex;
  std::uint64_t next_key = 1;
  std::vector<Entry> entries;
};

Collector::Collector(Collector&& other) noexcept
    : list_(std::move(other.list_)), key_(std::exchange(other.key_, 0)) {}

Collector& Collector::operator=(Collector&& other) noexcept {
  if (this != &other) {
    remove();
    list_ = std::move(other.list_);
    key_ = std::exchange(other.key_, 0);
  }
  return *this;
}

void Collector::remove() noexcept {
  const std::shared_ptr<List> list = std::exchange(list_, {}).lock();
  if (list == nullptr) return;
  const std::lock_guard lock(list->mutex);
  std::erase_if(list->entries, [this](const List::Entry& entry) { return entry.key == key_; });
}

void Sink::add(const Labels& labels, double value) {
  WEIR_CHECK(labels.size() == family_.label_names.size());
  if (room_ == 0) {
    ++folded_;
    return;
  }
  --room_;
  Series series;
  series.labels = clean_labels(labels);
  series.value = value;
  family_.series.push_back(std::move(series));
}

Registry::Registry(std::size_t shards, std::size_t series_max)
    : series_max_(series_max), collectors_(std::make_shared<Collector::List>()) {
  WEIR_CHECK(shards > 0);
  // Every series a histogram, with their 'other's: the most cells there can be. Rounded up; 16 divides a
  // chunk.
  const std::size_t cells = (series_max + kFamiliesMax) * kHistogramCells;
  const std::size_t chunks = cells / Shard::kChunkCells + 1;
  for (std::size_t i = 0; i < shards; ++i) shards_.emplace_back(new Shard(chunks));
  declare(Type::counter, kFoldedName, "Series that found no room and were counted as \"other\".", {});
}

Registry::~Registry() = default;

FamilyId Registry::counter_family(std::string_view name, std::string_view help, const Labels& label_names) {
  return declare(Type::counter, name, help, label_names);
}

FamilyId Registry::gauge_family(std::string_view name, std::string_view help, const Labels& label_names) {
  return declare(Type::gauge, name, help, label_names);
}

FamilyId Registry::histogram_family(std::string_view name, std::string_view help, const Labels& label_names) {
  return declare(Type::histogram, name, help, label_names);
}

FamilyId Registry::declare(Type type, std::string_view name, std::string_view help,
                           const Labels& label_names) {
  WEIR_CHECK(is_name(name, true));
  WEIR_CHECK(name.ends_with("_total") == (type == Type::counter));
  WEIR_CHECK(!help.empty());
  WEIR_CHECK(label_names.size() <= kLabelsMax);
  for (std::string_view label : label_names) {
    WEIR_CHECK(is_name(label, false) && !label.starts_with("__") && label != "le");
  }

  Family described;
  described.name = name;
  described.help = help;
  described.type = type;
  described.label_names.assign(label_names.begin(), label_names.end());

  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < families_.size(); ++i) {
    const Family& known = families_[i]->described;
    if (known.name != name) continue;
    WEIR_CHECK(known.type == type && known.help == help && known.label_names == described.label_names);
    return FamilyId{static_cast<std::uint32_t>(i)};
  }
  WEIR_CHECK(families_.size() < kFamiliesMax);
  families_.push_back(std::make_unique<FamilyState>());
  families_.back()->described = std::move(described);
  return FamilyId{static_cast<std::uint32_t>(families_.size() - 1)};
}

CounterId Registry::counter(FamilyId family, const Labels& labels) {
  return CounterId{series(family, Type::counter, labels)};
}

HistogramId Registry::histogram(FamilyId family, const Labels& labels) {
  return HistogramId{series(family, Type::histogram, labels)};
}

std::uint32_t Registry::series(FamilyId family, Type type, const Labels& labels) {
  std::vector<std::string> key = clean_labels(labels);
  const std::lock_guard lock(mutex_);
  WEIR_CHECK(family.index < families_.size());
  FamilyState& state = *families_[family.index];
  WEIR_CHECK(state.described.type == type);
  WEIR_CHECK(key.size() == state.described.label_names.size());

  auto found = state.cells.find(key);
  if (found != state.cells.end()) return found->second;
  if (series_ >= series_max_) {
    ++folded_;
    key.assign(key.size(), std::string{kOther});
    found = state.cells.find(key);
    if (found != state.cells.end()) return found->second;
  } else {
    ++series_;
  }
  const std::uint32_t cell = take_cells(type == Type::histogram ? kHistogramCells : 1);
  state.cells.emplace(std::move(key), cell);
  return cell;
}

// Called with mutex_ held.
std::uint32_t Registry::take_cells(std::size_t count) {
  // A histogram starts at a multiple of its size, so that it neither crosses a chunk nor a third cache line.
  // The cells skipped are fewer than one histogram, so the bound of the constructor (all are histograms)
  // still holds.
  const std::size_t first = (next_cell_ + count - 1) / count * count;
  next_cell_ = static_cast<std::uint32_t>(first + count);
  const std::size_t chunk = first / Shard::kChunkCells;
  for (const auto& shard : shards_) {
    WEIR_CHECK(chunk < shard->chunks_.size());
    if (shard->chunks_[chunk] == nullptr) shard->chunks_[chunk] = std::make_unique<Shard::Chunk>();
  }
  return static_cast<std::uint32_t>(first);
}

Collector Registry::collect(FamilyId family, std::function<void(Sink&)> read) {
  {
    const std::lock_guard lock(mutex_);
    WEIR_CHECK(family.index < families_.size());
    WEIR_CHECK(families_[family.index]->described.type != Type::histogram);
  }
  const std::lock_guard lock(collectors_->mutex);
  const std::uint64_t key = collectors_->next_key++;
  collectors_->entries.push_back({key, family, std::move(read)});
  return Collector(collectors_, key);
}

Collector Registry::collect(FamilyId family, std::function<double()> read) {
  return collect(family, [read = std::move(read)](Sink& sink) { sink.add({}, read()); });
}

std::uint64_t Registry::total(std::uint32_t cell) const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards_) sum += shard->cell(cell)->load(std::memory_order_relaxed);
  return sum;
}

void Registry::read_shards(const FamilyState& state, Family& into) const {
  for (const auto& [labels, cell] : state.cells) {
    Series series;
    series.labels = labels;
    if (state.described.type == Type::histogram) {
      for (std::size_t i = 0; i < kBuckets; ++i) {
        series.histogram.buckets[i] = total(cell + static_cast<std::uint32_t>(i));
      }
      series.histogram.sum_ns = total(cell + static_cast<std::uint32_t>(kBuckets));
    } else {
      series.value = static_cast<double>(total(cell));
    }
    into.series.push_back(std::move(series));
  }
}

Snapshot Registry::snapshot() const {
  const std::lock_guard collectors_lock(collectors_->mutex);
  Snapshot all;
  std::size_t room = 0;
  {
    const std::lock_guard lock(mutex_);
    // Series live as long as the process, and reloads may have used up their room: what is read at each scrape, such as the
    // state of breakers, keeps a tenth of it.
    room = std::max(series_max_ - series_, series_max_ / 10);
    for (const auto& state : families_) {
      all.push_back(state->described);
      read_shards(*state, all.back());
    }
  }
  std::size_t folded = 0;
  for (const Collector::List::Entry& entry : collectors_->entries) {
    Sink sink(all[entry.family.index], room);
    entry.read(sink);
    room = sink.room_;
    folded += sink.folded_;
  }
  for (Family& family : all) merge_series(family.series);
  {
    const std::lock_guard lock(mutex_);
    folded_ += folded;
    Series series;  // family 0 is the registry's own
    series.value = static_cast<double>(folded_);
    all.front().series.assign(1, series);
  }
  return all;
}

}  // namespace weir::metrics
