// Signed passports: what they say, who can check them, how long they are good.
#include "weir/passport/passport_signer.h"

#include <gtest/gtest.h>

#include "weir/passport/jwk.h"
#include "weir/passport/testing.h"
#include "weir/passport/verifier.h"

namespace weir::passport {
namespace {

using std::chrono::seconds;

std::string set_of(std::initializer_list<const Json*> keys) {
  Json::Array list;
  for (const Json* key : keys) list.push_back(*key);
  Json set;
  set.set("keys", Json(std::move(list)));
  return set.to_text();
}

// Checked with nothing but the published set.
Result<Json> check(const PassportSigner& signer, const std::string& token, std::int64_t now) {
  const SignedPassportReader reader(KeySet::parse(signer.public_keys(), KeySet::Options()).value(), "gate",
                                    seconds{0});
  return reader.read(token, testing::wall(now));
}

Passport passport_of(std::string_view claims) {
  return PassportWriter().write(testing::json(claims), {{"iss", Json("https://id.example")}}, 0).value();
}

// Every kind of key signs what its published half verifies; the members are the passport's, user_id first, and the
// provider's issuer is no longer `iss`. After `exp` it is refused, and so is any other bit.
TEST(PassportSigner, SignsWhatReadersCanCheck) {
  for (const Algorithm algorithm : {Algorithm::es256, Algorithm::eddsa, Algorithm::rs256}) {
    const Json jwk = generate_jwk(algorithm, "k1").value();
    const auto signer = PassportSigner::make(jwk.to_text(), "gate", seconds{300}).value();
    const Passport passport = passport_of(R"({"sub":"user_123","email":"a@b","roles":["x"]})");
    const std::string token = signer->sign(passport, 0, testing::wall());
    const Result<Json> good = check(*signer, token, testing::kNow);
    ASSERT_TRUE(good) << good.error().detail;
    const Json& claims = *good;
    EXPECT_EQ(claims.members()[0].name, "user_id");
    EXPECT_EQ(claims.find("sub")->text(), "user_123");
    EXPECT_EQ(claims.find("idp")->text(), "https://id.example");
    EXPECT_EQ(claims.find("iss")->text(), "gate");
    EXPECT_EQ(claims.find("exp")->integer(), testing::kNow + 300);
    EXPECT_EQ(check(*signer, token, testing::kNow + 300).error().code, ErrorCode::timed_out);
    std::string other = token;
    other[other.size() / 2] = other[other.size() / 2] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(check(*signer, other, testing::kNow));
    EXPECT_EQ(signer->public_keys().find("\"d\""), std::string::npos) << "nothing private is published";
    EXPECT_EQ(signer->public_keys().find("\"p\""), std::string::npos);
  }
}

// It ends with the passport, and never later than its own time.
TEST(PassportSigner, EndsWithThePassport) {
  const auto signer =
      PassportSigner::make(generate_jwk(Algorithm::es256, "k1").value().to_text(), "gate", seconds{300})
          .value();
  const Passport passport = passport_of(R"({"sub":"u"})");
  const auto exp = [&](std::int64_t expires) {
    const std::string token = signer->sign(passport, expires, testing::wall());
    return check(*signer, token, testing::kNow)->find("exp")->integer();
  };
  EXPECT_EQ(exp(testing::kNow + 10), testing::kNow + 10);
  EXPECT_EQ(exp(testing::kNow + 900), testing::kNow + 300);
}

// The first of a set signs, all are published: rotation.
TEST(PassportSigner, Rotates) {
  const Json old_key = generate_jwk(Algorithm::es256, "old").value();
  const Json new_key = generate_jwk(Algorithm::eddsa, "new").value();
  const auto before = PassportSigner::make(set_of({&old_key, &new_key}), "gate", seconds{300}).value();
  const auto after = PassportSigner::make(set_of({&new_key, &old_key}), "gate", seconds{300}).value();
  const Passport passport = passport_of(R"({"sub":"u"})");
  for (const auto& reader : {before, after})
    for (const auto& writer : {before, after})
      EXPECT_TRUE(check(*reader, writer->sign(passport, 0, testing::wall()), testing::kNow));
  Jws jws;
  const std::string token = after->sign(passport, 0, testing::wall());
  ASSERT_EQ(parse_compact(token, JwsLimits(), jws), Reject::none);
  EXPECT_EQ(jws.kid, "new");
  const auto stranger =
      PassportSigner::make(generate_jwk(Algorithm::es256, "x").value().to_text(), "gate", seconds{300})
          .value();
  EXPECT_EQ(check(*stranger, token, testing::kNow).error().code, ErrorCode::not_found);
}

// A signed passport opens no door of weir's: it is no access token, whoever trusts its key.
TEST(PassportSigner, IsNoAccessToken) {
  const auto signer =
      PassportSigner::make(generate_jwk(Algorithm::es256, "k1").value().to_text(), "gate", seconds{300})
          .value();
  Provider provider = testing::provider_with({}, {Algorithm::es256});
  provider.issuer = "gate";
  provider.any_audience = true;
  provider.keys->publish(KeySet::parse(signer->public_keys(), KeySet::Options()).value());
  const std::string token = signer->sign(passport_of(R"({"sub":"u"})"), 0, testing::wall());
  EXPECT_EQ(Verifier({provider}, IdentityRules()).verify(token, testing::wall()).reject, Reject::wrong_type);
}

// Keys that cannot be used, or must not be shown, are refused.
TEST(PassportSigner, RefusesKeys) {
  const Json good = generate_jwk(Algorithm::es256, "k").value();
  const Json shown = public_jwk(good);
  const Json secret = generate_jwk(Algorithm::hs256, "k").value();
  Json nameless;
  for (const Json::Member& member : good.members())
    if (member.name != "kid") nameless.set(member.name, member.value);
  for (const std::string& keys :
       {std::string("no json"), std::string("{}"), std::string("{\"keys\":[]}"), shown.to_text(),
        secret.to_text(), nameless.to_text(), set_of({&good, &good})})
    EXPECT_FALSE(PassportSigner::make(keys, "gate", seconds{300}).has_value()) << keys;
}

// Who has no token that ends gets one that does, made anew at half of its time.
TEST(SignedPassports, AreMadeAnew) {
  const auto signer =
      PassportSigner::make(generate_jwk(Algorithm::es256, "k1").value().to_text(), "gate", seconds{300})
          .value();
  SignedPassports tokens(signer);
  const Passport nobody = Passport::of_nobody();
  const auto first = tokens.of(nobody, testing::wall());
  EXPECT_EQ(tokens.of(nobody, testing::wall(testing::kNow + 149)), first);
  const auto second = tokens.of(nobody, testing::wall(testing::kNow + 150));
  EXPECT_NE(*second, *first);
  const Result<Json> good = check(*signer, *second, testing::kNow + 150);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->find("sub"), nullptr);
  EXPECT_TRUE(good->find("anon")->boolean());
}

}  // namespace
}  // namespace weir::passport
