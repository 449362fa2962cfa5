// Where a Redis server is: redis://[user[:password]@]host[:port][/database].
//
//   Result<RedisUrl> url = RedisUrl::parse("redis://app:secret@10.0.0.7:6379/2");
//
// `redis://:secret@host` is a password without a user, as servers before ACLs want it. User and password may be
// percent-encoded. Pure; the password is a secret and never part of an error's text.
#ifndef WEIR_STORE_REDIS_URL_H_
#define WEIR_STORE_REDIS_URL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/base/result.h"

namespace weir::store {

struct RedisUrl {
  std::string host = "127.0.0.1";  // IP address or name
  std::uint16_t port = 6379;
  std::string user;      // "": the default user
  std::string password;  // "": none is sent
  std::uint32_t database = 0;

  friend bool operator==(const RedisUrl&, const RedisUrl&) noexcept = default;
  // Error invalid_argument: what is wrong with which part.
  static Result<RedisUrl> parse(std::string_view text);
  // "10.0.0.7:6379": for logs and metrics.
  std::string to_text() const;
};

}  // namespace weir::store

#endif  // WEIR_STORE_REDIS_URL_H_
