// The keys are read by the part's own JWK reader, so what could not be verified cannot sign either.
#include "weir/passport/passport_signer.h"

#include <algorithm>

#include "weir/base/check.h"
#include "weir/passport/jwk.h"

namespace weir::passport {
namespace {

constexpr std::size_t kKeysMax = 16;
constexpr std::string_view kType = "passport+jwt";

Error wrong(std::string detail) { return Error(ErrorCode::invalid_argument, std::move(detail)); }

std::int64_t seconds_of(WallTime now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

Result<std::shared_ptr<const PassportSigner>> PassportSigner::make(std::string_view keys,
                                                                   std::string_view issuer,
                                                                   std::chrono::seconds ttl) {
  Result<Json> parsed = Json::parse(keys);
  if (!parsed || !parsed->is_object()) return wrong("no JSON Web Key");
  Json::Array list;
  if (const Json* set = parsed->find("keys"); set != nullptr && set->is_array())
    list.assign(set->items().begin(), set->items().end());
  else
    list.push_back(*parsed);
  if (list.empty() || list.size() > kKeysMax) return wrong("one to sixteen keys are wanted");
  std::vector<std::string> kids;
  std::vector<Signer> signers;
  Json::Array published;
  for (const Json& jwk : list) {
    Result<Signer> signer = Signer::from_jwk(jwk);
    if (!signer) return wrong("a key that cannot sign: " + signer.error().detail);
    if (is_symmetric(signer->algorithm())) return wrong("a symmetric key cannot be published");
    if (signer->kid().empty()) return wrong("a key without `kid`");
    if (std::find(kids.begin(), kids.end(), signer->kid()) != kids.end()) return wrong("a `kid` twice");
    kids.push_back(signer->kid());
    Json shown = public_jwk(jwk);
    shown.set("alg", Json(to_string(signer->algorithm())));
    shown.set("use", Json("sig"));
    published.push_back(std::move(shown));
    signers.push_back(std::move(*signer));
  }
  Json set;
  set.set("keys", Json(std::move(published)));
  return std::shared_ptr<const PassportSigner>(
      new PassportSigner(std::move(signers.front()), std::string(issuer), ttl, set.to_text()));
}

std::string PassportSigner::sign(const Passport& passport, std::int64_t expires, WallTime now) const {
  const std::int64_t now_s = seconds_of(now);
  const std::int64_t latest = now_s + ttl_.count();
  Json claims;
  for (const Json::Member& member : passport.members.members()) {
    if (member.name == "iss")
      claims.set("idp", member.value);
    else if (member.name != "exp" && member.name != "iat")
      claims.set(member.name, member.value);
  }
  claims.set("iss", Json(issuer_));
  if (const std::string user = passport.user_id(); !user.empty()) claims.set("sub", Json(user));
  claims.set("iat", Json(now_s));
  claims.set("exp", Json(expires == 0 ? latest : std::min(expires, latest)));
  Json header;
  header.set("typ", Json(kType));
  Result<std::string> token = signer_.sign(claims, header);
  WEIR_CHECK(token.has_value());  // a key that was taken in make() signs whatever is JSON
  return std::move(*token);
}

Result<Json> SignedPassportReader::read(std::string_view token, WallTime now) const {
  const auto malformed = [](std::string_view what) { return Error(ErrorCode::malformed, std::string(what)); };
  Jws jws;
  if (const Reject reject = parse_compact(token, JwsLimits(), jws); reject != Reject::none)
    return malformed(to_string(reject));
  if (jws.typ != kType) return malformed("not a passport");
  const std::shared_ptr<const Key> key = keys_.find(jws.kid, jws.algorithm);
  if (key == nullptr) return Error(ErrorCode::not_found, "no key of that name");
  if (!key->verify(jws.signing_input, jws.signature))
    return Error(ErrorCode::permission_denied, "the signature");
  Result<Json> claims = Json::parse(jws.payload);
  if (!claims) return claims;
  const Json* issuer = claims->find("iss");
  const Json* expires = claims->find("exp");
  if (issuer == nullptr || issuer->text() != issuer_) return malformed("another issuer's");
  if (expires == nullptr || !expires->integer()) return malformed("no end");
  if (seconds_of(now) >= *expires->integer() + leeway_.count()) return Error(ErrorCode::timed_out, "expired");
  return claims;
}

std::shared_ptr<const std::string> SignedPassports::of(const Passport& passport, WallTime now) {
  const std::int64_t now_s = seconds_of(now);
  const std::lock_guard lock(mutex_);
  Made& made = made_[&passport];
  if (made.token == nullptr || now_s >= made.renew_at) {
    made.token = std::make_shared<const std::string>(signer_->sign(passport, 0, now));
    made.renew_at = now_s + signer_->ttl().count() / 2;
  }
  return made.token;
}

}  // namespace weir::passport
