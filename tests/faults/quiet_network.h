// A network that allocates nothing: one client, one service, two pipes each, moved by hand.
//
// With it whatever is allocated between a request's first byte and its answer's last is weir's own doing.
#ifndef WEIR_TESTS_FAULTS_QUIET_NETWORK_H_
#define WEIR_TESTS_FAULTS_QUIET_NETWORK_H_

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "weir/io/reactor.h"
#include "weir/io/stream.h"

namespace weir::testing {

struct Pipe {
  std::array<char, 256 * 1024> bytes;
  std::size_t begin = 0;
  std::size_t end = 0;

  std::string_view view() const noexcept { return {bytes.data() + begin, end - begin}; }
  void clear() noexcept { begin = end = 0; }
  void put(std::string_view text) noexcept {
    WEIR_CHECK(end + text.size() <= bytes.size());
    std::memcpy(bytes.data() + end, text.data(), text.size());
    end += text.size();
  }
};

// weir's end. `in` is what it reads, `out` what it writes.
class QuietStream final : public io::Stream {
 public:
  QuietStream(Pipe& in, Pipe& out, io::Address peer) : in_(in), out_(out), peer_(peer) {}

  io::IoResult read(std::span<char> into) noexcept override {
    const std::size_t n = std::min(into.size(), in_.end - in_.begin);
    if (n == 0) {
      clear_ready(io::kReadable);
      return {};
    }
    std::memcpy(into.data(), in_.bytes.data() + in_.begin, n);
    in_.begin += n;
    if (in_.begin == in_.end) in_.clear();
    return {io::IoStatus::ok, ErrorCode::io_error, n};
  }
  io::IoResult write(std::span<const iovec> pieces) noexcept override {
    std::size_t n = 0;
    for (const iovec& piece : pieces) {
      out_.put({static_cast<const char*>(piece.iov_base), piece.iov_len});
      n += piece.iov_len;
    }
    return {io::IoStatus::ok, ErrorCode::io_error, n};
  }
  io::IoResult finish_connect() noexcept override { return {io::IoStatus::ok, ErrorCode::io_error, 0}; }
  void shutdown_write() noexcept override {}
  void reset_on_close() noexcept override {}
  io::Address peer() const noexcept override { return peer_; }
  io::Address local() const noexcept override { return {}; }

  // Bytes have been put into its pipe.
  void arrived() noexcept { raise(io::kReadable); }

 private:
  Pipe& in_;
  Pipe& out_;
  io::Address peer_;
};

class QuietReactor final : public io::Reactor {
 public:
  TimePoint now() const noexcept override { return now_; }
  TimePoint precise_now() const noexcept override { return now_; }
  WallTime wall_now() const noexcept override { return WallTime{} + (now_ - TimePoint{}); }
  void post(std::function<void()> work) override { work(); }
  void run() override { run_ready(); }
  void stop() noexcept override {}
  void advance(Duration by) noexcept { now_ += by; }

  Result<std::unique_ptr<io::Listener>> listen(const io::Address&, const io::ListenOptions&) override {
    auto listener = std::make_unique<OneClient>(*this);
    return std::unique_ptr<io::Listener>(std::move(listener));
  }
  Result<std::unique_ptr<io::Stream>> connect(const io::Address& to) override {
    ++connects;
    auto stream = std::make_unique<QuietStream>(from_service, to_service, to);
    service_side = stream.get();
    return std::unique_ptr<io::Stream>(std::move(stream));
  }

  Pipe from_client;
  Pipe to_client;
  Pipe from_service;
  Pipe to_service;
  QuietStream* client_side = nullptr;
  QuietStream* service_side = nullptr;
  int connects = 0;

 private:
  class OneClient final : public io::Listener {
   public:
    explicit OneClient(QuietReactor& reactor) : reactor_(reactor) {}
    Result<std::unique_ptr<io::Stream>> accept() noexcept override {
      if (reactor_.client_side != nullptr) return std::unique_ptr<io::Stream>();
      io::Address peer;
      peer.ip = base::IpAddress::v4(0xc0000201);
      auto stream = std::make_unique<QuietStream>(reactor_.from_client, reactor_.to_client, peer);
      reactor_.client_side = stream.get();
      return std::unique_ptr<io::Stream>(std::move(stream));
    }
    io::Address local() const noexcept override { return {}; }

   private:
    QuietReactor& reactor_;
  };

  void schedule(async::Timer& timer) noexcept override {
    timers_.push_back(timer);
  }  // nothing is ever late here

  TimePoint now_{std::chrono::hours{1}};
  base::IntrusiveList<async::Timer, async::Timer> timers_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_FAULTS_QUIET_NETWORK_H_
