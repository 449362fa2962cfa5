// What the load generator measures: latencies, CPU time of the proxy, and whether a limit was kept.
#ifndef WEIR_BENCH_PROXY_MEASURE_H_
#define WEIR_BENCH_PROXY_MEASURE_H_

#include <dirent.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace weir::bench {

// Latencies in buckets of at most 1.6 % width (64 to each power of two). Fixed memory, O(1) to add.
class Histogram {
 public:
  void add(std::uint64_t ns) {
    ++counts_[index(ns)];
    ++total_;
    max_ = std::max(max_, ns);
  }
  // The upper end of the bucket that holds the given share; 0 when empty.
  std::uint64_t quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted) return std::min(upper(i), max_);
    }
    return max_;
  }
  std::uint64_t max() const { return max_; }

 private:
  static constexpr unsigned kBits = 6;
  static std::size_t index(std::uint64_t v) {
    if (v < (1U << kBits)) return static_cast<std::size_t>(v);
    const unsigned shift = static_cast<unsigned>(std::bit_width(v)) - kBits - 1;
    return (std::size_t{shift} + 1) * (1U << kBits) + static_cast<std::size_t>((v >> shift) - (1U << kBits));
  }
  static std::uint64_t upper(std::size_t i) {
    if (i < (1U << kBits)) return i;
    const std::size_t shift = i / (1U << kBits) - 1;
    return ((std::uint64_t{i % (1U << kBits)} + (1U << kBits) + 1) << shift) - 1;
  }

  std::array<std::uint64_t, 60U << kBits> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

// Nanoseconds that all threads of a process have run, user and system together: the scheduler's own sum,
// which is finer than the 10 ms ticks of /proc/PID/stat. 0 when there is no such process.
inline std::uint64_t cpu_ns_of(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* tasks = ::opendir(folder.c_str());
  if (tasks == nullptr) return 0;
  std::uint64_t sum = 0;
  while (const dirent* task = ::readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    std::ifstream file(folder + "/" + task->d_name + "/schedstat");
    std::uint64_t ran = 0;
    if (file >> ran) sum += ran;
  }
  ::closedir(tasks);
  return sum;
}

// Judges a limit of `limit` admissions in any window from
// outside, for one key that asks one question at a time.
//
// The gateway decided at some moment between `sent` and `received`. So an admission was certainly wrong if
// even the longest reading (this answer's arrival, that request's departure) puts limit + 1 admissions into
// one window; a refusal was certainly wrong if even the shortest reading leaves fewer than `limit` in the
// window behind it. What remains is never blamed on the network. O(1) a decision, 16 * limit bytes a key.
class WindowCheck {
 public:
  WindowCheck(std::uint32_t limit, std::uint64_t window_ns) : window_ns_(window_ns), admitted_(limit) {}

  // By how many nanoseconds the admission came too early; 0 when it was right.
  std::uint64_t admitted(std::uint64_t sent, std::uint64_t received) {
    Span& oldest = admitted_[next_];
    std::uint64_t early = 0;
    if (full_ && received - oldest.sent < window_ns_) early = window_ns_ - (received - oldest.sent);
    oldest = {sent, received};
    if (++next_ == admitted_.size()) next_ = 0, full_ = true;
    return early;
  }
  // By how many nanoseconds the refusal came too late (all ones:
  // the window was never full); 0 when it was right.
  std::uint64_t refused(std::uint64_t sent) const {
    if (!full_) return ~std::uint64_t{0};
    const std::uint64_t since = sent - admitted_[next_].received;
    return since >= window_ns_ ? since - window_ns_ + 1 : 0;
  }

 private:
  struct Span {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
  };
  std::uint64_t window_ns_;
  std::vector<Span> admitted_;  // ring, oldest at next_ once full
  std::size_t next_ = 0;
  bool full_ = false;
};

}  // namespace weir::bench

#endif  // WEIR_BENCH_PROXY_MEASURE_H_
