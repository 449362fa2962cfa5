// What the tests of identities share: a provider's key, tokens, and a gateway that trusts it.
#ifndef WEIR_TESTS_ACCEPTANCE_AUTH_H_
#define WEIR_TESTS_ACCEPTANCE_AUTH_H_

#include <chrono>
#include <string>
#include <string_view>

#include "tests/acceptance/acceptance.h"
#include "weir/base/base64.h"
#include "weir/passport/api_keys.h"
#include "weir/passport/sign.h"

namespace weir::testing {

inline std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Issuer {
  explicit Issuer(std::string kid = "k1", passport::Algorithm algorithm = passport::Algorithm::es256)
      : jwk(passport::generate_jwk(algorithm, kid).value()),
        signer(passport::Signer::from_jwk(jwk).value()) {}

  // Good for ten minutes, with the members of `more` on top.
  std::string token(std::string_view sub, std::string_view more = "{}") const {
    passport::Json claims;
    claims.set("iss", passport::Json("https://id.example"));
    claims.set("aud", passport::Json("api"));
    claims.set("sub", passport::Json(sub));
    claims.set("exp", passport::Json(unix_now() + 600));
    const passport::Json extra = passport::Json::parse(more).value();
    for (const passport::Json::Member& member : extra.members()) claims.set(member.name, member.value);
    return signer.sign(claims).value();
  }
  std::string public_text() const { return passport::public_jwk(jwk).to_text(); }

  passport::Json jwk;
  passport::Signer signer;
};

inline std::string key_set(std::initializer_list<const Issuer*> issuers) {
  std::string text = "{\"keys\":[";
  for (const Issuer* issuer : issuers) text += (text.back() == '[' ? "" : ",") + issuer->public_text();
  return text + "]}";
}

inline Fields bearer(const std::string& token) { return {{"Authorization", "Bearer " + token}}; }

// The JSON of a base64 header; "" when it is none.
inline std::string decoded(const std::string& value) {
  const Result<std::string> text = base::base64_decode(value);
  return text ? *text : std::string();
}

}  // namespace weir::testing

#endif  // WEIR_TESTS_ACCEPTANCE_AUTH_H_
