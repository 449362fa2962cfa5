#include "weir/store/redis_url.h"

#include <gtest/gtest.h>

#include "weir/store/redis_reply.h"

namespace weir::store {
namespace {

// Every part may be left out but the scheme and the host.
TEST(RedisUrl, ReadsEveryPart) {
  const Result<RedisUrl> whole = RedisUrl::parse("redis://app:p%40ss:w@10.0.0.7:6380/2");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->user, "app");
  EXPECT_EQ(whole->password, "p@ss:w");
  EXPECT_EQ(whole->host, "10.0.0.7");
  EXPECT_EQ(whole->port, 6380);
  EXPECT_EQ(whole->database, 2U);
  EXPECT_EQ(whole->to_text(), "10.0.0.7:6380");

  const Result<RedisUrl> shortest = RedisUrl::parse("redis://cache");
  ASSERT_TRUE(shortest);
  EXPECT_EQ(shortest->host, "cache");
  EXPECT_EQ(shortest->port, 6379);
  EXPECT_TRUE(shortest->password.empty());

  const Result<RedisUrl> password = RedisUrl::parse("redis://:secret@[::1]/");
  ASSERT_TRUE(password);
  EXPECT_TRUE(password->user.empty());
  EXPECT_EQ(password->password, "secret");
  EXPECT_EQ(password->to_text(), "[::1]:6379");
}

// What cannot be a Redis URL is refused, and the text of the error never holds the password.
TEST(RedisUrl, RefusesTheRest) {
  for (const char* text :
       {"", "127.0.0.1:6379", "http://a", "rediss://a", "redis://", "redis://:6379", "redis://a:0",
        "redis://a:99999", "redis://a/x", "redis://a/-1", "redis://a/99999999999", "redis://u:%zzsecret@a",
        "redis://u:secret@", "redis://a b"}) {
    const Result<RedisUrl> url = RedisUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(url.error().detail.find("secret"), std::string::npos);
  }
}

// The name of a script is what `redis-cli SCRIPT LOAD` prints.
TEST(RedisScript, IsNamedByItsSha1) {
  EXPECT_EQ(RedisScript("return 1").sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
  EXPECT_EQ(RedisScript("").sha1(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

}  // namespace
}  // namespace weir::store
