// Helpers of this part's tests and of the gateway's: keys that are made once, a provider, tokens with usual claims.
#ifndef WEIR_PASSPORT_TESTING_H_
#define WEIR_PASSPORT_TESTING_H_

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/passport/authenticator.h"
#include "weir/passport/sign.h"

#ifndef WEIR_SOURCE_DIR
#define WEIR_SOURCE_DIR "."  // targets that read no files
#endif

namespace weir::passport::testing {

inline constexpr std::int64_t kNow = 1'790'000'000;
inline WallTime wall(std::int64_t seconds = kNow) { return WallTime{std::chrono::seconds{seconds}}; }

inline Json json(std::string_view text) { return Json::parse(text).value(); }

struct TestKey {
  Json jwk;
  Signer signer;
  std::shared_ptr<const Key> key;
};

inline TestKey make_key(Algorithm algorithm, std::string_view kid) {
  Json jwk = generate_jwk(algorithm, kid).value();
  Signer signer = Signer::from_jwk(jwk).value();
  std::shared_ptr<const Key> key = Key::from_jwk(jwk, {}).value();
  return TestKey{std::move(jwk), std::move(signer), std::move(key)};
}

// {"iss","aud","sub","exp"} of a token that is good at kNow, with members of `more` on top.
inline Json claims_of(std::string_view sub, std::string_view more = "{}") {
  Json claims;
  claims.set("iss", Json("https://id.example"));
  claims.set("aud", Json("api"));
  claims.set("sub", Json(sub));
  claims.set("exp", Json(kNow + 600));
  const Json extra = json(more);
  for (const Json::Member& member : extra.members()) claims.set(member.name, member.value);
  return claims;
}

inline Provider provider_with(std::vector<std::shared_ptr<const Key>> keys,
                              std::vector<Algorithm> algorithms) {
  Provider provider;
  provider.name = "main";
  provider.issuer = "https://id.example";
  provider.audiences = {"api"};
  provider.algorithms = std::move(algorithms);
  provider.keys = std::make_shared<KeyRing>();
  provider.keys->publish(KeySet(std::move(keys)));
  return provider;
}

// The folder of public vectors, where it is.
inline std::optional<std::filesystem::path> vectors(std::string_view folder) {
  const char* named = std::getenv("WEIR_VECTORS");
  const std::filesystem::path root = named != nullptr
                                         ? std::filesystem::path(named)
                                         : std::filesystem::path(WEIR_SOURCE_DIR) / "../shared/vectors";
  const std::filesystem::path found = root / folder;
  if (!std::filesystem::exists(found)) return std::nullopt;
  return found;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace weir::passport::testing

#endif  // WEIR_PASSPORT_TESTING_H_
