// FaultProxy: stands between the gateway and a service, and lets the network between them go wrong.
//
//   Origin origin;
//   FaultProxy network(origin.port());
//   Gateway gateway(... network.url() ...);
//   Network bad;
//   bad.slice = 1;                       // answers come byte by byte
//   network.set(bad);
//
// Requests pass as they are; the faults meet the answers, which are what a gateway has to understand. What set() says
// counts for whatever comes next, on open connections as well. All chance comes from the seed and the number of the
// connection: the same seed and the same requests meet the same faults. A thread a connection; all end with the proxy.
#ifndef WEIR_TESTS_FAULTS_FAULT_PROXY_H_
#define WEIR_TESTS_FAULTS_FAULT_PROXY_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "tests/support/socket.h"

namespace weir::testing {

// Nothing set: a good network.
struct Network {
  std::chrono::milliseconds latency{0};  // before each piece of an answer
  std::chrono::milliseconds jitter{0};   // up to so much more, drawn for each piece
  std::size_t bytes_per_second = 0;      // 0: as fast as it goes
  std::size_t slice = 0;                 // pieces of at most so many bytes, drawn from 1 up; 0: as they come
  std::chrono::milliseconds slow_close{0};  // the end of a connection comes so much later
  std::optional<std::size_t> reset_after;   // RST behind so many bytes of a connection's answers
  std::optional<std::size_t> cut_after;     // likewise, FIN
  std::size_t corrupt_one_in = 0;           // a bit is turned in one of so many bytes; 0: none
  bool black_hole = false;                  // whatever is sent, nothing comes back, not even an end
};

class FaultProxy {
 public:
  explicit FaultProxy(std::uint16_t to, std::uint64_t seed = 1);
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;
  ~FaultProxy();

  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  void set(const Network& network);
  std::size_t connections() const noexcept { return accepted_; }

 private:
  struct Line;

  void accept_loop();
  void serve(Fd client, std::uint64_t number);
  Network network() const;
  // False when the proxy ends meanwhile.
  bool pause(std::chrono::microseconds time) const;
  bool pass_answer(Line& line, std::string bytes);

  const std::uint16_t to_;
  const std::uint64_t seed_;
  Fd listener_;
  std::uint16_t port_;
  Fd stop_;  // readable once the proxy ends
  mutable std::mutex mutex_;
  Network network_;
  std::atomic<std::size_t> accepted_{0};
  std::list<std::thread> threads_;  // the acceptor's
  std::thread acceptor_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_FAULTS_FAULT_PROXY_H_
