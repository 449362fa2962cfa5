// For tests of this part: a reactor whose time moves by hand and whose connections do exactly what the test
// says, one operation at a time.
#ifndef WEIR_UPSTREAM_TESTING_H_
#define WEIR_UPSTREAM_TESTING_H_

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/io/reactor.h"
#include "weir/io/stream.h"

namespace weir::upstream::testing {

class FakeReactor;

class FakeStream final : public io::Stream {
 public:
  FakeStream(FakeReactor& reactor, io::Address to);
  ~FakeStream() override;

  io::IoResult read(std::span<char> into) noexcept override {
    if (!incoming.empty()) {
      std::string& front = incoming.front();
      const std::size_t n = std::min(into.size(), front.size());
      std::memcpy(into.data(), front.data(), n);
      front.erase(0, n);
      if (front.empty()) incoming.pop_front();
      return {io::IoStatus::ok, ErrorCode::io_error, n};
    }
    if (reset) return {io::IoStatus::error, ErrorCode::connection_reset, 0};
    if (ended) return {io::IoStatus::end, ErrorCode::connection_closed, 0};
    clear_ready(io::kReadable);
    return {};
  }
  io::IoResult write(std::span<const iovec> pieces) noexcept override {
    if (write_error) return {io::IoStatus::error, ErrorCode::connection_reset, 0};
    std::size_t taken = 0;
    for (const iovec& piece : pieces) {
      const std::size_t n = std::min(piece.iov_len, room - taken);
      written.append(static_cast<const char*>(piece.iov_base), n);
      taken += n;
    }
    room -= taken;
    if (taken != 0) return {io::IoStatus::ok, ErrorCode::io_error, taken};
    clear_ready(io::kWritable);
    return {};
  }
  io::IoResult finish_connect() noexcept override {
    if (connect_error) return {io::IoStatus::error, ErrorCode::connection_refused, 0};
    if (connecting) return {};
    return {io::IoStatus::ok, ErrorCode::io_error, 0};
  }
  void shutdown_write() noexcept override {}
  void reset_on_close() noexcept override {}
  io::Address peer() const noexcept override { return to_; }
  io::Address local() const noexcept override { return {}; }

  // What the other end does. Each may destroy the stream (an idle connection is dropped): the last thing to
  // do with it.
  void say(std::string bytes) {
    incoming.push_back(std::move(bytes));
    raise(io::kReadable);
  }
  void finish() {
    ended = true;
    raise(io::kReadable | io::kHangup);
  }
  void break_off() {
    reset = true;
    raise(io::kReadable | io::kWritable | io::kHangup | io::kBroken);
  }
  void make_room(std::size_t bytes) {
    room += bytes;
    raise(io::kWritable);
  }

  std::deque<std::string> incoming;  // a read never joins two pieces
  std::string written;
  std::size_t room = SIZE_MAX / 2;
  bool connecting = false;
  bool connect_error = false;
  bool write_error = false;
  bool ended = false;
  bool reset = false;

 private:
  FakeReactor& reactor_;
  io::Address to_;
};

class FakeReactor final : public io::Reactor {
 public:
  TimePoint now() const noexcept override { return now_; }
  TimePoint precise_now() const noexcept override { return now_; }
  WallTime wall_now() const noexcept override { return WallTime{}; }
  Result<std::unique_ptr<io::Listener>> listen(const io::Address&, const io::ListenOptions&) override {
    return Error(ErrorCode::unsupported);
  }
  Result<std::unique_ptr<io::Stream>> connect(const io::Address& to) override {
    if (refuse_connect) return Error(ErrorCode::out_of_descriptors, "socket");
    auto stream = std::make_unique<FakeStream>(*this, to);
    connected.push_back(to);
    return std::unique_ptr<io::Stream>(std::move(stream));
  }
  void post(std::function<void()> work) override { work(); }
  void run() override { run_ready(); }
  void stop() noexcept override {}

  void advance(Duration by) {
    const TimePoint until = now_ + by;
    run_ready();
    for (;;) {
      std::vector<async::Timer*> due;
      base::IntrusiveList<async::Timer, async::Timer> rest;
      async::Timer* next = nullptr;
      while (!timers_.empty()) {
        async::Timer& timer = timers_.pop_front();
        if (timer.due() <= until && (next == nullptr || timer.due() < next->due())) {
          if (next != nullptr) rest.push_back(*next);
          next = &timer;
        } else {
          rest.push_back(timer);
        }
      }
      timers_.splice_back(rest);
      if (next == nullptr) break;
      now_ = std::max(now_, next->due());
      next->on_timer();
      run_ready();
    }
    now_ = until;
  }

  std::vector<FakeStream*> streams;    // alive, oldest first
  std::vector<io::Address> connected;  // every attempt
  bool refuse_connect = false;

 private:
  void schedule(async::Timer& timer) noexcept override { timers_.push_back(timer); }

  TimePoint now_{std::chrono::hours{1}};
  base::IntrusiveList<async::Timer, async::Timer> timers_;
};

inline FakeStream::FakeStream(FakeReactor& reactor, io::Address to) : reactor_(reactor), to_(to) {
  reactor_.streams.push_back(this);
}
inline FakeStream::~FakeStream() { std::erase(reactor_.streams, this); }

}  // namespace weir::upstream::testing

#endif  // WEIR_UPSTREAM_TESTING_H_
