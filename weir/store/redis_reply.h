// RedisReply: what a server answered, as a value; RedisScript: a program that runs inside the server.
//
//   Result<RedisReply> reply = co_await client.command(args, deadline);
//   if (reply && reply->is_integer()) use(reply->integer);
//
// An error that the server answered ("WRONGTYPE ...") is a reply of kind error, not an Error: the server is well, the
// command was not. Plain data.
#ifndef WEIR_STORE_REDIS_REPLY_H_
#define WEIR_STORE_REDIS_REPLY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::store {

struct RedisReply {
  enum class Kind : std::uint8_t { nil, integer, text, status, error, list };

  Kind kind = Kind::nil;
  std::int64_t integer = 0;
  std::string text;               // of text, status and error
  std::vector<RedisReply> items;  // of a list

  bool is_nil() const noexcept { return kind == Kind::nil; }
  bool is_integer() const noexcept { return kind == Kind::integer; }
  bool is_text() const noexcept { return kind == Kind::text; }
  bool is_list() const noexcept { return kind == Kind::list; }
  bool is_error() const noexcept { return kind == Kind::error; }
  // "OK", "PONG".
  bool is_status(std::string_view wanted) const noexcept { return kind == Kind::status && text == wanted; }
};

// Lua source and the name that EVALSHA knows it by. Immutable; make it once.
class RedisScript {
 public:
  explicit RedisScript(std::string source);

  const std::string& source() const noexcept { return source_; }
  // SHA-1 of the source in 40 hexadecimal digits: Redis' choice, a name and no protection.
  const std::string& sha1() const noexcept { return sha1_; }

 private:
  std::string source_;
  std::string sha1_;
};

}  // namespace weir::store

#endif  // WEIR_STORE_REDIS_REPLY_H_
