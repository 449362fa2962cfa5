// The lanes and the thread that empties them.
//
//   (1) head_ and tail_ of a lane count bytes ever taken and ever put; tail_ - head_ <= size_ always. The
//       producer alone stores tail_, the thread alone head_.
//   (2) Bytes are in the ring before tail_ is stored with release, and out of it before head_ is; the other
//       side loads with acquire. So the thread never sees half a line, and the producer never overwrites
//       unwritten bytes.
//   (3) The producer looks at head_ only when its last sight of it leaves no room, or about once for every
//       half ring it has written: the line of the cache that the thread writes to is left alone otherwise.
//   (4) What a failing write leaves is dropped up to the tail that was seen; if that tore a line, the next
//       write begins with a line feed, so that one fault spoils at most one line of the file.
//
// A borrowed stdout is never made non-blocking: the flag would hit everybody who shares the open file. A
// second open file on /proc/self/fd/1 takes it instead; where that cannot be had (a socket), the thread asks
// poll() first and writes at most PIPE_BUF bytes, which a writable pipe takes without blocking (POSIX,
// write()).
#include "weir/gateway/access_log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>

#include "weir/base/check.h"

namespace weir::gateway {
namespace {

constexpr std::string_view kStdout = "stdout";

// O_NONBLOCK changes nothing for a regular file; a pipe then answers EAGAIN instead of holding the thread.
constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

int milliseconds(Duration time) {
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(time).count());
}

struct Opened {
  int fd = -1;
  bool shared = false;
};

Opened open_stdout() {
  struct stat status{};
  if (::fstat(STDOUT_FILENO, &status) != 0) return {};
  Opened opened;
  // A regular file keeps the position it shares with the shell that redirected it; anything else gets an open
  // file of its own.
  if (!S_ISREG(status.st_mode)) {
    opened.fd = ::open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  }
  if (opened.fd < 0) {
    opened.fd = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    opened.shared = !S_ISREG(status.st_mode);
  }
  return opened;
}

}  // namespace

AccessLogWriter::Lane::Lane(AccessLogWriter& owner, std::size_t bytes)
    : owner_(owner),
      size_(std::bit_ceil(std::max<std::size_t>(bytes, 64))),
      bytes_(std::make_unique_for_overwrite<char[]>(size_)),
      wake_at_(size_ / 2) {}

bool AccessLogWriter::Lane::write(std::string_view line) noexcept {
  WEIR_DCHECK(line.find('\n') == std::string_view::npos);
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);  // only this thread stores it
  const std::uint64_t after = tail + line.size() + 1;
  if (after - seen_head_ > size_) {
    seen_head_ = head_.load(std::memory_order_acquire);  // the thread has finished with what is before it
    if (after - seen_head_ > size_) {
      dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return false;
    }
  }
  put(tail, line);
  bytes_[(after - 1) & (size_ - 1)] = '\n';
  tail_.store(after, std::memory_order_release);  // the thread may read the bytes from here on
  if (after >= wake_at_) wake_when_half_full(after);
  return true;
}

void AccessLogWriter::Lane::put(std::uint64_t at, std::string_view bytes) noexcept {
  if (bytes.empty()) return;
  const std::size_t from = at & (size_ - 1);
  const std::size_t first = std::min(bytes.size(), size_ - from);
  std::memcpy(&bytes_[from], bytes.data(), first);
  std::memcpy(&bytes_[0], bytes.data() + first, bytes.size() - first);
}

// The thread may have emptied the lane meanwhile: then the mark only moves on. Otherwise it is woken, and
// again after each further eighth, in case it was busy with another lane.
void AccessLogWriter::Lane::wake_when_half_full(std::uint64_t tail) noexcept {
  seen_head_ = head_.load(std::memory_order_acquire);
  if (tail - seen_head_ < size_ / 2) {
    wake_at_ = seen_head_ + size_ / 2;
    return;
  }
  wake_at_ = tail + size_ / 8;
  owner_.wake();
}

Result<std::unique_ptr<AccessLogWriter>> AccessLogWriter::open(std::string to, std::size_t lanes,
                                                               AccessLogOptions options) {
  Opened opened;
  if (to == kStdout) {
    opened = open_stdout();
  } else {
    opened.fd = ::open(to.c_str(), kFlags, 0640);
  }
  if (opened.fd < 0) return Error::from_errno(errno, "open " + to, ErrorSource::configuration);
  const int wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    const int number = errno;
    ::close(opened.fd);
    return Error::from_errno(number, "eventfd");
  }
  return std::unique_ptr<AccessLogWriter>(
      new AccessLogWriter(std::move(to), opened.fd, opened.shared, wake_fd, lanes, options));
}

AccessLogWriter::AccessLogWriter(std::string to, int fd, bool shared, int wake_fd, std::size_t lanes,
                                 AccessLogOptions options)
    : to_(std::move(to)), options_(options), wake_fd_(wake_fd), fd_(fd), shared_(shared) {
  WEIR_CHECK(options_.round > Duration::zero());
  for (std::size_t i = 0; i < lanes; ++i) {
    lanes_.push_back(std::make_unique<Lane>(*this, options_.lane_bytes));
  }
  // The thread starts with every signal blocked: signals belong to the main thread, and SIGPIPE must come
  // back from write() as EPIPE.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(thread_.native_handle(), "weir-log");
}

AccessLogWriter::~AccessLogWriter() {
  stop_.store(true, std::memory_order_release);  // after the last lines, before the last round
  wake();
  thread_.join();
  const int next = next_fd_.load(std::memory_order_relaxed);
  if (next >= 0) ::close(next);
  ::close(fd_);
  ::close(wake_fd_);
}

AccessLogWriter::Lane& AccessLogWriter::lane(std::size_t i) {
  WEIR_CHECK(i < lanes_.size());
  return *lanes_[i];
}

Result<void> AccessLogWriter::reopen() {
  if (to_ == kStdout) return {};
  const int fd = ::open(to_.c_str(), kFlags, 0640);
  if (fd < 0) return Error::from_errno(errno, "open " + to_, ErrorSource::configuration);
  const int unused = next_fd_.exchange(fd, std::memory_order_acq_rel);
  if (unused >= 0) ::close(unused);  // a rotation that the thread had not come to yet
  wake();
  return {};
}

std::uint64_t AccessLogWriter::dropped() const noexcept {
  std::uint64_t sum = lost_.load(std::memory_order_relaxed);
  for (const auto& lane : lanes_) sum += lane->dropped_.load(std::memory_order_relaxed);
  return sum;
}

void AccessLogWriter::wake() noexcept {
  const std::uint64_t one = 1;
  // It can only fail when the counter is full, and then a wake-up is pending anyhow.
  [[maybe_unused]] const ssize_t wrote = ::write(wake_fd_, &one, sizeof one);
}

void AccessLogWriter::run() noexcept {
  for (bool last = false; !last;) {
    pollfd waiting{wake_fd_, POLLIN, 0};
    ::poll(&waiting, 1, milliseconds(options_.round));
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &count, sizeof count);
    last = stop_.load(std::memory_order_acquire);  // before the round: what preceded the stop is in it
    switch_file();
    for (const auto& lane : lanes_) drain(*lane);
  }
}

void AccessLogWriter::switch_file() noexcept {
  const int next = next_fd_.exchange(-1, std::memory_order_acq_rel);
  if (next < 0) return;
  ::close(fd_);
  fd_ = next;
  shared_ = false;
  torn_ = false;
}

// Empties a lane up to the tail seen now, so that one busy worker cannot keep the thread from the others.
void AccessLogWriter::drain(Lane& lane) noexcept {
  const std::uint64_t tail = lane.tail_.load(std::memory_order_acquire);
  std::uint64_t head = lane.head_.load(std::memory_order_relaxed);  // only this thread stores it
  if (head == tail) return;
  const std::size_t mask = lane.size_ - 1;
  bool taken = !torn_ || write_some("\n", 1) == 1;
  while (taken && head != tail) {
    const std::size_t from = head & mask;
    const std::size_t wrote = write_some(&lane.bytes_[from], std::min(tail - head, lane.size_ - from));
    taken = wrote > 0;
    if (!taken) break;
    head += wrote;
    torn_ = lane.bytes_[(head - 1) & mask] != '\n';
    lane.head_.store(head, std::memory_order_release);  // the producer may overwrite what is before it
  }
  if (taken) return;
  std::uint64_t lines = 0;
  for (; head != tail; ++head) lines += static_cast<std::uint64_t>(lane.bytes_[head & mask] == '\n');
  lost_.fetch_add(lines, std::memory_order_relaxed);
  lane.head_.store(head, std::memory_order_release);
}

// One write of at most `size` bytes; how many went out. Zero: the file takes no more for now.
std::size_t AccessLogWriter::write_some(const char* data, std::size_t size) noexcept {
  if (shared_) size = std::min<std::size_t>(size, PIPE_BUF);
  for (bool wait_first = shared_;; wait_first = true) {
    if (wait_first && !wait_writable()) return 0;
    ssize_t wrote = 0;
    do wrote = ::write(fd_, data, size);
    while (wrote < 0 && errno == EINTR);
    if (wrote > 0) return static_cast<std::size_t>(wrote);
    if (wrote == 0 || errno != EAGAIN) return 0;
  }
}

// Waits for a reader that takes nothing: as long as it needs, but not when a new file is at hand, and at the
// end only until `patience` is used up. The lanes fill meanwhile and their producers drop and count.
bool AccessLogWriter::wait_writable() noexcept {
  for (;;) {
    if (next_fd_.load(std::memory_order_relaxed) >= 0) return false;
    if (stalled_ >= options_.patience) return false;
    pollfd waiting{fd_, POLLOUT, 0};
    if (::poll(&waiting, 1, milliseconds(options_.round)) > 0) return true;
    if (stop_.load(std::memory_order_relaxed)) stalled_ += options_.round;
  }
}

}  // namespace weir::gateway
