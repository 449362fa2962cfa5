// demo_service: a small HTTP service to stand behind a gateway,
// and an example of weir's http, io and async parts.
//
//   demo_service --name users --listen 127.0.0.1:9001
//   curl '127.0.0.1:9001/users/42?sleep=500&status=503'
//
// One thread, one reactor. A connection is a coroutine: it reads a head, then the body, waits if it was told
// to, writes the answer, and starts again. SIGTERM and SIGINT end it. What it answers stands in answers.h.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "examples/services/answers.h"
#include "weir/async/scope.h"
#include "weir/async/task.h"
#include "weir/http/parser.h"
#include "weir/http/serializer.h"
#include "weir/io/buffer.h"
#include "weir/io/epoll_reactor.h"
#include "weir/io/waiter.h"

namespace weir::examples {
namespace {

constexpr std::chrono::seconds kIdleMax{
    75};  // longer than a gateway keeps its connections: it should close, not we

// One client. Every member function says false when the connection is of no more use.
class Connection {
 public:
  Connection(io::Reactor& reactor, io::BufferPool& pool, std::unique_ptr<io::Stream> stream,
             std::string_view service, async::CancelSource& cancel)
      : reactor_(reactor),
        service_(service),
        waiter_(reactor, &cancel),
        stream_(std::move(stream)),
        buffer_(pool) {
    stream_->watch(&waiter_);
  }

  async::Task<bool> serve_one() {
    http::RequestParser parser;
    http::RequestHead head;
    http::Parse parsed = parser.parse(buffer_.bytes(), head);
    while (parsed == http::Parse::need_more) {
      const bool more = co_await read_more();
      if (!more) co_return false;
      parsed = parser.parse(buffer_.bytes(), head);
    }
    if (parsed == http::Parse::error) {
      http::HeadBuffer refusal;
      http::append_status_line(refusal, parser.fault().status);
      http::append_framing(refusal, http::BodyKind::length, 0);
      http::end_head(refusal);
      co_await write(std::string(refusal.view()));
      co_return false;
    }
    const Request request(head);  // a copy: the head's views end when the buffer moves on
    buffer_.consume(parser.consumed());
    if (head.expect_continue) {
      const bool told = co_await write("HTTP/1.1 100 Continue\r\n\r\n");
      if (!told) co_return false;
    }
    const bool skipped = co_await skip_body(head.body, head.content_length);
    if (!skipped) co_return false;

    const Reply reply = answer(service_, request);
    if (reply.after.count() > 0) {
      const bool waited = co_await pause(reply.after);
      if (!waited) co_return false;
    }
    std::string message = to_message(reply, request);
    const bool written = co_await write(std::move(message));
    if (!written) co_return false;
    buffer_.rewind();
    if (buffer_.empty()) buffer_.release();  // an idle connection holds no memory
    co_return request.keep_alive;
  }

 private:
  // At least one byte more in the buffer.
  async::Task<bool> read_more() {
    if (buffer_.room().empty()) buffer_.compact();
    if (buffer_.room().empty() && !buffer_.grow()) co_return false;
    for (;;) {
      const io::IoResult got = stream_->read(buffer_.room());
      if (got.status == io::IoStatus::ok) {
        buffer_.added(got.bytes);
        co_return true;
      }
      if (got.status != io::IoStatus::would_block) co_return false;
      const io::Wake wake = co_await waiter_.wait(Deadline::after(reactor_.now(), kIdleMax));
      if (wake != io::Wake::event) co_return false;
    }
  }

  async::Task<bool> skip_body(http::BodyKind kind, std::uint64_t length) {
    http::BodyDecoder decoder;
    decoder.start(kind, length);
    while (!decoder.done()) {
      const http::BodyDecoder::Step step = decoder.next(buffer_.bytes());
      buffer_.consume(step.consumed);
      if (step.state == http::BodyDecoder::State::error) co_return false;
      if (step.state != http::BodyDecoder::State::need_more) continue;
      buffer_.rewind();
      const bool more = co_await read_more();
      if (!more) co_return false;
    }
    co_return true;
  }

  // Waits, unless the client goes away meanwhile: then nobody wants the answer.
  async::Task<bool> pause(std::chrono::milliseconds time) {
    const Deadline deadline = Deadline::after(reactor_.now(), time);
    for (;;) {
      if (stream_->hung_up()) co_return false;
      const io::Wake wake = co_await waiter_.wait(deadline);
      if (wake == io::Wake::timeout) co_return true;
      if (wake == io::Wake::cancelled) co_return false;
    }
  }

  async::Task<bool> write(std::string bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const iovec piece{bytes.data() + sent, bytes.size() - sent};
      const io::IoResult result = stream_->write(std::span(&piece, 1));
      if (result.status == io::IoStatus::ok) {
        sent += result.bytes;
        continue;
      }
      if (result.status != io::IoStatus::would_block) co_return false;
      const io::Wake wake = co_await waiter_.wait(Deadline::after(reactor_.now(), kIdleMax));
      if (wake != io::Wake::event) co_return false;
    }
    co_return true;
  }

  io::Reactor& reactor_;
  std::string_view service_;
  io::Waiter waiter_;
  std::unique_ptr<io::Stream> stream_;  // after the waiter that watches it: gone before it
  io::Buffer buffer_;
};

async::Task<void> serve(std::unique_ptr<Connection> connection) {
  bool more =
      true;  // named: g++ 12 builds a broken frame for a `while (co_await ...)` that has no local before it
  while (more) more = co_await connection->serve_one();
}

// Takes connections and starts a coroutine for each.
class Service final : public io::AcceptSink {
 public:
  Service(io::Reactor& reactor, std::unique_ptr<io::Listener> listener, std::string name)
      : reactor_(reactor), name_(std::move(name)), listener_(std::move(listener)) {
    listener_->watch(this);
  }

  void on_acceptable(io::Listener& listener) noexcept override {
    for (;;) {
      Result<std::unique_ptr<io::Stream>> stream = listener.accept();
      if (!stream) {  // out of descriptors: a demo service may give up the newcomer
        std::fprintf(stderr, "%s: %s\n", name_.c_str(), stream.error().to_text().c_str());
        return;
      }
      if (*stream == nullptr) return;
      connections_.spawn(serve(std::make_unique<Connection>(reactor_, pool_, *std::move(stream), name_,
                                                            connections_.cancel_source())));
    }
  }

 private:
  io::Reactor& reactor_;
  std::string name_;
  io::BufferPool pool_;
  std::unique_ptr<io::Listener> listener_;
  async::Scope connections_;  // last: the connections end before what they use
};

// Ends the loop at SIGTERM or SIGINT.
class StopSignals final : public io::EpollReactor::FdSink {
 public:
  explicit StopSignals(io::EpollReactor& reactor) : reactor_(reactor) {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    fd_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    watch_ = std::make_unique<io::EpollReactor::FdWatch>(reactor, fd_, *this);
    const Result<void> watching = watch_->want(true, false);
    WEIR_CHECK(watching);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals() {
    watch_.reset();
    ::close(fd_);
  }
  void on_fd(int, bool, bool) noexcept override { reactor_.stop(); }

 private:
  io::EpollReactor& reactor_;
  int fd_ = -1;
  std::unique_ptr<io::EpollReactor::FdWatch> watch_;
};

int fail(const Error& error) {
  std::fprintf(stderr, "demo_service: %s\n", error.to_text().c_str());
  return 1;
}

int run(const std::string& name, const std::string& address_text) {
  const Result<io::Address> address = io::Address::parse(address_text);
  if (!address) return fail(address.error());
  Result<std::unique_ptr<io::EpollReactor>> reactor = io::EpollReactor::create();
  if (!reactor) return fail(reactor.error());
  Result<std::unique_ptr<io::Listener>> listener = (*reactor)->listen(*address, io::ListenOptions{});
  if (!listener) return fail(listener.error());
  std::fprintf(stderr, "demo_service: %s listens on %s\n", name.c_str(),
               (*listener)->local().to_text().c_str());
  const StopSignals stop_signals(**reactor);
  Service service(**reactor, *std::move(listener), name);
  (*reactor)->run();
  return 0;
}

}  // namespace
}  // namespace weir::examples

int main(int argc, char** argv) {
  std::string name = "demo";
  std::string listen;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--name") name = argv[i + 1];
    if (option == "--listen") listen = argv[i + 1];
  }
  if (listen.empty() || argc % 2 == 0) {
    std::fputs(
        "usage: demo_service --listen ADDRESS:PORT [--name NAME]\n"
        "example: demo_service --name users --listen 127.0.0.1:9001\n",
        stderr);
    return 2;
  }
  return weir::examples::run(name, listen);
}
