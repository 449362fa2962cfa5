// Verifier: a bearer token in, a verified identity or the reason why not out.
//
//   Verifier verifier({provider}, rules);
//   Verification result = verifier.verify(token, wall_now);
//   if (result.reject != Reject::none) return refuse(result.reject);
//   use(result.identity->passport.header, result.identity->proxy_state);
//
// Checks in the order of their cost: bytes, parts, base64, header, type, claims, issuer, algorithm, times, key,
// signature, audience, what the profile requires. Several providers are told apart by `iss`, byte for byte.
// Nothing that a token says chooses how it is checked beyond which configured provider and which of its keys.
//
// Immutable; verify() may be called from any thread and blocks nobody. One RS256 check is about 25 us; all else 3 us.
// Remembering what was verified is Authenticator's work.
#ifndef WEIR_PASSPORT_VERIFIER_H_
#define WEIR_PASSPORT_VERIFIER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/base/clock.h"
#include "weir/base/result.h"
#include "weir/passport/json.h"
#include "weir/passport/jwk.h"
#include "weir/passport/jws.h"
#include "weir/passport/passport.h"
#include "weir/passport/proxy_state.h"

namespace weir::passport {

// What kind of token a provider hands out.
enum class Profile : std::uint8_t {
  generic,   // JWT: typ JWT, at+jwt or none
  id_token,  // OpenID Connect Core 2: sub and iat required, azp with several audiences
  rfc9068,   // access tokens: typ at+jwt; sub, client_id, iat and jti required
};

struct Provider {
  std::string name;
  std::string issuer;                  // equal to `iss`, byte for byte
  std::vector<std::string> audiences;  // one of them must be in `aud`
  bool any_audience = false;           // written as `audiences: any`
  std::vector<Algorithm> algorithms;   // what tokens may use; decides for keys without `alg`
  Profile profile = Profile::generic;
  std::chrono::seconds leeway{30};  // for exp and nbf; at most 300
  bool require_exp = true;
  std::optional<std::chrono::seconds> max_token_age = std::nullopt;  // by iat, which is required then
  ClaimPath roles{"roles"};
  std::shared_ptr<KeyRing> keys = nullptr;
};

// Who a request comes from, as far as a token or an API key says. Immutable once made, shared by requests.
struct Identity {
  std::string provider;  // its name
  std::string issuer, subject;
  std::string principal;  // issuer and subject joined with their lengths: the owner of idempotency keys
  std::string jti, sid, kid;
  std::int64_t expires = 0;       // exp plus leeway in seconds since 1970; 0: never
  std::int64_t not_before = 0;    // nbf minus leeway; 0: always
  std::int64_t issued_at = 0;     // 0: not told
  std::int64_t render_until = 0;  // from then on the passport is written anew; 0: never
  std::vector<std::string> scopes, roles;
  Json claims;
  Passport passport;
  ProxyState proxy_fields;
  std::string proxy_state;         // encoded
  std::string signed_passport;     // where passports are signed; "" else, and for who has no token of his own
  bool country_claimed = false;    // else an edge's header may say it
  std::shared_ptr<const Key> key;  // null for API keys
  bool anonymous = false;
  mutable std::atomic<std::uint64_t> revocation_checked{0};  // epoch of the last look into the revocations

  bool has_scope(std::string_view scope) const noexcept;
  bool has_role(std::string_view role) const noexcept;
  // Bytes in memory, about.
  std::size_t footprint() const noexcept;
};

struct Verification {
  Reject reject = Reject::none;
  std::shared_ptr<const Identity> identity;  // null when rejected
  const Provider* provider = nullptr;        // known once the issuer is; the verifier's
  std::string kid;                           // of the token, for fetching keys and for logs
};

class PassportSigner;

struct IdentityRules {
  PassportWriter passport;
  ProxyStateRules proxy_state;
  std::chrono::seconds passport_ttl{300};  // exp of a passport; written anew at half of it
  std::shared_ptr<const PassportSigner> signer = nullptr;  // null: passports are not signed
};

class Verifier {
 public:
  struct Limits {
    JwsLimits jws;
    std::size_t claims_depth = 8;
  };

  Verifier(std::vector<Provider> providers, IdentityRules rules)
      : Verifier(std::move(providers), rules, Limits()) {}
  Verifier(std::vector<Provider> providers, IdentityRules rules, Limits limits);
  Verifier(const Verifier&) = delete;  // what it hands out points into it
  Verifier& operator=(const Verifier&) = delete;

  Verification verify(std::string_view token, WallTime now) const;

  // One line for each check that was made, in order, with its verdict; never the token or a claim's value.
  struct Step {
    std::string_view check;
    bool passed = false;
    std::string detail;
  };
  std::vector<Step> explain(std::string_view token, WallTime now) const;

  std::span<const Provider> providers() const noexcept { return providers_; }
  const IdentityRules& rules() const noexcept { return rules_; }

 private:
  struct Work;
  Reject check_type(Work& work) const;
  Reject check_claims(Work& work) const;
  Reject check_times(Work& work) const;
  Reject check_key(Work& work) const;
  Reject check_audience(Work& work) const;
  Reject check_profile(Work& work) const;
  Reject render(Work& work) const;
  Reject run(Work& work, std::vector<Step>* steps) const;

  std::vector<Provider> providers_;
  std::unordered_map<std::string_view, const Provider*> by_issuer_;
  IdentityRules rules_;
  Limits limits_;
};

// Fills passport, proxy state and principal of an identity whose claims stand. Reject::passport_too_large if the
// passport does not fit.
Reject render_identity(Identity& identity, const IdentityRules& rules, WallTime now);

// The identity of a request without a credential, where that is allowed.
std::shared_ptr<const Identity> nobody();

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_VERIFIER_H_
