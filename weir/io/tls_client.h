// TLS to servers: an io::Stream over an io::Stream.
//
//   Result<std::shared_ptr<TlsClient>> tls = TlsClient::create({.ca_file = "ca.pem"});
//   TlsSession session;                                   // one an endpoint: resumption
//   auto stream = (*tls)->wrap(std::move(*reactor.connect(address)), "users.internal", session);
//   ... finish_connect(), read(), write() as ever
//
//   (1) The server's certificate must be valid and name `host` (RFC 6125, RFC 9525); there is no way to turn that off.
//       `host` is sent as SNI unless it is an IP address (RFC 6066 3).
//   (2) finish_connect() says ok when the handshake is over. What went wrong is tls_failed, and fault() says what.
//   (3) TLS 1.2 and 1.3; ALPN offers http/1.1. Sessions are resumed where the server gives tickets.
//   (4) An end without close_notify is an error, not an end: an answer that ends with its connection may be cut short
//       (RFC 8446 6.1).
//
// A TlsClient is immutable and shared by all threads; streams and sessions belong to one worker. OpenSSL reads and
// writes the stream below through a BIO of ours: bytes are copied by nobody but the cipher.
#ifndef WEIR_IO_TLS_CLIENT_H_
#define WEIR_IO_TLS_CLIENT_H_

#include <memory>
#include <string>
#include <string_view>

#include "weir/base/result.h"
#include "weir/io/stream.h"

namespace weir::io {

struct TlsClientOptions {
  std::string ca_file;  // PEM; "": the system's authorities
};

// The last session of one endpoint, for resumption. One worker.
class TlsSession {
 public:
  TlsSession() noexcept;
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

 private:
  friend class TlsStream;
  struct State;
  std::shared_ptr<State> state_;  // streams may outlive the endpoint
};

class TlsClient {
 public:
  // Errors: invalid_argument (no such file, or no certificate in it), unavailable (OpenSSL cannot start).
  static Result<std::shared_ptr<TlsClient>> create(const TlsClientOptions& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  std::unique_ptr<Stream> wrap(std::unique_ptr<Stream> inner, const std::string& host,
                               TlsSession& session) const;

 private:
  struct Context;
  explicit TlsClient(std::unique_ptr<Context> context) noexcept;
  std::unique_ptr<Context> context_;
};

}  // namespace weir::io

#endif  // WEIR_IO_TLS_CLIENT_H_
