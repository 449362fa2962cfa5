// Who asks: the typed form of `auth`, `passport`, `proxy_state`, `idempotency`, and of a route's keys of that kind.
//
// Plain data, as all of Config: paths of claims are lists of names, files have been read.
#ifndef WEIR_CONFIG_AUTH_H_
#define WEIR_CONFIG_AUTH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/clock.h"

namespace weir::config {

using ClaimPath = std::vector<std::string>;  // names from the outside in

struct AuthProvider {
  enum class Type : std::uint8_t { jwt, api_key };
  enum class Keys : std::uint8_t { file, url, discover, secret };
  enum class Profile : std::uint8_t { generic, id_token, rfc9068 };

  std::string name;
  Type type = Type::jwt;
  ClaimPath roles{"roles"};

  // jwt
  std::string issuer;
  std::vector<std::string> audiences;
  bool any_audience = false;
  std::vector<std::string> algorithms;  // at least one
  Profile profile = Profile::generic;
  Duration leeway = std::chrono::seconds{30};
  bool require_exp = true;
  std::optional<Duration> max_token_age;
  Keys keys = Keys::file;
  std::string key_file;  // its path
  std::string key_text;  // the file's content, or the secret
  std::string url;       // of the key set, or of the discovery document
  Duration ttl = std::chrono::minutes{10};
  Duration stale_if_error = std::chrono::hours{24};
  Duration cooldown = std::chrono::seconds{30};
  std::string persist;  // a file for the last good set; "" none

  // api_key
  std::string header = "X-Api-Key";
  std::string api_key_file;
  std::vector<std::pair<std::string, std::string>> api_keys;  // SHA-256 as hex digits, claims as JSON
};

struct Auth {
  std::vector<AuthProvider> providers;
  std::uint64_t cache_bytes = 64ULL * 1024 * 1024;
  std::uint32_t failures_per_second = 50;  // of one address; 0: no limit
  std::string revocations;                 // a file that keeps them over a restart; "" none
};

// A signed form of the passport beside the plain one.
struct PassportSigning {
  std::string header = "X-Passport-Token";
  std::string key_file;  // a private JWK, or a set of them: the first signs, all are published
  std::string key_text;  // a secret
  std::string issuer = "weir";
};

struct Passport {
  std::string header = "X-Passport";
  std::vector<std::pair<std::string, ClaimPath>> claims{
      {"user_id", {"sub"}}, {"email", {"email"}}, {"roles", {"roles"}}};
  std::vector<std::string> optional;
  std::uint64_t max_size = 4 * 1024;
  bool url_alphabet = false;
  Duration ttl = std::chrono::minutes{5};  // of a passport; written anew at half of it
  std::optional<PassportSigning> signing;
};

struct ProxyState {
  std::string header = "X-Proxy-State";
  ClaimPath status{"status"};
  std::vector<ClaimPath> sub{{"subscription"}, {"subscription_tier"}, {"plan"}, {"sub"}};
  ClaimPath country{"country"};
  std::string country_edge;  // a header of trusted peers; "" none
  ClaimPath platform{"platform"};
};

struct Idempotency {
  enum class Store : std::uint8_t { sqlite, redis, memory };
  Store store = Store::sqlite;
  std::string path = "weir-idempotency.db";
  Duration ttl = std::chrono::hours{24};
  Duration lease = std::chrono::seconds{30};
  std::uint64_t max_response = 8ULL * 1024 * 1024;
};

enum class Require : std::uint8_t { off, optional, required };

struct RouteAuth {
  Require require = Require::off;
  std::vector<std::string> providers;  // names; empty: all
  std::vector<std::string> scopes;     // all of them
  std::vector<std::string> roles;      // one of them
};

struct RouteIdempotency {
  Require require = Require::off;
  std::vector<std::string> methods{"POST", "PATCH"};
  bool anonymous = false;
  Duration wait{};
};

}  // namespace weir::config

#endif  // WEIR_CONFIG_AUTH_H_
