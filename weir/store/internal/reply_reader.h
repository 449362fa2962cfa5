// ReplyReader: bytes of a Redis connection to replies. hiredis' parser, which builds our values directly.
//
// Bounded: a reply's lists hold at most kItemsMax entries and its bytes are at most `bytes_max`; whatever says more
// is no Redis, or not one to talk to. One thread.
#ifndef WEIR_STORE_INTERNAL_REPLY_READER_H_
#define WEIR_STORE_INTERNAL_REPLY_READER_H_

#include <cstddef>
#include <memory>
#include <string_view>

#include "weir/base/result.h"
#include "weir/store/redis_reply.h"

struct redisReader;

namespace weir::store::internal {

class ReplyReader {
 public:
  static constexpr int kItemsMax = 1 << 20;

  explicit ReplyReader(std::size_t bytes_max);

  // False: out of memory. Bytes may hold any part of any number of replies.
  bool feed(std::string_view bytes);

  enum class Next : unsigned char { reply, incomplete, broken };
  // The next whole reply into `reply`. After `broken` the connection is of no use; fault() says why.
  Next next(RedisReply& reply);
  std::string_view fault() const noexcept { return fault_; }

 private:
  struct Free {
    void operator()(redisReader* reader) const noexcept;
  };
  std::unique_ptr<redisReader, Free> reader_;
  std::size_t bytes_max_;
  std::size_t unfinished_ = 0;  // bytes fed since the last whole reply
  std::string_view fault_;
};

}  // namespace weir::store::internal

#endif  // WEIR_STORE_INTERNAL_REPLY_READER_H_
