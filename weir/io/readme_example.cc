// The example of README.md, compiled and run by the tests: a server and its client on the simulated network.
#include <iostream>

#include "weir/async/scope.h"
#include "weir/io/simulated_reactor.h"
#include "weir/io/waiter.h"

using namespace weir;
using namespace std::chrono_literals;

async::Task<void> say(io::Reactor& reactor, io::Stream& stream, std::string text, std::string& heard) {
  io::Waiter waiter(reactor);
  stream.watch(&waiter);  // from here on its events wake this coroutine
  const iovec piece{text.data(), text.size()};
  char bytes[64];
  while (stream.write(std::span(&piece, 1)).status == io::IoStatus::would_block)
    co_await waiter.wait(Deadline::never());
  while (stream.read(bytes).status == io::IoStatus::would_block) {
    const io::Wake wake = co_await waiter.wait(Deadline::after(reactor.now(), 1s));
    if (wake == io::Wake::timeout) break;
  }
  heard = bytes;
  stream.watch(nullptr);
}

int main() {
  io::SimulatedReactor reactor;
  auto listener = std::move(*reactor.listen(*io::Address::parse("10.0.0.1:80"), {}));
  auto client = std::move(*reactor.connect(listener->local()));
  reactor.run_for(1ms);
  auto server = std::move(*listener->accept());
  std::string at_server, at_client;
  async::Scope scope;
  scope.spawn(say(reactor, *server, std::string("welcome", 8), at_server));
  scope.spawn(say(reactor, *client, std::string("hello", 6), at_client));
  reactor.run_until_idle(1min);
  std::cout << at_server << ", " << at_client << "\n";
  return at_server == "hello" && at_client == "welcome" ? 0 : 1;
}
