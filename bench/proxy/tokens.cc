// bench_tokens: RS256 tokens for a benchmark, with the keys that check them.
//
//   bench_tokens COUNT JWKS.json KEY.pem > tokens.txt
//
// One token a line, each of a user of its own, good for a day; the public key as a JWK set (weir) and as PEM (HAProxy).
// Exit 2 on misuse.
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "weir/base/base64.h"
#include "weir/passport/sign.h"

namespace {

using weir::passport::Json;

BIGNUM* number_of(const Json& jwk, const char* name) {
  const std::string bytes = weir::base::base64url_decode(jwk.find(name)->text()).value();
  return BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()),
                   nullptr);
}

// False when OpenSSL or the disk will not.
bool write_pem(const Json& jwk, const char* path) {
  OSSL_PARAM_BLD* build = OSSL_PARAM_BLD_new();
  BIGNUM* n = number_of(jwk, "n");
  BIGNUM* e = number_of(jwk, "e");
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  const bool made = EVP_PKEY_fromdata_init(context) == 1 &&
                    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
  std::FILE* file = std::fopen(path, "w");
  const bool written = made && file != nullptr && PEM_write_PUBKEY(file, key) == 1;
  if (file != nullptr) std::fclose(file);
  EVP_PKEY_free(key);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(build);
  BN_free(n);
  BN_free(e);
  return written;
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc == 4 ? std::strtol(argv[1], nullptr, 10) : 0;
  if (count <= 0) {
    std::fprintf(stderr, "usage: bench_tokens COUNT JWKS.json KEY.pem > tokens.txt\n");
    return 2;
  }
  using weir::passport::Signer;
  const Json jwk = weir::passport::generate_jwk(weir::passport::Algorithm::rs256, "bench").value();
  const Signer signer = Signer::from_jwk(jwk).value();
  std::FILE* set = std::fopen(argv[2], "w");
  if (set == nullptr || !write_pem(jwk, argv[3])) return 2;
  std::fprintf(set, "{\"keys\":[%s]}\n", weir::passport::public_jwk(jwk).to_text().c_str());
  std::fclose(set);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t expires = std::chrono::duration_cast<std::chrono::seconds>(now).count() + 86'400;
  for (long i = 0; i < count; ++i) {
    Json claims;
    claims.set("iss", Json("https://id.example"));
    claims.set("aud", Json("api"));
    claims.set("sub", Json("user_" + std::to_string(i)));
    claims.set("email", Json("user_" + std::to_string(i) + "@example.com"));
    claims.set("plan", Json("gold"));
    claims.set("country", Json("US"));
    claims.set("platform", Json("web"));
    claims.set("exp", Json(expires));
    std::printf("%s\n", signer.sign(claims).value().c_str());
  }
  return 0;
}
