#include "weir/io/epoll_reactor.h"

#include <gtest/gtest.h>

#include <string>

#include "weir/async/scope.h"
#include "weir/io/waiter.h"

namespace weir::io {
namespace {

async::Task<void> echo(Reactor& reactor, std::unique_ptr<Stream> stream) {
  Waiter waiter(reactor);
  stream->watch(&waiter);
  char bytes[64];
  for (;;) {
    const IoResult got = stream->read(bytes);
    if (got.status == IoStatus::would_block) {
      co_await waiter.wait(Deadline::never());
      continue;
    }
    if (got.status != IoStatus::ok) co_return;
    const iovec piece{bytes, got.bytes};
    EXPECT_EQ(stream->write({&piece, 1}).bytes, got.bytes);
  }
}

async::Task<void> client(EpollReactor& reactor, Address to, std::string& answer) {
  auto stream = reactor.connect(to);
  EXPECT_TRUE(stream);
  Waiter waiter(reactor);
  (*stream)->watch(&waiter);
  for (;;) {
    const IoResult done = (*stream)->finish_connect();
    if (done.status == IoStatus::ok) break;
    EXPECT_EQ(done.status, IoStatus::would_block);
    co_await waiter.wait(Deadline::never());
  }
  std::string text = "hello";
  const iovec piece{text.data(), text.size()};
  EXPECT_EQ((*stream)->write({&piece, 1}).bytes, 5U);
  (*stream)->shutdown_write();
  char bytes[64];
  for (;;) {
    const IoResult got = (*stream)->read(bytes);
    if (got.status == IoStatus::ok) answer.append(bytes, got.bytes);
    if (got.status == IoStatus::end) break;
    if (got.status == IoStatus::would_block) co_await waiter.wait(Deadline::never());
  }
  reactor.stop();
}

class Server final : public AcceptSink {
 public:
  explicit Server(Reactor& reactor) : reactor_(reactor) {}
  void on_acceptable(Listener& listener) noexcept override {
    for (;;) {
      auto stream = listener.accept();
      ASSERT_TRUE(stream);
      if (*stream == nullptr) return;
      scope.spawn(echo(reactor_, std::move(*stream)));
    }
  }
  async::Scope scope;

 private:
  Reactor& reactor_;
};

TEST(EpollReactor, Echo) {
  auto reactor = EpollReactor::create();
  ASSERT_TRUE(reactor);
  Address any;
  any.ip = base::IpAddress::v4(0x7f000001);
  auto listener = (*reactor)->listen(any, {});
  ASSERT_TRUE(listener) << listener.error().to_text();
  Server server(**reactor);
  (*listener)->watch(&server);
  async::Scope scope;
  std::string answer;
  scope.spawn(client(**reactor, (*listener)->local(), answer));
  (*reactor)->run();
  EXPECT_EQ(answer, "hello");
}

}  // namespace
}  // namespace weir::io
