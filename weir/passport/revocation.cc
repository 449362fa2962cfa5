// See revocation.h.
//
//   (1) The epoch is raised after the entry stands (release), and read before the look (acquire): an identity can be
//       marked clean only for an epoch whose entries it was compared with.
//   (2) An entry ends by time alone and ending can only admit, so it needs no new epoch.
#include "weir/passport/revocation.h"

#include <array>
#include <mutex>
#include <utility>

namespace weir::passport {
namespace {
constexpr std::array<std::string_view, 4> kKinds{"jti", "sub", "sid", "kid"};
}

std::string_view to_string(Revocation::Kind kind) noexcept { return kKinds[static_cast<std::size_t>(kind)]; }

Result<Revocation> Revocation::from_json(const Json& json, std::int64_t now_s) {
  const auto wrong = [](std::string_view what) { return Error(ErrorCode::invalid_argument, what); };
  if (!json.is_object()) return wrong("a revocation is an object");
  Revocation out;
  out.issued_before = now_s;
  out.expires = now_s + kDefaultLife;
  bool kind_given = false;
  for (const Json::Member& member : json.members()) {
    const Json& value = member.value;
    if (member.name == "iss") {
      if (!value.is_string()) return wrong("iss is no text");
      out.issuer = value.text();
    } else if (member.name == "issued_before" || member.name == "expires") {
      if (!value.integer() || *value.integer() < 0) return wrong("a time is whole seconds since 1970");
      (member.name == "expires" ? out.expires : out.issued_before) = *value.integer();
    } else {
      std::size_t kind = 0;
      while (kind < kKinds.size() && kKinds[kind] != member.name) ++kind;
      if (kind == kKinds.size())
        return wrong("a revocation has jti, sub, sid or kid, iss, issued_before, expires");
      if (kind_given) return wrong("a revocation names one of jti, sub, sid and kid");
      if (!value.is_string() || value.text().empty() || value.text().size() > 1024)
        return wrong("what is revoked is a text of 1 to 1024 bytes");
      kind_given = true;
      out.kind = static_cast<Kind>(kind);
      out.value = value.text();
    }
  }
  if (!kind_given) return wrong("a revocation names one of jti, sub, sid and kid");
  if (out.kind != Kind::sub) out.issued_before = 0;
  return out;
}

Json Revocation::to_json() const {
  Json json;
  json.set(to_string(kind), Json(value));
  if (!issuer.empty()) json.set("iss", Json(issuer));
  if (kind == Kind::sub) json.set("issued_before", Json(issued_before));
  json.set("expires", Json(expires));
  return json;
}

void RevocationList::sweep(std::int64_t now_s) {
  std::erase_if(entries_, [now_s](const auto& entry) { return entry.second.expires <= now_s; });
}

Result<void> RevocationList::add(Revocation revocation, std::int64_t now_s) {
  const std::unique_lock lock(mutex_);
  if (entries_.size() >= kEntries) sweep(now_s);
  if (entries_.size() >= kEntries) return Error(ErrorCode::too_large, "the list of revocations is full");
  Key key{revocation.kind, std::move(revocation.issuer), std::move(revocation.value)};
  Entry& entry = entries_[std::move(key)];
  entry.issued_before = std::max(entry.issued_before, revocation.issued_before);
  entry.expires = std::max(entry.expires, revocation.expires);
  size_.store(entries_.size(), std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  return {};
}

bool RevocationList::hit(Revocation::Kind kind, const std::string& issuer, const std::string& value,
                         std::int64_t issued_at, std::int64_t now_s) const {
  if (value.empty()) return false;
  for (const std::string& scope : {issuer, std::string()}) {
    const auto found = entries_.find(Key{kind, scope, value});
    if (found == entries_.end() || found->second.expires <= now_s) continue;
    if (kind != Revocation::Kind::sub || issued_at < found->second.issued_before) return true;
  }
  return false;
}

bool RevocationList::look(const Identity& identity, std::int64_t now_s) const {
  using Kind = Revocation::Kind;
  const std::shared_lock lock(mutex_);
  return hit(Kind::jti, identity.issuer, identity.jti, identity.issued_at, now_s) ||
         hit(Kind::sub, identity.issuer, identity.subject, identity.issued_at, now_s) ||
         hit(Kind::sid, identity.issuer, identity.sid, identity.issued_at, now_s) ||
         hit(Kind::kid, identity.issuer, identity.kid, identity.issued_at, now_s);
}

bool RevocationList::revoked(const Identity& identity, std::int64_t now_s) const {
  if (identity.anonymous) return false;
  const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
  if (identity.revocation_checked.load(std::memory_order_relaxed) == epoch) return false;
  if (look(identity, now_s)) return true;
  identity.revocation_checked.store(epoch, std::memory_order_relaxed);
  return false;
}

std::vector<Revocation> RevocationList::entries(std::int64_t now_s) const {
  const std::shared_lock lock(mutex_);
  std::vector<Revocation> out;
  for (const auto& [key, entry] : entries_)
    if (entry.expires > now_s)
      out.push_back(Revocation{key.kind, key.issuer, key.value, entry.issued_before, entry.expires});
  return out;
}

}  // namespace weir::passport
