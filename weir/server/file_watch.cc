#include "weir/server/file_watch.h"

#include <sys/stat.h>

#include <chrono>

namespace weir::server {
namespace {

constexpr std::chrono::milliseconds kLook{200};

}  // namespace

FileWatch::FileWatch(std::string path, std::function<void()> changed)
    : path_(std::move(path)), changed_(std::move(changed)), thread_([this] { run(); }) {}

FileWatch::~FileWatch() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void FileWatch::look_again() {
  const std::lock_guard lock(mutex_);
  seen_ = {};
}

FileWatch::Stamp FileWatch::stamp_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino, status.st_size,
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void FileWatch::run() {
  Stamp last = stamp_of(path_);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kLook, [this] { return ended_; })) {
    const Stamp now = stamp_of(path_);
    const bool steady = now == last;
    last = now;
    // A file that is gone for a moment (moved away, its successor on the way) is no change yet.
    if (!steady || now == seen_ || now == Stamp{}) continue;
    seen_ = now;
    lock.unlock();
    changed_();
    lock.lock();
  }
}

}  // namespace weir::server
