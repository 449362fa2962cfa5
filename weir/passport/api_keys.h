// API keys: a secret in a header stands for a set of claims.
//
// The file holds SHA-256 of each key, never the key; whoever reads it cannot use it. A key is looked up by its hash,
// so comparing takes no secret-dependent time. The identities are rendered when the set is made.
//
//   Result<ApiKeySet> keys = ApiKeySet::make(entries, provider, rules);
//   std::shared_ptr<const Identity> who = keys->find(header_value);      // null: unknown
//
// Immutable and thread-safe. find() is one SHA-256 and one probe, without an allocation of ours.
#ifndef WEIR_PASSPORT_API_KEYS_H_
#define WEIR_PASSPORT_API_KEYS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/base/result.h"
#include "weir/passport/verifier.h"

namespace weir::passport {

struct ApiKeyEntry {
  std::string sha256_hex;  // 64 hexadecimal digits
  Json claims;             // an object; `sub` is required, so that limits and idempotency know whose it is
};

class ApiKeySet {
 public:
  static constexpr std::size_t kKeyBytes = 512;  // longer values are not looked at

  // `provider` names the set: it is the issuer of its identities ("api_key:NAME"). Errors: a hash that is none or
  // occurs twice, claims without `sub`, a passport over its bound; detail says which entry.
  static Result<ApiKeySet> make(std::span<const ApiKeyEntry> entries, std::string_view provider,
                                const ClaimPath& roles, const IdentityRules& rules);

  std::shared_ptr<const Identity> find(std::string_view key) const;
  std::size_t size() const noexcept { return identities_.size(); }

 private:
  using Digest = std::array<char, 32>;
  struct Hash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };
  std::unordered_map<Digest, std::shared_ptr<const Identity>, Hash> identities_;
};

// SHA-256 as 64 hexadecimal digits: what a key's entry in the file is.
std::string api_key_hash(std::string_view key);

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_API_KEYS_H_
