// OpenSSL over a BIO that reads and writes the stream below.
//
// Readiness: SSL_read may have to write and SSL_write to read, so any event of the stream below makes both sides worth
// trying again; a side goes quiet when OpenSSL says that it wants more. A write that could not leave keeps its record
// inside OpenSSL: the caller comes back with the same bytes (nothing was taken), perhaps with more behind them, which
// SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER allows.
#include "weir/io/tls_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "weir/base/check.h"
#include "weir/base/ip.h"

namespace weir::io {
namespace {

constexpr std::size_t kRecordMax = 16 * 1024;  // RFC 8446 5.1: 2^14 bytes of plaintext a record

int bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  auto* stream = static_cast<Stream*>(BIO_get_data(bio));
  if (stream == nullptr || size <= 0) return -1;
  const IoResult result = stream->read({into, static_cast<std::size_t>(size)});
  if (result.status == IoStatus::ok) return static_cast<int>(result.bytes);
  if (result.status == IoStatus::would_block) BIO_set_retry_read(bio);
  return result.status == IoStatus::end ? 0 : -1;
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  auto* stream = static_cast<Stream*>(BIO_get_data(bio));
  if (stream == nullptr || size <= 0) return -1;
  iovec piece;
  piece.iov_base = const_cast<char*>(from);
  piece.iov_len = static_cast<std::size_t>(size);
  const IoResult result = stream->write({&piece, 1});
  if (result.status == IoStatus::ok) return static_cast<int>(result.bytes);
  if (result.status == IoStatus::would_block) BIO_set_retry_write(bio);
  return -1;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

struct Methods {
  BIO_METHOD* bio = nullptr;
  int session_index = -1;  // of SSL ex_data: the TlsSession::State a stream belongs to
};

// What OpenSSL wants made once a process; constant afterwards.
const Methods& methods();

}  // namespace

struct TlsSession::State {
  SSL_SESSION* session = nullptr;
  ~State() { SSL_SESSION_free(session); }
};

TlsSession::TlsSession() noexcept : state_(std::make_shared<State>()) {}
TlsSession::~TlsSession() = default;

struct TlsClient::Context {
  SSL_CTX* context = nullptr;
  ~Context() { SSL_CTX_free(context); }
};

class TlsStream final : public Stream, public EventSink {
 public:
  TlsStream(std::unique_ptr<Stream> inner, SSL_CTX* context, const std::string& host,
            const TlsSession& session)
      : inner_(std::move(inner)), session_(session.state_), ssl_(SSL_new(context)) {
    WEIR_CHECK(ssl_ != nullptr);
    BIO* bio = BIO_new(methods().bio);
    WEIR_CHECK(bio != nullptr);
    BIO_set_data(bio, inner_.get());
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_connect_state(ssl_);
    if (base::IpAddress::parse(host)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str());
    } else {
      // The macro for this casts as C does.
      SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(host.c_str()));
      SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      WEIR_CHECK(SSL_set1_host(ssl_, host.c_str()) == 1);
    }
    if (session_->session != nullptr) SSL_set_session(ssl_, session_->session);
    SSL_set_ex_data(ssl_, methods().session_index, session_.get());
    inner_->watch(this);
  }
  ~TlsStream() override {
    inner_->watch(nullptr);
    if (connected_ && !failed_) SSL_shutdown(ssl_);  // close_notify, if there is room for it
    ERR_clear_error();
    SSL_free(ssl_);
  }

  IoResult finish_connect() noexcept override {
    if (connected_) return ok(0);
    if (!inner_connected_) {
      const IoResult result = inner_->finish_connect();
      if (result.status != IoStatus::ok) return result;
      inner_connected_ = true;
    }
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_);
    if (done == 1) {
      connected_ = true;
      set_ready(kReadable | kWritable);
      return ok(0);
    }
    const int why = SSL_get_error(ssl_, done);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return {};
    fault_ = describe(why);
    return broken(ErrorCode::tls_failed);
  }

  IoResult read(std::span<char> into) noexcept override {
    if (failed_) return broken(ErrorCode::connection_reset);
    ERR_clear_error();
    std::size_t got = 0;
    const int done = SSL_read_ex(ssl_, into.data(), into.size(), &got);
    if (done == 1) return ok(got);
    const int why = SSL_get_error(ssl_, done);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
      clear_ready(kReadable);
      return {};
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
      IoResult end;
      end.status = IoStatus::end;
      end.error = ErrorCode::connection_closed;
      return end;
    }
    fault_ = describe(why);
    return broken(ErrorCode::connection_reset);
  }

  IoResult write(std::span<const iovec> pieces) noexcept override {
    if (failed_) return broken(ErrorCode::connection_reset);
    // One record for a head and the beginning of its body, where both fit.
    std::array<char, kRecordMax> joined;
    const char* from = nullptr;
    std::size_t size = 0;
    std::size_t filled = 0;
    for (const iovec& piece : pieces) {
      if (piece.iov_len == 0) continue;
      ++filled;
      if (filled == 1)
        from = static_cast<const char*>(piece.iov_base), size = std::min(piece.iov_len, kRecordMax);
    }
    if (filled == 0) return ok(0);
    if (filled > 1) {
      size = 0;
      for (const iovec& piece : pieces) {
        const std::size_t n = std::min(piece.iov_len, joined.size() - size);
        if (n != 0) std::memcpy(joined.data() + size, piece.iov_base, n);
        size += n;
      }
      from = joined.data();
    }
    ERR_clear_error();
    std::size_t put = 0;
    const int done = SSL_write_ex(ssl_, from, size, &put);
    if (done == 1) return ok(put);
    const int why = SSL_get_error(ssl_, done);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
      clear_ready(kWritable);
      return {};
    }
    fault_ = describe(why);
    return broken(ErrorCode::connection_reset);
  }

  void shutdown_write() noexcept override {
    if (connected_ && !failed_) SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  void reset_on_close() noexcept override {
    failed_ = true;  // no close_notify
    inner_->reset_on_close();
  }
  Address peer() const noexcept override { return inner_->peer(); }
  Address local() const noexcept override { return inner_->local(); }
  std::string_view fault() const noexcept override { return fault_; }

 private:
  void on_event(Stream&, unsigned events) noexcept override {
    raise((events & (kHangup | kBroken)) | kReadable | kWritable);
  }
  static IoResult ok(std::size_t bytes) noexcept {
    IoResult result;
    result.status = IoStatus::ok;
    result.bytes = bytes;
    return result;
  }
  IoResult broken(ErrorCode code) noexcept {
    failed_ = true;
    IoResult result;
    result.status = IoStatus::error;
    result.error = code;
    return result;
  }
  // Static texts only.
  std::string_view describe(int why) const noexcept {
    const long verified = SSL_get_verify_result(ssl_);
    if (!connected_ && verified != X509_V_OK) return X509_verify_cert_error_string(verified);
    const unsigned long code = ERR_peek_last_error();
    if (code != 0) {
      if (const char* reason = ERR_reason_error_string(code)) return reason;
    }
    return why == SSL_ERROR_SYSCALL ? "the server closed the connection" : "TLS failed";
  }

  std::unique_ptr<Stream> inner_;
  std::shared_ptr<TlsSession::State> session_;
  SSL* ssl_;
  bool inner_connected_ = false;
  bool connected_ = false;
  bool failed_ = false;
  std::string_view fault_;

 public:
  // A ticket has come (after the handshake in TLS 1.3): kept for the next connection.
  static int keep_session(SSL* ssl, SSL_SESSION* session) {
    auto* state = static_cast<TlsSession::State*>(SSL_get_ex_data(ssl, methods().session_index));
    if (state == nullptr) return 0;
    SSL_SESSION_free(std::exchange(state->session, session));
    return 1;  // the reference is ours now
  }
};

namespace {

const Methods& methods() {
  static const Methods made = [] {
    Methods all;
    all.bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir stream");
    WEIR_CHECK(all.bio != nullptr);
    BIO_meth_set_read(all.bio, bio_read);
    BIO_meth_set_write(all.bio, bio_write);
    BIO_meth_set_ctrl(all.bio, bio_control);
    BIO_meth_set_create(all.bio, bio_create);
    all.session_index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return all;
  }();
  return made;
}

}  // namespace

TlsClient::TlsClient(std::unique_ptr<Context> context) noexcept : context_(std::move(context)) {}
TlsClient::~TlsClient() = default;

Result<std::shared_ptr<TlsClient>> TlsClient::create(const TlsClientOptions& options) {
  auto made = std::make_unique<Context>();
  made->context = SSL_CTX_new(TLS_client_method());
  SSL_CTX* context = made->context;
  if (context == nullptr) return Error(ErrorCode::unavailable, "OpenSSL cannot make a context");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, TlsStream::keep_session);
  static constexpr std::array<unsigned char, 9> kAlpn{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  SSL_CTX_set_alpn_protos(context, kAlpn.data(), kAlpn.size());
  const int loaded = options.ca_file.empty()
                         ? SSL_CTX_set_default_verify_paths(context)
                         : SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr);
  if (loaded != 1) {
    ERR_clear_error();
    return Error(ErrorCode::invalid_argument, "no certificate authority can be read from " + options.ca_file,
                 ErrorSource::configuration);
  }
  return std::shared_ptr<TlsClient>(new TlsClient(std::move(made)));
}

std::unique_ptr<Stream> TlsClient::wrap(std::unique_ptr<Stream> inner, const std::string& host,
                                        TlsSession& session) const {
  return std::make_unique<TlsStream>(std::move(inner), context_->context, host, session);
}

}  // namespace weir::io
