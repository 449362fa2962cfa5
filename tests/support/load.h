// Load and what it costs: well-behaved clients that count how they are served, and what a process holds.
//
//   DemoService service;                                     // a real service in a process of its own
//   Load load(gateway.port(), {.source = "127.0.0.3"});
//   const Served before = load.run(1'000);                   // requests, over all threads
//   const Usage usage = usage_of(gateway.process().pid());
//
// The load is paced (pause between the requests of one client), so that what is measured is the gateway's answer and not how
// much a machine can do at once.
#ifndef WEIR_TESTS_SUPPORT_LOAD_H_
#define WEIR_TESTS_SUPPORT_LOAD_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>

#include "tests/support/client.h"
#include "tests/support/process.h"

namespace weir::testing {

// One of examples/services on a free port of 127.0.0.1. Returns when it answers.
class DemoService {
 public:
  explicit DemoService(const std::string& name = "users");
  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  std::uint16_t port_;
  std::unique_ptr<Process> process_;
};

struct Usage {
  std::size_t rss_kib = 0;
  std::size_t threads = 0;
  std::size_t descriptors = 0;
};
std::ostream& operator<<(std::ostream& out, const Usage& usage);
// All 0 when there is no such process.
Usage usage_of(pid_t pid);

struct Served {
  std::size_t asked = 0;
  std::size_t ok = 0;       // answered as expected
  std::string first_fault;  // of those that were not
  std::chrono::microseconds p50{0};
  std::chrono::microseconds p99{0};

  double share() const { return asked == 0 ? 0 : static_cast<double>(ok) / static_cast<double>(asked); }
};
std::ostream& operator<<(std::ostream& out, const Served& served);

struct LoadOptions {
  std::string source = "127.0.0.1";
  std::string target = "/users/1";
  int threads = 4;
  int requests_per_connection = 50;
  std::chrono::milliseconds pause{1};
};

class Load {
 public:
  Load(std::uint16_t port, LoadOptions options) : port_(port), options_(std::move(options)) {}

  // So many requests, or as many as there are until `stop` is set.
  Served run(std::size_t requests) const;
  Served run_until(const std::atomic<bool>& stop) const;

 private:
  Served run(std::size_t requests, const std::atomic<bool>* stop) const;

  std::uint16_t port_;
  LoadOptions options_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_LOAD_H_
