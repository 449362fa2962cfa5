// See api_keys.h. A digest's first eight bytes serve as the table's hash: they are as random as SHA-256 is.
#include "weir/passport/api_keys.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "weir/passport/internal/openssl.h"

namespace weir::passport {
namespace {

void digest_of(std::string_view key, char* out) {
  std::size_t length = 32;
  EVP_Q_digest(nullptr, "SHA256", nullptr, key.data(), key.size(), reinterpret_cast<unsigned char*>(out),
               &length);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
  return -1;
}

bool from_hex(std::string_view hex, std::array<char, 32>& out) {
  if (hex.size() != 64) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<char>(high * 16 + low);
  }
  return true;
}

void add_texts(const Json* list, std::vector<std::string>& out) {
  if (list == nullptr) return;
  if (list->is_string()) out.emplace_back(list->text());
  for (const Json& item : list->items())
    if (item.is_string()) out.emplace_back(item.text());
}

Error wrong(std::size_t entry, std::string_view what) {
  return Error(ErrorCode::invalid_argument, "key " + std::to_string(entry + 1) + ": " + std::string(what));
}

}  // namespace

std::size_t ApiKeySet::Hash::operator()(const Digest& digest) const noexcept {
  std::size_t hash;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

Result<ApiKeySet> ApiKeySet::make(std::span<const ApiKeyEntry> entries, std::string_view provider,
                                  const ClaimPath& roles, const IdentityRules& rules) {
  ApiKeySet set;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const ApiKeyEntry& entry = entries[i];
    Digest digest;
    if (!from_hex(entry.sha256_hex, digest)) return wrong(i, "no SHA-256 of 64 hexadecimal digits");
    const Json* sub = entry.claims.find("sub");
    if (sub == nullptr || !sub->is_string() || sub->text().empty()) return wrong(i, "claims need a `sub`");
    auto identity = std::make_shared<Identity>();
    identity->provider = provider;
    identity->issuer = "api_key:" + std::string(provider);
    identity->subject = sub->text();
    identity->kid = entry.sha256_hex.substr(0, 16);
    identity->claims = entry.claims;
    const Json* scope = entry.claims.find("scope");
    add_texts(scope, identity->scopes);
    if (scope != nullptr && scope->is_string()) {
      identity->scopes.clear();
      std::string_view rest = scope->text();
      while (!rest.empty()) {
        const std::size_t space = std::min(rest.find(' '), rest.size());
        if (space > 0) identity->scopes.emplace_back(rest.substr(0, space));
        rest.remove_prefix(std::min(space + 1, rest.size()));
      }
    }
    add_texts(entry.claims.at(roles), identity->roles);
    if (render_identity(*identity, rules, WallTime{}) != Reject::none)
      return wrong(i, "its passport is over the bound of bytes");
    if (!set.identities_.emplace(digest, std::move(identity)).second) return wrong(i, "the same key twice");
  }
  return set;
}

std::shared_ptr<const Identity> ApiKeySet::find(std::string_view key) const {
  if (key.empty() || key.size() > kKeyBytes) return nullptr;
  Digest digest;
  digest_of(key, digest.data());
  const auto found = identities_.find(digest);
  return found == identities_.end() ? nullptr : found->second;
}

std::string api_key_hash(std::string_view key) {
  std::array<char, 32> digest;
  digest_of(key, digest.data());
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : digest) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace weir::passport
