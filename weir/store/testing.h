// For tests of this part: a Redis of the simulation that understands RESP and says what the test tells it to.
#ifndef WEIR_STORE_TESTING_H_
#define WEIR_STORE_TESTING_H_

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/async/scope.h"
#include "weir/io/simulated_reactor.h"
#include "weir/io/waiter.h"

namespace weir::store::testing {

using Command = std::vector<std::string>;

inline std::string bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

// Takes a whole command off the front of `bytes`; nothing while it is not all there.
inline std::optional<Command> take_command(std::string& bytes) {
  std::size_t at = 0;
  const auto number = [&](char mark) -> std::optional<std::size_t> {
    const std::size_t end = bytes.find("\r\n", at);
    if (end == std::string::npos || bytes[at] != mark) return std::nullopt;
    const std::size_t value = std::strtoul(bytes.c_str() + at + 1, nullptr, 10);
    at = end + 2;
    return value;
  };
  if (bytes.empty()) return std::nullopt;
  const std::optional<std::size_t> count = number('*');
  if (!count) return std::nullopt;
  Command command;
  for (std::size_t i = 0; i < *count; ++i) {
    if (at >= bytes.size()) return std::nullopt;
    const std::optional<std::size_t> size = number('$');
    if (!size || bytes.size() < at + *size + 2) return std::nullopt;
    command.push_back(bytes.substr(at, *size));
    at += *size + 2;
  }
  bytes.erase(0, at);
  return command;
}

// Serves one address. `answer` gives the reply's bytes; "" answers nothing. PING is answered by itself unless `mute`.
class FakeRedis {
 public:
  using Answer = std::function<std::string(const Command&)>;

  FakeRedis(io::SimulatedReactor& reactor, io::Address address, Answer answer)
      : reactor_(reactor), address_(address), answer_(std::move(answer)) {
    open();
  }
  void open() {
    listener_ = std::move(*reactor_.listen(address_, {}));
    scope_ = std::make_unique<async::Scope>();
    scope_->spawn(accept_all());
  }
  // Ends every connection and listens no more.
  void close() {
    scope_.reset();
    listener_.reset();
  }

  // Sends these bytes on every connection.
  void inject(std::string bytes) { injected_ += bytes; }

  bool mute = false;
  std::vector<Command> seen;  // PING of the log-in is not in it
  int connections = 0;

 private:
  class Acceptor final : public io::AcceptSink {
   public:
    explicit Acceptor(io::Waiter& waiter) : waiter_(waiter) {}
    void on_acceptable(io::Listener&) noexcept override { waiter_.notify(); }

   private:
    io::Waiter& waiter_;
  };

  async::Task<void> accept_all() {
    io::Waiter waiter(reactor_);
    Acceptor acceptor(waiter);
    listener_->watch(&acceptor);
    for (;;) {
      auto accepted = listener_->accept();
      if (accepted && *accepted != nullptr) {
        ++connections;
        scope_->spawn(serve(std::move(*accepted)));
        continue;
      }
      static_cast<void>(co_await waiter.wait(Deadline::never()));
    }
  }

  async::Task<void> serve(std::unique_ptr<io::Stream> owned) {
    io::Waiter waiter(reactor_);
    const std::unique_ptr<io::Stream> stream = std::move(owned);
    stream->watch(&waiter);
    std::string in, out;
    for (;;) {
      bool moved = false;
      std::array<char, 4096> buffer;
      const io::IoResult got = stream->read(buffer);
      if (got.status == io::IoStatus::ok) in.append(buffer.data(), got.bytes), moved = true;
      if (got.status == io::IoStatus::end || got.status == io::IoStatus::error) co_return;
      while (std::optional<Command> command = take_command(in)) {
        if (command->front() == "PING") {
          held_ += mute ? "+PONG\r\n" : "";
          if (!mute) out.append("+PONG\r\n");
          continue;
        }
        seen.push_back(*command);
        out.append(answer_(*command));
      }
      out.append(std::exchange(injected_, {}));
      if (!mute) out.append(std::exchange(held_, {}));
      while (!out.empty()) {
        iovec piece;
        piece.iov_base = out.data();
        piece.iov_len = out.size();
        const io::IoResult put = stream->write({&piece, 1});
        if (put.status != io::IoStatus::ok) break;
        out.erase(0, put.bytes);
        moved = true;
      }
      if (moved) continue;
      static_cast<void>(co_await waiter.wait(Deadline::after(reactor_.now(), std::chrono::milliseconds{1})));
    }
  }

  io::SimulatedReactor& reactor_;
  io::Address address_;
  Answer answer_;
  std::string injected_;
  std::string held_;  // PONGs that are due once it is not mute
  std::unique_ptr<io::Listener> listener_;
  std::unique_ptr<async::Scope> scope_;
};

}  // namespace weir::store::testing

#endif  // WEIR_STORE_TESTING_H_
