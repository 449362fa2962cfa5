// RedisServer: Debian's redis-server on a free port of 127.0.0.1, for the tests of shared state.
//
//   RedisServer redis;
//   if (!redis.available()) GTEST_SKIP() << "no redis-server here";
//   Gateway gateway("redis: {url: " + redis.url() + "} ...");
//   redis.kill();                   // as a crash would: nothing is saved
//   redis.start();                  // on the same port, empty
//
// Nothing is written to disk, and it does not outlive the test.
#ifndef WEIR_TESTS_SUPPORT_REDIS_H_
#define WEIR_TESTS_SUPPORT_REDIS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace weir::testing {

class RedisServer {
 public:
  // `extra`: more arguments, such as {"--requirepass", "secret"}. Returns when it answers.
  explicit RedisServer(std::vector<std::string> extra = {});

  // False where the package is not installed.
  bool available() const noexcept { return available_; }
  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }

  void start();
  void kill();    // SIGKILL
  void freeze();  // SIGSTOP: connections stay, nothing answers
  void thaw();    // SIGCONT

  // The raw answer to an inline command such as "FLUSHALL" or "SCRIPT FLUSH".
  std::string ask(const std::string& command) const;

 private:
  std::vector<std::string> extra_;
  bool available_;
  std::uint16_t port_;
  TemporaryFolder folder_;
  std::unique_ptr<Process> process_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_REDIS_H_
