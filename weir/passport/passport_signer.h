// PassportSigner: the passport as a signed token, for upstreams that cannot trust their network.
//
// A compact JWS, typ `passport+jwt`: the members of the passport, with `iss` (the gateway's name), `sub` (the user's id,
// absent for nobody), `iat` and `exp` in their places; the provider's issuer moves to `idp`. An upstream checks it with
// any JWT library against the key set that `serve: passport_keys` gives out. Signing is paid once for each passport that
// is written, not for each request: the token is cached with it.
//
//   auto signer = PassportSigner::make(jwk_set_text, "weir", 300s).value();
//   const std::string token = signer->sign(identity.passport, identity.subject, now);
//
// Rotation: put the new key behind the old one, wait until readers have fetched the set, then put it first; take the old
// one out when its last token has ended. Immutable, shared by all threads.
#ifndef WEIR_PASSPORT_PASSPORT_SIGNER_H_
#define WEIR_PASSPORT_PASSPORT_SIGNER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/passport/jwk.h"
#include "weir/passport/passport.h"
#include "weir/passport/sign.h"

namespace weir::passport {

class PassportSigner {
 public:
  // `keys`: a private JWK or a JWK set of them, ES256, EdDSA or RSA, each with a `kid`; the first signs. Errors
  // invalid_argument: no key, a symmetric or public one, no kid or one twice, more than 16.
  static Result<std::shared_ptr<const PassportSigner>> make(std::string_view keys, std::string_view issuer,
                                                            std::chrono::seconds ttl);

  // `expires`: of the passport, in seconds since 1970; 0 takes `ttl` from now. Never longer than `ttl`.
  std::string sign(const Passport& passport, std::int64_t expires, WallTime now) const;
  // The JWK set of the public keys, as JSON.
  const std::string& public_keys() const noexcept { return public_keys_; }
  std::chrono::seconds ttl() const noexcept { return ttl_; }

 private:
  PassportSigner(Signer signer, std::string issuer, std::chrono::seconds ttl, std::string public_keys)
      : signer_(std::move(signer)),
        issuer_(std::move(issuer)),
        ttl_(ttl),
        public_keys_(std::move(public_keys)) {}

  Signer signer_;
  std::string issuer_;
  std::chrono::seconds ttl_;
  std::string public_keys_;
};

// Reads signed passports, for upstreams in C++. Immutable, shared by all threads.
class SignedPassportReader {
 public:
  // `keys`: the set that `serve: passport_keys` gave out; `issuer`: the gateway's name; `leeway`: clocks differ.
  SignedPassportReader(KeySet keys, std::string issuer,
                       std::chrono::seconds leeway = std::chrono::seconds{60})
      : keys_(std::move(keys)), issuer_(std::move(issuer)), leeway_(leeway) {}

  // The members, user_id first. Errors: malformed (form, type, issuer, no `exp`), not_found (no such key: fetch the set
  // again, once in a while), permission_denied (the signature is not that key's), timed_out.
  Result<Json> read(std::string_view token, WallTime now) const;

 private:
  KeySet keys_;
  std::string issuer_;
  std::chrono::seconds leeway_;
};

// Signed passports of those whose passport itself does not end. Thread-safe; a look under a mutex, a signature when half
// of a token's time is over.
class SignedPassports {
 public:
  explicit SignedPassports(std::shared_ptr<const PassportSigner> signer) : signer_(std::move(signer)) {}
  // `passport` is the identity of an API key or of nobody, which lives as long as this object.
  std::shared_ptr<const std::string> of(const Passport& passport, WallTime now);

 private:
  struct Made {
    std::shared_ptr<const std::string> token;
    std::int64_t renew_at = 0;
  };
  const std::shared_ptr<const PassportSigner> signer_;
  std::mutex mutex_;
  std::unordered_map<const Passport*, Made> made_;
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_PASSPORT_SIGNER_H_
