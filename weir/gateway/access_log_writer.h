// AccessLogWriter: takes finished lines from the workers and writes them in the background.
//
// Each worker has a lane, a ring of bytes with one writer and one reader. Writing a line is a copy and one
// store: it takes no lock, makes no system call (save one wake-up when a lane has become half full) and never
// waits. One thread empties the lanes every 50 ms. When a lane is full, or the file cannot be written (disk
// full, reader of the pipe gone or stuck), lines are dropped whole and counted; the gateway goes on.
//
//   Result<std::unique_ptr<AccessLogWriter>> log = AccessLogWriter::open("stdout", workers);
//   if (!log) return log.error();
//   AccessLogWriter::Lane& lane = (*log)->lane(worker);       // kept by the worker
//   lane.write(R"({"time":"...","status":200})");             // without the line's end
//
// Bounds: lane_bytes a lane. 1 MiB holds about 4,000 lines of 250 bytes; with 50 ms between two rounds that is
// 40,000 lines a second a worker before the wake-up of a half-full lane is even needed. Lines of different
// lanes are not ordered; each carries its time. Cost: access_log_writer_bench.cc, about 10 ns a line.
//
// Not for diagnostics: those are rare, wanted at once and must survive a crash.
#ifndef WEIR_GATEWAY_ACCESS_LOG_WRITER_H_
#define WEIR_GATEWAY_ACCESS_LOG_WRITER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/result.h"

namespace weir::gateway {

struct AccessLogOptions {
  std::size_t lane_bytes = std::size_t{1} << 20;   // rounded up to a power of two, at least 64
  Duration round = std::chrono::milliseconds{50};  // how long a line may lie before it is written
  Duration patience = std::chrono::seconds{1};     // at the end: the wait for a reader that takes nothing
};

class AccessLogWriter {
 public:
  // The ring of one worker. One thread writes; it must have stopped before the writer is destroyed.
  class Lane {
   public:
    Lane(AccessLogWriter& owner, std::size_t bytes);

    // Puts `line` and a line feed behind what is there: all of it, or, when there is no room, nothing. False
    // means dropped and counted. `line` holds no line feed of its own.
    bool write(std::string_view line) noexcept;

   private:
    friend class AccessLogWriter;

    void put(std::uint64_t at, std::string_view bytes) noexcept;
    void wake_when_half_full(std::uint64_t tail) noexcept;

    AccessLogWriter& owner_;
    const std::size_t size_;
    const std::unique_ptr<char[]> bytes_;

    // The producer's line: what it writes, and its last sight of head_.
    alignas(64) std::atomic<std::uint64_t> tail_{0};  // bytes ever written
    std::uint64_t seen_head_ = 0;
    std::uint64_t wake_at_;
    std::atomic<std::uint64_t> dropped_{0};
    // The consumer's line.
    alignas(64) std::atomic<std::uint64_t> head_{0};  // bytes ever taken out
  };

  // Opens `to`, "stdout" or a path (created with mode 0640, appended to), and starts the thread. Errors: as
  // the operating system says; a named pipe without a reader is an error too.
  static Result<std::unique_ptr<AccessLogWriter>> open(std::string to, std::size_t lanes,
                                                       AccessLogOptions options = {});
  // Writes out what the lanes hold, waiting at most `patience` for a reader that takes nothing.
  ~AccessLogWriter();
  AccessLogWriter(const AccessLogWriter&) = delete;  // lanes point back to their writer
  AccessLogWriter& operator=(const AccessLogWriter&) = delete;

  Lane& lane(std::size_t i);

  // After a rotation: opens the path anew and goes on there; lines still in a lane may go to either file. On
  // an error the old file stays in use. Nothing to do for stdout. Any thread, one at a time.
  Result<void> reopen();

  // Lines that did not reach the file: no room in a lane, or not written. Any thread.
  std::uint64_t dropped() const noexcept;

 private:
  AccessLogWriter(std::string to, int fd, bool shared, int wake_fd, std::size_t lanes,
                  AccessLogOptions options);

  void run() noexcept;
  void drain(Lane& lane) noexcept;
  std::size_t write_some(const char* data, std::size_t size) noexcept;
  bool wait_writable() noexcept;
  void switch_file() noexcept;
  void wake() noexcept;

  const std::string to_;
  const AccessLogOptions options_;
  const int wake_fd_;  // eventfd: a wake-up sent while the thread works is not lost
  std::vector<std::unique_ptr<Lane>> lanes_;

  // The thread's own.
  int fd_;
  bool shared_;  // the open file is also somebody else's: it may block, and must not be made non-blocking
  bool torn_ = false;   // the last byte in the file is not a line feed
  Duration stalled_{};  // time waited for a reader since the stop

  std::atomic<int> next_fd_{-1};  // from reopen() to the thread
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> lost_{0};
  std::thread thread_;
};

}  // namespace weir::gateway

#endif  // WEIR_GATEWAY_ACCESS_LOG_WRITER_H_
