// What authentication costs: a remembered token, a new one, and the bare signature beside OpenSSL's own.
#include <atomic>
#include <cstdint>

#include <benchmark/benchmark.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "weir/base/base64.h"
#include "weir/passport/api_keys.h"
#include "weir/passport/idempotency.h"
#include "weir/passport/testing.h"

extern std::atomic<std::uint64_t> allocations;  // counted in passport_bench_new.cc

namespace weir::passport {
namespace {

using testing::claims_of;
using testing::make_key;
using testing::wall;

constexpr TimePoint kStart{std::chrono::hours{1}};
const base::IpAddress kClient = base::IpAddress::v4(0x0a000001);

// About 800 bytes, as access tokens of real providers are.
Json usual_claims(const std::string& sub) {
  return claims_of(
      sub,
      R"({"scope":"openid profile email read write","roles":["customer","beta"],"email":"someone@example.com",
      "country":"US","platform":"web","plan":"gold","jti":"8e03978e-40d5-43dd-bc93-6894a57f9324","iat":1789999000,
      "client_id":"web-app","name":"Somebody With A Name","locale":"en-US"})");
}

struct Fixture {
  explicit Fixture(Algorithm algorithm)
      : key(make_key(algorithm, "kid-of-some-length-2026")),
        verifier(std::make_shared<Verifier>(
            std::vector<Provider>{testing::provider_with({key.key}, {algorithm})}, IdentityRules())),
        auth(verifier, std::make_shared<RevocationList>(), Authenticator::Options()) {}
  testing::TestKey key;
  std::shared_ptr<Verifier> verifier;
  Authenticator auth;
};

// A token seen before, among `range` others: hash, probe, compare, times, key, revocations; both headers rendered.
void BM_CachedToken(benchmark::State& state) {
  Fixture it(Algorithm::hs256);
  std::vector<std::string> tokens;
  for (int i = 0; i < state.range(0); ++i)
    tokens.push_back(it.key.signer.sign(usual_claims("user_" + std::to_string(i))).value());
  for (const std::string& token : tokens) it.auth.check(token, kClient, kStart, wall());
  std::size_t at = 0;
  std::string header;
  header.reserve(8192);
  const std::uint64_t before = allocations.load();
  for (auto _ : state) {
    const Checked checked = it.auth.check(tokens[at], kClient, kStart, wall());
    header.assign(checked.identity->passport.header);
    header.append(checked.identity->proxy_state);
    benchmark::DoNotOptimize(header);
    at = at + 7919 < tokens.size() ? at + 7919 : (at + 7919) % tokens.size();
  }
  state.counters["allocations"] =
      static_cast<double>(allocations.load() - before) / static_cast<double>(state.iterations());
  state.counters["hit_rate"] = static_cast<double>(it.auth.stats().hits) /
                               static_cast<double>(it.auth.stats().hits + it.auth.stats().misses);
}
BENCHMARK(BM_CachedToken)->Arg(1)->Arg(1000)->Arg(10'000);

// The whole check of a token that was not seen before.
void BM_ColdToken(benchmark::State& state, Algorithm algorithm) {
  Fixture it(algorithm);
  const std::string token = it.key.signer.sign(usual_claims("user_123")).value();
  state.counters["token_bytes"] = static_cast<double>(token.size());
  for (auto _ : state) benchmark::DoNotOptimize(it.verifier->verify(token, wall()));
}
BENCHMARK_CAPTURE(BM_ColdToken, RS256, Algorithm::rs256);
BENCHMARK_CAPTURE(BM_ColdToken, PS256, Algorithm::ps256);
BENCHMARK_CAPTURE(BM_ColdToken, ES256, Algorithm::es256);
BENCHMARK_CAPTURE(BM_ColdToken, EdDSA, Algorithm::eddsa);
BENCHMARK_CAPTURE(BM_ColdToken, HS256, Algorithm::hs256);

// Key::verify alone: SHA-256 of 700 bytes and the RSA check.
void BM_SignatureOurs(benchmark::State& state) {
  const testing::TestKey key = make_key(Algorithm::rs256, "k");
  const std::string token = key.signer.sign_bytes(std::string(500, 'x'), Json()).value();
  Jws jws;
  parse_compact(token, JwsLimits(), jws);
  for (auto _ : state) benchmark::DoNotOptimize(key.key->verify(jws.signing_input, jws.signature));
}
BENCHMARK(BM_SignatureOurs);

// The same by OpenSSL alone, at its best: one digest context and one prepared key context, reused.
void BM_SignatureOpenSsl(benchmark::State& state) {
  const testing::TestKey key = make_key(Algorithm::rs256, "k");
  const std::string token = key.signer.sign_bytes(std::string(500, 'x'), Json()).value();
  Jws jws;
  parse_compact(token, JwsLimits(), jws);
  const std::string n = base::base64url_decode(key.jwk.find("n")->text()).value();
  BIGNUM* modulus =
      BN_bin2bn(reinterpret_cast<const unsigned char*>(n.data()), static_cast<int>(n.size()), nullptr);
  BIGNUM* exponent = BN_new();
  BN_set_word(exponent, 65537);
  OSSL_PARAM_BLD* builder = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
  OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY* pkey = nullptr;
  EVP_PKEY_CTX* maker = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY_fromdata_init(maker);
  EVP_PKEY_fromdata(maker, &pkey, EVP_PKEY_PUBLIC_KEY, params);
  EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_pkey(nullptr, pkey, nullptr);
  EVP_MD* sha = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  EVP_PKEY_verify_init(ctx);
  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING);
  EVP_PKEY_CTX_set_signature_md(ctx, sha);
  const auto* signature = reinterpret_cast<const unsigned char*>(jws.signature.data());
  for (auto _ : state) {
    unsigned char hash[32];
    EVP_DigestInit_ex2(md, sha, nullptr);
    EVP_DigestUpdate(md, jws.signing_input.data(), jws.signing_input.size());
    EVP_DigestFinal_ex(md, hash, nullptr);
    benchmark::DoNotOptimize(EVP_PKEY_verify(ctx, signature, jws.signature.size(), hash, sizeof hash));
  }
  EVP_MD_CTX_free(md);
  EVP_MD_free(sha);
  EVP_PKEY_CTX_free(ctx);
  EVP_PKEY_CTX_free(maker);
  EVP_PKEY_free(pkey);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(builder);
  BN_free(exponent);
  BN_free(modulus);
}
BENCHMARK(BM_SignatureOpenSsl);

// A flood: random bytes in place of a token, from an address that has used up its failures.
void BM_RefusedFlood(benchmark::State& state) {
  Fixture it(Algorithm::rs256);
  for (int i = 0; i < 60; ++i) it.auth.check("x" + std::to_string(i), kClient, kStart, wall());
  std::string token = it.key.signer.sign(usual_claims("u")).value();
  for (auto _ : state) {
    ++token[token.size() - 5];
    benchmark::DoNotOptimize(it.auth.check(token, kClient, kStart, wall()));
  }
}
BENCHMARK(BM_RefusedFlood);

// Apart: g++ 12 warns of a free that never happens when it sees both sides of this Result at once.
[[gnu::noinline]] Result<ApiKeySet> machine_keys() {
  const std::vector<ApiKeyEntry> entries{
      {api_key_hash("key-of-a-machine-0123456789abcdef"), testing::json(R"({"sub":"m"})")}};
  return ApiKeySet::make(entries, "m", {"roles"}, IdentityRules());
}

void BM_ApiKey(benchmark::State& state) {
  const Result<ApiKeySet> keys = machine_keys();
  for (auto _ : state) benchmark::DoNotOptimize(keys->find("key-of-a-machine-0123456789abcdef"));
}
BENCHMARK(BM_ApiKey);

void BM_IdempotencyFingerprint(benchmark::State& state) {
  const std::string body(1024, 'b');
  for (auto _ : state) {
    Fingerprint print;
    print.add_piece("POST");
    print.add_piece("/pay");
    print.add_body(body);
    benchmark::DoNotOptimize(print.finish());
  }
}
BENCHMARK(BM_IdempotencyFingerprint);

}  // namespace
}  // namespace weir::passport

BENCHMARK_MAIN();
