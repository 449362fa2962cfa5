#include "weir/store/internal/reply_reader.h"

#include <hiredis/read.h>

namespace weir::store::internal {
namespace {

// Where the parser's next value goes: a new root, or its place in the list that it belongs to.
RedisReply* place_of(const redisReadTask* task) {
  if (task->parent == nullptr) return new RedisReply();
  auto* list = static_cast<RedisReply*>(task->parent->obj);
  return &list->items[static_cast<std::size_t>(task->idx)];
}

void* make_text(const redisReadTask* task, char* bytes, std::size_t size) {
  RedisReply* reply = place_of(task);
  reply->kind = task->type == REDIS_REPLY_ERROR    ? RedisReply::Kind::error
                : task->type == REDIS_REPLY_STATUS ? RedisReply::Kind::status
                                                   : RedisReply::Kind::text;
  reply->text.assign(bytes, size);
  return reply;
}

void* make_list(const redisReadTask* task, int count) {
  if (count > ReplyReader::kItemsMax) return nullptr;  // the parser calls that out of memory and gives up
  RedisReply* reply = place_of(task);
  reply->kind = RedisReply::Kind::list;
  reply->items.resize(static_cast<std::size_t>(count));
  return reply;
}

void* make_integer(const redisReadTask* task, long long value) {
  RedisReply* reply = place_of(task);
  reply->kind = RedisReply::Kind::integer;
  reply->integer = value;
  return reply;
}

void* make_nil(const redisReadTask* task) { return place_of(task); }

void destroy(void* root) { delete static_cast<RedisReply*>(root); }

redisReplyObjectFunctions functions = {make_text, make_list, make_integer, make_nil, destroy};

}  // namespace

void ReplyReader::Free::operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }

ReplyReader::ReplyReader(std::size_t bytes_max)
    : reader_(redisReaderCreateWithFunctions(&functions)), bytes_max_(bytes_max) {
  WEIR_CHECK(reader_ != nullptr);
}

bool ReplyReader::feed(std::string_view bytes) {
  unfinished_ += bytes.size();
  return redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) == REDIS_OK;
}

ReplyReader::Next ReplyReader::next(RedisReply& reply) {
  void* root = nullptr;
  if (redisReaderGetReply(reader_.get(), &root) != REDIS_OK) {
    fault_ = std::string_view(reader_->errstr);
    return Next::broken;
  }
  if (root == nullptr) {
    if (unfinished_ <= bytes_max_) return Next::incomplete;
    fault_ = "a reply of too many bytes";
    return Next::broken;
  }
  const std::unique_ptr<RedisReply> owned(static_cast<RedisReply*>(root));
  reply = std::move(*owned);
  unfinished_ = reader_->len - reader_->pos;
  return Next::reply;
}

}  // namespace weir::store::internal
