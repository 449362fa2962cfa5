// Keys from JWK members (RFC 7518 section 6, RFC 8037 section 2) with the bounds that jwk.h states.
#include "weir/passport/internal/openssl.h"

#include <array>
#include <optional>

#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include "weir/base/base64.h"

namespace weir::passport::internal {
namespace {

constexpr std::array<AlgorithmInfo, kAlgorithms> kInfo{{
    {Family::hmac, "SHA256", 32, nullptr, nullptr, 0},
    {Family::hmac, "SHA384", 48, nullptr, nullptr, 0},
    {Family::hmac, "SHA512", 64, nullptr, nullptr, 0},
    {Family::rsa_pkcs1, "SHA256", 32, nullptr, nullptr, 0},
    {Family::rsa_pkcs1, "SHA384", 48, nullptr, nullptr, 0},
    {Family::rsa_pkcs1, "SHA512", 64, nullptr, nullptr, 0},
    {Family::rsa_pss, "SHA256", 32, nullptr, nullptr, 0},
    {Family::rsa_pss, "SHA384", 48, nullptr, nullptr, 0},
    {Family::rsa_pss, "SHA512", 64, nullptr, nullptr, 0},
    {Family::ecdsa, "SHA256", 32, "P-256", "P-256", 32},
    {Family::ecdsa, "SHA384", 48, "P-384", "P-384", 48},
    {Family::ecdsa, "SHA512", 64, "P-521", "P-521", 66},
    {Family::ed25519, nullptr, 0, "Ed25519", nullptr, 32},
}};

std::optional<std::string> member_bytes(const Json& jwk, std::string_view name) {
  const Json* value = jwk.find(name);
  if (value == nullptr || !value->is_string() || value->text().empty()) return std::nullopt;
  Result<std::string> bytes = base::base64url_decode(value->text());
  if (!bytes) return std::nullopt;
  return std::move(*bytes);
}

Pkey from_params(const char* type, OSSL_PARAM_BLD* builder, bool secret) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const PkeyCtx ctx(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !ctx || EVP_PKEY_fromdata_init(ctx.get()) != 1) return nullptr;
  if (EVP_PKEY_fromdata(ctx.get(), &key, secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return nullptr;
  return Pkey(key);
}

bool is_small_prime(unsigned n) {
  for (unsigned d = 2; d * d <= n; ++d)
    if (n % d == 0) return false;
  return n > 1;
}

// ROCA (CVE-2017-15361): such primes are 65537^a mod M for a primorial M, so the modulus lies in the subgroup that
// 65537 generates modulo every small prime. A random modulus does so for all primes up to 167 once in about 2^27.
bool has_roca_structure(const BIGNUM* modulus) {
  for (unsigned p = 3; p <= 167; ++p) {
    if (!is_small_prime(p)) continue;
    const auto rest = static_cast<unsigned>(BN_mod_word(modulus, p));
    bool in_subgroup = false;
    unsigned power = 1;
    do {
      in_subgroup = in_subgroup || power == rest;
      power = power * (65537 % p) % p;
    } while (power != 1 && power != 0);
    if (!in_subgroup) return false;
  }
  return true;
}

bool sound_rsa(const BIGNUM* n, const BIGNUM* e) {
  const int bits = BN_num_bits(n);
  if (bits < 2048 || bits > 8192 || BN_is_odd(n) == 0) return false;
  if (BN_is_odd(e) == 0 || BN_num_bits(e) > 33 || BN_is_one(e) != 0) return false;
  return !has_roca_structure(n);
}

}  // namespace

const AlgorithmInfo& info(Algorithm algorithm) noexcept { return kInfo[static_cast<std::size_t>(algorithm)]; }

std::string_view key_type(Algorithm algorithm) noexcept {
  switch (info(algorithm).family) {
    case Family::hmac:
      return "oct";
    case Family::rsa_pkcs1:
    case Family::rsa_pss:
      return "RSA";
    case Family::ecdsa:
      return "EC";
    case Family::ed25519:
      return "OKP";
  }
  return "";
}

std::string sha256(std::string_view bytes) {
  std::string digest(32, '\0');
  std::size_t length = digest.size();
  EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), bytes_of(digest), &length);
  return digest;
}

Pkey make_rsa(const Json& jwk, bool secret) {
  const auto n_bytes = member_bytes(jwk, "n");
  const auto e_bytes = member_bytes(jwk, "e");
  if (!n_bytes || !e_bytes || n_bytes->size() > 1025) return nullptr;
  const Bignum n = bignum(*n_bytes);
  const Bignum e = bignum(*e_bytes);
  if (!n || !e || !sound_rsa(n.get(), e.get())) return nullptr;
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  std::array<Bignum, 6> parts;
  if (secret) {
    constexpr std::array<std::pair<std::string_view, const char*>, 6> kParts{{
        {"d", OSSL_PKEY_PARAM_RSA_D},
        {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
        {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
        {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
        {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
        {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
    }};
    for (std::size_t i = 0; i < kParts.size(); ++i) {
      const auto bytes = member_bytes(jwk, kParts[i].first);
      if (!bytes) return nullptr;
      parts[i] = bignum(*bytes);
      OSSL_PARAM_BLD_push_BN(builder.get(), kParts[i].second, parts[i].get());
    }
  }
  return from_params("RSA", builder.get(), secret);
}

Pkey make_ec(const Json& jwk, const AlgorithmInfo& curve, bool secret) {
  const auto x = member_bytes(jwk, "x");
  const auto y = member_bytes(jwk, "y");
  // RFC 7518 6.2.1.2: full length, leading zeros included.
  if (!x || !y || x->size() != curve.coordinate || y->size() != curve.coordinate) return nullptr;
  const std::string point = '\x04' + *x + *y;
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  Bignum d;
  if (secret) {
    const auto d_bytes = member_bytes(jwk, "d");
    if (!d_bytes || d_bytes->size() != curve.coordinate) return nullptr;
    d = bignum(*d_bytes);
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, d.get());
  }
  Pkey key = from_params("EC", builder.get(), secret);
  if (!key) return nullptr;
  const PkeyCtx check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!check || EVP_PKEY_public_check(check.get()) != 1) return nullptr;  // on the curve, not the infinity
  return key;
}

Pkey make_ed25519(const Json& jwk, bool secret) {
  const auto bytes = member_bytes(jwk, secret ? "d" : "x");
  if (!bytes || bytes->size() != 32) return nullptr;
  const auto make = secret ? EVP_PKEY_new_raw_private_key_ex : EVP_PKEY_new_raw_public_key_ex;
  return Pkey(make(nullptr, "ED25519", nullptr, bytes_of(*bytes), bytes->size()));
}

}  // namespace weir::passport::internal
