// TlsOrigin: a TLS server for tests, with certificates made on the spot.
//
//   TlsAuthority authority;                                   // its certificate is in authority.write(folder)
//   TlsOrigin origin(authority.issue({.host = "localhost"}));
//   ... https://localhost:PORT answers 200 "secure" to every request
//
// Written on OpenSSL's blocking calls, apart from weir/io. One thread a connection; all end with the origin.
#ifndef WEIR_TESTS_SUPPORT_TLS_ORIGIN_H_
#define WEIR_TESTS_SUPPORT_TLS_ORIGIN_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/support/socket.h"

namespace weir::testing {

struct TlsIdentity {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

struct CertificateOptions {
  std::string host = "localhost";  // a name, or an IP address
  int days = 1;                    // negative: it has expired
};

class TlsAuthority {
 public:
  TlsAuthority();
  ~TlsAuthority();
  const std::string& certificate() const noexcept { return certificate_; }
  TlsIdentity issue(const CertificateOptions& options) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string certificate_;
};

class TlsOrigin {
 public:
  explicit TlsOrigin(const TlsIdentity& identity);
  TlsOrigin(const TlsOrigin&) = delete;
  TlsOrigin& operator=(const TlsOrigin&) = delete;
  ~TlsOrigin();

  std::uint16_t port() const noexcept { return port_; }
  std::size_t handshakes() const noexcept { return handshakes_; }  // full and resumed
  std::size_t resumed() const noexcept { return resumed_; }
  std::string last_sni() const;
  std::string last_alpn() const;
  // Closes each connection behind its answer.
  void close_after_answer(bool close) noexcept { close_ = close; }

 private:
  void accept_loop();
  void serve(int fd);

  void* context_;
  Fd listener_;
  std::uint16_t port_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> close_{false};
  std::atomic<std::size_t> handshakes_{0};
  std::atomic<std::size_t> resumed_{0};
  mutable std::mutex mutex_;
  std::string sni_;
  std::string alpn_;
  std::list<std::thread> threads_;
  std::list<int> open_;
  std::thread acceptor_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_SUPPORT_TLS_ORIGIN_H_
