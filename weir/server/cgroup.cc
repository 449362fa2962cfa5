#include "weir/server/cgroup.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

namespace weir::server {
namespace {

// cgroup v2: "max 100000" or "250000 100000" (microseconds of CPU per period).
double quota_of(const std::string& file) {
  std::ifstream in(file);
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return 0;
  try {
    return std::stod(quota) / period;
  } catch (const std::exception&) {
    return 0;
  }
}

// The tightest quota from this process's cgroup up to the root.
double cgroup_quota() {
  std::ifstream in("/proc/self/cgroup");
  double tightest = 0;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string path = line.substr(3);;) {
      const double quota = quota_of("/sys/fs/cgroup" + path + "/cpu.max");
      if (quota > 0) tightest = tightest == 0 ? quota : std::min(tightest, quota);
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/'));
    }
  }
  return tightest;
}

}  // namespace

std::uint32_t usable_cores() {
  std::uint32_t cores = std::max(1U, std::thread::hardware_concurrency());
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    cores = std::min(cores, static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&allowed))));
  const double quota = cgroup_quota();
  if (quota > 0) cores = std::min(cores, static_cast<std::uint32_t>(std::max(1.0, std::ceil(quota))));
  return cores;
}

}  // namespace weir::server
