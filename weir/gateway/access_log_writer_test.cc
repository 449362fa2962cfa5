#include "weir/gateway/access_log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "weir/base/random.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;

// A folder of the test's own, removed with all that is in it.
class AccessLog : public testing::Test {
 protected:
  AccessLog() {
    std::string pattern = testing::TempDir() + "weir-access-log-XXXXXX";
    WEIR_CHECK(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~AccessLog() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string fifo() const {
    WEIR_CHECK(::mkfifo(path("fifo").c_str(), 0600) == 0);
    return path("fifo");
  }

  static std::unique_ptr<AccessLogWriter> open(const std::string& to, std::size_t lanes,
                                               AccessLogOptions options) {
    auto opened = AccessLogWriter::open(to, lanes, options);
    WEIR_CHECK(opened.has_value());
    return std::move(*opened);
  }
  static AccessLogOptions small(std::size_t lane_bytes) {
    AccessLogOptions options;
    options.lane_bytes = lane_bytes;
    options.round = milliseconds{1};
    options.patience = milliseconds{5};
    return options;
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::vector<std::string> lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  }
  // Yields until the file holds `bytes` bytes; what it waits for is certain to come.
  static void await_size(const std::string& path, std::size_t bytes) {
    while (!std::filesystem::exists(path) || std::filesystem::file_size(path) < bytes)
      std::this_thread::yield();
  }
  // Fills a pipe that has a reader, so that it takes nothing more.
  static void fill(const std::string& pipe) {
    const int writer = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK);
    const std::string junk(4096, '.');
    while (::write(writer, junk.data(), junk.size()) > 0) {
    }
    ::close(writer);
  }
  // Writes until the lane has room, so that nothing is dropped; the refusals on the way are returned.
  static std::uint64_t insist(AccessLogWriter::Lane& lane, std::string_view line) {
    std::uint64_t refused = 0;
    for (; !lane.write(line); ++refused) std::this_thread::yield();
    return refused;
  }

  std::string folder_;
};

// What was written before the end is in the file after it, in order, each line ended.
TEST_F(AccessLog, HoldsEveryLineAfterItsEnd) {
  {
    auto log = open(path("log"), 1, {});
    EXPECT_TRUE(log->lane(0).write("one"));
    EXPECT_TRUE(log->lane(0).write(""));
    EXPECT_TRUE(log->lane(0).write("three"));
    EXPECT_EQ(log->dropped(), 0U);
  }
  EXPECT_EQ(content(path("log")), "one\n\nthree\n");
}

// A file that is there is continued, never emptied.
TEST_F(AccessLog, AppendsToWhatIsThere) {
  std::ofstream(path("log")) << "before\n";
  open(path("log"), 1, {})->lane(0).write("after");
  EXPECT_EQ(content(path("log")), "before\nafter\n");
}

// A lone line does not wait for the lane to fill.
TEST_F(AccessLog, WritesALoneLineSoon) {
  auto log = open(path("log"), 1, small(4096));
  log->lane(0).write("alone");
  await_size(path("log"), 6);
  EXPECT_EQ(content(path("log")), "alone\n");
}

// A half-full lane wakes the thread, however long a round is.
TEST_F(AccessLog, AHalfFullLaneIsWrittenAtOnce) {
  AccessLogOptions options;
  options.lane_bytes = 1024;
  options.round = std::chrono::hours{1};
  auto log = open(path("log"), 1, options);
  std::string expected;
  for (int lap = 0; lap < 5; ++lap) {  // the mark moves on with each lap
    for (int i = 0; i < 8; ++i) {
      const std::string line(70, static_cast<char>('a' + i));  // the mark lies within the eighth
      ASSERT_TRUE(log->lane(0).write(line));
      expected += line + "\n";
    }
    await_size(path("log"), expected.size());
  }
  EXPECT_EQ(content(path("log")), expected);
  EXPECT_EQ(log->dropped(), 0U);
}

// Whole lines or nothing, at every fill level and every position in the ring: against a model that knows only
// sizes.
TEST_F(AccessLog, DropsWholeLinesOnly) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::Random random(seed);
    const std::string file = path("log" + std::to_string(seed));
    std::string expected;
    std::uint64_t refused = 0;
    {
      auto log = open(file, 1, small(64));
      for (int i = 0; i < 500; ++i) {
        const std::string line(random.below(70), static_cast<char>('a' + i % 26));
        if (line.size() >= 64) {
          EXPECT_FALSE(log->lane(0).write(line)) << "longer than the ring";
          ++refused;
        } else if (random.chance(1, 2)) {
          refused += insist(log->lane(0), line);
          expected += line + "\n";
        } else if (log->lane(0).write(line)) {
          expected += line + "\n";
        } else {
          ++refused;
        }
      }
      EXPECT_EQ(log->dropped(), refused);
    }
    EXPECT_EQ(content(file), expected);
  }
}

// Several workers at once: each one's lines are whole, in order, and each was either written or counted as
// dropped.
TEST_F(AccessLog, KeepsTheLanesOfSeveralThreadsApart) {
  constexpr std::size_t kThreads = 4;
  constexpr int kLines = 20'000;
  std::vector<std::uint64_t> accepted(kThreads);
  std::uint64_t dropped = 0;
  {
    auto log = open(path("log"), kThreads, small(4096));
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kLines; ++i) {
          const std::string line =
              std::to_string(t) + " " + std::to_string(i) + " " + std::string(i % 50, 'x') + "#";
          accepted[t] += log->lane(t).write(line) ? 1U : 0U;
          if (i % 16 == 0) std::this_thread::yield();
        }
      });
    }
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(log->reopen());  // and rotations meanwhile
    for (std::thread& thread : threads) thread.join();
    dropped = log->dropped();
  }
  std::map<std::size_t, std::uint64_t> seen;
  std::map<std::size_t, int> last;
  for (const std::string& line : lines(path("log"))) {
    std::istringstream words(line);
    std::size_t t = 0;
    int i = 0;
    std::string rest;
    words >> t >> i >> rest;
    ASSERT_EQ(rest, std::string(static_cast<std::size_t>(i % 50), 'x') + "#") << line;
    const bool later = !last.contains(t) || i > last[t];
    ASSERT_TRUE(later) << line;
    last[t] = i;
    ++seen[t];
  }
  std::uint64_t total = 0;
  for (std::size_t t = 0; t < kThreads; ++t) {
    EXPECT_EQ(seen[t], accepted[t]) << t;
    total += accepted[t];
  }
  EXPECT_EQ(total + dropped, kThreads * kLines);
}

// After a rotation new lines go to the new file and the old one is let go.
TEST_F(AccessLog, GoesOnInANewFileAfterARotation) {
  auto log = open(path("log"), 1, small(4096));
  log->lane(0).write("old");
  await_size(path("log"), 4);
  std::filesystem::rename(path("log"), path("log.1"));
  ASSERT_TRUE(log->reopen());
  ASSERT_TRUE(log->reopen());  // a second signal before the first was acted on
  // Lines may still go to the old file until the thread has come round; one is certain to reach the new one.
  while (std::filesystem::file_size(path("log")) == 0) {
    log->lane(0).write("new");
    std::this_thread::yield();
  }
  log.reset();
  EXPECT_EQ(lines(path("log.1")).front(), "old");
  for (const std::string& line : lines(path("log"))) EXPECT_EQ(line, "new");
}

// A rotation that fails keeps the old file in use and says why.
TEST_F(AccessLog, KeepsTheOldFileWhenTheNewOneCannotBeOpened) {
  std::filesystem::create_directory(path("sub"));
  auto log = open(path("sub/log"), 1, small(4096));
  std::filesystem::rename(path("sub"), path("moved"));
  const Result<void> reopened = log->reopen();
  ASSERT_FALSE(reopened);
  EXPECT_EQ(reopened.error().code, ErrorCode::not_found);
  log->lane(0).write("still here");
  log.reset();
  EXPECT_EQ(content(path("moved/log")), "still here\n");
}

// What cannot be opened is an error with the path in it, not a gateway without a log.
TEST_F(AccessLog, SaysWhatItCannotOpen) {
  const auto opened = AccessLogWriter::open(path("no/such/folder"), 1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::not_found);
  EXPECT_NE(opened.error().detail.find("no/such/folder"), std::string::npos);
  EXPECT_FALSE(AccessLogWriter::open(fifo(), 1)) << "a pipe without a reader would hold the start";
}

// A full disk costs lines, and they are counted.
TEST_F(AccessLog, CountsWhatAFullDiskRefuses) {
  auto log = open("/dev/full", 2, small(4096));
  for (int i = 0; i < 10; ++i) log->lane(i % 2).write("lost");
  while (log->dropped() < 10) std::this_thread::yield();
  EXPECT_EQ(log->dropped(), 10U);
}

// A reader that goes away costs lines; what comes after its return is whole again, even if a line was torn.
TEST_F(AccessLog, MendsALineTornByAReaderThatWentAway) {
  const std::string pipe = fifo();
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const int capacity = ::fcntl(reader, F_GETPIPE_SZ);
  auto log = open(pipe, 1, small(1 << 20));
  const std::string line(static_cast<std::size_t>(capacity) * 2 / 3, 'x');  // the second one cannot fit whole
  log->lane(0).write(line);
  log->lane(0).write(line);
  char byte = 0;
  while (::read(reader, &byte, 1) != 1) std::this_thread::yield();
  ::close(reader);  // what lies in the pipe stays there, since the log still has it open
  while (log->dropped() < 1) {
    log->lane(0).write("nobody");
    std::this_thread::yield();
  }
  const int again = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(again, 0);
  std::string read;
  while (!read.ends_with("back\n")) {
    log->lane(0).write("back");
    char buffer[4096];
    const ssize_t n = ::read(again, buffer, sizeof buffer);
    if (n > 0) read.append(buffer, static_cast<std::size_t>(n));
  }
  log.reset();
  ::close(again);
  std::istringstream all(read);
  for (std::string each; std::getline(all, each);) {
    if (each.find_first_not_of('x') == std::string::npos)
      continue;  // the first line, and the torn one or nothing
    EXPECT_TRUE(each == "back" || each == "nobody") << each.substr(0, 80);
  }
}

// A reader that is there and takes nothing holds nobody: producers drop and count, and the end comes.
TEST_F(AccessLog, AStuckReaderHoldsNeitherTheProducerNorTheEnd) {
  const std::string pipe = fifo();
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  fill(pipe);
  auto log = open(pipe, 2, small(4096));
  const std::string line(1000, 'x');
  for (int i = 0; log->dropped() < 100; ++i) {
    log->lane(i % 2).write(line);
    std::this_thread::yield();
  }
  log.reset();  // within `patience`
  ::close(reader);
}

// A new file frees the thread from a stuck reader.
TEST_F(AccessLog, ARotationFreesItFromAStuckReader) {
  const std::string pipe = fifo();
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  fill(pipe);
  int full = 0;
  ASSERT_EQ(::ioctl(reader, FIONREAD, &full), 0);
  char page[4096];
  ASSERT_EQ(::read(reader, page, sizeof page), static_cast<ssize_t>(sizeof page));
  auto log = open(pipe, 1, small(8192));
  log->lane(0).write(std::string(6000, 'x'));
  // Once the pipe is full again the thread has put a page there and cannot go on.
  for (int held = 0; held < full; std::this_thread::yield()) ASSERT_EQ(::ioctl(reader, FIONREAD, &held), 0);
  std::filesystem::remove(pipe);
  ASSERT_TRUE(log->reopen());
  while (!std::filesystem::exists(pipe) || std::filesystem::file_size(pipe) == 0) {
    log->lane(0).write("free");
    std::this_thread::yield();
  }
  EXPECT_GE(log->dropped(), 1U) << "the torn line";
  log.reset();
  ::close(reader);
  for (const std::string& line : lines(pipe)) EXPECT_EQ(line, "free");
}

// Standard output, be it a file, a pipe or a socket: the lines arrive and the descriptor's flags stay as they
// were.
TEST_F(AccessLog, WritesToStandardOutput) {
  std::fflush(stdout);
  for (const std::string kind : {"file", "pipe", "socket"}) {
    const int saved = ::dup(STDOUT_FILENO);
    int ends[2] = {-1, -1};
    if (kind == "file") {
      ends[1] = ::open(path("out").c_str(), O_RDWR | O_CREAT, 0600);
      ends[0] = ::open(path("out").c_str(), O_RDONLY);
    } else if (kind == "pipe") {
      ASSERT_EQ(::pipe(ends), 0);
    } else {
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    }
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[1]);
    {
      auto log = open("stdout", 1, small(4096));
      log->lane(0).write("to stdout");
      EXPECT_TRUE(log->reopen()) << "nothing to do";
    }
    const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
    ::dup2(saved, STDOUT_FILENO);
    ::close(saved);
    EXPECT_EQ(flags & O_NONBLOCK, 0) << kind;
    char buffer[64] = {};
    EXPECT_EQ(::read(ends[0], buffer, sizeof buffer), 10) << kind;
    EXPECT_STREQ(buffer, "to stdout\n") << kind;
    ::close(ends[0]);
  }
}

}  // namespace
}  // namespace weir::gateway
