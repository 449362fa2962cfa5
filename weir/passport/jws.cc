// See jws.h. The order of the checks is the order of their cost: bytes, dots, base64, JSON.
//
// Strict base64url (no padding, no other character, zero spare bits) makes a token's text unique: no two texts decode
// to the same parts, which caches and revocation rely on.
#include "weir/passport/jws.h"

#include <array>
#include <utility>

#include "weir/base/base64.h"
#include "weir/base/strings.h"

namespace weir::passport {
namespace {

constexpr std::array<std::string_view, kAlgorithms> kAlgorithmNames{
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256",
    "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"};

constexpr std::array<std::string_view, kRejects> kRejectNames{"none",
                                                              "too_large",
                                                              "not_compact",
                                                              "encrypted",
                                                              "bad_encoding",
                                                              "bad_header",
                                                              "unknown_algorithm",
                                                              "critical_extension",
                                                              "wrong_type",
                                                              "bad_claims",
                                                              "unknown_issuer",
                                                              "algorithm_not_allowed",
                                                              "expired",
                                                              "not_yet_valid",
                                                              "too_old",
                                                              "no_keys",
                                                              "unknown_key",
                                                              "key_mismatch",
                                                              "bad_signature",
                                                              "wrong_audience",
                                                              "missing_claim",
                                                              "sender_constrained",
                                                              "revoked",
                                                              "unknown_api_key",
                                                              "passport_too_large"};

// RFC 7515 4.1.9: a `typ` without a slash stands for application/ that.
std::string short_type(std::string_view typ) {
  std::string lower = base::to_lower(typ);
  constexpr std::string_view kPrefix = "application/";
  if (lower.starts_with(kPrefix)) lower.erase(0, kPrefix.size());
  return lower;
}

Reject read_header(const JwsLimits& limits, Jws& out) {
  const Json* alg = out.header.find("alg");
  if (alg == nullptr || !alg->is_string()) return Reject::bad_header;
  const std::optional<Algorithm> known = parse_algorithm(alg->text());
  if (!known) return Reject::unknown_algorithm;
  out.algorithm = *known;
  // Every extension that is critical is unknown here (RFC 7515 4.1.11), an empty list included.
  if (out.header.find("crit") != nullptr) return Reject::critical_extension;
  if (const Json* typ = out.header.find("typ"); typ != nullptr) {
    if (!typ->is_string()) return Reject::bad_header;
    out.typ = short_type(typ->text());
  }
  if (const Json* kid = out.header.find("kid"); kid != nullptr) {
    if (!kid->is_string() || kid->text().size() > limits.kid_bytes) return Reject::bad_header;
    out.kid = kid->text();
  }
  return Reject::none;
}

}  // namespace

std::string_view to_string(Algorithm algorithm) noexcept {
  return kAlgorithmNames[static_cast<std::size_t>(algorithm)];
}

std::optional<Algorithm> parse_algorithm(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kAlgorithmNames.size(); ++i)
    if (kAlgorithmNames[i] == name) return static_cast<Algorithm>(i);
  return std::nullopt;
}

std::string_view to_string(Reject reject) noexcept { return kRejectNames[static_cast<std::size_t>(reject)]; }

Reject parse_compact(std::string_view token, const JwsLimits& limits, Jws& out) {
  if (token.size() > limits.token_bytes) return Reject::too_large;
  std::array<std::size_t, 5> dots{};
  std::size_t count = 0;
  for (std::size_t at = token.find('.'); at != std::string_view::npos; at = token.find('.', at + 1)) {
    if (count == dots.size()) return Reject::not_compact;
    dots[count++] = at;
  }
  if (count == 4) return Reject::encrypted;
  if (count != 2) return Reject::not_compact;
  const std::string_view header_text = token.substr(0, dots[0]);
  const std::string_view payload_text = token.substr(dots[0] + 1, dots[1] - dots[0] - 1);
  const std::string_view signature_text = token.substr(dots[1] + 1);
  if (header_text.empty() || signature_text.empty()) return Reject::not_compact;
  if (header_text.size() / 4 * 3 > limits.header_bytes) return Reject::bad_header;
  Result<std::string> header = base::base64url_decode(header_text);
  Result<std::string> payload = base::base64url_decode(payload_text);
  Result<std::string> signature = base::base64url_decode(signature_text);
  if (!header || !payload || !signature) return Reject::bad_encoding;
  Json::Limits json_limits;
  json_limits.bytes = limits.header_bytes;
  json_limits.depth = limits.header_depth;
  Result<Json> parsed = Json::parse(*header, json_limits);
  if (!parsed || !parsed->is_object()) return Reject::bad_header;
  out = Jws{};
  out.header = std::move(*parsed);
  out.signing_input = token.substr(0, dots[1]);
  out.payload = std::move(*payload);
  out.signature = std::move(*signature);
  return read_header(limits, out);
}

}  // namespace weir::passport
