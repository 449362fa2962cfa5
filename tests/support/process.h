// Process: a program under test, started, listened to and ended.
//
//   Process gateway({binary, "run", "weir.yaml"});
//   ASSERT_TRUE(gateway.wait_for_err("listening on"));
//   gateway.signal(SIGTERM);
//   EXPECT_EQ(gateway.wait(), 0);
//
// Whatever happens, the program does not outlive its Process: the destructor kills it, and the kernel does
// when the test itself dies (PR_SET_PDEATHSIG; start it from the main thread, whose end is what the kernel
// watches). One thread reads both pipes, so a talkative program never blocks on a full one.
#ifndef WEIR_TESTS_SUPPORT_PROCESS_H_
#define WEIR_TESTS_SUPPORT_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/socket.h"
#include "tests/support/wait.h"

namespace weir::testing {

class Process {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  // `argv[0]` is a path. `environment` is added to the test's own.
  explicit Process(std::vector<std::string> argv, Environment environment = {});
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const;
  // The exit code, or 128 + the signal that ended it; nothing when it still runs after `bound`.
  std::optional<int> wait(std::chrono::milliseconds bound = kPatience);
  bool running();

  std::string out() const;
  std::string err() const;
  // True once `text` has appeared on standard error; false when
  // the program ended, or time passed, without it.
  bool wait_for_err(std::string_view text, std::chrono::milliseconds bound = kPatience);

 private:
  void read_pipes();
  void reap(int status);

  pid_t pid_ = -1;
  Fd out_pipe_;
  Fd err_pipe_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_;
  std::string err_;
  bool pipes_closed_ = false;
  std::optional<int> exit_code_;  // main thread only
  std::thread reader_;
};

// Runs a program to its end.
struct Finished {
  int exit_code = -1;  // -1: it did not end in time and was killed
  std::string out;
  std::string err;
};
Finished run(std::vector<std::string> argv, Process::Environment environment = {});

// A folder that is removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  const std::string& path() const noexcept { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Replaces the file in one step, as an editor does; gives its path.
  std::string write(std::string_view name, std::string_view text) const;

 private:
  std::string path_;
};

// All bytes of a file; "" when there is none.
std::string read_file(const std::string& path);

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_PROCESS_H_
