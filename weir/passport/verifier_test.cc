// What a token must be to be believed: each rule, each known attack, and every single bit of one.
#include "weir/passport/verifier.h"

#include <gtest/gtest.h>

#include "weir/base/base64.h"
#include "weir/base/random.h"
#include "weir/passport/testing.h"

namespace weir::passport {
namespace {

using namespace std::string_literals;

using testing::claims_of;
using testing::json;
using testing::kNow;
using testing::make_key;
using testing::provider_with;
using testing::TestKey;
using testing::wall;

class VerifierTest : public ::testing::Test {
 protected:
  static const TestKey& rsa() {
    static const TestKey key = make_key(Algorithm::rs256, "rsa-1");
    return key;
  }
  static const TestKey& ec() {
    static const TestKey key = make_key(Algorithm::es256, "ec-1");
    return key;
  }
  static Provider both() {
    return provider_with({rsa().key, ec().key}, {Algorithm::rs256, Algorithm::es256});
  }
  static Reject reject(const Provider& provider, std::string_view token, std::int64_t now = kNow) {
    return Verifier({provider}, IdentityRules()).verify(token, wall(now)).reject;
  }
  static std::string token(const Json& claims, const Json& header = Json()) {
    return rsa().signer.sign(claims, header).value();
  }
  static Reject reject_claims(std::string_view more, std::int64_t now = kNow) {
    return reject(both(), token(claims_of("u", more)), now);
  }
  static Reject reject_header(std::string_view header) {
    return reject(both(), token(claims_of("u"), json(header)));
  }
};

// A good token gives its subject, scopes, roles and both headers.
TEST_F(VerifierTest, AcceptsAGoodToken) {
  const std::string text =
      token(claims_of("user_123", R"({"scope":"read pay","roles":["admin"],"country":"US",
      "platform":"web","jti":"t1","sid":"s1"})"));
  const Verification result = Verifier({both()}, IdentityRules()).verify(text, wall());
  ASSERT_EQ(result.reject, Reject::none);
  EXPECT_EQ(result.identity->subject, "user_123");
  EXPECT_TRUE(result.identity->has_scope("pay"));
  EXPECT_FALSE(result.identity->has_scope("pa"));
  EXPECT_TRUE(result.identity->has_role("admin"));
  EXPECT_EQ(result.identity->proxy_state, "YWN0aXZlOnVzZXJfMTIzOlVTOndlYg==");
  EXPECT_TRUE(result.identity->passport.header.starts_with("eyJ1c2VyX2lkIjoidXNlcl8xMjMi"));
  EXPECT_EQ(base::base64_decode(result.identity->passport.header).value(),
            R"({"user_id":"user_123","roles":["admin"],"status":"active","country":"US","platform":"web",)"
            R"("scope":["read","pay"],"iss":"https://id.example","exp":1790000300})");
  EXPECT_EQ(reject(both(), ec().signer.sign(claims_of("u")).value()), Reject::none);
}

// Flipping any single bit of a good token makes it bad, whichever algorithm signed it.
TEST_F(VerifierTest, EveryBitCounts) {
  const TestKey ed = make_key(Algorithm::eddsa, "ed");
  const TestKey hs = make_key(Algorithm::hs256, "hs");
  for (const TestKey* key : {&rsa(), &ec(), &ed, &hs}) {
    const Verifier verifier({provider_with({key->key}, {key->key->algorithm()})}, IdentityRules());
    std::string text = key->signer.sign(claims_of("user_123")).value();
    ASSERT_EQ(verifier.verify(text, wall()).reject, Reject::none);
    for (std::size_t byte = 0; byte < text.size(); ++byte)
      for (int bit = 0; bit < 8; ++bit) {
        text[byte] = static_cast<char>(text[byte] ^ (1 << bit));
        EXPECT_NE(verifier.verify(text, wall()).reject, Reject::none) << byte << "." << bit;
        text[byte] = static_cast<char>(text[byte] ^ (1 << bit));
      }
    for (std::size_t length = 0; length < text.size(); ++length)
      EXPECT_NE(verifier.verify(std::string_view(text).substr(0, length), wall()).reject, Reject::none);
  }
}

// CVE-2015-9235 and its many heirs: a public key is no HMAC secret, in whatever form its bytes are used.
TEST_F(VerifierTest, AttackPublicKeyAsSecret) {
  for (const std::string& secret :
       {public_jwk(rsa().jwk).to_text(), std::string(rsa().jwk.find("n")->text())}) {
    const Signer forger = Signer::from_secret(secret, Algorithm::hs256, "rsa-1").value();
    EXPECT_EQ(reject(both(), forger.sign(claims_of("u")).value()), Reject::algorithm_not_allowed);
    Provider careless = both();  // even where the list allows HS256, the key is bound to RS256
    careless.algorithms.push_back(Algorithm::hs256);
    EXPECT_EQ(reject(careless, forger.sign(claims_of("u")).value()), Reject::key_mismatch);
  }
}

// `none` in any spelling, with and without a signature.
TEST_F(VerifierTest, AttackNoAlgorithm) {
  for (const std::string_view alg : {"none", "None", "NONE", "nonE"})
    for (const std::string_view signature : {"", "AA"}) {
      const std::string text = base::base64url_encode("{\"alg\":\"" + std::string(alg) + "\"}") + "." +
                               base::base64url_encode(claims_of("u").to_text()) + "." +
                               std::string(signature);
      EXPECT_NE(reject(both(), text), Reject::none);
    }
}

// A key is bound to one algorithm: RS512 and PS256 by an RS256 key are refused even where the list allows them.
TEST_F(VerifierTest, AttackOtherAlgorithmWithTheSameKey) {
  Provider wide = both();
  wide.algorithms = {Algorithm::rs256, Algorithm::rs512, Algorithm::ps256, Algorithm::es256};
  for (const Algorithm algorithm : {Algorithm::rs512, Algorithm::ps256}) {
    Json jwk = rsa().jwk;
    jwk.set("alg", Json(to_string(algorithm)));
    const std::string text = Signer::from_jwk(jwk)->sign(claims_of("u")).value();
    EXPECT_EQ(reject(wide, text), Reject::key_mismatch);
    EXPECT_EQ(reject(both(), text), Reject::algorithm_not_allowed);
  }
}

// CVE-2018-0114: keys and addresses inside a token are not looked at.
TEST_F(VerifierTest, AttackKeyInTheHeader) {
  const TestKey own = make_key(Algorithm::rs256, "rsa-1");
  Json header;
  header.set("jwk", public_jwk(own.jwk));
  header.set("jku", Json("https://evil.example/keys"));
  header.set("x5u", Json("https://evil.example/cert"));
  header.set("x5c", Json(Json::Array{Json("MIIB")}));
  EXPECT_EQ(reject(both(), own.signer.sign(claims_of("u"), header).value()), Reject::bad_signature);
}

// kid is compared and nothing else: paths, URLs, SQL and NUL in it find no key.
TEST_F(VerifierTest, AttackKidInjection) {
  for (const std::string_view kid :
       {"../../dev/null", "https://evil.example/k", "x' UNION SELECT 'a", "rsa-1 ", "RSA-1", "rsa-1\\u0000"})
    EXPECT_EQ(reject_header("{\"kid\":\"" + std::string(kid) + "\"}"), Reject::unknown_key) << kid;
}

// Signatures of other lengths are refused before any of their bytes is used (HAProxy 648b0e7be).
TEST_F(VerifierTest, AttackOversizeSignature) {
  const std::string good = ec().signer.sign(claims_of("u")).value();
  const std::string head = good.substr(0, good.rfind('.') + 1);
  for (const std::size_t bytes : {0, 1, 63, 65, 72, 96, 132, 2000})
    EXPECT_NE(reject(both(), head + base::base64url_encode(std::string(bytes, '\x41'))), Reject::none)
        << bytes;
}

// CVE-2022-21449, and r or s at and above the order of the group.
TEST_F(VerifierTest, AttackDegenerateEcdsa) {
  const std::string good = ec().signer.sign(claims_of("u")).value();
  const std::string head = good.substr(0, good.rfind('.') + 1);
  const std::string zero(32, '\0');
  const std::string one = std::string(31, '\0') + '\x01';
  const std::string order =
      "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"
      "\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"s;
  for (const std::string& r : {zero, one, order})
    for (const std::string& s : {zero, one, order})
      EXPECT_EQ(reject(both(), head + base::base64url_encode(r + s)), Reject::bad_signature);
}

// A name twice, in header or claims: nobody may choose which counts (CVE-2022-25757).
TEST_F(VerifierTest, AttackDuplicateNames) {
  const auto signed_text = [](std::string_view payload) {
    return rsa().signer.sign_bytes(payload, json(R"({"kid":"rsa-1"})")).value();
  };
  std::string claims = claims_of("u").to_text();
  claims.insert(1, R"("sub":"admin",)");
  EXPECT_EQ(reject(both(), signed_text(claims)), Reject::bad_claims);
  EXPECT_EQ(reject(both(), signed_text("[]")), Reject::bad_claims);
  EXPECT_EQ(reject(both(), signed_text("")), Reject::bad_claims);
  EXPECT_EQ(reject(both(), signed_text("{} {}")), Reject::bad_claims);
  EXPECT_EQ(reject(both(), signed_text(std::string(4000, '['))), Reject::bad_claims);
}

// A JWE in place of a JWS is told apart and not opened.
TEST_F(VerifierTest, AttackEncryptedToken) {
  EXPECT_EQ(reject(both(), "e30.AA.AA.AA.AA"), Reject::encrypted);
}

// Tokens of other kinds carry their own typ.
TEST_F(VerifierTest, RefusesOtherKindsOfTokens) {
  for (const std::string_view typ :
       {"dpop+jwt", "logout+jwt", "application/secevent+jwt", "txntoken+jwt", "JWE"})
    EXPECT_EQ(reject_header("{\"typ\":\"" + std::string(typ) + "\"}"), Reject::wrong_type) << typ;
  for (const std::string_view typ : {"JWT", "jwt", "application/JWT", "at+jwt", "application/AT+JWT"})
    EXPECT_EQ(reject_header("{\"typ\":\"" + std::string(typ) + "\"}"), Reject::none) << typ;
}

// exp: valid while now < exp + leeway; required; a number, in range.
TEST_F(VerifierTest, ChecksTimes) {
  const std::string text = token(claims_of("u"));
  EXPECT_EQ(reject(both(), text, kNow + 629), Reject::none);
  EXPECT_EQ(reject(both(), text, kNow + 630), Reject::expired);
  Json without = claims_of("u");
  without.set("exp", Json());
  EXPECT_EQ(reject(both(), token(without)), Reject::bad_claims);
  for (const std::string_view exp :
       {"0", "-1", "\"1790000600\"", "true", "253402300800", "1e300", "[1790000600]"})
    EXPECT_EQ(reject_claims("{\"exp\":" + std::string(exp) + "}"), Reject::bad_claims) << exp;
  EXPECT_EQ(reject_claims(R"({"exp":1790000000.5})", kNow + 30), Reject::none);
  EXPECT_EQ(reject_claims(R"({"nbf":1790000031})"), Reject::not_yet_valid);
  EXPECT_EQ(reject_claims(R"({"nbf":1790000030})"), Reject::none);
  EXPECT_EQ(reject_claims(R"({"iat":1790009999})"), Reject::none) << "iat bounds age only where asked for";
  Provider aged = both();
  aged.max_token_age = std::chrono::seconds{100};
  EXPECT_EQ(reject(aged, token(claims_of("u"))), Reject::missing_claim);
  EXPECT_EQ(reject(aged, token(claims_of("u", R"({"iat":1789999870})"))), Reject::none);
  EXPECT_EQ(reject(aged, token(claims_of("u", R"({"iat":1789999869})"))), Reject::too_old);
  EXPECT_EQ(reject(aged, token(claims_of("u", R"({"iat":1790000031})"))), Reject::not_yet_valid);
}

// exp is required unless the configuration says otherwise: absence is not a pass (Kong, Tyk, libjwt L5).
TEST_F(VerifierTest, RequiresExp) {
  Json::Object members;
  const Json full = claims_of("u");
  for (const Json::Member& member : full.members())
    if (member.name != "exp") members.push_back(member);
  const std::string text = token(Json(std::move(members)));
  EXPECT_EQ(reject(both(), text), Reject::missing_claim);
  Provider lax = both();
  lax.require_exp = false;
  EXPECT_EQ(reject(lax, text), Reject::none);
}

// aud: a text or a list of texts, equal byte for byte.
TEST_F(VerifierTest, ChecksAudience) {
  for (const std::string_view good : {R"("api")", R"(["x","api"])"})
    EXPECT_EQ(reject_claims("{\"aud\":" + std::string(good) + "}"), Reject::none);
  for (const std::string_view bad :
       {R"("API")", R"("api/")", R"("https://api")", R"("api ")", "[]", R"(["x"])", R"("")"})
    EXPECT_EQ(reject_claims("{\"aud\":" + std::string(bad) + "}"), Reject::wrong_audience) << bad;
  for (const std::string_view wrong : {"7", "null", R"({"api":1})", R"(["api",7])"})
    EXPECT_EQ(reject_claims("{\"aud\":" + std::string(wrong) + "}"), Reject::bad_claims) << wrong;
  Provider any = both();
  any.any_audience = true;
  any.audiences.clear();
  EXPECT_EQ(reject(any, token(claims_of("u", R"({"aud":"other"})"))), Reject::none);
}

// The issuer chooses the provider byte for byte, and its keys alone check the token.
TEST_F(VerifierTest, ChoosesTheProviderByIssuer) {
  const TestKey other = make_key(Algorithm::rs256, "rsa-1");  // the same kid on purpose
  Provider second = provider_with({other.key}, {Algorithm::rs256});
  second.name = "second";
  second.issuer = "https://second.example";
  const Verifier verifier({both(), second}, IdentityRules());
  const auto check = [&](const TestKey& key, std::string_view issuer) {
    return verifier.verify(
        key.signer.sign(claims_of("u", "{\"iss\":\"" + std::string(issuer) + "\"}")).value(), wall());
  };
  EXPECT_EQ(check(other, "https://second.example").identity->provider, "second");
  EXPECT_EQ(check(rsa(), "https://id.example").identity->provider, "main");
  EXPECT_EQ(check(other, "https://id.example").reject, Reject::bad_signature);
  EXPECT_EQ(check(rsa(), "https://second.example").reject, Reject::bad_signature);
  for (const std::string_view issuer : {"https://id.example/", "HTTPS://id.example", "", "https://id.exampl"})
    EXPECT_EQ(check(rsa(), issuer).reject, Reject::unknown_issuer);
  EXPECT_NE(check(rsa(), "https://id.example").identity->principal,
            check(other, "https://second.example").identity->principal);
}

// Registered claims of the wrong type are a bad token, not an absent claim.
TEST_F(VerifierTest, RefusesWrongTypes) {
  for (const std::string_view more :
       {R"({"iss":7})", R"({"sub":7})", R"({"jti":[]})", R"({"nbf":"x"})", R"({"iat":{}})"})
    EXPECT_EQ(reject_claims(more), Reject::bad_claims) << more;
}

// RFC 9449, RFC 8705: a token bound to a proof is not taken as a bearer token.
TEST_F(VerifierTest, RefusesBoundTokens) {
  EXPECT_EQ(reject_claims(R"({"cnf":{"jkt":"x"}})"), Reject::sender_constrained);
}

TEST_F(VerifierTest, ProfileRfc9068) {
  Provider provider = both();
  provider.profile = Profile::rfc9068;
  const std::string_view full = R"({"client_id":"c","jti":"j","iat":1790000000})";
  EXPECT_EQ(reject(provider, token(claims_of("u", full))), Reject::wrong_type);
  const Json header = json(R"({"typ":"at+jwt"})");
  EXPECT_EQ(reject(provider, token(claims_of("u", full), header)), Reject::none);
  EXPECT_EQ(reject(provider, token(claims_of("u"), header)), Reject::missing_claim);
}

TEST_F(VerifierTest, ProfileIdToken) {
  Provider provider = both();
  provider.profile = Profile::id_token;
  const auto check = [&](std::string_view more) { return reject(provider, token(claims_of("u", more))); };
  EXPECT_EQ(check("{}"), Reject::missing_claim);
  EXPECT_EQ(check(R"({"iat":1790000000})"), Reject::none);
  EXPECT_EQ(check(R"({"iat":1790000000,"aud":["api","b"]})"), Reject::missing_claim);
  EXPECT_EQ(check(R"({"iat":1790000000,"aud":["api","b"],"azp":"b"})"), Reject::wrong_audience);
  EXPECT_EQ(check(R"({"iat":1790000000,"aud":["api","b"],"azp":"api"})"), Reject::none);
}

// No keys is not the token's fault; an unknown kid may be known tomorrow.
TEST_F(VerifierTest, TellsMissingKeysApart) {
  Provider empty = both();
  empty.keys = std::make_shared<KeyRing>();
  EXPECT_EQ(reject(empty, token(claims_of("u"))), Reject::no_keys);
  const Verifier verifier({both()}, IdentityRules());
  const Verification result = verifier.verify(token(claims_of("u"), json(R"({"kid":"new"})")), wall());
  EXPECT_EQ(result.reject, Reject::unknown_key);
  EXPECT_EQ(result.kid, "new");
  EXPECT_EQ(result.provider->name, "main");
}

// Without a kid a single candidate is taken; of several, none.
TEST_F(VerifierTest, TokensWithoutKid) {
  const Signer bare = Signer::from_jwk([] {
                        Json jwk = ec().jwk;
                        jwk.set("kid", Json(""));
                        return jwk;
                      }())
                          .value();
  const std::string text = bare.sign(claims_of("u")).value();
  EXPECT_EQ(reject(both(), text), Reject::none);
  const TestKey second = make_key(Algorithm::es256, "ec-2");
  EXPECT_EQ(reject(provider_with({ec().key, second.key}, {Algorithm::es256}), text), Reject::unknown_key);
}

// Explaining names each check in order, ends at the first that failed, and never shows a claim.
TEST_F(VerifierTest, ExplainsEachCheck) {
  const Verifier verifier({both()}, IdentityRules());
  const auto good = verifier.explain(token(claims_of("u")), wall());
  ASSERT_EQ(good.size(), 9U);
  EXPECT_EQ(good.back().check, "passport");
  const auto bad = verifier.explain(token(claims_of("secret-user")), wall(kNow + 9999));
  EXPECT_EQ(bad.back().check, "times");
  EXPECT_FALSE(bad.back().passed);
  for (const Verifier::Step& step : bad) EXPECT_EQ(step.detail.find("secret"), std::string::npos);
}

// Random bytes, and random changes of a good token, are refused or, untouched, accepted; nothing else happens.
TEST_F(VerifierTest, SurvivesRandomTokens) {
  const std::uint64_t seed = base::random_seed();
  SCOPED_TRACE(seed);
  base::Random random(seed);
  const Verifier verifier({both()}, IdentityRules());
  const std::string good = token(claims_of("u"));
  for (int i = 0; i < 20'000; ++i) {
    std::string text = good;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
      const std::size_t at = random.below(text.size());
      if (random.chance(1, 3))
        text.erase(at, 1 + random.below(8));
      else if (random.chance(1, 2))
        text.insert(at, 1, static_cast<char>(random.below(256)));
      else
        text[at] = static_cast<char>(random.below(256));
      if (text.empty()) text = ".";
    }
    if (text != good) {
      EXPECT_NE(verifier.verify(text, wall()).reject, Reject::none);
    }
  }
}

}  // namespace
}  // namespace weir::passport
