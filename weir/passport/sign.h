// Signing: tokens for tests, for the command line and for internal callers. Not an identity provider.
//
//   Result<Signer> signer = Signer::from_jwk(private_jwk);
//   Result<std::string> token = signer->sign(claims);      // header: alg, kid, typ
//   Result<Json> jwk = generate_jwk(Algorithm::es256, "kid-1");
//
// Immutable; sign() from any thread, one context a call: 0.8 ms for RS256, 30 us for ES256.
#ifndef WEIR_PASSPORT_SIGN_H_
#define WEIR_PASSPORT_SIGN_H_

#include <memory>
#include <string>
#include <string_view>

#include "weir/base/result.h"
#include "weir/passport/json.h"
#include "weir/passport/jws.h"

namespace weir::passport {

class Signer {
 public:
  // A private JWK. Without `alg`: HS256, RS256, by curve, EdDSA.
  static Result<Signer> from_jwk(const Json& jwk);
  static Result<Signer> from_secret(std::string_view secret, Algorithm algorithm, std::string_view kid);

  // `header` adds to alg, typ ("JWT" unless given) and kid, or replaces typ and kid; `alg` cannot be replaced.
  Result<std::string> sign(const Json& claims, const Json& header = Json()) const;
  // The compact form over any payload bytes.
  Result<std::string> sign_bytes(std::string_view payload, const Json& header) const;

  Algorithm algorithm() const noexcept;
  const std::string& kid() const noexcept;

 private:
  struct State;
  explicit Signer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// A fresh private key: RSA of 2048 bits, the algorithm's curve, or random bytes as long as the hash.
Result<Json> generate_jwk(Algorithm algorithm, std::string_view kid);
// Without the private members.
Json public_jwk(const Json& jwk);

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_SIGN_H_
