// Keys that check signatures: JSON Web Keys and sets of them (RFC 7517), and secrets.
//
// A Key is bound to one algorithm when it is made, by its `alg`, its curve, or the first algorithm of the provider's
// list that fits its type. What a token's header says can then only agree or be refused, so a public key is never
// taken for a secret and a key for RS256 never checks RS512. Weak keys do not become a Key: RSA under 2048 or over
// 8192 bits, an even exponent or one outside [3, 2^33), moduli with the ROCA structure, secrets shorter than their
// hash, points off the curve.
//
//   Result<KeySet> keys = KeySet::parse(text, options);
//   std::shared_ptr<const Key> key = keys->find("kid-1", Algorithm::rs256);
//   if (key != nullptr && key->verify(jws.signing_input, jws.signature)) ...
//
// Immutable and thread-safe. verify() reuses one OpenSSL context for each concurrent caller and allocates nothing of
// ours once warm.
#ifndef WEIR_PASSPORT_JWK_H_
#define WEIR_PASSPORT_JWK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/result.h"
#include "weir/passport/json.h"
#include "weir/passport/jws.h"

namespace weir::passport {

class Key {
 public:
  struct Material;  // OpenSSL's side

  // Public members of a JWK; private ones are ignored here. `allowed` decides the algorithm of a key that has no
  // `alg` (the first that fits) and refuses one whose `alg` is not in it; empty allows all.
  static Result<std::shared_ptr<const Key>> from_jwk(const Json& jwk, std::span<const Algorithm> allowed);
  // A shared secret for HS256, HS384 or HS512; at least as long as the hash (RFC 7518 3.2).
  static Result<std::shared_ptr<const Key>> from_secret(std::string_view secret, Algorithm algorithm,
                                                        std::string_view kid);

  Key(std::unique_ptr<Material> material, Algorithm algorithm, std::string kid, std::string thumbprint);
  ~Key();
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  // True if `signature` is this key's over `input`. False for anything else, a signature of a wrong length included.
  bool verify(std::string_view input, std::string_view signature) const;

  Algorithm algorithm() const noexcept { return algorithm_; }
  const std::string& kid() const noexcept { return kid_; }
  // base64url of SHA-256 (RFC 7638); for a secret of its bytes.
  const std::string& thumbprint() const noexcept { return thumbprint_; }

  // Set once the key has left its set: what was verified with it counts no more.
  bool removed() const noexcept { return removed_.load(std::memory_order_acquire); }
  void mark_removed() const noexcept { removed_.store(true, std::memory_order_release); }

 private:
  const std::unique_ptr<Material> material_;
  const Algorithm algorithm_;
  const std::string kid_;
  const std::string thumbprint_;
  mutable std::atomic<bool> removed_{false};
};

// RFC 7638 thumbprint of a public JWK (or of the public half of a private one), base64url.
Result<std::string> thumbprint(const Json& jwk);

class KeySet {
 public:
  struct Options {
    std::vector<Algorithm> allowed;  // empty: all
    bool symmetric = false;          // `oct` keys: only in files, never from a URL
    std::size_t bytes = 512 * 1024;
    std::size_t keys = 100;
  };

  KeySet() = default;
  explicit KeySet(std::vector<std::shared_ptr<const Key>> keys) : keys_(std::move(keys)) {}

  // A set {"keys": [...]} or a single JWK. Keys that cannot be used (another `use`, an unknown type, weak) are left
  // out and named in `skipped()`. Errors: no usable key, symmetric and asymmetric ones mixed, two usable keys with
  // one kid and algorithm, secrets where none may be, over a bound.
  static Result<KeySet> parse(std::string_view text, const Options& options);

  // The key that a token with this kid and algorithm must be signed by; null when there is none or, for a token
  // without kid, when there is more than one candidate. `other_algorithm` tells a kid that is known for another.
  std::shared_ptr<const Key> find(std::string_view kid, Algorithm algorithm,
                                  bool* other_algorithm = nullptr) const noexcept;

  std::span<const std::shared_ptr<const Key>> keys() const noexcept { return keys_; }
  std::span<const std::string> skipped() const noexcept { return skipped_; }

 private:
  std::vector<std::shared_ptr<const Key>> keys_;
  std::vector<std::string> skipped_;
};

// Where a provider's current keys are; replaced as a whole while others read. Thread-safe.
class KeyRing {
 public:
  // Null while there are none.
  std::shared_ptr<const KeySet> current() const;
  // Keys that both sets hold stay the same objects; those that are gone are marked removed before this returns, so
  // that no cached token outlives its key.
  void publish(KeySet next);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const KeySet> current_;
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_JWK_H_
