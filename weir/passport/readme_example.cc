#include <cstdio>

#include "weir/passport/passport.h"
#include "weir/passport/sign.h"
#include "weir/passport/verifier.h"

int main() {
  using namespace weir::passport;
  const weir::WallTime now{std::chrono::seconds{1'790'000'000}};
  const Json jwk =
      generate_jwk(Algorithm::es256, "kid-1").value();  // a provider's key, private half included
  const Json claims =
      Json::parse(R"({"iss":"https://id.example","aud":"api","sub":"user_123","exp":1790000600})").value();
  const std::string token = Signer::from_jwk(jwk)->sign(claims).value();

  Provider provider{
      .name = "main", .issuer = "https://id.example", .audiences = {"api"}, .algorithms = {Algorithm::es256}};
  provider.keys = std::make_shared<KeyRing>();
  provider.keys->publish(KeySet::parse(public_jwk(jwk).to_text(), KeySet::Options()).value());
  const Verifier verifier({provider}, IdentityRules());
  const Verification result = verifier.verify(token, now);
  if (result.reject != Reject::none) return 1;
  std::printf("X-Passport: %s\nX-Proxy-State: %s\n", result.identity->passport.header.c_str(),
              result.identity->proxy_state.c_str());
  return Reader().read(result.identity->passport.header, now)->user_id() == "user_123" ? 0 : 1;
}
