#include "tests/support/tls_origin.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "weir/base/check.h"
#include "weir/base/ip.h"
#include "weir/base/strings.h"

namespace weir::testing {
namespace {

std::string pem_of(X509* certificate) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out, &bytes);
  std::string text(bytes, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

std::string pem_of(EVP_PKEY* key) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out, &bytes);
  std::string text(bytes, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  WEIR_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* make_certificate(EVP_PKEY* key, const std::string& name, long serial, int days) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  constexpr long kDay = 24L * 3600;
  X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * kDay);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
                unsigned in_size, void*) {
  static constexpr std::array<unsigned char, 9> kOurs{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, kOurs.data(), kOurs.size(), in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

struct TlsAuthority::State {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = nullptr;
  ~State() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
};

TlsAuthority::TlsAuthority() : state_(std::make_unique<State>()) {
  state_->certificate = make_certificate(
      state_->key, "weir test authority " + std::to_string(reinterpret_cast<std::uintptr_t>(this)), 1, 1);
  X509_set_issuer_name(state_->certificate, X509_get_subject_name(state_->certificate));
  add_extension(state_->certificate, state_->certificate, NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(state_->certificate, state_->key, EVP_sha256());
  certificate_ = pem_of(state_->certificate);
}

TlsAuthority::~TlsAuthority() = default;

TlsIdentity TlsAuthority::issue(const CertificateOptions& options) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = make_certificate(key, options.host, 2, options.days);
  X509_set_issuer_name(certificate, X509_get_subject_name(state_->certificate));
  const bool ip = base::IpAddress::parse(options.host).has_value();
  add_extension(certificate, state_->certificate, NID_subject_alt_name, (ip ? "IP:" : "DNS:") + options.host);
  X509_sign(certificate, state_->key, EVP_sha256());
  TlsIdentity identity;
  identity.certificate = pem_of(certificate);
  identity.key = pem_of(key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return identity;
}

TlsOrigin::TlsOrigin(const TlsIdentity& identity)
    : listener_(listen_on_loopback()), port_(port_of(listener_)) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  BIO* pem = BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size()));
  X509* certificate = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
  BIO_free(pem);
  pem = BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(pem, nullptr, nullptr, nullptr);
  BIO_free(pem);
  WEIR_CHECK(SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1);
  X509_free(certificate);
  EVP_PKEY_free(key);
  SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
  context_ = context;
  acceptor_ = std::thread([this] { accept_loop(); });
}

TlsOrigin::~TlsOrigin() {
  stop_ = true;
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  SSL_CTX_free(static_cast<SSL_CTX*>(context_));
}

std::string TlsOrigin::last_sni() const {
  const std::lock_guard lock(mutex_);
  return sni_;
}

std::string TlsOrigin::last_alpn() const {
  const std::lock_guard lock(mutex_);
  return alpn_;
}

void TlsOrigin::accept_loop() {
  while (!stop_) {
    const int fd = ::accept(listener_.get(), nullptr, nullptr);
    if (fd < 0) return;
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void TlsOrigin::serve(int fd) {
  SSL* ssl = SSL_new(static_cast<SSL_CTX*>(context_));
  SSL_set_fd(ssl, fd);
  if (SSL_accept(ssl) == 1) {
    ++handshakes_;
    if (SSL_session_reused(ssl) == 1) ++resumed_;
    {
      const std::lock_guard lock(mutex_);
      const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
      sni_ = sni == nullptr ? "" : sni;
      const unsigned char* alpn = nullptr;
      unsigned size = 0;
      SSL_get0_alpn_selected(ssl, &alpn, &size);
      alpn_.assign(reinterpret_cast<const char*>(alpn), size);
    }
    std::string in;
    std::array<char, 4096> buffer;
    for (;;) {
      const int got = SSL_read(ssl, buffer.data(), buffer.size());
      if (got <= 0) break;
      in.append(buffer.data(), static_cast<std::size_t>(got));
      std::size_t end = 0;
      while ((end = in.find("\r\n\r\n")) != std::string::npos) {
        // Enough of HTTP for a test: bodies come with Content-Length and are given back.
        std::size_t length = 0;
        const std::string head = base::to_lower(std::string_view(in).substr(0, end));
        if (const std::size_t at = head.find("content-length: "); at != std::string::npos)
          length = std::stoul(head.substr(at + 16));
        while (in.size() < end + 4 + length) {
          const int more = SSL_read(ssl, buffer.data(), buffer.size());
          if (more <= 0) break;
          in.append(buffer.data(), static_cast<std::size_t>(more));
        }
        const std::string body = length > 0 ? in.substr(end + 4, length) : "secure";
        in.erase(0, end + 4 + length);
        const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                                   (close_ ? "\r\nConnection: close" : "") + "\r\n\r\n" + body;
        SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
      }
      if (close_) break;
    }
    SSL_shutdown(ssl);
  }
  ERR_clear_error();
  SSL_free(ssl);
  const std::lock_guard lock(mutex_);
  open_.remove(fd);
  ::close(fd);
}

}  // namespace weir::testing
