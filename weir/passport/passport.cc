// See passport.h. Written in one pass; when the value is over its bound, optional members are taken out from the last
// to the first and it is written again, so the usual case pays nothing for the rare one.
#include "weir/passport/passport.h"

#include <algorithm>

#include "weir/base/base64.h"

namespace weir::passport {
namespace {

constexpr std::string_view kUserId = "user_id";

std::int64_t seconds_of(WallTime now) {
  return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
}

Json without(const Json& object, std::string_view name) {
  Json::Object kept;
  for (const Json::Member& member : object.members())
    if (member.name != name) kept.push_back(member);
  return Json(std::move(kept));
}

Error malformed(std::string_view what) { return Error(ErrorCode::malformed, what); }

}  // namespace

std::string Passport::user_id() const { return text(kUserId).value_or(std::string()); }

bool Passport::anonymous() const noexcept {
  const Json* anon = members.find("anon");
  return anon != nullptr && anon->boolean();
}

std::optional<std::string> Passport::text(std::string_view member) const {
  const Json* value = members.find(member);
  return value == nullptr ? std::nullopt : value->scalar_text();
}

bool Passport::has_role(std::string_view role) const noexcept {
  const Json* roles = members.find("roles");
  if (roles == nullptr) return false;
  return std::any_of(roles->items().begin(), roles->items().end(),
                     [role](const Json& item) { return item.is_string() && item.text() == role; });
}

Passport Passport::of_nobody() {
  Passport nobody;
  nobody.members.set(kUserId, Json());
  nobody.members.set("anon", Json(true));
  nobody.members.set("status", Json("anonymous"));
  nobody.header = base::base64_encode(nobody.members.to_text());
  return nobody;
}

PassportWriter::PassportWriter(Options options) : options_(std::move(options)) {
  auto& claims = options_.claims;
  const auto user_id = std::find_if(claims.begin(), claims.end(),
                                    [](const PassportClaim& claim) { return claim.member == kUserId; });
  if (user_id == claims.end()) {
    claims.insert(claims.begin(), PassportClaim{std::string(kUserId), {"sub"}});
  } else {
    std::rotate(claims.begin(), user_id, user_id + 1);  // always in front, wherever it was written
  }
}

std::string PassportWriter::encode(std::string_view json) const {
  return options_.url_alphabet ? base::base64url_encode(json) : base::base64_encode(json);
}

Result<Passport> PassportWriter::write(const Json& claims, const Extras& extras, std::int64_t expires) const {
  Passport passport;
  for (const PassportClaim& claim : options_.claims) {
    const Json* value = claims.at(claim.claim);
    if (value != nullptr && !value->is_null()) {
      passport.members.set(claim.member, *value);
    } else if (claim.member == kUserId) {
      passport.members.set(kUserId, Json());
    }
  }
  for (const auto& [name, value] : extras)
    if (passport.members.find(name) == nullptr) passport.members.set(name, value);
  if (expires != 0 && passport.members.find("exp") == nullptr) passport.members.set("exp", Json(expires));
  passport.header = encode(passport.members.to_text());

  Json::Array dropped;
  for (auto name = options_.optional.rbegin();
       name != options_.optional.rend() && passport.header.size() > options_.bytes; ++name) {
    if (*name == kUserId || passport.members.find(*name) == nullptr) continue;
    passport.members = without(passport.members, *name);
    dropped.push_back(Json(*name));
    passport.members.set("trunc", Json(dropped));
    passport.header = encode(passport.members.to_text());
  }
  if (passport.header.size() > options_.bytes)
    return Error(ErrorCode::too_large, "passport over its bound of bytes");
  return passport;
}

Result<Passport> PassportReader::read(std::string_view header, WallTime now) const {
  if (header.size() > options_.bytes) return Error(ErrorCode::too_large, "passport over its bound of bytes");
  Result<std::string> json = base::base64_decode(header);
  if (!json) json = base::base64url_decode(header);
  if (!json) return malformed("passport is neither base64 nor base64url");
  Json::Limits limits;
  limits.bytes = options_.bytes;
  Result<Json> members = Json::parse(*json, limits);
  if (!members || !members->is_object()) return malformed("passport is no JSON object");
  const std::span<const Json::Member> list = members->members();
  if (list.empty() || list.front().name != kUserId) return malformed("passport does not begin with user_id");
  const Json& user_id = list.front().value;
  if (!user_id.is_null() && !user_id.is_string() && !user_id.integer())
    return malformed("user_id is neither text, integer nor null");
  if (const Json* anon = members->find("anon"); anon != nullptr && !anon->is_bool())
    return malformed("anon is neither true nor false");
  if (const Json* exp = members->find("exp"); exp != nullptr) {
    if (!exp->integer()) return malformed("exp is no integer");
    if (seconds_of(now) - options_.leeway.count() >= *exp->integer())
      return Error(ErrorCode::timed_out, "passport has expired");
  }
  Passport passport;
  passport.members = std::move(*members);
  passport.header = header;
  return passport;
}

}  // namespace weir::passport
