// fork and exec by hand rather than posix_spawn: only code between the two can ask
// the kernel to end the child with its parent. That code calls nothing but
// async-signal-safe functions, so other threads do not matter.
#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "weir/base/check.h"

extern char** environ;

namespace weir::testing {
namespace {

struct Pipe {
  Fd read;
  Fd write;
};

Pipe new_pipe() {
  std::array<int, 2> ends{};
  WEIR_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<std::string> environment_with(const Process::Environment& extra) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : extra) replaced = replaced || text.starts_with(name + "=");
    if (!replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : extra) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// In the child. Never returns.
[[noreturn]] void become(char* const* argv, char* const* envp, int out, int err, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(126);  // the parent ended before the line above
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execve(argv[0], argv, envp);
  ::_exit(127);
}

}  // namespace

Process::Process(std::vector<std::string> argv, Environment environment) {
  Pipe out = new_pipe();
  Pipe err = new_pipe();
  std::vector<std::string> variables = environment_with(environment);
  const std::vector<char*> arguments = pointers(argv);
  const std::vector<char*> entries = pointers(variables);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  WEIR_CHECK(pid_ >= 0);
  if (pid_ == 0) become(arguments.data(), entries.data(), out.write.get(), err.write.get(), parent);
  out_pipe_ = std::move(out.read);
  err_pipe_ = std::move(err.read);
  reader_ = std::thread([this] { read_pipes(); });
}

Process::~Process() {
  if (!exit_code_) {
    ::kill(pid_, SIGKILL);
    wait();
  }
  reader_.join();
}

void Process::read_pipes() {
  std::array<pollfd, 2> sources{{{out_pipe_.get(), POLLIN, 0}, {err_pipe_.get(), POLLIN, 0}}};
  std::array<char, 4096> buffer{};
  while (sources[0].fd >= 0 || sources[1].fd >= 0) {
    ::poll(sources.data(), sources.size(), -1);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (sources[i].fd < 0 || sources[i].revents == 0) continue;
      const ssize_t got = ::read(sources[i].fd, buffer.data(), buffer.size());
      if (got <= 0) {
        sources[i].fd = -1;
        continue;
      }
      const std::lock_guard lock(mutex_);
      (i == 0 ? out_ : err_).append(buffer.data(), static_cast<std::size_t>(got));
      changed_.notify_all();
    }
  }
  const std::lock_guard lock(mutex_);
  pipes_closed_ = true;
  changed_.notify_all();
}

void Process::signal(int number) const { ::kill(pid_, number); }

void Process::reap(int status) {
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::optional<int> Process::wait(std::chrono::milliseconds bound) {
  if (exit_code_) return exit_code_;
  eventually(
      [this] {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        reap(status);
        return true;
      },
      bound);
  if (exit_code_) {
    // The reader gets what is still in the pipes, so that out() and err() are whole once wait() has answered.
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [this] { return pipes_closed_; });
  }
  return exit_code_;
}

bool Process::running() { return !wait(std::chrono::milliseconds{0}).has_value(); }

std::string Process::out() const {
  const std::lock_guard lock(mutex_);
  return out_;
}

std::string Process::err() const {
  const std::lock_guard lock(mutex_);
  return err_;
}

bool Process::wait_for_err(std::string_view text, std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  const auto found = [&] { return err_.find(text) != std::string::npos; };
  changed_.wait_for(lock, bound, [&] { return found() || pipes_closed_; });
  return found();
}

Finished run(std::vector<std::string> argv, Process::Environment environment) {
  Process process(std::move(argv), std::move(environment));
  Finished finished;
  if (const std::optional<int> code = process.wait()) finished.exit_code = *code;
  finished.out = process.out();
  finished.err = process.err();
  return finished;
}

TemporaryFolder::TemporaryFolder() {
  const char* base = std::getenv("TMPDIR");
  path_ = std::string(base == nullptr ? "/tmp" : base) + "/weir-test-XXXXXX";
  WEIR_CHECK(::mkdtemp(path_.data()) != nullptr);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(std::string_view name, std::string_view text) const {
  const std::string path = file(name);
  const std::string fresh = path + ".new";
  std::ofstream(fresh, std::ios::binary) << text;
  std::filesystem::rename(fresh, path);
  return path;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

}  // namespace weir::testing
