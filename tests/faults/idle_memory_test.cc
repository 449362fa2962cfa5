// An idle keep-alive connection holds at most 1 KiB of user memory, on real sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/faults/counting_new.h"
#include "weir/config/load.h"
#include "weir/gateway/plan.h"
#include "weir/gateway/state.h"
#include "weir/gateway/worker.h"
#include "weir/io/epoll_reactor.h"
#include "weir/metrics/registry.h"
#include "weir/server/address_table.h"
#include "weir/server/worker_core.h"

namespace weir::testing {
namespace {

constexpr std::int64_t kMost = 1024;
constexpr std::size_t kConnections = 2000;

constexpr std::string_view kConfiguration =
    "listen: 127.0.0.1:0\n"
    "limits: {connections_per_address: off}\n"
    "routes: [{path: /*, respond: {status: 200, body: ok}}]\n";

// As many connections as descriptors allow; two are needed for each.
std::size_t connections_possible() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 2 * kConnections + 100);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(kConnections, (limit.rlim_cur - 100) / 2);
}

int connect_to(const io::Address& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr generic{};
  static_assert(sizeof generic == sizeof to);
  std::memcpy(&generic, &to, sizeof to);
  if (::connect(fd, &generic, sizeof generic) != 0) return ::close(fd), -1;
  return fd;
}

// Each has had one request and waits for the next.
TEST(IdleMemory, OfAKeepAliveConnection) {
  const std::size_t count = connections_possible();
  const config::LoadResult loaded =
      config::load_text("test.yaml", kConfiguration, config::system_environment());
  metrics::Registry registry(1);
  gateway::State state(base::SipKey{1, 2});
  server::AddressTable addresses(base::SipKey{3, 4});
  io::TableResolver names;
  const auto reactor = std::move(io::EpollReactor::create().value());
  gateway::Worker worker(*reactor, names, registry, 0, nullptr, 1);
  const auto plan = gateway::build_plan(loaded.config.value(), state, registry).value();
  plan->publish(reactor->now());
  worker.adopt(plan);
  server::CoreOptions options;
  options.addresses = &addresses;
  auto core = std::make_unique<server::WorkerCore>(*reactor, worker, options);
  auto listener = reactor->listen(io::Address::parse("127.0.0.1:0").value(), {}).value();
  const io::Address at = listener->local();
  core->add_listener(std::move(listener));

  std::vector<int> clients;
  clients.reserve(count);
  constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
  const auto add = [&] {
    const int fd = connect_to(at);
    ASSERT_GE(fd, 0);
    clients.push_back(fd);
    ASSERT_EQ(::write(fd, kRequest.data(), kRequest.size()), static_cast<ssize_t>(kRequest.size()));
    // The reactor's turn, until the answer is there.
    std::array<char, 1024> answer;
    ssize_t n = 0;
    while ((n = ::recv(fd, answer.data(), answer.size(), MSG_DONTWAIT)) < 0) reactor->turn();
    ASSERT_GT(n, 0);
  };
  for (std::size_t i = 0; i < count / 4; ++i) add();  // the worker's own things have their sizes
  const std::int64_t before = heap_of_this_thread().bytes_held;
  const std::size_t first = clients.size();
  while (clients.size() < count && !HasFatalFailure()) add();
  ASSERT_EQ(core->connections(), clients.size());
  EXPECT_EQ(worker.buffers.blocks_out(), 0U) << "idle connections hold no buffer";
  const std::int64_t each =
      (heap_of_this_thread().bytes_held - before) / static_cast<std::int64_t>(clients.size() - first);
  std::cout << each << " bytes a connection\n";
  EXPECT_LE(each, kMost);
  for (const int fd : clients) ::close(fd);
}

}  // namespace
}  // namespace weir::testing
