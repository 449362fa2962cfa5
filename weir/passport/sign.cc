// See sign.h. ECDSA signatures come out of OpenSSL as DER and go into a token as r | s of fixed length (RFC 7518 3.4).
#include "weir/passport/sign.h"

#include <array>
#include <optional>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "weir/base/base64.h"
#include "weir/passport/internal/openssl.h"
#include "weir/passport/jwk.h"

namespace weir::passport {
namespace {

using internal::AlgorithmInfo;
using internal::Bignum;
using internal::bytes_of;
using internal::Family;
using internal::Pkey;

Error failed(std::string_view what) {
  ERR_clear_error();
  return Error(ErrorCode::invalid_argument, what);
}

using EcdsaSig = std::unique_ptr<ECDSA_SIG, internal::Freer<ECDSA_SIG_free>>;

std::optional<std::string> raw_signature(std::string_view der, std::size_t coordinate) {
  const unsigned char* at = bytes_of(der);
  const EcdsaSig signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature) return std::nullopt;
  std::string raw(2 * coordinate, '\0');
  const int half = static_cast<int>(coordinate);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), bytes_of(raw), half) != half) return std::nullopt;
  if (BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), bytes_of(raw) + coordinate, half) != half)
    return std::nullopt;
  return raw;
}

std::string number_text(const EVP_PKEY* key, const char* name, int bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1) return {};
  const Bignum number(raw);
  std::string out(static_cast<std::size_t>(bytes == 0 ? BN_num_bytes(raw) : bytes), '\0');
  BN_bn2binpad(raw, bytes_of(out), static_cast<int>(out.size()));
  return base::base64url_encode(out);
}

Json rsa_jwk(const EVP_PKEY* key) {
  Json jwk;
  jwk.set("kty", Json("RSA"));
  constexpr std::array<std::pair<std::string_view, const char*>, 8> kParts{{
      {"n", OSSL_PKEY_PARAM_RSA_N},
      {"e", OSSL_PKEY_PARAM_RSA_E},
      {"d", OSSL_PKEY_PARAM_RSA_D},
      {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
      {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
      {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
      {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
      {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
  }};
  for (const auto& [member, name] : kParts) jwk.set(member, Json(number_text(key, name, 0)));
  return jwk;
}

Json ec_jwk(const EVP_PKEY* key, const AlgorithmInfo& about) {
  const int bytes = static_cast<int>(about.coordinate);
  Json jwk;
  jwk.set("kty", Json("EC"));
  jwk.set("crv", Json(about.curve));
  jwk.set("x", Json(number_text(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes)));
  jwk.set("y", Json(number_text(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes)));
  jwk.set("d", Json(number_text(key, OSSL_PKEY_PARAM_PRIV_KEY, bytes)));
  return jwk;
}

Json ed25519_jwk(const EVP_PKEY* key) {
  std::string x(32, '\0');
  std::string d(32, '\0');
  std::size_t length = 32;
  EVP_PKEY_get_raw_public_key(key, bytes_of(x), &length);
  EVP_PKEY_get_raw_private_key(key, bytes_of(d), &length);
  Json jwk;
  jwk.set("kty", Json("OKP"));
  jwk.set("crv", Json("Ed25519"));
  jwk.set("x", Json(base::base64url_encode(x)));
  jwk.set("d", Json(base::base64url_encode(d)));
  return jwk;
}

}  // namespace

struct Signer::State {
  Algorithm algorithm = Algorithm::hs256;
  std::string kid;
  Pkey pkey;
  std::string secret;

  std::optional<std::string> signature(std::string_view input) const;
};

std::optional<std::string> Signer::State::signature(std::string_view input) const {
  const AlgorithmInfo& about = internal::info(algorithm);
  if (about.family == Family::hmac) {
    std::string tag(about.digest_bytes, '\0');
    std::size_t length = 0;
    if (EVP_Q_mac(nullptr, "HMAC", nullptr, about.digest, nullptr, secret.data(), secret.size(),
                  bytes_of(input), input.size(), bytes_of(tag), tag.size(), &length) == nullptr)
      return std::nullopt;
    return tag;
  }
  const internal::MdCtx md(EVP_MD_CTX_new());
  EVP_PKEY_CTX* ctx = nullptr;  // owned by md
  if (EVP_DigestSignInit_ex(md.get(), &ctx, about.digest, nullptr, nullptr, pkey.get(), nullptr) != 1)
    return std::nullopt;
  if (about.family == Family::rsa_pss && (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
                                          EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1))
    return std::nullopt;
  std::size_t length = 0;
  if (EVP_DigestSign(md.get(), nullptr, &length, bytes_of(input), input.size()) != 1) return std::nullopt;
  std::string out(length, '\0');
  if (EVP_DigestSign(md.get(), bytes_of(out), &length, bytes_of(input), input.size()) != 1)
    return std::nullopt;
  out.resize(length);
  return about.family == Family::ecdsa ? raw_signature(out, about.coordinate) : std::optional(out);
}

Algorithm Signer::algorithm() const noexcept { return state_->algorithm; }
const std::string& Signer::kid() const noexcept { return state_->kid; }

Result<Signer> Signer::from_secret(std::string_view secret, Algorithm algorithm, std::string_view kid) {
  if (!is_symmetric(algorithm)) return failed("a secret needs HS256, HS384 or HS512");
  if (secret.size() < internal::info(algorithm).digest_bytes) return failed("a secret shorter than the hash");
  auto state = std::make_shared<State>();
  state->algorithm = algorithm;
  state->kid = kid;
  state->secret = secret;
  return Signer(std::move(state));
}

Result<Signer> Signer::from_jwk(const Json& jwk) {
  // Its public half must be a key that would be accepted; that also decides the algorithm.
  const Result<std::shared_ptr<const Key>> checked = Key::from_jwk(jwk, {});
  if (!checked) return checked.error();
  const Algorithm algorithm = (*checked)->algorithm();
  const AlgorithmInfo& about = internal::info(algorithm);
  if (about.family == Family::hmac) {
    const Result<std::string> secret = base::base64url_decode(jwk.find("k")->text());
    if (!secret) return secret.error();
    return from_secret(*secret, algorithm, (*checked)->kid());
  }
  auto state = std::make_shared<State>();
  state->algorithm = algorithm;
  state->kid = (*checked)->kid();
  if (about.family == Family::ecdsa) {
    state->pkey = internal::make_ec(jwk, about, true);
  } else if (about.family == Family::ed25519) {
    state->pkey = internal::make_ed25519(jwk, true);
  } else {
    state->pkey = internal::make_rsa(jwk, true);
  }
  if (!state->pkey) return failed("the JWK has no usable private members");
  return Signer(std::move(state));
}

Result<std::string> Signer::sign_bytes(std::string_view payload, const Json& header) const {
  Json full;
  full.set("alg", Json(to_string(state_->algorithm)));
  for (const Json::Member& member : header.members())
    if (member.name != "alg") full.set(member.name, member.value);
  std::string token = base::base64url_encode(full.to_text());
  token += '.';
  token += base::base64url_encode(payload);
  const std::optional<std::string> signature = state_->signature(token);
  if (!signature) return failed("signing failed");
  token += '.';
  token += base::base64url_encode(*signature);
  return token;
}

Result<std::string> Signer::sign(const Json& claims, const Json& header) const {
  Json full;
  full.set("typ", Json("JWT"));
  if (!state_->kid.empty()) full.set("kid", Json(state_->kid));
  for (const Json::Member& member : header.members()) full.set(member.name, member.value);
  return sign_bytes(claims.to_text(), full);
}

Result<Json> generate_jwk(Algorithm algorithm, std::string_view kid) {
  const AlgorithmInfo& about = internal::info(algorithm);
  Json jwk;
  if (about.family == Family::hmac) {
    std::string secret(about.digest_bytes, '\0');
    if (RAND_bytes(bytes_of(secret), static_cast<int>(secret.size())) != 1) return failed("no random bytes");
    jwk.set("kty", Json("oct"));
    jwk.set("k", Json(base::base64url_encode(secret)));
  } else {
    Pkey key;
    if (about.family == Family::ecdsa)
      key.reset(EVP_EC_gen(about.group));
    else if (about.family == Family::ed25519)
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    else
      key.reset(EVP_RSA_gen(2048));
    if (!key) return failed("no key could be made");
    if (about.family == Family::ecdsa)
      jwk = ec_jwk(key.get(), about);
    else if (about.family == Family::ed25519)
      jwk = ed25519_jwk(key.get());
    else
      jwk = rsa_jwk(key.get());
  }
  jwk.set("kid", Json(kid));
  jwk.set("alg", Json(to_string(algorithm)));
  jwk.set("use", Json("sig"));
  return jwk;
}

Json public_jwk(const Json& jwk) {
  Json::Object members;
  for (const Json::Member& member : jwk.members()) {
    constexpr std::array<std::string_view, 8> kPrivate{"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    bool secret = false;
    for (const std::string_view name : kPrivate) secret = secret || member.name == name;
    if (!secret) members.push_back(member);
  }
  return Json(std::move(members));
}

}  // namespace weir::passport
