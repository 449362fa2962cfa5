#include "tests/support/redis.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>

#include "tests/support/wait.h"

namespace weir::testing {
namespace {

constexpr const char* kBinary = "/usr/bin/redis-server";

}  // namespace

RedisServer::RedisServer(std::vector<std::string> extra)
    : extra_(std::move(extra)), available_(::access(kBinary, X_OK) == 0), port_(free_port()) {
  if (available_) start();
}

void RedisServer::start() {
  std::vector<std::string> argv{
      kBinary, "--port", std::to_string(port_), "--bind",      "127.0.0.1", "--save", "", "--appendonly",
      "no",    "--dir",  folder_.path(),        "--daemonize", "no"};
  argv.insert(argv.end(), extra_.begin(), extra_.end());
  process_ = std::make_unique<Process>(std::move(argv));
  eventually([this] { return !ask("PING").empty(); });
}

void RedisServer::kill() {
  process_->signal(SIGKILL);
  process_->wait();
  process_.reset();
}

void RedisServer::freeze() { process_->signal(SIGSTOP); }
void RedisServer::thaw() { process_->signal(SIGCONT); }

std::string RedisServer::ask(const std::string& command) const {
  const Fd socket = connect_to_loopback(port_);
  if (!socket) return {};
  const std::string line = command + "\r\n";
  if (::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) return {};
  pollfd entry{socket.get(), POLLIN, 0};
  if (::poll(&entry, 1, 5000) != 1) return {};
  std::array<char, 4096> buffer{};
  const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
  return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string{};
}

}  // namespace weir::testing
