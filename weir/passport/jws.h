// Compact JWS (RFC 7515 section 3.1), the form every bearer token has: parts, header, and nothing else of it.
//
// parse_compact() takes a token apart and refuses what is not exactly three strict base64url parts with a JSON header
// that names a known signature algorithm. It looks at no claims and checks no signature; Key::verify does the latter.
// `none` is not an algorithm here, so it cannot be asked for. jku, jwk, x5u and x5c in a header are not read at all.
//
// Cheapest first, linear in the token, bounded by Limits. Thread-safe.
#ifndef WEIR_PASSPORT_JWS_H_
#define WEIR_PASSPORT_JWS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "weir/passport/json.h"

namespace weir::passport {

// RFC 7518 section 3.1 and RFC 8037.
enum class Algorithm : std::uint8_t {
  hs256,
  hs384,
  hs512,
  rs256,
  rs384,
  rs512,
  ps256,
  ps384,
  ps512,
  es256,
  es384,
  es512,
  eddsa,
};
inline constexpr std::size_t kAlgorithms = 13;

std::string_view to_string(Algorithm algorithm) noexcept;                  // "RS256"
std::optional<Algorithm> parse_algorithm(std::string_view name) noexcept;  // exact case; `none` is nothing
constexpr bool is_symmetric(Algorithm algorithm) noexcept { return algorithm <= Algorithm::hs512; }

// Why a token is not accepted. Closed, so usable as a metric label and in logs; never holds token or claims.
enum class Reject : std::uint8_t {
  none,
  too_large,           // over the bound in bytes
  not_compact,         // not three parts
  encrypted,           // five parts: a JWE
  bad_encoding,        // not strict base64url
  bad_header,          // header is no JSON object of the right shape
  unknown_algorithm,   // `none` and whatever is no algorithm here
  critical_extension,  // `crit`: something that must be understood and is not (RFC 7515 4.1.11)
  wrong_type,          // `typ` of another kind of token
  bad_claims,          // claims are no JSON object, a name twice, or a registered claim of the wrong type
  unknown_issuer,
  algorithm_not_allowed,  // by the provider
  expired,
  not_yet_valid,
  too_old,       // iat before max_token_age
  no_keys,       // the provider has none at the moment: not the token's fault
  unknown_key,   // no key of that kid; a fresh key set may have it
  key_mismatch,  // the key is bound to another algorithm
  bad_signature,
  wrong_audience,
  missing_claim,       // one that the profile requires
  sender_constrained,  // `cnf`: bound to a proof that a bearer token does not carry (RFC 9449, RFC 8705)
  revoked,
  unknown_api_key,
  passport_too_large,
};
inline constexpr std::size_t kRejects = 25;
std::string_view to_string(Reject reject) noexcept;  // "bad_signature"

struct Jws {
  Algorithm algorithm = Algorithm::rs256;
  std::string kid;  // "" when the header names none
  std::string typ;  // lower case, without "application/"
  Json header;
  std::string_view signing_input;  // into the token: header and payload as sent, with the dot
  std::string payload;             // decoded
  std::string signature;           // decoded
};

struct JwsLimits {
  std::size_t token_bytes = 8 * 1024;
  std::size_t header_bytes = 2 * 1024;
  std::size_t header_depth = 4;
  std::size_t kid_bytes = 256;
};

// Fills `out`, whose views point into `token`; Reject::none when all is well.
Reject parse_compact(std::string_view token, const JwsLimits& limits, Jws& out);

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_JWS_H_
