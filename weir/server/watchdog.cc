// How a stack is asked for: the watchdog sets the record's state to `asked` and sends SIGURG with the record's address to the
// thread; the handler takes it from `asked` to `taking`, writes the frames and ends with `taken`. A thread that does not
// answer in time (it is in the kernel, not to be interrupted) is given up by asked -> idle, so that an answer that comes
// late writes nothing.
//
// backtrace() allocates when it first loads the unwinder, so it is called once before any signal is sent.
#include "weir/server/watchdog.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <semaphore.h>
#include <signal.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "weir/base/check.h"

namespace weir::server {
namespace {

constexpr int kSignal = SIGURG;  // ignored by default, and used for nothing else in here
constexpr int kFramesMax = 48;
constexpr int kOwnFrames = 2;  // the handler, and the kernel's return from it
constexpr Duration kAnswerWithin = std::chrono::milliseconds{200};

enum class State : std::uint8_t { idle, asked, taking, taken };

struct Stack {
  std::atomic<State> state{State::idle};
  std::array<void*, kFramesMax> frames{};
  int count = 0;
  sem_t answered{};
};

void on_signal(int, siginfo_t* info, void*) {
  const int saved = errno;
  if (info->si_code == SI_QUEUE && info->si_value.sival_ptr != nullptr) {
    Stack& stack = *static_cast<Stack*>(info->si_value.sival_ptr);
    State asked = State::asked;
    if (stack.state.compare_exchange_strong(asked, State::taking, std::memory_order_acquire)) {
      stack.count = ::backtrace(stack.frames.data(), kFramesMax);
      stack.state.store(State::taken,
                        std::memory_order_release);  // pairs with where(): the frames are seen there
      ::sem_post(&stack.answered);
    }
  }
  errno = saved;
}

void handle_signal() {
  std::array<void*, 4> first;
  ::backtrace(first.data(), static_cast<int>(first.size()));
  struct sigaction action{};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  WEIR_CHECK(::sigaction(kSignal, &action, nullptr) == 0);
}

// "weir::gateway::Pipeline::admit+0x31", or "weir+0x2f31c" (for addr2line) where the symbol is not exported.
std::string frame_text(void* frame) {
  Dl_info info{};
  std::array<char, 32> offset{};
  if (::dladdr(frame, &info) == 0 || info.dli_fname == nullptr) {
    std::snprintf(offset.data(), offset.size(), "%p", frame);
    return offset.data();
  }
  std::string_view file(info.dli_fname);
  file.remove_prefix(file.rfind('/') + 1);  // npos + 1 is 0
  const char* base = static_cast<const char*>(info.dli_sname != nullptr ? info.dli_saddr : info.dli_fbase);
  std::snprintf(offset.data(), offset.size(), "+0x%tx", static_cast<const char*>(frame) - base);
  if (info.dli_sname == nullptr) return std::string(file) + offset.data();
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(
      abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), &std::free);
  return std::string(status == 0 ? plain.get() : info.dli_sname) + offset.data();
}

std::string seconds_text(Duration duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", std::chrono::duration<double>(duration).count());
  return text.data();
}

}  // namespace

struct Watchdog::Watched {
  Watched(std::string called, const io::EpollReactor& loop, pthread_t runs)
      : name(std::move(called)), reactor(loop), thread(runs) {
    ::sem_init(&stack.answered, 0, 0);
  }
  ~Watched() { ::sem_destroy(&stack.answered); }

  const std::string name;
  const io::EpollReactor& reactor;
  const pthread_t thread;
  std::uint64_t activity = 0;  // at the last look
  TimePoint since{};           // when that was seen first
  bool stuck = false;
  Stack stack;
};

Watchdog::Watchdog(const Options& options, Report report) : options_(options), report_(std::move(report)) {}

Watchdog::~Watchdog() { stop(); }

void Watchdog::watch(std::string name, const io::EpollReactor& reactor, pthread_t thread) {
  watched_.emplace_back(std::move(name), reactor, thread);
}

void Watchdog::start() {
  handle_signal();
  thread_ = std::thread([this] { run(); });
}

void Watchdog::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::run() {
  TimePoint last = clock_.now();
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, options_.look_every, [this] { return stopping_; })) {
    const TimePoint now = clock_.now();
    const bool late = now - last > 3 * options_.look_every;
    last = now;
    lock.unlock();
    for (Watched& watched : watched_) look(watched, now, late);
    lock.lock();
  }
}

void Watchdog::look(Watched& watched, TimePoint now, bool late) {
  const std::uint64_t activity = watched.reactor.activity();
  const bool moved = activity != watched.activity || activity % 2 == 0;  // even: it waits for events
  if (moved && watched.stuck) {
    watched.stuck = false;
    stuck_.fetch_sub(1, std::memory_order_relaxed);
    report_(watched.name + " goes on after " + seconds_text(now - watched.since));
  }
  if (moved || (late && !watched.stuck)) {
    watched.activity = activity;
    watched.since = now;
    return;
  }
  if (watched.stuck || now - watched.since < options_.stuck_after) return;
  watched.stuck = true;
  stuck_.fetch_add(1, std::memory_order_relaxed);
  stalls_.fetch_add(1, std::memory_order_relaxed);
  report_(watched.name + " has been stuck for " + seconds_text(now - watched.since) +
          " at: " + where(watched));
}

std::string Watchdog::where(Watched& watched) {
  Stack& stack = watched.stack;
  stack.state.store(State::asked, std::memory_order_release);
  sigval value{};
  value.sival_ptr = &stack;
  timespec until{};
  ::clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += static_cast<long>(kAnswerWithin.count());
  until.tv_sec += until.tv_nsec / 1'000'000'000;
  until.tv_nsec %= 1'000'000'000;
  const bool sent = ::pthread_sigqueue(watched.thread, kSignal, value) == 0;
  while (sent && ::sem_timedwait(&stack.answered, &until) != 0 && errno == EINTR) {
  }
  State asked = State::asked;
  if (stack.state.compare_exchange_strong(asked, State::idle)) return "(it does not answer)";
  while (stack.state.load(std::memory_order_acquire) == State::taking) ::sem_wait(&stack.answered);
  std::string text;
  for (int i = kOwnFrames; i < stack.count; ++i)
    text.append(text.empty() ? "" : " < ").append(frame_text(stack.frames[static_cast<std::size_t>(i)]));
  return text;
}

}  // namespace weir::server
