// FileWatch: calls back when a file has changed.
//
// A thread that looks at the file's inode, size and time of change five times a second: that works for files
// that are replaced by a rename, for symbolic links that are pointed elsewhere (as Kubernetes does) and on
// every file system, where notifications miss one or another. A change is reported once it has stood still
// for one look, so that a file is not read while it is being written. The first look is one, too: nobody knows
// whether the file has changed between being read and being watched, so `changed` must bear to find nothing new.
#ifndef WEIR_SERVER_FILE_WATCH_H_
#define WEIR_SERVER_FILE_WATCH_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>

namespace weir::server {

class FileWatch {
 public:
  // `changed` runs on the watch's own thread.
  FileWatch(std::string path, std::function<void()> changed);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  const std::string& path() const noexcept { return path_; }
  // The file as it is now counts as changed.
  void look_again();

 private:
  // Device, inode, size, time of change in ns; zeros when it cannot be read.
  using Stamp = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>;
  static Stamp stamp_of(const std::string& path);
  void run();

  const std::string path_;
  const std::function<void()> changed_;
  std::mutex mutex_;
  Stamp seen_{};  // zeros: not looked at yet
  std::condition_variable wake_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace weir::server

#endif  // WEIR_SERVER_FILE_WATCH_H_
