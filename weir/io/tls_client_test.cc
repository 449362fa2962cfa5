// TLS to servers against OpenSSL's own server in memory: what is refused and why, handshakes in pieces, ends, sessions.
#include "weir/io/tls_client.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <deque>
#include <string>

#include "tests/support/process.h"
#include "tests/support/tls_origin.h"

namespace weir::io {
namespace {

using weir::testing::TemporaryFolder;
using weir::testing::TlsAuthority;
using weir::testing::TlsIdentity;

// One end of a connection in memory: what it writes lies in `sent`, what it may read in `coming`, at most `piece` bytes
// at a time.
class Wire {
 public:
  std::string sent;
  std::string coming;
  std::size_t piece = SIZE_MAX;
  bool ended = false;
};

class MemoryStream final : public Stream {
 public:
  explicit MemoryStream(Wire& wire) : wire_(wire) {}
  IoResult read(std::span<char> into) noexcept override {
    IoResult result;
    if (wire_.coming.empty()) {
      if (wire_.ended) result.status = IoStatus::end;
      return result;
    }
    result.status = IoStatus::ok;
    result.bytes = std::min({into.size(), wire_.coming.size(), wire_.piece});
    std::copy_n(wire_.coming.begin(), result.bytes, into.begin());
    wire_.coming.erase(0, result.bytes);
    return result;
  }
  IoResult write(std::span<const iovec> pieces) noexcept override {
    IoResult result;
    result.status = IoStatus::ok;
    for (const iovec& piece : pieces) {
      const std::size_t n = std::min(piece.iov_len, wire_.piece - std::min(wire_.piece, result.bytes));
      wire_.sent.append(static_cast<const char*>(piece.iov_base), n);
      result.bytes += n;
    }
    return result;
  }
  IoResult finish_connect() noexcept override {
    IoResult result;
    result.status = IoStatus::ok;
    return result;
  }
  void shutdown_write() noexcept override {}
  void reset_on_close() noexcept override {}
  Address peer() const noexcept override { return {}; }
  Address local() const noexcept override { return {}; }
  void wake() { raise(kReadable | kWritable); }

 private:
  Wire& wire_;
};

// OpenSSL as the server, over two memory BIOs.
class Server {
 public:
  explicit Server(const TlsIdentity& identity) : context_(SSL_CTX_new(TLS_server_method())) {
    BIO* certificate =
        BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size()));
    X509* x509 = PEM_read_bio_X509(certificate, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_, x509);
    X509_free(x509);
    BIO_free(certificate);
    BIO* key = BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size()));
    EVP_PKEY* pkey = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
    SSL_CTX_use_PrivateKey(context_, pkey);
    EVP_PKEY_free(pkey);
    BIO_free(key);
    begin();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  // A new connection.
  void begin() {
    SSL_free(ssl_);
    ssl_ = SSL_new(context_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_accept_state(ssl_);
    shaken_ = false;
    seen.clear();
  }
  // Takes what the client sent, does what can be done, and gives back what it has to say.
  void turn(Wire& wire) {
    if (!wire.sent.empty()) BIO_write(in_, wire.sent.data(), static_cast<int>(wire.sent.size()));
    wire.sent.clear();
    if (!shaken_) shaken_ = SSL_do_handshake(ssl_) == 1;
    std::array<char, 4096> bytes;
    for (std::size_t got = 0; shaken_ && SSL_read_ex(ssl_, bytes.data(), bytes.size(), &got) == 1;)
      seen.append(bytes.data(), got);
    flush(wire);
  }
  void say(Wire& wire, std::string_view text) {
    std::size_t put = 0;
    SSL_write_ex(ssl_, text.data(), text.size(), &put);
    flush(wire);
  }
  void close_notify(Wire& wire) {
    SSL_shutdown(ssl_);
    flush(wire);
  }
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  bool shaken() const { return shaken_; }
  bool client_closed() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  std::string seen;

 private:
  void flush(Wire& wire) {
    std::array<char, 4096> bytes;
    for (int n = 0; (n = BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()))) > 0;)
      wire.coming.append(bytes.data(), static_cast<std::size_t>(n));
  }

  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  bool shaken_ = false;
};

class TlsClientTest : public ::testing::Test {
 protected:
  std::shared_ptr<TlsClient> client(const TlsAuthority& trusted) const {
    TlsClientOptions options;
    options.ca_file = folder.write("ca.pem", trusted.certificate());
    return TlsClient::create(options).value();
  }
  // A stream to the server; the wire is begun anew.
  void connect(const TlsAuthority& trusted, const std::string& host = "localhost") {
    stream.reset();  // says goodbye on its own wire
    wire = Wire();
    auto inner = std::make_unique<MemoryStream>(wire);
    below = inner.get();
    stream = client(trusted)->wrap(std::move(inner), host, session);
  }
  // Until the handshake is over or nothing moves any more.
  IoResult shake(Server& server) {
    IoResult result;
    for (int turns = 0; turns < 10'000; ++turns) {
      result = stream->finish_connect();
      if (result.status != IoStatus::would_block) break;
      server.turn(wire);
      below->wake();
    }
    server.turn(wire);
    return result;
  }
  std::string read_all() {
    std::string all;
    std::array<char, 1000> bytes;
    for (;;) {
      last = stream->read(bytes);
      if (last.status != IoStatus::ok) return all;
      all.append(bytes.data(), last.bytes);
    }
  }

  TemporaryFolder folder;
  TlsAuthority authority;
  TlsSession session;
  Wire wire;
  MemoryStream* below = nullptr;
  std::unique_ptr<Stream> stream;
  IoResult last;
};

// Bytes pass both ways, and close_notify is the end; the client says its own when it goes.
TEST_F(TlsClientTest, CarriesBytesAndEnds) {
  Server server(authority.issue({}));
  connect(authority);
  ASSERT_EQ(shake(server).status, IoStatus::ok) << stream->fault();
  std::string ask = "question";
  const std::array<iovec, 2> pieces{iovec{ask.data(), 4}, iovec{ask.data() + 4, 4}};
  EXPECT_EQ(stream->write(pieces).bytes, 8U);
  server.turn(wire);
  EXPECT_EQ(server.seen, "question");
  server.say(wire, "answer");
  EXPECT_EQ(read_all(), "answer");
  EXPECT_EQ(last.status, IoStatus::would_block);
  EXPECT_FALSE(stream->may_read());
  server.close_notify(wire);
  below->wake();
  EXPECT_EQ(read_all(), "");
  EXPECT_EQ(last.status, IoStatus::end);
  stream.reset();
  server.turn(wire);
  EXPECT_TRUE(server.client_closed());
}

// An end without close_notify is no end: an answer that ends with its connection may have been cut.
TEST_F(TlsClientTest, AnEndWithoutCloseNotifyIsAnError) {
  Server server(authority.issue({}));
  connect(authority);
  ASSERT_EQ(shake(server).status, IoStatus::ok);
  server.say(wire, "half");
  wire.ended = true;
  EXPECT_EQ(read_all(), "half");
  EXPECT_EQ(last.status, IoStatus::error);
  EXPECT_FALSE(stream->fault().empty());
}

// The handshake and what follows may come in pieces of any size, down to a byte.
TEST_F(TlsClientTest, PiecesOfAnySize) {
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 100U, 1000U}) {
    Server server(authority.issue({}));
    connect(authority);
    wire.piece = piece;
    ASSERT_EQ(shake(server).status, IoStatus::ok) << piece << " " << stream->fault();
    server.say(wire, std::string(50'000, 'x'));
    EXPECT_EQ(read_all().size(), 50'000U) << piece;
  }
}

struct Refusal {
  const char* name;
  const char* asked;   // the host that is connected to
  const char* issued;  // the host in the certificate
  int days;
  bool stranger;  // signed by somebody else
  const char* why;
};

class Refusals : public TlsClientTest, public ::testing::WithParamInterface<Refusal> {};

// A wrong name, a wrong address, an expired certificate, an unknown authority: tls_failed, with OpenSSL's reason.
TEST_P(Refusals, SayWhy) {
  const Refusal& bad = GetParam();
  const TlsAuthority stranger;
  Server server((bad.stranger ? stranger : authority).issue({.host = bad.issued, .days = bad.days}));
  connect(authority, bad.asked);
  const IoResult result = shake(server);
  EXPECT_EQ(result.status, IoStatus::error);
  EXPECT_EQ(result.error, ErrorCode::tls_failed);
  EXPECT_EQ(stream->fault(), bad.why);
  EXPECT_FALSE(server.shaken() && !server.seen.empty());
  EXPECT_EQ(read_all(), "");
  EXPECT_EQ(last.status, IoStatus::error) << "what failed stays failed";
}

INSTANTIATE_TEST_SUITE_P(
    All, Refusals,
    ::testing::Values(Refusal{"Name", "localhost", "other.example", 1, false, "hostname mismatch"},
                      Refusal{"Address", "127.0.0.1", "127.0.0.2", 1, false, "IP address mismatch"},
                      Refusal{"NameForAddress", "127.0.0.1", "localhost", 1, false, "IP address mismatch"},
                      Refusal{"Expired", "localhost", "localhost", -1, false, "certificate has expired"},
                      Refusal{"Stranger", "localhost", "localhost", 1, true,
                              "unable to get local issuer certificate"}),
    [](const ::testing::TestParamInfo<Refusal>& each) { return std::string(each.param.name); });

// A port that speaks no TLS, one that says nothing and closes: an error each, never a connection.
TEST_F(TlsClientTest, PlaintextAndSilence) {
  connect(authority);
  EXPECT_EQ(stream->finish_connect().status, IoStatus::would_block);
  wire.coming = "HTTP/1.1 400 Bad Request\r\n\r\n";
  below->wake();
  const IoResult plain = stream->finish_connect();
  EXPECT_EQ(plain.error, ErrorCode::tls_failed);
  EXPECT_EQ(stream->fault(), "wrong version number");
  connect(authority);
  EXPECT_EQ(stream->finish_connect().status, IoStatus::would_block);
  wire.ended = true;
  below->wake();
  EXPECT_EQ(stream->finish_connect().status, IoStatus::error);
  EXPECT_FALSE(stream->fault().empty());
}

// A second connection resumes the first one's session; another endpoint's does not.
TEST_F(TlsClientTest, SessionsAreResumed) {
  Server server(authority.issue({}));
  for (int i = 0; i < 3; ++i) {
    server.begin();
    connect(authority);
    ASSERT_EQ(shake(server).status, IoStatus::ok);
    EXPECT_EQ(server.resumed(), i > 0) << i;
    server.say(wire, "x");
    EXPECT_EQ(read_all(), "x");  // the ticket comes with it (TLS 1.3)
    stream.reset();
  }
  TlsSession fresh;
  stream.reset();
  server.begin();
  wire = Wire();
  auto inner = std::make_unique<MemoryStream>(wire);
  below = inner.get();
  stream = client(authority)->wrap(std::move(inner), "localhost", fresh);
  ASSERT_EQ(shake(server).status, IoStatus::ok);
  EXPECT_FALSE(server.resumed());
}

// A file of authorities that is not there, or holds none, is an error that names it.
TEST_F(TlsClientTest, AnUnreadableAuthorityIsNamed) {
  TlsClientOptions options;
  for (const std::string& file : {folder.file("missing.pem"), folder.write("empty.pem", ""),
                                  folder.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nxx\n")}) {
    options.ca_file = file;
    const auto made = TlsClient::create(options);
    ASSERT_FALSE(made) << file;
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(made.error().detail.find(file), std::string::npos) << made.error().detail;
  }
}

}  // namespace
}  // namespace weir::io
