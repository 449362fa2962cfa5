// Revocations: tokens that are no longer good before they end, as exact sets, each entry with its own end.
//
// By token id (`jti`), by subject and time of issue ("everything of this user from before now"), by session (`sid`) and
// by key (`kid`). Issuer "" means any. An entry lives until no token it could hit is alive; then it is dropped.
//
//   RevocationList list;
//   list.add(Revocation{Revocation::Kind::jti, "https://id.example", "t-17", 0, expires}, now_s);
//   if (list.revoked(identity, now_s)) refuse();
//
// Thread-safe. While nothing changes, asking about an identity that was asked about before is one atomic load and
// compare; bounded to kEntries, and a full list refuses new entries rather than forgetting old ones.
#ifndef WEIR_PASSPORT_REVOCATION_H_
#define WEIR_PASSPORT_REVOCATION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/result.h"
#include "weir/passport/json.h"
#include "weir/passport/verifier.h"

namespace weir::passport {

struct Revocation {
  enum class Kind : std::uint8_t { jti, sub, sid, kid };
  Kind kind = Kind::jti;
  std::string issuer;  // "" any
  std::string value;
  std::int64_t issued_before = 0;  // of kind sub: tokens whose iat is before this, or that have none
  std::int64_t expires = 0;        // seconds since 1970; the entry is dropped then

  // {"jti"|"sub"|"sid"|"kid": VALUE, "iss"?, "issued_before"?, "expires"?}. `now_s` fills what is left out:
  // issued_before = now, expires = now + kDefaultLife.
  static Result<Revocation> from_json(const Json& json, std::int64_t now_s);
  Json to_json() const;
  static constexpr std::int64_t kDefaultLife = 24 * 3600;  // longer than access tokens live
  friend bool operator==(const Revocation&, const Revocation&) = default;
};
std::string_view to_string(Revocation::Kind kind) noexcept;

class RevocationList {
 public:
  static constexpr std::size_t kEntries = 1'000'000;  // about 200 MB at the very most

  // Error too_large when the list is full. The later of two ends counts for equal entries.
  Result<void> add(Revocation revocation, std::int64_t now_s);
  bool revoked(const Identity& identity, std::int64_t now_s) const;
  std::vector<Revocation> entries(std::int64_t now_s) const;
  std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  struct Key {
    Revocation::Kind kind;
    std::string issuer, value;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::int64_t issued_before = 0;
    std::int64_t expires = 0;
  };
  bool hit(Revocation::Kind kind, const std::string& issuer, const std::string& value, std::int64_t issued_at,
           std::int64_t now_s) const;
  bool look(const Identity& identity, std::int64_t now_s) const;
  void sweep(std::int64_t now_s);

  mutable std::shared_mutex mutex_;
  std::map<Key, Entry> entries_;
  std::atomic<std::size_t> size_{0};
  std::atomic<std::uint64_t> epoch_{
      1};  // counts additions; an identity that was clean at this epoch still is
};

}  // namespace weir::passport

#endif  // WEIR_PASSPORT_REVOCATION_H_
