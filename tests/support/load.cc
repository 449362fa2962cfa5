#include "tests/support/load.h"

#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <mutex>
#include <ostream>
#include <sstream>
#include <thread>
#include <vector>

#include "weir/base/check.h"

namespace weir::testing {
namespace {

std::size_t entries_of(const std::string& folder) {
  DIR* entries = ::opendir(folder.c_str());
  if (entries == nullptr) return 0;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(entries))  // NOLINT(concurrency-mt-unsafe): a stream of its own
    count += entry->d_name[0] != '.' ? 1U : 0U;
  ::closedir(entries);
  return count;
}

}  // namespace

DemoService::DemoService(const std::string& name) : port_(free_port()) {
  process_ = std::make_unique<Process>(std::vector<std::string>{
      WEIR_BINARY_DIR "/bin/demo_service", "--name", name, "--listen", "127.0.0.1:" + std::to_string(port_)});
  WEIR_CHECK(eventually([this] { return get(port_, "/health").status == 200; }));
}

std::ostream& operator<<(std::ostream& out, const Usage& usage) {
  return out << usage.rss_kib << " KiB, " << usage.threads << " threads, " << usage.descriptors
             << " descriptors";
}

Usage usage_of(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  Usage usage;
  std::size_t pages = 0;
  std::size_t resident = 0;
  std::ifstream(folder + "/statm") >> pages >> resident;
  usage.rss_kib = resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  usage.threads = entries_of(folder + "/task");
  usage.descriptors = entries_of(folder + "/fd");
  return usage;
}

std::ostream& operator<<(std::ostream& out, const Served& served) {
  out << served.ok << " of " << served.asked << " served, p50 " << served.p50.count() << " us, p99 "
      << served.p99.count() << " us";
  if (!served.first_fault.empty()) out << ", first fault: " << served.first_fault;
  return out;
}

Served Load::run(std::size_t requests) const { return run(requests, nullptr); }
Served Load::run_until(const std::atomic<bool>& stop) const {
  return run(std::numeric_limits<std::size_t>::max(), &stop);
}

Served Load::run(std::size_t requests, const std::atomic<bool>* stop) const {
  std::mutex mutex;
  Served served;
  std::vector<std::chrono::microseconds> times;
  std::atomic<std::size_t> taken{0};
  const auto work = [&] {
    std::vector<std::chrono::microseconds> own;
    std::unique_ptr<Client> client;
    int on_connection = 0;
    while ((stop == nullptr || !*stop) && taken.fetch_add(1) < requests) {
      if (client == nullptr || ++on_connection > options_.requests_per_connection) {
        client = std::make_unique<Client>(port_, options_.source);
        on_connection = 0;
      }
      const SteadyTime begin = std::chrono::steady_clock::now();
      const Answer answer = client->get(options_.target);
      own.push_back(
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin));
      {
        const std::lock_guard lock(mutex);
        ++served.asked;
        served.ok += answer.status == 200 ? 1U : 0U;
        if (answer.status != 200 && served.first_fault.empty()) {
          std::ostringstream text;
          text << answer;
          served.first_fault = text.str();
        }
      }
      if (answer.status == 0) client.reset();
      if (options_.pause.count() > 0) ::poll(nullptr, 0, static_cast<int>(options_.pause.count()));
    }
    const std::lock_guard lock(mutex);
    times.insert(times.end(), own.begin(), own.end());
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < options_.threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  std::sort(times.begin(), times.end());
  if (!times.empty()) {
    served.p50 = times[times.size() / 2];
    served.p99 = times[times.size() * 99 / 100];
  }
  return served;
}

}  // namespace weir::testing
