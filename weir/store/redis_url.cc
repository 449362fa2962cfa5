#include "weir/store/redis_url.h"

#include <optional>

#include "weir/base/strings.h"
#include "weir/http/uri.h"

namespace weir::store {
namespace {

Error wrong(std::string_view what) {
  return Error(ErrorCode::invalid_argument, what, ErrorSource::configuration);
}

// "user:password" and its shorter forms.
bool read_credentials(std::string_view text, RedisUrl& url) {
  const std::size_t colon = text.find(':');
  const std::string_view user = text.substr(0, colon);
  const std::string_view password =
      colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  return http::percent_decode(user, url.user) && http::percent_decode(password, url.password);
}

}  // namespace

Result<RedisUrl> RedisUrl::parse(std::string_view text) {
  constexpr std::string_view kScheme = "redis://";
  constexpr std::uint32_t kDatabaseMax = 1'000'000;  // servers have 16 unless told otherwise
  if (text.starts_with("rediss://"))
    return wrong("rediss:// (TLS) is not supported; put a local proxy in between");
  if (!text.starts_with(kScheme)) return wrong("a Redis URL begins with redis://");
  std::string_view rest = text.substr(kScheme.size());
  RedisUrl url;
  // The last '@': a password may hold one.
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    if (!read_credentials(rest.substr(0, at), url))
      return wrong("the user or password has a broken %-escape");
    rest = rest.substr(at + 1);
  }
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (!database.empty()) {
      const std::optional<std::uint64_t> number = base::parse_u64(database);
      if (!number || *number > kDatabaseMax) return wrong("the database is a number: redis://host:6379/2");
      url.database = static_cast<std::uint32_t>(*number);
    }
  }
  const std::optional<http::Authority> authority = http::parse_authority(rest);
  if (!authority || authority->host.empty()) return wrong("the host is missing or malformed");
  url.host = authority->host;
  if (authority->port) url.port = *authority->port;
  if (url.port == 0) return wrong("port 0 cannot be connected to");
  return url;
}

std::string RedisUrl::to_text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace weir::store
