// See verifier.h.
//
//   (1) No check is skipped because a claim is absent: iss and aud are required by configuration, exp unless that was
//       switched off in writing, and what a profile names.
//   (2) Nothing with a side effect happens before the signature is good.
//   (3) A registered claim of the wrong type is a bad token, never an absent claim.
//
// RFC 7519 section 7.2, RFC 8725, RFC 9068 section 4, OpenID Connect Core 3.1.3.7.
#include "weir/passport/verifier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "weir/base/check.h"
#include "weir/passport/passport_signer.h"

namespace weir::passport {
namespace {

constexpr double kLatestDate = 253402300800;  // year 10000: later is a mistake in the unit
constexpr std::size_t kListed = 256;          // scopes or roles that are kept of one token

std::int64_t seconds_of(WallTime now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

// NumericDate (RFC 7519 section 2). Absent: 0. False: wrong type or out of range.
bool read_date(const Json& claims, std::string_view name, std::int64_t& out, bool round_up) {
  const Json* value = claims.find(name);
  out = 0;
  if (value == nullptr) return true;
  const std::optional<double> number = value->number();
  if (!number || !(*number > 0) || !(*number < kLatestDate)) return false;
  out = static_cast<std::int64_t>(round_up ? std::ceil(*number) : std::floor(*number));
  return true;
}

bool read_text(const Json& claims, std::string_view name, std::string& out) {
  const Json* value = claims.find(name);
  out.clear();
  if (value == nullptr) return true;
  if (!value->is_string()) return false;
  out = value->text();
  return true;
}

void add_words(std::string_view text, std::vector<std::string>& out) {
  while (!text.empty() && out.size() < kListed) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (space > 0) out.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
}

// A text of words (RFC 8693 4.2) or a list of texts.
void read_list(const Json* value, std::vector<std::string>& out) {
  if (value == nullptr) return;
  add_words(value->text(), out);
  for (const Json& item : value->items())
    if (item.is_string() && out.size() < kListed) out.emplace_back(item.text());
}

std::string joined_principal(std::string_view issuer, std::string_view subject) {
  std::string out = std::to_string(issuer.size());
  out += ':';
  out += issuer;
  out += subject;
  return out;
}

bool contains(std::span<const std::string> list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

bool Identity::has_scope(std::string_view scope) const noexcept { return contains(scopes, scope); }
bool Identity::has_role(std::string_view role) const noexcept { return contains(roles, role); }

std::size_t Identity::footprint() const noexcept {
  std::size_t bytes =
      sizeof(Identity) + claims.footprint() + passport.members.footprint() + signed_passport.size();
  for (const std::string* text : {&provider, &issuer, &subject, &principal, &jti, &sid, &kid,
                                  &passport.header, &proxy_fields.sub, &proxy_state})
    bytes += text->capacity();
  for (const auto* list : {&scopes, &roles})
    for (const std::string& word : *list) bytes += sizeof(std::string) + word.capacity();
  return bytes;
}

struct Verifier::Work {
  std::string_view token;
  WallTime now;
  std::int64_t now_s = 0;
  Jws jws;
  Json claims;
  const Provider* provider = nullptr;
  std::int64_t exp = 0, nbf = 0, iat = 0;
  std::shared_ptr<const Key> key;
  std::shared_ptr<Identity> identity;
};

Verifier::Verifier(std::vector<Provider> providers, IdentityRules rules, Limits limits)
    : providers_(std::move(providers)), rules_(std::move(rules)), limits_(limits) {
  for (const Provider& provider : providers_) {
    WEIR_CHECK(provider.keys != nullptr && !provider.algorithms.empty());
    WEIR_CHECK(provider.any_audience || !provider.audiences.empty());
    WEIR_CHECK(by_issuer_.emplace(provider.issuer, &provider).second);
  }
}

// RFC 8725 3.11: tokens of other kinds carry their own typ, and must not pass as access tokens.
Reject Verifier::check_type(Work& work) const {
  const std::string& typ = work.jws.typ;
  const bool access = typ == "at+jwt";
  if (!typ.empty() && typ != "jwt" && !access) return Reject::wrong_type;
  return Reject::none;
}

Reject Verifier::check_claims(Work& work) const {
  Json::Limits limits;
  limits.bytes = limits_.jws.token_bytes;
  limits.depth = limits_.claims_depth;
  Result<Json> claims = Json::parse(work.jws.payload, limits);
  if (!claims || !claims->is_object()) return Reject::bad_claims;
  work.claims = std::move(*claims);
  std::string issuer;
  if (!read_text(work.claims, "iss", issuer)) return Reject::bad_claims;
  const auto found = by_issuer_.find(issuer);
  if (found == by_issuer_.end()) return Reject::unknown_issuer;
  work.provider = found->second;
  const auto& allowed = work.provider->algorithms;
  if (std::find(allowed.begin(), allowed.end(), work.jws.algorithm) == allowed.end())
    return Reject::algorithm_not_allowed;
  return Reject::none;
}

Reject Verifier::check_times(Work& work) const {
  if (!read_date(work.claims, "exp", work.exp, true)) return Reject::bad_claims;
  if (!read_date(work.claims, "nbf", work.nbf, false)) return Reject::bad_claims;
  if (!read_date(work.claims, "iat", work.iat, false)) return Reject::bad_claims;
  const std::int64_t leeway = work.provider->leeway.count();
  if (work.exp == 0 && work.provider->require_exp) return Reject::missing_claim;
  if (work.exp != 0 && work.now_s >= work.exp + leeway) return Reject::expired;
  if (work.nbf != 0 && work.now_s < work.nbf - leeway) return Reject::not_yet_valid;
  if (!work.provider->max_token_age) return Reject::none;
  if (work.iat == 0) return Reject::missing_claim;
  if (work.iat > work.now_s + leeway) return Reject::not_yet_valid;
  return work.now_s - work.iat > work.provider->max_token_age->count() + leeway ? Reject::too_old
                                                                                : Reject::none;
}

Reject Verifier::check_key(Work& work) const {
  const std::shared_ptr<const KeySet> keys = work.provider->keys->current();
  if (!keys || keys->keys().empty()) return Reject::no_keys;
  bool other_algorithm = false;
  work.key = keys->find(work.jws.kid, work.jws.algorithm, &other_algorithm);
  if (!work.key) return other_algorithm ? Reject::key_mismatch : Reject::unknown_key;
  return Reject::none;
}

Reject Verifier::check_audience(Work& work) const {
  const Json* aud = work.claims.find("aud");
  if (aud != nullptr && !aud->is_string() && !aud->is_array()) return Reject::bad_claims;
  if (aud != nullptr)
    for (const Json& item : aud->items())
      if (!item.is_string()) return Reject::bad_claims;
  if (work.provider->any_audience) return Reject::none;
  if (aud == nullptr) return Reject::wrong_audience;
  if (aud->is_string())
    return contains(work.provider->audiences, aud->text()) ? Reject::none : Reject::wrong_audience;
  const auto ours = [&](const Json& item) { return contains(work.provider->audiences, item.text()); };
  return std::any_of(aud->items().begin(), aud->items().end(), ours) ? Reject::none : Reject::wrong_audience;
}

Reject Verifier::check_profile(Work& work) const {
  // RFC 9449 and RFC 8705: taken as a bearer token, a bound one would lose what it is bound for.
  if (work.claims.find("cnf") != nullptr) return Reject::sender_constrained;
  const auto has_text = [&](std::string_view name) {
    const Json* value = work.claims.find(name);
    return value != nullptr && value->is_string() && !value->text().empty();
  };
  switch (work.provider->profile) {
    case Profile::generic:
      return Reject::none;
    case Profile::rfc9068:
      if (work.jws.typ != "at+jwt") return Reject::wrong_type;
      return has_text("sub") && has_text("client_id") && has_text("jti") && work.iat != 0
                 ? Reject::none
                 : Reject::missing_claim;
    case Profile::id_token: {
      if (work.jws.typ == "at+jwt") return Reject::wrong_type;
      if (!has_text("sub") || work.iat == 0) return Reject::missing_claim;
      const Json* aud = work.claims.find("aud");
      if (aud == nullptr || aud->items().size() < 2) return Reject::none;
      // Issued for several: it must say to whom, and that must be one of ours.
      if (!has_text("azp")) return Reject::missing_claim;
      return work.provider->any_audience ||
                     contains(work.provider->audiences, work.claims.find("azp")->text())
                 ? Reject::none
                 : Reject::wrong_audience;
    }
  }
  return Reject::none;
}

Reject Verifier::render(Work& work) const {
  auto identity = std::make_shared<Identity>();
  const std::int64_t leeway = work.provider->leeway.count();
  identity->provider = work.provider->name;
  identity->issuer = work.provider->issuer;
  if (!read_text(work.claims, "sub", identity->subject) || !read_text(work.claims, "jti", identity->jti) ||
      !read_text(work.claims, "sid", identity->sid))
    return Reject::bad_claims;
  identity->kid = work.jws.kid;
  identity->expires = work.exp == 0 ? 0 : work.exp + leeway;
  identity->not_before = work.nbf == 0 ? 0 : work.nbf - leeway;
  identity->issued_at = work.iat;
  const Json* scope = work.claims.find("scope");
  read_list(scope != nullptr ? scope : work.claims.find("scp"), identity->scopes);
  read_list(work.claims.at(work.provider->roles), identity->roles);
  identity->key = work.key;
  identity->claims = std::move(work.claims);
  // The passport ends with the token, or earlier, and is renewed before a reader could see it near its end.
  const std::int64_t ttl = rules_.passport_ttl.count();
  identity->render_until = work.now_s + ttl / 2;
  const Reject reject = render_identity(*identity, rules_, work.now);
  work.identity = std::move(identity);
  return reject;
}

Reject Verifier::run(Work& work, std::vector<Step>* steps) const {
  using Check = Reject (Verifier::*)(Work&) const;
  const auto note = [steps](std::string_view check, Reject reject) {
    if (steps != nullptr)
      steps->push_back(
          Step{check, reject == Reject::none, std::string(reject == Reject::none ? "" : to_string(reject))});
    return reject;
  };
  Reject reject = note("form", parse_compact(work.token, limits_.jws, work.jws));
  if (reject != Reject::none) return reject;
  constexpr std::array<std::pair<std::string_view, Check>, 4> kBefore{{{"type", &Verifier::check_type},
                                                                       {"issuer", &Verifier::check_claims},
                                                                       {"times", &Verifier::check_times},
                                                                       {"key", &Verifier::check_key}}};
  for (const auto& [name, check] : kBefore)
    if (reject = note(name, (this->*check)(work)); reject != Reject::none) return reject;
  reject =
      work.key->verify(work.jws.signing_input, work.jws.signature) ? Reject::none : Reject::bad_signature;
  if (note("signature", reject) != Reject::none) return reject;
  constexpr std::array<std::pair<std::string_view, Check>, 3> kAfter{{{"audience", &Verifier::check_audience},
                                                                      {"profile", &Verifier::check_profile},
                                                                      {"passport", &Verifier::render}}};
  for (const auto& [name, check] : kAfter)
    if (reject = note(name, (this->*check)(work)); reject != Reject::none) return reject;
  return Reject::none;
}

Verification Verifier::verify(std::string_view token, WallTime now) const {
  Work work;
  work.token = token;
  work.now = now;
  work.now_s = seconds_of(now);
  Verification result;
  result.reject = run(work, nullptr);
  result.provider = work.provider;
  result.kid = std::move(work.jws.kid);
  if (result.reject == Reject::none) result.identity = std::move(work.identity);
  return result;
}

std::vector<Verifier::Step> Verifier::explain(std::string_view token, WallTime now) const {
  Work work;
  work.token = token;
  work.now = now;
  work.now_s = seconds_of(now);
  std::vector<Step> steps;
  run(work, &steps);
  return steps;
}

Reject render_identity(Identity& identity, const IdentityRules& rules, WallTime now) {
  identity.principal = joined_principal(identity.issuer, identity.subject);
  identity.proxy_fields = rules.proxy_state.derive(identity.claims);
  identity.proxy_state = identity.proxy_fields.encode();
  identity.country_claimed = identity.proxy_fields.country != "ZZ";
  PassportWriter::Extras extras;
  extras.emplace_back("status", Json(identity.proxy_fields.status));
  if (identity.country_claimed) extras.emplace_back("country", Json(identity.proxy_fields.country));
  if (identity.claims.at(rules.proxy_state.options().platform) != nullptr)
    extras.emplace_back("platform", Json(identity.proxy_fields.platform));
  if (!identity.scopes.empty()) {
    Json::Array scopes;
    for (const std::string& scope : identity.scopes) scopes.emplace_back(scope);
    extras.emplace_back("scope", Json(std::move(scopes)));
  }
  if (!identity.issuer.empty()) extras.emplace_back("iss", Json(identity.issuer));
  std::int64_t expires = 0;
  if (identity.render_until != 0) {
    expires = seconds_of(now) + rules.passport_ttl.count();
    std::int64_t token_ends = 0;
    if (read_date(identity.claims, "exp", token_ends, true) && token_ends != 0)
      expires = std::min(expires, token_ends);
  }
  Result<Passport> passport = rules.passport.write(identity.claims, extras, expires);
  if (!passport) return Reject::passport_too_large;
  identity.passport = std::move(*passport);
  if (rules.signer != nullptr && identity.render_until != 0)
    identity.signed_passport = rules.signer->sign(identity.passport, expires, now);
  return Reject::none;
}

std::shared_ptr<const Identity> nobody() {
  auto identity = std::make_shared<Identity>();
  identity->anonymous = true;
  identity->passport = Passport::of_nobody();
  identity->proxy_state = identity->proxy_fields.encode();
  return identity;
}

}  // namespace weir::passport
