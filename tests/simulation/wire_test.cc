// The reader that judges weir's answers must itself refuse what is wrong.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/simulation/wire.h"
#include "weir/async/scope.h"

namespace weir::simulation {
namespace {

class Accepted final : public io::AcceptSink {
 public:
  void on_acceptable(io::Listener& listener) noexcept override {
    Result<std::unique_ptr<io::Stream>> stream = listener.accept();
    if (stream) end = std::move(*stream);
  }
  std::unique_ptr<io::Stream> end;
};

async::Task<void> write_and_close(Peer& peer, std::string bytes) {
  const Io connected = co_await peer.connected(Deadline::never());
  if (connected != Io::ok) co_return;
  const Io sent = co_await peer.send(std::move(bytes), Deadline::never());
  static_cast<void>(sent);
  peer.stream().shutdown_write();
}

async::Task<void> read_one(Peer& peer, std::string method, int minor, Response& response, Got& got) {
  got = co_await read_response(peer, std::move(method), minor, Deadline::never(), response);
}

Got judge(std::string bytes, std::string method = "GET", int minor = 1) {
  io::SimulationOptions options;
  options.faults.split = 300;
  io::SimulatedReactor reactor(options);
  const io::Address at = io::Address::parse("10.0.0.1:1").value();
  auto listener = reactor.listen(at, io::ListenOptions()).value();
  Accepted accepted;
  listener->watch(&accepted);
  Response response;
  Got got = Got::timed_out;
  {
    Peer writer(reactor, reactor.connect(at).value());
    async::Scope scope;
    scope.spawn(write_and_close(writer, std::move(bytes)));
    EXPECT_TRUE(reactor.run_until([&] { return accepted.end != nullptr; }, std::chrono::seconds{1}));
    Peer reader(reactor, std::move(accepted.end));
    async::Scope reading;
    reading.spawn(read_one(reader, std::move(method), minor, response, got));
    reactor.run_until_idle(std::chrono::seconds{10});
  }
  return got;
}

const std::string kHead = "HTTP/1.1 200 OK\r\n";

// What weir may write is read.
TEST(Wire, ReadsWhatIsWellFormed) {
  EXPECT_EQ(judge(kHead + "Content-Length: 2\r\n\r\nab"), Got::message);
  EXPECT_EQ(judge(kHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"), Got::message);
  EXPECT_EQ(judge(kHead + "Content-Length: 2\r\n\r\n", "HEAD"), Got::message);
  EXPECT_EQ(judge("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"), Got::message);
  EXPECT_EQ(judge("HTTP/1.1 100 Continue\r\n\r\n" + kHead + "Content-Length: 0\r\n\r\n"), Got::message);
  EXPECT_EQ(judge(kHead + "Connection: close\r\n\r\nabc", "GET", 0), Got::message);
}

// What it may not write is refused.
TEST(Wire, RefusesWhatIsNot) {
  for (const std::string& wrong :
       {kHead + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", kHead + "X : y\r\n\r\n",
        kHead + "X:y\r\n\r\n", kHead + "X:  y\r\n\r\n",
        kHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        kHead + "Transfer-Encoding: gzip\r\n\r\n", kHead + "X: a\x01\r\n\r\n",
        std::string("HTTP/1.0 200 OK\r\n\r\n"), std::string("HTTP/1.1 20 OK\r\n\r\n"),
        kHead + "X: y\r\n\r\nbody without framing", kHead + "Transfer-Encoding: chunked\r\n\r\nx\r\n",
        kHead + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        kHead + "Transfer-Encoding: chunked\r\n\r\n1;e\r\na\r\n0\r\n\r\n",
        kHead + "Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
        std::string("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")})
    EXPECT_EQ(judge(wrong), Got::malformed) << wrong;
}

// What breaks off is seen to be cut.
TEST(Wire, SeesWhatIsCut) {
  EXPECT_EQ(judge(""), Got::nothing);
  EXPECT_EQ(judge("HTTP/1.1 200"), Got::cut);
  EXPECT_EQ(judge(kHead + "Content-Length: 3\r\n\r\nab"), Got::cut);
  EXPECT_EQ(judge(kHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"), Got::cut);
  EXPECT_EQ(judge(kHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"), Got::cut);
}

}  // namespace
}  // namespace weir::simulation
