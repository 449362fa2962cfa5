// Loopback sockets for tests: an owned descriptor, listening, connecting, ports that are free.
#ifndef WEIR_TESTS_SUPPORT_SOCKET_H_
#define WEIR_TESTS_SUPPORT_SOCKET_H_

#include <cstdint>
#include <string>
#include <utility>

namespace weir::testing {

// A descriptor that closes itself.
class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { close(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void close() noexcept;

 private:
  int fd_ = -1;
};

// Listens on 127.0.0.1; port 0 takes a free one. Stops the program when the system says no.
Fd listen_on_loopback(std::uint16_t port = 0, int backlog = 1024);
std::uint16_t port_of(const Fd& socket);

// Connects from `source` (any address of 127.0.0.0/8: each is another client to the gateway); an empty Fd
// when refused.
Fd connect_to_loopback(std::uint16_t port, const std::string& source = "127.0.0.1");

// RST instead of FIN, and the descriptor is gone.
void reset_connection(Fd& socket);

// A port that nobody listens on, from below the range that the kernel gives to outgoing connections, so that
// none of our own connections can take it before its server has started. Never the same twice in one process.
std::uint16_t free_port();

// The soft limit of descriptors to the hard one.
void raise_descriptor_limit();

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_SOCKET_H_
