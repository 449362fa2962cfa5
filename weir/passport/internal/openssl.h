// OpenSSL's objects as owners. Private to weir::passport.
#ifndef WEIR_PASSPORT_INTERNAL_OPENSSL_H_
#define WEIR_PASSPORT_INTERNAL_OPENSSL_H_

#include <memory>
#include <string>
#include <string_view>

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "weir/passport/jws.h"

namespace weir::passport::internal {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

using Pkey = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using PkeyCtx = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using MdCtx = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using Md = std::unique_ptr<EVP_MD, Freer<EVP_MD_free>>;
using Mac = std::unique_ptr<EVP_MAC, Freer<EVP_MAC_free>>;
using MacCtx = std::unique_ptr<EVP_MAC_CTX, Freer<EVP_MAC_CTX_free>>;
using Bignum = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;

inline const unsigned char* bytes_of(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}
inline unsigned char* bytes_of(std::string& text) noexcept {
  return reinterpret_cast<unsigned char*>(text.data());
}
inline Bignum bignum(std::string_view big_endian) {
  return Bignum(BN_bin2bn(bytes_of(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

// What an algorithm is made of.
enum class Family : std::uint8_t { hmac, rsa_pkcs1, rsa_pss, ecdsa, ed25519 };
struct AlgorithmInfo {
  Family family;
  const char* digest;  // null for Ed25519
  std::size_t digest_bytes;
  const char* curve;       // JWK's name of it; null for all but EC
  const char* group;       // OpenSSL's
  std::size_t coordinate;  // bytes of x, y, r and s
};
const AlgorithmInfo& info(Algorithm algorithm) noexcept;

// The `kty` of keys for an algorithm: "oct", "RSA", "EC", "OKP".
std::string_view key_type(Algorithm algorithm) noexcept;

std::string sha256(std::string_view bytes);

// The EVP_PKEY of a JWK's public or, with `secret`, private members; null when they are not a sound key.
Pkey make_rsa(const Json& jwk, bool secret);
Pkey make_ec(const Json& jwk, const AlgorithmInfo& curve, bool secret);
Pkey make_ed25519(const Json& jwk, bool secret);

}  // namespace weir::passport::internal

#endif  // WEIR_PASSPORT_INTERNAL_OPENSSL_H_
