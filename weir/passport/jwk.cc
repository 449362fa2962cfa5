// See jwk.h.
//
//   (1) A key's algorithm is decided from the key and the configuration before any token is seen.
//   (2) A context of OpenSSL is set up once (key, padding, digest) and then reused: setting up costs a third of an
//       RS256 check. Each caller takes one from the key's stack and puts it back, so the stack grows to the number of
//       threads that ever checked at once and no further.
//   (3) Digests are fetched once a key: a fetch takes a lock inside OpenSSL 3.0 that all cores share.
#include "weir/passport/jwk.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "weir/base/base64.h"
#include "weir/base/check.h"
#include "weir/passport/internal/openssl.h"

namespace weir::passport {
namespace {

using internal::AlgorithmInfo;
using internal::bytes_of;
using internal::Family;

struct Context {
  internal::MdCtx md;
  internal::PkeyCtx pkey;
  internal::MacCtx mac;
};

// DER of ECDSA-Sig-Value from the fixed-length r | s of RFC 7518 3.4, into `out`; returns its length. At most
// 2 * (66 + 1 + 2) + 3 bytes for P-521.
std::size_t der_signature(std::string_view raw, unsigned char* out) {
  const std::size_t half = raw.size() / 2;
  std::size_t body = 0;
  std::array<std::string_view, 2> numbers{raw.substr(0, half), raw.substr(half)};
  for (std::string_view& number : numbers) {
    while (number.size() > 1 && number.front() == '\0') number.remove_prefix(1);
    body += 2 + number.size() + ((number.front() & 0x80) != 0 ? 1 : 0);
  }
  unsigned char* at = out;
  *at++ = 0x30;
  if (body > 127) *at++ = 0x81;
  *at++ = static_cast<unsigned char>(body);
  for (const std::string_view number : numbers) {
    const bool pad = (number.front() & 0x80) != 0;
    *at++ = 0x02;
    *at++ = static_cast<unsigned char>(number.size() + (pad ? 1 : 0));
    if (pad) *at++ = 0;
    at = std::copy(number.begin(), number.end(), at);
  }
  return static_cast<std::size_t>(at - out);
}

}  // namespace

struct Key::Material {
  const AlgorithmInfo* algorithm = nullptr;
  internal::Md digest;
  internal::Pkey pkey;
  internal::MacCtx mac;  // keyed; duplicated for use
  std::size_t signature_bytes = 0;
  std::mutex mutex;
  std::vector<std::unique_ptr<Context>> idle;

  std::unique_ptr<Context> take();
  void give_back(std::unique_ptr<Context> context) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(context));
  }
  std::unique_ptr<Context> make() const;
  bool check(Context& context, std::string_view input, std::string_view signature) const;
  bool check_hmac(Context& context, std::string_view input, std::string_view signature) const;
  bool check_digest(Context& context, std::string_view input, std::string_view signature) const;
};

std::unique_ptr<Context> Key::Material::take() {
  {
    const std::lock_guard lock(mutex);
    if (!idle.empty()) {
      std::unique_ptr<Context> context = std::move(idle.back());
      idle.pop_back();
      return context;
    }
  }
  return make();
}

std::unique_ptr<Context> Key::Material::make() const {
  auto context = std::make_unique<Context>();
  if (algorithm->family == Family::hmac) {
    context->mac.reset(EVP_MAC_CTX_dup(mac.get()));
    return context->mac ? std::move(context) : nullptr;
  }
  context->md.reset(EVP_MD_CTX_new());
  if (algorithm->family == Family::ed25519) return context->md ? std::move(context) : nullptr;
  context->pkey.reset(EVP_PKEY_CTX_new_from_pkey(nullptr, pkey.get(), nullptr));
  EVP_PKEY_CTX* ctx = context->pkey.get();
  if (ctx == nullptr || EVP_PKEY_verify_init(ctx) != 1) return nullptr;
  if (algorithm->family == Family::rsa_pkcs1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1)
    return nullptr;
  if (algorithm->family == Family::rsa_pss && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1)
    return nullptr;
  if (EVP_PKEY_CTX_set_signature_md(ctx, digest.get()) != 1) return nullptr;
  if (algorithm->family == Family::rsa_pss) {
    // RFC 7518 3.5: MGF1 with the same hash, a salt as long as the hash, neither more nor less.
    if (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest.get()) != 1) return nullptr;
    if (EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1) return nullptr;
  }
  return context;
}

bool Key::Material::check_hmac(Context& context, std::string_view input, std::string_view signature) const {
  std::array<unsigned char, 64> tag;
  std::size_t length = 0;
  // A null key keeps the one that the context was made with.
  if (EVP_MAC_init(context.mac.get(), nullptr, 0, nullptr) != 1) return false;
  if (EVP_MAC_update(context.mac.get(), bytes_of(input), input.size()) != 1) return false;
  if (EVP_MAC_final(context.mac.get(), tag.data(), &length, tag.size()) != 1) return false;
  return length == signature.size() && CRYPTO_memcmp(tag.data(), signature.data(), length) == 0;
}

bool Key::Material::check_digest(Context& context, std::string_view input, std::string_view signature) const {
  std::array<unsigned char, 64> hash;
  unsigned length = 0;
  if (EVP_DigestInit_ex2(context.md.get(), digest.get(), nullptr) != 1) return false;
  if (EVP_DigestUpdate(context.md.get(), input.data(), input.size()) != 1) return false;
  if (EVP_DigestFinal_ex(context.md.get(), hash.data(), &length) != 1) return false;
  if (algorithm->family != Family::ecdsa)
    return EVP_PKEY_verify(context.pkey.get(), bytes_of(signature), signature.size(), hash.data(), length) ==
           1;
  std::array<unsigned char, 160> der;
  const std::size_t der_length = der_signature(signature, der.data());
  return EVP_PKEY_verify(context.pkey.get(), der.data(), der_length, hash.data(), length) == 1;
}

bool Key::Material::check(Context& context, std::string_view input, std::string_view signature) const {
  switch (algorithm->family) {
    case Family::hmac:
      return check_hmac(context, input, signature);
    case Family::ed25519:
      return EVP_DigestVerifyInit_ex(context.md.get(), nullptr, nullptr, nullptr, nullptr, pkey.get(),
                                     nullptr) == 1 &&
             EVP_DigestVerify(context.md.get(), bytes_of(signature), signature.size(), bytes_of(input),
                              input.size()) == 1;
    case Family::rsa_pkcs1:
    case Family::rsa_pss:
    case Family::ecdsa:
      return check_digest(context, input, signature);
  }
  return false;
}

Key::Key(std::unique_ptr<Material> material, Algorithm algorithm, std::string kid, std::string thumbprint)
    : material_(std::move(material)),
      algorithm_(algorithm),
      kid_(std::move(kid)),
      thumbprint_(std::move(thumbprint)) {}
Key::~Key() = default;

bool Key::verify(std::string_view input, std::string_view signature) const {
  // Exact lengths first: no byte of a signature of another length is looked at.
  if (signature.size() != material_->signature_bytes) return false;
  std::unique_ptr<Context> context = material_->take();
  if (!context) return false;
  const bool good = material_->check(*context, input, signature);
  if (!good) ERR_clear_error();  // OpenSSL keeps its failures in a queue of the thread
  material_->give_back(std::move(context));
  return good;
}

namespace {

// The registered members of a JWK's public half, in the order of RFC 7638 3.2.
std::span<const std::string_view> thumbprint_members(std::string_view kty) {
  static constexpr std::array<std::string_view, 4> kEc{"crv", "kty", "x", "y"};
  static constexpr std::array<std::string_view, 3> kRsa{"e", "kty", "n"};
  static constexpr std::array<std::string_view, 3> kOkp{"crv", "kty", "x"};
  static constexpr std::array<std::string_view, 2> kOct{"k", "kty"};
  if (kty == "EC") return kEc;
  if (kty == "RSA") return kRsa;
  if (kty == "OKP") return kOkp;
  if (kty == "oct") return kOct;
  return {};
}

Error refused(std::string_view what) { return Error(ErrorCode::invalid_argument, what); }

std::string_view text_of(const Json& jwk, std::string_view name) {
  const Json* value = jwk.find(name);
  return value == nullptr ? std::string_view{} : value->text();
}

bool fits(Algorithm algorithm, const Json& jwk) {
  if (internal::key_type(algorithm) != text_of(jwk, "kty")) return false;
  const AlgorithmInfo& about = internal::info(algorithm);
  return about.curve == nullptr || text_of(jwk, "crv") == about.curve;
}

// RFC 7517 4.2 and 4.3: both, where they are, must allow checking signatures.
bool may_verify(const Json& jwk) {
  const Json* use = jwk.find("use");
  if (use != nullptr && use->text() != "sig") return false;
  const Json* operations = jwk.find("key_ops");
  if (operations == nullptr) return true;
  return std::any_of(operations->items().begin(), operations->items().end(),
                     [](const Json& op) { return op.text() == "verify" || op.text() == "sign"; });
}

Result<Algorithm> choose_algorithm(const Json& jwk, std::span<const Algorithm> allowed) {
  const auto permitted = [&](Algorithm a) {
    return allowed.empty() || std::find(allowed.begin(), allowed.end(), a) != allowed.end();
  };
  if (const Json* alg = jwk.find("alg"); alg != nullptr) {
    const std::optional<Algorithm> named = parse_algorithm(alg->text());
    if (!named || !fits(*named, jwk)) return refused("alg does not fit the key's type or curve");
    if (!permitted(*named)) return refused("alg is not among the allowed algorithms");
    return *named;
  }
  // No alg: the configuration's first that fits; without a list the first of the table (RS256 for RSA).
  for (const Algorithm a : allowed)
    if (fits(a, jwk)) return a;
  for (std::size_t i = 0; allowed.empty() && i < kAlgorithms; ++i)
    if (fits(static_cast<Algorithm>(i), jwk)) return static_cast<Algorithm>(i);
  return refused("no allowed algorithm fits the key's type");
}

bool set_mac(Key::Material& material, std::string_view secret, const char* digest) {
  const internal::Mac mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  material.mac.reset(EVP_MAC_CTX_new(mac.get()));
  std::string name = digest;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), name.size()),
      OSSL_PARAM_construct_end()};
  return material.mac && EVP_MAC_init(material.mac.get(), bytes_of(secret), secret.size(), params) == 1;
}

}  // namespace

Result<std::string> thumbprint(const Json& jwk) {
  std::string canonical;
  for (const std::string_view name : thumbprint_members(text_of(jwk, "kty"))) {
    const std::string_view value = text_of(jwk, name);
    if (value.empty()) return refused("a JWK without its registered members");
    canonical += canonical.empty() ? "{\"" : ",\"";
    canonical += name;
    canonical += "\":\"";
    canonical += value;
    canonical += '"';
  }
  if (canonical.empty()) return refused("unknown kty");
  canonical += '}';
  return base::base64url_encode(internal::sha256(canonical));
}

Result<std::shared_ptr<const Key>> Key::from_secret(std::string_view secret, Algorithm algorithm,
                                                    std::string_view kid) {
  const AlgorithmInfo& about = internal::info(algorithm);
  if (about.family != Family::hmac) return refused("a secret needs HS256, HS384 or HS512");
  if (secret.size() < about.digest_bytes)
    return refused("a secret shorter than the algorithm's hash (32, 48 or 64 bytes)");
  auto material = std::make_unique<Material>();
  material->algorithm = &about;
  material->signature_bytes = about.digest_bytes;
  if (!set_mac(*material, secret, about.digest)) return Error(ErrorCode::io_error, "HMAC is not available");
  return std::shared_ptr<const Key>(std::make_shared<Key>(std::move(material), algorithm, std::string(kid),
                                                          base::base64url_encode(internal::sha256(secret))));
}

Result<std::shared_ptr<const Key>> Key::from_jwk(const Json& jwk, std::span<const Algorithm> allowed) {
  if (!jwk.is_object()) return refused("a JWK is an object");
  if (!may_verify(jwk)) return refused("use or key_ops do not allow checking signatures");
  const Json* kid_member = jwk.find("kid");
  if (kid_member != nullptr && (!kid_member->is_string() || kid_member->text().size() > 256))
    return refused("kid is no text of at most 256 bytes");
  const std::string kid(text_of(jwk, "kid"));
  const Result<Algorithm> algorithm = choose_algorithm(jwk, allowed);
  if (!algorithm) return algorithm.error();
  const AlgorithmInfo& about = internal::info(*algorithm);
  if (about.family == Family::hmac) {
    const Result<std::string> secret = base::base64url_decode(text_of(jwk, "k"));
    if (!secret) return refused("k is not base64url");
    return from_secret(*secret, *algorithm, kid);
  }
  auto material = std::make_unique<Material>();
  material->algorithm = &about;
  if (about.family == Family::ecdsa) {
    material->pkey = internal::make_ec(jwk, about, false);
    material->signature_bytes = 2 * about.coordinate;
  } else if (about.family == Family::ed25519) {
    material->pkey = internal::make_ed25519(jwk, false);
    material->signature_bytes = 64;
  } else {
    material->pkey = internal::make_rsa(jwk, false);
    if (material->pkey)
      material->signature_bytes = static_cast<std::size_t>(EVP_PKEY_get_size(material->pkey.get()));
  }
  if (!material->pkey) {
    ERR_clear_error();
    return refused("weak or malformed key");
  }
  if (about.digest != nullptr) material->digest.reset(EVP_MD_fetch(nullptr, about.digest, nullptr));
  Result<std::string> print = weir::passport::thumbprint(jwk);
  if (!print) return print.error();
  return std::shared_ptr<const Key>(
      std::make_shared<Key>(std::move(material), *algorithm, kid, std::move(*print)));
}

namespace {

// Two keys that one token could mean are refused as a set: which of them counts would be a guess.
bool ambiguous(std::span<const std::shared_ptr<const Key>> keys) {
  for (std::size_t i = 0; i < keys.size(); ++i)
    for (std::size_t j = i + 1; j < keys.size(); ++j)
      if (!keys[i]->kid().empty() && keys[i]->kid() == keys[j]->kid() &&
          keys[i]->algorithm() == keys[j]->algorithm())
        return true;
  return false;
}

// The same before a key is looked at: a malformed twin of a good key is a twin all the same.
bool ambiguous(std::span<const Json> items) {
  for (std::size_t i = 0; i < items.size(); ++i)
    for (std::size_t j = i + 1; j < items.size(); ++j)
      if (!text_of(items[i], "kid").empty() && text_of(items[i], "kid") == text_of(items[j], "kid") &&
          text_of(items[i], "kty") == text_of(items[j], "kty") &&
          text_of(items[i], "alg") == text_of(items[j], "alg"))
        return true;
  return false;
}

// Secrets beside public keys, whether usable or not: somebody has put a secret where public keys are handed out, or
// a public key where it could be taken for a secret.
Result<void> symmetric_or_not(std::span<const Json> items, bool symmetric) {
  std::size_t secrets = 0;
  for (const Json& jwk : items) secrets += text_of(jwk, "kty") == "oct" ? 1 : 0;
  if (secrets > 0 && !symmetric) return refused("a secret in a key set that anybody can read");
  if (secrets > 0 && secrets < items.size()) return refused("a key set that mixes secrets and public keys");
  return {};
}

}  // namespace

Result<KeySet> KeySet::parse(std::string_view text, const Options& options) {
  Json::Limits limits;
  limits.bytes = options.bytes;
  const Result<Json> root = Json::parse(text, limits);
  if (!root) return root.error();
  const Json* list = root->find("keys");
  if (list != nullptr && !list->is_array()) return refused("`keys` is no list");
  if (list == nullptr && root->find("kty") == nullptr) return refused("neither a key set nor a key");
  const std::span<const Json> items = list != nullptr ? list->items() : std::span<const Json>(&*root, 1);
  if (items.size() > options.keys) return Error(ErrorCode::too_large, "more keys than a set may have");
  if (Result<void> kinds = symmetric_or_not(items, options.symmetric); !kinds) return kinds.error();
  KeySet set;
  for (const Json& jwk : items) {
    Result<std::shared_ptr<const Key>> key = Key::from_jwk(jwk, options.allowed);
    if (key) {
      set.keys_.push_back(std::move(*key));
    } else {
      set.skipped_.push_back(std::string(text_of(jwk, "kid")) + ": " + key.error().detail);
    }
  }
  if (set.keys_.empty()) return refused(set.skipped_.empty() ? "an empty key set" : set.skipped_.front());
  if (ambiguous(items) || ambiguous(set.keys_)) return refused("a key set with one kid for two keys");
  return set;
}

std::shared_ptr<const Key> KeySet::find(std::string_view kid, Algorithm algorithm,
                                        bool* other_algorithm) const noexcept {
  std::shared_ptr<const Key> found;
  for (const std::shared_ptr<const Key>& key : keys_) {
    if (!kid.empty() && key->kid() != kid) continue;
    if (key->algorithm() != algorithm) {
      if (other_algorithm != nullptr && !kid.empty()) *other_algorithm = true;
      continue;
    }
    if (found != nullptr) return nullptr;  // without a kid only a single candidate is certain
    found = key;
  }
  return found;
}

std::shared_ptr<const KeySet> KeyRing::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void KeyRing::publish(KeySet next) {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const Key>> kept;
  for (const std::shared_ptr<const Key>& key : next.keys()) {
    std::shared_ptr<const Key> same = key;
    if (current_)
      for (const std::shared_ptr<const Key>& old : current_->keys())
        if (old->kid() == key->kid() && old->thumbprint() == key->thumbprint() &&
            old->algorithm() == key->algorithm())
          same = old;
    kept.push_back(std::move(same));
  }
  if (current_)
    for (const std::shared_ptr<const Key>& old : current_->keys())
      if (std::find(kept.begin(), kept.end(), old) == kept.end()) old->mark_removed();
  current_ = std::make_shared<const KeySet>(std::move(kept));
}

}  // namespace weir::passport
